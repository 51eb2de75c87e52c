"""The image. There is no engine here to build it with: its file is read, and the commands that install are run."""

from __future__ import annotations

import json
import os
import re
import shutil
import subprocess
import sys
from collections.abc import Callable
from pathlib import Path

import pytest

from exporter import __version__
from exporter.cli import _parser
from tests.deploy.dockerfile import FILE, Instruction, context, stages
from tests.deploy.manifests import KUBERNETES, ROOT
from tests.peers.process import program
from tests.process.exporter import config, exporter, pool

BEFORE, BUILD, FINAL = stages()
EVERY = [*BEFORE, *BUILD, *FINAL]
EXEC_FORM = {"ENTRYPOINT", "CMD", "VOLUME"}
OCI = {"title", "description", "licenses", "version", "revision"}


def rests(word: str, of: list[Instruction] = EVERY) -> list[str]:
    return [instruction.rest for instruction in of if instruction.word == word]


def one(word: str) -> str:
    (rest,) = rests(word, FINAL)
    return rest


RULES: dict[str, Callable[[], object]] = {
    "one base, an exact tag by its digest": lambda: (
        [
            re.fullmatch(r"BASE=[\w./-]+:\d+\.\d+\.\d+-slim-\w+@sha256:[0-9a-f]{64}", arg) is not None
            for arg in rests("ARG", BEFORE)
        ]
        == [True]
    ),
    "every stage is that base": lambda: all(rest.split()[0] == "${BASE}" for rest in rests("FROM")),
    "nothing is called latest": lambda: "latest" not in FILE.read_text(),
    "nothing is fetched but by pip": lambda: (
        not rests("ADD") and not re.search(r"\b(curl|wget|git|apt|apt-get)\b", " ".join(rests("RUN")))
    ),
    "pip installs what is locked, or what was built here": lambda: all(
        "--require-hashes" in command or "--no-index" in command
        for run in rests("RUN")
        for command in run.split("&&")
        if re.search(r"\bpip\b.* install ", command)
    ),
    "no tools of the build in the end": lambda: (
        all("pip" not in run for run in rests("RUN", FINAL))
        and [COPY.flags["from"] for COPY in FINAL if COPY.word == "COPY"] == ["build"]
    ),
    "files have an owner that is not the user": lambda: all(
        COPY.flags["chown"] == "0:0" for COPY in FINAL if COPY.word == "COPY"
    ),
    "not root, by number": lambda: re.fullmatch(r"[1-9]\d+:[1-9]\d+", one("USER")),
    "nothing is run as root after that": lambda: (
        [instruction.word for instruction in FINAL if instruction.word in {"RUN", "USER"}][-1] == "USER"
    ),
    "no shell between the signal and the program": lambda: all(
        isinstance(json.loads(rest), list) for word in EXEC_FORM for rest in rests(word)
    ),
    "a healthcheck without curl": lambda: json.loads(one("HEALTHCHECK").partition("CMD ")[2])[0].endswith(
        "/bin/python"
    ),
    "what it is, in the OCI's words": lambda: (
        set(re.findall(r"org\.opencontainers\.image\.(\w+)=", one("LABEL"))) == OCI
    ),
    "no secrets": lambda: not re.search(r"(?i)password|secret|api_?key", " ".join(rests("ARG") + rests("ENV"))),
}


@pytest.mark.parametrize("rule", RULES)
def test_rule(rule: str) -> None:
    assert RULES[rule](), rule


def test_its_user_is_the_one_that_kubernetes_names() -> None:
    text = (KUBERNETES / "base" / "deployment.yaml").read_text()
    user, group = one("USER").split(":")
    assert f"runAsUser: {user}\n" in text
    assert f"runAsGroup: {group}\n" in text
    assert f"--owner={user} --group={group}" in one("RUN")


def test_the_flags_it_starts_with_are_flags_of_the_program() -> None:
    args = _parser().parse_args(json.loads(one("CMD")))
    assert args.storage_path.rpartition("/")[0] in json.loads(one("VOLUME"))
    assert one("EXPOSE") == "9742"


def test_the_context_is_the_program_and_what_installs_it() -> None:
    files = set(context())
    assert {path.parts[0] for path in files} == {
        "LICENSE", "README.md", "deploy", "exporter", "pyproject.toml", "requirements-build.lock", "requirements.lock",
    }  # fmt: skip
    assert {path.name for path in files if path.parts[0] == "deploy"} == {"healthcheck.py", "sbom.py"}
    assert not [path for path in files if path.suffix == ".pyc"]


