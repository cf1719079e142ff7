"""Vertex AI's wire format: what a request asks for, why it would be refused, and the JSON that answers it."""

from __future__ import annotations

import base64
import json
import re
import time
import uuid
from dataclasses import dataclass
from datetime import UTC, datetime
from typing import Any

from tests.vertex import media
from tests.vertex.faults import Filtered, Kind, OperationError, Status
from tests.vertex.writing import Writer, topic_of

Json = dict[str, Any]

DURATIONS = frozenset({4, 6, 8})  # seconds that Veo 3.x makes
_MODEL = re.compile(r"/v1beta1/(projects/[^/]+/locations/[^/]+/publishers/google/models/([^/:]+)):(\w+)")
_INTERACTIONS = re.compile(r"/v1beta1/projects/[^/]+/locations/[^/]+/interactions(?:/([^/]+)(/cancel)?)?")
_JUDGE = re.compile(r"/v1/projects/[^/]+/locations/[^/]+:evaluateInstances")
_TOKEN = re.compile(r"Bearer \S+")
_STATUS_NAMES = {
    400: "INVALID_ARGUMENT",
    401: "UNAUTHENTICATED",
    403: "PERMISSION_DENIED",
    404: "NOT_FOUND",
    408: "DEADLINE_EXCEEDED",
    409: "ABORTED",
    429: "RESOURCE_EXHAUSTED",
    499: "CANCELLED",
    500: "INTERNAL",
    501: "UNIMPLEMENTED",
    502: "UNAVAILABLE",
    503: "UNAVAILABLE",
    504: "DEADLINE_EXCEEDED",
}
_IMAGE_TOKENS = 1290
_SPEECH_TOKENS = 25  # a second
_VIDEO_TOKENS = 258  # a second
_LETTERS_PER_TOKEN = 4


@dataclass(frozen=True)
class Call:
    """A request as it was received."""

    kind: Kind
    model: str  # empty where the request names none
    body: Json
    authorization: str  # the whole header, empty when it was not sent
    at: float  # time.monotonic() in seconds
    name: str = ""  # of the model, operation or interaction that its path or body names, in full


@dataclass
class Work:
    """A video in the making."""

    model: str
    seconds: float
    aspect: str
    count: int
    ending: Filtered | OperationError | None
    polls: int = 0
    cancelled: bool = False


def call_of(method: str, target: str, body: Json, authorization: str) -> Call:
    """What a request to this path asks for, received now."""
    kind, model, name = _asked(method, target.partition("?")[0], body)
    return Call(kind, model, body, authorization, time.monotonic(), name)


def refusal(call: Call) -> Status | None:
    """Why Vertex would refuse the request as it stands; None when it would not."""
    config = call.body.get("generationConfig", {})
    if not _TOKEN.fullmatch(call.authorization):
        return Status(401, None, "Request is missing required authentication credential.")
    match call.kind:
        case "other":
            return Status(404, None, "There is no such method.")
        case "video" if _video_asked(call).seconds not in DURATIONS:
            return Status(400, None, f"durationSeconds must be one of {sorted(DURATIONS)}.")
        case "video" | "interaction" if _video_asked(call).aspect not in media.CLIP_SIZES:
            return Status(400, None, f"The aspect ratio must be one of {list(media.CLIP_SIZES)}.")
        case "image" if _image_aspect(config) not in media.IMAGE_SIZES:
            return Status(400, None, f"aspectRatio must be one of {list(media.IMAGE_SIZES)}.")
        case "text" if _schema_of(config) and config.get("responseMimeType") != "application/json":
            return Status(400, None, "A response schema needs the response MIME type application/json.")
        case "judge" if "coherenceInput" not in call.body:
            return Status(400, None, "This server judges coherence only.")
        case _:
            return None


def error(fault: Status) -> Json:
    """Google's error JSON."""
    name = _STATUS_NAMES.get(fault.code, "UNKNOWN")
    return {"error": {"code": fault.code, "message": fault.message, "status": name}}


def blocked(call: Call, reason: str) -> Json:
    """The answer to a prompt that is refused."""
    return {
        "promptFeedback": {"blockReason": reason, "blockReasonMessage": "The prompt was blocked."},
        "usageMetadata": _usage(call, 0),
        "modelVersion": call.model,
    }


def finished(call: Call, reason: str) -> Json:
    """The answer of a model that stopped without content."""
    return {
        "candidates": [{"index": 0, "finishReason": reason}],
        "usageMetadata": _usage(call, 0),
        "modelVersion": call.model,
    }


