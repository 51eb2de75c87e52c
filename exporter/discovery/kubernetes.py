"""Pods of one namespace by label selector: listed in pages, then watched, from where the last watch ended.

Two verbs on one resource (list and watch pods), by plain HTTP. The server ends each watch after a minute, so a
connection that died without a word is noticed soon after.
"""

from __future__ import annotations

import asyncio
import os
from collections.abc import AsyncGenerator, Mapping
from contextlib import aclosing
from pathlib import Path
from typing import Any
from urllib.parse import urlencode

import orjson

from exporter.clock import Clock
from exporter.config.discovery import Kubernetes
from exporter.discovery.found import MOST_ADDRESSES, Address, Found, too_many
from exporter.discovery.pods import Pod, address
from exporter.errors import Reason, ScrapeError
from exporter.records import NS
from exporter.sources.fetch import Fetcher
from exporter.sources.target import ANY, Bearer, Target, TlsFiles, tls_files

ACCOUNT = Path("/var/run/secrets/kubernetes.io/serviceaccount")
JSON = "application/json"
HEADERS = {"Accept": JSON}
PAGE = 250  # pods in one answer of a list
MOST_PAGES = 400  # of one list: ten pods for each that runs
WATCH_SECONDS = 60
SLACK_SECONDS = 15  # by which the end of a watch may be late
MOST_BYTES = 1 << 26  # of one page of a list; of one event, which is one pod: etcd takes no more than 1.5 MiB
GONE = 410  # that version is too old to go on from


class Pods:
    """The pods that one selector finds. `watch` may be called again after an error: it goes on where it was."""

    def __init__(
        self,
        config: Kubernetes,
        timeout_ns: int,
        fetcher: Fetcher,
        clock: Clock,
        environment: Mapping[str, str] = os.environ,
        account: Path = ACCOUNT,
        most: int = MOST_ADDRESSES,
    ) -> None:
        self._config = config
        self._timeout_ns = timeout_ns
        self._fetcher = fetcher
        self._clock = clock
        self._environment = environment
        self._account = account
        self._most = most
        self._pods: dict[str, Address] = {}  # by uid, of those that run
        self._version = ""  # up to which they are known; "": list them

    async def watch(self) -> AsyncGenerator[Found, None]:
        """Source."""
        while True:
            began = self._clock.now().monotonic_ns
            if not self._version:
                await self._list()
                yield self._found()
            try:
                async with aclosing(self._fetcher.lines(self._watched(), HEADERS)) as lines:
                    async for line in lines:
                        if not line or self._apply(line):  # the first is empty: the watch stands
                            yield self._found()
                        if not self._version:
                            break
            except ScrapeError as error:
                if error.reason is Reason.STATUS:
                    self._version = ""
                raise
            await self._clock.sleep_until(began + NS)  # a server that ends every watch at once is asked once a second

    def _found(self) -> Found:
        return Found(tuple(sorted(self._pods.values(), key=lambda pod: pod.host)))

    # -- list and watch ---------------------------------------------------------------------------------------------

    async def _list(self) -> None:
        pods: dict[str, Address] = {}
        more = ""
        for _ in range(MOST_PAGES):
            query = {"limit": str(PAGE)} | ({"continue": more} if more else {})
            target = self._target(query, self._timeout_ns, MOST_BYTES)
            body = await self._fetcher.get(target, HEADERS, media_type=JSON)
            items, version, more = await asyncio.to_thread(self._page, body)
            pods |= items
            if len(pods) > self._most:
                break
            if not more:
                self._pods, self._version = pods, version
                return
        raise too_many(self._most)

    def _page(self, body: bytes) -> tuple[dict[str, Address], str, str]:
        """(pods that run, the version they are of, where the next page begins)."""
        try:
            page = orjson.loads(body)
            found = ((pod["metadata"]["uid"], self._address(pod)) for pod in page["items"] or ())
            metadata = page["metadata"]
            pods = {uid: address for uid, address in found if address}
            return pods, str(metadata["resourceVersion"]), str(metadata.get("continue") or "")
        except (orjson.JSONDecodeError, KeyError, TypeError, AttributeError) as error:
            raise _invalid() from error

    def _watched(self) -> Target:
        query = {
            "watch": "1", "allowWatchBookmarks": "true", "timeoutSeconds": str(WATCH_SECONDS),
            "resourceVersion": self._version,
        }  # fmt: skip
        return self._target(query, (WATCH_SECONDS + SLACK_SECONDS) * NS, MOST_BYTES)

    def _apply(self, line: bytes) -> bool:
        """One event; True where it changes which pods run and where."""
        try:
            event = orjson.loads(line)
            kind, thing = event["type"], event["object"]
            if kind == "ERROR":
                self._version = ""
                if thing.get("code") != GONE:
                    raise ScrapeError(Reason.STATUS, f"the watch ended with status {int(thing.get('code') or 0)}")
                return False
            if kind == "BOOKMARK":
                self._version = str(thing["metadata"]["resourceVersion"])
                return False
            return self._changed(thing, kind)
        except (orjson.JSONDecodeError, KeyError, TypeError, AttributeError, ValueError) as error:
            self._version = ""
            raise _invalid() from error

    def _changed(self, pod: Pod, kind: str) -> bool:
        uid, found = pod["metadata"]["uid"], None if kind == "DELETED" else self._address(pod)
        version = str(pod["metadata"]["resourceVersion"])
        before = self._pods.pop(uid, None)
        if found:
            self._pods[uid] = found
        self._version = version
        if len(self._pods) > self._most:
            self._version = ""
            raise too_many(self._most)
        return found != before

    def _address(self, pod: Pod) -> Address | None:
        return address(pod, self._config.port, self._config.tenant_annotation)

    # -- the server -------------------------------------------------------------------------------------------------

    def _target(self, query: dict[str, Any], timeout_ns: int, max_body_bytes: int) -> Target:
        """Where to ask, and as whom: what the config says, else what Kubernetes gives to every pod."""
        config, account = self._config, self._account
        server, token, tls = config.api_server, config.bearer_token_file, tls_files(config.tls)
        if server is None:
            server = self._in_cluster()
            token = token or str(account / "token")
            tls = tls or TlsFiles(account / "ca.crt", None, None)
        url = f"{server}/api/v1/namespaces/{config.namespace or self._own_namespace()}/pods"
        query["labelSelector"] = config.selector
        return Target(
            name=url,
            url=f"{url}?{urlencode(query)}",
            pool="",
            engine="kubernetes",
            role=ANY,
            interval_ns=timeout_ns,
            timeout_ns=timeout_ns,
            max_body_bytes=max_body_bytes,
            auth=Bearer(Path(token)) if token else None,
            tls=tls,
        )

    def _in_cluster(self) -> str:
        try:
            host = self._environment["KUBERNETES_SERVICE_HOST"]
            port = self._environment["KUBERNETES_SERVICE_PORT"]
        except KeyError as error:
            what = "this is no pod of a cluster (KUBERNETES_SERVICE_HOST is not set): write api_server"
            raise ScrapeError(Reason.CONNECT, what) from error
        return f"https://[{host}]:{port}" if ":" in host else f"https://{host}:{port}"

    def _own_namespace(self) -> str:
        try:
            return (self._account / "namespace").read_text().strip()
        except OSError as error:
            what = f"cannot read {self._account / 'namespace'}: {error.strerror}; write namespace"
            raise ScrapeError(Reason.CREDENTIALS, what) from error


def _invalid() -> ScrapeError:
    return ScrapeError(Reason.INVALID, "the answer is not a list, or an event, of pods")
