"""web.yml as the exporter-toolkit has it: what is read means what it means there, and the rest is refused."""

from __future__ import annotations

from pathlib import Path

import pytest

from exporter.config.types import SECOND
from exporter.config.web import CIPHERS, RateLimit, WebConfig, load_web
from exporter.errors import ConfigError

HASH = "$2y$10$zHyfJQVJH74nP.1uKiKDk.CjzUEUWrPIjSu8ZnHQr2uEFPo0pI7Hq"
TLS = "cert_file: server.crt, key_file: server.key"
CLIENTS = "client_auth_type: RequireAndVerifyClientCert, client_ca_file: ca.crt"


def read(folder: Path, text: str) -> WebConfig:
    path = folder / "web.yml"
    path.write_text(text)
    return load_web(path)


def problems(folder: Path, text: str) -> list[tuple[str, str, str]]:
    """(key, wrong, fix) of each."""
    with pytest.raises(ConfigError) as caught:
        read(folder, text)
    for problem in caught.value.problems:
        assert problem.file.startswith(str(folder / "web.yml"))
        assert "s3cret" not in str(problem)
        assert HASH not in str(problem)
        assert "\n" not in str(problem)
    return [(problem.key, problem.wrong, problem.fix) for problem in caught.value.problems]


def test_all_of_it(tmp_path: Path) -> None:
    found = read(
        tmp_path,
        f"""
tls_server_config:
  cert_file: server.crt
  key_file: /keys/server.key
  client_auth_type: RequireAndVerifyClientCert
  client_ca_file: ca.crt
  client_allowed_sans: [prometheus.monitoring.svc]
  min_version: TLS12
  max_version: TLS13
  cipher_suites: [TLS_ECDHE_RSA_WITH_AES_128_GCM_SHA256]
  prefer_server_cipher_suites: false
  curve_preferences: [CurveP256]
http_server_config:
  http2: false
  headers:
    Content-Security-Policy: default-src 'none'
    Strict-Transport-Security: max-age=31536000
    X-Content-Type-Options: nosniff
    X-Frame-Options: deny
    X-XSS-Protection: "0"
basic_auth_users:
  prometheus: {HASH}
rate_limit: {{interval: 1s, burst: 20}}
""",
    )
    part = found.tls_server_config
    assert part
    assert (part.cert_file, part.key_file) == (str(tmp_path / "server.crt"), "/keys/server.key")
    assert part.client_ca_file == str(tmp_path / "ca.crt")
    assert part.client_allowed_sans == ("prometheus.monitoring.svc",)
    assert not part.prefer_server_cipher_suites
    assert found.http_server_config.headers.model_dump(by_alias=True) == {
        "Content-Security-Policy": "default-src 'none'",
        "Strict-Transport-Security": "max-age=31536000",
        "X-Content-Type-Options": "nosniff",
        "X-Frame-Options": "deny",
        "X-XSS-Protection": "0",
    }
    assert found.basic_auth_users == {"prometheus": HASH}
    assert found.rate_limit == RateLimit.model_validate({"interval": "1s", "burst": 20})
    assert found.rate_limit.interval == SECOND


def test_what_is_left_out_is_off(tmp_path: Path) -> None:
    found = read(tmp_path, f"tls_server_config: {{{TLS}}}")
    assert (found.basic_auth_users, found.rate_limit) == ({}, None)
    assert found.http_server_config.headers.model_dump(exclude_none=True) == {}
    assert found.tls_server_config
    assert found.tls_server_config.client_auth_type == "NoClientCert"
    assert (found.tls_server_config.min_version, found.tls_server_config.max_version) == ("TLS12", "TLS13")


@pytest.mark.parametrize("cost", ["04", "14"])
@pytest.mark.parametrize("kind", ["2a", "2b", "2y"])
def test_every_hash_that_htpasswd_or_go_makes_is_read(tmp_path: Path, kind: str, cost: str) -> None:
    made = f"${kind}${cost}${HASH[7:]}"
    assert read(tmp_path, f"basic_auth_users: {{a: {made}}}").basic_auth_users == {"a": made}


