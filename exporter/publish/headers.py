"""The headers of every answer, refusals included."""

from __future__ import annotations

from collections.abc import Mapping

HEADERS = {
    "Content-Security-Policy": (
        "default-src 'none'; script-src 'self'; style-src 'self'; connect-src 'self'; "
        "base-uri 'none'; form-action 'none'; frame-ancestors 'none'; "
        "require-trusted-types-for 'script'; trusted-types 'none'"
    ),
    "Referrer-Policy": "no-referrer",
    "Server": "tokencost-exporter",
    "X-Content-Type-Options": "nosniff",
}


def headers(chosen: Mapping[str, str], cache: str = "no-store") -> dict[str, str]:
    """All of them; `chosen` are those of web.yml, which win."""
    return HEADERS | {"Cache-Control": cache} | dict(chosen)
