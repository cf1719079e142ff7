"""Artifacts in S3: whole or not at all, what was published or an error, and little memory for large ones."""

from __future__ import annotations

import os
import subprocess
import sys
from collections.abc import Callable
from pathlib import Path
from textwrap import dedent
from typing import Any

import fsspec
import pytest

from tests.artifacts.conftest import made
from tests.artifacts.s3 import S3Server
from ytray.artifacts import ArtifactStore
from ytray.errors import DamagedArtifact, PermanentError, SettingsError

Node = Callable[..., ArtifactStore]
Until = Callable[..., None]

LARGE = 100_000_000  # bytes: moto needs seconds for it, S3 does not
_MOST_MEMORY = 64 << 20  # bytes by which the peak may grow


def bucket(s3: S3Server) -> Any:
    """The endpoint itself."""
    return fsspec.filesystem("s3", use_listings_cache=False, config_kwargs={"signature_version": "s3v4"})


def of_its_own(prefix: str, home: Path, *args: str) -> subprocess.Popen[str]:
    """A process of another node that publishes or fetches."""
    return subprocess.Popen(
        [sys.executable, "-m", "tests.artifacts.uploading", *args],
        env={**os.environ, "YTRAY_ARTIFACTS": prefix, "YTRAY_HOME": str(home)},
        stdout=subprocess.PIPE,
        text=True,
    )


def unfinished(s3: S3Server) -> list[dict[str, str]]:
    """The uploads that were begun."""
    found: list[dict[str, str]] = bucket(s3).call_s3("list_multipart_uploads", Bucket=s3.bucket).get("Uploads", [])
    return found


def test_a_worker_killed_in_mid_upload_leaves_nothing_that_is_seen(
    s3: S3Server, node: Node, prefix: str, tmp_path: Path, until: Until
) -> None:
    store = node("here")
    with (tmp_path / "large").open("wb") as file:
        file.truncate(LARGE)
    process = of_its_own(prefix, tmp_path / "there", "publish", str(tmp_path / "large"), "job/1", "video.mp4")

    def has_begun() -> bool:
        return any(
            bucket(s3)
            .call_s3("list_parts", Bucket=s3.bucket, Key=begun["Key"], UploadId=begun["UploadId"])
            .get("Parts")
            for begun in unfinished(s3)
            if begun["Key"].endswith("job/1/video.mp4")
        )

    until(has_begun, 30)
    process.kill()
    process.communicate()
    assert store.files("job") == []
    assert store.open("job/1", "video.mp4") is None
    (left,) = unfinished(s3)  # what a lifecycle rule of the bucket removes
    bucket(s3).call_s3("abort_multipart_upload", Bucket=s3.bucket, Key=left["Key"], UploadId=left["UploadId"])
    uri = store.publish(made(tmp_path), "job/1", "video.mp4")
    assert store.fetch(uri, tmp_path).read_bytes() == b"content"


def test_a_large_file_goes_up_and_down_in_little_memory(node: Node, prefix: str, tmp_path: Path) -> None:
    store = node("here")
    with (tmp_path / "large").open("wb") as file:
        file.truncate(LARGE)
        file.write(b"the end")
    up = of_its_own(prefix, tmp_path / "there", "publish", str(tmp_path / "large"), "job/1", "video.mp4")
    grown_up = int(up.communicate()[0])
    assert store.sizes("job/1") == {"video.mp4": (tmp_path / "large").stat().st_size}
    down = of_its_own(prefix, tmp_path / "elsewhere", "fetch", store.uri("job/1", "video.mp4"))
    grown_down = int(down.communicate()[0])
    assert (up.returncode, down.returncode) == (0, 0)
    print(f"peak memory grew by {grown_up / 1e6:.0f} MB on the way up, by {grown_down / 1e6:.0f} MB on the way down")
    assert max(grown_up, grown_down) < _MOST_MEMORY


