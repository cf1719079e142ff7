"""Errors of a batch's items: which are the same, what they tell of themselves, and what people are told to do."""

from __future__ import annotations

import time
import traceback
from datetime import UTC, datetime, timedelta

import pytest

from ytray import JobCancelled, JobFailed, PermanentError
from ytray.engine.batch.fingerprint import fingerprint, frame_of, innermost
from ytray.engine.batch.model import ErrorGroup
from ytray.engine.batch.triage import FailedItem, dependency_of, group
from ytray.spend.prices import price_of

BATCH = "b0190d3f2a7c"
AT = datetime(2026, 3, 1, 12, tzinfo=UTC)


def failed(error: str, number: int = 1, frame: str = "", job_id: str = "i3f.a1", retries: int = 0) -> FailedItem:
    at = AT + timedelta(seconds=number)
    return FailedItem(number, number + 1, f"row-{number}", job_id, error, frame, "draw", at, retries)


def only(error: str, retries: int = 0) -> ErrorGroup:
    [found] = group([failed(error, retries=retries)], BATCH)
    return found


# ------------------------------------------------------------------------------------------------ what is the same

SAME = [
    (
        "ProviderFailed: model 'alpha' answered 503 after 12.5 s (request 8f3a91bc)",
        "ProviderFailed: model 'it\\'s beta' answered 503 after 7 s (request 12345678)",
    ),
    (
        "PermanentError: there is no artifact file:///srv/one/ab12/scene.png: it was removed",
        "PermanentError: there is no artifact gs://bucket/other/77/voice.wav: it was removed",
    ),
    (
        "TimeLimitExceeded: job i018f3a9c2d1e.0a1b2c ran longer than its time limit of 30 s",
        "TimeLimitExceeded: job i018f3a9c2d1e.ffeedd ran longer than its time limit of 45 s",
    ),
    ("ValueError: item-17 of 1,204 is 3.5e-7 at 2026-01-02T03:04:05Z", "ValueError: item-2 of 9 is -4 at 2026-01-02"),
    (
        "OSError: /home/a/one/x.bin differs from clip_03.mp4 (0x7f3a)",
        "OSError: /mnt/b/two/y.bin differs from clip_9.mp4 (0x11)",
    ),
    (
        "KeyError: 'title' in 3f2b8c4e-1111-2222-3333-444455556666",
        "KeyError: 'name' in 00000000-aaaa-bbbb-cccc-ddddeeeeffff",
    ),
    (
        "PermanentError: no font that is installed can draw 字(U+5B57) 好(U+597D) and 3 more; leave them out",
        "PermanentError: no font that is installed can draw क(U+0915); leave them out",
    ),
    (
        "ValidationError: 1 validation error for R\nage\n  Input [type=int, input_value={1: 'a, b'}, input_type=dict]",
        "ValidationError: 1 validation error for R\nage\n  Input [type=int, input_value=Thing, input_type=dict]",
    ),
]

DIFFERENT = [
    ("ProviderFailed: gone", "PermanentError: gone"),
    ("PermanentError: x answered 400: bad", "PermanentError: x answered 404: bad"),
    (
        "ProviderFailed: Vertex AI (gemini-3.8-flash) answered 503",
        "ProviderFailed: Vertex AI (veo-3.1-fast-generate-001) answered 503",
    ),
    ("PermanentError: it's missing and we're late", "PermanentError: it's broken and we're late"),
]


@pytest.mark.parametrize(("one", "other"), SAME)
def test_what_differs_by_item_does_not_count(one: str, other: str) -> None:
    assert fingerprint(one) == fingerprint(other)


@pytest.mark.parametrize(("one", "other"), DIFFERENT)
def test_what_tells_causes_apart_does_count(one: str, other: str) -> None:
    assert fingerprint(one).digest != fingerprint(other).digest


def test_the_place_of_an_error_counts_without_its_line() -> None:
    here = fingerprint("ValueError: bad", "pets/cats.py:88 in draw")
    assert here == fingerprint("ValueError: bad", "pets/cats.py:91 in draw")
    assert here.digest != fingerprint("ValueError: bad", "pets/dogs.py:88 in draw").digest


