"""What is scraped: one record for each endpoint of the config."""

from __future__ import annotations

from dataclasses import dataclass
from pathlib import Path
from typing import TYPE_CHECKING

from exporter.records import Role

if TYPE_CHECKING:
    from exporter.config import schema
    from exporter.config.schema import Config

ANY: Role = "any"


@dataclass(frozen=True, slots=True)
class Basic:
    """HTTP basic authentication; the password is read from its file at every scrape."""

    username: str
    password_file: Path


@dataclass(frozen=True, slots=True)
class Bearer:
    """A bearer token, read from its file at every scrape."""

    token_file: Path


@dataclass(frozen=True, slots=True)
class TlsFiles:
    """PEM files. Without `ca` the system's authorities are trusted."""

    ca: Path | None
    cert: Path | None
    key: Path | None


@dataclass(frozen=True, slots=True)
class Target:
    """One address, how to read it and to whom it belongs."""

    name: str  # scheme://host:port/path: the `target` label, safe to show
    url: str  # with its query, which may be secret
    pool: str  # or the gateway
    engine: str  # "auto" or a name of the registry
    role: Role
    interval_ns: int
    timeout_ns: int
    max_body_bytes: int
    auth: Basic | Bearer | None = None
    tls: TlsFiles | None = None
    gateway: bool = False


def targets(config: Config) -> tuple[Target, ...]:
    """Every endpoint of every pool and gateway, in the order of the config."""
    pools = [(pool.name, pool.engine, end, end.role, False) for pool in config.pools for end in pool.endpoints]
    gateways = [(gate.name, gate.engine, end, ANY, True) for gate in config.gateways for end in gate.endpoints]
    return tuple(
        Target(
            name=endpoint.target,
            url=endpoint.url,
            pool=name,
            engine=engine,
            role=role,
            interval_ns=config.scrape.interval,
            timeout_ns=config.scrape.timeout,
            max_body_bytes=config.scrape.max_body_bytes,
            auth=_auth(endpoint),
            tls=_tls(endpoint),
            gateway=gateway,
        )
        for name, engine, endpoint, role, gateway in (*pools, *gateways)
    )


def _auth(endpoint: schema.Target) -> Basic | Bearer | None:
    if endpoint.basic_auth:
        return Basic(endpoint.basic_auth.username, Path(endpoint.basic_auth.password_file))
    return Bearer(Path(endpoint.bearer_token_file)) if endpoint.bearer_token_file else None


def _tls(endpoint: schema.Target) -> TlsFiles | None:
    if not endpoint.tls:
        return None
    files = (endpoint.tls.ca_file, endpoint.tls.cert_file, endpoint.tls.key_file)
    return TlsFiles(*(Path(file) if file else None for file in files))
