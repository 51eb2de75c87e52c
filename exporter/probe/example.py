"""A config for the page that was probed: valid as it is, with the lines marked that a person must fill in."""

from __future__ import annotations

import glob
import json
from collections.abc import Iterator
from pathlib import Path

from exporter.config.url import check_link_local
from exporter.probe.page import Page, printable
from exporter.probe.report import EXAMPLES, shortened

PRICE = "9999.00"  # nobody mistakes it for a price
ROUTES = 20


def example(page: Page, token_file: Path | None = None) -> str:
    """The text of a tokencost.yml. Ends in a newline."""
    lines = _gateway(page, token_file) if page.gateway else _pool(page, token_file)
    return "".join(f"{printable(line)}\n" for line in lines)


def _pool(page: Page, token_file: Path | None) -> Iterator[str]:
    model = ["model: CHANGE-ME"] if "" in page.tokens or not page.engine.model_label else []
    yield f"# Made by tokencost-exporter probe from {page.target}. Lines with CHANGE-ME need you."
    yield "pools:"
    yield f"  - name: {page.engine.name}  # CHANGE-ME: what you call it; it is on every metric"
    yield f"    engine: {page.engine.name}"
    yield "    endpoints:  # one for every process: never the address of a load balancer"
    yield f"      - {_endpoint(page, token_file, *model)}"
    yield "    gpus: {count: 1}  # CHANGE-ME: how many GPUs these endpoints have, together; may be fractional"
    yield f"    usd_per_gpu_hour: {PRICE}  # CHANGE-ME: a PLACEHOLDER for US dollars per GPU and hour"
    yield from _tenant(page, "# tenant: research  # the whole pool is one tenant's; or tenant_label")


def _gateway(page: Page, token_file: Path | None) -> Iterator[str]:
    yield f"# Made by tokencost-exporter probe from {page.target}. Lines with CHANGE-ME need you."
    yield "gateways:"
    yield f"  - name: {page.engine.name}  # CHANGE-ME: what you call it"
    yield f"    engine: {page.engine.name}"
    yield "    endpoints:"
    yield f"      - {_endpoint(page, token_file)}"
    yield from _tenant(page, "# tenant_label: team  # CHANGE-ME: the label that names who it was")
    yield "    routes:  # CHANGE-ME: the first match wins; `pool: NAME` in place of `provider` for your own GPUs"
    for model in page.models[:ROUTES]:
        if model and len(pattern := glob.escape(model)) <= 128:
            yield f"      - {{model: {quoted(pattern)}, provider: CHANGE-ME}}"
    yield '      - {model: "*", provider: CHANGE-ME}  # everything else'
    yield "# prices:  # CHANGE-ME: PLACEHOLDERS, for models that the bundled catalog does not price"
    yield "#   models:"
    yield f'#     - {{model: "*", input_usd_per_mtok: {PRICE}, output_usd_per_mtok: {PRICE}}}'


def _endpoint(page: Page, token_file: Path | None, *more: str) -> str:
    keys = [f"url: {quoted(page.url)}", *more]
    if any(check_link_local(page.url)):
        keys.append("allow_link_local: true")
    if token_file:
        keys.append(f"bearer_token_file: {quoted(str(token_file.absolute()))}")
    return f"{{{', '.join(keys)}}}"


def _tenant(page: Page, otherwise: str) -> Iterator[str]:
    label = next((label for label in page.labels if label.name == page.tenant_label), None)
    if label is None:
        yield f"    {otherwise}"
    else:
        seen = ", ".join(shortened(text) for text, _ in label.values.most_common(EXAMPLES))
        yield f"    tenant_label: {label.name}  # CHANGE-ME: if that is not the tenant; it says {seen}"


def quoted(text: str) -> str:
    return json.dumps(text, ensure_ascii=False)
