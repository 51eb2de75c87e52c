"""Label text from outside: made safe once, short, printable, and still telling different names apart."""

import pytest
from hypothesis import given
from hypothesis import strategies as st

from exporter.metering.labels import MAX_LENGTH, safe
from exporter.metering.labels import given as stated


@given(st.text())
def test_safe_text_is_short_valid_and_printable(text: str) -> None:
    clean = safe(text)
    assert len(clean) <= MAX_LENGTH
    assert clean.encode() or not text
    assert not any(ord(char) < 32 or 127 <= ord(char) < 160 for char in clean)
    assert safe(clean) == clean


@given(st.text(min_size=MAX_LENGTH + 1, max_size=400), st.text(min_size=MAX_LENGTH + 1, max_size=400))
def test_long_names_that_differ_stay_different(one: str, other: str) -> None:
    assert (safe(one) == safe(other)) == (one == other)


def test_surrogates_do_not_get_through() -> None:
    assert safe("a\udcffb").encode() == "a\ufffdb".encode()


@pytest.mark.parametrize(
    ("value", "wanted"), [("", ""), ("None", ""), ("none", "none"), ("unknown", ""), ("acme", "acme")]
)
def test_what_servers_print_for_unset_is_empty(value: str, wanted: str) -> None:
    assert stated(value) == wanted
