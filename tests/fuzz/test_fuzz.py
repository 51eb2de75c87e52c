"""Whatever the bytes, what targets.py says holds. Bounded here; `make fuzz` tries a great many more."""

from __future__ import annotations

from collections.abc import Callable
from pathlib import Path

import pytest
from hypothesis import given
from hypothesis import strategies as st

from tests.fuzz.mutations import LARGEST, bounded, mutated
from tests.fuzz.targets import TARGETS
from tests.sources.pages import of_gpus

HERE = Path(__file__).parent.parent


def _whole_lines(page: bytes) -> bytes:
    return page if len(page) <= LARGEST else page[: page.rindex(b"\n", 0, LARGEST) + 1]


PAGES = {path.stem: _whole_lines(path.read_bytes()) for path in sorted((HERE / "pages").glob("*.prom"))}
ENGINES = [page for name, page in PAGES.items() if not of_gpus(name)]
GPUS = [page for name, page in PAGES.items() if of_gpus(name)]
CONFIGS = [path.read_bytes() for path in sorted((HERE / "config" / "good").glob("*.yml"))]
URLS = [
    b"http://127.0.0.1:8000/metrics", b"https://llm.example:443/m?token=x", b"http://[::1]:9/metrics", b"http://a_b.c/m",
    b"http://[fe80::1%25eth0]/m", b"http://169.254.169.254/latest", b"http://0xa9fea9fe/m", b"http://2852039166/m",
]  # fmt: skip
ACCEPTS = [
    b"application/openmetrics-text;version=1.0.0;q=0.5,text/plain;version=0.0.4;q=0.3,*/*;q=0.1", b"gzip, deflate, br",
    b"Sun, 22 Nov 2026 12:00:00 GMT", b"120",
]  # fmt: skip
NUMBERS = [
    b" 1\n", b" 0\n", b" -1\n", b" NaN\n", b" +Inf\n", b" 1e305\n", b" 9007199254740991\n", b" 5e-324\n", b" 1e15\n",
]  # fmt: skip
IN_PAGES = [
    *NUMBERS, b"# EOF\n", b"# HELP g x\n", b"# TYPE g counter\n", b"\n\n", b"\r", b"\0", b"\xff\xfe", b'{"', b'"}',
    b'="', b"\\", b'\\"', b"\\n", b",", b"{}", b" # {", b" 1700000000000\n", b"g 1\n", b"g{",
    b"vllm:prompt_tokens_total",
    b'model_name="m"', b"process_start_time_seconds 1.7e9\n", b"_created", b"_bucket", b'le="+Inf"', "\u202e".encode(),
]  # fmt: skip
IN_CONFIGS = [
    *(bytes([char]) for char in b"{}[]:,-?&*!|>'\"%@`# \n\t"), b"<<: ", b"---\n", b"&a ", b"*a", b"!!python/object ",
    b"~", b"no", b"1e999", b".nan", b"0x10", b"1_000", b"\xef\xbb\xbf", b"\x85", "\u2028".encode(), b"pools", b"[" * 40,
]  # fmt: skip
IN_URLS = [
    b"@", b":", b"//", b"/", b"?", b"#", b"[", b"]", b"%25", b"%2e", b"\\", b" ", b"\t", b"..", b".",
    b"169.254.169.254", b"0251.0376.0251.0376", b"[::ffff:a9fe:a9fe]", b"localhost",
    "\uff11\uff16\uff19".encode(), "\u3002".encode(),
    b"http:", b"metadata.google.internal", b"METADATA", b"\0", b"xn--", "\xdf".encode(), b"65536", b"user:pass",
]  # fmt: skip
IN_HEADERS = [b",", b";", b"q=", b"=", b"*", b"0", b"1e9", b"nan", b"-1", b"gzip", b"version=", b"\xff", b"GMT", b" "]
INPUT = {
    "scan": mutated(ENGINES, IN_PAGES), "books": mutated(ENGINES, IN_PAGES), "gpus": mutated(GPUS, IN_PAGES),
    "config": mutated(CONFIGS, IN_CONFIGS), "address": mutated(URLS, IN_URLS), "headers": mutated(ACCEPTS, IN_HEADERS),
}  # fmt: skip


@pytest.mark.parametrize("name", TARGETS)
def test_it_holds_of_any_bytes(name: str) -> None:
    target: Callable[[bytes], None] = TARGETS[name]

    @bounded
    @given(INPUT[name] | st.binary(max_size=100))
    def holds(body: bytes) -> None:
        target(body)

    holds()


@pytest.mark.parametrize("name", ["scan", "books", "gpus"])
def test_it_holds_of_every_page_as_it_was_recorded(name: str) -> None:
    for page in PAGES.values():
        TARGETS[name](page)
