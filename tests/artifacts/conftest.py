"""One S3 endpoint for all tests of artifacts, and nodes whose disks are apart."""

from __future__ import annotations

import os
import uuid
from collections.abc import Callable, Iterator
from pathlib import Path

import pytest

from tests.artifacts.s3 import S3Server, s3_server
from ytray.artifacts import ArtifactStore


@pytest.fixture(scope="session")
def s3(home: Path) -> Iterator[S3Server]:
    """The endpoint; this process's environment leads to it."""
    assert home.is_dir()
    with s3_server() as server:
        before = dict(os.environ)
        os.environ.update(server.environment)
        yield server
        os.environ.clear()
        os.environ.update(before)


@pytest.fixture
def prefix(s3: S3Server) -> str:
    """A YTRAY_ARTIFACTS of the test's own, in the bucket."""
    return f"s3://{s3.bucket}/{uuid.uuid4().hex[:12]}"


@pytest.fixture
def node(prefix: str, tmp_path: Path, with_settings: Callable[..., None]) -> Callable[..., ArtifactStore]:
    """`node(name, cache_bytes=…)`: the store as a node of that name sees it, which has a disk of its own."""

    def be(name: str, cache_bytes: int = 1 << 30) -> ArtifactStore:
        with_settings(artifacts=prefix, home=tmp_path / name, cache_bytes=cache_bytes)
        return ArtifactStore()

    return be


def made(folder: Path, content: bytes = b"content") -> Path:
    """A file with that content."""
    file = folder / "made"
    file.write_bytes(content)
    return file
