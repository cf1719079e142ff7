"""Files arrive whole or not at all, also over connections that break."""

from __future__ import annotations

import os
from collections.abc import Callable
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
    assert client.download("j1", "video.mp4", tmp_path / "out") == tmp_path / "out" / "video.mp4"  # the same once more
    assert sorted(os.listdir(tmp_path / "out")) == ["cats.mp4", "video.mp4"]


def test_a_full_disk_is_told_and_nothing_is_left_of_the_file(
    server: Server, connect: Connect, file: Path, disk: Path
) -> None:
    server.answer = lambda _: FileResponse(file)
    with pytest.raises(errors.DiskFull, match=f"{disk}/video.mp4 could not be written"):
        connect().download("j1", "video.mp4", disk)
    assert os.listdir(disk) == []


def test_two_jobs_files_of_one_name_are_both_kept_in_a_folder(
    server: Server, connect: Connect, file: Path, tmp_path: Path
) -> None:
    server.answer = lambda _: FileResponse(file)
    (tmp_path / "video.mp4").write_bytes(b"that of another job")
    for _ in range(2):
        assert connect().download("j1", "video.mp4", tmp_path) == tmp_path / "video-2.mp4"
    assert (tmp_path / "video-2.mp4").read_bytes() == CONTENT
    assert (tmp_path / "video.mp4").read_bytes() == b"that of another job"


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


def by_path(pages: dict[str, Response], otherwise: Response) -> Callable[[Seen], Response]:
    """An answer for each path, and one for all others."""
    return lambda seen: pages.get(seen.path.partition("?")[0], otherwise)


def test_a_download_follows_one_link_to_the_store_and_takes_no_key_there(
    server: Server, connect: Connect, file: Path, tmp_path: Path
) -> None:
    store = server.url.replace("127.0.0.1", "localhost")
    link = Response(status_code=307, headers={"Location": f"{store}/bucket/v?X-Signature=secret"})
    server.answer = by_path({"/bucket/v": FileResponse(file)}, link)
    assert connect(key="k1").download("j1", "video.mp4", tmp_path / "v.mp4").read_bytes() == CONTENT
    assert [seen.headers.get("authorization") for seen in server.seen] == ["Bearer k1", None]
    answers = {
        403: (errors.YtrayError, "answered with 403 Forbidden: the link has expired"),
        404: (errors.PermanentError, "the file was removed"),
        307: (errors.YtrayError, "answered with 307 Temporary Redirect"),
    }
    for status, (kind, told) in answers.items():
        refused = Response(status_code=status, headers={"Location": f"{store}/login"})
        server.answer = by_path({"/bucket/v": refused, "/login": FileResponse(file)}, link)
        with pytest.raises(kind, match=told) as raised:
            connect().download("j1", "video.mp4", tmp_path / "not.mp4")
        assert type(raised.value) is kind
        assert not any(word in str(raised.value) for word in ("YTRAY_KEY", "secret"))
    assert not (tmp_path / "not.mp4").exists()


def test_a_page_where_a_proxy_sends_who_is_not_logged_in_is_not_saved(
    server: Server, connect: Connect, file: Path, tmp_path: Path
) -> None:
    for status in (301, 302, 303, 308):
        to_login = Response(status_code=status, headers={"Location": "/login"})
        server.answer = by_path({"/login": FileResponse(file)}, to_login)
        with pytest.raises(errors.YtrayError, match=f"answered .* with {status}"):
            connect().download("j1", "video.mp4", tmp_path / "not.mp4")
    assert not server.asked("/login")
    assert not (tmp_path / "not.mp4").exists()


def test_a_name_from_the_server_cannot_lead_out_of_the_folder(connect: Connect, tmp_path: Path) -> None:
    for name in ("../evil", "/etc/evil", "a/b"):
        with pytest.raises(errors.InvalidArguments):
            connect().download("j1", name, tmp_path)
