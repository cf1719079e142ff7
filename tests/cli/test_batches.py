"""`ytray batch` as a person or a script meets it, over the API and inside the cluster."""

from __future__ import annotations

import json
import os
import pty
import signal
import subprocess
import sys
import threading
from collections.abc import Callable, Iterator
from contextlib import contextmanager
from datetime import UTC, datetime, timedelta
from pathlib import Path
from typing import Any

import pytest
from rich.console import Console

from tests.cli import tasks_for_batches
from tests.cli.conftest import Ytray
from tests.cli.test_commands import ROOT
from ytray import batches, job_tracker
from ytray.cli.batch_screen import Look, picture
from ytray.cli.batch_words import eta_of
from ytray.cli.inside import Inside
from ytray.engine.base.model import JobState, JobStatus
from ytray.engine.batch.model import (
    BatchState,
    BatchStatus,
    ErrorExample,
    ErrorGroup,
    Eta,
    Item,
    ItemCounts,
    ItemState,
    Retries,
    Stage,
)
from ytray.engine.state.store import Store

Until = Callable[..., None]
NOW = datetime(2026, 11, 24, 12, tzinfo=UTC)


def rows(folder: Path, *words: str) -> str:
    """A CSV file of words to be said; a key belongs to the same place of each such file of this folder."""
    file = folder / "words.csv"
    lines = (f"{folder.name} {place},{folder},{word}\n" for place, word in enumerate(words, 1))
    file.write_text("key,folder,word\n" + "".join(lines))
    return str(file)


@contextmanager
def at_a_terminal(*arguments: str) -> Iterator[tuple[subprocess.Popen[bytes], bytearray, int]]:
    """A command at a terminal: its process, what it has shown so far, and where to type."""
    controller, terminal = pty.openpty()
    process = subprocess.Popen(
        [sys.executable, "-m", "ytray", *arguments],
        stdin=terminal,
        stdout=terminal,
        stderr=terminal,
        cwd=ROOT,
        env={**os.environ, "TERM": "xterm", "COLUMNS": "120", "LINES": "40"},
    )
    os.close(terminal)
    shown = bytearray()

    def show() -> None:
        try:
            while part := os.read(controller, 4096):
                shown.extend(part)
        except OSError:
            return  # the other end is closed

    reader = threading.Thread(target=show, daemon=True)
    reader.start()
    try:
        yield process, shown, controller
    finally:
        process.kill()
        process.wait()
        reader.join(60)
        os.close(controller)


def test_a_file_is_run_told_of_and_looked_at(ytray: Ytray, tmp_path: Path) -> None:
    told = ytray(
        "batch", "run", rows(tmp_path, "one", "two", "three"), "--task", "say", "--name", "words",
        "--report", str(tmp_path / "report.html"),
    )  # fmt: skip
    assert told.exit_code == 0, told.output
    lines = told.stdout.splitlines()
    assert lines[0].startswith("3 items")
    assert "100.0 % COMPLETED: 3 of 3 completed" in told.stdout
    assert lines[-1] == str(tmp_path / "report.html")
    assert "words" in (tmp_path / "report.html").read_text()

    (listed,) = [x for x in json.loads(ytray("batch", "status", "--json").stdout)["batches"] if x["name"] == "words"]
    batch_id = listed["batch_id"]
    assert batch_id in ytray("batch", "status").stdout
    assert "3 of 3 completed" in ytray("batch", "status", batch_id).stdout
    assert ytray("batch", "status", batch_id, "--watch").exit_code == 0
    items = json.loads(ytray("batch", "items", batch_id, "--state", "completed", "--json").stdout)["items"]
    assert [(item["line"], item["key"][-2:]) for item in items] == [(2, " 1"), (3, " 2"), (4, " 3")]
    assert "words" in ytray("batch", "report", batch_id).stdout
    done = ytray("batch", "resume", batch_id)
    assert (done.exit_code, "nothing to do" in done.stdout) == (0, True)