def test_the_same_failure_has_one_fingerprint_however_deep_in_flows_it_was() -> None:
    inside = "ProviderFailed: model 'x' answered 503"
    step = JobFailed("i3f.sub.9a", inside, retry_count=2)
    flow = JobFailed("i3f.sub", f"JobFailed: {step}")
    error = f"JobFailed: {flow}"
    assert innermost(error) == ("i3f.sub.9a", inside)
    assert innermost(inside) == (None, inside)
    assert fingerprint(error) == fingerprint(inside)


def test_a_cancelled_step_and_a_worker_that_died_are_told_as_such() -> None:
    cancelled = JobFailed("i3f", f"JobCancelled: {JobCancelled('i3f.7b')}")
    assert fingerprint(f"JobFailed: {cancelled}").error_type == "JobCancelled"
    died = "the worker died 3 times while it ran this job (last: its lease ended)"
    assert fingerprint(f"JobFailed: {JobFailed('i3f', died)}").error_type == "WorkerDied"


@pytest.mark.parametrize(
    "junk", ["1" * 20_000, "a-1" * 5_000, "'" * 20_000, "/a" * 9_000, "U+12 " * 5_000, "a.1-" * 5_000]
)
def test_an_error_of_any_shape_is_read_quickly(junk: str) -> None:
    started = time.process_time()
    found = fingerprint(f"ValueError: {junk}")
    assert time.process_time() - started < 2
    assert len(found.message) <= 300


# --------------------------------------------------------------------------------------------- where it was raised


def test_the_frame_is_the_last_one_of_ytray_or_the_user_and_has_no_machine_path() -> None:
    trace = """Traceback (most recent call last):
  File "/opt/venv/lib/python3.11/site-packages/httpx/_client.py", line 9, in send
    raise
httpx.ReadTimeout

The above exception was the direct cause of the following exception:

Traceback (most recent call last):
  File "/home/me/shop/pets/cats.py", line 7, in draw
    ask()
  File "/opt/venv/lib/python3.11/site-packages/ytray/studio/providers/wire.py", line 88, in ask
    send()
  File "/opt/venv/lib/python3.11/site-packages/httpx/_client.py", line 12, in send
    raise
  File "/usr/lib/python3.11/socket.py", line 4, in connect
    raise
ProviderFailed: no"""
    assert frame_of(trace) == "studio/providers/wire.py:88 in ask"
    assert frame_of("\n".join(trace.splitlines()[:7])) == "httpx/_client.py:9 in send"
    assert frame_of("\n".join(trace.splitlines()[7:10])) == "pets/cats.py:7 in draw"
    assert frame_of("") == ""


def test_the_frame_of_a_real_error_of_ytray_is_below_its_package() -> None:
    with pytest.raises(PermanentError) as raised:
        price_of("a-model-without-a-price")
    trace = "".join(traceback.format_exception(raised.value))
    place, _, function = frame_of(trace).partition(" in ")
    assert place.startswith("spend/prices.py:")
    assert function == "price_of"


# ---------------------------------------------------------------------------------------------------- groups of them


def test_groups_are_the_largest_first_with_three_examples_and_their_first_and_last_time() -> None:
    errors = ["ValueError: rare"] * 2 + [f"ProviderFailed: model 'x{n}' answered 503" for n in range(1000)]
    found = group((failed(error, number) for number, error in enumerate(errors, start=1)), BATCH)
    assert [each.count for each in found] == [1000, 2]
    often = found[0]
    assert [example.number for example in often.examples] == [3, 4, 5]
    assert often.examples[0].error == errors[2]
    assert (often.first_at, often.last_at) == (AT + timedelta(seconds=3), AT + timedelta(seconds=1002))
    assert often.fingerprint == fingerprint(errors[700]).digest
    assert group([], BATCH) == []


