"""Trailing sums: exact, bounded, and empty again when the window has passed."""

from hypothesis import given
from hypothesis import strategies as st

from exporter.metering.window import Window

SPAN = 600


@given(st.lists(st.tuples(st.integers(0, 50), st.sampled_from("abc"), st.integers(0, 10)), max_size=200))
def test_a_window_holds_what_happened_in_it_to_a_sixtieth_of_its_span(events: list[tuple[int, str, int]]) -> None:
    window: Window[str] = Window(SPAN)
    now, seen = 0, []
    for step, key, amount in events:
        now += step
        window.add(now, {key: amount})
        seen.append((now, key, amount))
    for key in "abc":
        least = sum(amount for at, name, amount in seen if name == key and at > now - SPAN + SPAN // 60)
        most = sum(amount for at, name, amount in seen if name == key and at > now - SPAN - SPAN // 60)
        assert least <= window.totals.get(key, 0) <= most


def test_nothing_is_left_when_the_window_has_passed() -> None:
    window: Window[str] = Window(SPAN)
    for now in range(0, 10_000, 7):
        window.add(now, {str(now): 1})
        assert len(window.totals) <= SPAN // 7 + 10
    window.add(10_000 + 2 * SPAN, {})
    assert window.totals == {}


def test_a_young_window_says_how_much_it_covers() -> None:
    window: Window[str] = Window(SPAN)
    assert window.covered_ns(5) == 0
    window.begin(100)
    window.begin(300)
    assert (window.covered_ns(250), window.covered_ns(5_000)) == (150, SPAN)
