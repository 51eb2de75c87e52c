"""tls_server_config to an ssl context: certificates, who else must show one, and what may be spoken."""

from __future__ import annotations

import math
import ssl
from contextlib import suppress
from pathlib import Path

from exporter.config.web import CIPHERS, CURVES, Tls
from exporter.errors import ConfigError, Problem

VERSIONS = {"TLS12": ssl.TLSVersion.TLSv1_2, "TLS13": ssl.TLSVersion.TLSv1_3}
VERIFY = {
    "NoClientCert": ssl.CERT_NONE,
    "VerifyClientCertIfGiven": ssl.CERT_OPTIONAL,
    "RequireAndVerifyClientCert": ssl.CERT_REQUIRED,
}
OUT_OF_DATE = {9, 10}  # OpenSSL's X509_V_ERR_CERT_NOT_YET_VALID and X509_V_ERR_CERT_HAS_EXPIRED
PAIR = "check that it is PEM, and that cert_file and key_file belong together"


class _EncryptedError(Exception):
    """The key asks for a passphrase."""


def context(tls: Tls, file: Path) -> ssl.SSLContext:
    """The context of new connections. ConfigError, which names `file`, where a certificate or key will not do. Blocks
    on the files."""
    made = ssl.SSLContext(ssl.PROTOCOL_TLS_SERVER)
    made.minimum_version, made.maximum_version = VERSIONS[tls.min_version], VERSIONS[tls.max_version]
    made.options |= ssl.OP_NO_RENEGOTIATION
    if not tls.prefer_server_cipher_suites:
        made.options &= ~ssl.OP_CIPHER_SERVER_PREFERENCE
    if tls.cipher_suites:
        made.set_ciphers(":".join(CIPHERS[name] for name in tls.cipher_suites))
    for name in tls.curve_preferences:
        made.set_ecdh_curve(CURVES[name])
    try:
        made.load_cert_chain(tls.cert_file, tls.key_file, password=_no_passphrase)
    except _EncryptedError:
        raise _refused(file, "key_file", "the key is encrypted", "store it without a passphrase") from None
    except OSError as error:  # ssl.SSLError is one
        raise _refused(file, _unreadable(tls), _why(error), PAIR) from None
    if tls.client_ca_file:
        try:
            made.load_verify_locations(tls.client_ca_file)
        except OSError as error:
            raise _refused(file, "client_ca_file", _why(error), "name a file with PEM certificates") from None
    made.verify_mode = VERIFY[tls.client_auth_type]
    return made


def valid_until(tls: Tls) -> float:
    """Unix seconds until which clients take the certificate; 0 where they do not now, infinite where that cannot be
    told. ssl tells dates only in a handshake, so here is one, in memory. Blocks on the files."""
    server, client = ssl.SSLContext(ssl.PROTOCOL_TLS_SERVER), ssl.SSLContext(ssl.PROTOCOL_TLS_CLIENT)
    client.check_hostname = False
    client.verify_flags |= ssl.VERIFY_X509_PARTIAL_CHAIN  # the certificate vouches for itself
    ours, theirs = ssl.MemoryBIO(), ssl.MemoryBIO()
    try:
        server.load_cert_chain(tls.cert_file, tls.key_file, password=_no_passphrase)
        client.load_verify_locations(tls.cert_file)
        asking, answering = client.wrap_bio(ours, theirs), server.wrap_bio(theirs, ours, server_side=True)
        for side in (asking, answering, asking):  # TLS 1.3 takes the client no more
            with suppress(ssl.SSLWantReadError):
                side.do_handshake()
        return ssl.cert_time_to_seconds(str((asking.getpeercert() or {})["notAfter"]))
    except ssl.SSLCertVerificationError as error:
        return 0 if error.verify_code in OUT_OF_DATE else math.inf
    except (OSError, ValueError, KeyError, _EncryptedError):
        return math.inf


def subject_names(found: ssl.SSLObject) -> set[str]:
    """The alternative names in a client's certificate that client_allowed_sans is compared with."""
    names = (found.getpeercert() or {}).get("subjectAltName", ())
    return {str(name[1]) for name in names if name[0] in {"DNS", "email", "IP Address", "URI"}}


def _no_passphrase() -> bytes:
    raise _EncryptedError  # else OpenSSL asks on the terminal


def _unreadable(tls: Tls) -> str:
    """Which of the two: OpenSSL does not say."""
    try:
        with Path(tls.cert_file).open("rb"):
            return "key_file"
    except OSError:
        return "cert_file"


def _refused(file: Path, key: str, wrong: str, fix: str) -> ConfigError:
    return ConfigError((Problem(str(file), f"tls_server_config.{key}", wrong, fix),))


def _why(error: OSError) -> str:
    if isinstance(error, ssl.SSLError):
        return f"not usable: {(error.reason or 'not a PEM file').lower().replace('_', ' ')}"
    return f"cannot be read: {error.strerror}"
