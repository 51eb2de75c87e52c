"""Where endpoints come from that nobody wrote down: files, a web service, DNS, pods of a Kubernetes namespace."""

from __future__ import annotations

from collections.abc import Iterator
from typing import Literal

from pydantic import Field

from exporter.config import types as t
from exporter.config.part import Part
from exporter.config.target import LINK_LOCAL, BasicAuth, Target, Tls, logged_in_twice
from exporter.config.types import MINUTE, SECOND, Mistake
from exporter.records import Role

KINDS = ("file_sd", "http_sd", "dns", "kubernetes")


class FileSd(Part):
    """Files in Prometheus' format, written by something else."""

    files: tuple[t.File, ...] = Field(
        min_length=1, max_length=100, description="JSON or YAML files; `*` and `?` in the last part of a path."
    )


class HttpSd(Target):
    """A service that answers with Prometheus' HTTP discovery format."""

    url: t.SdUrl = Field(description="The whole address; it answers with JSON.")
    interval: t.Duration = Field(default=MINUTE, description="How often it is asked.")


class Dns(Part):
    """A name that resolves to every server: a headless Service, a record that Consul keeps."""

    name: t.HostName
    type: Literal["SRV", "A", "AAAA"] = Field(default="SRV", description="SRV records have a port; others need `port`.")
    port: t.PortNumber | None = None
    interval: t.Duration = Field(default=30 * SECOND, description="How often it is looked up.")

    def disagreements(self) -> Iterator[Mistake]:
        if self.type == "SRV" and self.port is not None:
            yield ("port",), "SRV records say the port themselves", "remove it, or write type: A"
        elif self.type != "SRV" and self.port is None:
            yield ("port",), f"{self.type} records say no port", "add it, such as `port: 8000`"


class Kubernetes(Part):
    """Pods of one namespace, watched."""

    selector: t.Value = Field(description="Label selector of the pods, such as `app=llama,tier in (a, b)`.")
    port: t.Port = Field(description="Number, or name of a container port, of the metrics page.")
    namespace: t.Name | None = Field(default=None, description="Omitted: the exporter's own.")
    tenant_annotation: t.FoundLabel | None = Field(
        default=None, description="Annotation of the pod that names the tenant of all its tokens."
    )
    api_server: t.ApiServer | None = Field(default=None, description="Omitted: the cluster that the exporter runs in.")
    bearer_token_file: t.File | None = Field(default=None, description="Omitted: the service account's, in a cluster.")
    tls: Tls | None = Field(default=None, description="Omitted: the cluster's authority, in a cluster.")

    def disagreements(self) -> Iterator[Mistake]:
        if self.api_server and not self.namespace:
            yield ("namespace",), "api_server without a namespace", "add it, such as `namespace: llm`"
        if self.tls and self.api_server and not self.api_server.startswith("https:"):
            yield ("tls",), "tls for an address that is not https", "write https:// there, or remove tls"


class Discover(Part):
    """One source of endpoints, of exactly one kind, and how what it finds is read."""

    file_sd: FileSd | None = None
    http_sd: HttpSd | None = None
    dns: Dns | None = None
    kubernetes: Kubernetes | None = None
    match: dict[t.FoundLabel, t.Regex] = Field(
        default={},
        description="Regular expressions, each on a whole value, by label of what was found; the rest is left out.",
    )
    scheme: Literal["http", "https"] = "http"
    path: t.UrlPath = "/metrics"
    basic_auth: BasicAuth | None = Field(default=None, description="Sent to whatever is found, as is the token.")
    bearer_token_file: t.File | None = None
    tls: Tls | None = None
    allow_link_local: bool = Field(default=False, description=LINK_LOCAL)

    @property
    def kind(self) -> str:
        """Which of the kinds it is."""
        return next(kind for kind in KINDS if getattr(self, kind))

    def disagreements(self) -> Iterator[Mistake]:
        kinds = [kind for kind in KINDS if getattr(self, kind)]
        if len(kinds) != 1:
            wrong = f"{' and '.join(kinds)} in one item" if kinds else "nothing says where to look"
            yield (), wrong, f"write exactly one of: {', '.join(KINDS)}"
        yield from logged_in_twice(self.basic_auth, self.bearer_token_file)
        if self.tls and self.scheme != "https":
            yield ("tls",), "tls for addresses that are not https", "write scheme: https, or remove tls"


class DiscoverEndpoints(Discover):
    """Servers of a pool."""

    role: Role = Field(default="any", description="Of every server it finds.")
    model: t.Value | None = Field(default=None, description="Of every server it finds, where the page has none.")
    tenant_from: t.FoundLabel | None = Field(
        default=None, description="Label of what was found that names the tenant of all its tokens."
    )

    def disagreements(self) -> Iterator[Mistake]:
        yield from super().disagreements()
        if self.tenant_from and self.kubernetes and self.kubernetes.tenant_annotation:
            yield ("tenant_from",), "both tenant_from and kubernetes.tenant_annotation are set", "keep one of them"


class DiscoverGateways(Discover):
    """Replicas of a gateway, whose series name their tenants themselves."""

    def disagreements(self) -> Iterator[Mistake]:
        yield from super().disagreements()
        if self.kubernetes and self.kubernetes.tenant_annotation:
            wrong = "a gateway's series name their tenants"
            yield ("kubernetes", "tenant_annotation"), wrong, "remove it, see tenant_label of the gateway"


def sources(discover: tuple[Discover, ...], owner: str) -> Iterator[tuple[str, Discover]]:
    """Each source with its name: `pool/llama/file_sd`, and `pool/llama/file_sd/2` for the next one of that kind."""
    seen: dict[str, int] = {}
    for source in discover:
        seen[source.kind] = number = seen.get(source.kind, 0) + 1
        yield f"{owner}/{source.kind}" + (f"/{number}" if number > 1 else ""), source
