"""web.yml, the file of `--web.config.file`: the format of Prometheus's exporter-toolkit, read as strictly as our own.

https://github.com/prometheus/exporter-toolkit/blob/master/docs/web-configuration.md. The format is made of what Go's
TLS can do. What Python's ssl cannot do the same way is refused here with the reason; nothing is read and ignored.
"""

from __future__ import annotations

from collections.abc import Iterator, Mapping
from pathlib import Path
from typing import Annotated, Any, Literal

from pydantic import AfterValidator, Field, StringConstraints

from exporter.config import document, reading
from exporter.config.document import Finding
from exporter.config.part import Part
from exporter.config.types import (
    BCRYPT_PATTERN,
    HEADER_PATTERN,
    Duration,
    File,
    Mistake,
    Text,
    Username,
    refuse,
)  # fmt: skip

FLAG = "--web.config.file"
LOWEST_COST = 4  # of bcrypt itself
HIGHEST_COST = 14  # a second of one core for every password that is tried
# Go's names for the suites up to TLS 1.2 that it calls secure -> OpenSSL's.
CIPHERS = {
    "TLS_ECDHE_ECDSA_WITH_AES_128_CBC_SHA": "ECDHE-ECDSA-AES128-SHA",
    "TLS_ECDHE_ECDSA_WITH_AES_256_CBC_SHA": "ECDHE-ECDSA-AES256-SHA",
    "TLS_ECDHE_RSA_WITH_AES_128_CBC_SHA": "ECDHE-RSA-AES128-SHA",
    "TLS_ECDHE_RSA_WITH_AES_256_CBC_SHA": "ECDHE-RSA-AES256-SHA",
    "TLS_ECDHE_ECDSA_WITH_AES_128_GCM_SHA256": "ECDHE-ECDSA-AES128-GCM-SHA256",
    "TLS_ECDHE_ECDSA_WITH_AES_256_GCM_SHA384": "ECDHE-ECDSA-AES256-GCM-SHA384",
    "TLS_ECDHE_RSA_WITH_AES_128_GCM_SHA256": "ECDHE-RSA-AES128-GCM-SHA256",
    "TLS_ECDHE_RSA_WITH_AES_256_GCM_SHA384": "ECDHE-RSA-AES256-GCM-SHA384",
    "TLS_ECDHE_RSA_WITH_CHACHA20_POLY1305_SHA256": "ECDHE-RSA-CHACHA20-POLY1305",
    "TLS_ECDHE_ECDSA_WITH_CHACHA20_POLY1305_SHA256": "ECDHE-ECDSA-CHACHA20-POLY1305",
}
ALWAYS = frozenset({"TLS_AES_128_GCM_SHA256", "TLS_AES_256_GCM_SHA384", "TLS_CHACHA20_POLY1305_SHA256"})
CURVES = {"CurveP256": "prime256v1", "CurveP384": "secp384r1", "CurveP521": "secp521r1", "X25519": "X25519"}
VERSIONS = ("TLS12", "TLS13")
UNVERIFIED = ("RequestClientCert", "RequireAnyClientCert", "RequireClientCert")
VERIFYING = {"NoClientCert": False, "VerifyClientCertIfGiven": True, "RequireAndVerifyClientCert": True}


def _cipher(value: str) -> str:
    if value in ALWAYS:
        raise refuse([((), "a suite of TLS 1.3, which are always all on", "remove it: only TLS 1.2 has a choice")])
    if value not in CIPHERS:
        raise refuse([((), "no suite that Go calls secure", f"write one of: {', '.join(CIPHERS)}")])
    return value


def _curve(value: str) -> str:
    if value not in CURVES:
        raise refuse([((), "no curve that is known here", f"write one of: {', '.join(CURVES)}")])
    return value


def _version(value: str) -> str:
    if value in {"TLS10", "TLS11"}:
        raise refuse([((), f"{value} is broken, and is not offered", "write TLS12 or TLS13")])
    if value not in VERSIONS:
        raise refuse([((), "no version of TLS", "write TLS12 or TLS13")])
    return value


def _client_auth(value: str) -> str:
    if value in UNVERIFIED:
        wrong = f"{value} asks for a certificate without verifying it, which Python cannot do"
        raise refuse([((), wrong, "write RequireAndVerifyClientCert, and client_ca_file")])
    if value not in VERIFYING:
        raise refuse([((), "not known here", f"write one of: {', '.join(VERIFYING)}")])
    return value


def _http2(value: bool) -> bool:
    if value:
        raise refuse([((), "HTTP/2 is not served", "write false, or remove the key: Prometheus speaks HTTP/1.1 too")])
    return value


def _inline(_: Any) -> str:
    raise refuse([((), "a certificate or key in the config itself", "put it into a file, and name that in *_file")])


