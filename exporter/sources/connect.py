"""Where a connection may lead, decided by the address it is about to be made to: a name is only a promise, and one that
resolved to a server a minute ago may now resolve to a cloud's metadata service."""

from __future__ import annotations

import socket
from ipaddress import ip_address
from typing import Any

from exporter.config.url import is_link_local, is_metadata

AddrInfo = tuple[int, int, int, str, tuple[Any, ...]]  # as getaddrinfo gives it; the last has the address and the port


class ForbiddenAddressError(OSError):
    """The name leads to an address that is never connected to."""

    def __init__(self) -> None:
        super().__init__("it leads to a link-local address or a metadata service")  # not to which: it may be a secret


def guarded(found: AddrInfo, link_local: bool = False) -> socket.socket:
    """A socket for that address. ForbiddenAddressError for what no engine listens on, and for link-local ones unless
    they are allowed."""
    family, kind, protocol, _, address = found
    ip = ip_address(address[0])
    if is_metadata("", ip) or (is_link_local(ip) and not link_local):
        raise ForbiddenAddressError
    return socket.socket(family, kind, protocol)
