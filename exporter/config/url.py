"""Addresses of targets: which are accepted, and how one is shown without its secrets."""

from __future__ import annotations

import re
import socket
from collections.abc import Iterator
from ipaddress import IPv4Address, IPv6Address, IPv6Network, ip_address, ip_network
from urllib.parse import SplitResult, urlsplit

PORTS = {"http": 80, "https": 443}
# Where clouds hand out credentials to whoever asks from the inside: refused even where link-local is allowed.
METADATA = frozenset(
    {"metadata.google.internal", "metadata.goog", "metadata.tencentyun.com", "instance-data.ec2.internal"}
)
METADATA_NETWORKS = tuple(
    map(
        ip_network,
        (
            "169.254.169.0/24",  # nearly all of them, and Google's GKE
            "169.254.170.0/24",  # AWS, ECS and EKS
            "169.254.0.23",  # Tencent
            "169.254.42.42",  # Scaleway
            "fe80::a9fe:a9fe",  # OpenStack
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
# A zone is written as it is ([fe80::1%eth0]): what is connected to would look for an interface called 25eth0.
BRACKETED = re.compile(r"\[[0-9a-fA-F:.]+(%(?!25)[A-Za-z0-9_.-]{1,15})?\](:[0-9]*)?")
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
        yield "the host is a cloud's metadata service, not an engine", "write the engine's own address"
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
    """A known name or address of a metadata service; also as an IPv6 address that stands for it."""
    if address is None:
        return host.rstrip(".") in METADATA
    address = _meant(address)
    return any(address in network for network in METADATA_NETWORKS)


def is_link_local(address: IPv4Address | IPv6Address) -> bool:
    """Of 169.254.0.0/16 or fe80::/10; also as an IPv6 address that stands for it."""
    return _meant(address).is_link_local


def _meant(address: IPv4Address | IPv6Address) -> IPv4Address | IPv6Address:
    """The IPv4 address that an IPv6 address stands for, or itself without its zone."""
    if isinstance(address, IPv4Address):
        return address
    address = IPv6Address(int(address))
    low = int(address) & 0xFFFF_FFFF
    within = IPv4Address(low) if address in NAT64 or int(address) == low > 1 else None
    return address.ipv4_mapped or address.sixtofour or within or address


def check_link_local(url: str) -> Iterator[tuple[str, str]]:
    """What is wrong with an address that is link-local, where that is not allowed. It is one that `check_url` accepts;
    what a name leads to shows when it is connected to."""
    address = parse_address(urlsplit(url).hostname or "")
    if address and is_link_local(address):
        yield "the host is link-local", "write the engine's own address, or allow_link_local: true if it has no other"


def target_of(url: str) -> str:
    """`scheme://host:port/path` of an accepted address: credentials and query removed, the port always there."""
    parts = urlsplit(url)
    host = parts.hostname or ""
    shown = f"[{host}]" if ":" in host else host
    return f"{parts.scheme}://{shown}:{parts.port or PORTS[parts.scheme]}{parts.path}"