def test_wrong_rows_are_all_told_and_nothing_is_run(ytray: Ytray, tmp_path: Path) -> None:
    file = rows(tmp_path, "right", "much too long to be said", "again")
    Path(file).write_text(Path(file).read_text().replace(" 3,", " 1,"))
    before = len(batches.page(limit=1000).batches)
    told = ytray("batch", "run", file, "--task", "say")
    assert told.exit_code == 2
    table = [line.split(maxsplit=2) for line in told.stderr.splitlines()]
    assert [row[:2] for row in table[:3]] == [["line", "field"], ["3", "word"], ["4", "key"]]
    assert "at most 20 characters" in table[1][2]
    assert "--skip-invalid" in told.stderr
    exact = ytray("batch", "run", file, "--task", "say", "--json")
    prepared = json.loads(exact.stdout)["prepared"]
    assert (exact.exit_code, prepared["accepted"], prepared["bad_count"], prepared["duplicates"]) == (2, 1, 2, 1)
    assert json.loads(exact.stderr)["type"] == "InvalidRows"
    assert len(batches.page(limit=1000).batches) == before
    skipping = ytray("batch", "run", file, "--task", "say", "--skip-invalid", "--json")
    assert (skipping.exit_code, json.loads(skipping.stdout)["batch"]["total"]) == (0, 1)


def test_failures_are_grouped_and_an_edited_file_mends_them(ytray: Ytray, tmp_path: Path) -> None:
    file = rows(tmp_path, "one", "not two", "not three")
    told = ytray("batch", "run", file, "--task", "say", "--json")
    assert told.exit_code == 1
    batch_id, groups = (json.loads(told.stdout)[name] for name in ("batch_id", "errors"))
    assert sum(group["count"] for group in groups) == 2
    shown = ytray("batch", "errors", batch_id)
    assert f"`ytray batch errors {batch_id} --replay {groups[0]['fingerprint']}`" in shown.stdout
    assert "is not to be said" in shown.stdout
    assert ytray("batch", "errors", batch_id, "--replay", groups[0]["fingerprint"]).stdout.endswith(" replayed\n")
    batches.get(batch_id).wait(60)
    again = ytray("batch", "resume", batch_id, rows(tmp_path, "one", "two", "not three"))
    assert again.exit_code == 1, again.output
    assert "2 of 3 completed, 1 failed" in again.stdout
    assert f"`ytray batch resume {batch_id}` runs what did not complete once more" in again.stdout
    (group,) = json.loads(ytray("batch", "errors", batch_id, "--json").stdout)["groups"]
    assert ytray("batch", "errors", batch_id, "--discard", group["fingerprint"]).stdout.strip() == "1 discarded"
    assert ytray("batch", "errors", batch_id).stdout.strip() == "no item has failed"
    assert json.loads(ytray("batch", "status", batch_id, "--json").stdout)["state"] == "COMPLETED"
    refused = ytray("batch", "resume", batch_id, rows(tmp_path, "much too long to be said"))
    assert (refused.exit_code, "was not changed" in refused.stderr) == (2, True)


def test_a_detached_batch_is_paused_changed_resumed_and_cancelled(ytray: Ytray, tmp_path: Path) -> None:
    file = rows(tmp_path, "never", "ever")
    batch_id = ytray(
        "batch", "run", file, "--task", "say_when", "--concurrency", "1", "--budget", "5", "--detach"
    ).stdout.splitlines()[-1]
    assert json.loads(ytray("batch", "pause", batch_id, "--json").stdout)["state"] == "PAUSED"
    changed = json.loads(ytray("batch", "change", batch_id, "--concurrency", "2", "--budget", "7", "--json").stdout)
    assert (changed["concurrency"], changed["budget_usd"], changed["state"]) == (2, 7.0, "PAUSED")
    assert ytray("batch", "resume", batch_id, "--detach").exit_code == 0
    assert json.loads(ytray("batch", "status", batch_id, "--json").stdout)["state"] == "RUNNING"
    assert "CANCELLED" in ytray("batch", "cancel", batch_id).stdout
    assert ytray("batch", "pause", batch_id).exit_code == 2


