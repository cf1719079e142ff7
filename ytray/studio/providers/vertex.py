"""Vertex AI: its client, its safety blocks, and text, speech and pictures by `generate_content`."""

from __future__ import annotations

import re
import wave
from collections.abc import Callable
from contextlib import suppress
from functools import cache
from pathlib import Path
from typing import TYPE_CHECKING, TypeVar

from pydantic import ValidationError

from ytray.errors import PermanentError
from ytray.settings import settings
from ytray.spend.buying import Asset, buy
from ytray.spend.model import Bought, Call, ProviderFailed
from ytray.spend.prices import price_of
from ytray.studio.markup import plain_text
from ytray.studio.model import Scene
from ytray.studio.providers.align import align
from ytray.studio.providers.assets import fetched, is_kept, keep
from ytray.studio.providers.picture_files import fitted
from ytray.studio.providers.protocols import Spoken
from ytray.studio.providers.wire import one_request, status_of
from ytray.studio.providers.writing import A, Writer
from ytray.studio.words import check_script, words_of

if TYPE_CHECKING:
    from google import genai
    from google.auth.credentials import Credentials
    from google.genai import types

T = TypeVar("T")

_CHARACTERS_A_TOKEN = 2.5  # fewer than in English text (about 4), so that an estimate is not too low
AUDIO_TOKENS_A_SECOND = 25  # of Gemini's speech models, by Google's documentation of token counts
_SLOWEST_SPEECH = 7.0  # characters a second, for the most that a narration may cost
_SCOPES = ("https://www.googleapis.com/auth/cloud-platform",)
_HARMS = ("HATE_SPEECH", "DANGEROUS_CONTENT", "HARASSMENT", "SEXUALLY_EXPLICIT")
_BLOCKS = frozenset(
    "SAFETY PROHIBITED_CONTENT BLOCKLIST SPII RECITATION IMAGE_SAFETY IMAGE_PROHIBITED_CONTENT IMAGE_RECITATION".split()
)
_CALMS = {"calm": "quiet, soft light", "bright": "bright daylight", "warm": "warm evening light"}
_MOODS = {**_CALMS, "dark": "dramatic low light", "wild": "vivid colours, movement"}


def ask(setting: str, send: Callable[[genai.Client], T], *, starts: bool = False) -> T:
    """Make one request of Vertex AI.

    Args:
        setting: the field of the settings that names the model.
        send: makes the request with the client it is given.
        starts: whether the request starts a long-running operation.

    Raises PermanentError, ProviderBusy, ProviderFailed, Unheard.
    """
    from google import genai
    from google.genai import types

    project, model = settings().vertex_project, getattr(settings(), setting)
    if not project:
        raise PermanentError("YTRAY_VERTEX_PROJECT names no Google Cloud project: set it to the one that pays")
    allowed = credentials()
    with one_request(f"Vertex AI ({model})", starts=starts) as (http, transport):
        client = genai.Client(
            enterprise=True,
            project=project,
            location=settings().vertex_location,
            credentials=allowed,
            http_options=types.HttpOptions(
                base_url=settings().vertex_base_url,
                timeout=round(settings().vertex_timeout * 1000),
                httpx_client=http,
                # One try, and no status that is tried again: `interactions` would sleep and repeat on its own.
                retry_options=types.HttpRetryOptions(attempts=1, http_status_codes=[418]),
            ),
        )
        try:
            return send(client)
        except Exception as error:
            match status_of(transport):
                case 404:
                    raise PermanentError(
                        f"Vertex AI does not know the model {model!r} in {settings().vertex_location!r}, or has "
                        f"retired it: change YTRAY_{setting.upper()} or YTRAY_VERTEX_LOCATION"
                    ) from error
                case 401 | 403:
                    raise PermanentError(
                        f"Vertex AI refuses the credentials for project {project!r}: check YTRAY_VERTEX_TOKEN, or "
                        "Application Default Credentials and the role Vertex AI User"
                    ) from error
            raise


@cache
def _credentials_of(token: str | None) -> Credentials:
    if token is not None:
        from google.oauth2 import credentials

        return credentials.Credentials(token)  # type: ignore[no-untyped-call]
    import google.auth
    from google.auth.exceptions import DefaultCredentialsError

    try:
        found: Credentials = google.auth.default(scopes=_SCOPES)[0]
    except DefaultCredentialsError:
        raise PermanentError(
            "there are no Google credentials here: run `gcloud auth application-default login`, set "
            "GOOGLE_APPLICATION_CREDENTIALS, or set YTRAY_VERTEX_TOKEN"
        ) from None
    return found


def credentials() -> Credentials:
    """Those of YTRAY_VERTEX_TOKEN, else Application Default Credentials. Raises PermanentError when there are none."""
    token = settings().vertex_token
    return _credentials_of(None if token is None else token.get_secret_value())


