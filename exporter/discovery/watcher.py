"""One source at work: what it lists, what has left its list and lingers, and how it is doing.

What leaves a list is read for a while still, so that what it served up to its end is counted, and a source that forgets
its targets for a moment costs nothing: a target that left and returned would begin with a baseline.
"""

from __future__ import annotations

import asyncio
import logging
from collections import Counter
from collections.abc import Callable, Iterable
from contextlib import aclosing
from dataclasses import dataclass

from exporter.clock import Clock
from exporter.config.discovery import Discover
from exporter.config.schema import FoundEndpoint
from exporter.discovery.endpoint import RefusedError, endpoint, matches
from exporter.discovery.found import MOST_ADDRESSES, Address, Found, Source, too_many
from exporter.discovery.resolve import Listed
from exporter.errors import Reason, ScrapeError
from exporter.ledger.changes import State
from exporter.records import NS

log = logging.getLogger("exporter.discovery")

LINGER_NS = 5 * 60 * NS
MOST_FAILURES = 3  # of one that lingers: a machine that is busy for a moment makes all its servers slow
FIRST_WAIT_NS, LONGEST_WAIT_NS = NS, 30 * NS  # between tries of a source that fails
MOST_LOGGED = 20  # refused targets that are named, of one set
TOGETHER = 100  # addresses that are judged in one turn of the loop, 0.02 ms each


@dataclass(frozen=True, slots=True)
class Member:
    """A target, how it is read, and the address that it was made of."""

    target: str
    endpoint: FoundEndpoint
    address: Address


Verdict = Member | str | None  # why it is refused; None: the config does not want it


@dataclass(slots=True)
class Lingering:
    """One that has left the list, and until when it is read, in monotonic ns."""

    member: Member
    until_ns: int
    failures: int = 0


