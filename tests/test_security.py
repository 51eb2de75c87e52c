"""SECURITY.md says what the program does: its limits are the constants, its reasons exist, its commands too."""

from __future__ import annotations

import re

from exporter.errors import Reason
from tests import security

TEXT = security.PAGE.read_text()


def test_its_limits_are_those_of_the_program() -> None:
    assert security.with_table(TEXT) == TEXT, "SECURITY.md is out of date: run `make docs`"
    assert TEXT.count("\n| series read on a page | 200,000 |") == 1


def test_its_reasons_exist() -> None:
    named = {reason for row in security.rows() for reason in re.findall(r"fails: `(\w+)`", row[2])}
    assert named <= {reason.value for reason in Reason}
    assert {Reason.TOO_LARGE, Reason.TOO_MANY_LINES, Reason.VALUE_TOO_LARGE} <= named
    assert "`forbidden`" in TEXT
    assert Reason.FORBIDDEN.value == "forbidden"


def test_the_make_targets_it_speaks_of_exist() -> None:
    makefile = (security.PAGE.parent / "Makefile").read_text()
    targets = set(re.findall(r"^([\w-]+):", makefile, re.MULTILINE))
    assert set(re.findall(r"`make (\w+)", TEXT)) == {"sbom", "fuzz", "soak"} <= targets
