"""Names that are joined of words: two tuples of words never have one name, and users' keys never meet."""

from __future__ import annotations

import re
from collections.abc import Iterator
from hashlib import sha256
from importlib.resources import files

import pytest
from hypothesis import HealthCheck, given, settings
from hypothesis import strategies as st
from prometheus_client.parser import text_string_to_metric_families

from tests.engine.tasks_for_tests import add
from ytray import IdempotencyConflict, InvalidArguments, metrics, task
from ytray.engine.base.names import escaped, joined, parted, unescaped
from ytray.engine.batch.batches import checked_options
from ytray.engine.batch.ledger import Ledger
from ytray.engine.batch.model import BatchOptions
from ytray.engine.batch.rows import Row
from ytray.engine.batch.stages import read_stages
from ytray.engine.run.breaker import circuit_breaker
from ytray.engine.state import schema
from ytray.engine.state.code import reference, resolve
from ytray.engine.state.store import Store, Submission
from ytray.spend.budgets import set_user_budget, user_budgets
from ytray.system import redis_server

# Mostly of signs that separate words somewhere, so that other bounds between the same signs are met.
WORDS = st.text(alphabet="ab|:@%. \t_25", min_size=1, max_size=6) | st.text(
    st.characters(exclude_categories=["C"]), max_size=4
)
NAMES = st.text(alphabet="ab|:@%. _batch25", min_size=1, max_size=6)
few = settings(max_examples=30, deadline=None, suppress_health_check=[HealthCheck.function_scoped_fixture])


@pytest.fixture(scope="module")
def moves(tmp_path_factory: pytest.TempPathFactory) -> Iterator[Store]:
    folder = tmp_path_factory.mktemp("redis")
    url, _ = redis_server.ensure(folder)
    yield Store(url, "ytray")
    redis_server.stop(folder)


@given(one=st.lists(WORDS, min_size=1, max_size=4), other=st.lists(WORDS, min_size=1, max_size=4))
def test_two_tuples_of_words_never_have_one_name(one: list[str], other: list[str]) -> None:
    assert parted(joined(*one)) == one
    assert (joined(*one) == joined(*other)) == (one == other)
    assert not re.search(r"[|:@\s]", escaped(one[0]).replace("\N{NO-BREAK SPACE}", "")) or not one[0].isascii()


@few
@given(words=st.lists(st.text(st.characters(exclude_categories=["Cs"]), max_size=8), min_size=1, max_size=20))
def test_lua_escapes_as_python_does(moves: Store, words: list[str]) -> None:
    prelude = (files("ytray.engine.state") / "lua" / "prelude.lua").read_text()
    function = prelude[prelude.index("local function escaped") :].partition("\n\n")[0]
    script = f"{function} local found = {{}} for i, word in ipairs(ARGV) do found[i] = escaped(word) end return found"
    told = moves.redis.eval(script, 0, *words)
    assert [word.decode() for word in told] == [escaped(word) for word in words]
    assert [unescaped(word.decode()) for word in told] == words


def submit(where: Store, job_id: str, user: str, key: str, digest: str = "d") -> str:
    what = Submission("add", "default", "default", 4, user=user, key=key, digest=digest, same=digest)
    return where.submit([(job_id, b"{}")], what)[0]


def commit(where: Store, batch: str, user: str, key: str) -> str:
    ledger = Ledger(where)
    ledger.stage(batch, 1, user, "add", [Row(1, "k", True, "i" + batch, b"{}")], again=False)
    options = BatchOptions(user_id=user or None, idempotency_key=key)
    fields: list[str | bytes | int] = [
        "task",
        "add",
        "queue",
        "default",
        "lane",
        "default",
        "prio",
        4,
        "head",
        '{"args":',
        "key",
        key,
    ]
    fields += ["user", user] if user else []
    return ledger.commit(batch, options, "d", "d", start_ms=1, budget=None, fields=fields)


