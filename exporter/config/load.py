"""A config file to a Config, or every problem in it at once."""

from __future__ import annotations

from collections.abc import Iterable
from datetime import date
from pathlib import Path
from typing import Any

from pydantic import ValidationError

from exporter.config import checks, document, reading
from exporter.config.document import Document, Finding
from exporter.config.schema import Config
from exporter.config.types import Loc, Mistake

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
    parsed = document.read(reading.text(path, "--config.file"))
    config = None
    if () not in parsed.broken:
        config, mistakes = _check(parsed, str(path.absolute().parent), today)
        parsed.findings += [Finding(parsed.place(loc), loc, wrong, fix) for loc, wrong, fix in mistakes]
    if config is None or parsed.findings:
        raise reading.refusal(path, parsed.findings)
    return config


def _check(parsed: Document, folder: str, today: date) -> tuple[Config | None, list[Mistake]]:
    """The config, if it could be read, and what is wrong with it."""
    data = parsed.data
    if not isinstance(data, dict):
        wrong = "the file is empty" if data is None else "the file is not a mapping"
        return None, [((), wrong, "start with `pools:`, see README.md")]
    config, mistakes, locs = reading.check(Config, parsed, folder)
    rest = config or _readable(data, locs, folder)
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
