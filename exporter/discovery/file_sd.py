"""Files in Prometheus' file_sd format, read again when they change. A broken file keeps what it last said, and so does
one that the config names in full and that is not there."""

from __future__ import annotations

import asyncio
import os
import stat
from dataclasses import dataclass
from glob import glob, has_magic
from typing import Any

import orjson
import yaml

from exporter.discovery.found import MOST_ADDRESSES, MOST_BYTES, Address, Found, too_many
from exporter.discovery.groups import addresses
from exporter.errors import Reason, ScrapeError
from exporter.records import NS

INTERVAL = 2 * NS  # between two looks at the files' times: cheap, and sooner than anybody minds
MOST_FILES = 1000
DEEPEST = 10  # the format needs 4; the loader recurses, in C
# Every word is text to it, as a label's value is.
LOADER = getattr(yaml, "CBaseLoader", yaml.BaseLoader)

Stamp = tuple[int, int, int, int]


@dataclass(slots=True)
class _File:
    stamp: Stamp | None = None
    addresses: tuple[Address, ...] | None = None  # None: never read
    problem: ScrapeError | None = None


class Files:
    """The files of one source. `look` reads those that changed."""

    def __init__(self, patterns: tuple[str, ...]) -> None:
        self._patterns = patterns
        self._files: dict[str, _File] = {}

    async def look(self) -> Found:
        """What all of them say. A pattern that matches nothing says nothing: a file may come."""
        return await asyncio.to_thread(self._look)

    def _look(self) -> Found:
        paths = sorted({path for name in self._patterns for path in (glob(name) if has_magic(name) else [name])})
        if len(paths) > MOST_FILES:
            raise ScrapeError(Reason.FILE, f"more than {MOST_FILES} files")
        self._files = {path: self._files.get(path) or _File() for path in paths}
        for path, file in self._files.items():
            _refresh(path, file)
        files = self._files.values()
        if sum(len(file.addresses or ()) for file in files) > MOST_ADDRESSES:
            raise too_many()
        found = tuple(address for file in files for address in file.addresses or ())
        problem = next((file.problem for file in files if file.problem), None)
        return Found(found, problem, whole=all(file.addresses is not None for file in files))


def _refresh(path: str, file: _File) -> None:
    stamp = None
    try:
        with open(path, "rb", opener=_without_waiting) as opened:
            status = os.fstat(opened.fileno())
            stamp = (status.st_mtime_ns, status.st_ino, status.st_dev, status.st_size)
            if stamp == file.stamp:
                return
            # A pipe, and what else has no end, holds nothing that could be read again.
            body = opened.read(MOST_BYTES + 1) if stat.S_ISREG(status.st_mode) else b"not a file"
        file.addresses = parse(path, body)
        file.problem = None
    except OSError as error:
        file.problem = ScrapeError(Reason.FILE, f"{path}: {error.strerror or type(error).__name__}")
    except ScrapeError as error:
        file.problem = ScrapeError(error.reason, f"{path}: {error}")
    file.stamp = stamp  # None: to be tried again, since permissions change without a trace


def _without_waiting(path: str, flags: int) -> int:
    """A pipe without a writer would hold the thread for ever."""
    return os.open(path, flags | os.O_NONBLOCK)


def parse(path: str, body: bytes) -> tuple[Address, ...]:
    """The targets of one file: JSON where its name says so, else YAML. ScrapeError when it cannot be read."""
    if len(body) > MOST_BYTES:
        raise ScrapeError(Reason.TOO_LARGE, f"larger than {MOST_BYTES} bytes")
    try:
        data = orjson.loads(body) if path.endswith(".json") else _yaml(body)
    except (orjson.JSONDecodeError, yaml.YAMLError, ValueError, RecursionError) as error:
        kind = "JSON" if path.endswith(".json") else "YAML"
        raise ScrapeError(Reason.INVALID, f"not {kind}, or only a part of it") from error
    return addresses([] if data in (None, "") else data)


def _yaml(body: bytes) -> Any:
    depth = 0
    for event in yaml.parse(body, Loader=LOADER):
        depth += isinstance(event, yaml.CollectionStartEvent) - isinstance(event, yaml.CollectionEndEvent)
        if depth > DEEPEST:
            raise ValueError
    return yaml.load(body, Loader=LOADER)  # noqa: S506 - as safe: every value is text
