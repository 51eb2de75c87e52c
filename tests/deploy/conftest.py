"""What tests of the manifests need."""

from __future__ import annotations

import pytest

from tests.conftest import require_peer
from tests.deploy import manifests
from tests.peers.install import PeerMissingError


@pytest.fixture
def kubectl() -> None:
    """Where kubectl knows components."""
    why = ""
    try:
        manifests.kubectl()
    except PeerMissingError as error:
        why = str(error)
    require_peer(not why, f"kubectl 1.27 or newer: {why}")
