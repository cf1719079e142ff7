"""Money on the command line: the journal, budgets, models, estimates, and what the doctor says of Vertex AI."""

from __future__ import annotations

import json
from collections.abc import Callable
from pathlib import Path
from typing import Any

import pytest
from typer.testing import CliRunner

from tests.cli.conftest import Ytray
from tests.cli.test_commands import ytray as from_inside
from tests.vertex.server import VertexServer
from tests.vertex.tasks_for_vertex import buys, buys_in_doubt
from ytray import JobFailed, dlq, job_tracker
from ytray.cli.app import app
from ytray.engine.state.store import Store
from ytray.spend.journal import entries_of_job

Adjust = Callable[..., None]


def test_the_calls_of_a_job_are_a_table_with_their_sum(ytray: Ytray, tmp_path: Path) -> None:
    job = buys.delay(str(tmp_path), 0.12345)
    job.get(timeout=30)
    for arguments in (("spend", "list", job.id), ("spend", "--job", job.id)):
        told = ytray(*arguments)
        assert told.exit_code == 0, told.output
        head, row, total = told.stdout.splitlines()
        assert head.split() == ["time", "(UTC)", "state", "kind", "model", "USD", "about"]
        assert row.split()[2:] == ["done", "thing", "model-for-tests", "0.1235", "a", "thing"]
        assert total == "0.1235 USD in 1 calls"
    exact = json.loads(ytray("spend", "list", job.id, "--json").stdout)
    assert (exact["cost_usd"], exact["entries"][0]["job_id"]) == (0.12345, job.id)
    assert "0.12345" in ytray("status", job.id).stdout


def test_the_newest_calls_of_a_user_are_shown(ytray: Ytray, tmp_path: Path) -> None:
    for usd in (0.1, 0.2, 0.3):
        buys.options(user_id="cli-payer").delay(str(tmp_path), usd).get(timeout=30)
    told = json.loads(ytray("spend", "--user", "cli-payer", "--limit", "2", "--json").stdout)
    assert ([entry["cost_usd"] for entry in told["entries"]], told["cost_usd"]) == ([0.3, 0.2], 0.5)
    assert ytray("spend", "--user", "nobody at all").stdout.strip() == "nothing was paid for"


def test_an_uncertain_call_is_shown_with_how_to_allow_it_and_made_again(
    ytray: Ytray, system: Store, tmp_path: Path
) -> None:
    job = buys_in_doubt.delay(str(tmp_path), 0.5)
    with pytest.raises(JobFailed):
        job.get(timeout=30)
    (entry,) = entries_of_job(system, job.id)
    assert f"`ytray spend allow {entry.key}`" in ytray("spend", "list", job.id).stdout
    assert f"ytray dlq retry {job.id}" in ytray("spend", "allow", entry.key).stdout
    assert ytray("dlq", "retry", job.id).exit_code == 0
    assert job.get(timeout=30) == 0.5
    again = ytray("spend", "allow", entry.key, "--json")
    assert (again.exit_code, json.loads(again.stderr)["type"]) == (2, "InvalidTransition")


def test_budgets_are_set_shown_and_cleared(ytray: Ytray, tmp_path: Path) -> None:
    buys.options(user_id="cli-saver").delay(str(tmp_path), 0.25).get(timeout=30)
    told = ytray("budget", "set", "cli-saver", "20")
    assert told.stdout.strip() == "cli-saver: limit 20.00, spent 0.2500 USD this month"
    (row,) = [line for line in ytray("budget").stdout.splitlines() if line.startswith("cli-saver")]
    assert row.split() == ["cli-saver", "20.00", "0.2500", "0.0000"]
    cleared = json.loads(ytray("budget", "clear", "cli-saver", "--json").stdout)
    assert (cleared["scope"], cleared["limit_usd"]) == ("user cli-saver", None)
    assert cleared in json.loads(ytray("budget", "list", "--json").stdout)["budgets"]


def test_models_are_shown_with_prices_and_limits(ytray: Ytray, with_settings: Adjust) -> None:
    with_settings(model_limits="veo-*=requests:10,at_once:4")
    (row,) = [line for line in ytray("models").stdout.splitlines() if line.startswith("veo-3.1-generate-001")]
    assert row.split() == ["veo-3.1-generate-001", "0.4", "10", "4", "0"]
    models = {model["model"]: model for model in json.loads(ytray("models", "--json").stdout)["models"]}
    assert models["gemini-3.8-flash"]["price"]["output_million_tokens"] == 3.75


def test_an_estimate_is_shown_and_nothing_is_made(ytray: Ytray, tmp_path: Path) -> None:
    before = sum(job_tracker.counts().values())
    wanted = ("create", "Why do cats purr?", "--estimate", "--out", str(tmp_path / "none"))
    told = ytray(*wanted, "--provider", "vertex")
    assert told.exit_code == 0, told.output
    assert [line.split()[0] for line in told.stdout.splitlines()[1:-1]] == ["text", "image", "speech"]
    assert told.stdout.splitlines()[-1].endswith("by prices of 2026-11-01")
    exact = json.loads(ytray(*wanted, "--provider", "vertex", "--json").stdout)
    assert f"{exact['likely_usd']:.4f} USD likely, {exact['most_usd']:.4f} at most" in told.stdout
    assert "nothing that costs would be called" in ytray(*wanted, "--provider", "offline").stdout
    assert sum(job_tracker.counts().values()) == before
    assert not (tmp_path / "none").exists()


