"""What every folder of tests may use."""

from __future__ import annotations

import os

import pytest


def require_peer(condition: object, why: str) -> None:
    """Go on only if the real peer program is here: a skip on a developer's machine, a failure where CI=true.

    A skipped peer test proves nothing; CI installs every peer, so one that is missing there is a mistake.
    """
    if condition:
        return
    message = f"PEER MISSING, NOT TESTED: {why}"
    if os.environ.get("CI") == "true":
        pytest.fail(message, pytrace=False)
    pytest.skip(message)
