"""Every error this program raises on purpose.

TokencostError
├── ConfigError      the config file is wrong; carries every problem found, not the first
├── ScrapeError      one target could not be read; carries the reason that becomes a label
├── LedgerError      the ledger could not be opened, read or written
└── StartError       the process cannot start (port taken, file unreadable)
"""

from __future__ import annotations

from dataclasses import dataclass
from enum import StrEnum


class TokencostError(Exception):
    """Base of all errors below; its text is written for the person who must act."""


@dataclass(frozen=True, slots=True)
class Problem:
    """One mistake in a config file: where it is, what is wrong, what would be right."""

    file: str
    key: str  # path such as pools[1].gpus.count; empty for the file as a whole
    wrong: str
    fix: str

    def __str__(self) -> str:
        where = f"{self.file}: {self.key}" if self.key else self.file
        return f"{where}: {self.wrong}; {self.fix}"


class ConfigError(TokencostError):
    """The config was refused. `problems` is never empty."""

    def __init__(self, problems: tuple[Problem, ...]) -> None:
        super().__init__("\n".join(str(problem) for problem in problems))
        self.problems = problems


class Reason(StrEnum):
    """Why a scrape failed, or a look at a source of targets: the closed set of values of the `reason` label."""

    TIMEOUT = "timeout"  # no complete answer within scrape.timeout
    CONNECT = "connect"  # refused, unreachable, name not found, closed early
    FORBIDDEN = "forbidden"  # the name leads to a link-local address or to a metadata service
    TLS = "tls"  # certificate or handshake
    CREDENTIALS = "credentials"  # a password or token file cannot be read
    STATUS = "status"  # an HTTP status other than 200
    REDIRECT = "redirect"  # to another origin, or too many
    ENCODING = "encoding"  # neither identity nor gzip, or broken gzip
    TOO_LARGE = "too_large"  # body, encoded or decoded, above scrape.max_body_bytes
    EMPTY = "empty"  # no sample at all, or no GPU
    TRUNCATED = "truncated"  # the last line has no end, or the body stopped early
    INVALID = "invalid"  # not the exposition format, or a series twice
    TOO_MANY_LINES = "too_many_lines"  # this and the next seven: sources/limits.py
    LINE_TOO_LONG = "line_too_long"
    TOO_MANY_SERIES = "too_many_series"
    TOO_MANY_LABELS = "too_many_labels"
    LABEL_NAME_TOO_LONG = "label_name_too_long"
    LABEL_VALUE_TOO_LONG = "label_value_too_long"
    VALUE_TOO_LARGE = "value_too_large"
    TOO_MANY_SERIES_IN_ALL = "too_many_series_in_all"  # of all targets, and this one has more than an equal share
    UNKNOWN_ENGINE = "unknown_engine"  # engine: auto does not know the page
    MISSING_SERIES = "missing_series"  # the engine's own counters are not on the page
    SEVERAL_PROCESSES = "several_processes"  # the address answers for more than one process in turn
    NO_LIBRARY = "no_library"  # libnvidia-ml.so.1 cannot be loaded
    NO_DRIVER = "no_driver"  # the NVIDIA kernel driver is not loaded, or its devices are not here
    PERMISSION = "permission"  # the NVIDIA driver refuses this user
    DRIVER = "driver"  # any other failure of the NVIDIA driver: every GPU lost, library and driver of two versions
    FILE = "file"  # of discovery: it cannot be read
    DNS = "dns"  # of discovery: no resolver answers, or with a failure
    TOO_MANY_TARGETS = "too_many_targets"  # of discovery: more than one source may list
    REFUSED = "refused"  # of discovery: a target that is no address, or one that is never read
    DUPLICATE = "duplicate"  # of discovery: a target that somebody else has already
    INTERNAL = "internal"  # a bug of ours; logged with a traceback


class ScrapeError(TokencostError):
    """One target could not be read this time. Nothing about it changes but its failure count."""

    def __init__(self, reason: Reason, detail: str) -> None:
        super().__init__(detail)
        self.reason = reason


class LedgerError(TokencostError):
    """The ledger could not be opened, read or written."""


class StartError(TokencostError):
    """The process cannot start."""