@few
@given(owners=st.lists(st.tuples(st.sampled_from("jb"), NAMES | st.just(""), NAMES), min_size=2, max_size=6))
def test_the_keys_of_two_users_and_of_batches_and_jobs_never_meet(
    moves: Store, owners: list[tuple[str, str, str]]
) -> None:
    def accepted(kind: str, user: str, key: str, own: str) -> str:
        return submit(moves, own, user, key) if kind == "j" else commit(moves, own, user, key)

    moves.redis.flushdb()
    ids: dict[tuple[str, str, str], str] = {}
    for number, owner in enumerate(owners * 2):
        own = f"{owner[0]}{number}"
        assert accepted(*owner, own) == ids.setdefault(owner, own)


@pytest.mark.parametrize(
    ("one", "other"),
    [
        (("acme", "eu:7"), ("acme:eu", "7")),
        (("", "a:b"), ("a", "b")),
        (("a", "batch k"), ("a:batch k", "")),
    ],
)
def test_what_was_stored_before_the_names_were_escaped_is_found_by_its_owner_alone(
    bare_store: Store, one: tuple[str, str], other: tuple[str, str]
) -> None:
    user, key = one
    bare_store.submit([("old", b"{}")], Submission("add", "default", "default", 4, user=user))
    bare_store.redis.hset(bare_store.key("j:old"), "key", key)
    bare_store.redis.set(bare_store.key(f"idem:{user}:{key}"), "d old")
    if other[1]:
        assert submit(bare_store, "new", *other) == "new"
    assert submit(bare_store, "again", *one) == "old"
    with pytest.raises(IdempotencyConflict, match="job old"):
        submit(bare_store, "again", *one, digest="another")


def test_a_version_that_does_not_escape_finds_what_this_one_stored(bare_store: Store) -> None:
    submit(bare_store, "new", "acme", "eu:7")
    assert bare_store.redis.get(bare_store.key("idem:acme:eu:7")) == b"d new"
    bare_store.cancel("new", "", 60)
    assert bare_store.forget(["new"], 1e15, dry_run=False) == ["new"]
    assert bare_store.redis.keys(bare_store.key("idem:*").replace("{", "\\{")) == []


def test_the_migration_gives_old_keys_their_escaped_names(bare_store: Store) -> None:
    where, key = bare_store, bare_store.key
    for job, owner in (("one", ("acme", "eu:7")), ("two", ("acme:eu", "7")), ("three", ("a%3Ab", "c"))):
        where.submit([(job, b"{}")], Submission("wash up", "default", "default", 4, user=owner[0]))
        where.redis.hset(key(f"j:{job}"), mapping={"key": owner[1], "rowkey": f"wash up {job}"})
        where.redis.hset(key(f"rows:{owner[0]}"), f"wash up {job}", job)
    where.redis.set(key("idem:acme:eu:7"), "d one")  # the second was never accepted under its own
    where.redis.set(key("idem:a%3Ab:c"), "d three")
    where.redis.zadd(key("batches"), {"b1": 1})
    where.redis.hset(key("b:b1"), mapping={"key": "a b", "user": "u:v", "state": "COMPLETED"})
    where.redis.set(key("idem:u:v:batch a b"), "d b1")
    where.redis.set(key("schema"), 1)
    for _ in range(2):
        schema.bring_up_to_date(where)
        assert where.redis.get(key("idem:acme:eu%3A7")) == b"d one"
        assert where.redis.get(key("idem:acme%3Aeu:7")) is None
        assert where.redis.get(key("idem:u%3Av:batch a%20b")) == b"d b1"
        assert where.redis.hget(key("rows:acme"), "wash%20up one") == b"one"
        assert where.redis.hget(key("j:one"), "rowkey") == b"wash%20up one"
        where.redis.set(key("schema"), 1)
    assert submit(where, "four", "a:b", "c") == "four"
    assert submit(where, "again", "a%3Ab", "c") == "three"


LABELS = st.text(alphabet='ab|:%25 "\\é', min_size=1, max_size=6)


