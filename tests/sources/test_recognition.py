"""Which engine or gateway a page is from, told by the page alone."""

from __future__ import annotations

import pytest

from exporter.errors import Reason, ScrapeError
from exporter.records import Instant, Reading
from exporter.sources.reader import Reader
from exporter.sources.registry import ENGINES, GATEWAYS, detect
from tests.sources.pages import of_gpus
from tests.sources.test_engines import ENGINE_OF, PAGES, page

TGIS_ADAPTER = b"tgi_request_count 9.0\ntgi_queue_size 0.0\n"  # beside vLLM's own metrics, under TGI's names
CLASSIC_MODELS = b'nv_inference_count{model="resnet50",version="1"} 7\n'
IDLE = {
    "trtllm": b'trtllm_model_config_info{engine_type="pytorch",model_name="m",pid="9"} 1.0\n',
    "dynamo": b'dynamo_frontend_disconnected_clients 0\ndynamo_frontend_model_ready{model="m"} 1\n',
}


def read(body: bytes, engine: str = "auto") -> Reading:
    return Reader(engine).read("http://t:1/metrics", body, Instant(0, 0))


NAMES = sorted(path.stem for path in PAGES.glob("*.prom"))


@pytest.mark.parametrize("name", [name for name in NAMES if not of_gpus(name)])
def test_every_page_is_of_the_engine_or_gateway_that_its_file_is_named_after(name: str) -> None:
    known = (*ENGINES, *GATEWAYS)
    named = [ENGINE_OF[name]] if name in ENGINE_OF else [one for one in known if name.replace("-", "_").startswith(one)]
    assert len(named) == 1
    assert detect(page(name), ENGINES if named[0] in ENGINES else GATEWAYS).name == named[0]


@pytest.mark.parametrize("name", [name for name in NAMES if of_gpus(name)])
def test_a_page_of_gpus_is_of_no_engine_and_of_no_gateway(name: str) -> None:
    for among in (ENGINES, GATEWAYS):
        with pytest.raises(ScrapeError) as error:
            detect(page(name), among)
        assert error.value.reason is Reason.UNKNOWN_ENGINE


def test_tgi_names_on_a_vllm_page_are_an_adapters() -> None:
    assert read(TGIS_ADAPTER + page("vllm-0.16.0")).engine == "vllm"


@pytest.mark.parametrize("engine", IDLE)
def test_an_engine_is_known_before_its_first_request(engine: str) -> None:
    """Else the scrapes of an idle engine fail, and its first requests are taken for its past."""
    assert read(IDLE[engine]).engine == engine


def test_an_empty_page_is_a_failed_scrape() -> None:
    """TGI and TEI show nothing before their first request."""
    with pytest.raises(ScrapeError) as error:
        read(b"", "tgi")
    assert error.value.reason is Reason.EMPTY


@pytest.mark.parametrize(
    ("body", "missing"),
    [
        (CLASSIC_MODELS, "nv_llm_output_token_len_sum or vllm:generation_tokens_total"),
        (b'trtllm_request_success_total{model_name="m"} 3.0\n', "trtllm_prompt_tokens_total or trtllm_model_config"),
        (b'request_finish_total{model_name="m"} 3.0\n', "prompt_tokens_total"),
    ],
)
def test_a_server_that_counts_no_tokens_is_refused(body: bytes, missing: str) -> None:
    """Triton without an LLM; TensorRT-LLM up to 1.2; some other server. Taken for whole, all of it would be idle."""
    with pytest.raises(ScrapeError, match=missing) as error:
        read(body)
    assert error.value.reason is Reason.MISSING_SERIES
