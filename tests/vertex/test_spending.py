"""Money: budgets that hold against many jobs at once, costs that add up, limits, breakers, and errors."""

from __future__ import annotations

from collections.abc import Callable
from pathlib import Path

import pytest

from tests.vertex.faults import (
    blocked,
    drop_before_billing,
    drop_before_reply,
    drop_in_body,
    filtered,
    finished,
    operation_error,
    status,
)
from tests.vertex.server import VertexServer
from tests.vertex.tasks_for_vertex import buys, buys_slowly
from ytray import JobFailed, JobState, current_job, dlq, job_tracker
from ytray.engine.base.context import CurrentJob
from ytray.engine.control.metrics import render
from ytray.engine.run.breaker import breaker_states
from ytray.engine.state.store import LaneRoom, Store, Submission
from ytray.spend import budgets
from ytray.spend.journal import Intent, entries_of_job, latest_entries
from ytray.spend.limits import take_turn
from ytray.spend.model import Call, ProviderBusy, SpendState
from ytray.spend.prices import price_of
from ytray.tasks.generation import generate_hook, generate_script, validate_coherence
from ytray.tasks.media import generate_audio_tts, generate_image_imagen, generate_video_veo
from ytray.tasks.processing import create_video

Until = Callable[..., None]
SCENE = {"narration": "Cats purr.", "subject": "a cat", "mood": "warm"}


def test_a_whole_video_is_made_on_vertex_and_its_cost_adds_up(system: Store, vertex: VertexServer) -> None:
    vertex.scenes = 2
    job = create_video.delay(prompt="why cats purr", duration=5, provider="vertex", user_id="payer")
    result = job.get(timeout=170)
    assert result.script.provider == "vertex"
    assert result.pacing.notes
    assert result.emotional_arc.notes
    assert result.hook.score >= 0.6
    entries = entries_of_job(system, job.id)
    assert all(entry.state is SpendState.DONE for entry in entries)
    assert sorted(entry.kind for entry in entries) == sorted(kind for kind, _ in vertex.bill)
    assert job.status().cost_usd == pytest.approx(sum(entry.cost_usd for entry in entries), abs=1e-5)
    pictures = [entry for entry in entries if entry.kind == "image"]
    assert sum(e.cost_usd for e in pictures) >= len(pictures) * 0.067
    spent = budgets.user_budget(system, "payer")
    assert spent.spent_usd == pytest.approx(job.status().cost_usd, abs=1e-5)
    assert spent.reserved_usd == 0
    assert result.cost_usd == pytest.approx(job.status().cost_usd, abs=1e-5)
    before = len(vertex.bill)
    again = create_video.delay(prompt="why cats purr", duration=5, provider="vertex", user_id="payer")
    again.get(timeout=170)
    assert len(vertex.bill) == before, "the same video for the same user was paid for twice"
    assert again.status().cost_usd == 0


def test_what_was_bought_is_used_again_unless_it_shall_be_fresh(system: Store, vertex: VertexServer) -> None:
    first = generate_image_imagen.delay(scene=SCENE, provider="vertex").get(timeout=60)
    second = generate_image_imagen.delay(scene=SCENE, provider="vertex").get(timeout=60)
    assert vertex.billed("image") == 1
    assert Path(first.uri).read_bytes() == Path(second.uri).read_bytes()
    generate_image_imagen.delay(scene=SCENE, provider="vertex", fresh=True).get(timeout=60)
    assert vertex.billed("image") == 2
    generate_image_imagen.delay(scene=SCENE, provider="vertex", user_id="somebody else").get(timeout=60)
    assert vertex.billed("image") == 3, "one user's picture was given to another"


def test_an_asset_whose_file_is_gone_is_bought_again(system: Store, vertex: VertexServer, home: Path) -> None:
    scene = {**SCENE, "subject": "a file that goes"}
    job = generate_image_imagen.delay(scene=scene, provider="vertex")
    job.get(timeout=60)
    (entry,) = entries_of_job(system, job.id)
    kept = home / "artifacts" / f"bought-{entry.key}"
    for file in kept.iterdir():
        file.unlink()
    again = generate_image_imagen.delay(scene=scene, provider="vertex")
    again.get(timeout=60)
    assert vertex.billed("image") == 2
    (entry,) = entries_of_job(system, again.id)
    assert entry.tries == 2
    assert entry.cost_usd == pytest.approx(2 * again.status().cost_usd, rel=0.01)


@pytest.mark.parametrize(("speech_as", "rate"), [("pcm", 24000), ("wav", 24000)])
def test_speech_of_either_kind_has_words_in_time(
    speech_as: str, rate: int, system: Store, vertex: VertexServer
) -> None:
    vertex.speech_as = speech_as  # type: ignore[assignment]
    text = f"Cats purr when they are happy, and sometimes when they are not, as {speech_as}."
    speech = generate_audio_tts.delay(text=text, provider="vertex").get(timeout=60)
    assert [word.text for word in speech.words] == text.split()
    assert speech.words[-1].end <= speech.seconds + 0.01
    assert speech.voice == "Kore"


