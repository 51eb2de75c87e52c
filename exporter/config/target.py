"""An address of the config, and the files that hold its secrets."""

from __future__ import annotations

from collections.abc import Iterator

from pydantic import Field

from exporter.config import types as t
from exporter.config.part import Part
from exporter.config.types import Mistake
from exporter.config.url import check_link_local, target_of

LINK_LOCAL = (
    "It may be of 169.254.0.0/16 or fe80::/10 (`http://[fe80::1%eth0]:8000/metrics`), as between machines on one "
    "cable; a metadata service never."
)


class BasicAuth(Part):
    username: t.Username
    password_file: t.File = Field(description="Relative to the config file.")


class Tls(Part):
    ca_file: t.File | None = None
    cert_file: t.File | None = None
    key_file: t.File | None = None

    def disagreements(self) -> Iterator[Mistake]:
        if self.cert_file and not self.key_file:
            yield ("cert_file",), "a certificate without its key", "add key_file"
        if self.key_file and not self.cert_file:
            yield ("key_file",), "a key without its certificate", "add cert_file"


def logged_in_twice(basic_auth: BasicAuth | None, bearer_token_file: str | None) -> Iterator[Mistake]:
    """Basic authentication and a bearer token are one header."""
    if basic_auth and bearer_token_file:
        yield ("bearer_token_file",), "two ways to log in: basic_auth too", "keep one of them"


class Target(Part):
    """An address that is scraped, and the files that hold its secrets."""

    url: t.Url = Field(description="The whole address of the metrics page.")
    basic_auth: BasicAuth | None = None
    bearer_token_file: t.File | None = None
    tls: Tls | None = None
    allow_link_local: bool = Field(default=False, description=LINK_LOCAL)

    @property
    def target(self) -> str:
        """`scheme://host:port/path`: how the target is called on every metric and in every log line."""
        return target_of(self.url)

    def disagreements(self) -> Iterator[Mistake]:
        yield from logged_in_twice(self.basic_auth, self.bearer_token_file)
        if self.tls and not self.target.startswith("https:"):
            yield ("tls",), "tls for an address that is not https", "write https:// there, or remove tls"
        if not self.allow_link_local:
            for wrong, fix in check_link_local(self.url):
                yield (type(self).model_fields["url"].alias or "url",), wrong, fix