@pytest.mark.chaos  # for its length: tests/vertex makes such a video
def test_a_video_stays_within_its_budget_and_says_what_it_cost(
    ytray: Ytray, tmp_path: Path, vertex_server: VertexServer
) -> None:
    vertex_server.reset()
    vertex_server.scenes = 2
    wanted = ("create", "Why do dogs bark?", "--provider", "vertex", "--duration", "5", "--out", str(tmp_path))
    over = ytray(*wanted, "--budget", "0.0001")
    assert (over.exit_code, vertex_server.billed()) == (1, 0)
    assert "over budget" in " ".join(over.stderr.split())
    done = ytray(*wanted, "--fresh", "--budget", "5")
    assert done.exit_code == 0, done.output
    (cost,) = [line for line in done.stdout.splitlines() if line.startswith("cost: ")]
    assert float(cost.split()[1]) > 2 * 0.067
    vertex_server.reset()
    for letter in dlq.list_all():
        if "over budget" in letter.error:
            dlq.remove(letter.job_id)


@pytest.mark.parametrize(
    ("arguments", "told"),
    [
        (("spend", "--limit", "0"), "--limit is 1 to 1,000"),
        (("spend", "--job", "x", "--user", "y"), "not both"),
        (("spend", "list", "no-such-job"), "no job no-such-job"),
        (("spend", "allow", "no-such-call"), "no call no-such-call"),
        (("budget", "set", "alice", "--", "-1"), "greater than or equal to 0"),
        (("budget", "set", "alice", "much"), "'USD'"),
        (("budget", "set", "alice", "inf"), "a budget is 0 to"),
        (("create", "a long enough prompt", "--provider", "nobody"), "provider"),
        (("create", "a long enough prompt", "--budget", "-1"), "budget_usd"),
    ],
)
def test_bad_input_exits_with_2(ytray: Ytray, arguments: tuple[str, ...], told: str) -> None:
    done = ytray(*arguments)
    assert done.exit_code == 2, done.output
    assert told in " ".join(done.stderr.split())


def test_all_of_it_works_inside_the_cluster_too(system: Store, tmp_path: Path) -> None:
    job = buys_in_doubt.options(user_id="insider").delay(str(tmp_path), 0.5)
    with pytest.raises(JobFailed):
        job.get(timeout=30)
    told = json.loads(from_inside("spend", "list", job.id, "--json").stdout)
    (entry,) = told["entries"]
    assert (entry["state"], told["cost_usd"]) == ("uncertain", 0.5)
    assert json.loads(from_inside("spend", "--user", "insider", "--json").stdout) == told
    assert json.loads(from_inside("spend", "allow", entry["key"], "--json").stdout) == entry
    assert json.loads(from_inside("budget", "set", "insider", "3", "--json").stdout)["limit_usd"] == 3
    from_inside("budget", "clear", "insider")
    (own,) = [x for x in json.loads(from_inside("budget", "--json").stdout)["budgets"] if x["scope"] == "user insider"]
    assert (own["limit_usd"], own["spent_usd"]) == (None, 0.5)
    assert "veo-3.1-generate-001" in from_inside("models").stdout
    assert "likely" in from_inside("create", "Why do cats purr?", "--provider", "vertex", "--estimate").stdout
    dlq.remove(job.id)


def checks() -> dict[str, Any]:
    """What the doctor says of Vertex AI and of limits."""
    told = CliRunner().invoke(app, ["doctor", "--json"])
    found = [check for check in json.loads(told.stdout)["checks"] if check["what"] in ("vertex", "limits")]
    return {check["what"]: (check["state"], check["told"]) for check in found}


def test_the_doctor_says_nothing_of_what_is_not_used(system: Store, with_settings: Adjust) -> None:
    with_settings(model_limits="")
    assert checks() == {}


def test_the_doctor_looks_at_vertex_and_limits_and_shows_no_secret(system: Store, with_settings: Adjust) -> None:
    with_settings(provider_image="vertex", model_limits="veo-*=requests:10")
    state, told = checks()["vertex"]
    assert (state, "project-for-tests" in told, "global" in told) == ("ok", True, True)
    assert "token-for-tests" not in told
    assert checks()["limits"][0] == "ok"


def test_the_doctor_names_what_vertex_lacks(
    system: Store, with_settings: Adjust, monkeypatch: pytest.MonkeyPatch, tmp_path: Path
) -> None:
    monkeypatch.setenv("GOOGLE_APPLICATION_CREDENTIALS", str(tmp_path / "nowhere.json"))
    with_settings(provider="vertex", vertex_project=None, vertex_token=None, model_video="veo-9", model_limits="veo")
    told = CliRunner().invoke(app, ["doctor"])
    assert told.exit_code == 1
    for wanted in ("YTRAY_VERTEX_PROJECT", "no Google credentials", "no price for veo-9", "YTRAY_MODEL_LIMITS"):
        assert wanted in " ".join(told.stdout.split()), told.stdout
