"""Every kind of bad target at once, beside a good one: each fails by its name, and the good one's books stay exact."""

from __future__ import annotations

import asyncio
import gzip
import re
import socket
import unicodedata
from collections.abc import Callable, Iterable
from contextlib import AsyncExitStack
from pathlib import Path

from isal import isal_zlib
from prometheus_client import Metric
from prometheus_client import parser as text
from prometheus_client.openmetrics import parser as openmetrics

from exporter.errors import Reason
from exporter.metering.labels import MAX_LENGTH
from tests.peers.exporter import Page
from tests.process.engines import LABEL, dice, serving, traffic, truth, vllm
from tests.process.exporter import booked, config, exporter, pool
from tests.sources.servers import PAGE, Answer, http, says, serve

MIB = 1 << 20
LIMIT = 8 * MIB  # of a body; two targets send more than that, without an end
MOST_MEMORY = 128 * MIB  # about half of it is the program itself
BLOCK = b"# nothing to see here, and so on without an end\n" * 20_000


async def endless(_: bytes, writer: asyncio.StreamWriter) -> None:
    writer.write(b"HTTP/1.1 200 OK\r\nConnection: close\r\n\r\n")
    while True:
        writer.write(BLOCK)
        await writer.drain()


async def loris(_: bytes, writer: asyncio.StreamWriter) -> None:
    for byte in http(PAGE * 1000):
        writer.write(bytes([byte]))
        await writer.drain()
        await asyncio.sleep(0.01)


async def silent(_: bytes, __: asyncio.StreamWriter) -> None:
    await asyncio.Event().wait()


def bomb() -> bytes:
    """A gibibyte in one megabyte."""
    press, block = isal_zlib.compressobj(1, wbits=31), bytes(MIB)
    return b"".join(press.compress(block) for _ in range(1024)) + press.flush()


PROMPT = b"vllm:prompt_tokens_total"


def labelled(*values: bytes) -> bytes:
    """A vLLM page with these tenants."""
    names = (PROMPT, b"vllm:generation_tokens_total")
    return b"".join(b'%s{model_name="m",%s="%s"} 7\n' % (name, LABEL.encode(), v) for name in names for v in values)


LONG_NAME = b'%s{%s="1"} 7\n' % (PROMPT, b"x" * 1000)


def named(labels: int) -> bytes:
    """A line with that many labels."""
    return b"%s{%s} 7\n" % (PROMPT, b",".join(b'l%d="1"' % number for number in range(labels)))


SCRAPE = {"interval": "500ms", "timeout": "500ms", "max_body_bytes": LIMIT}
HTML = b"<!DOCTYPE html>\n<html><body>It works!</body></html>\n"
# What it answers, and why the scrape then failed. All of the pool `bad`, which says `engine: vllm`.
HOSTILE: dict[str, tuple[Answer, Reason]] = {
    "an error": (says(http(b"oops", status="500 Internal Server Error")), Reason.STATUS),
    "endless": (endless, Reason.TOO_LARGE),
    "gzip bomb": (says(http(bomb(), "Content-Encoding: gzip")), Reason.TOO_LARGE),
    "gzip cut short": (says(http(gzip.compress(PAGE)[:-5], "Content-Encoding: gzip")), Reason.ENCODING),
    "slow loris": (loris, Reason.TIMEOUT),
    "no answer": (silent, Reason.TIMEOUT),
    "no HTTP": (says(bytes(range(256)) * 50 + b"\r\n\r\n"), Reason.INVALID),
    "no text": (says(http(bytes(range(256)) * 50)), Reason.INVALID),
    "HTML": (says(http(HTML)), Reason.INVALID),
    "less than it announced": (says(http(PAGE, length=len(PAGE) + 1)), Reason.TRUNCATED),
    "half a line": (says(http(PAGE[:-5])), Reason.TRUNCATED),
    "nothing": (says(http(b"")), Reason.EMPTY),
    "another engine": (says(http(b"llamacpp:prompt_tokens_total 1\n")), Reason.MISSING_SERIES),
    "a series twice": (says(http(PAGE * 2)), Reason.INVALID),
    "a label of 100 kB": (says(http(labelled(b"x" * 100_000))), Reason.LINE_TOO_LONG),
    "a label of 20 kB": (says(http(labelled(b"x" * 20_000))), Reason.LABEL_VALUE_TOO_LONG),
    "a label's name of 1 kB": (
        says(http(PAGE + b'%s{%s="1"} 7\n' % (PROMPT, b"x" * 1000))),
        Reason.LABEL_NAME_TOO_LONG,
    ),
    "200 labels": (says(http(PAGE + named(200))), Reason.TOO_MANY_LABELS),
    "more lines than there can be": (says(http(PAGE + b"\n" * 1_000_001)), Reason.TOO_MANY_LINES),
    "a number that no counter reaches": (
        says(http(labelled(b"a").replace(b" 7\n", b" 1e305\n"))),
        Reason.VALUE_TOO_LARGE,
    ),
    "elsewhere": (says(http(b"", "Location: http://127.0.0.1:1/", status="302 Found")), Reason.REDIRECT),
}
UNKNOWN = b"go_goroutines 7\n"
# Legal, and not to be trusted: as on the page -> as we show it.
ODD = {
    rb"quote\"quote": 'quote"quote',
    rb"back\\slash": "back\\slash",
    rb"line\nline": "line\ufffdline",
    rb"\"} 1\ntokencost_spend_usd_total{x=\"": '"} 1\ufffdtokencost_spend_usd_total{x="',
    b"not \xff\xfe UTF-8": "not \\xff\\xfe UTF-8",
    b"\x1b[31mred\x07\r\x00": "\ufffd[31mred\ufffd\ufffd\ufffd",
    "\u202egnirts".encode(): "\ufffdgnirts",
    "straße 東京".encode(): "straße 東京",
    b"None": "_unattributed",
}
LONG = b"y" * 16_000
Parse = Callable[[str], Iterable[Metric]]
PARSERS: dict[str, Parse] = {
    "text/plain": text.text_string_to_metric_families,
    "application/openmetrics-text": openmetrics.text_string_to_metric_families,
}


