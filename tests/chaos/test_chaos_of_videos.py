"""Twenty real videos as a batch: everything is killed in the middle, and what comes of it is the same files."""

from __future__ import annotations

import csv
import hashlib
import json
import os
import signal
import subprocess
import sys
import time
from collections.abc import Iterator
from pathlib import Path
from typing import Any

import psutil
import pytest

from tests.chaos.killing import kill

VIDEOS = int(os.environ.get("YTRAY_CHAOS_VIDEOS", "20"))
SUBJECTS = ("cats", "tea", "the ocean", "rain", "stars", "bread", "forests", "clocks", "bees", "salt")


@pytest.fixture
def nothing_stays(tmp_path: Path) -> Iterator[None]:
    yield
    for home in ("a", "b"):
        _kill_everything(tmp_path / home)


@pytest.mark.chaos
def test_a_killed_batch_of_videos_is_resumed_to_the_same_files(tmp_path: Path, nothing_stays: None) -> None:
    briefs = tmp_path / "briefs.csv"
    with briefs.open("w", newline="") as file:
        rows = csv.writer(file)
        rows.writerow(("key", "prompt", "duration", "aspect"))
        for number in range(VIDEOS):
            prompt = f"{('Why', 'How')[number % 2]} {SUBJECTS[number % 10]} matter, part {number // 10 + 1}"
            rows.writerow((f"v{number}", prompt, 5, ("9:16", "1:1")[number % 2]))
    begun = time.monotonic()
    undisturbed = _outcome(_ytray(tmp_path / "a", "batch", "run", str(briefs), "--json"), tmp_path / "a")
    whole = time.monotonic() - begun
    running = subprocess.Popen(
        [sys.executable, "-m", "ytray", "batch", "run", str(briefs), "--json"],
        env=_environment(tmp_path / "b"),
        stdout=subprocess.DEVNULL,
    )
    _until_made(tmp_path / "b", VIDEOS // 3, whole * 3)
    killed = _kill_everything(tmp_path / "b")
    assert running.wait(timeout=30) == -signal.SIGKILL
    made = len(list((tmp_path / "b" / "artifacts").glob("*/*/video.mp4")))
    assert 0 < made < VIDEOS
    (batch,) = json.loads(_ytray(tmp_path / "b", "batch", "status", "--json").stdout)["batches"]
    resumed = _outcome(_ytray(tmp_path / "b", "batch", "resume", batch["batch_id"], "--json"), tmp_path / "b")
    print(f"\n{VIDEOS} videos in {whole:.0f} s; killed {killed} processes when {made} were made; all resumed")
    assert len(undisturbed) == VIDEOS
    assert resumed == undisturbed
    again = _ytray(tmp_path / "b", "batch", "resume", batch["batch_id"], "--json")
    assert json.loads(again.stdout)["batch"]["state"] == "COMPLETED"


def _environment(home: Path) -> dict[str, str]:
    own = {name: value for name, value in os.environ.items() if not name.startswith(("YTRAY_", "RAY_"))}
    return {**own, "YTRAY_HOME": str(home), "YTRAY_RETRY_DELAYS": "1,1"}


def _ytray(home: Path, *arguments: str) -> subprocess.CompletedProcess[str]:
    done = subprocess.run(
        [sys.executable, "-m", "ytray", *arguments],
        env=_environment(home),
        capture_output=True,
        text=True,
        timeout=1500,
        check=False,
    )
    assert done.returncode == 0, done.stdout[-2000:] + done.stderr[-2000:]
    return done


def _until_made(home: Path, number: int, seconds: float) -> None:
    deadline = time.monotonic() + seconds
    while len(list((home / "artifacts").glob("*/*/video.mp4"))) < number:
        assert time.monotonic() < deadline, "no videos are made"
        time.sleep(0.1)


def _kill_everything(home: Path) -> int:
    """SIGKILL for every process of a system: the command, Redis, Ray and its workers."""
    killed = 0
    for process in psutil.process_iter():
        try:
            # Redis writes over its environment, and has the home in its command line.
            if process.environ().get("YTRAY_HOME") == str(home) or str(home) in " ".join(process.cmdline()):
                killed += kill(process.pid)
        except (psutil.AccessDenied, psutil.NoSuchProcess):
            continue
    return killed


def _outcome(done: subprocess.CompletedProcess[str], home: Path) -> dict[str, str]:
    """The digest of each item's video and captions, by the item's key."""
    told: dict[str, Any] = json.loads(done.stdout)
    assert told["batch"]["state"] == "COMPLETED", told
    items = json.loads(_ytray(home, "batch", "items", told["batch_id"], "--json").stdout)["items"]
    found = {}
    for item in items:
        result = json.loads(_ytray(home, "result", item["job_id"], "--json").stdout)
        video = result["video"]
        content = Path(video["uri"]).read_bytes() + Path(video["captions_srt"]).read_bytes()
        found[item["key"]] = hashlib.sha256(content).hexdigest()
    return found
