"""The artifact store: nothing partial, nothing outside of it."""

from __future__ import annotations

import hashlib
import os
import socket
import threading
import uuid
from collections.abc import Callable, Iterator
from pathlib import Path
from typing import Any

import fsspec
import pytest
from fsspec.implementations.memory import MemoryFileSystem
from gcp_storage_emulator.server import create_server

from ytray.artifacts import ArtifactStore, attempt_folder, owner_and_name
from ytray.errors import DamagedArtifact, PermanentError


@pytest.fixture(params=["folder", "memory", "s3", "gs"])
def store(
    home: Path, request: pytest.FixtureRequest, tmp_path: Path, with_settings: Callable[..., None]
) -> Iterator[ArtifactStore]:
    """A store in a folder, in an object store, and behind another fsspec URL."""
    with_settings(home=tmp_path / "home")
    own = uuid.uuid4().hex[:12]
    match request.param:
        case "folder":
            yield ArtifactStore(str(tmp_path / "store"))
        case "memory":
            yield ArtifactStore(f"memory://{own}")
            fsspec.filesystem("memory").rm(f"/{own}", recursive=True)
        case "s3":
            yield ArtifactStore(f"s3://{request.getfixturevalue('s3').bucket}/{own}")
        case "gs":
            yield ArtifactStore(f"gs://{request.getfixturevalue('gs')}/{own}")


@pytest.fixture(scope="module")
def gs() -> Iterator[str]:
    """Google Cloud Storage as an emulator serves it, to which the environment leads; gives the name of a bucket."""
    with socket.create_server(("127.0.0.1", 0)) as found:
        port = found.getsockname()[1]
    server = create_server("127.0.0.1", port, in_memory=True, default_bucket="ytray-tests")
    server.start()
    with pytest.MonkeyPatch.context() as patch:
        patch.setenv("STORAGE_EMULATOR_HOST", f"http://127.0.0.1:{port}")
        patch.setenv("GCSFS_EXPERIMENTAL_ZB_HNS_SUPPORT", "false")  # asks an API that no emulator has
        yield "ytray-tests"
    server.stop()


def made(folder: Path, content: bytes = b"content") -> Path:
    file = folder / "made"
    file.write_bytes(content)
    return file


def test_what_is_published_is_fetched_again(store: ArtifactStore, tmp_path: Path) -> None:
    uri = store.publish(made(tmp_path), "job-1", "video.mp4")
    assert uri == store.uri("job-1", "video.mp4")
    assert store.fetch(uri, tmp_path).read_bytes() == b"content"
    assert list(store.sizes("job-1")) == ["video.mp4"]
    assert store.sizes("job-2") == {}


def test_an_artifact_is_told_with_its_size_and_where_the_store_keeps_it_its_digest(
    store: ArtifactStore, tmp_path: Path
) -> None:
    content = b"0123456789" * 1_000_000  # more than goes in one piece
    uri = store.publish(made(tmp_path, content), "job/1", "video.mp4")
    found = store.open("job/1", "video.mp4")
    assert found is not None
    assert found.size == len(content)
    assert found.sha256 == (None if uri.startswith("memory:") else hashlib.sha256(content).hexdigest())
    assert b"".join(found.read(4_999_995, 5_000_003)) == b"56789012"
    store.copy_to(uri, tmp_path / "copy")
    assert (tmp_path / "copy").read_bytes() == content
    assert store.open("job/1", "another") is None


def test_a_copy_of_a_file_that_was_damaged_in_its_folder_is_refused(tmp_path: Path) -> None:
    store = ArtifactStore(str(tmp_path / "store"))
    uri = store.publish(made(tmp_path, b"right"), "job/1", "a")
    with Path(uri).open("r+b") as file:
        file.write(b"w")
    with pytest.raises(DamagedArtifact, match="is damaged"):
        store.copy_to(uri, tmp_path / "copy")
    assert not (tmp_path / "copy").exists()
    store.publish(made(tmp_path, b"another"), "job/1", "a")  # both digests are known then, and either is right
    store.copy_to(uri, tmp_path / "copy")
    assert (tmp_path / "copy").read_bytes() == b"another"
    store.remove("job/1", "a")
    assert not Path(uri).parent.exists()


def test_publishing_again_replaces(store: ArtifactStore, tmp_path: Path) -> None:
    store.publish(made(tmp_path, b"old"), "job", "a")
    uri = store.publish(made(tmp_path, b"new"), "job", "a")
    assert store.fetch(uri, tmp_path).read_bytes() == b"new"
    assert store.sizes("job") == {"a": 3}


def test_an_attempts_files_lie_apart_from_those_of_another(store: ArtifactStore, tmp_path: Path) -> None:
    uris = [
        store.publish(made(tmp_path, f"by {fence}".encode()), attempt_folder("job", fence), "a") for fence in (1, 2)
    ]
    assert [store.fetch(uri, tmp_path).read_bytes() for uri in uris] == [b"by 1", b"by 2"]
    store.move("a", "job/2", attempt_folder("job", 2, failed=True))
    assert [(file.folder, file.name, file.size) for file in store.files("job")] == [
        ("job/1", "a", 4),
        ("job/2.failed", "a", 4),
    ]
    store.drop_attempts_before("job", 2)
    assert (store.sizes("job/1"), store.sizes("job/2"), list(store.sizes("job/2.failed"))) == ({}, {}, ["a"])
    store.remove("job/2.failed", "a")
    assert store.files("job") == []


