"""A name that resolves to every server. A and AAAA records as this machine sees them, /etc/hosts included; SRV by
dnspython, which is an extra: no resolver of the system says what an SRV record holds.
"""

from __future__ import annotations

import asyncio
import socket
from collections.abc import Awaitable, Callable, Sequence
from typing import TYPE_CHECKING, Any

from exporter.config.discovery import Dns
from exporter.discovery.found import Address, Found, labels
from exporter.errors import Reason, ScrapeError
from exporter.records import NS

if TYPE_CHECKING:
    from dns.asyncresolver import Resolver

FAMILIES = {"A": socket.AF_INET, "AAAA": socket.AF_INET6}
# That nobody has the name is an answer: the last server left. That no resolver answers is a failure.
NOBODY = {socket.EAI_NONAME, getattr(socket, "EAI_NODATA", socket.EAI_NONAME)}

Lookup = Callable[..., Awaitable[Sequence[Any]]]  # as asyncio's getaddrinfo


def system_resolver() -> Resolver:
    """As /etc/resolv.conf says now."""
    from dns.asyncresolver import Resolver  # noqa: PLC0415 - an extra

    return Resolver()


class Name:
    """One name. `look` resolves it."""

    def __init__(
        self,
        config: Dns,
        timeout_ns: int,
        resolver: Callable[[], Resolver] = system_resolver,
        lookup: Lookup | None = None,
    ) -> None:
        self._config = config
        self._seconds = timeout_ns / NS
        self._resolver = resolver
        self._lookup = lookup or asyncio.get_running_loop().getaddrinfo

    async def look(self) -> Found:
        """Whom it stands for now. ScrapeError: dns, timeout."""
        try:
            async with asyncio.timeout(self._seconds):
                hosts = await (self._srv() if self._config.type == "SRV" else self._ips(FAMILIES[self._config.type]))
        except TimeoutError:
            raise ScrapeError(Reason.TIMEOUT, f"{self._config.name}: no answer within {self._seconds:g} s") from None
        name = labels(__meta_dns_name=self._config.name)
        return Found(tuple(Address(host, name) for host in sorted(hosts)))

    async def _ips(self, family: socket.AddressFamily) -> set[str]:
        try:
            found = await self._lookup(self._config.name, self._config.port, family=family, type=socket.SOCK_STREAM)
        except socket.gaierror as error:
            if error.errno in NOBODY:
                return set()
            raise ScrapeError(Reason.DNS, f"{self._config.name}: {error.strerror}") from None
        return {f"{_bracketed(str(address[0]))}:{self._config.port}" for *_, address in found}

    async def _srv(self) -> set[str]:
        from dns.exception import DNSException, Timeout  # noqa: PLC0415 - an extra
        from dns.resolver import NXDOMAIN, NoAnswer  # noqa: PLC0415

        try:
            answer = await self._resolver().resolve(self._config.name, "SRV", lifetime=self._seconds, search=True)
        except (NXDOMAIN, NoAnswer):
            return set()
        except Timeout:
            raise TimeoutError from None
        except DNSException as error:
            raise ScrapeError(Reason.DNS, f"{self._config.name}: {type(error).__name__}") from None
        # A target of "." says that there is no such service (RFC 2782).
        return {f"{str(record.target)[:-1]}:{record.port}" for record in answer if str(record.target) != "."}


def _bracketed(ip: str) -> str:
    return f"[{ip}]" if ":" in ip else ip
