"""A name and whom it stands for: SRV from a name server on loopback, addresses from this machine."""

from __future__ import annotations

import asyncio
import socket
from collections.abc import AsyncIterator, Callable
from contextlib import asynccontextmanager
from typing import Any

import dns.flags
import dns.message
import dns.rcode
import dns.rrset
import pytest
from dns.asyncresolver import Resolver

from exporter.config.discovery import Dns
from exporter.discovery.dns import Name
from exporter.discovery.found import Found
from exporter.errors import Reason, ScrapeError
from exporter.records import NS
from tests.discovery.given import at

SRV = "_metrics._tcp.llama.example"
Reply = Callable[[dns.message.Message], bytes | None]


class NameServer(asyncio.DatagramProtocol):
    """Answers each question as `reply` says; None: not at all."""

    def __init__(self, reply: Reply) -> None:
        self.reply = reply

    def connection_made(self, transport: Any) -> None:
        self.transport = transport

    def datagram_received(self, data: bytes, addr: Any) -> None:
        answer = self.reply(dns.message.from_wire(data))
        if answer is not None:
            self.transport.sendto(answer, addr)


@asynccontextmanager
async def name_server(reply: Reply) -> AsyncIterator[Resolver]:
    loop = asyncio.get_running_loop()
    transport, _ = await loop.create_datagram_endpoint(lambda: NameServer(reply), local_addr=("127.0.0.1", 0))
    resolver = Resolver(configure=False)
    resolver.nameservers = ["127.0.0.1"]
    resolver.port = transport.get_extra_info("sockname")[1]
    try:
        yield resolver
    finally:
        transport.close()


def records(*lines: str) -> Reply:
    def reply(question: dns.message.Message) -> bytes:
        answer = dns.message.make_response(question)
        answer.flags |= dns.flags.RA
        if lines:
            answer.answer.append(dns.rrset.from_text(f"{SRV}.", 5, "IN", "SRV", *lines))
        return answer.to_wire()

    return reply


def code(rcode: dns.rcode.Rcode) -> Reply:
    def reply(question: dns.message.Message) -> bytes:
        answer = dns.message.make_response(question)
        answer.set_rcode(rcode)
        return answer.to_wire()

    return reply


async def look(reply: Reply, timeout_ns: int = 20 * NS) -> Found:
    async with name_server(reply) as resolver:
        return await Name(Dns(name=SRV), timeout_ns, lambda: resolver).look()


async def test_srv_records_name_servers_and_ports() -> None:
    found = await look(records("0 5 8001 b.example.", "0 5 8000 a.example.", "1 0 8000 a.example."))
    assert found.addresses == (
        at("a.example:8000", __meta_dns_name=SRV),
        at("b.example:8001", __meta_dns_name=SRV),
    )


@pytest.mark.parametrize("reply", [records(), records("0 0 0 ."), code(dns.rcode.NXDOMAIN)], ids=["none", "dot", "nx"])
async def test_that_nobody_is_there_is_an_answer(reply: Reply) -> None:
    assert await look(reply) == Found(())


@pytest.mark.parametrize(
    ("reply", "reason"),
    [
        (code(dns.rcode.SERVFAIL), Reason.DNS),
        (code(dns.rcode.REFUSED), Reason.DNS),
        (lambda _: None, Reason.TIMEOUT),
    ],
    ids=["servfail", "refused", "silence"],
)
async def test_a_server_that_does_not_say_is_a_failure(reply: Reply, reason: Reason) -> None:
    with pytest.raises(ScrapeError) as error:
        await look(reply, NS // 2)
    assert error.value.reason is reason
    assert SRV in str(error.value)


async def test_addresses_are_those_that_this_machine_knows() -> None:
    found = await Name(Dns(name="localhost", type="A", port=8000), 20 * NS).look()
    assert found == Found((at("127.0.0.1:8000", __meta_dns_name="localhost"),))


def says(*answers: str | int) -> Any:
    """As getaddrinfo: addresses, or an error."""

    async def lookup(_host: str, port: int, *, family: int, type: int) -> list[Any]:  # noqa: A002 - its name
        if isinstance(answers[0], int):
            raise socket.gaierror(answers[0], "said so")
        return [(family, type, 6, "", (ip, port)) for ip in answers]

    return lookup


async def looked_up(family: str, *answers: str | int) -> Found:
    config = Dns.model_validate({"name": "llama", "type": family, "port": 8000})
    return await Name(config, 20 * NS, lookup=says(*answers)).look()


async def test_each_address_is_a_server_once() -> None:
    found = await looked_up("A", "10.0.0.2", "10.0.0.1", "10.0.0.2")
    assert [address.host for address in found.addresses] == ["10.0.0.1:8000", "10.0.0.2:8000"]
    found = await looked_up("AAAA", "fd00::1")
    assert [address.host for address in found.addresses] == ["[fd00::1]:8000"]


async def test_a_name_that_nobody_has_lists_nobody_and_a_resolver_that_is_away_fails() -> None:
    assert await looked_up("A", socket.EAI_NONAME) == Found(())
    with pytest.raises(ScrapeError) as error:
        await looked_up("A", socket.EAI_AGAIN)
    assert error.value.reason is Reason.DNS
