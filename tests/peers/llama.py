"""A real `llama-server` on loopback, and completions whose usage is the truth a test compares with."""

from __future__ import annotations

import asyncio
import re
from collections.abc import AsyncIterator
from contextlib import asynccontextmanager
from dataclasses import dataclass
from pathlib import Path

import aiohttp
import orjson

from tests.peers.install import Llama
from tests.peers.process import Program, program
from tests.peers.waiting import eventually


@dataclass(frozen=True, slots=True)
class Usage:
    """Tokens by disjoint class, as the exporter counts them: `input` is without `cache_read`."""

    input: int = 0
    cache_read: int = 0
    output: int = 0

    def __add__(self, other: Usage) -> Usage:
        return Usage(self.input + other.input, self.cache_read + other.cache_read, self.output + other.output)


@dataclass(frozen=True, slots=True)
class LlamaServer:
    """A running server. `ready_seconds` is how long it took from its start to its first healthy answer."""

    url: str
    port: int
    program: Program
    ready_seconds: float


@asynccontextmanager
async def llama_server(
    llama: Llama, model: Path, log: Path, *, port: int = 0, metrics: bool = True
) -> AsyncIterator[LlamaServer]:
    """Run it with two slots until the block is left. Port 0 takes a free one; pass the old port to restart."""
    # One thread: two of them wait for each other by spinning, which takes seconds where other tests have the cores.
    options = f"--alias tiny --host 127.0.0.1 --port {port} -c 2048 -np 2 --threads 1 --no-ui --offline".split()
    command = [*llama.command, "-m", str(model), *options, *(["--metrics"] if metrics else [])]
    started = asyncio.get_running_loop().time()
    async with program(command, log, folder=llama.working_folder) as process, aiohttp.ClientSession() as http:

        async def address() -> str | None:
            said = re.search(r"listening on (http://127\.0\.0\.1:\d+)", process.output())
            return said and said[1]

        async def healthy() -> bool:
            async with http.get(f"{url}/health") as answer:
                return answer.status == 200

        url = await eventually(address, "llama-server names its address", process=process)
        await eventually(healthy, "llama-server is healthy", process=process)
        took = asyncio.get_running_loop().time() - started
        yield LlamaServer(url, int(url.rpartition(":")[2]), process, took)


async def complete(url: str, prompt: str, *, stream: bool = False) -> Usage:
    """One chat completion of at most 24 tokens, read to its end; what its `usage` says.

    A connection of its own: llama-server closes one after a stream without saying so.
    """
    body = {
        "messages": [{"role": "user", "content": prompt}],
        "max_tokens": 24,
        "cache_prompt": True,
        "stream": stream,
        **({"stream_options": {"include_usage": True}} if stream else {}),
    }
    async with aiohttp.ClientSession() as http, http.post(f"{url}/v1/chat/completions", json=body) as answer:
        text = await answer.text()
        assert answer.status == 200, text
    if stream:
        events = [orjson.loads(line[6:]) for line in text.splitlines() if line.startswith("data: {")]
        usage = next(event["usage"] for event in events if event.get("usage"))
    else:
        usage = orjson.loads(text)["usage"]
    cached = usage["prompt_tokens_details"]["cached_tokens"]
    return Usage(usage["prompt_tokens"] - cached, cached, usage["completion_tokens"])


async def traffic(url: str, rounds: int = 4) -> Usage:
    """`rounds` times two requests at once, one of them streamed, on shared prompts, so that the cache is used."""
    total = Usage()
    for turn in range(rounds):
        prompt = f"round {turn % 2}: tell me what a token costs and who is spending it, please"
        both = complete(url, prompt), complete(url, f"streamed {prompt}", stream=True)
        total = sum(await asyncio.gather(*both), total)
    return total
