"""Files that others write: read again when they change, and never worse than what they said last."""

from __future__ import annotations

import json
import os
from pathlib import Path

import pytest

from exporter.discovery import file_sd
from exporter.discovery.file_sd import Files, parse
from exporter.discovery.found import MOST_BYTES, Found
from exporter.errors import Reason, ScrapeError
from tests.discovery.given import at


def put(path: Path, text: str) -> None:
    """Renamed into place, with no time stamp to go by."""
    new = path.with_name("new")
    new.write_text(text)
    os.utime(new, ns=(1, 1))
    new.replace(path)


def listing(*hosts: str) -> str:
    return json.dumps([{"targets": list(hosts)}])


def hosts(found: Found) -> list[str]:
    return [address.host for address in found.addresses]


def reason(found: Found) -> Reason | None:
    return found.problem.reason if found.problem else None


async def test_files_of_a_pattern_come_change_and_go(tmp_path: Path) -> None:
    files = Files((str(tmp_path / "*.json"), str(tmp_path / "*.yml"), str(tmp_path / "a*")))
    assert await files.look() == Found(())
    put(tmp_path / "a.json", listing("a:1"))
    put(tmp_path / "b.yml", "- targets: [b:1]\n  labels: {n: 01, y: yes, e: }\n")
    assert await files.look() == Found((at("a:1"), at("b:1", n="01", y="yes", e="")))
    put(tmp_path / "a.json", listing("z:1"))  # of the same length and time: another file all the same
    assert hosts(await files.look()) == ["z:1", "b:1"]
    (tmp_path / "b.yml").unlink()
    assert hosts(await files.look()) == ["z:1"]


async def test_a_file_that_did_not_change_is_not_read_again(tmp_path: Path) -> None:
    path = tmp_path / "a.json"
    put(path, listing("a:1"))
    files = Files((str(path),))
    await files.look()
    with path.open("r+") as file:
        file.write(listing("b:1"))
    os.utime(path, ns=(1, 1))
    assert hosts(await files.look()) == ["a:1"]
    os.utime(path, ns=(2, 2))
    assert hosts(await files.look()) == ["b:1"]


@pytest.mark.parametrize("name", ["a.json", "a.yml"])
async def test_a_half_written_file_keeps_what_it_said_and_others_go_on(tmp_path: Path, name: str) -> None:
    files = Files((str(tmp_path / "*"),))
    text = '[{"targets": ["a:1", "b:1"]}]'
    put(tmp_path / name, text)
    put(tmp_path / "z.json", listing("z:1"))
    await files.look()
    for cut in range(1, len(text)):
        (tmp_path / name).write_text(text[:cut])
        put(tmp_path / "z.json", listing(f"z:{cut}"))
        found = await files.look()
        assert hosts(found) == ["a:1", "b:1", f"z:{cut}"]
        assert reason(found) is Reason.INVALID
        assert str(tmp_path / name) in str(found.problem)
    (tmp_path / name).write_text(text)
    assert (await files.look()).problem is None


async def test_a_named_file_that_is_away_keeps_what_it_said(tmp_path: Path) -> None:
    path = tmp_path / "a.json"
    files = Files((str(path),))
    found = await files.look()
    assert (found.addresses, reason(found), found.whole) == ((), Reason.FILE, False)
    put(path, listing("a:1"))
    assert await files.look() == Found((at("a:1"),))
    path.unlink()
    found = await files.look()
    assert (hosts(found), reason(found), found.whole) == (["a:1"], Reason.FILE, True)
    put(path, listing("a:1"))
    assert await files.look() == Found((at("a:1"),))


async def test_what_is_no_file_does_not_hold_the_others_up(tmp_path: Path) -> None:
    os.mkfifo(tmp_path / "a.json")
    (tmp_path / "b.json").mkdir()
    (tmp_path / "c.json").symlink_to(tmp_path / "c.json")
    put(tmp_path / "d.json", listing("d:1"))
    found = await Files((str(tmp_path / "*.json"),)).look()
    assert hosts(found) == ["d:1"]
    assert found.problem
    assert not found.whole


async def test_many_files_are_bounded_together(tmp_path: Path) -> None:
    for name in "ab":
        put(tmp_path / f"{name}.json", listing(*["a:1"] * 5001))
    with pytest.raises(ScrapeError) as error:
        await Files((str(tmp_path / "*.json"),)).look()
    assert error.value.reason is Reason.TOO_MANY_TARGETS
    for number in range(file_sd.MOST_FILES + 1):
        (tmp_path / f"{number}.yml").touch()
    with pytest.raises(ScrapeError, match="files"):
        await Files((str(tmp_path / "*.yml"),)).look()


@pytest.mark.parametrize(
    "body",
    [b"[" * 1_000_000, b"- " * 100_000, b"{a: " * 100_000, b"\x00", b"\xff\xfe\x00", b"a: b: c", b"---\n---\n",
     b"&a [*a]", b"!!python/object:os.system [x]", b"- &a [b]\n- *a\n" * 1000],
    ids=lambda body: body[:12],
)  # fmt: skip
@pytest.mark.parametrize("name", ["a.json", "a.yml"])
def test_hostile_bytes_are_one_error(name: str, body: bytes) -> None:
    with pytest.raises(ScrapeError) as error:
        parse(name, body)
    assert error.value.reason is Reason.INVALID


def test_a_large_file_is_refused() -> None:
    with pytest.raises(ScrapeError) as error:
        parse("a.json", b" " * (MOST_BYTES + 1))
    assert error.value.reason is Reason.TOO_LARGE


def test_an_empty_file_lists_nothing() -> None:
    assert (
        parse("a.yml", b"") == parse("a.yml", b"# none\n") == parse("a.json", b"null") == parse("a.json", b"[]") == ()
    )
