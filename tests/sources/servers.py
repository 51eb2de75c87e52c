"""Small real servers on loopback that say exactly what a test tells them to."""

from __future__ import annotations

import asyncio
import ssl
from collections.abc import AsyncIterator, Awaitable, Callable
from contextlib import asynccontextmanager
from dataclasses import replace

from exporter.records import NS
from exporter.sources.target import Target

Answer = Callable[[bytes, asyncio.StreamWriter], Awaitable[None]]

PAGE = b"vllm:prompt_tokens_total 5\nvllm:generation_tokens_total 6\n"


def http(body: bytes = PAGE, *headers: str, status: str = "200 OK", length: int | None = None) -> bytes:
    head = [f"HTTP/1.1 {status}", f"Content-Length: {len(body) if length is None else length}", *headers, "", ""]
    return "\r\n".join(head).encode() + body


def says(answer: bytes) -> Answer:
    async def say(_: bytes, writer: asyncio.StreamWriter) -> None:
        writer.write(answer)

    return say


@asynccontextmanager
async def serve(answer: Answer, tls: ssl.SSLContext | None = None) -> AsyncIterator[tuple[str, list[bytes]]]:
    """Yields the server's origin and the requests it got. One request for each connection."""
    requests: list[bytes] = []
    running: set[asyncio.Task[object]] = set()

    async def handle(reader: asyncio.StreamReader, writer: asyncio.StreamWriter) -> None:
        task = asyncio.current_task()
        assert task
        running.add(task)
        try:
            request = await reader.readuntil(b"\r\n\r\n")
            requests.append(request)
            await answer(request, writer)
            await writer.drain()
        except (ConnectionError, asyncio.IncompleteReadError, asyncio.CancelledError):
            pass
        finally:
            running.discard(task)
            writer.close()

    server = await asyncio.start_server(handle, "127.0.0.1", 0, ssl=tls)
    port = server.sockets[0].getsockname()[1]
    try:
        yield f"{'https' if tls else 'http'}://127.0.0.1:{port}", requests
    finally:
        server.close()
        for task in list(running):
            task.cancel()
        await asyncio.gather(*running, return_exceptions=True)


TARGET = Target(
    name="http://127.0.0.1:1/metrics",
    url="http://127.0.0.1:1/metrics",
    pool="p",
    engine="auto",
    role="any",
    interval_ns=15 * NS,
    timeout_ns=20 * NS,
    max_body_bytes=1 << 20,
)


def target(origin: str, path: str = "/metrics", **changes: object) -> Target:
    name = f"{origin}{path.partition('?')[0]}"
    return replace(TARGET, name=name, url=f"{origin}{path}", **changes)  # type: ignore[arg-type]