@pytest.mark.parametrize("model", ["veo-3.1-fast-generate-001", "gemini-omni-1.1-flash"])
def test_both_families_of_video_models_film(
    model: str, vertex: VertexServer, with_settings: Callable[..., None], tmp_path: Path
) -> None:
    prices = tmp_path / "prices.toml"
    prices.write_text(f'dated = 2026-11-01\n[models."{model}"]\nsecond = 0.25\n')
    with_settings(provider="vertex", model_video=model, prices=prices)
    clip = generate_video_veo(f"waves, by {model}")  # outside a job it waits here
    assert (clip.width, clip.height, clip.provider) == (270, 480, "vertex")
    assert vertex.billed() == 1


def test_a_budget_holds_against_many_jobs_at_once(system: Store, tmp_path: Path, until: Until) -> None:
    budgets.set_user_budget(system, "budget-of-one-dollar", 1.0)
    jobs = buys.options(user_id="budget-of-one-dollar").map([{"folder": str(tmp_path), "usd": 0.3}] * 30)
    until(lambda: all(job.status().current_state.has_ended for job in jobs), 60)
    states = [job.status().current_state for job in jobs]
    assert {(job.status().error or "")[:22] for job in jobs} == {"", "OverBudget: over budge"}
    assert states.count(JobState.COMPLETED) == 3
    assert (tmp_path / "bought").read_text() == "xxx"
    spent = budgets.user_budget(system, "budget-of-one-dollar")
    assert spent.spent_usd == pytest.approx(0.9)
    assert spent.reserved_usd == 0
    failed = next(job for job in jobs if job.status().current_state is JobState.FAILED)
    assert failed.status().retry_count == 0
    assert "over budget" in (failed.status().error or "")
    assert "$0.1000 are left" in (failed.status().error or "")
    for job in jobs:
        if job.status().current_state is JobState.FAILED:
            dlq.remove(job.id)


def test_a_video_over_its_own_budget_ends_before_any_call_it_cannot_pay(system: Store, vertex: VertexServer) -> None:
    job = create_video.delay(prompt="a cheap film", duration=8, provider="vertex", budget_usd=0.0001)
    with pytest.raises(JobFailed, match="over budget"):
        job.get(timeout=60)
    assert vertex.billed() == 0
    dlq.remove(job.id)


def test_an_unknown_model_is_dead_lettered_at_once_and_names_the_setting(system: Store, vertex: VertexServer) -> None:
    vertex.unknown_models.add("gemini-3.8-flash")
    job = generate_hook.delay(prompt="retired models", provider="vertex")
    with pytest.raises(JobFailed, match="YTRAY_MODEL_TEXT") as failed:
        job.get(timeout=30)
    assert failed.value.retry_count == 0
    assert job.status().cost_usd == 0
    dlq.remove(job.id)


@pytest.mark.parametrize(
    ("fault", "told"),
    [
        (blocked("SAFETY"), "the prompt \\(SAFETY\\)"),
        (finished("PROHIBITED_CONTENT"), "PROHIBITED_CONTENT"),
        (status(400, message="the schema is wrong"), "the schema is wrong"),
        (status(403), "refuses the credentials"),
    ],
)
def test_what_no_retry_helps_is_dead_lettered_at_once(
    fault: object, told: str, system: Store, vertex: VertexServer
) -> None:
    vertex.script("text", fault)  # type: ignore[arg-type]
    job = generate_hook.delay(prompt=f"a fault {fault}", provider="vertex")
    with pytest.raises(JobFailed, match=told) as failed:
        job.get(timeout=30)
    assert failed.value.retry_count == 0
    (entry,) = entries_of_job(system, job.id)
    assert (entry.state, entry.cost_usd) == (SpendState.FAILED, 0)
    dlq.remove(job.id)


@pytest.mark.parametrize(
    ("fault", "told"),
    [
        (filtered(["it shows a person"]), "it shows a person"),
        (operation_error(3, "the aspect ratio is wrong"), "the aspect ratio is wrong"),
    ],
)
def test_an_operation_that_ends_badly_inside_a_good_answer_is_an_error(
    fault: object, told: str, system: Store, vertex: VertexServer
) -> None:
    vertex.script("video", fault)  # type: ignore[arg-type]
    job = generate_video_veo.delay(f"a fault {told}", provider="vertex")
    with pytest.raises(JobFailed, match=told):
        job.get(timeout=60)
    (entry,) = entries_of_job(system, job.id)
    assert (entry.state, entry.cost_usd) == (SpendState.FAILED, 0)
    dlq.remove(job.id)


