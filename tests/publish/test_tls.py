"""Certificates of web.yml on a real server: renewed without a restart, and shown by clients where they are asked to."""

from __future__ import annotations

import asyncio
import logging
import ssl
from pathlib import Path

import aiohttp
import pytest
import trustme

from exporter.errors import ConfigError
from exporter.publish.gate import Gate
from tests.peers.waiting import eventually
from tests.publish.guarded import LOGIN, TLS, USERS, Desk, client, guarding, problems, serial, status, uncollected
from tests.publish.test_server import site_of, talk
from tests.publish.world import fleet

REFUSALS = (aiohttp.ClientConnectionError, ssl.SSLError)


@pytest.fixture
def desk(tmp_path: Path) -> Desk:
    made = Desk(tmp_path)
    made.issue()
    return made


async def test_over_tls_and_not_in_plain_text(desk: Desk) -> None:
    desk.write(TLS, USERS)
    async with guarding(desk, site_of(fleet())) as address:
        async with client(address, desk.trusting()) as session:
            assert await status(session) == 200
            assert await status(session, "/metrics") == 401
            assert await status(session, "/metrics", headers=LOGIN) == 200
        assert await talk(address, b"GET /-/healthy HTTP/1.1\r\nHost: x\r\n\r\n") == b""
        async with client(address, ssl.create_default_context()) as stranger:
            with pytest.raises(REFUSALS):
                await status(stranger)


async def test_only_the_versions_asked_for_are_spoken(desk: Desk) -> None:
    desk.write({"tls_server_config": TLS["tls_server_config"] | {"min_version": "TLS13"}})
    old = desk.trusting()
    old.maximum_version = ssl.TLSVersion.TLSv1_2
    async with guarding(desk) as address:
        async with client(address, old) as session:
            with pytest.raises(REFUSALS):
                await status(session)
        async with client(address, desk.trusting()) as session:
            assert await status(session) == 200


async def test_only_the_suites_asked_for_are_spoken(desk: Desk) -> None:
    suite = "TLS_ECDHE_ECDSA_WITH_AES_256_GCM_SHA384"
    chosen = {"max_version": "TLS12", "cipher_suites": [suite], "curve_preferences": ["CurveP256"]}
    desk.write({"tls_server_config": TLS["tls_server_config"] | chosen})
    async with guarding(desk) as address:
        for cipher, good in (("ECDHE-ECDSA-AES256-GCM-SHA384", True), ("ECDHE-ECDSA-AES128-GCM-SHA256", False)):
            context = desk.trusting()
            context.set_ciphers(cipher)
            async with client(address, context) as session:
                if good:
                    assert await status(session) == 200
                else:
                    with pytest.raises(REFUSALS):
                        await status(session)


async def test_renewed_certificates_need_no_restart(desk: Desk, caplog: pytest.LogCaptureFixture) -> None:
    desk.write(TLS)
    trusting = desk.trusting()
    async with guarding(desk) as address, aiohttp.ClientSession(f"https://{address}") as kept:
        assert await status(kept, ssl=trusting) == 200
        first = await serial(address, trusting)
        desk.issue()
        second = await serial(address, trusting)
        assert second != first
        assert await status(kept, ssl=trusting) == 200  # on the connection it had
        assert problems(caplog) == []

        desk.issue(parts=("key",))  # half of a renewal
        assert await serial(address, trusting) == second
        desk.replace("tls.crt", b"no certificate")
        assert await serial(address, trusting) == second
        (desk.folder / "tls.key").unlink()
        assert await serial(address, trusting) == second
        desk.issue(days=-1)
        assert await serial(address, trusting) == second
        assert await serial(address, trusting) == second
        said = problems(caplog)
        assert ["key_file" in line for line in said] == [True, True, True, False]
        assert "expired" in said[-1]

        desk.issue()
        assert await serial(address, trusting) not in {first, second}
    for secret in ("PRIVATE", "BEGIN", "no certificate"):
        assert secret not in caplog.text


async def test_a_mounted_secret_that_is_switched_over_is_read_again(desk: Desk) -> None:
    """Kubernetes: the files are links through ..data, which is replaced."""
    now, later = desk.folder / "..1", desk.folder / "..2"
    data = desk.folder / "..data"
    for version in (now, later):
        version.mkdir()
        desk.issue()
        for name in ("tls.crt", "tls.key"):
            (desk.folder / name).rename(version / name)
    data.symlink_to(now.name)
    for name in ("tls.crt", "tls.key"):
        (desk.folder / name).symlink_to(Path("..data", name))
    desk.write(TLS)
    trusting = desk.trusting()
    async with guarding(desk) as address:
        first = await serial(address, trusting)
        (desk.folder / "..next").symlink_to(later.name)
        (desk.folder / "..next").replace(data)
        assert await serial(address, trusting) != first


def test_a_certificate_out_of_date_at_the_start_is_served_and_said(
    desk: Desk, caplog: pytest.LogCaptureFixture
) -> None:
    """The money is counted on, and who does not look at dates can scrape."""
    desk.issue(days=-1)
    gate = Gate(desk.write(TLS))
    assert gate.scheme == "https"
    assert "expired" in problems(caplog)[0]


async def test_an_expired_certificate_does_not_hold_up_other_changes(desk: Desk) -> None:
    """Where the old one is no better."""
    desk.issue(days=-1)
    desk.write(TLS)
    blind = desk.trusting()
    blind.check_hostname, blind.verify_mode = False, ssl.CERT_NONE
    async with guarding(desk, site_of(fleet())) as address, client(address, blind) as session:
        assert await status(session, "/metrics") == 200
        desk.write(TLS, USERS)
        assert await status(session, "/metrics") == 401


