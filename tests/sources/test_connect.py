"""What decides is the address that is connected to, whatever name led there."""

from __future__ import annotations

import socket
from dataclasses import replace
from urllib.parse import urlsplit

import pytest
from aiohttp.abc import AbstractResolver, ResolveResult

from exporter.config.url import check_link_local, check_url
from exporter.errors import Reason, ScrapeError
from exporter.sources.connect import AddrInfo, ForbiddenAddressError, guarded
from exporter.sources.fetch import Fetcher
from tests.sources.servers import PAGE, http, says, serve, target

LINK_LOCAL = ("169.254.7.7", "fe80::1", "fe80::1%lo", "febf::1", "::ffff:169.254.7.7", "2002:a9fe:707::1")
METADATA = (
    "169.254.169.254",
    "169.254.170.2",
    "169.254.0.23",
    "169.254.42.42",
    "100.100.100.200",
    "168.63.129.16",
    "fe80::a9fe:a9fe",
    "fe80::a9fe:a9fe%lo",
    "fd00:ec2::254",
    "fd00:ec2::23",
    "fd20:ce::254",
    "::ffff:169.254.169.254",
    "::169.254.169.254",
    "64:ff9b::a9fe:a9fe",
    "2002:a9fe:a9fe::1",
)
FORBIDDEN = (*METADATA, *LINK_LOCAL)
ALLOWED = ("127.0.0.1", "10.0.0.1", "172.16.0.1", "192.168.1.1", "100.64.0.1", "::1", "fd00::1", "2606:4700::1111")


class Names(AbstractResolver):
    """A resolver that says what it is told to, and remembers what it was asked."""

    def __init__(self, names: dict[str, tuple[str, ...]]) -> None:
        self.names = names
        self.asked: list[str] = []

    async def resolve(
        self,
        host: str,
        port: int = 0,
        family: socket.AddressFamily = socket.AF_UNSPEC,  # noqa: ARG002
    ) -> list[ResolveResult]:
        self.asked.append(host)
        return [
            ResolveResult(
                hostname=host,
                host=address,
                port=port,
                family=socket.AF_INET6 if ":" in address else socket.AF_INET,
                proto=0,
                flags=socket.AI_NUMERICHOST,
            )
            for address in self.names[host]
        ]

    async def close(self) -> None:
        pass


async def fetched(origin: str, addresses: dict[str, tuple[str, ...]], host: str = "llm.example") -> bytes:
    """The page of that server, asked for by name, and the name resolved so."""
    port = urlsplit(origin).port
    async with Fetcher(Names(addresses)) as fetcher:
        return await fetcher.get(target(f"http://{host}:{port}"))


@pytest.mark.parametrize("address", FORBIDDEN)
async def test_a_name_that_leads_to_a_metadata_service_is_not_followed(address: str) -> None:
    async with serve(says(http())) as (origin, requests):
        with pytest.raises(ScrapeError, match="link-local address or a metadata service") as refused:
            await fetched(origin, {"llm.example": (address,)})
    assert refused.value.reason is Reason.FORBIDDEN
    assert address.partition("%")[0] not in str(refused.value)
    assert requests == []


async def test_names_do_not_decide_addresses_do() -> None:
    async with serve(says(http())) as (origin, _):
        for host in ("metadata.internal.example", "169-254-169-254.example"):
            assert await fetched(origin, {host: ("127.0.0.1",)}, host) == PAGE
        assert await fetched(origin, {"llm.example": ("169.254.169.254", "127.0.0.1")}) == PAGE


async def test_a_name_that_changes_its_mind_is_found_out() -> None:
    """DNS rebinding: what was looked up when the config was read says nothing about what is connected to."""
    names = Names({"llm.example": ("127.0.0.1",), "later.example": ("169.254.169.254",)})
    async with serve(says(http(PAGE, "Connection: close"))) as (origin, _), Fetcher(names) as fetcher:
        port = urlsplit(origin).port
        assert await fetcher.get(target(f"http://llm.example:{port}")) == PAGE
        names.names["llm.example"] = ("169.254.169.254",)
        assert await fetcher.get(target(f"http://llm.example:{port}")) == PAGE  # what was looked up holds for 30 s
        fetcher._sessions[False].connector.clear_dns_cache()  # type: ignore[union-attr]  # and the 30 s are over
        with pytest.raises(ScrapeError) as refused:
            await fetcher.get(target(f"http://llm.example:{port}"))
    assert refused.value.reason is Reason.FORBIDDEN