def answer_of(response: types.GenerateContentResponse) -> types.Candidate:
    """The first candidate of an answer. Raises PermanentError when a safety filter blocked it."""
    feedback = response.prompt_feedback
    if feedback is not None and feedback.block_reason is not None:
        raise PermanentError(f"blocked by Vertex AI's safety filter: the prompt ({feedback.block_reason.value})")
    if not response.candidates:
        raise PermanentError("Vertex AI answered without a candidate and without a reason")
    candidate = response.candidates[0]
    reason = candidate.finish_reason.value if candidate.finish_reason is not None else ""
    if reason in _BLOCKS:
        flagged = [r.category.value for r in candidate.safety_ratings or [] if r.blocked and r.category is not None]
        told = f" ({', '.join(flagged)})" if flagged else ""
        raise PermanentError(f"blocked by Vertex AI's safety filter: {reason}{told}")
    return candidate


def _safety() -> list[types.SafetySetting]:
    from google.genai import types

    threshold = types.HarmBlockThreshold(settings().vertex_safety)
    return [
        types.SafetySetting(category=types.HarmCategory(f"HARM_CATEGORY_{harm}"), threshold=threshold)
        for harm in _HARMS
    ]


def _inline(candidate: types.Candidate) -> tuple[bytes, str] | None:
    """The first file in an answer: its bytes and MIME type."""
    parts = (candidate.content.parts if candidate.content is not None else None) or []
    for part in parts:
        if part.inline_data is not None and part.inline_data.data:
            return part.inline_data.data, part.inline_data.mime_type or ""
    return None


def _unusable(reason: str) -> Asset:
    """The asset of a call that was billed and brought nothing that can be used: it is bought again."""
    return {"unusable": reason}


def tokens_of(text: str) -> int:
    """About how many tokens a text has, rather too many."""
    return round(len(text) / _CHARACTERS_A_TOKEN) + 50


class VertexText(Writer):
    """Writes with a Gemini model, into a response schema."""

    name = "vertex"

    def __init__(self, place: str = "") -> None:
        self._place = place

    def label(self) -> str:
        """The model, as people know it."""
        return settings().model_text

    def ask(self, prompt: str, answer: type[A], most_tokens: int, place: str) -> A:
        """The model's answer to a prompt, read into `answer`."""
        model = settings().model_text
        price = price_of(model)
        call = Call(
            provider=self.name,
            model=model,
            kind="text",
            parameters={"prompt": prompt, "schema": answer.model_json_schema(), "most_tokens": most_tokens},
            place=f"{self._place}{place}",
            estimate_usd=price.of(input_tokens=2 * tokens_of(prompt), output_tokens=most_tokens),
            tokens=tokens_of(prompt) + most_tokens,
            about=place,
        )

        def send() -> Bought:
            from google.genai import types

            response = ask(
                "model_text",
                lambda client: client.models.generate_content(
                    model=model,
                    contents=prompt,
                    config=types.GenerateContentConfig(
                        response_mime_type="application/json",
                        response_schema=answer,
                        max_output_tokens=most_tokens,
                        safety_settings=_safety(),
                    ),
                ),
            )
            answer_of(response)
            units = _units(response)
            usd = price.of(input_tokens=units["input_tokens"], output_tokens=units["output_tokens"])
            try:
                return Bought({"answer": answer.model_validate_json(response.text or "").model_dump()}, usd, units)
            except ValidationError as wrong:
                reason = f"{wrong.error_count()} errors, first: {wrong.errors(include_input=False)[0]['msg']}"
                return Bought(_unusable(f"its answer does not fit the schema: {reason}"), usd, units)

        bought = usable(buy(call, send, is_there=is_kept), model)
        return answer.model_validate(bought["answer"])


def usable(asset: Asset, model: str) -> Asset:
    """The asset. Raises ProviderFailed for one that cannot be used: the retry buys another."""
    if "unusable" in asset:
        raise ProviderFailed(f"{model}: {asset['unusable']}")
    return asset


def _units(response: types.GenerateContentResponse) -> dict[str, float]:
    usage = response.usage_metadata
    if usage is None:
        return {"input_tokens": 0, "output_tokens": 0, "audio_tokens": 0}
    details = usage.candidates_tokens_details or []
    audio = sum(detail.token_count or 0 for detail in details if detail.modality and detail.modality.value == "AUDIO")
    return {
        "input_tokens": usage.prompt_token_count or 0,
        "output_tokens": (usage.candidates_token_count or 0) + (usage.thoughts_token_count or 0) - audio,
        "audio_tokens": audio,
    }


