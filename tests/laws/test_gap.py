"""What the engine counts and the gateway never reports: requests that the client aborted.

A vLLM page and a LiteLLM page, read every 15 s and booked at once. One GPU at 3.60 $/h is a milliard picodollars a
second; what nobody claims for two minutes, eight ticks, is let go.
"""

from __future__ import annotations

from decimal import Decimal
from pathlib import Path

import pytest

from exporter.books import Books
from exporter.config.schema import Config
from exporter.demo.engine import SimEngine
from exporter.demo.gateway import SimGateway
from exporter.ledger import families as f
from exporter.ledger.changes import Saved
from exporter.ledger.store import Store
from exporter.records import NS, Instant
from exporter.sources.reader import Reader
from exporter.sources.registry import GATEWAYS

START = 1_795_348_800
ENGINE, EDGE = "http://e:8000/metrics", "http://g:4000/metrics"
CONFIG = Config.model_validate({
    "pools": [{
        "name": "chat", "gpus": {"count": Decimal(1)}, "usd_per_gpu_hour": Decimal("3.6"), "claim_within": "2m",
        "endpoints": [{"url": ENGINE}], "split": "weights",
    }],
    "gateways": [{
        "name": "edge", "endpoints": [{"url": EDGE}], "tenant_label": "team_alias",
        "routes": [{"model": "*", "pool": "chat"}],
    }],
})  # fmt: skip
TICK = 15 * NS  # also what it costs, in picodollars: a milliard a second


class Desk:
    """The books of one pool behind one gateway, and the clock."""

    def __init__(self, ledger: Path | None = None) -> None:
        self.now = 0
        self.engine, self.gateway = SimEngine("m", start=START - 99.0), SimGateway(START - 99.0)
        self.store = Store(str(ledger)) if ledger else None
        self.open()
        self.look()

    def open(self) -> None:
        """An exporter starts."""
        self.reader, self.edge = Reader("vllm"), Reader("litellm", GATEWAYS)
        self.books = Books(CONFIG, self.store.open() if self.store else Saved(), self.instant())

    def instant(self) -> Instant:
        return Instant(self.now * NS, (START + self.now) * NS)

    def look(self, ticks: int = 1) -> None:
        """Time passes, both pages are read and booked, and the books close; `ticks` times."""
        for _ in range(ticks):
            self.now += 15
            self.books.observe(self.reader.read(ENGINE, self.engine.page(), self.instant()))
            self.books.observe(self.edge.read(EDGE, self.gateway.page(), self.instant()))
            self.books.tick(self.instant())
            assert self.total(f.COST) == self.total(f.SPEND) + self.total(f.IDLE) + self.pending
            if self.store:
                self.store.save(self.books.drain())

    def abort(self, prompt: int = 0, output: int = 0) -> None:
        """The engine worked, the client hung up, the gateway says nothing."""
        self.engine.count("m", prompt=prompt, output=output)

    def serve(self, team: str, prompt: int = 0, output: int = 0) -> None:
        self.engine.serve("m", prompt=prompt, output=output)
        self.gateway.report(team, "m", prompt=prompt, output=output)

    @property
    def pending(self) -> int:
        return self.books.pending("chat")

    def total(self, family: str) -> int:
        return sum(self.books.accounts[family].values)

    def tokens(self, tenant: str) -> dict[str, int]:
        return self._of(f.TOKENS, tenant)

    def spend(self, tenant: str) -> int:
        return sum(self._of(f.SPEND, tenant).values())

    def _of(self, family: str, tenant: str) -> dict[str, int]:
        book = self.books.accounts[family]
        return {
            key[3]: value for key, value in zip(book.labels, book.values, strict=True) if key[0] == tenant and value
        }


def test_an_aborted_request_is_pending_for_claim_within_and_then_nobodys() -> None:
    desk = Desk()
    desk.abort(prompt=300, output=100)
    desk.look()  # second 30: its use is on stock
    for _ in range(7):  # up to second 135
        assert (desk.tokens("_unattributed"), desk.pending, desk.total(f.SPEND)) == ({}, TICK, 0)
        desk.look()
    assert desk.now == 135
    assert (desk.tokens("_unattributed"), desk.pending) == ({}, TICK)
    desk.look()  # second 150: two minutes old
    assert desk.tokens("_unattributed") == {"input": 300, "output": 100}
    assert (desk.spend("_unattributed"), desk.pending) == (TICK, 0)
    assert desk.total(f.IDLE) == desk.total(f.COST) - TICK, "the other ticks were quiet"
    assert not desk.total(f.REQUESTS), "no gateway counted it, and requests are counted by gateways here"
    desk.look(20)
    assert desk.tokens("_unattributed") == {"input": 300, "output": 100}, "once"


def test_while_it_runs_its_tokens_are_on_stock_each_from_its_own_tick() -> None:
    """A stream that is aborted in its fourth tick is let go as it was made: tick by tick."""
    desk = Desk()
    desk.engine.load("m", running=1)
    for _ in range(4):
        desk.abort(output=50)
        desk.look()
    desk.engine.load("m", running=0)
    desk.look(4)
    assert (desk.now, desk.pending) == (135, 4 * TICK)
    for gone in range(1, 5):
        desk.look()
        assert desk.tokens("_unattributed") == {"output": 50 * gone}
        assert (desk.spend("_unattributed"), desk.pending) == (gone * TICK, (4 - gone) * TICK)


