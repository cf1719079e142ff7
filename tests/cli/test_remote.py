"""The same commands over the HTTP API of a system somewhere else."""

from __future__ import annotations

import json
import socket
import threading
from collections.abc import Callable
from pathlib import Path

import pytest
import uvicorn
from typer.testing import CliRunner

from tests.cli.conftest import Ytray
from tests.cli.tasks_for_commands import talkative
from tests.engine.tasks_for_tests import add, fail_for_good, times, wait_for
from ytray import JobFailed, JobState, job_tracker
from ytray.api.app import build
from ytray.cli.app import app
from ytray.engine.state.store import Store

Until = Callable[..., None]


def test_submit_waits_for_the_result_from_outside(ytray: Ytray, api_url: str) -> None:
    assert json.loads(ytray("submit", "add", "--args", '{"a": 4}', "--wait").stdout) == 5
    told = ytray("submit", "add", "--args", '{"a": 4}', "--idempotency-key", "once", "--json")
    again = CliRunner().invoke(
        app, ["submit", "add", "--args", '{"a": 4}', "--idempotency-key", "once"], env={"YTRAY_URL": api_url}
    )
    assert json.loads(told.stdout)["job_id"] == again.stdout.strip()


def test_a_job_is_looked_at_from_outside(ytray: Ytray) -> None:
    job = add.options(user_id="outsider").delay(2, 3)
    job.get(timeout=30)
    assert json.loads(ytray("status", job.id, "--json").stdout)["result"] == 5
    history = json.loads(ytray("history", job.id, "--json").stdout)
    assert [t["to_state"] for t in history["transitions"]] == ["QUEUED", "EXECUTING", "COMPLETED"]
    assert ytray("result", job.id).stdout.strip() == "5"
    listed = json.loads(ytray("jobs", "--user", "outsider", "--state", "completed", "--json").stdout)
    assert [found["job_id"] for found in listed["jobs"]] == [job.id]
    assert listed["next_cursor"] is None


def test_a_job_is_cancelled_from_outside(ytray: Ytray, tmp_path: Path, until: Until) -> None:
    job = wait_for.delay(str(tmp_path), "never")
    until(lambda: times(tmp_path, "started-never"))
    (running,) = [found for found in json.loads(ytray("top", "--json").stdout)["running"] if found["job_id"] == job.id]
    assert running["task_name"] == "wait_for"
    assert ytray("cancel", job.id).exit_code == 0
    assert job.status().current_state is JobState.CANCELLED
    assert ytray("cancel", job.id).exit_code == 2
    ended = ytray("result", job.id)
    assert (ended.exit_code, "was cancelled" in ended.stderr) == (1, True)


def test_the_log_is_read_from_outside(ytray: Ytray) -> None:
    job = talkative.delay("", ["hello"])
    job.get(timeout=30)
    told = ytray("logs", job.id, "--follow", "--json")
    lines = [json.loads(line) for line in told.stdout.splitlines()]
    assert [(line["level"], line["message"]) for line in lines] == [
        ("WARNING", "now hello"),
        ("PRINT", "said it all"),
    ]


def test_dead_letters_are_settled_from_outside(ytray: Ytray, tmp_path: Path) -> None:
    job, other = (fail_for_good.delay(str(tmp_path)) for _ in range(2))
    for failed in (job, other):
        with pytest.raises(JobFailed):
            failed.get(timeout=30)
    assert {job.id, other.id} <= {
        x["job_id"] for x in json.loads(ytray("dlq", "list", "--json").stdout)["dead_letters"]
    }
    assert "this model does not exist" in ytray("dlq", "show", job.id).stdout
    assert "Traceback" in json.loads(ytray("dlq", "show", job.id, "--json").stdout)["traceback"]
    done = ytray("dlq", "remove", job.id, "not-there", "--json")
    assert (done.exit_code, json.loads(done.stdout)) == (2, {"removed": [job.id]})
    assert "not-there" in done.stderr
    assert ytray("dlq", "retry", other.id).stdout.strip() == "1 replayed"
    with pytest.raises(JobFailed):
        other.get(timeout=30)
    assert ytray("dlq", "remove", other.id).exit_code == 0


