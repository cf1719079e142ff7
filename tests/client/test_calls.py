"""What the client sends, when it sends it again, and what it makes of the answers."""

from __future__ import annotations

import inspect
import logging
import multiprocessing
import time
from collections.abc import AsyncIterator
from email.utils import formatdate
from pathlib import Path
from typing import Any

import httpx
import pytest
from pydantic_core import from_json
from starlette.responses import Response, StreamingResponse

from tests.client.conftest import Connect, Seen, Server, json, problem, status
from ytray import errors
from ytray.client import AsyncClient, Client
from ytray.client._retrying import asked_to_wait
from ytray.client.model import VideoChoices
from ytray.spend.model import SpendState, Unpriced
from ytray.studio.model import Brief


def test_a_submission_that_meets_a_busy_server_is_sent_again_as_the_same(server: Server, connect: Connect) -> None:
    busy = [json({}, 503, Retry_After="1"), json({}, 503, Retry_After="0")]
    server.answer = lambda _: busy.pop(0) if busy else json({"job_id": "j1", "current_state": "QUEUED"}, 202)
    begun = time.monotonic()
    assert connect().submit("add", {"a": 1}, priority=9, user_id="u", metadata={"k": "v"}) == "j1"
    assert time.monotonic() - begun >= 1, "Retry-After is honoured"
    assert len(server.seen) == 3
    keys = {seen.headers["idempotency-key"] for seen in server.seen}
    assert len(keys) == 1
    assert len(keys.pop()) >= 16
    assert len({seen.body for seen in server.seen}) == 1
    sent = from_json(server.seen[0].body)
    assert (sent["task"], sent["args"], sent["priority"], sent["user_id"]) == ("add", {"a": 1}, 9, "u")
    assert "queue" not in sent, "what is not given is left to the task"


def test_two_submissions_are_two_jobs_and_a_given_key_is_the_one_that_is_sent(server: Server, connect: Connect) -> None:
    server.answer = lambda _: json({"job_id": "j1", "current_state": "QUEUED"}, 202)
    client = connect()
    client.submit("add")
    client.submit("add")
    client.create_video("Why do cats purr?", formats=["mp4", "gif"], idempotency_key="mine")
    client.submit("add", idempotency_key="ключ")
    first, second, third, fourth = server.seen
    assert first.headers["idempotency-key"] != second.headers["idempotency-key"]
    assert third.headers["idempotency-key"] == "mine"
    assert (third.path, from_json(third.body)["formats"]) == ("/api/videos", ["mp4", "gif"])
    assert "idempotency-key" not in fourth.headers, "a header holds no Cyrillic"
    assert from_json(fourth.body)["idempotency_key"] == "ключ"


def test_a_submission_whose_answer_is_lost_is_repeated_and_a_cancellation_is_not(
    server: Server, connect: Connect
) -> None:
    def lose_the_first(seen: Seen) -> Response:
        if len(server.asked(seen.path)) == 1:
            return broken(b'{"job', 100)
        return json({"job_id": "j1", "current_state": "QUEUED"}, 202)

    server.answer = lose_the_first
    client = connect()
    assert client.submit("add") == "j1"
    assert len({seen.headers["idempotency-key"] for seen in server.seen}) == 1
    with pytest.raises(errors.SystemUnavailable, match="it may have been done or not"):
        client.cancel("j1")
    assert len(server.asked("/cancel")) == 1


def test_a_proxy_that_lost_its_server_is_asked_again_and_an_error_of_the_server_is_told(
    server: Server, connect: Connect
) -> None:
    lost = [Response("Internal Server Error", 500), Response(status_code=502)]
    server.answer = lambda _: lost.pop(0) if lost else json({"job_id": "j1", "current_state": "QUEUED"}, 202)
    assert connect().submit("square", {"number": 2}) == "j1"
    keys = {seen.headers["idempotency-key"] for seen in server.asked("/api/jobs")}
    assert (len(server.seen), len(keys)) == (3, 1)
    server.answer = lambda _: problem(500, "unforeseen", "an error that nobody foresaw")
    with pytest.raises(errors.YtrayError, match="nobody foresaw"):
        connect().submit("square", {"number": 2})
    assert len(server.seen) == 4


