"""Every mistake is named by file, line and key path, with what would be right; all of them at once."""

from __future__ import annotations

import re
from datetime import date
from pathlib import Path

import pytest

from exporter.config import messages
from exporter.config.load import load
from exporter.errors import ConfigError, Problem

TODAY = date(2026, 11, 5)
BAD = sorted((Path(__file__).parent / "bad").glob("*.yml"))


def problems(path: Path) -> tuple[Problem, ...]:
    with pytest.raises(ConfigError) as caught:
        load(path, today=TODAY)
    return caught.value.problems


def expected(path: Path) -> list[list[str]]:
    """The fixture's `# expect: KEY PATH | part of wrong | part of fix` lines, in the order of the problems."""
    lines = path.read_text().splitlines()
    return [[part.strip() for part in line[10:].split(" | ")] for line in lines if line.startswith("# expect: ")]


@pytest.mark.parametrize("path", BAD, ids=lambda path: path.stem)
def test_bad_file_is_refused_with_exactly_these_problems(path: Path) -> None:
    found, wanted = problems(path), expected(path)
    assert wanted
    assert [problem.key for problem in found] == [key for key, _, _ in wanted]
    for problem, (_, wrong, fix) in zip(found, wanted, strict=True):
        assert wrong in problem.wrong
        assert fix in problem.fix
        assert "s3cret" not in str(problem)
        assert "\n" not in str(problem)


def test_every_message_has_a_bad_file() -> None:
    said = [problem for path in BAD for problem in problems(path)]
    for wrong, fix in messages.MESSAGES.values():
        pattern = [re.sub(r"\\\{\w+\\\}", ".*", re.escape(text)) for text in (wrong, fix)]
        assert any(
            re.fullmatch(pattern[0], problem.wrong) and re.fullmatch(pattern[1], problem.fix) for problem in said
        ), wrong


def test_problem_names_file_line_and_key() -> None:
    path = Path(__file__).parent / "bad" / "count_zero.yml"
    line = path.read_text().splitlines().index("    gpus: {count: 0}") + 1
    assert str(problems(path)[0]) == f"{path}:{line}: pools[0].gpus.count: '0' is too small; write more than 0"


def test_problems_stand_in_the_order_of_the_file() -> None:
    lines = [int(problem.file.rsplit(":", 1)[1]) for problem in problems(Path(__file__).parent / "bad" / "many.yml")]
    assert lines == sorted(lines)


@pytest.mark.parametrize(
    ("content", "wrong", "fix"),
    [
        (None, "cannot be read: No such file or directory", "check --config.file"),
        (b"pools:\n  - name: \xff\n", "not UTF-8 text", "save the file as UTF-8"),
        (b"#" * (1 << 20) + b"\n", "larger than 1 MiB", "split it"),
    ],
    ids=["absent", "not UTF-8", "too large"],
)
def test_unreadable_file_is_a_config_error(tmp_path: Path, content: bytes | None, wrong: str, fix: str) -> None:
    path = tmp_path / "tokencost.yml"
    if content is not None:
        path.write_bytes(content)
    (problem,) = problems(path)
    assert problem.file in (str(path), f"{path}:2")
    assert wrong in problem.wrong
    assert fix in problem.fix


def test_folder_and_impossible_file_name_are_config_errors(tmp_path: Path) -> None:
    assert "cannot be read" in problems(tmp_path)[0].wrong
    assert "cannot be read" in problems(Path("a\0b"))[0].wrong


def test_alias_bomb_is_refused_without_growing(tmp_path: Path) -> None:
    path = tmp_path / "bomb.yml"
    levels = [f"a{n}: &a{n} [{', '.join([f'*a{n - 1}'] * 10)}]" for n in range(1, 9)]
    path.write_text("a0: &a0 x\n" + "\n".join(levels))
    assert any("an alias `*a0`" in problem.wrong for problem in problems(path))
