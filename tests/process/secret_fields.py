"""Every key of the config that leads to a secret, found in the schema itself: a new one is tested without being named.

A secret stands in a file that a key names, or in the query of an address.
"""

from __future__ import annotations

import json
import re
from collections.abc import Iterator
from copy import deepcopy
from pathlib import Path
from typing import Any, get_args
from urllib.parse import urlsplit

from pydantic import AfterValidator, BaseModel

from exporter.config import types
from exporter.config.schema import Config

Key = tuple[str, ...]  # without the indexes of lists

FILE = next(one for one in get_args(types.File) if isinstance(one, AfterValidator))
NAMED_LIKE_ONE = re.compile(r"password|token(?!s)|secret|credential|headers|api_?key|(^|_)url$|_file$")
# What must stand beside a key of that name.
BESIDE = {"password_file": {"username": "scraper"}}
ADDRESSES = ("url", "endpoint", "api_server")
NO_SECRETS = {("file_sd", "files")}  # these say targets, which everybody may see


def secret_keys(model: type[BaseModel] = Config, above: Key = ()) -> Iterator[Key]:
    """Where the schema of the config has a file or an address, or text that is named like a secret."""
    for name, field in model.model_fields.items():
        key = (*above, field.alias or name)
        for inner in _models(field.annotation):
            yield from secret_keys(inner, key)
        if _is_secret(name, field.annotation, field.metadata) and key[-2:] not in NO_SECRETS:
            yield key


def _models(annotation: Any) -> Iterator[type[BaseModel]]:
    if isinstance(annotation, type) and issubclass(annotation, BaseModel):
        yield annotation
    for part in get_args(annotation):
        yield from _models(part)


def _is_secret(name: str, annotation: Any, metadata: list[Any]) -> bool:
    flat = [*metadata, *_parts(annotation)]
    is_text = annotation is str or str in flat
    checked = {one.func.__name__ for one in flat if isinstance(one, AfterValidator)}
    return (
        FILE in flat or any(name.endswith("url") for name in checked) or bool(is_text and NAMED_LIKE_ONE.search(name))
    )


def _parts(annotation: Any) -> Iterator[Any]:
    yield annotation
    for part in (*get_args(annotation), *getattr(annotation, "__metadata__", ())):
        yield from _parts(part)


def with_secret(config: dict[str, Any], key: Key, secret: str, folder: Path) -> dict[str, Any]:
    """The config with that secret behind that key; what must stand beside it is put there too."""
    changed = deepcopy(config)
    place: Any = changed
    owner: dict[str, Any] = {}
    for step in key[:-1]:
        if step == "discover":
            place[step] = [_source(key, config["pools"][0]["endpoints"][0]["url"], folder)]
        place = place.setdefault(step, {})
        place = place[0] if isinstance(place, list) else place
        if any(address in place for address in ADDRESSES):
            owner = place
    last = key[-1]
    if isinstance(place.get(last), str) and urlsplit(place[last]).scheme in {"http", "https"}:
        place[last] += f"?token={secret}"
        return changed
    file = folder / f"{'-'.join(key)}.txt"
    file.write_text(f"X-Secret: {secret}\n" if "headers" in last else f"{secret}\n")
    place[last] = str(file)
    place |= BESIDE.get(last, {})
    if "tls" in key:
        place |= {other: str(file) for other in ("cert_file", "key_file") if last in {"cert_file", "key_file"}}
        for address in ADDRESSES:
            if address in owner:
                owner[address] = owner[address].replace("http://", "https://")
    return changed


def _source(key: Key, url: str, folder: Path) -> dict[str, Any]:
    """A source of targets, of the kind that the key is about; for a login at what is found, one that finds some."""
    address = urlsplit(url)
    origin = f"http://{address.netloc}"
    if "http_sd" in key:
        return {"http_sd": {"url": f"{origin}/sd"}}
    if "kubernetes" in key:
        return {"kubernetes": {"selector": "app=x", "port": 8000, "namespace": "llm", "api_server": origin}}
    targets = folder / "targets.json"
    targets.write_text(json.dumps([{"targets": [address.netloc]}]))
    scheme = {"scheme": "https"} if "tls" in key else {}
    return {"file_sd": {"files": [str(targets)]}, "path": "/found", **scheme}
