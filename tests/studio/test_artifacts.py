"""The artifact store: nothing partial, nothing outside of it."""

from __future__ import annotations

import threading
from collections.abc import Iterator
from pathlib import Path

import fsspec
import pytest

from ytray.artifacts import ArtifactStore, attempt_folder, owner_and_name
from ytray.errors import PermanentError


@pytest.fixture(params=["folder", "memory"])
def store(request: pytest.FixtureRequest, tmp_path: Path) -> Iterator[ArtifactStore]:
    """A store in a folder, and one behind an fsspec URL."""
    yield ArtifactStore(str(tmp_path / "store") if request.param == "folder" else "memory://ytray-test")
    fsspec.filesystem("memory").rm("/ytray-test", recursive=True) if request.param == "memory" else None


def made(folder: Path, content: bytes = b"content") -> Path:
    file = folder / "made"
    file.write_bytes(content)
    return file


def test_what_is_published_is_fetched_again(store: ArtifactStore, tmp_path: Path) -> None:
    uri = store.publish(made(tmp_path), "job-1", "video.mp4")
    assert uri == store.uri("job-1", "video.mp4")
    assert store.fetch(uri, tmp_path).read_bytes() == b"content"
    assert store.names("job-1") == ["video.mp4"]
    assert store.names("job-2") == []


def test_publishing_again_replaces(store: ArtifactStore, tmp_path: Path) -> None:
    store.publish(made(tmp_path, b"old"), "job", "a")
    uri = store.publish(made(tmp_path, b"new"), "job", "a")
    assert store.fetch(uri, tmp_path).read_bytes() == b"new"
    assert store.names("job") == ["a"]


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
    assert (store.names("job/1"), store.names("job/2"), store.names("job/2.failed")) == ([], [], ["a"])
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


def test_a_failed_publish_leaves_nothing(store: ArtifactStore, tmp_path: Path) -> None:
    store.publish(made(tmp_path), "job", "other")
    with pytest.raises(OSError, match="missing"):
        store.publish(tmp_path / "missing", "job", "a")
    assert store.names("job") == ["other"]


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
