"""Texts that people write, as editors save them."""

from __future__ import annotations

from pathlib import Path

import pytest

from ytray.text_files import read_text

TEXT = '{"title": "Why cats purr: café, 猫"}\n'


@pytest.mark.parametrize("encoding", ["utf-8", "utf-8-sig", "utf-16", "utf-16-le", "utf-16-be", "utf-32"])
def test_a_text_is_read_whatever_its_editor_saved_it_as(encoding: str, tmp_path: Path) -> None:
    marks = {"utf-16-le": b"\xff\xfe", "utf-16-be": b"\xfe\xff"}
    file = tmp_path / "text.json"
    file.write_bytes(marks.get(encoding, b"") + TEXT.encode(encoding))
    assert read_text(file) == TEXT


@pytest.mark.parametrize(
    ("raw", "told"),
    [
        (b"caf\xe9", "byte 4 is not UTF-8; save the file as UTF-8"),
        (b"one\ntwo\0three", "line 2 has a NUL byte"),
        (b"\xff\xfea", "not UTF-16"),
    ],
)
def test_what_is_no_text_is_refused_by_its_place(raw: bytes, told: str, tmp_path: Path) -> None:
    file = tmp_path / "text.json"
    file.write_bytes(raw)
    with pytest.raises(ValueError, match=told):
        read_text(file)