RESUME = f"ytray batch resume {BATCH}"
EDIT = f"{RESUME} FILE"
KINDS = [
    ("OverBudget: over budget: image by m may cost $1, and of the $2 of user ann, this month $0 are left", False,
     "ytray budget set ann USD", "m"),
    (f"OverBudget: over budget: text by m-2 may cost $1, and of the $2 of flow {BATCH} $0 are left; nothing", False,
     f"ytray batch change {BATCH} --budget USD", "m-2"),
    ("OverBudget: over budget: text by m may cost $1, and of the $2 of flow i3f $0 are left", False, EDIT, "m"),
    ("Unpriced: there is no price for the model 'm': add it to the table", False, "YTRAY_PRICES", "m"),
    ("OutcomeUnknown: Vertex AI (veo-3.1) was sent a request and gave no answer", False, "ytray spend allow KEY",
     "vertex/veo-3.1"),
    ("PermanentError: blocked by Vertex AI's safety filter: the prompt (SAFETY)", False, EDIT, "vertex"),
    ("PermanentError: llama refused: I cannot", False, EDIT, "llama"),
    ("PermanentError: Vertex AI does not know the model 'veo-9' in 'global', or has retired it: change "
     "YTRAY_MODEL_VIDEO or YTRAY_VERTEX_LOCATION", False, "set YTRAY_MODEL_VIDEO", "vertex/veo-9"),
    ("PermanentError: llama at http://me:secret@gpu:8000/v1 answered 404: Not Found", False, "YTRAY_MODEL_",
     "gpu:8000/llama"),
    ("PermanentError: Vertex AI refuses the credentials for project 'p'", False, "YTRAY_VERTEX_TOKEN", "vertex"),
    ("PermanentError: llama at http://gpu:8000/v1 answered 401: who?", False, "credentials", "gpu:8000/llama"),
    ("HTTPStatusError: status code 429 of https://api.shop.example/v1", True, "--concurrency N", "api.shop.example"),
    ("ProviderFailed: Vertex AI (m) answered 503: later", True, RESUME, "vertex/m"),
    ("CircuitOpen: the circuit breaker of vertex/veo-video is open; next probe in 3 s", True, "ytray doctor",
     "vertex/veo-video"),
    ("PermanentError: the video did not pass the quality gate: Cuts: scene 3: the cut is late", False, "scene 3", None),
    ("PermanentError: no font that is installed can draw 字(U+5B57); install a font", False, "install", None),
    ("PermanentError: there is no artifact file:///a/b.png: it was removed", False, EDIT, None),
    ("TimeLimitExceeded: job i3f.a1 ran longer than its time limit of 30 s", True, "ytray logs i3f.a1", None),
    ("the worker died 3 times while it ran this job (last: gone)", True, "memory", None),
    ("InvalidArguments: render: width must be a number", False, EDIT, None),
    ("ValidationError: 1 validation error for Row", False, EDIT, None),
    ("JobCancelled: job i3f.a1 was cancelled", True, RESUME, None),
    ("PermanentError: this cat has no name", False, "--discard", None),
    ("ZeroDivisionError: division by zero", True, "used 5 retries", None),
    ("", True, RESUME, None),
]  # fmt: skip


@pytest.mark.parametrize(("error", "retryable", "does", "dependency"), KINDS)
def test_each_kind_of_error_says_what_to_do(error: str, retryable: bool, does: str, dependency: str | None) -> None:
    found = only(error, retries=5)
    assert found.retryable is retryable
    assert does in found.suggestion
    assert RESUME in found.suggestion or "--discard" in found.suggestion
    assert found.suggestion.endswith(".")
    assert found.dependency == dependency == dependency_of(error)
    assert "secret" not in (found.dependency or "")


def test_a_suggestion_names_the_step_that_failed_not_its_flow() -> None:
    step = JobFailed("i3f.step7", "TimeLimitExceeded: job i3f.step7 ran longer than its time limit of 30 s")
    [found] = group([failed(f"JobFailed: {step}", job_id="i3f")], BATCH)
    assert "`ytray logs i3f.step7`" in found.suggestion
    assert found.examples[0].job_id == "i3f"


def test_braces_in_an_error_do_no_harm() -> None:
    assert only("OverBudget: over budget: of user {batch}{0}, this month").suggestion.count("{batch}{0}") == 1
