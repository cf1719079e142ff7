"""What one user's key can learn of another's: files, rows, jobs. Alice and Bob have a key each."""

from __future__ import annotations

import hmac
import json
from collections.abc import Iterator
from hashlib import sha256
from pathlib import Path

import pytest
from pydantic_core import to_json

from tests.attacks.conftest import Attacked
from tests.attacks.tenants import Tenants
from ytray import PermanentError, batches
from ytray.artifacts import ArtifactStore, attempt_folder
from ytray.engine.base.context import CurrentJob, enter_job
from ytray.engine.base.model import JobState
from ytray.engine.batch.ledger import Ledger
from ytray.engine.batch.model import BatchOptions
from ytray.engine.batch.rows import RowReader
from ytray.engine.batch.sources import RawRow
from ytray.engine.jobs.task import find
from ytray.errors import ForeignArtifact
from ytray.tasks.processing import export_video

HERS, HIS = "job-of-hers", "job-of-his"


@pytest.fixture(scope="module")
def tenants(apart: Attacked, tmp_path_factory: pytest.TempPathFactory) -> Tenants:
    """Each user has a job, and that job a file."""
    keys, files = {}, {}
    source = tmp_path_factory.mktemp("made") / "speech.wav"
    source.write_bytes(b"a narration")
    for who, job_id in (("alice", HERS), ("bob", HIS)):
        keys[who] = apart.ring.create(who, ["read", "submit"], who)[0]
        apart.store.track(job_id, JobState.QUEUED, b"{}", 60, ("any", "default", 4, who, b"{}"))
        files[who] = ArtifactStore().publish(source, attempt_folder(job_id, 1), "speech.wav")
    return Tenants(apart, keys, files).known()


@pytest.fixture
def as_bobs_job(tenants: Tenants) -> Iterator[None]:
    """What the test calls runs as a job of Bob's."""
    enter_job(CurrentJob(HIS, "any", fence=1, user_id="bob", worker="w", store=tenants.attacked.store))
    yield
    enter_job(None)


def other_spellings(uri: str) -> list[str]:
    """The same file, written in other ways."""
    folder, _, name = uri.rpartition("/")
    return [
        f"file://{uri}",
        f"{folder}/./{name}",
        f"{folder}/../1/{name}",
        uri.replace("/artifacts/", "//artifacts///"),
    ]


def test_no_task_is_given_the_file_of_another_user(tenants: Tenants) -> None:
    hers = tenants.files["alice"]
    nobodys = hers.replace(HERS, "job-of-nobody")
    told = set()
    for uri in (hers, nobodys, *other_spellings(hers)):
        scene = {"picture": uri, "seconds": 1}
        for name, args in (
            ("export_video", {"video": uri, "format": "m4a"}),
            ("look_into", {"files": [tenants.files["bob"], uri]}),
            ("compose_timeline", {"timeline": {"width": 64, "height": 64, "scenes": [scene]}}),
        ):
            refused = tenants.submit("bob", name, args)
            assert refused.status_code == 403, (name, uri, refused.text)
            told.add(refused.json()["detail"].replace(uri, "…"))
    assert told == {"… was made by no job of user 'bob', so no job of that user may read it"}
    assert tenants.submit("bob", "look_into", {"files": [tenants.files["bob"], "/etc/hosts", "a/b"]}).status_code == 202
    assert tenants.submit("alice", "look_into", {"files": [hers]}).status_code == 202


def test_no_row_of_a_batch_names_the_file_of_another_user(tenants: Tenants) -> None:
    rows = [{"video": tenants.files["bob"], "format": "m4a"}, {"video": tenants.files["alice"], "format": "m4a"}]
    refused = tenants.ask("bob", "POST", "/api/batches", json={"items": rows, "task": "export_video"})
    assert refused.status_code == 403
    made = tenants.ask("bob", "POST", "/api/batches", json={"items": rows[:1], "task": "export_video"}).json()
    edited = tenants.ask("bob", "POST", f"/api/batches/{made['batch_id']}/resume", json={"items": rows})
    assert edited.status_code == 403
    assert tenants.ask("bob", "GET", f"/api/batches/{made['batch_id']}").json()["total"] == 1


@pytest.mark.usefixtures("as_bobs_job")
def test_a_job_reads_no_file_of_another_user_however_it_came_by_its_name(tenants: Tenants, tmp_path: Path) -> None:
    files, hers = ArtifactStore(), tenants.files["alice"]
    for uri in (hers, *other_spellings(hers)):
        for read in (files.fetch, files.copy_to):
            with pytest.raises(ForeignArtifact):
                read(uri, tmp_path / "mine")
        with pytest.raises(ForeignArtifact):
            files.exists(uri)
    with pytest.raises(ForeignArtifact, match="no job of user 'bob'"):
        export_video(video=hers, format="m4a")
    assert files.fetch(tenants.files["bob"], tmp_path).read_bytes() == b"a narration"