def test_what_users_wrote_is_shown_as_it_is(ytray: Ytray) -> None:
    job_tracker.create_job("[bold]", "[red]any", user_id="brackets")
    job_tracker.update_state("[bold]", "EXECUTING")
    job_tracker.update_progress("[bold]", 10, "scene [3] of [/6]")
    for arguments in (("jobs", "--user", "brackets"), ("status", "[bold]"), ("top", "--once")):
        told = ytray(*arguments)
        assert told.exit_code == 0, told.output
        assert "[bold]" in told.stdout
        assert "scene [3] of [/6]" in told.stdout
    assert ytray("cancel", "[bold]").exit_code == 0


def test_queues_are_paused_from_outside(ytray: Ytray) -> None:
    assert ytray("queues", "pause", "media").exit_code == 0
    assert [q["name"] for q in json.loads(ytray("queues", "--json").stdout)["queues"] if q["paused"]] == ["media"]
    assert "paused" in ytray("top", "--once").stdout
    assert ytray("queues", "resume", "media").stdout.strip() == "media is running"


@pytest.mark.parametrize(
    ("arguments", "told"),
    [
        (("submit", "generate_hok"), "did you mean 'generate_hook'"),
        (("submit", "generate_hook", "--args", "{}"), "prompt"),
        (("submit", "add", "--queue", "medai"), "did you mean 'media'"),
        (("jobs", "--state", "runing"), "did you mean 'running'"),
        (("jobs", "--limit", "0"), "--limit is 1 to 10,000"),
        (("jobs", "--cursor", "nonsense"), "is not a cursor"),
        (("status", "no-such-job"), "no job no-such-job"),
        (("logs", "no/such/../job"), "no"),
        (("queues", "pause", "medai"), "did you mean 'media'"),
        (("create", "ok but square", "--aspect", "2:1"), "aspect"),
    ],
)
def test_bad_input_exits_with_2_from_outside_too(ytray: Ytray, arguments: tuple[str, ...], told: str) -> None:
    done = ytray(*arguments)
    assert done.exit_code == 2, done.output
    assert told in " ".join(done.stderr.split())


def test_a_video_is_made_there_and_its_files_arrive_here(ytray: Ytray, tmp_path: Path) -> None:
    done = ytray(
        "create", "Why do cats purr?", "--duration", "5", "--format", "mp4", "--format", "m4a", "--out", str(tmp_path)
    )
    assert done.exit_code == 0, done.output
    last = Path(done.stdout.splitlines()[-1])
    assert last == tmp_path / "why-do-cats-purr.mp4"
    assert last.read_bytes()[4:8] == b"ftyp"
    assert sorted(path.name for path in tmp_path.iterdir()) == [
        "why-do-cats-purr-thumbnail-portrait.jpg",
        "why-do-cats-purr-thumbnail.jpg",
        "why-do-cats-purr.m4a",
        "why-do-cats-purr.mp4",
        "why-do-cats-purr.report.html",
        "why-do-cats-purr.srt",
        "why-do-cats-purr.timeline.json",
    ]
    timeline = tmp_path / "why-do-cats-purr.timeline.json"
    timeline.write_text(timeline.read_text().replace('"Why"', '"WHY"'))
    edited = ytray("render", str(timeline), "--out", str(tmp_path / "edited.mp4"))
    assert edited.exit_code == 0, edited.output
    assert edited.stdout.splitlines()[-1] == str(tmp_path / "edited.mp4")
    assert (tmp_path / "edited.mp4").read_bytes() != last.read_bytes()
    timeline.write_text('{"width": 5}')
    assert ytray("render", str(timeline)).exit_code == 2


def test_a_wrong_key_and_a_system_that_is_away_exit_with_1(system: Store) -> None:
    listening = socket.create_server(("127.0.0.1", 0))
    server = uvicorn.Server(uvicorn.Config(build(system, open_without_keys=False), log_level="warning"))
    threading.Thread(target=server.run, kwargs={"sockets": [listening]}, daemon=True).start()
    url = f"http://127.0.0.1:{listening.getsockname()[1]}"
    done = CliRunner().invoke(app, ["--url", url, "--key", "ytk_verysecret", "jobs", "--json"])
    assert done.exit_code == 1
    assert json.loads(done.stderr)["type"] == "AccessDenied"
    assert "verysecret" not in done.output
    server.should_exit = True
    away = CliRunner().invoke(app, ["--url", "http://127.0.0.1:1", "queues"])
    assert away.exit_code == 1
    assert "cannot be reached" in " ".join(away.stderr.split())
    assert CliRunner().invoke(app, ["--url", "nonsense", "queues"]).exit_code == 2
