"""The live page's files, and answers that a browser may have already."""

from __future__ import annotations

import asyncio
import hashlib
from collections.abc import Awaitable, Callable
from importlib.resources import files

from aiohttp import web
from isal import igzip

from exporter.publish.answer import Answer
from exporter.publish.negotiation import gzip_for

PAGE = files("exporter") / "publish" / "page"  # page.html is served as /, what it asks for below /page/
TYPES = {"html": "text/html", "css": "text/css", "js": "text/javascript"}
NOT_YET = "Nothing has been measured yet: the first tick is still running.\n"

Handler = Callable[[web.Request], Awaitable[web.StreamResponse]]


def pages() -> dict[str, Handler]:
    """Path -> what serves it, for every file of the page."""
    assets = {asset.name: _asset(asset.name, asset.read_bytes()) for asset in PAGE.iterdir() if asset.is_file()}
    return {"/": assets.pop("page.html")} | {f"/page/{name}": asset for name, asset in assets.items()}


def _asset(name: str, body: bytes) -> Handler:
    """A file of the package. It changes with the version only: browsers keep it, and ask whether it is still so."""
    bodies = {False: body, True: igzip.compress(body, 2)}
    tag, content_type = hashlib.sha256(body).hexdigest()[:16], TYPES[name.rpartition(".")[2]]

    async def serve(request: web.Request) -> web.Response:
        gzip = gzip_for(request.headers.get("Accept-Encoding", ""))
        known = _known(request, tag)
        return _tagged(tag, None if known else bodies[gzip], gzip, f"{content_type}; charset=utf-8", "no-cache")

    return serve


async def json(request: web.Request, answer: Answer | None) -> web.Response:
    """The answer as JSON; 503 while there is none."""
    if answer is None:
        return web.Response(status=503, text=NOT_YET)
    gzip = gzip_for(request.headers.get("Accept-Encoding", ""))
    body = None if _known(request, answer.tag) else await asyncio.to_thread(answer.body, gzip)
    return _tagged(answer.tag, body, gzip, "application/json", "no-store")


def _known(request: web.Request, tag: str) -> bool:
    """Whether the client has the body of that tag already."""
    return any(known.value in {tag, "*"} for known in request.if_none_match or ())


def _tagged(tag: str, body: bytes | None, gzip: bool, content_type: str, cache: str) -> web.Response:
    """None: not modified. The tag is weak because it names the plain body and the gzipped one."""
    headers = {"ETag": f'W/"{tag}"', "Vary": "Accept-Encoding", "Cache-Control": cache}
    if body is None:
        return web.Response(status=304, headers=headers)
    headers |= {"Content-Type": content_type} | ({"Content-Encoding": "gzip"} if gzip else {})
    return web.Response(body=body, headers=headers)
