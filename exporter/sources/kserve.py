"""KServe's huggingfaceserver with its vLLM backend: vLLM's metrics and KServe's own on one page.

The tokens are vLLM's, of the engine inside the same process. Before the first request nothing on the page is KServe's
own, so such a page is taken for vLLM's: the same table. Without the vLLM backend the page counts no tokens.
"""

from __future__ import annotations

from dataclasses import replace

from exporter.sources.vllm import VLLM

KSERVE = replace(VLLM, name="kserve", marks=("request_predict_seconds_count", "request_preprocess_seconds_count"))