def _password_hash(value: str) -> str:
    cost = int(value[4:6])
    if not LOWEST_COST <= cost <= HIGHEST_COST:
        raise refuse(
            [((), f"a bcrypt cost of {cost}", f"write a hash with {LOWEST_COST} to {HIGHEST_COST}, such as 10")]
        )
    return value


Cipher = Annotated[Text, AfterValidator(_cipher)]
Curve = Annotated[Text, AfterValidator(_curve)]
Version = Annotated[Text, AfterValidator(_version)]
Header = Annotated[str, StringConstraints(strict=True, max_length=4096, pattern=HEADER_PATTERN)]
PasswordHash = Annotated[
    str, StringConstraints(strict=True, max_length=60, pattern=BCRYPT_PATTERN), AfterValidator(_password_hash)
]


class Tls(Part):
    """tls_server_config."""

    cert_file: File
    key_file: File
    client_auth_type: Annotated[Text, AfterValidator(_client_auth)] = "NoClientCert"
    client_ca_file: File | None = None
    client_allowed_sans: Annotated[tuple[Text, ...], Field(min_length=1)] | None = None
    min_version: Version = "TLS12"
    max_version: Version = "TLS13"
    cipher_suites: tuple[Cipher, ...] = ()
    prefer_server_cipher_suites: Annotated[bool, Field(strict=True)] = True
    curve_preferences: tuple[Curve, ...] = ()
    cert: Annotated[str, AfterValidator(_inline)] = ""
    key: Annotated[str, AfterValidator(_inline)] = ""
    client_ca: Annotated[str, AfterValidator(_inline)] = ""

    def disagreements(self) -> Iterator[Mistake]:
        if self.min_version > self.max_version:
            yield ("min_version",), f"above max_version, {self.max_version}", "write a version that is not above it"
        if VERIFYING[self.client_auth_type] and not self.client_ca_file:
            yield ("client_auth_type",), "no client_ca_file to verify with", "add it, such as `client_ca_file: ca.crt`"
        if self.client_ca_file and not VERIFYING[self.client_auth_type]:
            fix = "add `client_auth_type: RequireAndVerifyClientCert`"
            yield ("client_ca_file",), "no client is asked for a certificate", fix
        if self.client_allowed_sans and self.client_auth_type != "RequireAndVerifyClientCert":
            fix = "write client_auth_type: RequireAndVerifyClientCert"
            yield ("client_allowed_sans",), "clients may come without a certificate", fix
        if len(self.curve_preferences) > 1:
            yield ("curve_preferences",), "more than one curve, of which Python can set one", "write one, or none"


class Headers(Part):
    """Headers of every answer, in place of those sent anyway."""

    content_security_policy: Header | None = Field(default=None, alias="Content-Security-Policy")
    strict_transport_security: Header | None = Field(default=None, alias="Strict-Transport-Security")
    content_type_options: Literal["nosniff"] | None = Field(default=None, alias="X-Content-Type-Options")
    frame_options: Literal["deny", "sameorigin"] | None = Field(default=None, alias="X-Frame-Options")
    xss_protection: Header | None = Field(default=None, alias="X-XSS-Protection")


class Http(Part):
    """http_server_config."""

    http2: Annotated[bool, Field(strict=True), AfterValidator(_http2)] = False
    headers: Headers = Headers()


class RateLimit(Part):
    """A token bucket: one request per interval, and so many at once after a pause."""

    interval: Duration  # nanoseconds
    burst: Annotated[int, Field(strict=True, ge=1, le=1_000_000)]


class WebConfig(Part):
    """What the file says; empty parts are off."""

    tls_server_config: Tls | None = None
    http_server_config: Http = Http()
    basic_auth_users: Mapping[Username, PasswordHash] = {}
    rate_limit: RateLimit | None = None


def load_web(path: Path) -> WebConfig:
    """Read and check a web config file. File names in it become absolute, relative to its folder.

    Raises ConfigError with all problems, in the order of the file, and nothing else. Blocks on the file. An empty file
    is refused: one that is just being written must not open the doors.
    """
    parsed = document.read(reading.text(path, FLAG))
    config: WebConfig | None = None
    mistakes: list[Mistake] = []
    if () not in parsed.broken:
        if isinstance(parsed.data, dict) and parsed.data:
            config, mistakes, _ = reading.check(WebConfig, parsed, str(path.absolute().parent))
        else:
            wrong = "the file is not a mapping" if parsed.data else "the file is empty"
            mistakes = [((), wrong, f"write tls_server_config or basic_auth_users, or leave {FLAG} out")]
    sound = [mistake for mistake in mistakes if not parsed.is_broken(mistake[0])]
    parsed.findings += [Finding(parsed.place(loc), loc, wrong, fix) for loc, wrong, fix in sound]
    if config is None or parsed.findings:
        raise reading.refusal(path, parsed.findings)
    return config
