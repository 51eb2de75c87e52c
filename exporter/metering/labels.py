"""Label text from engines and headers is hostile; it is made safe here, once, and trusted afterwards."""

from __future__ import annotations

import hashlib
import unicodedata

MAX_LENGTH = 128

# What servers print for a label that nobody set: LiteLLM, agentgateway, the endpoint picker without its header.
_UNSET = frozenset({"", "None", "unknown", "default-flow"})


def given(value: str) -> str:
    """The value, or "" where the server printed its word for "not set"."""
    return "" if value in _UNSET else value


def safe(value: str) -> str:
    """Printable, valid Unicode, at most MAX_LENGTH characters; different long values stay different."""
    if value.isascii() and value.isprintable() and len(value) <= MAX_LENGTH:
        return value
    clean = "".join("\ufffd" if unicodedata.category(char)[0] == "C" else char for char in value)
    if len(clean) > MAX_LENGTH:
        digest = hashlib.sha256(value.encode("utf-8", "surrogatepass")).hexdigest()[:8]
        clean = f"{clean[: MAX_LENGTH - 9]}~{digest}"
    return clean
