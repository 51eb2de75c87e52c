"""The table of limits in SECURITY.md, made from the program's own constants. `make docs` writes it; test_security.py
compares."""

from __future__ import annotations

import re
from collections.abc import Iterator
from dataclasses import fields
from pathlib import Path

from exporter.allocation.tenants import MOST_MODELS
from exporter.config import document, reading
from exporter.config.schema import Scrape, Tenants
from exporter.config.types import format_duration
from exporter.errors import Reason
from exporter.ledger.departures import KEPT_NS
from exporter.metering.labels import MAX_LENGTH
from exporter.metering.meter import MAX_SERIES
from exporter.metering.meters import MOST_REMEMBERED
from exporter.publish import connections, history, otlp_encoder, otlp_link, passwords, server
from exporter.sources import fetch, gpu_page
from exporter.sources.limits import LIMITS, Limits
from tests.docs import code, table

PAGE = Path(__file__).resolve().parents[1] / "SECURITY.md"
TABLE = re.compile(r"(<!-- table: limits -->\n).*?(<!-- end -->\n)", re.DOTALL)
FAILED = "the scrape fails: "


def _number(value: float) -> str:
    """2**20 and more as a power of two where it is one."""
    whole = int(value)
    power = whole.bit_length() - 1
    return f"2^{power}" if whole == 1 << power and whole >= 1 << 20 else f"{whole:,}"


def _failed(reason: Reason) -> str:
    return FAILED + code(reason.value)


def rows() -> Iterator[tuple[str, str, str]]:
    """(what, how much, what happens beyond)."""
    scrape = Scrape()
    yield "time for one scrape", f"`scrape.timeout`, {format_duration(scrape.timeout)}", _failed(Reason.TIMEOUT)
    body = f"`scrape.max_body_bytes`, {_number(scrape.max_body_bytes)}"
    yield "bytes of a body, received or decoded", body, _failed(Reason.TOO_LARGE)
    together = f"{fetch.TURNS} at once"
    yield f"bodies larger than {_number(fetch.LARGE)} bytes", together, "the others wait, within their time"
    yield "redirects, within the origin", str(fetch.REDIRECTS), _failed(Reason.REDIRECT)
    yield "bytes of a secret's file", _number(fetch.SECRET_BYTES), "the rest is not read"
    for one in fields(Limits):
        yield one.metadata["what"], _number(getattr(LIMITS, one.name)), _failed(one.metadata["reason"])
    yield "series of one process that are remembered", _number(MAX_SERIES), _failed(Reason.TOO_MANY_SERIES)
    yield "GPUs, instances and sharers on a page", _number(gpu_page.MOST_HOLDERS), _failed(Reason.TOO_MANY_SERIES)
    yield "tenants", f"`tenants.limit`, {_number(Tenants().limit)}", "counted as the tenant `_other`"
    yield "models", _number(MOST_MODELS), "counted as the model `_other`"
    yield "characters of a tenant's, model's or GPU's name", str(MAX_LENGTH), "cut, and told apart by a hash"
    yield "time that counters about a target outlive it", format_duration(KEPT_NS), "they are dropped"
    left = "a process older than those forgotten counts from its first page on"
    yield "targets that left and are remembered", _number(MOST_REMEMBERED), left
    yield "pools with a history of their own on the page", str(history.POOLS), "they are in the total"
    yield "bytes of the config file, and of web.yml", _number(reading.MAX_BYTES), "the config is refused"
    yield "depth of the config file", str(document.MAX_DEPTH), "the config is refused"
    room = "whoever has the most makes room for newcomers"
    yield "connections to the exporter", str(connections.MAX_CONNECTIONS), room
    yield "seconds to send a first request", f"{connections.HEADER_SECONDS:g}", "the connection is closed"
    yield "seconds to the next request", f"{connections.IDLE_SECONDS:g}", "the connection is closed"
    yield "seconds to take an answer", f"{server.ANSWER_SECONDS:g}", "the connection is closed"
    yield "bytes of a request's line, and of a header", _number(connections.MAX_LINE), "the request is refused"
    yield "headers of a request", str(connections.MAX_HEADERS), "the request is refused"
    yield "bytes of a request's body", _number(server.MAX_BODY), "the request is refused; none is read"
    yield "passwords under check or in line", str(passwords.MOST_WAITING), "the request is refused"
    yield "bytes of points in a push", _number(otlp_encoder.REQUEST_BYTES), "the rest goes in another request"
    yield "bytes of an answer to a push", _number(otlp_link.ANSWER_BYTES), "the push fails: `too_large`"
    yield "seconds that a receiver may ask to wait", f"{otlp_link.LONGEST_WAIT:g}", "it is asked again"


def with_table(text: str) -> str:
    """The page with its table made afresh."""
    made = table(("what", "limit", "beyond it"), rows())
    return TABLE.sub(lambda found: found[1] + made + found[2], text)


if __name__ == "__main__":
    PAGE.write_text(with_table(PAGE.read_text()))
