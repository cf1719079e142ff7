"""What comes from elsewhere: packages with known holes, uv by its hashes, images by their digests."""

from __future__ import annotations

import json
import re
import shutil
import subprocess
import sys
import threading
from collections.abc import Iterator
from contextlib import contextmanager
from datetime import UTC, datetime, timedelta
from http.server import BaseHTTPRequestHandler, ThreadingHTTPServer
from pathlib import Path

import pytest

from tests.cluster.machines import find_uv
from tests.cluster.reading import CLUSTER, REPOSITORY

HOLE = "GHSA-0000-test-0000"
DIGEST = f"sha256:{'ab' * 32}"


class Osv(BaseHTTPRequestHandler):
    """A list of holes that knows of one, in pillow."""

    def do_POST(self) -> None:
        asked = json.loads(self.rfile.read(int(self.headers["Content-Length"])))["queries"]
        results = [{"vulns": [{"id": HOLE}]} if each["package"]["name"] == "pillow" else {} for each in asked]
        self._say({"results": results})

    def do_GET(self) -> None:
        self._say({"id": HOLE, "summary": "a hole", "modified": "2026-01-01T00:00:00Z", "affected": []})

    def _say(self, answer: object) -> None:
        told = json.dumps(answer).encode()
        self.send_response(200)
        self.send_header("Content-Type", "application/json")
        self.send_header("Content-Length", str(len(told)))
        self.end_headers()
        self.wfile.write(told)

    def log_message(self, format: str, *args: object) -> None:
        pass


@contextmanager
def list_of_holes() -> Iterator[str]:
    with ThreadingHTTPServer(("127.0.0.1", 0), Osv) as server:
        threading.Thread(target=server.serve_forever, daemon=True).start()
        yield f"http://127.0.0.1:{server.server_port}/"
        server.shutdown()


def audited(folder: Path, url: str, *accepted: str) -> subprocess.CompletedProcess[str]:
    """The audit of a copy of the project, with those lines of accepted holes."""
    for name in ("scripts", "docs"):
        (folder / name).mkdir(exist_ok=True)
    shutil.copy(REPOSITORY / "scripts" / "audit", folder / "scripts")
    for name in ("pyproject.toml", "uv.lock", "README.md"):
        shutil.copy(REPOSITORY / name, folder)
    (folder / "docs" / "accepted-holes.txt").write_text("# a comment\n" + "".join(f"{line}\n" for line in accepted))
    command = [
        sys.executable,
        "scripts/audit",
        find_uv(),
        "--service-url",
        url,
        "--offline" if not url else "--no-cache",
    ]
    return subprocess.run(command, cwd=folder, capture_output=True, text=True, timeout=60)


def test_a_known_hole_fails_the_check_until_it_is_accepted_and_then_until_the_day_is_over(tmp_path: Path) -> None:
    today = datetime.now(UTC).date()
    with list_of_holes() as url:
        found = audited(tmp_path, url)
        assert found.returncode == 1
        assert HOLE in found.stderr
        assert "pillow" in found.stderr
        until = [f"{HOLE} until {today + timedelta(days=days)}: read in a test alone" for days in (1, -1)]
        assert (audited(tmp_path, url, until[0]).returncode, audited(tmp_path, url, until[1]).returncode) == (0, 1)
        undated = audited(tmp_path, url, f"{HOLE}: we know")
    assert "is not `ID until YYYY-MM-DD: reason`" in undated.stderr
    assert undated.returncode == 1


def test_a_list_that_is_not_reached_is_said_and_fails_nothing(tmp_path: Path) -> None:
    done = audited(tmp_path, "http://127.0.0.1:9/")
    assert done.returncode == 0
    assert "NOT checked for known holes" in done.stderr


def test_uv_is_taken_by_its_hashes_everywhere() -> None:
    listed = (REPOSITORY / "scripts" / "uv.txt").read_text()
    (version,) = re.findall(r"(?m)^uv==(\S+) ", listed)
    assert len(re.findall(r"--hash=sha256:[0-9a-f]{64}", listed)) > 10
    for file in (REPOSITORY / "scripts" / "bring-uv", CLUSTER / "Dockerfile"):
        told = file.read_text()
        installs = re.findall(r"pip install[^\n&]*", told)
        assert installs
        assert all("--require-hashes -r scripts/uv.txt" in line for line in installs), file
    assert version in (REPOSITORY / "scripts" / "uv.txt").read_text()


@pytest.fixture
def cluster(tmp_path: Path) -> Path:
    """A copy of the files, and a docker that knows the digest of every image."""
    shutil.copytree(CLUSTER, tmp_path / "cluster", ignore=shutil.ignore_patterns("secrets"))
    (tmp_path / "scripts").mkdir()
    shutil.copy(REPOSITORY / "scripts" / "pin-images", tmp_path / "scripts")
    (tmp_path / "docker").write_text(f'#!/bin/sh\n[ "$6" != missing ] && echo {DIGEST}\n')
    (tmp_path / "docker").chmod(0o755)
    return tmp_path


def pin(folder: Path, *options: str) -> subprocess.CompletedProcess[str]:
    command = [sys.executable, "scripts/pin-images", *options]
    return subprocess.run(
        command, cwd=folder, env={"PATH": f"{folder}:/usr/bin:/bin"}, capture_output=True, text=True, timeout=30
    )


def test_images_are_pinned_by_digest_where_a_registry_is_reached_and_the_check_names_those_that_are_not(
    cluster: Path,
) -> None:
    before = pin(cluster, "--check")
    assert before.returncode == 1
    named = set(re.findall(r"(?m)^  \S+ (\S+)", before.stderr))
    images = {found for file in CLUSTER.rglob("*.yaml") for found in re.findall(r"image: (\S+)", file.read_text())}
    assert images <= named
    for file in (cluster / "cluster").rglob("*.yaml"):
        file.write_text(re.sub(r"image: ytray:(\w+)", r"image: registry.example/ytray:\1", file.read_text()))
    assert pin(cluster).returncode == 0
    assert pin(cluster, "--check").stderr == ""
    assert pin(cluster).returncode == 0  # and again: the tag is looked up anew
    told = (cluster / "cluster" / "kubernetes" / "redis.yaml").read_text()
    assert re.search(rf"image: redis:7\.2\.\d+-bookworm@{DIGEST}\n", told)
    assert re.search(rf"ARG PYTHON=3\S+-bookworm@{DIGEST}\n", (cluster / "cluster" / "Dockerfile").read_text())
