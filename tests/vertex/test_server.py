"""The test server for Vertex AI is understood by Google's own client, and misbehaves as ordered."""

from __future__ import annotations

import base64
import io
import json
import threading
import time
import wave
from collections.abc import Iterator
from concurrent.futures import ThreadPoolExecutor
from typing import Annotated, Any, Literal

import httpx
import imageio_ffmpeg
import pytest
from google import genai
from google.genai import errors, types
from google.oauth2.credentials import Credentials
from openai import OpenAI
from PIL import Image
from pydantic import BaseModel, Field

from tests.vertex import faults
from tests.vertex.faults import Kind
from tests.vertex.server import VertexServer

MODEL = "gemini-3.8-flash"
VEO = "veo-3.1-fast-generate-001"
OMNI = "gemini-omni-1.1-flash"
TOKEN = Credentials("tok")  # type: ignore[no-untyped-call]


class Scene(BaseModel):
    narration: str
    subject: str
    mood: Literal["calm", "tense"]
    weight: Annotated[float, Field(ge=0, le=0.5)]


class Script(BaseModel):
    title: str
    score: Annotated[float, Field(ge=0, le=1)]
    scenes: Annotated[list[Scene], Field(min_length=2)]
    tags: Annotated[list[str], Field(max_length=3)]


@pytest.fixture
def vertex() -> Iterator[VertexServer]:
    with VertexServer() as server:
        yield server


@pytest.fixture
def client(vertex: VertexServer) -> genai.Client:
    return client_of(vertex)


def client_of(vertex: VertexServer, **options: Any) -> genai.Client:
    return genai.Client(
        enterprise=True,
        project="p",
        location="global",
        credentials=TOKEN,
        http_options=types.HttpOptions(base_url=vertex.url, **options),
    )


def ask(client: genai.Client, prompt: str = "Why do cats purr?", **config: Any) -> types.GenerateContentResponse:
    return client.models.generate_content(
        model=MODEL, contents=prompt, config=types.GenerateContentConfig(**config) if config else None
    )


def begin(client: genai.Client) -> str:
    config = types.GenerateVideosConfig(number_of_videos=1, duration_seconds=4, aspect_ratio="9:16")
    source = types.GenerateVideosSource(prompt="a cat")
    return client.models.generate_videos(model=VEO, source=source, config=config).name or ""


def look(client: genai.Client, name: str) -> types.GenerateVideosOperation:
    # The fields come from a plain class, which pydantic's plugin for mypy does not see.
    return client.operations.get(types.GenerateVideosOperation(name=name))  # type: ignore[call-arg]


def interact(client: genai.Client) -> Any:
    wanted: Any = {"type": "video", "aspect_ratio": "16:9", "duration": "4s"}
    return client.interactions.create(model=OMNI, input="a cat", background=True, response_format=wanted)


def blob(answer: types.GenerateContentResponse) -> types.Blob:
    assert answer.parts
    assert answer.parts[0].inline_data
    return answer.parts[0].inline_data


def test_text_fits_the_schema_that_was_sent(vertex: VertexServer, client: genai.Client) -> None:
    json_type = "application/json"
    for schema in ({"response_schema": Script}, {"response_json_schema": Script.model_json_schema()}):
        answer = ask(client, response_mime_type=json_type, **schema)
        script = Script.model_validate_json(answer.text or "")
        assert script.title == "Why cats purr"
        assert script.score == 0.8
        assert (len(script.scenes), len(script.tags)) == (5, 3)
        assert len({scene.narration for scene in script.scenes}) == 5
        assert all(15 <= len(scene.narration.split()) <= 25 for scene in script.scenes)
        assert all("cats purr" in scene.narration for scene in script.scenes)
    assert isinstance(ask(client, response_mime_type=json_type, response_schema=Script).parsed, Script)
    usage = answer.usage_metadata
    assert usage
    assert usage.prompt_token_count == 4
    assert usage.candidates_token_count == len(answer.text or "") // 4
    vertex.scenes = 1
    least = ask(client, response_mime_type=json_type, response_schema=Script)
    assert len(Script.model_validate_json(least.text or "").scenes) == 2
    assert vertex.bill == [("text", MODEL)] * 4
    assert vertex.calls[0].authorization == "Bearer tok"