class VertexImage:
    """Draws with a Gemini image model."""

    name = "vertex"

    def __init__(self, place: str = "") -> None:
        self._place = place

    def draw(self, scene: Scene, seed: str, size: tuple[int, int], into: Path) -> None:
        """Draw what a scene shows, cut to `size`."""
        model = settings().model_image
        price = price_of(model)
        prompt = scene.subject
        if scene.narration:
            prompt = (
                f"A single striking illustration without any text or lettering: {scene.subject}. It accompanies the "
                f'words "{scene.narration}". Mood: {_MOODS[scene.mood]}. One clear subject, room in the lower third.'
            )
        aspect = _nearest_aspect(size)
        call = Call(
            provider=self.name,
            model=model,
            kind="image",
            parameters={"prompt": prompt, "aspect": aspect, "seed": seed},
            place=self._place,
            estimate_usd=price.of(images=1, input_tokens=2 * tokens_of(prompt)),
            tokens=tokens_of(prompt),
            about=scene.subject,
        )

        def send() -> Bought:
            from google.genai import types

            response = ask(
                "model_image",
                lambda client: client.models.generate_content(
                    model=model,
                    contents=prompt,
                    config=types.GenerateContentConfig(
                        response_modalities=["IMAGE"],
                        image_config=types.ImageConfig(aspect_ratio=aspect),
                        safety_settings=_safety(),
                    ),
                ),
            )
            found = _inline(answer_of(response))
            units = _units(response)
            usd = price.of(images=1, input_tokens=units["input_tokens"])
            if found is None:
                return Bought(_unusable("it drew no picture"), usd, units)
            return Bought({"uri": keep(found[0], call, "png")}, usd, {**units, "images": 1})

        asset = usable(buy(call, send, is_there=is_kept), model)
        fitted(fetched(asset["uri"], into.parent), size, into)


def _nearest_aspect(size: tuple[int, int]) -> str:
    wanted = size[0] / size[1]
    offered = {"9:16": 9 / 16, "4:5": 4 / 5, "1:1": 1.0, "16:9": 16 / 9}
    return min(offered, key=lambda name: abs(offered[name] - wanted))


class VertexSpeech:
    """Speaks with a Gemini speech model. It tells no word times, so they are found by alignment."""

    name = "vertex"

    def __init__(self, place: str = "") -> None:
        self._place = place

    def speak(self, text: str, language: str, into: Path) -> Spoken:
        """Speak a text into a WAV file. Raises PermanentError, unpaid, for one whose words could not be timed."""
        text = plain_text(text)
        if not words_of(text):
            raise PermanentError("there is nothing to speak: the text has no words")
        check_script(text)
        model, voice = settings().model_speech, settings().voice
        price = price_of(model)
        most_tokens = round(AUDIO_TOKENS_A_SECOND * (len(text) / _SLOWEST_SPEECH + 5))
        call = Call(
            provider=self.name,
            model=model,
            kind="speech",
            parameters={"text": text, "language": language, "voice": voice},
            place=self._place,
            estimate_usd=price.of(input_tokens=2 * tokens_of(text), audio_tokens=most_tokens),
            tokens=tokens_of(text) + most_tokens,
            about=text,
        )

        def send() -> Bought:
            from google.genai import types

            chosen = types.VoiceConfig(prebuilt_voice_config=types.PrebuiltVoiceConfig(voice_name=voice))
            response = ask(
                "model_speech",
                lambda client: client.models.generate_content(
                    model=model,
                    contents=text,
                    config=types.GenerateContentConfig(
                        response_modalities=["AUDIO"],
                        speech_config=types.SpeechConfig(voice_config=chosen),
                    ),
                ),
            )
            found = _inline(answer_of(response))
            units = _units(response)
            usd = price.of(input_tokens=units["input_tokens"], audio_tokens=units["audio_tokens"])
            if found is None:
                return Bought(_unusable("it said nothing"), usd, units)
            return Bought({"uri": keep(_as_wav(*found), call, "wav")}, usd, units)

        asset = usable(buy(call, send, is_there=is_kept), model)
        into.write_bytes(fetched(asset["uri"], into.parent).read_bytes())
        with wave.open(str(into)) as recording:
            seconds = recording.getnframes() / recording.getframerate()
        return Spoken(seconds=seconds, words=align(into, text, language), voice=voice)


def _as_wav(data: bytes, mime_type: str) -> bytes:
    """Speech as a WAV file: newer models send one, older ones raw 16-bit PCM with its rate in the MIME type."""
    if "wav" in mime_type:
        return data
    if not mime_type.lower().startswith(("audio/l16", "audio/pcm")):
        raise PermanentError(f"Vertex AI sent speech as {mime_type!r}, which cannot be read: change YTRAY_MODEL_SPEECH")
    import io

    rate = 24000  # of every Gemini speech model so far, where the MIME type does not say
    with suppress(AttributeError):
        rate = int(re.search(r"rate=(\d+)", mime_type)[1])  # type: ignore[index]
    written = io.BytesIO()
    with wave.open(written, "wb") as recording:
        recording.setnchannels(1)
        recording.setsampwidth(2)
        recording.setframerate(rate)
        recording.writeframes(data)
    return written.getvalue()
