"""deploy/Dockerfile, read: its instructions, and the build context that .dockerignore leaves."""

from __future__ import annotations

import re
import shlex
from collections.abc import Iterator
from dataclasses import dataclass
from pathlib import Path

from tests.deploy.manifests import ROOT

FILE = ROOT / "deploy" / "Dockerfile"


@dataclass(frozen=True, slots=True)
class Instruction:
    """`RUN a && b` is the word RUN and the rest, its lines joined."""

    word: str
    rest: str

    @property
    def flags(self) -> dict[str, str]:
        """Of a COPY or HEALTHCHECK: `--chown=0:0` is chown: 0:0."""
        return dict(re.findall(r"--([a-z-]+)=(\S+)", self.rest.partition("[")[0]))

    @property
    def paths(self) -> tuple[list[str], str]:
        """Of a COPY: what, and where to."""
        *sources, target = (word for word in shlex.split(self.rest) if not word.startswith("--"))
        return sources, target


def stages() -> list[list[Instruction]]:
    """What stands before the first FROM, then each stage with its FROM first."""
    text = re.sub(r"^\s*#.*\n", "", FILE.read_text(), flags=re.MULTILINE).replace("\\\n", " ")
    found: list[list[Instruction]] = [[]]
    for line in filter(None, map(str.strip, text.splitlines())):
        word, _, rest = line.partition(" ")
        assert word.isupper(), line
        if word == "FROM":
            found.append([])
        found[-1].append(Instruction(word, re.sub(r" +", " ", rest.strip())))
    return found


def context() -> Iterator[Path]:
    """The files that a build is sent, relative to the checkout. Everything is left out but what `!` lets in again."""
    first, *patterns = (line for line in (ROOT / ".dockerignore").read_text().splitlines() if line[:1] not in {"", "#"})
    assert first == "*", "the list must be of what is let in"
    again = [pattern[1:] for pattern in patterns if pattern.startswith("!")]
    out = [pattern for pattern in patterns if not pattern.startswith("!")]
    assert patterns == [*(f"!{path}" for path in again), *out], "what is left out after all stands last"
    assert not any(character in path for path in again for character in "*?["), again
    assert all(re.fullmatch(r"\*\*/\w+", pattern) for pattern in out), out
    names = {pattern.removeprefix("**/") for pattern in out}
    for path in again:
        found = ROOT / path
        for file in [found] if found.is_file() else sorted(found.rglob("*")):
            if file.is_file() and not names & set(file.parts):
                yield file.relative_to(ROOT)
