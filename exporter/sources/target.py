"""What is scraped: one record for each endpoint of the config, and for each source of GPUs."""

from __future__ import annotations

from collections.abc import Iterator
from dataclasses import dataclass
from pathlib import Path
from typing import Literal

from exporter.config.gpus import ExportedGpus
from exporter.config.schema import Config, Otlp, Pool
from exporter.config.target import Target as Address
from exporter.config.target import Tls
from exporter.records import NS, NVML, Role
from exporter.sources.custom import custom_engine
from exporter.sources.engine import Engine

Kind = Literal["engine", "gateway", "gpus"]

ANY: Role = "any"
MOST_NVML_INTERVAL = 10 * NS  # the driver keeps its samples for some 16 s: asked less often, it has forgotten the rest


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
    pool: str  # or the gateway; "" where several pools share it
    engine: str  # "auto" or a name of the registry; of GPUs "nvml" or an exporter's
    role: Role
    interval_ns: int
    timeout_ns: int
    max_body_bytes: int
    auth: Basic | Bearer | None = None
    tls: TlsFiles | None = None
    link_local: bool = False  # whether it may be connected to where only a cable leads; a metadata service never is
    kind: Kind = "engine"
    custom: Engine | None = None  # the table that the config itself holds, where `engine` is "custom"


def targets(config: Config) -> tuple[Target, ...]:
    """Every endpoint of every pool and gateway, in the order of the config; then what GPUs are read from."""
    return (*_endpoints(config), *_gpus(config))


def _endpoints(config: Config) -> Iterator[Target]:
    for pool in config.pools:
        custom = custom_engine(pool.custom)
        for endpoint in pool.endpoints:
            yield _scraped(config, "engine", pool.name, pool.engine, endpoint, endpoint.role, custom)
    for gateway in config.gateways:
        custom = custom_engine(gateway.custom)
        for address in gateway.endpoints:
            yield _scraped(config, "gateway", gateway.name, gateway.engine, address, custom=custom)


def _gpus(config: Config) -> Iterator[Target]:
    """Each source once, however many pools take GPUs from it: the first of them says how to log in."""
    users: dict[str, list[Pool]] = {}
    for pool in config.pools:
        if pool.gpus_from is not None:
            users.setdefault(pool.gpus_from, []).append(pool)
    for pools in users.values():
        name, gpus = "" if len(pools) > 1 else pools[0].name, pools[0].gpus
        if isinstance(gpus, ExportedGpus):
            yield _scraped(config, "gpus", name, gpus.source, gpus)
        else:
            scrape = config.scrape
            interval = min(scrape.interval, MOST_NVML_INTERVAL)
            yield Target(NVML, NVML, name, "nvml", ANY, interval, min(scrape.timeout, interval), 0, kind="gpus")


def _scraped(
    config: Config,
    kind: Kind,
    pool: str,
    engine: str,
    at: Address,
    role: Role = ANY,
    custom: Engine | None = None,
) -> Target:
    return Target(
        name=at.target,
        url=at.url,
        pool=pool,
        engine=engine,
        role=role,
        interval_ns=config.scrape.interval,
        timeout_ns=config.scrape.timeout,
        max_body_bytes=config.scrape.max_body_bytes,
        auth=_auth(at),
        tls=tls_files(at.tls),
        link_local=at.allow_link_local,
        kind=kind,
        custom=custom,
    )


def addressed(at: Address, what: str, interval_ns: int, timeout_ns: int, max_body_bytes: int) -> Target:
    """Another address that the config has, as one of those that are read: where metrics are pushed to (`otlp`), where
    targets are listed (`http_sd`)."""
    return Target(
        name=at.target,
        url=at.url,
        pool="",
        engine=what,
        role=ANY,
        interval_ns=interval_ns,
        timeout_ns=timeout_ns,
        max_body_bytes=max_body_bytes,
        auth=_auth(at),
        tls=tls_files(at.tls),
        link_local=at.allow_link_local,
    )


def receiver(at: Otlp, max_answer_bytes: int) -> Target:
    """Where metrics are pushed to: an address like those that are read."""
    return addressed(at, "otlp", at.interval, at.timeout, max_answer_bytes)


def _auth(endpoint: Address) -> Basic | Bearer | None:
    if endpoint.basic_auth:
        return Basic(endpoint.basic_auth.username, Path(endpoint.basic_auth.password_file))
    return Bearer(Path(endpoint.bearer_token_file)) if endpoint.bearer_token_file else None


def tls_files(tls: Tls | None) -> TlsFiles | None:
    """The files that the config names, if it does."""
    if not tls:
        return None
    files = (tls.ca_file, tls.cert_file, tls.key_file)
    return TlsFiles(*(Path(file) if file else None for file in files))