def test_what_the_gateway_does_report_of_an_aborted_request_is_taken_the_rest_is_nobodys() -> None:
    """Some gateways report what they had streamed when the client left; the engine was further."""
    desk = Desk()
    desk.abort(output=100)
    desk.gateway.report("acme", "m", output=40)
    desk.look()
    assert (desk.tokens("acme"), desk.spend("acme"), desk.pending) == ({"output": 40}, TICK * 4 // 10, TICK * 6 // 10)
    desk.look(8)
    assert (desk.tokens("_unattributed"), desk.spend("_unattributed")) == ({"output": 60}, TICK * 6 // 10)


def test_an_aborted_request_among_others_costs_nobody_a_token_more() -> None:
    """Reports take the oldest stock: the first to come pays for the aborted request's tick, and its own stays. No
    tenant gets a token more or less, all that was used is spent, and nobody's tokens are as many as were aborted."""
    desk = Desk()
    desk.abort(output=100)
    desk.look()
    desk.serve("acme", output=300)  # three times the tokens for the same money
    desk.look()
    assert desk.tokens("acme") == {"output": 300}
    assert desk.spend("acme") == TICK + TICK * 2 // 3, "the aborted tick whole, two thirds of its own"
    assert (desk.tokens("_unattributed"), desk.pending) == ({}, TICK // 3)
    desk.look(7)
    assert desk.now == 150
    assert desk.tokens("_unattributed") == {}, "two minutes after the abort: the stock left is newer"
    desk.look()
    assert (desk.tokens("_unattributed"), desk.spend("_unattributed")) == ({"output": 100}, TICK // 3)


def test_under_steady_traffic_a_single_aborted_request_never_expires() -> None:
    """The backlog is always the newest stock. It shows as pending cost only, until traffic rests for claim_within."""
    desk = Desk()
    desk.abort(output=10)
    for turn in range(1, 101):
        desk.serve("acme", output=100)
        desk.look()
        assert (desk.tokens("acme"), desk.tokens("_unattributed")) == ({"output": 100 * turn}, {})
        assert desk.pending == pytest.approx(TICK // (11 if turn == 1 else 10), abs=2)
    desk.look(7)
    assert desk.tokens("_unattributed") == {}
    desk.look()
    assert (desk.tokens("_unattributed"), desk.pending) == ({"output": 10}, 0)


def test_a_steady_share_of_aborted_requests_shows_once_the_backlog_is_claim_within_old() -> None:
    """One token in eleven: eight ticks' stock is 880 tokens, so 88 ticks long everything looks claimed but pending
    cost, which grows to eight ticks' cost and stays; from the next tick on nobody's tokens are the aborted ones."""
    desk = Desk()
    for turn in range(1, 121):
        desk.serve("acme", output=100)
        desk.abort(output=10)
        desk.look()
        assert desk.tokens("acme") == {"output": 100 * turn}
        assert desk.tokens("_unattributed").get("output", 0) == 10 * max(0, turn - 88)
        assert desk.pending == pytest.approx(8 * TICK * min(turn, 88) / 88, abs=200)
    assert desk.spend("acme") == pytest.approx(12_000 * TICK / 110, abs=200), "a token costs what it costs, only later"
    assert desk.spend("_unattributed") == pytest.approx(320 * TICK / 110, abs=200)


def test_a_report_later_than_claim_within_counts_its_tokens_a_second_time() -> None:
    """Streams that run longer than claim_within do the same: the gateway reports them at their end. Tenants' tokens are
    the gateway's to the token, the money closes; only the sum over tenants is more than the engine counted."""
    desk = Desk()
    desk.abort(output=100)
    desk.look(9)
    assert desk.tokens("_unattributed") == {"output": 100}
    desk.gateway.report("acme", "m", output=100)
    desk.look()
    assert (desk.tokens("acme"), desk.tokens("_unattributed")) == ({"output": 100}, {"output": 100})
    assert (desk.spend("acme"), desk.pending) == (0, 0), "its stock is gone"
    desk.serve("globex", output=100)
    desk.look()
    assert (desk.spend("acme"), desk.spend("globex")) == (TICK, 0), "it waited for stock, and took the next one's"
    desk.look(12)
    assert (desk.spend("acme"), desk.spend("globex"), desk.pending) == (TICK, 0, 0), "and so the next waits, unpaid"


def test_what_is_pending_outlives_the_exporter_and_waits_on_its_own_clock(tmp_path: Path) -> None:
    """While the exporter is down nothing can be claimed: that time does not count."""
    desk = Desk(tmp_path / "ledger.db")
    assert desk.store
    desk.abort(output=100)
    desk.look(5)  # a minute old
    desk.store.close()
    desk.now += 3600
    desk.open()
    assert desk.pending == TICK
    desk.look(3)
    assert (desk.tokens("_unattributed"), desk.pending) == ({}, TICK)
    desk.look()
    assert (desk.tokens("_unattributed"), desk.spend("_unattributed")) == ({"output": 100}, TICK)
    desk.store.close()