def test_text_without_a_schema_is_a_sentence(client: genai.Client) -> None:
    assert "cats purr" in (ask(client).text or "")
    assert "cats purr" in (ask(client, "Write a hook for this prompt:\nWhy do cats purr?\n\nBe brief.").text or "")


def test_a_picture_opens_in_the_size_asked(vertex: VertexServer, client: genai.Client) -> None:
    wanted: dict[str, Any] = {"response_modalities": ["IMAGE"], "image_config": types.ImageConfig(aspect_ratio="9:16")}
    cat, again, dog = (blob(ask(client, prompt, **wanted)) for prompt in ("a cat", "a cat", "a dog"))
    assert cat.mime_type == "image/png"
    assert Image.open(io.BytesIO(cat.data or b"")).size == (768, 1344)
    assert cat.data == again.data != dog.data
    assert vertex.billed("image") == vertex.billed() == 3


def test_speech_comes_as_samples_or_as_wav(vertex: VertexServer, client: genai.Client) -> None:
    answer = ask(client, "Cats purr when they are calm.", response_modalities=["AUDIO"])
    raw = blob(answer)
    assert raw.mime_type == "audio/L16;codec=pcm;rate=24000"
    seconds = len(raw.data or b"") / 2 / 24_000
    assert 1 < seconds < 4
    usage = answer.usage_metadata
    assert usage
    assert usage.candidates_tokens_details
    assert usage.candidates_tokens_details[0].token_count == usage.candidates_token_count == round(25 * seconds)
    assert usage.candidates_tokens_details[0].modality == types.MediaModality.AUDIO
    vertex.speech_as = "wav"
    wav = blob(ask(client, "Cats purr when they are calm.", response_modalities=["AUDIO"]))
    assert wav.mime_type == "audio/wav"
    with wave.open(io.BytesIO(wav.data or b"")) as file:
        assert file.readframes(file.getnframes()) == raw.data
    assert vertex.billed("speech") == 2


def test_a_video_is_polled_by_its_name_alone(vertex: VertexServer, client: genai.Client, tmp_path: Any) -> None:
    name = begin(client)
    assert name.startswith(f"projects/p/locations/global/publishers/google/models/{VEO}/operations/")
    assert not look(client, name).done
    done = look(client_of(vertex), name)
    assert done.done
    assert done.response
    assert done.response.rai_media_filtered_count == 0
    assert done.response.generated_videos
    video = done.response.generated_videos[0].video
    assert video
    assert video.mime_type == "video/mp4"
    path = tmp_path / "clip.mp4"
    path.write_bytes(video.video_bytes or b"")
    assert imageio_ffmpeg.count_frames_and_secs(str(path)) == (96, 4.0)
    assert next(imageio_ffmpeg.read_frames(str(path)))["size"] == (270, 480)
    assert vertex.bill == [("video", VEO)]
    assert [(call.kind, call.model) for call in vertex.calls[1:]] == [("poll", VEO)] * 2


def test_a_video_may_lie_in_a_bucket(vertex: VertexServer, client: genai.Client) -> None:
    vertex.video_as, vertex.polls_needed = "gcs", 0
    done = look(client, begin(client)).response
    assert done
    assert done.generated_videos
    assert done.generated_videos[0].video
    assert done.generated_videos[0].video.uri == "gs://bucket/x.mp4"


def test_a_video_that_ends_badly_is_billed_all_the_same(vertex: VertexServer, client: genai.Client) -> None:
    vertex.polls_needed = 0
    vertex.script("video", faults.filtered(["people"]), faults.operation_error(8, "no room"))
    withheld, failed = look(client, begin(client)), look(client, begin(client))
    assert withheld.response
    assert withheld.response.rai_media_filtered_count == 1
    assert withheld.response.rai_media_filtered_reasons == ["people"]
    assert not withheld.response.generated_videos
    assert failed.error == {"code": 8, "message": "no room"}
    assert vertex.billed("video") == 2


