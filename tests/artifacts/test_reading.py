"""Artifacts over HTTP: the same from a folder and from S3, with their digests; or by a link to the store."""

from __future__ import annotations

import base64
import hashlib
import uuid
from collections.abc import Callable
from pathlib import Path

import fsspec
import httpx
import pytest

from tests.artifacts.conftest import made
from tests.artifacts.s3 import S3Server
from tests.engine.tasks_for_tests import add
from tests.engine.test_retention import make_old
from ytray import Job
from ytray.artifacts import ArtifactStore, attempt_folder
from ytray.client import Client
from ytray.engine.control.retention import Removed, cleanup
from ytray.engine.state.store import Store
from ytray.errors import DamagedArtifact

CONTENT = bytes(range(256)) * 40_000  # ten MB, more than is read at once
DIGEST = hashlib.sha256(CONTENT)


@pytest.fixture(scope="module")
def done(system: Store) -> Job[int]:
    """A job that has completed."""
    job = add.delay(1, 2)
    job.get(timeout=60)
    return job


@pytest.fixture(params=["folder", "s3"])
def path(
    request: pytest.FixtureRequest, s3: S3Server, tmp_path: Path, with_settings: Callable[..., None], done: Job[int]
) -> str:
    """The path in the API of a file that the job made, kept in a folder or in S3."""
    root = str(tmp_path / "kept") if request.param == "folder" else f"s3://{s3.bucket}/{uuid.uuid4().hex}"
    with_settings(artifacts=root, home=tmp_path / "home")
    ArtifactStore().publish(made(tmp_path, CONTENT), attempt_folder(done.id, 1), "video.mp4")
    return f"/api/jobs/{done.id}/artifacts/video.mp4"


def test_a_file_is_told_with_its_digest_and_read_in_ranges(api_url: str, path: str) -> None:
    with httpx.Client(base_url=api_url) as api:
        whole = api.get(path)
        assert whole.content == CONTENT
        assert whole.headers["repr-digest"] == f"sha-256=:{base64.b64encode(DIGEST.digest()).decode()}:"
        etag = whole.headers["etag"]
        assert etag == f'"sha256-{DIGEST.hexdigest()}"'
        assert whole.headers["content-type"] == "video/mp4"
        assert api.get(path, headers={"If-None-Match": f'"other", {etag}'}).status_code == 304
        assert api.get(path, headers={"If-None-Match": "*"}).status_code == 304
        assert api.get(path, headers={"If-None-Match": '"*"'}).status_code == 200
        far = {"Range": "bytes=5000000-9999999"}
        for asked in (far, {**far, "If-Range": etag}):
            part = api.get(path, headers=asked)
            assert (part.status_code, part.headers["content-range"]) == (206, f"bytes 5000000-9999999/{len(CONTENT)}")
            assert part.content == CONTENT[5_000_000:10_000_000]
        other = api.get(path, headers={**far, "If-Range": '"other"'})
        assert (other.status_code, len(other.content)) == (200, len(CONTENT))
        assert api.get(path, headers={"Range": f"bytes={len(CONTENT)}-"}).status_code == 416


def test_a_download_that_is_not_what_was_published_is_thrown_away(
    api_url: str, s3: S3Server, prefix: str, tmp_path: Path, with_settings: Callable[..., None], done: Job[int]
) -> None:
    for links in ("proxied", "signed"):
        with_settings(artifacts=prefix, home=tmp_path / "home", artifact_links=links)
        uri = ArtifactStore().publish(made(tmp_path, b"right"), attempt_folder(done.id, 1), "a.txt")
        files = fsspec.filesystem("s3", use_listings_cache=False, config_kwargs={"signature_version": "s3v4"})
        files.pipe_file(uri, b"wrong", Metadata=files.metadata(uri))
        with Client(api_url) as client, pytest.raises(DamagedArtifact, match="thrown away"):
            client.download(done.id, "a.txt", tmp_path / "copy")
        assert not (tmp_path / "copy").exists()


def test_readers_are_sent_to_the_store_when_links_are_signed(
    api_url: str, s3: S3Server, prefix: str, tmp_path: Path, with_settings: Callable[..., None], done: Job[int]
) -> None:
    with_settings(artifacts=prefix, home=tmp_path / "home", artifact_links="signed")
    for name in ("video.mp4", "report.html"):
        ArtifactStore().publish(made(tmp_path, CONTENT), attempt_folder(done.id, 1), name)
    path = f"/api/jobs/{done.id}/artifacts/video.mp4"
    with httpx.Client(base_url=api_url) as api:
        sent = api.get(path)
        assert (sent.status_code, sent.headers["cache-control"]) == (307, "no-store")
        link = httpx.URL(sent.headers["location"])
        assert str(link).startswith(f"{s3.url}/{s3.bucket}/")
        assert (link.params["X-Amz-Expires"], link.params["X-Amz-Algorithm"]) == ("300", "AWS4-HMAC-SHA256")
        assert httpx.get(link, headers={"Range": "bytes=0-9"}).content == CONTENT[:10]
        # The console reads through the API, whose policy allows no other origin; so do pages, which get a policy.
        assert api.get(path, headers={"Sec-Fetch-Site": "same-origin"}).content == CONTENT
        assert api.get(path.replace("video.mp4", "report.html")).headers["content-security-policy"].endswith("sandbox")
    with Client(api_url) as client:
        assert client.download(done.id, "video.mp4", tmp_path / "copy").read_bytes() == CONTENT
        assert {artifact.name for artifact in client.artifacts(done.id)} == {"video.mp4", "report.html"}


def test_a_clean_up_removes_the_files_of_old_jobs_in_the_bucket(
    system: Store, s3: S3Server, prefix: str, tmp_path: Path, with_settings: Callable[..., None]
) -> None:
    with_settings(artifacts=prefix, home=tmp_path / "home")
    old, new = add.delay(1), add.delay(2)
    for job in (old, new):
        job.get(timeout=30)
        ArtifactStore().publish(made(tmp_path, b"ten bytes."), attempt_folder(job.id, 1), "a")
    make_old(system, old.id)
    assert cleanup(dry_run=True).kinds["jobs"] == Removed(1, 10)
    assert cleanup().job_ids == (old.id,)
    assert ArtifactStore().owners() == [new.id]
