"""A real LiteLLM proxy on loopback: two kinds of model behind it, teams by key, prices, no database.

It lives in an environment of its own under `.cache/litellm/`, made from its lock file: it is large and none of ours.
"""

from __future__ import annotations

import asyncio
import json
import re
import secrets
import subprocess
import sys
from collections.abc import AsyncIterator
from contextlib import asynccontextmanager
from dataclasses import dataclass
from pathlib import Path

import aiohttp
import orjson

from tests.peers.install import PeerMissingError
from tests.peers.llama import Usage
from tests.peers.process import Program, program
from tests.peers.waiting import eventually

ROOT = Path(__file__).resolve().parents[2]
LOCK = ROOT / "requirements-litellm.lock"
CACHE = ROOT / ".cache" / "litellm"
INSTALL_DEADLINE = 900  # seconds; 36 on a fast network
START_DEADLINE = 120.0  # seconds; 6 on two idle cores

# The key says whose it is: `sk-acme` is the team acme, `sk-` is nobody's.
AUTH = """
from litellm.proxy._types import UserAPIKeyAuth

async def by_key(request, api_key):
    team = api_key.removeprefix("sk-") or None
    return UserAPIKeyAuth(api_key=api_key, team_id=team and f"id-of-{team}", team_alias=team)
"""


@dataclass(frozen=True, slots=True)
class Model:
    """A model of the proxy. Prices in USD per token of each disjoint class."""

    asked: str  # what clients call it: `requested_model` on the page
    called: str  # what the deployment calls: `model` on the page
    input_usd: float
    cache_read_usd: float
    output_usd: float

    def usd(self, usage: Usage) -> float:
        return usage.input * self.input_usd + usage.cache_read * self.cache_read_usd + usage.output * self.output_usd


SELF_HOSTED = Model("chat", "tiny", 2e-6, 5e-7, 6e-6)  # the llama-server
PAID = Model("paid", "gpt-4o", 2.5e-6, 1.25e-6, 1e-5)  # stands for a paid API; answers by itself


@dataclass(frozen=True, slots=True)
class Proxy:
    """A running proxy. `ready_seconds` is how long it took from its start to its first healthy answer."""

    url: str
    port: int
    program: Program
    ready_seconds: float

    @property
    def metrics(self) -> str:
        """Where its page is; `/metrics` redirects to it."""
        return f"{self.url}/metrics/"


def ensure_litellm(cache: Path = CACHE) -> Path:
    """The Python that has the locked proxy, installed if it is not there yet. Raises PeerMissingError."""
    environment, installed = cache / "venv", cache / "installed.lock"
    python = environment / "bin" / "python"
    if not installed.exists() or installed.read_bytes() != LOCK.read_bytes():
        installed.unlink(missing_ok=True)
        pip = (python, "-m", "pip", "--disable-pip-version-check", "--quiet")
        make_environment = (sys.executable, "-m", "venv", "--clear", environment)
        for command in (make_environment, (*pip, "install", "--require-hashes", "--requirement", LOCK)):
            try:
                subprocess.run(command, capture_output=True, text=True, timeout=INSTALL_DEADLINE, check=True)
            except subprocess.CalledProcessError as failed:
                last = (failed.stderr.strip().splitlines() or ["nothing said"])[-1]
                raise PeerMissingError(f"it could not be installed: {last}") from None
            except subprocess.TimeoutExpired:
                raise PeerMissingError(f"installing it took longer than {INSTALL_DEADLINE} s") from None
        installed.write_bytes(LOCK.read_bytes())  # last: a broken-off attempt is made again
    return python


@asynccontextmanager
async def litellm_proxy(python: Path, upstream: str, folder: Path, *, port: int = 0) -> AsyncIterator[Proxy]:
    """Run it before the llama-server at `upstream` until the block is left; its files go into the new `folder`.

    Port 0 takes a free one; pass the old port to restart.
    """
    config = _write_config(folder, upstream)
    command = [
        *("env", "-u", "DATABASE_URL", "NO_PROXY=127.0.0.1", "LITELLM_LOCAL_MODEL_COST_MAP=True"),
        *(str(python), "-c", "from litellm import run_server; run_server()"),
        *("--config", str(config), "--host", "127.0.0.1", "--port", str(port)),
    ]
    started = asyncio.get_running_loop().time()
    async with program(command, folder / "log", folder=folder) as process, aiohttp.ClientSession() as http:

        async def address() -> str | None:
            said = re.search(r"running on (http://127\.0\.0\.1:\d+)", process.output())
            return said and said[1]

        async def healthy() -> bool:
            async with http.get(f"{url}/health/liveliness") as answer:
                return answer.status == 200

        url = await eventually(address, "LiteLLM names its address", process=process, deadline=START_DEADLINE)
        await eventually(healthy, "LiteLLM is healthy", process=process)
        took = asyncio.get_running_loop().time() - started
        yield Proxy(url, int(url.rpartition(":")[2]), process, took)


def _write_config(folder: Path, upstream: str) -> Path:
    answers = {SELF_HOSTED: {"api_base": f"{upstream}/v1"}, PAID: {"mock_response": "as if it had been paid for"}}
    document = {
        "model_list": [
            {
                "model_name": model.asked,
                "litellm_params": {
                    "model": f"openai/{model.called}",
                    "api_key": "none",
                    "input_cost_per_token": model.input_usd,
                    "cache_read_input_token_cost": model.cache_read_usd,
                    "output_cost_per_token": model.output_usd,
                    **answer,
                },
            }
            for model, answer in answers.items()
        ],
        "litellm_settings": {"callbacks": ["prometheus"], "require_auth_for_metrics_endpoint": False},
        "general_settings": {"custom_auth": "teams.by_key", "master_key": f"sk-{secrets.token_hex(16)}"},
    }
    folder.mkdir()
    (folder / "teams.py").write_text(AUTH)
    config = folder / "config.yaml"
    config.write_text(json.dumps(document))  # JSON is YAML, too
    return config


async def ask(proxy: Proxy, team: str, model: Model, prompt: str, *, stream: bool = False) -> Usage:
    """One chat completion of at most 24 tokens, asked for by a team ("": by nobody's key); what its `usage` says."""
    body = {
        "model": model.asked,
        "messages": [{"role": "user", "content": prompt}],
        "max_tokens": 24,
        "stream": stream,
        **({"stream_options": {"include_usage": True}} if stream else {}),
    }
    key = {"Authorization": f"Bearer sk-{team}"}
    async with (
        aiohttp.ClientSession(headers=key) as http,
        http.post(f"{proxy.url}/v1/chat/completions", json=body) as answer,
    ):
        text = await answer.text()
        assert answer.status == 200, text
    events = [line[6:] for line in text.splitlines() if line.startswith("data: {")] if stream else [text]
    usage = next(event["usage"] for event in map(orjson.loads, events) if event.get("usage"))
    cached = (usage.get("prompt_tokens_details") or {}).get("cached_tokens", 0)
    return Usage(usage["prompt_tokens"] - cached, cached, usage["completion_tokens"])