def test_what_passes_is_tried_again_and_paid_once(system: Store, vertex: VertexServer) -> None:
    vertex.script("text", status(503), status(429, retry_after=0.2))
    job = generate_hook.delay(prompt="after some trouble", provider="vertex")
    assert job.get(timeout=60).provider == "vertex"
    assert job.status().retry_count == 1, "a full quota must cost no retry"
    assert vertex.billed("text") == 1
    (entry,) = entries_of_job(system, job.id)
    assert (entry.state, entry.tries) == (SpendState.DONE, 3)


@pytest.mark.parametrize("fault", [drop_before_reply(), drop_in_body(), drop_before_billing()])
def test_a_lost_answer_is_uncertain_and_never_silently_repeated(
    fault: object, system: Store, vertex: VertexServer
) -> None:
    vertex.script("text", fault)  # type: ignore[arg-type]
    job = generate_hook.delay(prompt=f"lost: {fault}", provider="vertex")
    with pytest.raises(JobFailed, match="may have been billed"):
        job.get(timeout=30)
    (entry,) = entries_of_job(system, job.id)
    assert entry.state is SpendState.UNCERTAIN
    assert entry.cost_usd == pytest.approx(entry.estimate_usd)
    assert len([call for call in vertex.calls if call.kind == "text"]) == 1
    dlq.remove(job.id)


def test_cancelling_a_film_says_what_was_spent_and_disowns_its_operation(
    system: Store, vertex: VertexServer, until: Until
) -> None:
    vertex.polls_needed = 10_000
    job = generate_video_veo.delay("an endless film", provider="vertex")
    until(lambda: job.status().current_state is JobState.RETRYING, 30)
    assert job.status().retry_count == 0
    assert job_tracker.queues()[1].executing == 0, "a film that is waited for holds no slot"
    job.cancel()
    (entry,) = entries_of_job(system, job.id)
    assert entry.state is SpendState.UNCERTAIN
    assert entry.cost_usd == pytest.approx(0.4)
    assert job.history()[-1].metadata["spent_usd"] == pytest.approx(0.4)
    # Another job that wants the same film goes on with the operation instead of starting one.
    vertex.polls_needed = 0
    other = generate_video_veo.delay("an endless film", provider="vertex")
    other.get(timeout=60)
    assert vertex.billed("video") == 1


def test_another_job_goes_on_with_the_operation_of_one_that_failed(system: Store, vertex: VertexServer) -> None:
    vertex.script("poll", status(403))
    failed = generate_video_veo.delay("a film handed on", provider="vertex")
    with pytest.raises(JobFailed, match="refuses the credentials"):
        failed.get(timeout=60)
    assert system.redis.hlen(system.key("held")) == 2, "its user's month and itself"
    other = generate_video_veo.delay("a film handed on", provider="vertex")
    other.get(timeout=60)
    assert vertex.billed("video") == 1
    assert other.status().cost_usd == pytest.approx(0.4)
    assert system.redis.hlen(system.key("held")) == 0
    dlq.remove(failed.id)


def test_a_job_whose_worker_dies_each_time_before_its_call_gives_back_what_it_reserved(bare_store: Store) -> None:
    store = bare_store
    store.take_office("tracker", "e", 60)
    store.submit([("job", b'{"code":"x","args":{}}')], Submission("noop", "default", "default", 4, user="ann"))
    calls = [Call("test", "a-model", kind, {}, estimate_usd=0.5) for kind in ("unsent", "sent")]
    for worker in ("one", "two", "three"):
        ((claimed,),) = store.claim("tracker", "e", 60_000, [LaneRoom("default", 0, 1)])
        store.start(worker, 60_000, 60, [("job", claimed.fence)])
        if worker == "three":
            job = CurrentJob("job", user_id="ann", fence=claimed.fence, worker=worker, store=store)
            intents = [Intent(job, store, call) for call in calls]
            assert [intent.open(at_once=1 if intent is intents[0] else 0).verdict for intent in intents] == ["GO", "GO"]
            intents[1].sent()
            assert budgets.user_budget(store, "ann").reserved_usd == 1.0
        store.hand_back([("job", "*")], "its worker died", blame=True, result_ttl=60)
    assert store.state("job") is JobState.FAILED
    of_user = budgets.user_budget(store, "ann")
    assert (of_user.reserved_usd, of_user.spent_usd) == (0, 0.5)
    states = {entry.kind: (entry.state, entry.error) for entry in entries_of_job(store, "job")}
    assert states == {
        "unsent": (SpendState.FAILED, "its job failed before the call was made"),
        "sent": (SpendState.UNCERTAIN, "its job failed while the call ran"),
    }
    assert store.redis.exists(store.key("held"), store.key("busy:a-model")) == 0


