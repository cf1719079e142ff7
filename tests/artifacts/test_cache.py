"""The copies of remote artifacts that a node keeps: read once, bounded, and safe with many processes."""

from __future__ import annotations

import fcntl
import os
import subprocess
import sys
import tempfile
import time
from collections.abc import Callable
from pathlib import Path
from textwrap import dedent

import fsspec
import pytest

from tests.artifacts.conftest import made
from ytray.artifacts import ArtifactStore
from ytray.errors import PermanentError

Node = Callable[..., ArtifactStore]

SIZE = 300_000  # bytes of each file


def publish(store: ArtifactStore, folder: Path, names: str) -> list[str]:
    """Publish a file of SIZE bytes by each letter; returns their URIs."""
    return [store.publish(made(folder, name.encode() * SIZE), "job/1", name) for name in names]


def kept(home: Path) -> list[Path]:
    """The copies on a node's disk."""
    return [path for path in (home / "cache" / "artifacts").iterdir() if path.name != "total"]


def forget_in_the_store(uri: str) -> None:
    """Remove an object behind the back of every node."""
    fsspec.filesystem("s3", use_listings_cache=False, config_kwargs={"signature_version": "s3v4"}).rm_file(uri)


def test_a_node_reads_an_artifact_once_and_what_it_made_itself_never(node: Node, tmp_path: Path) -> None:
    (uri,) = publish(node("maker"), tmp_path, "a")
    node("reader").fetch(uri, tmp_path)
    forget_in_the_store(uri)
    for name in ("maker", "reader"):
        assert node(name).fetch(uri, tmp_path).read_bytes() == b"a" * SIZE
    with pytest.raises(PermanentError, match="there is no artifact"):
        node("a third").fetch(uri, tmp_path)


def test_what_was_not_used_for_longest_goes_when_the_limit_is_reached(node: Node, tmp_path: Path) -> None:
    (tmp_path / "held").mkdir()
    uris = publish(node("maker"), tmp_path, "abcd")
    reader = node("reader", SIZE * 3)
    held = [reader.fetch(uri, tmp_path / "held") for uri in uris[:3]]
    for path in kept(tmp_path / "reader"):
        then = time.time() - {b"a": 60, b"b": 180, b"c": 120}[path.read_bytes()[:1]]
        os.utime(path, (then, then))
    reader.fetch(uris[1], tmp_path)
    reader.fetch(uris[3], tmp_path)
    left = {path.read_bytes()[:1] for path in kept(tmp_path / "reader")}
    assert b"b" in left
    assert b"d" in left
    assert b"c" not in left
    assert sum(path.stat().st_size for path in kept(tmp_path / "reader")) <= SIZE * 3
    assert [path.read_bytes()[:1] for path in held] == [b"a", b"b", b"c"]


def test_a_file_larger_than_the_limit_is_fetched_all_the_same(node: Node, tmp_path: Path) -> None:
    (uri,) = publish(node("maker", SIZE - 1), tmp_path, "a")
    assert node("reader", SIZE - 1).fetch(uri, tmp_path).read_bytes() == b"a" * SIZE
    assert kept(tmp_path / "maker") == []
    assert not (tmp_path / "reader" / "cache").exists()


def test_many_processes_of_a_node_fetch_at_once_with_a_cache_that_is_too_small(
    node: Node, prefix: str, tmp_path: Path
) -> None:
    uris = publish(node("maker"), tmp_path, "abcde")
    home = tmp_path / "reader"
    environment = {"YTRAY_ARTIFACTS": prefix, "YTRAY_HOME": str(home), "YTRAY_CACHE_BYTES": str(2 * SIZE)}
    processes = [
        subprocess.Popen(
            [sys.executable, "-m", "tests.artifacts.fetching", "2", *uris],
            env={**os.environ, **environment},
            stdout=subprocess.PIPE,
            text=True,
        )
        for _ in range(3)
    ]
    assert [process.communicate()[0] for process in processes] == ["done\n"] * 3
    assert sum(path.stat().st_size for path in kept(home)) <= 2 * SIZE
    assert [path for path in kept(home) if path.suffix == ".part"] == []


def test_a_download_that_was_killed_is_taken_over(node: Node, tmp_path: Path) -> None:
    uris = publish(node("maker"), tmp_path, "ab")
    reader = node("reader")
    reader.fetch(uris[0], tmp_path)
    (copy,) = kept(tmp_path / "reader")
    copy.with_suffix(".part").write_bytes(b"half")
    copy.unlink()
    assert reader.fetch(uris[0], tmp_path).read_bytes() == b"a" * SIZE
    assert kept(tmp_path / "reader") == [copy]


def test_a_part_whose_process_was_killed_as_it_was_finished_is_taken_over_by_one_that_is_not_root() -> None:
    code = """
        import os, pathlib, shutil, signal, sys
        import fsspec.implementations.memory
        from ytray.artifacts import ArtifactStore

        home = pathlib.Path(os.environ["YTRAY_HOME"])
        if os.geteuid() == 0:
            os.chown(home, 65534, 65534)
            os.setuid(65534)
        (home / "made").write_bytes(b"content")
        store = ArtifactStore("memory://here")
        uri = store.publish(home / "made", "job/1", "a")
        shutil.rmtree(home / "cache")
        if (child := os.fork()) == 0:
            os.replace = lambda *_: os.kill(os.getpid(), signal.SIGKILL)
            store.fetch(uri, home)
        os.waitpid(child, 0)
        left = [path.suffix for path in (home / "cache" / "artifacts").iterdir() if path.name != "total"]
        print(left, store.fetch(uri, home).read_bytes(), oct((home / "a").stat().st_mode & 0o777))
    """
    with tempfile.TemporaryDirectory(prefix="ytray-test-") as home:
        environment = {**os.environ, "YTRAY_HOME": home}
        ran = subprocess.run(
            [sys.executable, "-c", dedent(code)], env=environment, capture_output=True, text=True, check=False
        )
    assert (ran.stdout, ran.stderr) == ("['.part'] b'content' 0o444\n", "")


def test_what_killed_uploads_left_and_what_is_above_the_limit_goes_also_where_nothing_is_kept(
    node: Node, tmp_path: Path
) -> None:
    (uri,) = publish(node("maker"), tmp_path, "a")
    folder = tmp_path / "maker" / "cache" / "artifacts"
    left, held, new = (folder / f"{name}.part" for name in ("left", "held", "new"))
    then = time.time() - 120
    for part in (left, held, new):
        part.write_bytes(b"half")
        os.utime(part, (time.time(), then if part != new else time.time()))
    with held.open("rb") as file:
        fcntl.flock(file, fcntl.LOCK_EX)
        publish(node("maker", 0), tmp_path, "b")
        assert sorted(kept(tmp_path / "maker")) == [held, new]
    node("maker", 0).fetch(uri, tmp_path)
    assert kept(tmp_path / "maker") == [new]


def test_a_clean_up_leaves_a_part_that_another_process_has_begun_meanwhile(
    node: Node, tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    publish(node("maker"), tmp_path, "a")
    part = tmp_path / "maker" / "cache" / "artifacts" / "left.part"
    part.write_bytes(b"half")
    os.utime(part, (0, 0))
    lock = fcntl.flock

    def lock_late(file: int, how: int) -> None:
        if how & fcntl.LOCK_NB:
            part.unlink()
            part.write_bytes(b"begun")
        lock(file, how)

    monkeypatch.setattr(fcntl, "flock", lock_late)
    publish(node("maker", 0), tmp_path, "b")
    assert part.read_bytes() == b"begun"