def test_an_interaction_is_polled_by_its_id(vertex: VertexServer, client: genai.Client) -> None:
    begun = interact(client)
    assert begun.status == "in_progress"
    assert client.interactions.get(begun.id).status == "in_progress"
    done = client.interactions.get(begun.id)
    assert done.status == "completed"
    assert done.output_video
    assert done.output_video.mime_type == "video/mp4"
    assert base64.b64decode(done.output_video.data or "")[4:8] == b"ftyp"
    assert vertex.bill == [("interaction", OMNI)]
    assert [call.model for call in vertex.calls] == [OMNI] * 3


def test_an_interaction_is_cancelled_or_fails(vertex: VertexServer, client: genai.Client) -> None:
    begun = interact(client)
    assert client.interactions.cancel(begun.id).status == "cancelled"
    assert client.interactions.get(begun.id).status == "cancelled"
    vertex.polls_needed = 0
    vertex.script("interaction", faults.operation_error(13, "broken"))
    failed = client.interactions.get(interact(client).id)
    assert failed.status == "failed"
    assert failed.errors
    assert failed.errors[0].message == "broken"


def test_the_judge_scores(vertex: VertexServer) -> None:
    # Imported here, as it takes seconds that the other tests need not wait for.
    from google.api_core.client_options import ClientOptions
    from google.cloud import aiplatform_v1

    service = aiplatform_v1.EvaluationServiceClient(
        credentials=TOKEN, transport="rest", client_options=ClientOptions(api_endpoint=vertex.url)
    )
    asked = aiplatform_v1.CoherenceInput(instance=aiplatform_v1.CoherenceInstance(prediction="Cats purr."))
    request = aiplatform_v1.EvaluateInstancesRequest(location="projects/p/locations/l", coherence_input=asked)
    assert service.evaluate_instances(request).coherence_result.score == 4.0
    assert vertex.bill == [("judge", "")]


def test_a_chat_model_fits_the_schema(vertex: VertexServer) -> None:
    chat = OpenAI(base_url=f"{vertex.url}/v1", api_key="key", max_retries=0).chat.completions
    form: Any = {"type": "json_schema", "json_schema": {"name": "script", "schema": Script.model_json_schema()}}
    told: Any = [{"role": "system", "content": "Be brief."}, {"role": "user", "content": "Why do cats purr?"}]
    answer = chat.create(model="local", messages=told, response_format=form)
    assert Script.model_validate_json(answer.choices[0].message.content or "").title == "Why cats purr"
    assert answer.usage
    assert answer.usage.total_tokens == answer.usage.prompt_tokens + answer.usage.completion_tokens
    assert vertex.bill == [("chat", "local")]


def test_what_vertex_refuses_is_refused_unbilled(vertex: VertexServer, client: genai.Client) -> None:
    vertex.unknown_models.add(MODEL)
    with pytest.raises(errors.ClientError) as refused:
        ask(client)
    assert (refused.value.code, refused.value.status) == (404, "NOT_FOUND")
    with pytest.raises(errors.ClientError, match="durationSeconds"):
        client.models.generate_videos(
            model=VEO,
            source=types.GenerateVideosSource(prompt="a cat"),
            config=types.GenerateVideosConfig(duration_seconds=5),
        )
    with pytest.raises(errors.ClientError, match="was not found"):
        look(client, f"projects/p/locations/global/publishers/google/models/{VEO}/operations/none")
    for headers in ({}, {"Authorization": "Bearer"}, {"Authorization": "Basic x"}):
        assert httpx.post(f"{vertex.url}/v1/chat/completions", json={}, headers=headers).status_code == 401
    assert vertex.billed() == 0
    assert [call.kind for call in vertex.calls] == ["text", "video", "poll", *["chat"] * 3]


def test_an_http_error_tells_when_to_come_back(vertex: VertexServer, client: genai.Client) -> None:
    vertex.script("text", faults.status(429, retry_after=2, message="slow down"), faults.status(503))
    with pytest.raises(errors.ClientError) as limited:
        ask(client)
    assert (limited.value.code, limited.value.status, limited.value.message) == (429, "RESOURCE_EXHAUSTED", "slow down")
    assert limited.value.response.headers["Retry-After"] == "2"
    with pytest.raises(errors.ServerError):
        ask(client)
    assert vertex.billed() == 0
    assert ask(client).text


