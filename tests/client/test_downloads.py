"""Files arrive whole or not at all, also over connections that break."""

from __future__ import annotations

import os
from pathlib import Path

import pytest
from starlette.responses import FileResponse, Response

from tests.client.conftest import Connect, Seen, Server, problem
from tests.client.test_calls import broken
from ytray import errors

CONTENT = os.urandom(300_000)


@pytest.fixture
def file(tmp_path: Path) -> Path:
    path = tmp_path / "kept" / "video.mp4"
    path.parent.mkdir()
    path.write_bytes(CONTENT)
    return path


def test_a_file_is_written_where_it_was_asked_for(server: Server, connect: Connect, file: Path, tmp_path: Path) -> None:
    server.answer = lambda _: FileResponse(file)
    (tmp_path / "out").mkdir()
    client = connect()
    assert client.download("j1", "video.mp4", tmp_path / "out" / "cats.mp4").read_bytes() == CONTENT
    assert client.download("j1", "video.mp4", tmp_path / "out") == tmp_path / "out" / "video.mp4"
    assert sorted(os.listdir(tmp_path / "out")) == ["cats.mp4", "video.mp4"]


def test_a_download_that_breaks_goes_on_where_it_broke(
    server: Server, connect: Connect, file: Path, tmp_path: Path
) -> None:
    etag = '"one"'

    def answer(seen: Seen) -> Response:
        if len(server.seen) == 1:
            return broken(CONTENT[:100_000], len(CONTENT), ETag=etag)
        start = int(seen.headers["range"].removeprefix("bytes=").removesuffix("-"))
        headers = {"Content-Range": f"bytes {start}-{len(CONTENT) - 1}/{len(CONTENT)}", "ETag": etag}
        return Response(CONTENT[start:], 206, headers)

    server.answer = answer
    assert connect().download("j1", "video.mp4", tmp_path / "v.mp4").read_bytes() == CONTENT
    assert [seen.headers.get("if-range") for seen in server.seen] == [None, etag]
    assert server.seen[1].headers["range"] != "bytes=0-", "only what was missing"


def test_a_file_that_changed_meanwhile_is_taken_anew(
    server: Server, connect: Connect, file: Path, tmp_path: Path
) -> None:
    server.answer = lambda _: broken(b"old" * 1000, 9000, ETag='"old"') if len(server.seen) == 1 else FileResponse(file)
    assert connect().download("j1", "video.mp4", tmp_path / "v.mp4").read_bytes() == CONTENT


def test_a_file_without_a_version_and_a_part_that_does_not_fit_are_taken_anew(
    server: Server, connect: Connect, file: Path, tmp_path: Path
) -> None:
    misfit = Response(b"xyz", 206, {"Content-Range": "bytes 7-9/10"})
    answers = [broken(b"some", 900), broken(b"more", 900, ETag='"v"'), misfit, FileResponse(file)]
    server.answer = lambda _: answers.pop(0)
    assert connect().download("j1", "video.mp4", tmp_path / "v.mp4").read_bytes() == CONTENT
    assert ["range" in seen.headers for seen in server.seen] == [False, False, True, False]


def test_a_download_that_fails_leaves_the_older_file_and_nothing_else(
    server: Server, connect: Connect, tmp_path: Path
) -> None:
    old = tmp_path / "v.mp4"
    old.write_bytes(b"old")
    client = connect(tries=2)
    server.answer = lambda _: broken(b"half", 900)
    with pytest.raises(errors.SystemUnavailable):
        client.download("j1", "video.mp4", old)
    server.answer = lambda _: problem(404, "unknown-job", "no job j1")
    with pytest.raises(errors.UnknownJob, match="no job j1"):
        client.download("j1", "video.mp4", old)
    assert old.read_bytes() == b"old"
    assert os.listdir(tmp_path) == ["v.mp4"]


def test_a_name_from_the_server_cannot_lead_out_of_the_folder(connect: Connect, tmp_path: Path) -> None:
    for name in ("../evil", "/etc/evil", "a/b"):
        with pytest.raises(errors.InvalidArguments):
            connect().download("j1", name, tmp_path)
