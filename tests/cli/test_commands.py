"""The command line as a person or a script meets it, against the session's system."""

from __future__ import annotations

import json
import os
import pty
import signal
import subprocess
import sys
import threading
import time
from collections.abc import Callable
from pathlib import Path

import pytest
import redis
from typer.testing import CliRunner

from tests.cli.tasks_for_commands import talkative
from tests.engine.tasks_for_tests import add, fail_for_good
from ytray import JobFailed
from ytray.cli.app import app
from ytray.engine.state import connection
from ytray.engine.state.store import Store
from ytray.system.parts import Part, write_parts

ROOT = Path(__file__).parents[2]


def ytray(*arguments: str) -> subprocess.CompletedProcess[str]:
    """Run a command in this process, which is in the cluster: starting one takes a second and more each time."""
    done = CliRunner().invoke(app, arguments, env={"COLUMNS": "200", "YTRAY_URL": ""})
    return subprocess.CompletedProcess(arguments, done.exit_code, done.stdout, done.stderr)


def ytray_apart(*arguments: str, **environment: str) -> subprocess.CompletedProcess[str]:
    """Run a command in a process of its own, with this environment besides."""
    return subprocess.run(
        [sys.executable, "-m", "ytray", *arguments],
        capture_output=True,
        text=True,
        timeout=120,
        check=False,
        cwd=ROOT,
        env={**os.environ, "COLUMNS": "200", **environment},
    )


WITHOUT_RAY = """
import sys
from ytray.cli import main
for words in (["--help"], ["status", sys.argv[1]]):
    sys.argv[1:] = words
    try:
        main()
    except SystemExit as ended:
        assert not ended.code, ended
assert "ray" not in sys.modules
"""


def test_a_command_does_not_wait_for_ray_that_does_not_need_it(system: Store) -> None:
    job = add.delay(2, 3)
    done = subprocess.run(
        [sys.executable, "-c", WITHOUT_RAY, job.id], capture_output=True, text=True, timeout=120, check=False, cwd=ROOT
    )
    assert done.returncode == 0, done.stderr
    assert job.id in done.stdout


def test_status_history_and_result_of_a_job(system: Store) -> None:
    job = add.delay(2, 3)
    job.get(timeout=30)
    status = json.loads(ytray("status", job.id, "--json").stdout)
    assert (status["current_state"], status["result"]) == ("COMPLETED", 5)
    history = json.loads(ytray("history", job.id, "--json").stdout)
    assert [t["to_state"] for t in history["transitions"]] == ["QUEUED", "EXECUTING", "COMPLETED"]
    assert ytray("result", job.id).stdout.strip() == "5"
    listed = json.loads(ytray("jobs", "--task", "add", "--state", "completed", "--json").stdout)
    assert job.id in [found["job_id"] for found in listed["jobs"]]


def test_submit_waits_and_prints_the_result(system: Store) -> None:
    done = ytray_apart("submit", "add", "--args", '{"a": 4}', "--wait", YTRAY_IMPORTS="tests.engine.tasks_for_tests")
    assert done.returncode == 0, done.stderr
    assert done.stdout.strip() == "5"


@pytest.mark.parametrize(
    ("arguments", "told"),
    [
        (("submit", "generate_hok"), "did you mean 'generate_hook'"),
        (("submit", "generate_hook", "--args", "{bad"), "--args is not JSON"),
        (("submit", "generate_hook", "--args", "{}"), "argument prompt: Field required"),
        (("submit", "generate_hook", "--queue", "medai"), "did you mean 'media'"),
        (("jobs", "--state", "runing"), "there is no state 'runing'"),
        (("status", "no-such-job"), "no job no-such-job"),
        (("queues", "pause", "medai"), "did you mean 'media'"),
        (("create", "ok but square", "--aspect", "2:1"), "aspect"),
        (("logs", "no-such-job"), "no job no-such-job"),
        (("staus", "x"), "Did you mean 'status'?"),
        (("queues", "puse", "media"), "Did you mean 'pause'?"),
        (("submit", "add", "--prioriti", "9"), "--priority"),
    ],
)
def test_bad_input_exits_with_2_and_says_what_was_meant(system: Store, arguments: tuple[str, ...], told: str) -> None:
    done = ytray(*arguments)
    assert done.returncode == 2
    assert told in " ".join(done.stderr.split())