@few
@given(queue=LABELS, name=LABELS)
def test_the_labels_of_metrics_come_out_as_users_wrote_them(
    moves: Store, queue: str, name: str, monkeypatch: pytest.MonkeyPatch
) -> None:
    for module in ("metrics", "connection"):
        monkeypatch.setattr(f"ytray.engine.{module}.store", lambda: moves)
    moves.redis.flushdb()
    moves.redis.hset(moves.key("m"), f"tasks|default|{name}|completed", 3)  # as versions before 2 wrote it
    metrics.track_task_failure(name, queue)
    metrics.track_task_complete(name, 0.2, "default")
    metrics.track_task_retry(name, 2)
    metrics.update_queue_depth(queue, 7)
    samples = [s for f in text_string_to_metric_families(metrics.render().decode()) for s in f.samples if s.value]
    found = {(s.name, *(s.labels[label] for label in sorted(s.labels))): s.value for s in samples}
    assert found["ytray_tasks_total", queue, "failed", name] == 1
    assert found["ytray_task_duration_seconds_count", name] == 1
    assert found["ytray_task_retries_total", "2", name] == 1
    assert found["ytray_queue_depth", queue] == 7
    if "%" not in name:
        assert found["ytray_tasks_total", "default", "completed", name] == 4


@few
@given(user=NAMES, other=NAMES)
def test_budgets_and_stages_are_read_back_as_they_were_named(moves: Store, user: str, other: str) -> None:
    moves.redis.flushdb()
    set_user_budget(moves, user, 1.0)
    set_user_budget(moves, other, 2.0)
    assert {budget.scope for budget in user_budgets(moves)} == {f"user {user}", f"user {other}"}
    stage = {f"default|{user}|{what}".encode(): b"4" for what in ("n", "ms", "sq")}
    assert [(s.queue, s.task_name) for s in read_stages(stage)] == [("default", user)]


@pytest.mark.parametrize("bad", ["a\nb", "a\x00b", "tab\there", "\x85", "half \ud83d", "", "x" * 256])
def test_a_name_that_cannot_be_carried_is_refused_at_the_door(bad: str, moves: Store) -> None:
    with pytest.raises(InvalidArguments, match="user id"):
        add.options(user_id=bad)
    with pytest.raises(InvalidArguments, match="idempotency key"):
        add.options(idempotency_key=bad)
    with pytest.raises(InvalidArguments):
        checked_options({"idempotency_key": bad})
    with pytest.raises(InvalidArguments, match="dependency"):
        circuit_breaker(bad)
    if bad:
        with pytest.raises(InvalidArguments, match="user id"):
            set_user_budget(moves, bad, 1.0)
        with pytest.raises(ValueError, match="the name of a task"):
            task(name=bad)(len)


def test_a_module_that_is_called_value_is_no_shipped_code(
    moves: Store, tmp_path: object, monkeypatch: pytest.MonkeyPatch
) -> None:
    import importlib
    from pathlib import Path

    assert isinstance(tmp_path, Path)
    monkeypatch.syspath_prepend(str(tmp_path))
    folder = tmp_path / "a@b:c"
    folder.mkdir()
    (folder / "value.py").write_text(
        "from ytray import task\n\n@task(name='worth')\ndef worth() -> int:\n    return 7\n"
    )
    monkeypatch.syspath_prepend(str(folder))
    module = importlib.import_module("value")
    words = reference(module.worth, module.worth.function, moves)
    assert resolve(words, moves) is module.worth
    assert resolve(f"value:worth@{folder}", moves) is module.worth  # as versions before 2 wrote it


def test_what_a_key_is_told_from_by_is_no_secret_of_another(bare_store: Store) -> None:
    submit(bare_store, "mine", "a", "b:c")
    for user in ("a:b", "", "a "):
        assert submit(bare_store, f"of {user}", user, "c", digest=sha256(user.encode()).hexdigest()) == f"of {user}"
