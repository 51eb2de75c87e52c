"""A secret is sent to its own target and shown to nobody: not by the log, a page, an error or the ledger."""

from __future__ import annotations

import asyncio
import base64
from collections.abc import Mapping
from contextlib import AsyncExitStack
from pathlib import Path
from typing import Any

from tests.process.exporter import config, config_file, exporter, pool, run, stop, write_config
from tests.sources.servers import PAGE, Answer, http, says, serve

PASSWORD, TOKEN, QUERY, WRONG = "s3cret-password", "s3cret-token", "s3cret-query", "s3cret-wrong"
BASIC = base64.b64encode(f"scraper:{PASSWORD}".encode()).decode()
WRONG_BASIC = base64.b64encode(f"scraper:{WRONG}".encode()).decode()
SECRETS = ("s3cret", BASIC, WRONG_BASIC)
KEYS = (f"Basic {BASIC}", f"Bearer {TOKEN}", f"?token={QUERY} ")


async def guarded(request: bytes, writer: asyncio.StreamWriter) -> None:
    """The page for whoever has a key; whoever has none gets everything that was sent thrown back."""
    if any(key.encode() in request for key in KEYS):
        writer.write(http(PAGE, "Connection: close"))
    else:
        line = request.split(b"\r\n")[0].decode()
        writer.write(http(request, f"X-Back: {line}", "Connection: close", status=f"401 No {line}"))


async def test_no_secret_is_ever_shown(tmp_path: Path) -> None:
    files = {name: tmp_path / name for name in ("password", "token", "wrong", "unreadable", "gone")}
    for name, content in (("password", PASSWORD), ("token", TOKEN), ("wrong", WRONG)):
        files[name].write_text(f"{content}\n")
    files["unreadable"].write_text(f"{WRONG}\n{WRONG}\n")
    query = f"/metrics?token={QUERY}"
    servers: dict[str, tuple[Answer, str, Mapping[str, Any]]] = {  # answer, path, what else the endpoint says
        "password": (guarded, "/metrics", {"basic_auth": login(files["password"])}),
        "token": (guarded, "/metrics", {"bearer_token_file": str(files["token"])}),
        "query": (guarded, query, {}),
        "wrong password": (guarded, "/metrics", {"basic_auth": login(files["wrong"])}),
        "wrong token": (guarded, "/metrics", {"bearer_token_file": str(files["wrong"])}),
        "wrong query": (guarded, f"/metrics?token={WRONG}", {}),
        "unreadable": (guarded, "/metrics", {"bearer_token_file": str(files["unreadable"])}),
        "gone": (guarded, "/metrics", {"bearer_token_file": str(files["gone"])}),
        "no HTTP": (says(f"{TOKEN} {QUERY}\r\n\r\n".encode()), query, {}),
        "no page": (says(http(b"Please log in\n")), query, {}),
        "hangs up": (says(b""), query, {"bearer_token_file": str(files["token"])}),
        "elsewhere": (says(http(b"", f"Location: http://127.0.0.1:1/?{QUERY}", status="302 Found")), query, {}),
        "no TLS": (says(http()), query, {"tls": {}}),
    }
    async with AsyncExitStack() as stack:
        endpoints, requests = {}, {}
        for name, (answer, path, more) in servers.items():
            origin, requests[name] = await stack.enter_async_context(serve(answer))
            origin = origin.replace("http:", "https:") if "tls" in more else origin
            endpoints[name] = {"url": f"{origin}{path}", **more}
        guards = config(pool("guarded", *endpoints.values(), engine="vllm"))
        flags = ("--log.level=debug", "--web.enable-lifecycle")
        running = await stack.enter_async_context(exporter(tmp_path, guards, *flags))

        scrapes = "tokencost_target_scrapes_total"
        await running.page_when(lambda page: page.total(scrapes) >= 2 * len(servers), "each was tried twice")
        await running.page_when(lambda page: page.total("tokencost_target_up") == 3, "who has the key is let in")
        for name, key in zip(servers, KEYS, strict=False):
            assert key.encode() in requests[name][0]
        assert WRONG_BASIC.encode() in requests["wrong password"][0]

        shown = {path: (await running.get(path))[1] for path in ("/", "/metrics", "/api/v1/snapshot")}
        shown["OpenMetrics"] = (await running.get("/metrics", "application/openmetrics-text"))[1]

        first = endpoints["query"]["url"]
        bad = (
            {"url": first.replace("http://", f"http://scraper:{PASSWORD}@")},
            {"url": f"{first} {TOKEN}"},
            {"url": first},
        )
        write_config(tmp_path, config(pool("guarded", first, *bad, bearer=TOKEN), scrape={"interval": TOKEN}))
        status, shown["reload"] = await running.post("/-/reload")
        assert status == 500
        check = await run("--config.check", folder=tmp_path)
        assert check.code == 1
        shown["check"] = check.out + check.err
        config_file(tmp_path).write_text(f"pools: [{{url: '{first}', bearer: {TOKEN}")
        shown["broken"] = (await running.post("/-/reload"))[1]
        await stop(running)
        shown["log"] = running.program.output()
        shown["ledger"] = (tmp_path / "ledger.db").read_bytes().decode(errors="replace")

    assert shown["log"].count(" is down, ") >= len(servers) - 3
    for where, text in shown.items():
        for secret in SECRETS:
            assert secret not in text, f"{secret} in {where}: {text[max(0, text.find(secret) - 300) :][:400]}"


def login(file: Path) -> dict[str, str]:
    return {"username": "scraper", "password_file": str(file)}


async def test_an_answer_that_echoes_the_query_is_not_shown(tmp_path: Path) -> None:
    for engine in ("vllm", "auto"):
        async with serve(says(http(b"denied token=s3cret\ns3cret refused\n"))) as (origin, _):
            url = f"{origin}/metrics?token=s3cret"
            (tmp_path / engine).mkdir()
            async with exporter(tmp_path / engine, config(pool("chat", url, engine=engine))) as running:
                shown = (await running.get("/api/v1/snapshot"))[1] + running.program.output()
        assert "s3cret" not in shown
        assert "invalid" in shown