@pytest.fixture(scope="module")
def image(tmp_path_factory: pytest.TempPathFactory) -> Path:
    """What the image gets of the stage `build`, made in a folder: the context copied as it says, its RUNs run."""
    root = tmp_path_factory.mktemp("image")
    work = root / "src"
    work.mkdir()
    sent = set(context())
    (paths,) = (re.findall(r"(BUILD|PREFIX)=(\S+)", rest) for rest in rests("ENV", BUILD))
    folders = {name: str(root / path.strip("/")) for name, path in paths}
    Path(folders["PREFIX"]).parent.mkdir(parents=True)
    # Python is the one of the tests; nothing of its environment is seen.
    environment = {name: value for name, value in os.environ.items() if not name.startswith("PYTHON")}
    environment |= folders | {
        "PATH": f"{Path(sys.executable).parent}:{os.environ['PATH']}",
        "PIP_ROOT_USER_ACTION": "ignore",
    }
    for instruction in BUILD:
        if instruction.word == "COPY":
            copy(instruction, sent, work)
        elif instruction.word == "RUN":
            done = subprocess.run(
                ["sh", "-c", instruction.rest],
                cwd=work,
                env=environment,
                capture_output=True,
                text=True,
                check=False,
                timeout=300,
            )
            assert done.returncode == 0, done.stdout + done.stderr
    return Path(folders["PREFIX"])


def copy(instruction: Instruction, sent: set[Path], work: Path) -> None:
    sources, target = instruction.paths
    for source in sources:
        files = [path for path in sent if path.is_relative_to(source)]
        assert files, f"COPY {source}: .dockerignore leaves none of it"
        for path in files:
            to = work / target / (path.relative_to(source) if path != Path(source) else path.name)
            to.parent.mkdir(parents=True, exist_ok=True)
            shutil.copy(ROOT / path, to)


def run(image: Path, *command: str) -> str:
    """Run a program of the image, away from the checkout; what it prints."""
    path, *arguments = command
    done = subprocess.run(
        [image / path, *arguments], cwd=image.parent, env={}, capture_output=True, text=True, check=False, timeout=60
    )
    assert (done.returncode, done.stderr) == (0, "")
    return done.stdout


def test_the_installed_program_runs(image: Path) -> None:
    assert run(image, "bin/tokencost-exporter", "--version").startswith(f"tokencost-exporter {__version__} ")
    assert "simulated fleet" in run(image, "bin/tokencost-exporter", "demo", "--help")
    config = KUBERNETES / "base" / "tokencost.yml"
    assert "is valid" in run(image, "bin/tokencost-exporter", f"--config.file={config}", "--config.check")


def test_what_is_installed_is_what_the_bill_of_materials_says(image: Path) -> None:
    listing = (
        "from importlib.metadata import distributions as d; print(*(f'{x.name.lower()}@{x.version}' for x in d()))"
    )
    installed = {name.replace("_", "-") for name in run(image, "bin/python", "-I", "-c", listing).split()}
    bom = json.loads((image / "sbom.cdx.json").read_text())
    listed = {
        component["purl"].removeprefix("pkg:pypi/") for component in [*bom["components"], bom["metadata"]["component"]]
    }
    assert installed == listed


def test_it_holds_no_pip_and_no_link_to_where_it_was_built(image: Path) -> None:
    assert not list((image / "bin").glob("pip*"))
    made = (image / "bin" / "tokencost-exporter").read_text()
    assert made.startswith(f"#!{image}/bin/python")


async def test_the_healthcheck_tells_alive_from_dead(image: Path, tmp_path: Path) -> None:
    command = [str(image / "bin" / "python"), str(image / "healthcheck.py")]

    async def exit_code(url: str) -> int:
        async with program(command, tmp_path / "healthcheck.log", environment={"TOKENCOST_HEALTH_URL": url}) as check:
            return await check.process.wait()

    async with exporter(tmp_path, config(pool("chat", "http://127.0.0.1:9/metrics")), ready=False) as running:
        assert await exit_code(f"{running.url}/-/healthy") == 0
        assert await exit_code(f"{running.url}/nowhere") == 1
        assert await exit_code(f"{running.url.replace('http:', 'https:')}/-/healthy") == 1
    assert await exit_code(f"{running.url}/-/healthy") == 1
    assert (tmp_path / "healthcheck.log").read_text() == ""
