"""The stub of NVIDIA's library, compiled once, loaded into this process, as good as new for every test."""

from __future__ import annotations

import shutil
import sys
from collections.abc import AsyncIterator, Iterator
from pathlib import Path

import pytest

from exporter.sources.nvml import Nvml
from tests.conftest import require_peer
from tests.nvml.stub import StubDriver, build, preload


@pytest.fixture(scope="session")
def library(tmp_path_factory: pytest.TempPathFactory) -> Path:
    """The stub, compiled."""
    require_peer(sys.platform == "linux", "NVML is on Linux only")
    require_peer(shutil.which("cc"), "a C compiler for the stub of NVML (Debian: apt-get install gcc libc6-dev)")
    return build(tmp_path_factory.mktemp("nvml"))


@pytest.fixture(scope="session")
def loaded(library: Path) -> Path:
    """Its state file, once it is in this process."""
    state = library.with_name("state")
    preload(library, state)
    return state


@pytest.fixture
def driver(library: Path, loaded: Path) -> Iterator[StubDriver]:
    driver = StubDriver(library, loaded)
    yield driver
    driver.heal()


@pytest.fixture
async def nvml(driver: StubDriver) -> AsyncIterator[Nvml]:
    nvml = Nvml(timeout=10)
    yield nvml
    driver.heal()
    await nvml.close()
    assert driver.gpm_samples == 0
