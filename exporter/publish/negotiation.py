"""Which format and encoding a client wants, from its Accept and Accept-Encoding headers (RFC 9110, section 12.5)."""

from __future__ import annotations

from exporter.publish.writer import Format

CONTENT_TYPES: dict[Format, str] = {
    "text": "text/plain; version=0.0.4; charset=utf-8",
    "openmetrics": "application/openmetrics-text; version=1.0.0; charset=utf-8",
}


def format_for(accept: str) -> Format:
    """OpenMetrics where it is asked for by name and text is not liked better; text in all other cases."""
    openmetrics, texts = 0.0, dict.fromkeys(("text/plain", "text/*", "*/*"), -1.0)
    for name, parameters, q in _items(accept):
        if name == "application/openmetrics-text" and parameters.get("version", "1.0.0") == "1.0.0":
            openmetrics = max(openmetrics, q)
        elif name in texts:
            texts[name] = max(texts[name], q)
    text = next((q for q in texts.values() if q >= 0), 0.0)  # the most specific range decides
    return "openmetrics" if openmetrics > 0 and openmetrics >= text else "text"


def gzip_for(accept_encoding: str) -> bool:
    """Whether gzip is accepted, and not less than an identity that is named."""
    qs = {name: q for name, _, q in _items(accept_encoding)}
    gzip = qs.get("gzip", qs.get("x-gzip", qs.get("*", 0.0)))
    return gzip > 0 and gzip >= qs.get("identity", 0.0)


def _items(header: str) -> list[tuple[str, dict[str, str], float]]:
    """(name, parameters, q) of each element; an element whose q is no number from 0 to 1 is left out."""
    items = []
    for element in header.split(","):
        name, *rest = (part.strip().lower() for part in element.split(";"))
        pairs = (part.partition("=") for part in rest)
        parameters = {key.strip(): value.strip().strip('"') for key, _, value in pairs}
        try:
            q = float(parameters.pop("q", "1"))
        except ValueError:
            continue
        if name and 0 <= q <= 1:
            items.append((name, parameters, q))
    return items