BAD: dict[str, tuple[str, str, str, str]] = {  # text, key, part of what is wrong, part of the fix
    "empty": ("", "", "the file is empty", "basic_auth_users"),
    "only a comment": ("# nothing\n", "", "the file is empty", "basic_auth_users"),
    "a list": ("[a]", "", "the file is not a mapping", "basic_auth_users"),
    "unknown": ("tls_config: {}", "tls_config", "unknown key", "did you mean `tls_server_config`?"),
    "no key file": (
        "tls_server_config: {cert_file: a}",
        "tls_server_config.key_file",
        "the key is missing",
        "`key_file: server.key`",
    ),
    "inline key": (f"tls_server_config: {{{TLS}, key: s3cret}}", "tls_server_config.key", "in the config", "*_file"),
    "old TLS": (
        f"tls_server_config: {{{TLS}, min_version: TLS10}}",
        "tls_server_config.min_version",
        "broken",
        "TLS12",
    ),
    "no TLS": (f"tls_server_config: {{{TLS}, min_version: SSL3}}", "tls_server_config.min_version", "no ver", "TLS12"),
    "versions": (
        f"tls_server_config: {{{TLS}, min_version: TLS13, max_version: TLS12}}",
        "tls_server_config.min_version",
        "above max_version, TLS12",
        "not above",
    ),
    "weak cipher": (
        f"tls_server_config: {{{TLS}, cipher_suites: [TLS_RSA_WITH_RC4_128_SHA]}}",
        "tls_server_config.cipher_suites[0]",
        "no suite that Go calls secure",
        next(iter(CIPHERS)),
    ),
    "cipher of TLS 1.3": (
        f"tls_server_config: {{{TLS}, cipher_suites: [TLS_AES_128_GCM_SHA256]}}",
        "tls_server_config.cipher_suites[0]",
        "TLS 1.3",
        "remove it",
    ),
    "curve": (
        f"tls_server_config: {{{TLS}, curve_preferences: [P256]}}",
        "tls_server_config.curve_preferences[0]",
        "no curve",
        "CurveP256",
    ),
    "curves": (
        f"tls_server_config: {{{TLS}, curve_preferences: [CurveP256, X25519]}}",
        "tls_server_config.curve_preferences",
        "more than one",
        "write one",
    ),
    "unverified clients": (
        f"tls_server_config: {{{TLS}, client_auth_type: RequireAnyClientCert}}",
        "tls_server_config.client_auth_type",
        "without verifying",
        "RequireAndVerifyClientCert",
    ),
    "unknown clients": (
        f"tls_server_config: {{{TLS}, client_auth_type: maybe}}",
        "tls_server_config.client_auth_type",
        "not known here",
        "VerifyClientCertIfGiven",
    ),
    "no authority": (
        f"tls_server_config: {{{TLS}, client_auth_type: VerifyClientCertIfGiven}}",
        "tls_server_config.client_auth_type",
        "no client_ca_file",
        "client_ca_file: ca.crt",
    ),
    "authority for nobody": (
        f"tls_server_config: {{{TLS}, client_ca_file: ca.crt}}",
        "tls_server_config.client_ca_file",
        "no client is asked",
        "client_auth_type: RequireAndVerifyClientCert",
    ),
    "names of nobody": (
        f"tls_server_config: {{{TLS}, client_allowed_sans: [a]}}",
        "tls_server_config.client_allowed_sans",
        "without a certificate",
        "RequireAndVerifyClientCert",
    ),
    "no names": (
        f"tls_server_config: {{{TLS}, {CLIENTS}, client_allowed_sans: []}}",
        "tls_server_config.client_allowed_sans",
        "the list is empty",
        "add at least one",
    ),
    "http2": ("http_server_config: {http2: true}", "http_server_config.http2", "not served", "HTTP/1.1"),
    "other header": (
        "http_server_config: {headers: {Set-Cookie: a}}",
        "http_server_config.headers.Set-Cookie",
        "unknown key",
        "X-Frame-Options",
    ),
    "split header": (
        'http_server_config: {headers: {X-XSS-Protection: "0\\r\\nSet-Cookie: s3cret"}}',
        "http_server_config.headers.X-XSS-Protection",
        "not plain ASCII",
        "visible ASCII",
    ),
    "sniffing": (
        "http_server_config: {headers: {X-Content-Type-Options: sniff}}",
        "http_server_config.headers.X-Content-Type-Options",
        "not known here",
        "nosniff",
    ),
    "plain password": ("basic_auth_users: {a: s3cret}", "basic_auth_users.a", "not a bcrypt hash", "htpasswd -nBC 10"),
    "cut hash": (f"basic_auth_users: {{a: {HASH[:-1]}}}", "basic_auth_users.a", "not a bcrypt hash", "htpasswd"),
    "mistyped hash": (f"basic_auth_users: {{a: {HASH[:-1]}x}}", "basic_auth_users.a", "not a bcrypt hash", "htpasswd"),
    "numeric password": ("basic_auth_users: {a: 1234}", "basic_auth_users.a", "where text belongs", "quotes"),
    "slow hash": (f"basic_auth_users: {{a: $2y$15{HASH[6:]}}}", "basic_auth_users.a", "cost of 15", "4 to 14"),
    "no cost": (f"basic_auth_users: {{a: $2y$03{HASH[6:]}}}", "basic_auth_users.a", "cost of 3", "4 to 14"),
    "colon": (f"basic_auth_users: {{'a:b': {HASH}}}", "basic_auth_users['a:b']", "with a colon", "without `:`"),
    "user twice": (f"basic_auth_users: {{a: {HASH}, a: {HASH}}}", "basic_auth_users.a", "twice", "keep one"),
    "no burst": ("rate_limit: {interval: 1s}", "rate_limit.burst", "the key is missing", "burst: 20"),
    "burst of none": ("rate_limit: {interval: 1s, burst: 0}", "rate_limit.burst", "too small", "at least 1"),
    "interval": ("rate_limit: {interval: 0s, burst: 1}", "rate_limit.interval", "not a duration", "15s"),
}


@pytest.mark.parametrize("name", BAD)
def test_a_bad_file_is_refused_with_its_key_and_a_fix(tmp_path: Path, name: str) -> None:
    text, key, wrong, fix = BAD[name]
    ((found, said, advice),) = problems(tmp_path, text)
    assert found == key
    assert wrong in said
    assert fix in advice


def test_all_mistakes_at_once_in_the_order_of_the_file(tmp_path: Path) -> None:
    text = (
        f"rate_limit: {{burst: x}}\nbasic_auth_users: {{a: b}}\ntls_server_config: {{{TLS}, cipher_suites: 3, no: 1}}\n"
    )
    assert [key for key, _, _ in problems(tmp_path, text)] == [
        "rate_limit.interval",
        "rate_limit.burst",
        "basic_auth_users.a",
        "tls_server_config.cipher_suites",
        "tls_server_config.no",
    ]


def test_a_file_that_is_not_there_names_its_flag(tmp_path: Path) -> None:
    with pytest.raises(ConfigError, match=r"cannot be read: No such file.*check --web\.config\.file"):
        load_web(tmp_path / "missing.yml")
