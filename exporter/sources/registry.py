"""Every engine by the name the config knows it by, and which of them a page is from."""

from __future__ import annotations

import re
from itertools import islice

from exporter.errors import Reason, ScrapeError
from exporter.sources.engine import Engine
from exporter.sources.llamacpp import LLAMACPP
from exporter.sources.sglang import SGLANG
from exporter.sources.vllm import VLLM

ENGINES: dict[str, Engine] = {engine.name: engine for engine in (VLLM, SGLANG, LLAMACPP)}

NAME = re.compile(rb"^[ \t]*([a-zA-Z_:][a-zA-Z0-9_:]*)", re.MULTILINE)


def detect(body: bytes) -> Engine:
    """The engine whose mark starts a sample line of the page; text in comments is no mark.

    Raises ScrapeError (unknown_engine) that names the first metrics seen.
    """
    for engine in ENGINES.values():
        marks = b"|".join(re.escape(mark.encode()) for mark in engine.marks)
        if re.search(rb"^[ \t]*(?:%s)[{ \t]" % marks, body, re.MULTILINE):
            return engine
    seen = list(dict.fromkeys(match[1].decode() for match in islice(NAME.finditer(body), 1000)))[:5]
    known, names = ", ".join(ENGINES), ", ".join(seen) or "none"
    what = f"the page is of no known engine ({known}); its first metrics: {names}; set `engine` of the pool"
    raise ScrapeError(Reason.UNKNOWN_ENGINE, what)
