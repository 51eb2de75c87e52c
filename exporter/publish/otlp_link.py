"""The way to one receiver of OTLP over HTTP: what is sent, and what became of it."""

from __future__ import annotations

import re
from collections.abc import Iterator
from dataclasses import dataclass
from datetime import UTC
from email.utils import parsedate_to_datetime
from pathlib import Path
from typing import TYPE_CHECKING

from isal import isal_zlib

from exporter.config.schema import Otlp
from exporter.errors import Reason, ScrapeError
from exporter.ledger.changes import Saved
from exporter.publish.view import View
from exporter.records import NS
from exporter.sources.fetch import GZIP, Fetcher
from exporter.sources.target import Target, receiver

if TYPE_CHECKING:
    from exporter.publish.otlp_encoder import Encoder

HEADERS = {
    "Accept": "application/x-protobuf",
    "Content-Encoding": "gzip",
    "Content-Type": "application/x-protobuf",
}
RESERVED = {"accept", "connection", "content-encoding", "content-length", "content-type", "host", "transfer-encoding"}
HEADER = re.compile(r"([\w!#$%&'*+.^`|~-]+):[ \t]*([!-~][ -~]*)", re.ASCII)
HEADERS_BYTES = ANSWER_BYTES = 65_536
# What may go well a moment later: OTLP/HTTP names these statuses, and no others.
PASSING_STATUSES = frozenset({429, 502, 503, 504})
PASSING_REASONS = frozenset({Reason.TIMEOUT, Reason.CONNECT, Reason.TRUNCATED})
OF_ONE_REQUEST = frozenset({400, 413})  # what is wrong with this request need not be with the others
LONGEST_WAIT = 900.0  # seconds: no receiver silences us for longer


@dataclass(frozen=True, slots=True)
class Failure:
    """Why a request was not taken. `detail` is for a person, and holds nothing that the receiver said."""

    reason: str
    detail: str
    passing: bool = False  # the same may go well later
    alone: bool = False  # the other requests of the push are not concerned
    wait: float = 0.0  # seconds that the receiver asks for


class Link:
    """Makes the requests and sends them, one at a time."""

    def __init__(self, settings: Otlp, ledger: Saved, fetcher: Fetcher) -> None:
        self._settings = settings
        self._ledger = ledger.ledger_id, ledger.began
        self._fetcher = fetcher
        self._target = receiver(settings, ANSWER_BYTES)
        self._encoder: Encoder | None = None

    def bodies(self, view: View) -> Iterator[bytes]:
        """All that the view says, squeezed. Ask for each in a worker thread: it takes milliseconds, the first more."""
        if self._encoder is None:
            from exporter.publish.otlp_encoder import Encoder  # noqa: PLC0415 - 20 ms and 4 MB that few need; an extra

            self._encoder = Encoder(self._settings.resource, *self._ledger)
        for request in self._encoder.requests(view):
            stream = isal_zlib.compressobj(1, wbits=GZIP)
            yield stream.compress(request) + stream.flush()

    def headers(self) -> dict[str, str]:
        """What goes with each request, the config's headers_file too: read at every push, since secrets are rotated.

        ScrapeError where the file is not as it should be. Blocks on it.
        """
        path = self._settings.headers_file
        return HEADERS | (_read(self._target, Path(path)) if path else {})

    async def send(self, body: bytes, headers: dict[str, str], wall_ns: int) -> Failure | None:
        """One attempt to deliver one request."""
        try:
            answer = await self._fetcher.post(self._target, body, headers)
        except ScrapeError as error:
            return Failure(error.reason.value, str(error), passing=error.reason in PASSING_REASONS)
        name, status = self._target.name, answer.status
        if not 200 <= status < 300:
            passing, alone = status in PASSING_STATUSES, status in OF_ONE_REQUEST
            what = f"{name}: HTTP status {status}{', and redirects are not followed' if 300 <= status < 400 else ''}"
            wait = seconds(answer.retry_after, wall_ns) if passing else 0.0
            return Failure(Reason.STATUS.value, what, passing, alone, wait)
        if self._encoder and (points := self._encoder.rejected(answer.body)):
            return Failure("rejected", f"{name}: {points} data points were rejected", alone=True)
        return None


def seconds(retry_after: str, wall_ns: int) -> float:
    """What a Retry-After header asks for (RFC 9110, section 10.2.3), up to LONGEST_WAIT; 0 for nothing or nonsense."""
    if re.fullmatch(r"[0-9]{1,9}", retry_after, re.ASCII):
        return min(float(retry_after), LONGEST_WAIT)
    try:
        date = parsedate_to_datetime(retry_after)
        wait = (date if date.tzinfo else date.replace(tzinfo=UTC)).timestamp() - wall_ns / NS
    except (ValueError, OverflowError):
        return 0.0
    return max(0.0, min(wait, LONGEST_WAIT))


def _read(target: Target, path: Path) -> dict[str, str]:
    """The headers of a file of `Name: value` lines. All of it is secret: no error shows any."""
    try:
        with path.open("rb") as file:
            lines = file.read(HEADERS_BYTES).decode().splitlines()
    except (OSError, UnicodeError) as error:
        what = (isinstance(error, OSError) and error.strerror) or "it is not text"
        raise ScrapeError(Reason.CREDENTIALS, f"{target.name}: cannot read {path}: {what}") from None
    found: dict[str, str] = {}
    taken = RESERVED | ({"authorization"} if target.auth else set())
    for number, line in enumerate(lines, 1):
        header = HEADER.fullmatch(line.rstrip())
        if header and header[1].lower() not in taken:
            found[header[1]] = header[2]
            taken.add(header[1].lower())
        elif line.strip():
            what = "is not `Name: value` with a name that is free"
            raise ScrapeError(Reason.CREDENTIALS, f"{target.name}: line {number} of {path} {what}")
    return found
