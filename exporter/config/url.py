"""Addresses of targets: which are accepted, and how one is shown without its secrets."""

from __future__ import annotations

import re
import socket
from collections.abc import Iterator
from ipaddress import IPv4Address, IPv6Address, IPv6Network, ip_address
from urllib.parse import SplitResult, urlsplit

PORTS = {"http": 80, "https": 443}
# Where clouds hand out credentials to whoever asks from the inside; link-local addresses are refused beside these.
METADATA = frozenset({"metadata.google.internal", "metadata.goog", "instance-data.ec2.internal"})
METADATA_ADDRESSES = frozenset(
    map(
        ip_address,
        (
            "fd00:ec2::254",  # AWS
            "fd00:ec2::23",  # AWS, EKS pod identity
            "fd20:ce::254",  # Google
            "fd00:c1::a9fe:a9fe",  # Oracle
            "fd00:42::42",  # Scaleway
            "100.100.100.200",  # Alibaba
            "168.63.129.16",  # Azure's wire server
        ),
    )
)
NAT64 = IPv6Network("64:ff9b::/96")
BRACKETED = re.compile(r"\[[^\[\]]*\](:[0-9]*)?")
HOST = re.compile(r"(?=.{1,253}$)[a-z0-9_]([a-z0-9_-]*[a-z0-9_])?(\.[a-z0-9_]([a-z0-9_-]*[a-z0-9_])?)*\.?", re.ASCII)


def check_url(url: str, page: str = "http://127.0.0.1:8000/metrics") -> Iterator[tuple[str, str]]:
    """What is wrong with it and what would be right, such as `page`. Never shows the address: it may hold secrets."""
    example = f"write it as {page}"
    if re.search(r"[\s\\]", url):
        yield "the address holds a space or a backslash", example
        return
    if not url.isprintable():
        yield "the address holds a character that cannot be shown", example
        return
    try:
        parts, address = _split(url)
    except ValueError:
        yield "not an address", example
        return
    host, port = parts.hostname or "", parts.port
    if parts.scheme not in PORTS:
        yield "the address is neither http:// nor https://", example
    elif "@" in parts.netloc:
        yield "the address holds credentials", "move them to basic_auth: {username: ..., password_file: ...}"
    elif not (address or HOST.fullmatch(host)) or port == 0:
        yield "the address has no valid host and port", example
    elif is_metadata(host, address):
        yield "the host is link-local: a cloud's metadata service, not an engine", "write the engine's own address"
    elif not parts.path:
        yield "the address has no path", f"add it, usually {urlsplit(page).path}"
    elif "#" in url:
        yield "the address holds a fragment", "remove # and what follows it"


def _split(url: str) -> tuple[SplitResult, IPv4Address | IPv6Address | None]:
    """Its parts, and the IP address that its host spells if it is one. ValueError where they cannot be told."""
    parts = urlsplit(url)
    place = parts.netloc.rpartition("@")[2]
    if ("[" in place or "]" in place) and not BRACKETED.fullmatch(place):  # Python 3.11 reads ::1 in [::1]x:80
        raise ValueError(place)
    parts.port  # noqa: B018 - raises where it is none
    return parts, parse_address(parts.hostname or "")


def parse_address(host: str) -> IPv4Address | IPv6Address | None:
    """The IP address it spells, 169.254.43518 and 0xa9fea9fe included, as a resolver would read it; None for a name.

    Raises ValueError for what looks like an IPv6 address and is none.
    """
    if ":" in host:
        return ip_address(host)
    try:
        return IPv4Address(socket.inet_aton(host))
    except (OSError, UnicodeError):
        return None


def is_metadata(host: str, address: IPv4Address | IPv6Address | None) -> bool:
    """Link-local, or a known name or address of a metadata service; also as an IPv6 address that stands for it."""
    if isinstance(address, IPv6Address):
        low = int(address) & 0xFFFF_FFFF
        within = IPv4Address(low) if address in NAT64 or int(address) == low > 1 else None
        address = address.ipv4_mapped or address.sixtofour or within or address
    return host.rstrip(".") in METADATA or (
        address is not None and (address.is_link_local or address in METADATA_ADDRESSES)
    )


def target_of(url: str) -> str:
    """`scheme://host:port/path` of an accepted address: credentials and query removed, the port always there."""
    parts = urlsplit(url)
    host = parts.hostname or ""
    shown = f"[{host}]" if ":" in host else host
    return f"{parts.scheme}://{shown}:{parts.port or PORTS[parts.scheme]}{parts.path}"