async def test_all_of_them_at_once(tmp_path: Path) -> None:
    random, engine = dice(7), vllm()
    async with AsyncExitStack() as stack:
        good = await stack.enter_async_context(serving(engine))
        origins = {name: (await stack.enter_async_context(serve(answer)))[0] for name, (answer, _) in HOSTILE.items()}
        urls = {name: f"{origin}/metrics" for name, origin in origins.items()}
        closed = stack.enter_context(socket.socket())
        closed.bind(("127.0.0.1", 0))  # taken, and nobody listens
        urls["refused"] = f"http://127.0.0.1:{closed.getsockname()[1]}/metrics"
        unknown, _ = await stack.enter_async_context(serve(says(http(UNKNOWN))))
        odd, _ = await stack.enter_async_context(serve(says(http(labelled(*ODD, LONG)))))
        pools = (
            pool("chat", good, tenant_label=LABEL),
            pool("bad", *urls.values(), engine="vllm"),
            pool("unknown", f"{unknown}/metrics"),
            pool("odd", f"{odd}/metrics", tenant_label=LABEL),
        )
        wanted = {urls[name]: reason for name, (_, reason) in HOSTILE.items()}
        wanted |= {urls["refused"]: Reason.CONNECT, f"{unknown}/metrics": Reason.UNKNOWN_ENGINE}

        running = await stack.enter_async_context(exporter(tmp_path, config(*pools, scrape=SCRAPE)))
        seen: dict[tuple[str, str, str], int] = {}

        def over(page: Page) -> bool:
            """Each has failed for its reason, and the good one was read some more times."""
            now = booked(page, "chat")
            assert all(seen.get(key, 0) <= tokens <= truth(engine)[key] for key, tokens in now.items())
            seen.update(now)
            traffic(engine, random, requests=1)
            scrapes = page.total("tokencost_target_scrapes_total", target=good)
            return scrapes > 4 and all(failed(page, target, reason) for target, reason in wanted.items())

        page = await running.page_when(over, "each has failed for its reason")
        for target, reason in wanted.items():
            assert page.total("tokencost_target_up", target=target) == 0, target
            (line,) = [event for event in running.events() if f"target {target} is " in event["msg"]]  # said once
            assert line["level"] == "warning"
            late = failed(page, target, Reason.TIMEOUT)  # allowed to any of them on a busy machine
            total = page.total("tokencost_target_scrape_failures_total", target=target)
            assert total == failed(page, target, reason) + (late if reason is not Reason.TIMEOUT else 0), target

        await running.page_with(truth(engine))
        await running.page_when(
            lambda page: page.total("tokencost_target_up") == 2, "the good one and the odd one are up"
        )
        for accept, parse in PARSERS.items():
            assert_labels_are_safe((await running.get("/metrics", accept))[1], parse)
        for path in ("/", "/-/healthy", "/-/ready", "/api/v1/snapshot"):
            assert (await running.get(path))[0] == 200
        assert running.events("error") == []
        assert_small(running.program.process.pid)


async def test_memory_is_bounded_however_many_targets_are_endless_at_once(tmp_path: Path) -> None:
    """At the default limit of 64 MiB a page; large bodies take turns, and a failed one is let go of at once."""
    async with AsyncExitStack() as stack:
        answers = [endless] * 4 + [says(http(bomb(), "Content-Encoding: gzip"))] * 8
        urls = [f"{(await stack.enter_async_context(serve(answer)))[0]}/metrics" for answer in answers]
        settings = config(pool("bad", *urls, engine="vllm"))
        running = await stack.enter_async_context(exporter(tmp_path, settings, ready=False))
        await running.page_when(
            lambda page: page.total("tokencost_target_scrapes_total") >= 3 * len(urls), "three rounds"
        )
        assert_small(running.program.process.pid, 320 * MIB)


def failed(page: Page, target: str, reason: Reason) -> float:
    return page.total("tokencost_target_scrape_failures_total", target=target, reason=reason.value)


def assert_labels_are_safe(page: str, parse: Parse) -> None:
    """Prometheus' own parsers read the labels that were meant, and no control character is left anywhere."""
    samples = [sample for family in parse(page) for sample in family.samples if sample.name == "tokencost_tokens_total"]
    tenants = {sample.labels["tenant"] for sample in samples if sample.labels["pool"] == "odd"}
    (long,) = tenants - set(ODD.values())
    assert re.fullmatch(r"y+~[0-9a-f]{8}", long)
    assert len(long) == MAX_LENGTH
    assert len(tenants) == len(ODD) + 1
    assert not [char for char in page if unicodedata.category(char)[0] == "C" and char != "\n"]


def assert_small(pid: int, limit: int = MOST_MEMORY) -> None:
    """The most memory that it ever had, where the system says so."""
    status = Path(f"/proc/{pid}/status")
    if status.exists():
        most = int(status.read_text().partition("VmHWM:")[2].split()[0]) << 10
        print(f"peak memory: {most / MIB:.0f} MiB")
        assert most < limit