class Watcher:
    """A source of the config. `changed` is called when `listed` or `lingering` is another one."""

    def __init__(
        self, name: str, spec: Discover, source: Source, clock: Clock, changed: Callable[[], None], state: State | None
    ) -> None:
        self.name = name
        self.spec = spec
        self.tried = False  # it has answered or failed
        self.unsaved = True  # the ledger must take `state`
        self.up = False
        self.last_success: float | None = None  # Unix seconds
        self.failures: Counter[Reason] = Counter()  # since somebody last cleared this
        self.listed: dict[str, Member] = {}  # by target
        self._lingering: dict[str, Lingering] = {}  # by target
        self._source = source
        self._clock = clock
        self._changed = changed
        self._failing = ""  # why it failed last, as logged
        self._verdicts: dict[Address, Verdict] = {}  # on all that it said last
        if state:
            known = (Address(host, tuple((key, value) for key, value in labels)) for host, labels in state["found"])
            self._list({address: self._verdict(address) for address in known})

    async def run(self) -> None:
        """Watch until cancelled. A source that fails keeps what it said last; it is tried again, ever less often."""
        wait = FIRST_WAIT_NS
        while True:
            try:
                async with aclosing(self._source.watch()) as sets:
                    async for found in sets:
                        await self._take(found)
                        wait = FIRST_WAIT_NS
            except ScrapeError as error:
                self._failed(error)
            except Exception as error:  # one bad source hurts only itself
                if self._failing != repr(error):
                    log.exception("discovery %s: unexpected error", self.name)
                self._failed(ScrapeError(Reason.INTERNAL, f"{type(error).__name__}, see the log"))
                self._failing = repr(error)
            await self._clock.sleep_until(self._clock.now().monotonic_ns + wait)
            wait = min(2 * wait, LONGEST_WAIT_NS)

    async def _take(self, found: Found) -> None:
        if len(found.addresses) > MOST_ADDRESSES:
            raise too_many()
        before = () if found.whole else (member.address for member in self.listed.values())
        news = self._list(await self._judge([*found.addresses, *before][:MOST_ADDRESSES]))
        if found.problem:
            self._failed(found.problem)
        else:
            if not self.up:
                log.info("discovery %s is up, targets %d", self.name, len(self.listed))
            self.up, self._failing = True, ""
            self.last_success = self._clock.now().wall_ns / NS
        if news or not self.tried:
            self.tried = True
            self._changed()

    def _failed(self, error: ScrapeError) -> None:
        if self._failing != str(error):
            log.warning("discovery %s failed, %s: %s", self.name, error.reason, error)
        self._failing = str(error)
        self.failures[error.reason] += 1
        self.up = False
        if not self.tried:
            self.tried = True
            self._changed()

    # -- members ----------------------------------------------------------------------------------------------------

    async def _judge(self, addresses: Iterable[Address]) -> dict[Address, Verdict]:
        """A verdict on each, in pieces: ten thousand that are new take a fifth of a second."""
        verdicts: dict[Address, Verdict] = {}
        for number, address in enumerate(addresses, 1):
            known = address in self._verdicts
            verdicts[address] = self._verdicts[address] if known else self._verdict(address)
            if number % TOGETHER == 0:
                await asyncio.sleep(0)
        return verdicts

    def _verdict(self, address: Address) -> Verdict:
        try:
            if not matches(self.spec, address):
                return None
            made = endpoint(self.spec, address)
            return Member(made.target, made, address)
        except RefusedError as error:
            return str(error)

    def _list(self, verdicts: dict[Address, Verdict]) -> bool:
        """These are the targets now; True where that is news."""
        self._say_refused(verdicts)
        self._verdicts = verdicts
        listed: dict[str, Member] = {}
        for member in verdicts.values():
            if isinstance(member, Member):
                listed.setdefault(member.target, member)
        if listed == self.listed and not self._lingering.keys() & listed.keys():
            return False
        until = self._clock.now().monotonic_ns + LINGER_NS
        gone = {target: Lingering(member, until) for target, member in self.listed.items() if target not in listed}
        stay = {target: known for target, known in self._lingering.items() if target not in listed}
        last = list((stay | gone).items())[-MOST_ADDRESSES:]  # a source may list others each time
        self.listed, self._lingering, self.unsaved = listed, dict(last), True
        return True

    def _say_refused(self, verdicts: dict[Address, Verdict]) -> None:
        """Those that were not refused before."""
        new = [
            (address.host, verdict)
            for address, verdict in verdicts.items()
            if isinstance(verdict, str) and address not in self._verdicts
        ]
        if new:
            self.failures[Reason.REFUSED] += len(new)
        for host, why in new[:MOST_LOGGED]:
            log.warning("discovery %s: target %.256r is refused: %s", self.name, host, why)

    def failed(self, target: str, reason: Reason) -> bool:
        """That target could not be read: True where it only lingered, and is gone now."""
        known = self._lingering.get(target)
        if known is None:
            return False
        known.failures += 1
        if reason is not Reason.CONNECT and known.failures < MOST_FAILURES:
            return False
        self._drop(target)
        return True

    def expire(self, now_ns: int) -> None:
        """Let go of what has lingered long enough."""
        for target in [target for target, known in self._lingering.items() if known.until_ns <= now_ns]:
            self._drop(target)

    def _drop(self, target: str) -> None:
        del self._lingering[target]
        self.unsaved = True

    @property
    def next_expiry(self) -> int | None:
        """Monotonic ns; None while nothing lingers."""
        return min((known.until_ns for known in self._lingering.values()), default=None)

    def endpoints(self) -> Listed:
        """As `resolve` wants them."""
        return Listed(
            [member.endpoint for member in self.listed.values()],
            [known.member.endpoint for known in self._lingering.values()],
        )

    def state(self) -> State:
        """What the ledger keeps: all that is read."""
        members = (*self.listed.values(), *(known.member for known in self._lingering.values()))
        return {"found": [[member.address.host, member.address.labels] for member in members]}