async def test_a_redirect_obeys_the_same_rule() -> None:
    """Within the origin it is followed, over a new connection to wherever the name leads by then."""
    names = Names({"llm.example": ("127.0.0.1",)})

    async def moves(request: bytes, writer: object) -> None:
        names.names["llm.example"] = ("169.254.169.254",)
        fetcher._sessions[False].connector.clear_dns_cache()  # type: ignore[union-attr]
        writer.write(http(b"", "Location: /again", "Connection: close", status="302 Found"))  # type: ignore[attr-defined]

    async with serve(moves) as (origin, requests), Fetcher(names) as fetcher:
        with pytest.raises(ScrapeError) as refused:
            await fetcher.get(target(f"http://llm.example:{urlsplit(origin).port}"))
    assert refused.value.reason is Reason.FORBIDDEN
    assert len(requests) == 1


@pytest.mark.parametrize("address", ["169.254.169.254", "[fe80::1]", "metadata.google.internal"])
async def test_a_redirect_to_another_origin_is_not_followed_at_all(address: str) -> None:
    there = says(http(b"", f"Location: http://{address}/latest/meta-data", status="307 Temporary Redirect"))
    async with serve(there) as (origin, _), Fetcher() as fetcher:
        with pytest.raises(ScrapeError) as refused:
            await fetcher.get(target(origin))
    assert refused.value.reason is Reason.REDIRECT


async def test_a_push_obeys_the_same_rule() -> None:
    async with serve(says(http())) as (origin, requests), Fetcher(Names({"otlp.example": FORBIDDEN[:2]})) as fetcher:
        with pytest.raises(ScrapeError) as refused:
            await fetcher.post(target(f"http://otlp.example:{urlsplit(origin).port}"), b"x", {})
    assert refused.value.reason is Reason.FORBIDDEN
    assert requests == []


def found(address: str) -> AddrInfo:
    return socket.AF_INET6 if ":" in address else socket.AF_INET, socket.SOCK_STREAM, 0, "", (address, 80)


@pytest.mark.parametrize("address", ALLOWED)
@pytest.mark.parametrize("link_local", [False, True])
def test_private_addresses_are_what_engines_have(address: str, link_local: bool) -> None:
    guarded(found(address), link_local).close()


@pytest.mark.parametrize("address", METADATA)
@pytest.mark.parametrize("link_local", [False, True])
def test_a_metadata_service_is_never_connected_to(address: str, link_local: bool) -> None:
    with pytest.raises(ForbiddenAddressError):
        guarded(found(address), link_local)


@pytest.mark.parametrize("address", LINK_LOCAL)
def test_a_link_local_address_is_connected_to_where_the_config_allows_it(address: str) -> None:
    with pytest.raises(ForbiddenAddressError):
        guarded(found(address))
    guarded(found(address), link_local=True).close()


@pytest.mark.parametrize("address", FORBIDDEN)
def test_an_address_in_the_config_is_refused_when_it_is_read(address: str) -> None:
    url = f"http://[{address}]:80/metrics" if ":" in address else f"http://{address}:80/metrics"
    assert any(check_url(url)) is (address in METADATA)
    assert any(check_link_local(url)) or address in METADATA


async def test_one_target_that_may_be_link_local_allows_nothing_to_the_others() -> None:
    """The first gets as far as the network, which knows no way to it without a zone."""
    names = Names(dict.fromkeys(("cable.example", "llm.example"), ("fe80::7",)))
    async with Fetcher(names) as fetcher:
        cable = replace(target("http://cable.example:9"), link_local=True)
        for _ in range(2):
            with pytest.raises(ScrapeError) as beyond:
                await fetcher.get(cable)
            assert beyond.value.reason is Reason.CONNECT
            with pytest.raises(ScrapeError) as refused:
                await fetcher.get(target("http://llm.example:9"))
            assert refused.value.reason is Reason.FORBIDDEN
