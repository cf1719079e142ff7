"""Clips by Vertex AI: the long-running path of the Veo models, and background interactions of the Omni models."""

from __future__ import annotations

import base64
from pathlib import Path
from typing import TYPE_CHECKING, Any

from ytray.errors import PermanentError
from ytray.settings import settings
from ytray.spend.buying import Ended, Pending, operate
from ytray.spend.model import Bought, Call, ProviderBusy, ProviderFailed, Unheard
from ytray.spend.prices import Price, price_of
from ytray.studio.providers.assets import fetched, is_kept, keep
from ytray.studio.providers.vertex import ask

if TYPE_CHECKING:
    from google import genai
    from google.genai import types

# Of google.rpc.Code in an operation's error: deadline exceeded, resource exhausted, unavailable.
_MAY_PASS = frozenset({4, 8, 14})
_FAMILIES = "veo-… or gemini-omni-…"


class VertexVideo:
    """Films with the model of YTRAY_MODEL_VIDEO."""

    name = "vertex"

    def __init__(self, place: str = "") -> None:
        self._place = place

    def film(self, prompt: str, still: Path | None, seconds: int, size: tuple[int, int], into: Path) -> None:
        """Film a prompt, from a still where there is one. Raises RetryLater while the operation runs."""
        model = settings().model_video
        price = price_of(model)
        aspect = "16:9" if size[0] > size[1] else "9:16"  # all that these models offer
        picture = None if still is None else still.read_bytes()
        call = Call(
            provider=self.name,
            model=model,
            kind="video",
            parameters={
                "prompt": prompt,
                "still": None if picture is None else base64.b64encode(picture).decode(),
                "seconds": seconds,
                "aspect": aspect,
            },
            place=self._place,
            estimate_usd=price.of(seconds=seconds),
            about=prompt,
        )
        path = _path_of(model)(model, price, call, seconds, aspect)
        asset = operate(call, lambda: path.start(prompt, picture), path.look, is_there=is_kept)
        into.write_bytes(fetched(asset["uri"], into.parent).read_bytes())


class _Veo:
    """`predictLongRunning` and `fetchPredictOperation`."""

    def __init__(self, model: str, price: Price, call: Call, seconds: int, aspect: str) -> None:
        self._model, self._price, self._call = model, price, call
        self._seconds, self._aspect = seconds, aspect

    def start(self, prompt: str, picture: bytes | None) -> str:
        """Start it; returns the operation's name."""
        from google.genai import types

        image = None if picture is None else types.Image(image_bytes=picture, mime_type="image/jpeg")
        operation = ask(
            "model_video",
            lambda client: client.models.generate_videos(
                model=self._model,
                source=types.GenerateVideosSource(prompt=prompt, image=image),
                config=types.GenerateVideosConfig(
                    number_of_videos=1,
                    duration_seconds=self._seconds,
                    aspect_ratio=self._aspect,
                    resolution="1080p",
                    generate_audio=False,
                ),
            ),
            starts=True,
        )
        if not operation.name:
            raise Unheard(f"{self._model} accepted a request without naming its operation.")
        return operation.name

    def look(self, name: str) -> Bought | Pending | Ended:
        """What has become of the operation."""
        from google.genai import types

        asked = types.GenerateVideosOperation.model_validate({"name": name})
        operation = _looked(lambda client: client.operations.get(asked))
        if isinstance(operation, Pending):
            return operation
        if not operation.done:
            return Pending(settings().vertex_poll)
        if operation.error:
            return _operation_error(self._model, operation.error)
        answer = operation.response
        if answer is not None and answer.rai_media_filtered_count:
            reasons = "; ".join(answer.rai_media_filtered_reasons or ["no reason given"])
            return Ended(PermanentError(f"blocked by Vertex AI's safety filter: {reasons}"))
        videos = (answer.generated_videos if answer is not None else None) or []
        if not videos or videos[0].video is None:
            return Ended(ProviderFailed(f"{self._model} ended its operation without a video"))
        return Bought(
            {"uri": keep(_bytes_of(videos[0].video), self._call, "mp4")},
            self._price.of(seconds=self._seconds),
            {"seconds": self._seconds},
        )


