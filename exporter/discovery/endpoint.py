"""From an address that was found to an endpoint of the config, held to the same rules as one that was written down."""

from __future__ import annotations

import re
from urllib.parse import urlencode

from pydantic import ValidationError

from exporter.config.discovery import Discover
from exporter.config.schema import FoundEndpoint
from exporter.config.types import PATH_PATTERN
from exporter.discovery.found import TENANT, Address

HOST_PORT = re.compile(r"(\[[0-9a-fA-F:.]+\]|[^\s:/?#@\\\[\]]+)(:[0-9]{1,5})?")
PARAM = "__param_"
# What Prometheus would do with these is not done here, and doing something else in silence would be worse.
REFUSED = ("__address__", "__scrape_interval__", "__scrape_timeout__")


class RefusedError(Exception):
    """No endpoint comes of it; the text says why."""


def matches(spec: Discover, address: Address) -> bool:
    """Whether it is one of those that the config wants. A label that is not there is empty."""
    labels = dict(address.labels) if spec.match else {}
    return all(re.fullmatch(pattern, labels.get(name, "")) for name, pattern in spec.match.items())


def endpoint(spec: Discover, address: Address) -> FoundEndpoint:
    """How to read it. RefusedError for an address that is none, or one that the config could not name either."""
    labels = dict(address.labels)
    if not HOST_PORT.fullmatch(address.host):
        raise RefusedError("it is not host:port")
    for name in REFUSED:
        if name in labels:
            raise RefusedError(f"the label {name} has no meaning here")
    path = labels.get("__metrics_path__", spec.path)
    if not re.match(PATH_PATTERN, path) or path.endswith("\n"):
        raise RefusedError("__metrics_path__ is not a path")
    scheme = labels.get("__scheme__", spec.scheme)
    if spec.scheme == "https" != scheme:  # what the config logs in with would be sent in the clear
        raise RefusedError("__scheme__ is not https, as the config wants it")
    query = urlencode({name.removeprefix(PARAM): labels[name] for name in labels if name.startswith(PARAM)})
    url = f"{scheme}://{address.host}{path}{'?' if query else ''}{query}"
    try:
        return FoundEndpoint.model_validate(
            {
                "url": url,
                "basic_auth": spec.basic_auth,
                "bearer_token_file": spec.bearer_token_file,
                "tls": spec.tls,
                "allow_link_local": spec.allow_link_local,
                "role": getattr(spec, "role", "any"),
                "model": getattr(spec, "model", None),
                "tenant": _tenant(spec, labels),
            }
        )
    except ValidationError as error:
        raise RefusedError(error.errors(include_url=False)[0]["msg"]) from None


def _tenant(spec: Discover, labels: dict[str, str]) -> str | None:
    """The tenant's name; "" where one was expected and there is none; None where the pool says whose its tokens are."""
    name = TENANT if spec.kubernetes and spec.kubernetes.tenant_annotation else getattr(spec, "tenant_from", None)
    return None if name is None else labels.get(name, "")
