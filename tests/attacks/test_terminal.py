"""What a tenant wrote, printed in an operator's terminal."""

from __future__ import annotations

import ast
import json
import re
from pathlib import Path

import httpx
import pytest
from rich.text import Text
from typer.testing import CliRunner

import ytray
from tests.attacks.conftest import Attacked
from ytray.cli.app import app
from ytray.cli.output import console
from ytray.cli.terminal import harmless, harmless_json
from ytray.engine.state.store import LaneRoom

CLIPBOARD = "\x1b]52;c;cm0gLXJmIH4=\x07"
EVIL = f"{CLIPBOARD}\x1b]0;PWNED\x07\x1b[2J\x9b2J\r\x08\x7f\u202egnp.exe\u2066 [link=https://evil.example]x[/link]"
# Whatever a terminal may act upon but the colours of our own, which end with "m".
ACTED_UPON = re.compile("\x1b(?!\\[[0-9;]*m)|[\x00-\x08\x0b-\x1a\x1c-\x1f\x7f-\x9f\u202a-\u202e\u2066-\u2069]")


@pytest.fixture
def evil_job(shut: Attacked) -> str:
    """A job in the dead-letter queue of which everything that can be text holds what terminals act upon."""
    where = shut.store
    key, _ = shut.ring.create("mallory's", ["submit"], "mallory")
    order = {"task": "generate_hook", "args": {"prompt": EVIL}, "metadata": {"k": EVIL}}
    accepted = httpx.post(f"{shut.url}/api/jobs", json=order, headers={"X-API-Key": key}, timeout=30)
    job_id = str(accepted.json()["job_id"])
    where.take_office("tracker", "e", 60)
    ((claimed,),) = where.claim("tracker", "e", 60_000, [LaneRoom("generation", 10, 10)])
    (fence,) = where.start("w", 60_000, 60, [(claimed.job_id, claimed.fence)])
    assert where.fail(
        (job_id, fence), "w", "dead", f"PermanentError: {EVIL}", EVIL, delay_ms=0, duration_ms=1, result_ttl=60
    )
    where.redis.hset(where.key(f"j:{job_id}"), mapping={"task": f"task{EVIL}", "user": f"mallory{EVIL}"})
    return job_id


def test_no_command_lets_escape_sequences_through(shut: Attacked, evil_job: str) -> None:
    key, _ = shut.ring.create("ops", ["admin"], None)
    listed = [["jobs"], ["dlq", "list"], ["spend"], ["queues"], ["top", "--once"], ["batch", "list"]]
    of_the_job = [[command, evil_job] for command in ("status", "history", "result", "logs", "cancel")]
    shown = 0
    for command in [*listed, *of_the_job, ["dlq", "show", evil_job], ["dlq", "retry", EVIL], ["status", EVIL]]:
        environment = {"COLUMNS": "300", "TERM": "xterm-256color", "FORCE_COLOR": "1", "YTRAY_KEY": key}
        done = CliRunner().invoke(app, ["--url", shut.url, *command], env=environment)
        assert not ACTED_UPON.search(done.output), command
        shown += "␛" in done.output
        as_json = CliRunner().invoke(app, ["--url", shut.url, *command, "--json"], env=environment)
        assert not ACTED_UPON.search(as_json.output), command
    assert shown >= 4
    status = CliRunner().invoke(app, ["--url", shut.url, "status", evil_job, "--json"], env={"YTRAY_KEY": key})
    assert EVIL in json.loads(status.stdout)["error"]


def test_a_job_s_log_keeps_its_colours_and_nothing_else(capsys: pytest.CaptureFixture[str]) -> None:
    hidden = f"\x1b]8;;https://a.example\x07{CLIPBOARD}\x1b\\link\x1b]8;;\x1b\\ \x1b[8mhidden\x1b[0m"
    console.print(Text.from_ansi(f"{EVIL}\r\x1b[31mred\x1b[0m {hidden}"), soft_wrap=True)
    told = capsys.readouterr().out
    assert "red" in told
    assert not ACTED_UPON.search(told)
    assert "8m" not in told


def test_json_stays_exact_and_can_be_printed() -> None:
    values = [EVIL, "\ud800", "日本語 עברית", "\u2028"]
    document = harmless_json(json.dumps(values, ensure_ascii=False))
    assert json.loads(document) == values
    assert not ACTED_UPON.search(document)
    assert "日本語 עברית" in document
    assert harmless("lines\nand\ttabs, 日本語, עברית") == "lines\nand\ttabs, 日本語, עברית"
    harmless("\ud800").encode()


def test_no_command_prints_past_the_consoles() -> None:
    for file in (Path(ytray.__file__).parent / "cli").glob("*.py"):
        for node in ast.walk(ast.parse(file.read_text())):
            if not isinstance(node, ast.Call):
                continue
            called = ast.unparse(node.func)
            assert called not in ("print", "typer.echo", "typer.secho", "click.echo"), f"{file}: {called}"
            assert called != "Console", f"{file} makes a console of its own"
            if called.startswith(("sys.stdout.write", "sys.stderr.write")) and file.name != "terminal.py":
                argument = ast.unparse(node.args[0])
                assert argument.lstrip("(").startswith(("harmless_json(", "json.dumps({'error'")), f"{file}: {argument}"