def test_a_failed_job_exits_with_1_and_json_errors_are_json(system: Store, tmp_path: Path) -> None:
    job = fail_for_good.delay(str(tmp_path))
    with pytest.raises(JobFailed):
        job.get(timeout=30)
    done = ytray("result", job.id, "--json")
    assert done.returncode == 1
    assert "this model does not exist" in json.loads(done.stderr.strip().splitlines()[-1])["error"]
    letters = json.loads(ytray("dlq", "list", "--json").stdout)["dead_letters"]
    assert job.id in [letter["job_id"] for letter in letters]
    assert ytray("dlq", "remove", job.id).returncode == 0
    assert ytray("dlq", "remove", job.id).returncode == 2


def test_queues_pause_and_resume(system: Store) -> None:
    assert ytray("queues", "pause", "media").returncode == 0
    (media,) = [q for q in json.loads(ytray("queues", "--json").stdout)["queues"] if q["name"] == "media"]
    assert media["paused"]
    assert ytray("queues", "resume", "media").returncode == 0


def test_config_shows_what_is_in_force_and_masks_secrets() -> None:
    done = ytray_apart("config", "--json", YTRAY_ALERT_WEBHOOK_SECRET="hush", YTRAY_PREFETCH="7")
    rows = {row["setting"]: row for row in json.loads(done.stdout)["settings"]}
    assert rows["YTRAY_PREFETCH"]["value"] == "7"
    assert rows["YTRAY_PREFETCH"]["source"] == "environment"
    assert "hush" not in done.stdout
    wrong = ytray_apart("config", YTRAY_PREFETCH="many")
    assert wrong.returncode == 2
    assert "YTRAY_PREFETCH" in wrong.stderr


def test_the_doctor_finds_the_running_system_well(system: Store) -> None:
    done = ytray("doctor", "--json")
    checks = {check["what"]: check for check in json.loads(done.stdout)["checks"]}
    assert done.returncode == 0, checks
    assert {"redis", "ray", "ffmpeg", "voice", "home", "queue media", "artifacts"} <= checks.keys()


def test_the_doctor_has_a_line_for_each_part_that_died_or_does_not_run(system: Store, home: Path) -> None:
    now = time.time()
    old, killed = Part("gcs", "up", 2, now - 86_400, "gcs has ended"), "raylet (process 7) was ended by SIGKILL"
    write_parts(home, [Part("redis", "up", 0, now, ""), old, Part("raylet", "missing", 1, now - 30, killed)])
    try:
        done = ytray("doctor", "--json")
    finally:
        (home / "parts.json").unlink()
    told = {check["what"]: check for check in json.loads(done.stdout)["checks"] if check["what"].startswith("part")}
    assert {what: check["state"] for what, check in told.items()} == {"part gcs": "ok", "part raylet": "bad"}
    assert "Started again so far: 2 times. Its last end: gcs has ended" in told["part gcs"]["told"]
    assert killed in told["part raylet"]["told"]
    assert done.returncode == 1


def test_a_redis_that_is_away_or_full_is_one_sentence_in_each_command(
    bare_store: Store, monkeypatch: pytest.MonkeyPatch
) -> None:
    hasty = Store(bare_store.redis_url, bare_store.namespace, patience=0)
    monkeypatch.setattr(connection, "_current", connection._Connection(hasty, has_ray=True))
    hasty.redis.config_set("maxmemory", 1)
    for command in (("queues", "pause", "media"), ("keys", "create", "ann")):
        done = ytray(*command)
        assert (done.returncode, done.stderr.split(":")[0]) == (1, "RedisIsFull")
        assert "Redis is full" in done.stderr
    redis.Redis.from_url(bare_store.redis_url).shutdown(nosave=True)
    for asked in (("queues",), ("jobs",), ("dlq", "list"), ("status", "any")):
        done = ytray(*asked)
        assert (done.returncode, done.stderr.split(":")[0]) == (1, "SystemUnavailable"), asked
        assert "Redis does not answer" in done.stderr
    checks = {check["what"]: check for check in json.loads(ytray("doctor", "--json").stdout)["checks"]}
    assert checks["redis"]["state"] == checks["breakers"]["state"] == "bad"
    assert "Redis" in checks["breakers"]["told"]


