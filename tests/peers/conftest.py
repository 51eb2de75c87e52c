"""The real programs, fetched once for the whole run."""

from __future__ import annotations

from pathlib import Path

import pytest

from tests.conftest import require_peer
from tests.peers.install import Llama, PeerMissingError, ensure_llama
from tests.peers.litellm import ensure_litellm
from tests.peers.model import make_gguf


@pytest.fixture(scope="session")
def llama() -> Llama:
    """The real llama-server; the test is skipped, loudly, where it cannot be had."""
    try:
        return ensure_llama()
    except PeerMissingError as missing:
        require_peer(False, f"llama-server: {missing}")
        raise


@pytest.fixture(scope="session")
def litellm() -> Path:
    """The Python of the real LiteLLM proxy; the test is skipped, loudly, where it cannot be had."""
    try:
        return ensure_litellm()
    except PeerMissingError as missing:
        require_peer(False, f"LiteLLM: {missing}")
        raise


@pytest.fixture(scope="session")
def tiny_model(tmp_path_factory: pytest.TempPathFactory) -> Path:
    return make_gguf(tmp_path_factory.mktemp("model") / "tiny.gguf")