def test_a_server_that_stays_busy_is_given_up_after_the_tries_that_were_allowed(
    server: Server, connect: Connect
) -> None:
    server.answer = lambda _: problem(429, "too-many-requests", "slower, please")
    with pytest.raises(errors.SystemUnavailable, match="slower, please"):
        connect(tries=2).queues()
    assert len(server.seen) == 2


def test_a_server_that_asks_to_wait_for_an_hour_is_not_waited_for(server: Server, connect: Connect) -> None:
    server.answer = lambda _: json({}, 503, Retry_After="3600")
    begun = time.monotonic()
    with pytest.raises(errors.SystemUnavailable):
        connect().queues()
    assert time.monotonic() - begun < 60
    assert len(server.seen) == 1


def test_a_server_that_is_not_there_is_named_and_said_what_to_do_about(connect: Connect) -> None:
    with pytest.raises(errors.SystemUnavailable, match=r"http://127\.0\.0\.1:1 cannot be reached.*YTRAY_URL"):
        connect("http://127.0.0.1:1", tries=2).status("j1")


@pytest.mark.parametrize(
    ("code", "kind", "raised"),
    [
        (404, "unknown-job", errors.UnknownJob),
        (422, "unknown-task", errors.UnknownTask),
        (404, "", errors.UnknownJob),
        (404, "result-expired", errors.ResultExpired),
        (409, "invalid-transition", errors.InvalidTransition),
        (409, "idempotency-conflict", errors.IdempotencyConflict),
        (409, "", errors.InvalidTransition),
        (400, "", errors.InvalidArguments),
        (422, "invalid-arguments", errors.InvalidArguments),
        (413, "body-too-large", errors.PayloadTooLarge),
        (401, "access-denied", errors.AccessDenied),
        (403, "forbidden", errors.AccessDenied),
        (500, "", errors.YtrayError),
    ],
)
def test_a_problem_is_raised_as_the_error_it_is(
    server: Server, connect: Connect, code: int, kind: str, raised: type[Exception]
) -> None:
    server.answer = lambda _: problem(code, kind, "that did not work", request_id="r-7")
    with pytest.raises(raised, match="that did not work") as caught:
        connect().status("j1")
    assert type(caught.value) is raised
    assert len(server.seen) == 1, "a refusal is not argued with"
    assert ("r-7" in str(caught.value)) == (code == 500), "the request's id is told where it helps"


def test_each_argument_that_is_wrong_is_told(server: Server, connect: Connect) -> None:
    wrong = [{"loc": ["body", "duration"], "msg": "at most 180"}, {"loc": ["body", "aspect"], "msg": "9:16 or so"}]
    server.answer = lambda _: problem(422, "invalid-arguments", "body.duration: at most 180", errors=wrong)
    with pytest.raises(errors.InvalidArguments, match=r"^body\.duration: at most 180; body\.aspect: 9:16 or so$"):
        connect().create_video("cats", duration=999)


@pytest.mark.parametrize("code", [200, 302, 404])
def test_a_server_that_is_not_ytray_is_told_from_one_that_knows_no_such_job(
    server: Server, connect: Connect, code: int
) -> None:
    server.answer = lambda _: Response("<html>hello</html>", code, {"Location": "/login"}, "text/html")
    with pytest.raises(errors.YtrayError, match=r"is the URL right|is YTRAY_URL .*right") as caught:
        connect().status("j1")
    assert not isinstance(caught.value, errors.UnknownJob)