async def test_tls_is_not_turned_off_by_a_changed_file(desk: Desk, caplog: pytest.LogCaptureFixture) -> None:
    desk.write(TLS)
    async with guarding(desk) as address:
        desk.write(USERS)
        async with client(address, desk.trusting()) as session:
            assert await status(session) == 200
    assert "restart for that" in problems(caplog)[0]


CA = {"client_ca_file": "ca.crt"}


@pytest.mark.parametrize(
    ("chosen", "let_in"),  # who of: without a certificate, of the authority, another of it, of a stranger
    [
        ({}, (True, True, True, True)),
        ({"client_auth_type": "VerifyClientCertIfGiven", **CA}, (True, True, True, False)),
        ({"client_auth_type": "RequireAndVerifyClientCert", **CA}, (False, True, True, False)),
        (
            {"client_auth_type": "RequireAndVerifyClientCert", "client_allowed_sans": ["prometheus.example"], **CA},
            (False, True, False, False),
        ),
    ],
)
async def test_clients_show_their_certificates(
    desk: Desk, chosen: dict[str, object], let_in: tuple[bool, ...], caplog: pytest.LogCaptureFixture
) -> None:
    caplog.set_level(logging.DEBUG)
    desk.write({"tls_server_config": TLS["tls_server_config"] | chosen})
    good, other = desk.authority.issue_cert("prometheus.example"), desk.authority.issue_cert("other.example")
    stranger = trustme.CA().issue_cert("prometheus.example")
    async with guarding(desk) as address:
        for certificate, expected in zip((None, good, other, stranger), let_in, strict=True):
            async with client(address, desk.trusting(certificate)) as session:
                if expected:
                    assert await status(session) == 200
                else:
                    with pytest.raises(REFUSALS):
                        await status(session)
    refused = [record for record in caplog.records if "refused" in record.getMessage()]
    assert len(refused) == (False in let_in)  # once a minute, not for each
    assert not [record for record in caplog.records if record.exc_info]


async def test_a_handshake_that_is_not_gone_on_with_is_closed(desk: Desk) -> None:
    desk.write(TLS)
    async with guarding(desk, header_seconds=0.1) as address:
        for start in (b"", b"\x16\x03\x01\x02\x00\x01\x00\x01\xfc\x03\x03", b"\x16"):
            assert await talk(address, start) == b""
        async with client(address, desk.trusting()) as session:
            assert await status(session) == 200


async def test_a_handshake_at_the_cap_makes_room(desk: Desk) -> None:
    desk.write(TLS)
    async with guarding(desk, max_connections=2) as address, client(address, desk.trusting()) as session:
        host, _, port = address.rpartition(":")
        silent = [await asyncio.open_connection(host, int(port)) for _ in range(20)]
        for _ in range(3):
            assert await status(session) == 200
        for reader, writer in silent[:18]:
            assert await reader.read() == b""
            writer.close()
        for _, writer in silent[18:]:
            writer.close()


async def test_a_handshake_that_failed_leaves_nothing_behind(desk: Desk) -> None:
    """Each has a quarter of a megabyte: what waits for a collection is what a flood fills the memory with."""
    desk.write(TLS)
    with uncollected() as count:
        async with guarding(desk, max_connections=4) as address:
            host, _, port = address.rpartition(":")
            clients = []
            for start in (b"", b"\x16\x03\x01\x02", b"nonsense\r\n\r\n") * 10:
                clients.append(await asyncio.open_connection(host, int(port)))
                clients[-1][1].write(start)
            await eventually(count, "those at the cap are left", until=lambda left: left <= 4 * 2)  # each with its TLS
            for _, writer in clients:
                writer.close()
            await eventually(count, "none is left", until=lambda left: left == 0)


def test_what_will_not_do_at_the_start_says_where(desk: Desk) -> None:
    part = TLS["tls_server_config"]
    (desk.folder / "odd").write_bytes(b"s3cret")
    locked = desk.authority.issue_cert("locked").private_key_pem.bytes()
    (desk.folder / "locked").write_bytes(encrypted(locked))
    for changed, key, wrong in (
        ({"cert_file": "missing"}, "cert_file", "cannot be read: No such file or directory"),
        ({"key_file": "missing"}, "key_file", "cannot be read: No such file or directory"),
        ({"key_file": "odd"}, "key_file", "not usable: "),
        ({"key_file": "locked"}, "key_file", "the key is encrypted"),
        ({"key_file": "tls.crt"}, "key_file", "not usable: "),
        ({"client_ca_file": "odd", "client_auth_type": "RequireAndVerifyClientCert"}, "client_ca_file", "not usable"),
        ({"client_ca_file": "none", "client_auth_type": "RequireAndVerifyClientCert"}, "client_ca_file", "cannot be"),
    ):
        desk.write({"tls_server_config": part | changed})
        with pytest.raises(ConfigError) as caught:
            Gate(desk.file)
        (problem,) = caught.value.problems
        assert problem.file == str(desk.file)
        assert problem.key == f"tls_server_config.{key}"
        assert wrong in problem.wrong
        assert "s3cret" not in str(problem)


def encrypted(key: bytes) -> bytes:
    from cryptography.hazmat.primitives import serialization  # noqa: PLC0415 - trustme's own

    loaded = serialization.load_pem_private_key(key, None)
    return loaded.private_bytes(
        serialization.Encoding.PEM,
        serialization.PrivateFormat.PKCS8,
        serialization.BestAvailableEncryption(b"s3cret"),
    )