@pytest.mark.parametrize(
    ("fault", "raised", "billed"),
    [
        (faults.drop_before_reply(), httpx.RemoteProtocolError, 1),
        (faults.drop_before_billing(), httpx.RemoteProtocolError, 0),
        (faults.drop_before_reply(reset=True), httpx.ReadError, 1),
        (faults.drop_in_body(), httpx.RemoteProtocolError, 1),
    ],
)
def test_a_connection_drops(
    vertex: VertexServer,
    client: genai.Client,
    fault: faults.Fault,
    raised: type[Exception],
    billed: int,
    capfd: pytest.CaptureFixture[str],
) -> None:
    vertex.script("text", fault)
    with pytest.raises(raised):
        ask(client)
    assert vertex.billed() == billed
    assert ask(client).text
    assert capfd.readouterr().err == ""


def test_content_that_is_not_given(vertex: VertexServer, client: genai.Client) -> None:
    vertex.script("text", faults.blocked("PROHIBITED_CONTENT"), faults.finished("SAFETY"))
    refused, stopped = ask(client), ask(client)
    assert refused.prompt_feedback
    assert refused.prompt_feedback.block_reason == types.BlockedReason.PROHIBITED_CONTENT
    assert stopped.candidates
    assert stopped.candidates[0].finish_reason == types.FinishReason.SAFETY
    assert stopped.text is None
    assert vertex.billed() == 0


def test_held_requests_wait_for_the_release(vertex: VertexServer, client: genai.Client) -> None:
    vertex.script("text", faults.hold(), faults.hold(), faults.hold())
    with ThreadPoolExecutor(3) as pool:
        early = [pool.submit(ask, client) for _ in range(2)]
        vertex.wait_for("text", 2, 60)
        vertex.release()
        assert all(one.result(60).text for one in early)
        late = pool.submit(ask, client)
        vertex.wait_for("text", 3, 60)
        assert not late.done()
        assert vertex.billed("text") == 3
        vertex.release()
        assert late.result(60).text
    with pytest.raises(AssertionError, match="3 instead of 4"):
        vertex.wait_for("text", 4, 0.01)


def test_a_slow_answer_outlasts_the_clients_patience(vertex: VertexServer, client: genai.Client) -> None:
    vertex.script("text", faults.slow(0.2), faults.slow(60))
    began = time.monotonic()
    assert ask(client).text
    assert time.monotonic() - began >= 0.2
    with pytest.raises(httpx.ReadTimeout):
        ask(client_of(vertex, timeout=200))
    assert vertex.billed("text") == 2


def test_the_end_drops_who_waits_and_refuses_who_comes() -> None:
    others = {thread for thread in threading.enumerate() if thread.name == "vertex"}
    with VertexServer() as vertex, ThreadPoolExecutor(1) as pool:
        client = client_of(vertex)
        vertex.script("text", faults.hold())
        waiting = pool.submit(ask, client)
        vertex.wait_for("text", 1, 60)
        vertex.stop()
        with pytest.raises(httpx.HTTPError):
            waiting.result(60)
        with pytest.raises(httpx.ConnectError):
            ask(client)
    assert {thread for thread in threading.enumerate() if thread.name == "vertex"} == others


@pytest.mark.parametrize(
    ("kind", "fault"),
    [
        ("poll", faults.filtered(["people"])),
        ("chat", faults.blocked()),
        ("image", faults.operation_error(4)),
        ("other", faults.hold()),
    ],
)
def test_a_fault_must_suit_the_request(vertex: VertexServer, kind: Kind, fault: faults.Fault) -> None:
    with pytest.raises(ValueError, match="cannot meet"):
        vertex.script(kind, fault)


def test_a_fault_must_make_sense() -> None:
    for wrong in (
        lambda: faults.status(200),
        lambda: faults.status(429, retry_after=-1),
        lambda: faults.slow(0),
        lambda: faults.blocked("STOP"),
        lambda: faults.finished("STOP"),
        lambda: faults.operation_error(429),
        lambda: faults.filtered([]),
    ):
        with pytest.raises(ValueError):  # noqa: PT011  # each says its own
            wrong()


def test_an_error_is_googles_json(vertex: VertexServer) -> None:
    told = httpx.get(f"{vertex.url}/elsewhere", headers={"Authorization": "Bearer x"})
    assert json.loads(told.text)["error"] == {"code": 404, "message": "There is no such method.", "status": "NOT_FOUND"}
