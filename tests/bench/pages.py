"""A cheap server of fixed pages, in a process of its own whose CPU nobody counts.

    python -m tests.bench.pages FOLDER

FOLDER has a folder for each page, and in it the page's successive bodies. `GET /PAGE/anything` answers with the next
one of that path, and goes on with the last; a POST is read and thrown away. It prints its port.
"""

from __future__ import annotations

import asyncio
import sys
from collections import Counter
from collections.abc import AsyncIterator, Mapping, Sequence
from contextlib import asynccontextmanager, suppress
from pathlib import Path

from tests.peers.exporter import ROOT
from tests.peers.process import program
from tests.peers.waiting import eventually

HEAD = "HTTP/1.1 200 OK\r\nContent-Type: text/plain; version=0.0.4\r\nContent-Length: %d\r\n\r\n"
NO_CONTENT = b"HTTP/1.1 204 No Content\r\n\r\n"


class Pages(asyncio.Protocol):
    """One connection."""

    def __init__(self, bodies: Mapping[str, Sequence[bytes]], served: Counter[str]) -> None:
        self._bodies = bodies
        self._served = served
        self._buffer = b""
        self._skip = 0  # bytes of a POST's body still to come

    def connection_made(self, transport: asyncio.BaseTransport) -> None:
        assert isinstance(transport, asyncio.Transport)
        self._transport = transport

    def data_received(self, data: bytes) -> None:
        if self._skip:
            data, self._skip = data[self._skip :], max(0, self._skip - len(data))
        self._buffer += data
        while b"\r\n\r\n" in self._buffer:
            head, _, self._buffer = self._buffer.partition(b"\r\n\r\n")
            if head.startswith(b"POST"):
                length = next(line for line in head.split(b"\r\n") if line.lower().startswith(b"content-length:"))
                self._skip = int(length.partition(b":")[2])
                skipped = min(self._skip, len(self._buffer))
                self._buffer, self._skip = self._buffer[skipped:], self._skip - skipped
                self._transport.write(NO_CONTENT)
                continue
            path = head.split(b" ", 2)[1].decode().partition("?")[0]
            answers = self._bodies[path.split("/")[1]]
            self._transport.write(answers[min(self._served[path], len(answers) - 1)])
            self._served[path] += 1


def load(folder: Path) -> dict[str, list[bytes]]:
    """The answers of each page."""
    return {
        page.name: [HEAD.encode() % file.stat().st_size + file.read_bytes() for file in sorted(page.iterdir())]
        for page in folder.iterdir()
    }


async def main(bodies: Mapping[str, Sequence[bytes]]) -> None:
    served: Counter[str] = Counter()
    server = await asyncio.get_running_loop().create_server(lambda: Pages(bodies, served), "127.0.0.1", 0, backlog=4096)
    print(server.sockets[0].getsockname()[1], flush=True)
    await server.serve_forever()


@asynccontextmanager
async def serving(folder: Path, pages: Mapping[str, Sequence[bytes]]) -> AsyncIterator[str]:
    """Serve these pages until the block is left; yields host:port."""
    for name, bodies in pages.items():
        (folder / "pages" / name).mkdir(parents=True)
        for number, body in enumerate(bodies):
            (folder / "pages" / name / f"{number:04d}").write_bytes(body)
    command = [sys.executable, "-m", "tests.bench.pages", str(folder / "pages")]
    async with program(command, folder / "pages.log", folder=ROOT) as running:

        async def port() -> str:
            return running.output().partition("\n")[0]

        yield f"127.0.0.1:{await eventually(port, 'the page server names its port', process=running)}"


if __name__ == "__main__":
    with suppress(KeyboardInterrupt):
        asyncio.run(main(load(Path(sys.argv[1]))))