def text(call: Call, items: int) -> Json:
    """The answer of a text model: JSON where a schema was sent, else a sentence."""
    schema = _schema_of(call.body.get("generationConfig", {}))
    words = _written(_prompt(call), schema, items)
    return _generated(call, {"text": words}, len(words) // _LETTERS_PER_TOKEN, "TEXT")


def image(call: Call) -> Json:
    """The answer of an image model."""
    png = media.picture(_prompt(call), _image_aspect(call.body["generationConfig"]))
    return _generated(call, _inline(png, "image/png"), _IMAGE_TOKENS, "IMAGE")


def speech(call: Call, as_wav: bool) -> Json:
    """The answer of a speech model: raw samples, or a WAV file."""
    config = call.body["generationConfig"].get("speechConfig", {})
    samples = media.speech(_prompt(call), config.get("languageCode", "en")[:2])
    seconds = len(samples) / 2 / media.SPEECH_RATE
    raw = _inline(samples, f"audio/L16;codec=pcm;rate={media.SPEECH_RATE}")
    part = _inline(media.in_wav(samples), "audio/wav") if as_wav else raw
    return _generated(call, part, round(_SPEECH_TOKENS * seconds), "AUDIO")


def judged() -> Json:
    """The answer of the judge."""
    return {"coherenceResult": {"score": 4.0, "explanation": "Each sentence follows from the last.", "confidence": 0.9}}


def chatted(call: Call, items: int) -> Json:
    """The answer of an OpenAI-compatible chat model."""
    schema = call.body.get("response_format", {}).get("json_schema", {}).get("schema", {})
    words = _written(_prompt(call), schema, items)
    asked, said = _tokens(_strings(call.body.get("messages", []))), _tokens(words)
    return {
        "id": f"chatcmpl-{uuid.uuid4().hex}",
        "object": "chat.completion",
        "created": int(time.time()),
        "model": call.model,
        "choices": [{"index": 0, "message": {"role": "assistant", "content": words}, "finish_reason": "stop"}],
        "usage": {"prompt_tokens": asked, "completion_tokens": said, "total_tokens": asked + said},
    }


def work_of(call: Call, ending: Filtered | OperationError | None) -> Work:
    """The work that a video's or an interaction's start asks for, and how it is to end."""
    work = _video_asked(call)
    work.ending = ending
    return work


def operation(name: str, work: Work, done: bool, in_bucket: bool) -> Json:
    """The state of a video's operation."""
    if not done:
        return {"name": name, "done": False}
    if isinstance(work.ending, OperationError):
        return {"name": name, "done": True, "error": {"code": work.ending.code, "message": work.ending.message}}
    if isinstance(work.ending, Filtered):
        told: Json = {"raiMediaFilteredCount": 1, "raiMediaFilteredReasons": list(work.ending.reasons)}
    else:
        where = {"gcsUri": "gs://bucket/x.mp4"} if in_bucket else {"bytesBase64Encoded": _clip(work)}
        told = {"raiMediaFilteredCount": 0, "videos": [{**where, "mimeType": "video/mp4"}] * work.count}
    kind = "type.googleapis.com/cloud.ai.large_models.vision.GenerateVideoResponse"
    return {"name": name, "done": True, "response": {"@type": kind, **told}}


def interaction(name: str, work: Work, done: bool, in_bucket: bool) -> Json:
    """The state of an interaction."""
    now = datetime.now(UTC).strftime("%Y-%m-%dT%H:%M:%SZ")
    told: Json = {"id": name, "object": "interaction", "model": work.model, "created": now, "updated": now}
    if work.cancelled:
        return {**told, "status": "cancelled"}
    if not done:
        return {**told, "status": "in_progress"}
    if isinstance(work.ending, OperationError):
        return {**told, "status": "failed", "errors": [{"code": str(work.ending.code), "message": work.ending.message}]}
    where = {"uri": "gs://bucket/x.mp4"} if in_bucket else {"data": _clip(work)}
    content = {"type": "video", "mime_type": "video/mp4", **where}
    tokens = round(_VIDEO_TOKENS * work.seconds)
    usage = {"total_output_tokens": tokens, "output_tokens_by_modality": [{"modality": "video", "tokens": tokens}]}
    return {**told, "status": "completed", "steps": [{"type": "model_output", "content": [content]}], "usage": usage}


def _asked(method: str, path: str, body: Json) -> tuple[Kind, str, str]:
    """The kind of request, its model, and the name of the model, operation or interaction that it asks for."""
    if found := _INTERACTIONS.fullmatch(path):
        name, cancel = found.group(1) or "", bool(found.group(2))
        kinds: dict[tuple[str, bool, bool], Kind] = {
            ("POST", False, False): "interaction",
            ("GET", True, False): "interaction_poll",
            ("POST", True, True): "interaction_cancel",
        }
        return kinds.get((method, bool(name), cancel), "other"), str(body.get("model", "")), name
    if method != "POST":
        return "other", "", ""
    if path == "/v1/chat/completions":
        return "chat", str(body.get("model", "")), ""
    if _JUDGE.fullmatch(path):
        return "judge", "", ""
    if not (found := _MODEL.fullmatch(path)):
        return "other", "", ""
    resource, model, does = found.groups()
    match does:
        case "generateContent":
            modalities = body.get("generationConfig", {}).get("responseModalities", [])
            return "image" if "IMAGE" in modalities else "speech" if "AUDIO" in modalities else "text", model, resource
        case "predictLongRunning":
            return "video", model, resource
        case "fetchPredictOperation":
            return "poll", model, str(body.get("operationName", ""))
        case _:
            return "other", model, resource


def _video_asked(call: Call) -> Work:
    if call.kind == "video":
        wanted = call.body.get("parameters", {})
        seconds, aspect = float(wanted.get("durationSeconds", 8)), wanted.get("aspectRatio", "16:9")
        return Work(call.model, seconds, aspect, int(wanted.get("sampleCount", 1)), None)
    wanted = call.body.get("response_format") or {}
    wanted = wanted[0] if isinstance(wanted, list) else wanted
    seconds = float(str(wanted.get("duration", "8s")).removesuffix("s"))
    return Work(call.model, seconds, wanted.get("aspect_ratio", "16:9"), 1, None)


def _image_aspect(config: Json) -> str:
    return str(config.get("imageConfig", {}).get("aspectRatio", "1:1"))


def _schema_of(config: Json) -> Json:
    schema: Json = config.get("responseSchema") or config.get("responseJsonSchema") or {}
    return schema


def _prompt(call: Call) -> str:
    """What the user said last."""
    said = call.body.get("contents") or call.body.get("messages") or [""]
    return _strings(said[-1].get("parts") or said[-1].get("content") if isinstance(said[-1], dict) else said[-1])


def _strings(value: Any) -> str:
    """All that is said in messages or parts, a line each; what merely labels them is left out."""
    if isinstance(value, str):
        return value
    if isinstance(value, list):
        return "\n".join(filter(None, map(_strings, value)))
    if isinstance(value, dict):
        return _strings([inner for key, inner in value.items() if key in ("parts", "content", "text")])
    return ""


def _written(prompt: str, schema: Json, items: int) -> str:
    writer = Writer(topic_of(prompt), items)
    return json.dumps(writer.fill(schema)) if schema else str(writer.fill({"type": "string"}))


def _tokens(words: str) -> int:
    return max(1, len(words) // _LETTERS_PER_TOKEN)


def _inline(data: bytes, mime: str) -> Json:
    return {"inlineData": {"mimeType": mime, "data": base64.b64encode(data).decode()}}


def _clip(work: Work) -> str:
    return base64.b64encode(media.clip(work.seconds, work.aspect)).decode()


def _usage(call: Call, answered: int) -> Json:
    asked = _tokens(_strings([call.body.get("systemInstruction", {}), call.body.get("contents", [])]))
    told: Json = {"promptTokenCount": asked, "totalTokenCount": asked + answered, "trafficType": "ON_DEMAND"}
    told["promptTokensDetails"] = [{"modality": "TEXT", "tokenCount": asked}]
    return {**told, "candidatesTokenCount": answered} if answered else told


def _generated(call: Call, part: Json, tokens: int, modality: str) -> Json:
    tokens = max(1, tokens)
    details = {"candidatesTokensDetails": [{"modality": modality, "tokenCount": tokens}]}
    return {
        "candidates": [{"index": 0, "content": {"role": "model", "parts": [part]}, "finishReason": "STOP"}],
        "usageMetadata": {**_usage(call, tokens), **details},
        "modelVersion": call.model,
        "responseId": uuid.uuid4().hex,
    }