def test_a_batch_for_later_is_not_waited_for(ytray: Ytray, tmp_path: Path) -> None:
    told = ytray("batch", "run", rows(tmp_path, "later"), "--task", "say", "--start-at", "2100-01-01T06:00+01:00")
    assert told.exit_code == 0, told.output
    assert "starts at 2100-01-01 05:00:00 UTC" in told.stderr
    assert ytray("batch", "cancel", told.stdout.splitlines()[-1]).exit_code == 0


def test_ctrl_c_leaves_the_batch_running(api_url: str, tmp_path: Path, until: Until) -> None:
    command = ("--url", api_url, "batch", "run", rows(tmp_path, "first", "second"), "--task", "say_when")
    with at_a_terminal(*command) as (process, shown, _):
        until(lambda: b"#2" in shown and b"2 active" in shown and b"(2 running)" in shown)
        process.send_signal(signal.SIGINT)
        assert process.wait(60) == 1
        until(lambda: b"goes on" in shown)
    assert b"Traceback" not in shown
    (found,) = [x for x in batches.page(limit=5).batches if x.task_name == "say_when" and x.state == "RUNNING"]
    assert found.counts.active == 2
    for word in ("first", "second"):
        (tmp_path / word).touch()
    assert batches.get(found.batch_id).wait(60).state == "COMPLETED"


def test_what_would_cost_money_is_asked_for_once(api_url: str, tmp_path: Path, until: Until) -> None:
    file = tmp_path / "videos.jsonl"
    file.write_text('{"prompt": "Why do cats purr?", "provider": "vertex"}\n')
    before = sum(job_tracker.counts().values())
    with at_a_terminal("--url", api_url, "batch", "run", str(file)) as (process, shown, keyboard):
        until(lambda: b"Go on?" in shown)
        os.write(keyboard, b"n\n")
        assert process.wait(60) == 1
        until(lambda: b"nothing was submitted" in shown)
    assert b"1 video, likely " in shown
    assert sum(job_tracker.counts().values()) == before


def test_an_estimate_submits_nothing(ytray: Ytray, tmp_path: Path) -> None:
    file = tmp_path / "videos.jsonl"
    file.write_text('{"prompt": "Why do cats purr?"}\n{"prompt": "Why do dogs bark?"}\n')
    before = sum(job_tracker.counts().values())
    told = ytray("batch", "run", str(file), "--estimate")
    assert told.exit_code == 0, told.output
    assert told.stdout.startswith("2 videos, likely 0.0000 USD, at most 0.0000 USD")
    assert json.loads(ytray("batch", "run", str(file), "--estimate", "--json").stdout)["prepared"]["accepted"] == 2
    assert sum(job_tracker.counts().values()) == before


def test_rows_come_from_standard_input_inside_the_cluster(system: Store, tmp_path: Path) -> None:
    done = subprocess.run(
        [sys.executable, "-m", "ytray", "batch", "run", "-", "--task", "say", "--json"],
        input="".join(json.dumps({"folder": str(tmp_path), "word": word}) + "\n" for word in ("a", "b", "not")),
        capture_output=True,
        text=True,
        timeout=60,
        check=False,
        cwd=ROOT,
        env={**os.environ, "YTRAY_IMPORTS": tasks_for_batches.__name__},
    )
    assert done.returncode == 1, done.stderr
    told = json.loads(done.stdout)
    assert (told["batch"]["counts"]["completed"], told["batch"]["state"]) == (2, "FAILED")
    assert [group["count"] for group in told["errors"]] == [1]
    assert told["prepared"]["accepted"] == 3


def test_the_command_line_knows_whether_the_system_outlives_it(
    system: Store, with_settings: Callable[..., None], tmp_path: Path
) -> None:
    assert Inside().stays
    with_settings(home=tmp_path)  # nothing runs there: a command would have to start it
    assert not Inside().stays