def test_the_key_is_sent_and_never_shown(
    server: Server, connect: Connect, caplog: pytest.LogCaptureFixture, monkeypatch: pytest.MonkeyPatch
) -> None:
    caplog.set_level(logging.DEBUG)
    monkeypatch.setenv("YTRAY_KEY", "ytk_verysecret")
    server.answer = lambda _: problem(401, "access-denied", "no such key")
    client = connect()
    with pytest.raises(errors.AccessDenied) as caught:
        client.status("j1")
    assert server.seen[0].headers["authorization"] == "Bearer ytk_verysecret"
    assert "verysecret" not in f"{client!r} {caught.value!r} {caplog.text}"
    with pytest.raises(errors.SettingsError) as wrong:
        connect(server.url, "ytk_very\nsecret")
    assert "secret" not in str(wrong.value)


def test_the_url_comes_from_the_environment_and_one_that_cannot_work_is_refused(
    server: Server, connect: Connect, monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.setenv("YTRAY_URL", f"{server.url}/behind/a/proxy/")
    server.answer = lambda _: json({"queues": []})
    assert connect(None).queues() == []
    assert server.seen[0].path == "/behind/a/proxy/api/queues"
    for wrong in ("ytray.example.org", "ftp://ytray", "http://"):
        with pytest.raises(errors.SettingsError, match="http://"):
            connect(wrong)


def test_ids_and_names_cannot_change_what_a_path_means(server: Server, connect: Connect, tmp_path: Path) -> None:
    server.answer = lambda _: json(status("x", "QUEUED"))
    client = connect()
    client.status("a/../b?c#d e%2f")
    client.download("a/b", "../c.mp4", tmp_path / "file")
    assert [seen.path for seen in server.seen] == [
        "/api/jobs/a%2F..%2Fb%3Fc%23d%20e%252f/status",
        "/api/jobs/a%2Fb/artifacts/..%2Fc.mp4",
    ]
    for wrong in ("", ".", ".."):
        with pytest.raises(errors.InvalidArguments):
            client.status(wrong)


def test_a_listing_goes_over_all_its_pages(server: Server, connect: Connect) -> None:
    def page(seen: Seen) -> Response:
        number = int(seen.query.get("cursor", "0"))
        jobs = [status(f"j{number}{n}", "FAILED") for n in range(2)]
        return json({"jobs": jobs, "next_cursor": str(number + 1) if number < 2 else None})

    server.answer = page
    client = connect()
    found = [job.job_id for job in client.iter_jobs("failed", queue="media", page_size=2)]
    assert found == ["j00", "j01", "j10", "j11", "j20", "j21"]
    assert server.seen[0].query == {"status": "failed", "queue": "media", "limit": "2"}
    assert client.jobs(limit=2).next_cursor == "1"


def test_dead_letters_are_replayed_and_discarded_some_or_all(server: Server, connect: Connect) -> None:
    server.answer = lambda _: json({"job_ids": ["a"]}, 202)
    client = connect()
    assert client.replay(["a", "b"]) == ["a"]
    assert client.discard_all() == ["a"]
    assert [(seen.path, from_json(seen.body)) for seen in server.seen] == [
        ("/api/dlq/retry", {"job_ids": ["a", "b"]}),
        ("/api/dlq/remove", {"all": True}),
    ]


def test_a_brief_says_who_makes_the_video_and_what_it_may_cost(server: Server, connect: Connect) -> None:
    server.answer = lambda _: json({"job_id": "j1", "current_state": "QUEUED"}, 202)
    mix = {"text": "vertex", "image": "offline"}
    connect().create_video("Why do cats purr?", provider=mix, fresh=True, budget_usd=0.5)
    sent = from_json(server.seen[0].body)
    assert (sent["provider"], sent["fresh"], sent["budget_usd"]) == (mix, True, 0.5)


def test_an_estimate_is_asked_for_with_the_same_brief(server: Server, connect: Connect) -> None:
    line = {"kind": "image", "model": "m", "calls": 5, "likely_usd": 0.3, "most_usd": 0.4}
    told = {"schema_version": 1, "likely_usd": 0.3, "most_usd": 0.4, "prices_dated": "2026-11-01"}
    server.answer = lambda _: json({**told, "lines": [{**line, "new": 1}], "newer": True})
    found = connect().estimate_video("Why do cats purr?", duration=20, provider="vertex")
    assert [(one.kind, one.calls) for one in found.lines] == [("image", 5)]
    assert (found.likely_usd, found.most_usd) == (0.3, 0.4)
    (seen,) = server.seen
    assert (seen.path, seen.query) == ("/api/videos", {"estimate": "true"})
    assert (from_json(seen.body)["duration"], from_json(seen.body)["provider"]) == (20, "vertex")
    assert "idempotency-key" not in seen.headers, "nothing is submitted"
    server.answer = lambda _: problem(422, "unpriced", "there is no price for the model 'm'")
    with pytest.raises(Unpriced, match="no price"):
        connect().estimate_video("Why do cats purr?")


def test_paid_calls_are_listed_and_an_uncertain_one_is_allowed(server: Server, connect: Connect) -> None:
    server.answer = lambda seen: json(
        entry("k1") if "allow" in seen.path else {"entries": [entry("k1")], "cost_usd": 1}
    )
    client = connect()
    assert [found.key for found in client.spending(user_id="alice", limit=7)] == ["k1"]
    assert client.spending("j1")[0].state is SpendState.UNCERTAIN
    assert client.allow_call("k/1").cost_usd == 0.4
    assert [(seen.method, seen.path, seen.query) for seen in server.seen] == [
        ("GET", "/api/spend", {"user_id": "alice", "limit": "7"}),
        ("GET", "/api/spend", {"job_id": "j1", "limit": "100"}),
        ("POST", "/api/spend/k%2F1/allow", {}),
    ]


def test_a_permission_to_pay_again_is_not_sent_twice(server: Server, connect: Connect) -> None:
    server.answer = lambda _: broken(b"{", 100)
    with pytest.raises(errors.SystemUnavailable, match="it may have been done or not"):
        connect().allow_call("k1")
    assert len(server.seen) == 1


def test_budgets_are_listed_set_and_cleared(server: Server, connect: Connect) -> None:
    told = {"scope": "user a b", "limit_usd": 5.0, "spent_usd": 1.0, "reserved_usd": 0.0}
    server.answer = lambda seen: json({"budgets": [told]} if seen.method == "GET" else told)
    client = connect()
    assert [found.limit_usd for found in client.budgets()] == [5.0]
    assert client.set_budget("a b", 5).spent_usd == 1.0
    client.set_budget("a b", None)
    assert [(seen.method, seen.path, seen.body) for seen in server.seen[1:]] == [
        ("PUT", "/api/budgets/a%20b", b'{"limit_usd":5}'),
        ("PUT", "/api/budgets/a%20b", b'{"limit_usd":null}'),
    ]


def test_models_are_read_also_with_units_that_a_newer_server_bills(server: Server, connect: Connect) -> None:
    limits = {"requests": 10, "tokens": 0, "at_once": 4, "running": 1}
    model = {"model": "veo", "price": {"second": 0.1, "frame": 0.01}, **limits}
    server.answer = lambda _: json({"dated": "2026-11-01", "models": [model]})
    (found,) = connect().models()
    assert (found.model, found.price.second, found.at_once, found.running) == ("veo", 0.1, 4, 1)


def test_an_older_client_reads_what_a_newer_server_adds(server: Server, connect: Connect) -> None:
    server.answer = lambda _: json(status("j1", "QUEUED", mood="hopeful"))
    assert connect().status("j1").job_id == "j1"


def test_both_clients_have_the_same_methods_with_the_same_parameters() -> None:
    def methods(kind: type) -> dict[str, list[str]]:
        found = inspect.getmembers(kind, inspect.isfunction)
        return {name: list(inspect.signature(m).parameters) for name, m in found if not name.startswith("_")}

    plain, other = methods(Client), methods(AsyncClient)
    plain.pop("close")
    other.pop("aclose")
    assert plain == other


def test_retry_after_may_be_a_date() -> None:
    now = 1_800_000_000.0
    asked = asked_to_wait(httpx.Headers({"Retry-After": formatdate(now + 90, usegmt=True)}), now)
    assert asked == pytest.approx(90, abs=1)
    assert asked_to_wait(httpx.Headers({"Retry-After": formatdate(now - 90, usegmt=True)}), now) == 0
    for nothing in ("", "soon", "-5", "٣"):
        assert asked_to_wait({"retry-after": nothing}, now) is None


def entry(key: str) -> dict[str, Any]:
    """A paid call as the API tells it."""
    return {
        "key": key,
        "state": "uncertain",
        "job_id": "j1",
        "user_id": "alice",
        "provider": "vertex",
        "model": "veo",
        "kind": "video",
        "about": "a cat",
        "at": "2026-11-23T22:17:40.722Z",
        "ended_at": None,
        "operation": None,
        "estimate_usd": 0.4,
        "cost_usd": 0.4,
        "units": {},
        "tries": 1,
        "error": "nobody answered",
    }


def broken(sent: bytes, promised: int, **headers: str) -> Response:
    """An answer that breaks off before it brought what it promised."""

    async def parts() -> AsyncIterator[bytes]:
        yield sent
        raise ConnectionResetError("the cable was pulled")

    return StreamingResponse(parts(), 200, {"Content-Length": str(promised), **headers})


NO_ROUTE = "Path '/api/jobs/j1/cancel' not found. Ping http://.../-/routes for available routes."


def test_ray_serve_without_the_api_is_waited_for_and_told_in_a_sentence(server: Server, connect: Connect) -> None:
    server.answer = lambda _: Response(NO_ROUTE, 404, media_type="text/plain")
    with pytest.raises(errors.SystemUnavailable, match=r"answered .* with 404 .*: it is busy or starting"):
        connect(tries=2).cancel("j1")
    assert len(server.seen) == 2  # nothing was done, so it may be asked again


def test_a_proxy_that_has_nobody_behind_it_is_told_in_a_sentence(server: Server, connect: Connect) -> None:
    server.answer = lambda _: Response("Internal Server Error", 500, media_type="text/plain")
    with pytest.raises(errors.SystemUnavailable, match=r"it is starting, or is being started again.*look before"):
        connect(tries=2).cancel("j1")
    assert len(server.seen) == 1  # it may have been done
    with pytest.raises(errors.SystemUnavailable, match=r"being started again; try again later\.$"):
        connect(tries=2).status("j1")
    assert len(server.seen) == 3


def _ask(told: multiprocessing.SimpleQueue[bool], client: Client, name: str) -> None:
    told.put(all(client.status(f"{name}-{turn}").job_id == f"{name}-{turn}" for turn in range(20)))


def test_forked_processes_get_their_own_answers(server: Server) -> None:
    server.answer = lambda seen: json(status(seen.path.split("/")[-2], "QUEUED"))
    context = multiprocessing.get_context("fork")
    told = context.SimpleQueue()
    with Client(server.url) as client:
        assert client.status("before").job_id == "before"  # leaves a connection
        children = [context.Process(target=_ask, args=(told, client, name)) for name in ("one", "two")]
        for child in children:
            child.start()
        _ask(told, client, "parent")
        assert [told.get() for _ in range(3)] == [True] * 3
        for child in children:
            child.join(60)


def test_the_secret_of_webhooks_is_asked_for_and_rotated_once(server: Server, connect: Connect) -> None:
    server.answer = lambda _: json({"user_id": "u", "secret": "whsec_aa==", "previous_until": None, "more": 1})
    client = connect()
    assert client.webhook_secret().secret == "whsec_aa=="
    assert client.rotate_webhook_secret("u").user_id == "u"
    assert [(seen.method, seen.path, seen.query) for seen in server.seen] == [
        ("GET", "/api/webhooks/secret", {}),
        ("POST", "/api/webhooks/secret/rotate", {"user_id": "u"}),
    ]
    server.answer = lambda _: json({}, 503)
    with pytest.raises(errors.SystemUnavailable):
        client.rotate_webhook_secret()


def test_the_client_offers_what_a_brief_has() -> None:
    assert set(VideoChoices.__annotations__) == set(Brief.model_fields) - {"prompt"}
