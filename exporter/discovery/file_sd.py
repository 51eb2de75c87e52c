"""Files in Prometheus' file_sd format, read again when they change. A broken file keeps what it last said."""

from __future__ import annotations

import asyncio
import os
from collections.abc import Iterator
from dataclasses import dataclass
from glob import glob

import orjson
import yaml

from exporter.discovery.found import MOST_ADDRESSES, MOST_BYTES, Address, Found, too_many
from exporter.discovery.groups import addresses
from exporter.errors import Reason, ScrapeError
from exporter.records import NS

INTERVAL = 2 * NS  # between two looks at the files' times: cheap, and sooner than anybody minds
MOST_FILES = 1000
# Every word is text to it, as a label's value is.
LOADER = getattr(yaml, "CBaseLoader", yaml.BaseLoader)

Stamp = tuple[int, int, int, int]


@dataclass(slots=True)
class _File:
    stamp: Stamp | None = None
    addresses: tuple[Address, ...] = ()
    problem: ScrapeError | None = None


class Files:
    """The files of one source. `look` reads those that changed."""

    def __init__(self, patterns: tuple[str, ...]) -> None:
        self._patterns = patterns
        self._files: dict[str, _File] = {}

    async def look(self) -> Found:
        """What all of them say. A pattern that matches nothing says nothing: the file may come."""
        return await asyncio.to_thread(self._look)

    def _look(self) -> Found:
        paths = sorted({path for pattern in self._patterns for path in glob(pattern)})
        if len(paths) > MOST_FILES:
            raise ScrapeError(Reason.FILE, f"more than {MOST_FILES} files")
        self._files = {path: self._files.get(path) or _File() for path in paths}
        for path, file in self._files.items():
            _refresh(path, file)
        found = tuple(address for file in self._files.values() for address in file.addresses)
        if len(found) > MOST_ADDRESSES:
            raise too_many()
        return Found(found, next(self._problems(), None))

    def _problems(self) -> Iterator[ScrapeError]:
        return (file.problem for file in self._files.values() if file.problem)


def _refresh(path: str, file: _File) -> None:
    try:
        with open(path, "rb") as opened:
            stat = os.fstat(opened.fileno())
            stamp = (stat.st_mtime_ns, stat.st_ino, stat.st_dev, stat.st_size)
            if stamp == file.stamp:
                return
            body = opened.read(MOST_BYTES + 1)
        file.addresses = parse(path, body)
        file.problem = None
    except OSError as error:
        stamp = None  # to be tried again: permissions change without a trace
        file.problem = ScrapeError(Reason.FILE, f"{path}: {error.strerror or type(error).__name__}")
    except ScrapeError as error:
        file.problem = ScrapeError(error.reason, f"{path}: {error}")
    file.stamp = stamp


def parse(path: str, body: bytes) -> tuple[Address, ...]:
    """The targets of one file: JSON where its name says so, else YAML. ScrapeError when it cannot be read."""
    if len(body) > MOST_BYTES:
        raise ScrapeError(Reason.TOO_LARGE, f"larger than {MOST_BYTES} bytes")
    try:
        data = orjson.loads(body) if path.endswith(".json") else yaml.load(body, Loader=LOADER)  # noqa: S506 - as safe
    except (orjson.JSONDecodeError, yaml.YAMLError, ValueError, RecursionError) as error:
        kind = "JSON" if path.endswith(".json") else "YAML"
        raise ScrapeError(Reason.INVALID, f"not {kind}, or only a part of it") from error
    return addresses([] if data in (None, "") else data)
