"""What reading any file of ours takes: its text, its mistakes in order, and the one error that carries them all."""

from __future__ import annotations

import re
from collections.abc import Iterable, Iterator
from pathlib import Path
from typing import TypeVar

from pydantic import ValidationError

from exporter.config.document import Document, Finding
from exporter.config.messages import explain, keys_only
from exporter.config.part import Part
from exporter.config.types import Loc, Mistake
from exporter.errors import ConfigError, Problem

MAX_BYTES = 1 << 20

T = TypeVar("T", bound=Part)


def text(path: Path, flag: str) -> str:
    """The file's text; `flag` is what names the file. ConfigError where there is none. Blocks on the file."""
    try:
        with path.open("rb") as file:
            raw = file.read(MAX_BYTES + 1)
    except (OSError, ValueError) as error:
        wrong = f"cannot be read: {getattr(error, 'strerror', None) or 'not a file name'}"
        raise ConfigError((Problem(str(path), "", wrong, f"check {flag} and the file's permissions"),)) from error
    if len(raw) > MAX_BYTES:
        raise ConfigError((Problem(str(path), "", "larger than 1 MiB", "split it over several exporters"),))
    try:
        return raw.decode("utf-8-sig")
    except UnicodeDecodeError as error:
        file_line = f"{path}:{raw.count(10, 0, error.start) + 1}"
        raise ConfigError((Problem(file_line, "", "not UTF-8 text", "save the file as UTF-8"),)) from error


def check(model: type[T], parsed: Document, folder: str) -> tuple[T | None, list[Mistake], list[Loc]]:
    """What was read as that model, or None; the mistakes in it, and where they stand. File names are below `folder`."""
    try:
        return model.model_validate(parsed.data, context=folder), [], []
    except ValidationError as error:
        details = error.errors(include_url=False)
    locs = [keys_only(detail["loc"]) for detail in details]
    texts = [parsed.place(loc).text for loc in locs]
    found = zip(details, texts, strict=True)
    return None, [mistake for detail, written in found for mistake in explain(detail, written, model)], locs


def refusal(path: Path, findings: Iterable[Finding]) -> ConfigError:
    """The error with all of them, in the order of the file."""
    found = sorted(findings, key=lambda finding: (finding.place[:2], len(finding.loc)))
    return ConfigError(tuple(_problem(path, finding) for finding in found))


def _problem(path: Path, finding: Finding) -> Problem:
    line = finding.place.line
    return Problem(f"{path}:{line}" if line else str(path), key_path(finding.loc), finding.wrong, finding.fix)


def key_path(loc: Loc) -> str:
    """`pools[1].gpus.count`; a key that is not plain text is quoted, so that it cannot forge a log line."""
    return "".join(_steps(loc)).removeprefix(".")


def _steps(loc: Loc) -> Iterator[str]:
    for step in loc:
        if isinstance(step, int):
            yield f"[{step}]"
        elif re.fullmatch(r"[\w-]{1,64}", step, re.ASCII):
            yield f".{step}"
        else:
            yield f"[{step[:64]!r}]"