def test_two_jobs_that_want_the_same_film_pay_for_one(system: Store, vertex: VertexServer) -> None:
    jobs = [generate_video_veo.delay("the same film twice", provider="vertex") for _ in range(2)]
    for job in jobs:
        job.get(timeout=90)
    assert vertex.billed("video") == 1


def test_failures_open_the_breaker_of_one_family_and_others_go_on(
    system: Store, vertex: VertexServer, until: Until
) -> None:
    vertex.script("image", *[status(500)] * 3)
    job = generate_image_imagen.delay(scene={**SCENE, "subject": "broken"}, provider="vertex")
    with pytest.raises(JobFailed, match="answered 500"):
        job.get(timeout=30)
    dlq.remove(job.id)
    (state,) = [state for state in breaker_states() if state.name == "vertex/gemini-image"]
    assert state.state == "open"
    waits = generate_image_imagen.delay(scene={**SCENE, "subject": "waits"}, provider="vertex")
    assert generate_hook.delay(prompt="others go on", provider="vertex").get(timeout=30).provider == "vertex"
    waits.get(timeout=60)
    assert waits.status().retry_count == 0
    until(lambda: all(s.state == "closed" for s in breaker_states() if s.name == "vertex/gemini-image"))
    assert b'breaker_state{dependency="vertex/gemini-image"} 0.0' in render()


def test_requests_and_tokens_a_minute_are_counted_for_everybody(
    system: Store, with_settings: Callable[..., None]
) -> None:
    with_settings(model_limits="counted-*=requests:3; weighed-*=tokens:100")
    counted = Call("test", "counted-1", "text", {}, 0.0)
    for _ in range(3):
        take_turn(counted)
    with pytest.raises(ProviderBusy, match="3 requests") as busy:
        take_turn(counted)
    assert 0.4 < busy.value.seconds <= 120
    weighed = Call("test", "weighed-1", "text", {}, 0.0, tokens=60)
    take_turn(weighed)
    with pytest.raises(ProviderBusy, match="100 tokens"):
        take_turn(weighed)
    take_turn(Call("test", "free", "text", {}, 0.0))


def test_a_model_runs_as_many_calls_at_once_as_it_may(system: Store, tmp_path: Path) -> None:
    jobs = buys_slowly.map([{"folder": str(tmp_path), "seconds": 0.3}] * 3)
    for job in jobs:
        job.get(timeout=60)
        assert job.status().retry_count == 0
    assert (tmp_path / "calls").read_text() == "+-+-+-"


def test_the_judge_is_asked_where_it_is_wanted(system: Store, vertex: VertexServer) -> None:
    script = generate_script.delay(prompt="why cats purr", duration=8).get(timeout=30)
    found = validate_coherence.delay(script=script, judge="vertex").get(timeout=90)
    assert found.judgement is not None
    assert found.judgement.score == pytest.approx(0.8)
    assert vertex.billed("judge") == 1


def test_another_endpoint_writes_as_well(system: Store, vertex: VertexServer) -> None:
    job = generate_hook.delay(prompt="why cats purr", provider="openai")
    assert job.get(timeout=60).note == "written by a-local-model"
    assert vertex.billed("chat") == 1
    assert job.status().cost_usd == 0


def test_secrets_are_nowhere(system: Store, vertex: VertexServer, home: Path) -> None:
    vertex.script("text", status(401), status(500, message="boom"))
    with pytest.raises(JobFailed, match="refuses the credentials"):
        generate_hook.delay(prompt="secret one", provider="vertex").get(timeout=30)
    generate_hook.delay(prompt="secret two", provider="vertex").get(timeout=30)
    token = b"token-for-tests"
    for key in system.redis.scan_iter("*", count=1000):
        assert token not in (system.redis.dump(key) or b""), key
    assert token not in render()
    for entry in latest_entries(system, limit=1000):
        assert "token-for-tests" not in entry.model_dump_json()


def test_nothing_is_written_down_outside_a_job(
    vertex: VertexServer, system: Store, with_settings: Callable[..., None]
) -> None:
    before = latest_entries(system, limit=1)
    with_settings(provider="vertex")
    assert generate_hook("a plain call").provider == "vertex"
    assert latest_entries(system, limit=1) == before
    assert current_job().store is None


def test_prices_are_replaced_model_by_model(tmp_path: Path, with_settings: Callable[..., None]) -> None:
    own = tmp_path / "prices.toml"
    own.write_text('dated = 2026-12-01\n[models."gemini-3.1-flash-image"]\nimage = 1.0\n')
    with_settings(prices=own)
    assert price_of("gemini-3.1-flash-image").of(images=2) == 2.0
    assert price_of("veo-3.1-generate-001").of(seconds=8) == pytest.approx(3.2)
