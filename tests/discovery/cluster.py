"""A small Kubernetes API: pods of one namespace, listed in pages and watched, as real HTTP."""

from __future__ import annotations

import asyncio
import json
from collections.abc import AsyncIterator, Mapping
from contextlib import asynccontextmanager
from typing import Any

from aiohttp import web
from aiohttp.test_utils import TestServer

PATH = "/api/v1/namespaces/llm/pods"
GONE = {"kind": "Status", "status": "Failure", "reason": "Expired", "code": 410}


def pod(name: str, ip: str, phase: str = "Running", **more: Any) -> dict[str, Any]:
    metadata = {"name": name, "namespace": "llm", "uid": f"uid-{name}", **more}
    ports = [{"name": "other", "containerPort": 1}, {"name": "http", "containerPort": 8000}]
    return {"metadata": metadata, "spec": {"containers": [{"ports": ports}]}, "status": {"phase": phase, "podIP": ip}}


class Cluster:
    """Change it with `put` and `delete`; what went on in its requests is in `asked`."""

    def __init__(self) -> None:
        self.url = ""
        self.token = "first"  # noqa: S105 - of nobody
        self.asked: list[dict[str, str]] = []  # queries, "watch" or not
        self.refuse: dict[str, int] = {}  # status of the next request: {"list": 500}, {"watch": 410}
        self.pages = 1000  # pods in one page of a list, at most
        self.version = 10
        self._pods: dict[str, dict[str, Any]] = {}
        self._log: list[tuple[int, bytes]] = []
        self._oldest = 0  # versions up to this one are forgotten
        self._changed = asyncio.Event()
        self._ends = 0  # watches that began before this many were ended are over
        self._watches: set[web.StreamResponse] = set()

    # -- what happens ---------------------------------------------------------------------------------------------

    def put(self, *pods: dict[str, Any]) -> None:
        for one in pods:
            uid = one["metadata"]["uid"]
            self._event("MODIFIED" if uid in self._pods else "ADDED", one)
            self._pods[uid] = one

    def delete(self, *names: str) -> None:
        for name in names:
            self._event("DELETED", self._pods.pop(f"uid-{name}"))

    def bookmark(self) -> None:
        """Versions pass, of which these pods have no part."""
        self.version += 1000
        self._log.append((self.version, line("BOOKMARK", {"metadata": {"resourceVersion": str(self.version)}})))
        self._wake()

    def forget(self) -> None:
        """What happened until now is too old to be watched from."""
        self._oldest, self._log = self.version, []

    def send(self, raw: bytes) -> None:
        """To those who watch now."""
        self._log.append((self.version, raw))
        self._wake()

    def end_watches(self) -> None:
        """As the server does when their time is over."""
        self._ends += 1
        self._wake()

    async def cut(self, half: bytes = b"") -> None:
        """The connections of all watches break, after half a line."""
        for watch in list(self._watches):
            await watch.write(half)
            assert watch._req  # aiohttp has no other way to break a connection
            assert watch._req.transport
            watch._req.transport.close()

    @property
    def watches(self) -> int:
        return len(self._watches)

    def lists(self) -> int:
        return sum("watch" not in query for query in self.asked)

    def _event(self, kind: str, one: dict[str, Any]) -> None:
        self.version += 1
        one["metadata"]["resourceVersion"] = str(self.version)
        self._log.append((self.version, line(kind, one)))
        self._wake()

    def _wake(self) -> None:
        self._changed.set()
        self._changed = asyncio.Event()

    # -- what is answered -----------------------------------------------------------------------------------------

    async def answer(self, request: web.Request) -> web.StreamResponse:
        query = dict(request.query)
        self.asked.append(query)
        if request.headers.get("Authorization") != f"Bearer {self.token}":
            return web.json_response({"code": 401}, status=401)
        if status := self.refuse.pop("watch" if "watch" in query else "list", None):
            return web.json_response({"code": status}, status=status)
        return await self._watch(request, query) if "watch" in query else self._list(query)

    def _list(self, query: Mapping[str, str]) -> web.Response:
        pods = list(self._pods.values())
        start, step = int(query.get("continue", 0)), min(self.pages, int(query["limit"]))
        more = str(start + step) if start + step < len(pods) else ""
        metadata = {"resourceVersion": str(self.version), "continue": more}
        return web.json_response({"kind": "PodList", "metadata": metadata, "items": pods[start : start + step]})

    async def _watch(self, request: web.Request, query: Mapping[str, str]) -> web.StreamResponse:
        response = web.StreamResponse(headers={"Content-Type": "application/json"})
        await response.prepare(request)
        since, ends = int(query["resourceVersion"]), self._ends
        if since < self._oldest:
            await response.write(line("ERROR", GONE))
            return response
        self._watches.add(response)
        sent = next((at for at, (version, _) in enumerate(self._log) if version > since), len(self._log))
        try:
            while True:
                changed = self._changed
                while sent < len(self._log):
                    await response.write(self._log[sent][1])
                    sent += 1
                if self._ends != ends:
                    break
                await changed.wait()
        finally:
            self._watches.discard(response)
        return response


def line(kind: str, thing: Mapping[str, Any]) -> bytes:
    return json.dumps({"type": kind, "object": thing}).encode() + b"\n"


@asynccontextmanager
async def cluster() -> AsyncIterator[Cluster]:
    """One that serves until the block is left."""
    made = Cluster()
    app = web.Application()
    app.router.add_get(PATH, made.answer)
    async with TestServer(app, host="127.0.0.1") as server:
        made.url = str(server.make_url("")).rstrip("/")
        try:
            yield made
        finally:
            made.end_watches()
