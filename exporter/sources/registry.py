"""Every engine and gateway by the name the config knows it by, and which of them a page is from."""

from __future__ import annotations

import re
from collections.abc import Mapping

from exporter.errors import Reason, ScrapeError
from exporter.sources.agentgateway import AGENTGATEWAY
from exporter.sources.aibrix import AIBRIX
from exporter.sources.dynamo import DYNAMO
from exporter.sources.engine import Engine
from exporter.sources.envoy_ai_gateway import ENVOY_AI_GATEWAY
from exporter.sources.epp import EPP
from exporter.sources.kong import KONG
from exporter.sources.kserve import KSERVE
from exporter.sources.kthena import KTHENA
from exporter.sources.litellm import LITELLM
from exporter.sources.llamacpp import LLAMACPP
from exporter.sources.lmdeploy import LMDEPLOY
from exporter.sources.mlx_serve import MLX_SERVE
from exporter.sources.nim import NIM
from exporter.sources.otel_genai import OTEL_GENAI
from exporter.sources.ray_serve import RAY_SERVE
from exporter.sources.sample import check_page, first_names, pieces
from exporter.sources.sglang import SGLANG
from exporter.sources.smg import SMG
from exporter.sources.tei import TEI
from exporter.sources.tgi import TGI
from exporter.sources.triton import TRITON
from exporter.sources.trtllm import TRTLLM
from exporter.sources.vllm import VLLM
from exporter.sources.xinference import XINFERENCE

# What a pool may say, and what a gateway may. A page is of the first whose mark it has: Triton's, KServe's and
# mlx-serve's have vLLM's names, a vLLM with an adapter for TGI's clients has TGI's, and Envoy's has OpenTelemetry's,
# which stays last.
ENGINES: dict[str, Engine] = {
    engine.name: engine
    for engine in (
        TRITON, KSERVE, MLX_SERVE, VLLM, SGLANG, LLAMACPP, TGI, TEI, TRTLLM, DYNAMO, LMDEPLOY, RAY_SERVE, XINFERENCE,
        NIM,
    )
}  # fmt: skip
GATEWAYS: dict[str, Engine] = {
    gateway.name: gateway
    for gateway in (LITELLM, AGENTGATEWAY, KONG, EPP, AIBRIX, KTHENA, SMG, ENVOY_AI_GATEWAY, OTEL_GENAI)
}


def detect(body: bytes, among: Mapping[str, Engine] = ENGINES) -> Engine:
    """The engine among these whose mark starts a sample line of the page; text in comments is no mark.

    Raises ScrapeError: unknown_engine, which names the first metrics seen; empty, truncated or invalid.
    """
    rank = {mark.encode(): index for index, engine in reversed([*enumerate(among.values())]) for mark in engine.marks}
    marks = rb"[ \t]*+(%s)[{ \t]" % b"|".join(map(re.escape, rank))
    found = [rank[first[1]]] if (first := re.match(marks, body)) else []
    others = re.compile(rb"\n" + marks)
    for begin, end in pieces(body, 0, len(body)):
        found += {rank[match[1]] for match in others.finditer(body, begin, end)}
        if 0 in found:
            break
    if found:
        return list(among.values())[min(found)]
    check_page(body)
    known, names = ", ".join(among), first_names(body)
    what = f"the page is of no known engine ({known}); its first metrics: {names}; "
    what += "set `engine` in the config, or map them by hand with engine: custom"
    raise ScrapeError(Reason.UNKNOWN_ENGINE, what)