def test_only_finished_artifacts_of_this_system_are_artifacts(tenants: Tenants, tmp_path: Path) -> None:
    files = ArtifactStore()
    folder = Path(tenants.files["alice"]).parent
    (seal,) = folder.glob(".*.sha256")
    part = folder / "speech.wav.0123abcd.part"
    part.write_bytes(b"half")
    elsewhere = folder.parents[1] / "_another" / HERS / "1" / "speech.wav"
    elsewhere.parent.mkdir(parents=True)
    elsewhere.write_bytes(b"of another system")
    deeper = folder / "1" / "speech.wav"
    for place in (seal, part, elsewhere, deeper, folder.parent, folder / "a\0b"):
        assert not files.holds(str(place))
        with pytest.raises(PermanentError, match="not an artifact of this system"):
            files.fetch(str(place), tmp_path)


def test_nobody_computes_the_ids_of_another_users_rows(tenants: Tenants) -> None:
    row = {"prompt": "a secret plan"}
    made = tenants.ask("alice", "POST", "/api/batches", json={"items": [row], "task": "generate_hook"}).json()
    (item,) = Ledger(tenants.attacked.store).records(made["batch_id"], [1])
    guessed = RowReader(find("generate_hook"), "alice").row(RawRow(1, row, is_text=False))
    assert not isinstance(guessed, list)
    assert item.job_id not in {guessed.job_id, *guessed.earlier_ids}
    whose = to_json(["alice", "generate_hook"])
    assert sha256(whose + f"{item.key}\0".encode() + guessed.payload).hexdigest()[:24] not in item.job_id


def test_a_row_that_was_done_under_its_id_of_before_is_not_done_again(tenants: Tenants) -> None:
    row = {"prompt": "done by an older version"}
    older = RowReader(find("generate_hook"), "alice").row(RawRow(1, row, is_text=False))
    assert not isinstance(older, list)
    where = tenants.attacked.store
    where.track(older.plain, JobState.QUEUED, b"{}", 60, ("generate_hook", "generation", 4, "alice", b"{}"))
    for state in (JobState.EXECUTING, JobState.COMPLETED):
        where.track(older.plain, state, b"{}", 60)
    prepared = batches.prepare([row], task="generate_hook", options=BatchOptions(user_id="alice"))
    assert prepared.prepared.known == 1
    prepared.drop()


def test_a_batch_of_before_is_resumed_with_its_input_and_nothing_of_it_is_new(
    tenants: Tenants, monkeypatch: pytest.MonkeyPatch
) -> None:
    rows = {"items": [{"prompt": "of before"}, {"prompt": "of before, too"}]}
    with monkeypatch.context() as before:
        before.setattr(hmac, "new", lambda _secret, whose, _name: sha256(whose))
        order = {**rows, "task": "generate_hook", "idempotency_key": "of-before"}
        made = tenants.ask("alice", "POST", "/api/batches", json=order).json()
    resumed = tenants.ask("alice", "POST", f"/api/batches/{made['batch_id']}/resume", json=rows).json()
    assert (resumed["added"], resumed["changed"], resumed["removed"]) == (0, 0, 0)
    again = tenants.ask("alice", "POST", "/api/batches", json=order)
    assert (again.status_code, again.json()["batch_id"]) == (202, made["batch_id"])


def test_what_is_another_users_is_as_if_it_did_not_exist(tenants: Tenants) -> None:
    made = tenants.ask("alice", "POST", "/api/batches", json={"items": [{"prompt": "hers"}], "task": "generate_hook"})
    batch = made.json()["batch_id"]
    where = tenants.attacked.store
    where.redis.zadd(where.key("dlq"), {HERS: 1})
    for method, path, own in (
        ("GET", "/api/dlq/{}", HERS),
        ("POST", "/api/dlq/{}/retry", HERS),
        ("GET", "/api/batches/{}", batch),
        ("GET", "/api/batches/{}/items", batch),
        ("POST", "/api/batches/{}/cancel", batch),
        ("GET", "/api/events?batch_id={}", batch),
    ):
        answers = []
        for one in (own, "nothing"):
            answer = tenants.ask("bob", method, path.format(one))
            told = {name: value for name, value in answer.json().items() if name != "request_id"}
            answers.append((answer.status_code, json.dumps(told).replace(one, "…")))
        assert answers[0] == answers[1], path
        assert answers[0][0] == 404
    for method, path in (
        ("GET", "/api/jobs/{}/status"),
        ("GET", "/api/jobs/{}/logs"),
        ("GET", "/api/jobs/{}/artifacts/speech.wav"),
        ("POST", "/api/jobs/{}/cancel"),
        ("GET", "/api/events?job_id={}"),
    ):
        assert tenants.ask("bob", method, path.format(HERS)).status_code == 403, path
    where.redis.zrem(where.key("dlq"), HERS)
