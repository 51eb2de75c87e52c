"""Fetches Debian's own `llama-server` and `kubectl` into `.cache/`, beside the system and not into it.

The packages are only in sid (kubectl: too old elsewhere), so they come through a private apt state (own lists, own
cache, sid as the only suite) from whatever mirror this machine's apt already uses, and are unpacked, never installed.
sid moves; what was unpacked once is kept and used without a network from then on.
"""

from __future__ import annotations

import re
import shutil
import subprocess
from collections.abc import Sequence
from dataclasses import dataclass
from pathlib import Path

CACHE = Path(__file__).resolve().parents[2] / ".cache" / "llama"
KUBECTL = CACHE.with_name("kubectl")
KEYRING = Path("/usr/share/keyrings/debian-archive-keyring.gpg")
PACKAGES = ["llama.cpp-tools", "libllama0", "libggml0", "libc6", "libgcc-s1", "libstdc++6", "libgomp1", "libssl3t64"]
DEADLINE = 120  # seconds for each apt command: a slow mirror, not a dead one


class PeerMissingError(Exception):
    """The peer program cannot be had on this machine; its text says why."""


@dataclass(frozen=True, slots=True)
class Llama:
    """Where the unpacked program stands. It runs on its own libc, so it has its own loader."""

    server: Path
    loader: Path
    libraries: Path

    @property
    def command(self) -> tuple[str, ...]:
        path = f"{self.libraries}:{self.libraries / 'llama'}"
        return str(self.loader), "--library-path", path, str(self.server)

    @property
    def working_folder(self) -> Path:
        """Without this as its working folder it finds no CPU backend."""
        return self.libraries / "ggml" / "backends0"


def ensure_llama(cache: Path = CACHE) -> Llama:
    """The unpacked `llama-server`, fetched when it is not there yet. Raises PeerMissingError."""
    return _locate(_unpacked(cache, PACKAGES))


def ensure_kubectl(cache: Path = KUBECTL) -> Path:
    """The unpacked `kubectl`, which needs no library, fetched when it is not there yet. Raises PeerMissingError."""
    program = _unpacked(cache, ["kubectl"]) / "usr/bin/kubectl"
    if not program.exists():
        raise PeerMissingError(f"sid's package is laid out differently now: no {program}")
    return program


def _unpacked(cache: Path, packages: Sequence[str]) -> Path:
    """The root into which these packages are unpacked."""
    root = cache / "root"
    if not root.exists():
        _fetch(cache, packages)
        unpacking = cache / "root.unpacking"
        shutil.rmtree(unpacking, ignore_errors=True)
        for package in sorted((cache / "debs").glob("*.deb")):
            _run(["dpkg-deb", "--extract", str(package), str(unpacking)])
        unpacking.rename(root)  # last: a broken-off attempt leaves no root behind
    return root


def _locate(root: Path) -> Llama:
    loaders = sorted(root.glob("usr/lib/*-linux-gnu/ld-linux-*.so.*"))
    server = root / "usr/bin/llama-server"
    if not loaders or not server.exists():
        raise PeerMissingError(f"sid's packages are laid out differently now: no llama-server in {root}")
    return Llama(server, loaders[0], loaders[0].parent)


def _fetch(cache: Path, packages: Sequence[str]) -> None:
    """Download them into `cache/debs`."""
    state, debs = cache / "apt", cache / "debs"
    for stale in (state, debs):
        shutil.rmtree(stale, ignore_errors=True)
    for folder in (state / "lists" / "partial", state / "cache" / "archives" / "partial", debs):
        folder.mkdir(parents=True)
    sources = state / "sources.list"
    sources.write_text(f"deb [signed-by={KEYRING}] {_mirror()} sid main\n")
    apt = [
        "apt-get",
        "--option=APT::Sandbox::User=root",  # the state is ours; there is no second user to drop to
        "--option=Acquire::Languages=none",
        "--option=Acquire::Retries=3",
        "--option=APT::Update::Error-Mode=any",  # else an unreachable mirror is only a warning
        f"--option=Dir::State::Lists={state / 'lists'}",
        f"--option=Dir::Etc::SourceList={sources}",
        "--option=Dir::Etc::SourceParts=-",
        "--option=Dir::Etc::Preferences=-",
        "--option=Dir::Etc::PreferencesParts=-",
        f"--option=Dir::Cache={state / 'cache'}",
    ]
    _run([*apt, "update"])
    _run([*apt, "download", *(f"{package}/sid" for package in packages)], folder=debs)  # whatever is installed
    shutil.rmtree(state)


def _mirror() -> str:
    """The Debian archive this machine's apt is set up with, whoever runs it."""
    for address, suite in re.findall(r"'(\S+?)/dists/([^/']+)/InRelease'", _run(["apt-get", "update", "--print-uris"])):
        if suite.isalnum():  # a release itself, not its -updates, -backports or -security
            return str(address)
    raise PeerMissingError("this machine's apt has no Debian archive among its sources")


def _run(command: Sequence[str], folder: Path | None = None) -> str:
    try:
        done = subprocess.run(command, cwd=folder, capture_output=True, text=True, timeout=DEADLINE, check=False)
    except FileNotFoundError:
        raise PeerMissingError(f"{command[0]} is not on this machine") from None
    except subprocess.TimeoutExpired:
        raise PeerMissingError(f"{command[0]} took longer than {DEADLINE} s") from None
    if done.returncode != 0:
        last = (done.stderr.strip().splitlines() or ["nothing said"])[-1]
        raise PeerMissingError(f"{command[0]} failed: {last}")
    return done.stdout
