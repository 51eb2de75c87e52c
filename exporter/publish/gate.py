"""Who may come in, and under which certificate: web.yml as it stands on the disk now.

The file and those it names are looked at for every connection and every request, which costs a stat each, and read
again when one of them changed: renewed certificates and changed users need no restart. What cannot be read leaves the
old rules at work and is said once; so does a certificate that is out of date, while the old one is not.
"""

from __future__ import annotations

import asyncio
import logging
import math
import ssl
import time
from collections.abc import Mapping
from dataclasses import dataclass, field
from pathlib import Path

from exporter.config.web import RateLimit, WebConfig, load_web
from exporter.errors import ConfigError, Problem
from exporter.publish import tls

log = logging.getLogger(__name__)

Stamps = dict[Path, tuple[int, ...]]


@dataclass(frozen=True, slots=True)
class Rules:
    """What web.yml says. The defaults are those without one: anybody, in plain text."""

    context: ssl.SSLContext | None = None
    valid_until: float = math.inf  # the certificate, in Unix seconds
    names: frozenset[str] = frozenset()  # one of which a client's certificate must have; empty: any
    users: Mapping[str, str] = field(default_factory=dict, repr=False)  # name -> bcrypt hash; empty: no passwords
    headers: Mapping[str, str] = field(default_factory=dict)
    rate: RateLimit | None = None


class Gate:
    """The rules of a file, or of none. Where the file will not do at the start: ConfigError. Blocks then on files."""

    def __init__(self, file: Path | None = None) -> None:
        self._file = file
        self._rules = Rules()
        self._stamps: Stamps = {}  # of the file and those it names, from before they were read
        self._reading = asyncio.Lock()
        if file:
            self._rules = read(file, self._stamps)
            if not _valid(self._rules):
                log.warning("clients will refuse the certificate", extra={"problem": _out_of_date(file)})

    @property
    def latest(self) -> Rules:
        """The rules as last read."""
        return self._rules

    @property
    def scheme(self) -> str:
        """http or https: it does not change while running."""
        return "https" if self._rules.context else "http"

    async def rules(self) -> Rules:
        """The rules as they are now."""
        if self._file and self._changed():
            async with self._reading:
                if self._changed():
                    await self._read_again(self._file)
        return self._rules

    def _changed(self) -> bool:
        return any(stamp_of(path) != stamp for path, stamp in self._stamps.items())

    async def _read_again(self, file: Path) -> None:
        seen: Stamps = {}
        try:
            rules = await asyncio.to_thread(read, file, seen)
        except ConfigError as error:
            problems = error.problems
        else:
            problems = self._against(rules, file)
        self._stamps = seen
        if not problems:
            self._rules = rules
            log.info("web config read again", extra={"file": str(file)})
        for problem in problems:
            log.warning("web config not read again, the old one still holds", extra={"problem": problem})

    def _against(self, rules: Rules, file: Path) -> tuple[Problem, ...]:
        """Why the old rules are better."""
        if bool(rules.context) != bool(self._rules.context):
            return (_switched(file),)
        return (_out_of_date(file),) if _valid(self._rules) and not _valid(rules) else ()


def read(file: Path, stamps: Stamps) -> Rules:
    """The rules of the file. `stamps` comes to hold what to watch, also where it ends in a ConfigError."""
    stamps[file] = stamp_of(file)
    config = load_web(file)
    stamps |= {Path(name): stamp_of(Path(name)) for name in names_in(config)}
    part = config.tls_server_config
    return Rules(
        tls.context(part, file) if part else None,
        tls.valid_until(part) if part else math.inf,
        frozenset(part.client_allowed_sans or ()) if part else frozenset(),
        config.basic_auth_users,
        config.http_server_config.headers.model_dump(by_alias=True, exclude_none=True),
        config.rate_limit,
    )


def names_in(config: WebConfig) -> list[str]:
    """The files that a web config names."""
    part = config.tls_server_config
    return [name for name in (part.cert_file, part.key_file, part.client_ca_file) if name] if part else []


def stamp_of(path: Path) -> tuple[int, ...]:
    """What changes when the file does; () where there is none."""
    try:
        found = path.stat()
    except OSError:
        return ()
    return found.st_mtime_ns, found.st_ctime_ns, found.st_size, found.st_ino


def _valid(rules: Rules) -> bool:
    return time.time() < rules.valid_until


def _out_of_date(file: Path) -> Problem:
    wrong = "the certificate has expired, or is not valid yet"
    return Problem(str(file), "tls_server_config.cert_file", wrong, "renew it; a renewed one needs no restart")


def _switched(file: Path) -> Problem:
    return Problem(str(file), "tls_server_config", "TLS is not turned on or off while running", "restart for that")


class Bucket:
    """rate_limit: one request per interval, `burst` at once after a pause. Times are monotonic nanoseconds."""

    def __init__(self) -> None:
        self._limit: RateLimit | None = None
        self._full_at = 0  # when it will be full again

    def take(self, limit: RateLimit | None, now: int) -> bool:
        """Whether one more request fits. Another limit than the last time starts with a full bucket."""
        if limit != self._limit:
            self._limit, self._full_at = limit, now
        if limit is None:
            return True
        full_at = max(self._full_at, now) + limit.interval
        if full_at - now > limit.burst * limit.interval:
            return False
        self._full_at = full_at
        return True
