"""A config file to a Config, or every problem in it at once."""

from __future__ import annotations

import re
from collections.abc import Iterable, Iterator
from datetime import date
from pathlib import Path
from typing import Any

from pydantic import ValidationError

from exporter.config import checks, document
from exporter.config.document import Document, Finding
from exporter.config.messages import explain, keys_only
from exporter.config.schema import Config
from exporter.config.types import Loc, Mistake
from exporter.errors import ConfigError, Problem

MAX_BYTES = 1 << 20
# Stands in for prices that could not be read: no product is then said to lack one.
ANY_PRICE = {
    "gpus": [
        *({"product": "*", "usd_per_hour": 0, "purchase": kind} for kind in ("on_demand", "spot", "reserved")),
        {"product": "*", "purchase_usd": 0, "years": 1},
    ]
}


def load(path: Path, *, today: date) -> Config:
    """Read and check a config file. `today` (UTC) dates the prices. File names in it become absolute.

    Raises ConfigError with all problems, in the order of the file, and nothing else. Blocks on the file.
    """
    parsed = document.read(_text(path))
    config = None
    if () not in parsed.broken:
        config, mistakes = _check(parsed, str(path.absolute().parent), today)
        parsed.findings += [Finding(parsed.place(loc), loc, wrong, fix) for loc, wrong, fix in mistakes]
    if config is None or parsed.findings:
        found = sorted(parsed.findings, key=lambda finding: (finding.place[:2], len(finding.loc)))
        raise ConfigError(tuple(_problem(path, finding) for finding in found))
    return config


def _text(path: Path) -> str:
    try:
        with path.open("rb") as file:
            raw = file.read(MAX_BYTES + 1)
    except (OSError, ValueError) as error:
        wrong = f"cannot be read: {getattr(error, 'strerror', None) or 'not a file name'}"
        raise ConfigError((Problem(str(path), "", wrong, "check --config.file and the file's permissions"),)) from error
    if len(raw) > MAX_BYTES:
        raise ConfigError((Problem(str(path), "", "larger than 1 MiB", "split it over several exporters"),))
    try:
        return raw.decode("utf-8-sig")
    except UnicodeDecodeError as error:
        file_line = f"{path}:{raw.count(10, 0, error.start) + 1}"
        raise ConfigError((Problem(file_line, "", "not UTF-8 text", "save the file as UTF-8"),)) from error


def _check(parsed: Document, folder: str, today: date) -> tuple[Config | None, list[Mistake]]:
    """The config, if it could be read, and what is wrong with it."""
    data = parsed.data
    if not isinstance(data, dict):
        wrong = "the file is empty" if data is None else "the file is not a mapping"
        return None, [((), wrong, "start with `pools:`, see README.md")]
    mistakes: list[Mistake] = []
    config: Config | None = None
    try:
        config = Config.model_validate(data, context=folder)
        rest: Config | None = config
    except ValidationError as error:
        errors = error.errors(include_url=False)
        for detail in errors:
            mistakes += explain(detail, parsed.place(keys_only(detail["loc"])).text)
        rest = _readable(data, (keys_only(detail["loc"]) for detail in errors), folder)
    if rest:
        mistakes += checks.disagreements(rest, today)
    return config, [mistake for mistake in mistakes if not parsed.is_broken(mistake[0])]


def _readable(data: dict[str, Any], locs: Iterable[Loc], folder: str) -> Config | None:
    """The config with every part that could not be read replaced by a harmless one, so that the rest can still be
    compared; None where that cannot be done."""
    rest = {key: list(value) if isinstance(value, list) else value for key, value in data.items()}
    for loc in locs:
        match loc:
            case ("pools", int(index), *_):
                rest["pools"][index] = _harmless_pool(index, data["pools"][index])
            case ("prices", *_):
                rest["prices"] = ANY_PRICE
            case ("gateways", *_):  # a budget may name a provider that only stands there
                rest.pop("gateways", None)
                rest.pop("budgets", None)
            case (str(key), *_):
                rest.pop(key, None)
    try:
        return Config.model_validate(rest, context=folder)
    except ValidationError:
        return None


def _harmless_pool(index: int, pool: Any) -> dict[str, Any]:
    name = pool.get("name") if isinstance(pool, dict) else None
    return {
        "name": name if isinstance(name, str) else f"unreadable.{index}",
        "endpoints": [{"url": f"http://unreadable-{index}.invalid/metrics"}],
        "gpus": {"count": 1},
        "usd_per_gpu_hour": 0,
    }


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
