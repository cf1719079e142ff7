"""What an operator does is written down, with who did it and from where; tenants neither read nor write it."""

from __future__ import annotations

import json

import httpx
import pytest
from typer.testing import CliRunner

from tests.attacks.conftest import Attacked
from ytray import job_tracker
from ytray.api.app import build
from ytray.api.auditing import action_of
from ytray.cli.app import app
from ytray.cli.inside import Inside
from ytray.engine.state import audit
from ytray.engine.state.store import Store
from ytray.errors import InvalidArguments

NOT_WRITTEN_DOWN = {  # what only submits or reads has its own history, or none
    ("POST", "/api/jobs"),
    ("POST", "/api/jobs/results"),
    ("POST", "/api/videos"),
    ("POST", "/api/batches"),
    ("POST", "/api/session"),
    ("DELETE", "/api/session"),
}


def test_every_route_that_acts_is_written_down(redis_url: str) -> None:
    document = build(Store(redis_url, "routes"), open_without_keys=False).openapi()
    for path, methods in document["paths"].items():
        for method in methods:
            if method != "get":
                told = action_of(method.upper(), path.replace("{", "").replace("}", ""))
                assert (told is None) == ((method.upper(), path) in NOT_WRITTEN_DOWN), (method, path)


def test_who_did_what_and_from_where_is_told(shut: Attacked) -> None:
    key, record = shut.ring.create("ops\x1b[2J", ["admin"], None)
    headers = {"Authorization": f"Bearer {key}", "X-Ytray-Client": "203.0.113.7"}
    job_tracker.create_job("audited-job", "any")
    with httpx.Client(base_url=shut.url, headers=headers, timeout=30) as ops:
        assert ops.post("/api/queues/media/pause").status_code == 200
        assert ops.post("/api/queues/nowhere/pause").status_code >= 400  # nothing was done
        assert ops.put("/api/budgets/alice", json={"limit_usd": 12.5}).status_code == 200
        assert ops.post("/api/jobs/audited-job/cancel").status_code == 202
        first = ops.get("/api/audit", params={"limit": 2}).json()
        rest = ops.get("/api/audit", params={"cursor": first["next_cursor"]}).json()["entries"]
    found = [(one["action"], one["subject"]) for one in [*first["entries"], *rest]]
    assert found[:3] == [("cancel job", "audited-job"), ("set budget", "alice"), ("pause queue", "media")]
    assert ("pause queue", "nowhere") not in found
    assert "12.5" in first["entries"][1]["detail"]
    for one in first["entries"]:
        assert (one["address"], record.key_id in one["who"]) == ("203.0.113.7", True)
    shown = CliRunner().invoke(app, ["--url", shut.url, "audit"], env={"YTRAY_KEY": key, "COLUMNS": "300"})
    assert "set budget" in shown.stdout
    assert "\x1b[2J" not in shown.stdout


def test_what_commands_within_the_cluster_do_is_told_as_well(shut: Attacked, monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setenv("SSH_CLIENT", "203.0.113.8 50000 22")
    made = json.loads(CliRunner().invoke(app, ["keys", "create", "new", "--user", "alice", "--json"]).stdout)
    CliRunner().invoke(app, ["keys", "revoke", made["key_id"]])
    Inside().resume("media")
    resumed, revoked, created = audit.page(shut.store, 3, None).entries
    assert (resumed.action, resumed.subject) == ("resume queue", "media")
    assert (revoked.action, created.action) == ("revoke key", "make key")
    assert revoked.subject == created.subject == made["key_id"]
    assert made["key"].rpartition("_")[2] not in created.model_dump_json()
    for one in (resumed, revoked, created):
        assert one.who.startswith("user ")
        assert "203.0.113.8" in one.address


def test_tenants_neither_read_nor_fill_the_trail(shut: Attacked) -> None:
    key, _ = shut.ring.create("alice's", ["read", "submit"], "alice")
    assert shut.ask("/api/audit", key).status_code == 403
    before = audit.page(shut.store, 1, None).entries[0].id
    for _ in range(3):
        refused = httpx.post(f"{shut.url}/api/queues/media/pause", headers={"Authorization": f"Bearer {key}"})
        assert refused.status_code == 403
    assert audit.page(shut.store, 1, None).entries[0].id == before
    for cursor in ("x", "1-x", "*", "1-2-3"):
        with pytest.raises(InvalidArguments):
            audit.page(shut.store, 1, cursor)