class _Omni:
    """`interactions.create` in the background, and `interactions.get`."""

    def __init__(self, model: str, price: Price, call: Call, seconds: int, aspect: str) -> None:
        self._model, self._price, self._call = model, price, call
        self._seconds, self._aspect = seconds, aspect

    def start(self, prompt: str, picture: bytes | None) -> str:
        """Start it; returns the interaction's id."""
        given: list[Any] = [{"type": "text", "text": prompt}]
        if picture is not None:
            given.append({"type": "image", "data": base64.b64encode(picture).decode(), "mime_type": "image/jpeg"})

        def create(client: genai.Client) -> Any:
            return client.interactions.create(
                model=self._model,
                input=given,
                background=True,
                store=True,
                response_format={
                    "type": "video",
                    "aspect_ratio": self._aspect,
                    "duration": f"{self._seconds}s",
                    "delivery": "inline",
                },
            )

        interaction = ask("model_video", create, starts=True)
        if not interaction.id:
            raise Unheard(f"{self._model} accepted a request without naming its interaction.")
        return str(interaction.id)

    def look(self, name: str) -> Bought | Pending | Ended:
        """What has become of the interaction."""
        found: Any = _looked(lambda client: client.interactions.get(name))
        if isinstance(found, Pending):
            return found
        if found.status in ("in_progress", "queued"):
            return Pending(settings().vertex_poll)
        if found.status != "completed":
            told = "; ".join(str(error.message) for error in found.errors or []) or "no reason given"
            return Ended(PermanentError(f"{self._model} ended as {found.status}: {told}"))
        video = found.output_video
        if video is None or not (video.data or video.uri):
            return Ended(ProviderFailed(f"{self._model} ended without a video"))
        data = base64.b64decode(video.data) if video.data else _downloaded(video.uri)
        return Bought(
            {"uri": keep(data, self._call, "mp4")},
            self._price.of(seconds=self._seconds),
            {"seconds": self._seconds},
        )


def _path_of(model: str) -> type[_Veo] | type[_Omni]:
    if model.startswith("veo"):
        return _Veo
    if "omni" in model:
        return _Omni
    raise PermanentError(f"{model!r} is no model that films: set YTRAY_MODEL_VIDEO to a {_FAMILIES} model")


def _looked(send: Any) -> Any:
    """Ask for an operation. What goes wrong with the asking says nothing of the operation: it is asked again."""
    try:
        return ask("model_video", send)
    except ProviderBusy as busy:
        return Pending(busy.seconds)
    except (ProviderFailed, Unheard):
        return Pending(settings().vertex_poll)


def _operation_error(model: str, error: dict[str, Any]) -> Ended:
    code, message = error.get("code"), " ".join(str(error.get("message", "no reason given")).split())[:300]
    told = f"{model} ended its operation with an error (code {code}): {message}"
    return Ended(ProviderFailed(told) if code in _MAY_PASS else PermanentError(told))


def _bytes_of(video: types.Video) -> bytes:
    if video.video_bytes:
        return video.video_bytes
    if video.uri:
        return _downloaded(video.uri)
    raise ProviderFailed("Vertex AI ended an operation with a video that is neither in the answer nor in a bucket")


def _downloaded(uri: str) -> bytes:
    """A file from a Cloud Storage bucket, which is where Vertex AI puts videos when it was told to."""
    from google.cloud import storage  # type: ignore[attr-defined]

    from ytray.studio.providers.vertex import credentials

    client = storage.Client(project=settings().vertex_project, credentials=credentials())
    data: bytes = storage.Blob.from_uri(uri, client=client).download_as_bytes()
    return data