@pytest.mark.parametrize(
    ("arguments", "told"),
    [
        (("run", "nowhere.csv"), "nowhere.csv"),
        (("run", "rows.xlsx"), "rows.xlsx"),
        (("run", "{rows}", "--task", "sayy"), "did you mean 'say'"),
        (("run", "{rows}", "--priority", "10"), "priority: Input should be less than or equal to 9"),
        (("run", "{rows}", "--start-at", "soon"), "--start-at 'soon' is no time"),
        (("run", "{rows}", "--task", "say", "--cron", "often"), "cron"),
        (("run", "{rows}", "--on-complete", "example.com"), "on_complete"),
        (("run", "{rows}", "--report", "report.pdf"), "a report is a .html or a .md file"),
        (("run", "{rows}", "--report", "nowhere/report.md"), "there is no folder"),
        (("status", "no-such-batch"), "no batch no-such-batch"),
        (("status", "--watch"), "--watch takes a batch"),
        (("items", "no-such-batch", "--state", "faild"), "did you mean 'failed'"),
        (("change", "no-such-batch"), "say what changes"),
        (("errors", "no-such-batch", "--replay", "x", "--discard", "x"), "not both"),
        (("resume", "no-such-batch"), "no batch no-such-batch"),
        (("report", "no-such-batch"), "no batch no-such-batch"),
    ],
)
def test_bad_input_exits_with_2_and_says_why(
    ytray: Ytray, tmp_path: Path, arguments: tuple[str, ...], told: str
) -> None:
    file = rows(tmp_path, "one")
    done = ytray("batch", *(part.format(rows=file) for part in arguments))
    assert done.exit_code == 2, done.output
    assert told in " ".join(done.stderr.split())


# ---------------------------------------------------------------------------------------------- the picture


def test_what_waits_to_be_tried_again_is_shown_with_its_reason_and_until_when() -> None:
    retries = [Retries(task_name="step_1", error="OSError: no network [here]", count=12, until=NOW)]
    for height in (20, 40):
        screen = Console(width=150, height=height, force_terminal=True, color_system=None)
        with screen.capture() as shown:
            screen.print(picture(look(retries=retries), NOW, 150, height))
        assert len(shown.get().splitlines()) <= height
        told = (
            f"step_1 waits until {NOW.astimezone():%H:%M:%S} (12 of them), to be tried again: OSError: no network [here"
        )
        assert told in shown.get()


def look(**changed: Any) -> Look:
    """A batch of 10,000 with more in the making than a screen has room for."""
    counts = ItemCounts(
        waiting=5768, queued=2, executing=16, retrying=0, completed=4211, failed=3, cancelled=0, discarded=0
    )
    status = BatchStatus(
        batch_id="b1a2",
        name="[bold]shorts",
        task_name="process_batch_item",
        user_id=None,
        state=BatchState.RUNNING,
        reason=None,
        total=10_000,
        counts=counts,
        reused=0,
        progress=42.1,
        created_at=NOW - timedelta(hours=4),
        started_at=NOW - timedelta(hours=4),
        ended_at=None,
        start_at=None,
        cron=None,
        priority=4,
        concurrency=None,
        budget_usd=100.0,
        cost_usd=58.2,
        reserved_usd=0.0,
        forecast_usd=138.3,
        items_per_minute=16.2,
        eta=Eta(seconds=720, low_seconds=540, high_seconds=960, method="throughput"),
        stages=[
            Stage(task_name=f"step_{n}", queue="media", done=4211, mean_seconds=n, deviation_seconds=0.5)
            for n in range(9)
        ],
        webhook_error=None,
        metadata={},
    ).model_copy(update=changed)
    active = [
        Item(
            number=n,
            line=n + 1,
            key=f"key-{n}",
            state=ItemState.ACTIVE,
            job_id=f"j{n}",
            job_state=JobState.EXECUTING,
            progress=40,
            error=None,
            cost_usd=0,
            reused=False,
        )
        for n in range(1, 19)
    ]
    running = [_job(f"j{n}", "process_batch_item", "b1a2") for n in range(2, 19)] + [_job("s", "step_3", "j2")]
    group = ErrorGroup(
        fingerprint="3f9a",
        error_type="PermanentError",
        message="refused [weapon]",
        task_name="step_1",
        frame="a.py:1",
        count=3,
        first_at=NOW,
        last_at=NOW,
        examples=[ErrorExample(number=7, line=8, key="k", job_id="j", error="refused")],
        retryable=False,
        dependency=None,
        suggestion="edit the row",
    )
    return Look.of(NOW, status, active, running, [group], None)