def test_a_copy_that_is_not_what_was_published_is_an_error_and_is_thrown_away(
    s3: S3Server, node: Node, tmp_path: Path
) -> None:
    uri = node("maker").publish(made(tmp_path, b"right"), "job/1", "a.txt")
    place, metadata = uri.removeprefix("s3://"), bucket(s3).metadata(uri)
    bucket(s3).pipe_file(place, b"wrong", Metadata=metadata)
    reader, into = node("reader"), tmp_path / "into"
    into.mkdir()
    for _ in range(2):
        with pytest.raises(DamagedArtifact, match=r"a\.txt is damaged.*try again"):
            reader.fetch(uri, into)
        with pytest.raises(DamagedArtifact):
            reader.copy_to(uri, into / "copy")
        assert list(into.iterdir()) == []
    bucket(s3).pipe_file(place, b"right", Metadata=metadata)
    assert reader.fetch(uri, into).read_bytes() == b"right"


def test_what_was_removed_is_named_also_to_a_node_that_never_had_it(node: Node, tmp_path: Path) -> None:
    maker = node("maker")
    uri = maker.publish(made(tmp_path), "job/1", "a")
    maker.remove("job/1", "a")
    for name in ("maker", "reader"):
        with pytest.raises(PermanentError, match=r"there is no artifact s3://.*removed"):
            node(name).fetch(uri, tmp_path)
    for foreign in ("s3://another-bucket/job/1/a", f"{uri}/../../../../x", "/etc/passwd"):
        with pytest.raises(PermanentError, match="is not an artifact of this system"):
            node("reader").fetch(foreign, tmp_path)


def test_a_file_that_is_changed_after_it_was_published_changes_no_artifact(node: Node, tmp_path: Path) -> None:
    file = made(tmp_path, b"first")
    uri = node("maker").publish(file, "job/1", "a")
    with file.open("r+b") as same:
        same.write(b"other")
    assert node("maker").fetch(uri, tmp_path).read_bytes() == b"first"


def test_a_store_of_more_files_than_one_page_of_a_listing_is_listed_whole(
    s3: S3Server, node: Node, prefix: str
) -> None:
    files = bucket(s3)
    owners = [f"job-{number:04}" for number in range(45)]
    files.pipe({f"{prefix}/{owner}/1/a": b"x" for owner in owners})
    store = node("here")
    assert files.call_s3("list_objects_v2", Bucket=s3.bucket, Prefix=prefix.rpartition("/")[2])["IsTruncated"]
    assert [(owner, len(found)) for owner, found in store.by_owner()] == [(owner, 1) for owner in owners]
    assert store.sizes_of(["job-0003/1", "nobody", "job-0044/1"]) == [{"a": 1}, {}, {"a": 1}]


def test_a_package_that_is_missing_is_named() -> None:
    code = """
        import sys
        from ytray.artifacts import ArtifactStore
        from ytray.errors import SettingsError
        for url, package in (("s3://bucket/films", "s3fs"), ("gs://bucket/films", "gcsfs")):
            sys.modules[package] = None
            try:
                ArtifactStore(url)
            except SettingsError as told:
                print(told)
    """
    tried = subprocess.run([sys.executable, "-c", dedent(code)], capture_output=True, text=True, check=True)
    lines = tried.stdout.splitlines()
    assert len(lines) == 2
    for url, package, line in (("s3://bucket/films", "s3fs", lines[0]), ("gs://bucket/films", "gcsfs", lines[1])):
        assert f"YTRAY_ARTIFACTS: {url} needs the package {package}: pip install 'ytray[" in line


def test_a_store_that_cannot_be_used_is_told_without_its_password(home: Path) -> None:
    with pytest.raises(SettingsError) as told:
        ArtifactStore("nonsense://me:secret@host/films")
    assert "nonsense://***@host/films cannot be used" in str(told.value)
    assert "secret" not in str(told.value)