def test_the_doctor_names_a_module_that_cannot_be_imported(
    system: Store, with_settings: Callable[..., None], tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    (tmp_path / "the_doctor_looks_at_me.py").write_text("def half(:\n")
    monkeypatch.syspath_prepend(tmp_path)
    with_settings(imports=("the_doctor_looks_at_me",))
    done = ytray("doctor", "--json")
    (told,) = [check for check in json.loads(done.stdout)["checks"] if check["what"] == "imports"]
    assert (done.returncode, told["state"]) == (1, "bad")
    assert "the_doctor_looks_at_me cannot be imported here" in told["told"]


def test_the_listing_goes_on_at_its_cursor(system: Store) -> None:
    jobs = add.options(user_id="pager").map([{"a": n} for n in range(5)])
    wanted = ("jobs", "--user", "pager", "--json")
    first = json.loads(ytray(*wanted, "--limit", "3").stdout)
    rest = json.loads(ytray(*wanted, "--limit", "3", "--cursor", first["next_cursor"]).stdout)
    assert sorted(job["job_id"] for job in [*first["jobs"], *rest["jobs"]]) == sorted(job.id for job in jobs)
    assert (len(first["jobs"]), rest["next_cursor"]) == (3, None)


def test_logs_are_followed_until_the_job_has_ended(system: Store, tmp_path: Path) -> None:
    job = talkative.delay(str(tmp_path), ["one", "two"])
    (tmp_path / "one").touch()
    following = subprocess.Popen(
        [sys.executable, "-m", "ytray", "logs", job.id, "--follow"], stdout=subprocess.PIPE, text=True, cwd=ROOT
    )
    assert following.stdout is not None
    assert "#1 WARNING now one" in following.stdout.readline()
    (tmp_path / "two").touch()
    assert [line.split(" ", 2)[2].strip() for line in following.stdout] == ["WARNING now two", "PRINT   said it all"]
    assert following.wait(60) == 0
    page = json.loads(ytray("logs", job.id, "--json").stdout)
    assert [line["attempt"] for line in page["lines"]] == [1, 1, 1]
    assert page["next"] > 0


def test_top_shows_what_runs_and_ends_quietly_at_ctrl_c(
    system: Store, tmp_path: Path, until: Callable[..., None]
) -> None:
    job = talkative.delay(str(tmp_path), ["never"])
    once = ytray("top", "--once")
    assert once.returncode == 0
    assert "generation" in once.stdout
    controller, terminal = pty.openpty()
    watching = subprocess.Popen(
        [sys.executable, "-m", "ytray", "top", "--interval", "0.2"],
        stdin=terminal,
        stdout=terminal,
        stderr=terminal,
        cwd=ROOT,
        env={**os.environ, "TERM": "xterm", "COLUMNS": "150", "LINES": "40"},
    )
    os.close(terminal)
    shown = bytearray()

    def read() -> None:
        try:
            while part := os.read(controller, 4096):
                shown.extend(part)
        except OSError:
            return  # the other end is closed

    threading.Thread(target=read, daemon=True).start()
    try:
        until(lambda: job.id.encode() in shown and b"talkative" in shown)
        watching.send_signal(signal.SIGINT)
        assert watching.wait(60) == 0
    finally:
        watching.kill()
    assert b"Traceback" not in shown
    job.cancel()


@pytest.mark.parametrize(
    ("line", "wanted"),
    [
        ("ytray submit generate_h", ["generate_hook"]),
        ("ytray jobs --state run", ["running"]),
        ("ytray jobs --state RETRY", ["RETRYING"]),
        ("ytray lo", ["logs"]),
        ("ytray --url http://127.0.0.1:1 submit generate_h", []),
    ],
)
def test_the_shell_completes_names(line: str, wanted: list[str]) -> None:
    told = CliRunner().invoke(app, [], prog_name="ytray", env=completing(line))
    assert told.stdout.split() == wanted
    assert told.stderr == ""


def test_the_shell_completes_by_the_program_itself() -> None:
    program, environment = Path(sys.executable).with_name("ytray"), {**os.environ, **completing("ytray queues pause m")}
    told = subprocess.run([program], capture_output=True, text=True, check=False, env=environment)
    assert (told.stdout.split(), told.stderr) == (["media"], "")


def completing(line: str) -> dict[str, str]:
    """What a shell puts into the environment to have a line completed."""
    return {
        "_YTRAY_COMPLETE": "complete_bash",
        "COMP_WORDS": line,
        "COMP_CWORD": str(len(line.split(" ")) - 1),
    }
