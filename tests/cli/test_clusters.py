"""`ytray cluster plan`, over the API."""

from __future__ import annotations

import json
from pathlib import Path

import pytest

from tests.cli.conftest import Ytray
from tests.cli.tasks_for_batches import say
from ytray import SystemUnavailable, batches


def words(folder: Path, number: int) -> str:
    file = folder / f"{number}.csv"
    file.write_text("folder,word\n" + "".join(f"{folder},word{n} of {number}\n" for n in range(number)))
    return str(file)


def test_a_batch_that_is_to_be_is_planned_by_those_that_were(ytray: Ytray, tmp_path: Path) -> None:
    earlier = batches.submit(words(tmp_path, 3), task=say)
    assert earlier.wait(60).counts.completed == 3
    asked = ["--deadline", "1h30m", "--slots", "default=4", "--price", "cpu=0.5"]
    printed = ytray("cluster", "plan", words(tmp_path, 40), "--task", "say", *asked, "--json")
    assert printed.exit_code == 0, printed.output
    told = json.loads(printed.stdout)
    assert (told["task_name"], told["deadline_seconds"], told["items_left"]) == ("say", 5400, 40)
    assert told["measured_items"] >= 3
    assert told["in_time"]
    (need,) = told["nodes"]
    assert (need["node_type"], need["nodes"], need["slots"]["default"]) == ("cpu", 1, 4)
    shown = ytray("cluster", "plan", words(tmp_path, 40), "--task", "say", *asked)
    assert "to be done in 1:30:00 h, nine times in ten:" in shown.stdout
    assert "default=4" in shown.stdout
    done = ytray("cluster", "plan", earlier.id, "--by", "2090-01-01T00:00Z")
    assert (done.exit_code, "ten years away" in done.output) == (2, True)
    done = ytray("cluster", "plan", earlier.id, "--deadline", "10m")
    assert "nothing is left to do" in done.stdout
    assert not [batch for batch in batches.page(limit=10).batches if batch.total == 40], "a plan submits nothing"


@pytest.mark.parametrize(
    ("arguments", "says"),
    [
        (["b0", "--deadline", "6h"], "no batch b0"),
        (["b0"], "say until when"),
        (["b0", "--deadline", "6h", "--by", "2026-11-25T08:00"], "say until when"),
        (["b0", "--deadline", "soon"], "no length of time"),
        (["b0", "--by", "tomorrow"], "no time such as"),
        (["b0", "--deadline", "6h", "--slots", "media"], "is not as media=4"),
    ],
)
def test_what_cannot_be_planned_is_told(ytray: Ytray, arguments: list[str], says: str) -> None:
    refused = ytray("cluster", "plan", *arguments)
    assert refused.exit_code == 2, refused.output
    assert says in refused.output


@pytest.mark.parametrize(
    ("command", "says"),
    [
        (["cluster", "plan", "b0"], "no batch b0"),
        (["drain", "no-such-node"], "there is no node 'no-such-node'"),
        (["upgrade"], "nothing runs here"),
    ],
)
def test_every_command_takes_the_same_lengths_of_time(
    ytray: Ytray, command: list[str], says: str, monkeypatch: pytest.MonkeyPatch
) -> None:
    def join() -> None:
        raise SystemUnavailable("nothing runs here")

    monkeypatch.setattr("ytray.engine.state.connection.joined_system", join)
    for length in ("1h30m", "1.5h", "90", "1h 30 m"):
        told = ytray(*command, "--deadline", length).output
        assert says in told
    for nonsense in ("soon", "", "1h30", "m", "1.h", "-5m", "1w"):
        refused = ytray(*command, f"--deadline={nonsense}")
        assert refused.exit_code == 2, refused.output
        assert f"--deadline {nonsense!r} is no length of time such as 90s, 6h or 1h30m" in refused.output