def _job(job_id: str, task: str, parent: str) -> JobStatus:
    return JobStatus(
        job_id=job_id,
        task_name=task,
        queue="batch",
        priority=4,
        current_state=JobState.EXECUTING,
        progress=40,
        progress_message="",
        created_at=NOW,
        started_at=NOW - timedelta(seconds=7),
        completed_at=None,
        error=None,
        result=None,
        retry_count=0,
        next_retry_at=None,
        user_id=None,
        metadata={},
        idempotency_key=None,
        parent_id=parent,
        cost_usd=0,
    )


def drawn(seen: Look, width: int, height: int) -> list[str]:
    console = Console(width=width, height=height, force_terminal=True, color_system=None, highlight=False)
    with console.capture() as captured:
        console.print(picture(seen, NOW, width, height))
    return captured.get().splitlines()


@pytest.mark.parametrize(("width", "height"), [(80, 24), (120, 50), (60, 20)])
def test_the_picture_fits_the_screen_and_shows_the_least_failure(width: int, height: int) -> None:
    lines = drawn(look(), width, height)
    assert len(lines) < height
    assert max(map(len, lines)) <= width
    shown = "\n".join(lines)
    assert "[bold]shorts" in lines[0]
    assert "▒" in lines[2]  # 3 failures of 10,000 have their place in the bar
    assert "done in about 12 min (9–16)" in shown
    assert "3× PermanentError: refused [weapon]" in shown
    assert next(line for line in lines if "#2 " in line).rstrip().endswith("step_3")


def test_the_picture_says_what_runs_and_warns_of_the_budget() -> None:
    shown = "\n".join(drawn(look(), 120, 50))
    assert "58.20 USD of 100.00 → about 138.30 USD, over the budget" in shown
    (stage,) = [line for line in shown.splitlines() if line.startswith("step_3")]
    assert stage.split() == ["step_3", "4,211", "done", "3.0", "s", "±", "0.5", "1", "running"]
    assert "and 10 more" in shown
    paused = "\n".join(drawn(look(state=BatchState.PAUSED, reason="its budget is used up"), 120, 50))
    assert "PAUSED" in paused
    assert "its budget is used up" in paused
    assert "done in" not in paused


@pytest.mark.parametrize(
    ("seconds", "low", "high", "told"),
    [
        (45, 30, 80, "done in about 45 s (30–80)"),
        (720, 540, 960, "done in about 12 min (9–16)"),
        (21_360, 18_000, 26_000, "done in about 5.9 h (5.0–7.2)"),
        (260_000, 200_000, 350_000, "done in about 3.0 days (2.3–4.1)"),
    ],
)
def test_an_eta_is_told_with_its_range_in_one_unit(seconds: float, low: float, high: float, told: str) -> None:
    assert eta_of(Eta(seconds=seconds, low_seconds=low, high_seconds=high, method="x")) == told


def test_the_secret_of_webhooks_is_shown_and_rotated(ytray: Ytray) -> None:
    first = ytray("webhooks", "secret", "--user", "hooked").stdout.strip()
    assert first.startswith("whsec_")
    rotated = json.loads(ytray("webhooks", "secret", "--user", "hooked", "--rotate", "--json").stdout)
    assert (rotated["user_id"], rotated["secret"] != first, bool(rotated["previous_until"])) == ("hooked", True, True)
    shown = ytray("webhooks", "secret", "--user", "hooked")
    assert shown.stdout.strip() == rotated["secret"]
    assert "until" in shown.stderr