@pytest.mark.parametrize("base", ["/home/ytray/artifacts", "s3://bucket", "memory://7"])
def test_a_uri_says_whose_the_artifact_is(base: str) -> None:
    assert owner_and_name(f"{base}/flow.1f-2/12/video.mp4") == ("flow.1f-2", "video.mp4")
    assert owner_and_name(f"{base}/bought-0a1b/asset.png") == ("bought-0a1b", "asset.png")


def test_whose_files_there_are(store: ArtifactStore, tmp_path: Path) -> None:
    assert store.owners() == []
    for folder in ("job/1", "job/2", "scene-1"):
        store.publish(made(tmp_path), folder, "a")
    assert store.owners() == ["job", "scene-1"]
    found = {owner: sorted(file.folder for file in files) for owner, files in store.by_owner()}
    assert found == {"job": ["job/1", "job/2"], "scene-1": ["scene-1"]}
    assert all(file.size == 7 and file.modified for _, files in store.by_owner() for file in files)


@pytest.mark.parametrize(
    "name", ["../x", "/etc/passwd", "a/b", "..", "a..b", "", ".hidden", "a\n", "a\\b", "x" * 200, "ü"]
)
def test_a_name_cannot_lead_out_of_the_store(store: ArtifactStore, tmp_path: Path, name: str) -> None:
    file = made(tmp_path)
    for job, artifact in (("job", name), (name, "artifact")):
        with pytest.raises(PermanentError, match="cannot name an artifact"):
            store.publish(file, job, artifact)
    assert [path.name for path in tmp_path.iterdir()] == ["made"]
    store.publish(file, "job", "good")


def test_a_uri_from_elsewhere_is_not_fetched(tmp_path: Path) -> None:
    store = ArtifactStore(str(tmp_path / "store"))
    inside = Path(store.publish(made(tmp_path), "job", "a"))
    (inside.parent / "link").symlink_to("/etc/passwd")
    for uri in (
        "/etc/passwd",
        f"{inside.parent}/../../../made",
        str(inside.parent / "link"),
        str(tmp_path / "store-2/a"),
    ):
        with pytest.raises(PermanentError, match="not an artifact"):
            store.fetch(uri, tmp_path)


def test_a_removed_artifact_is_named(tmp_path: Path) -> None:
    store = ArtifactStore(str(tmp_path / "store"))
    uri = store.publish(made(tmp_path), "job", "a")
    Path(uri).unlink()
    with pytest.raises(PermanentError, match="there is no artifact"):
        store.fetch(uri, tmp_path)


def test_a_seal_of_before_goes_when_a_name_is_published_again_but_not_one_that_may_be_at_it(tmp_path: Path) -> None:
    store = ArtifactStore(str(tmp_path / "store"))
    for content in (b"first", b"second"):
        place = Path(store.publish(made(tmp_path, content), "job/1", "a"))
    store.publish(made(tmp_path, b"beside"), "job/1", "b")
    for seal in place.parent.glob(".*.sha256"):
        if hashlib.sha256(b"second").hexdigest() not in seal.name:
            os.utime(seal, (0, 0))
    store.publish(made(tmp_path, b"third"), "job/1", "a")
    sealed = {seal.name for seal in place.parent.glob(".*.sha256")}
    digests = {name: hashlib.sha256(name.encode()).hexdigest() for name in ("second", "third", "beside")}
    assert sealed == {
        f".a.{digests['second']}.sha256",
        f".a.{digests['third']}.sha256",
        f".b.{digests['beside']}.sha256",
    }
    found = store.open("job/1", "b")
    assert found is not None
    assert found.sha256 == digests["beside"]


def test_many_folders_of_a_remote_store_are_looked_into_side_by_side_and_the_first_that_has_it_counts(
    home: Path, tmp_path: Path, monkeypatch: pytest.MonkeyPatch, with_settings: Callable[..., None]
) -> None:
    with_settings(home=tmp_path / "home")
    store = ArtifactStore(f"memory://{uuid.uuid4().hex[:12]}")
    for folder in ("step-2/1", "step-3/1"):
        store.publish(made(tmp_path, folder[:6].encode() * int(folder[5])), folder, "a")
    look, all_look = MemoryFileSystem.info, threading.Barrier(3)

    def info(files: MemoryFileSystem, path: str, **options: Any) -> Any:
        all_look.wait(60)
        return look(files, path, **options)

    monkeypatch.setattr(MemoryFileSystem, "info", info)
    found = store.open_first(["step-1/1", "step-2/1", "step-3/1"], "a")
    assert found is not None
    assert b"".join(found.read(0, found.size)) == b"step-2" * 2
    assert store.open_first(["step-1/1", "step-4/1", "step-5/1"], "a") is None


def test_a_failed_publish_leaves_nothing(store: ArtifactStore, tmp_path: Path) -> None:
    store.publish(made(tmp_path), "job", "other")
    with pytest.raises(OSError, match="missing"):
        store.publish(tmp_path / "missing", "job", "a")
    assert list(store.sizes("job")) == ["other"]


def test_a_reader_never_sees_half_a_file(tmp_path: Path) -> None:
    store = ArtifactStore(str(tmp_path / "store"))
    contents = [bytes([letter]) * 2_000_000 for letter in b"ab"]
    files = [tmp_path / "first", tmp_path / "second"]
    for file, content in zip(files, contents, strict=True):
        file.write_bytes(content)
    uri = store.publish(files[0], "job", "a")
    writer = threading.Thread(target=lambda: [store.publish(files[i % 2], "job", "a") for i in range(40)])
    writer.start()
    seen = []
    while writer.is_alive():
        seen.append(Path(uri).read_bytes() in contents)
    assert seen
    assert all(seen)
