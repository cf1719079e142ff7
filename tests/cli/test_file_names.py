"""Finished videos get names of their own."""

from __future__ import annotations

from pathlib import Path

import pytest

from ytray.cli.videos import file_name


@pytest.mark.parametrize(
    ("prompt", "name"),
    [
        ("Why do cats purr?", "why-do-cats-purr"),
        ("Γιατί γουργουρίζουν οι γάτες;", "γιατί-γουργουρίζουν-οι"),
        ("猫はなぜ喉を鳴らすのか", "猫はなぜ喉を鳴らすのか"),
        ("## **Why** cats purr", "why-cats-purr"),
        ("../../etc/passwd", "etc-passwd"),
        ("?!", "video"),
    ],
)
def test_a_name_keeps_the_letters_of_its_title(prompt: str, name: str, tmp_path: Path) -> None:
    made = file_name(prompt, tmp_path)
    assert made.startswith(name)
    assert len(made.encode()) <= 48


def test_two_films_never_share_a_name_unless_asked(tmp_path: Path) -> None:
    first = file_name("Why is C++ so fast?", tmp_path)
    (tmp_path / f"{first}.mp4").touch()
    second = file_name("Why is C# so fast?", tmp_path)
    (tmp_path / f"{second}.srt").touch()
    assert (first, second) == ("why-is-c-so-fast", "why-is-c-so-fast-2")
    assert file_name("why is c so fast", tmp_path) == "why-is-c-so-fast-3"
    assert file_name("why is c so fast", tmp_path, force=True) == "why-is-c-so-fast"
