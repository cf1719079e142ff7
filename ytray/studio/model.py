"""What goes into the studio and what comes out of it. Times are in seconds, sizes in pixels."""

from __future__ import annotations

from typing import Annotated, Literal, Self

from pydantic import AfterValidator, BaseModel, ConfigDict, Field, ValidationInfo, model_validator

from ytray.engine.base.arguments import is_stored
from ytray.settings import ProviderName
from ytray.studio.platforms import DEFAULT_PLATFORM

Aspect = Literal["9:16", "16:9", "1:1", "4:5"]
Format = Literal["mp4", "webm", "gif", "mov", "m4a", "mp3"]
_MOST_FORMATS = 6  # as many as there are


def _each_once(formats: list[Format], info: ValidationInfo) -> list[Format]:
    if len(formats) > _MOST_FORMATS and not is_stored(info):
        raise ValueError(f"at most {_MOST_FORMATS} formats, not {len(formats):,}")
    if len(set(formats)) < len(formats) and not is_stored(info):
        raise ValueError("name each format once")
    return list(dict.fromkeys(formats))


Formats = Annotated[
    list[Format],
    AfterValidator(_each_once),
    Field(json_schema_extra={"maxItems": _MOST_FORMATS, "uniqueItems": True}),
]
Duration = Annotated[int, Field(ge=5, le=180)]  # seconds; three minutes is the longest Short
Codec = Literal["h264", "hevc", "vp9", "av1"]
Mood = Literal["calm", "bright", "warm", "dark", "wild"]
CaptionStyle = Literal["highlight", "boxed", "pill", "clean"]
Fit = Literal["crop", "blur"]
Crossfade = Annotated[float, Field(ge=0, le=2, allow_inf_nan=False)]  # seconds
Budget = Annotated[float, Field(ge=0, le=1_000_000, allow_inf_nan=False)]  # US dollars
Concurrency = Annotated[int, Field(ge=1, le=10_000)]
Prompt = Annotated[str, Field(min_length=2, max_length=5000)]
Text = Annotated[str, Field(min_length=1, max_length=50_000)]  # of a script, in its caller's own words

SIZES: dict[str, tuple[int, int]] = {
    "9:16": (1080, 1920),
    "16:9": (1920, 1080),
    "1:1": (1080, 1080),
    "4:5": (1080, 1350),
}


class Model(BaseModel):
    """Base of all inputs and outputs."""

    model_config = ConfigDict(extra="forbid")


class Result(Model):
    """Base of all outputs. `schema_version` is raised when a field's meaning changes."""

    schema_version: int = 1


class HookCandidate(Model):
    """A hook that was written, and its score from 0 to 1 (analysis/hook.py)."""

    text: str
    score: float


class Hook(Result):
    """The opening line. `note` says how it was written; `candidates` are all that were, in their order."""

    text: str
    provider: str
    note: str
    score: float = 0.0
    candidates: list[HookCandidate] = []


class Scene(Model):
    """One scene of a script: what is said, and what its picture shows.

    Where nothing is said (`narration` is empty), `subject` alone says what the picture shows, in its caller's words.
    """

    narration: str
    subject: str
    mood: Mood


class Script(Result):
    """A script, scene by scene; its first scene speaks the hook."""

    title: str
    topic: str
    language: str
    scenes: list[Scene] = Field(min_length=1)
    provider: str
    note: str

    @property
    def text(self) -> str:
        """Everything that is said."""
        return " ".join(scene.narration for scene in self.scenes)

    @property
    def mood(self) -> Mood:
        """The mood of most of its scenes; of several such the one that comes first."""
        moods = [scene.mood for scene in self.scenes]
        return max(moods, key=moods.count)


class Word(Model):
    """A spoken word and when."""

    text: str
    start: float
    end: float


class Speech(Result):
    """A narration: a WAV file and the time of each word."""

    uri: str
    seconds: float
    words: list[Word]
    voice: str
    provider: str


class Picture(Result):
    """A still."""

    uri: str
    width: int
    height: int
    provider: str


class Clip(Result):
    """A moving picture without sound."""

    uri: str
    seconds: float
    width: int
    height: int
    provider: str


class SceneMedia(Model):
    """What composition needs of a scene, as artifact URIs: a picture or a clip, and its narration."""

    picture: str | None = None
    clip: str | None = None
    speech: Speech

    @model_validator(mode="after")
    def _shows_one_thing(self) -> Self:
        if (self.picture is None) == (self.clip is None):
            raise ValueError("a scene shows either a picture or a clip")
        return self


class RenderedScene(Result):
    """A part of a video that is ready to be joined: a scene, or a crossfade between two.

    `was_kept`: it had been rendered before. Seconds in whole frames. `encoder` says what was used.
    """

    part: str
    seconds: float
    was_kept: bool
    encoder: str


class Quality(Model):
    """What the quality gate found in the finished file: warnings, loudness and peak; URIs of its report and page."""

    passed: bool
    warnings: list[str]
    loudness_lufs: float | None
    peak_dbtp: float | None
    report: str
    page: str


class Video(Result):
    """A composed video with its captions, and the timeline that it was rendered from.

    `renderer` and `encoder` say what made it; of its `parts`, `parts_kept` had been rendered before.
    """

    uri: str
    captions_srt: str
    captions_vtt: str
    timeline: str
    seconds: float
    width: int
    height: int
    renderer: str
    encoder: str
    parts: int
    parts_kept: int
    quality: Quality


class Exported(Result):
    """A video in another format."""

    uri: str
    format: Format
    size_bytes: int
    codec: Codec | None = None
    platform: str | None = None


class Thumbnails(Result):
    """The video's thumbnails: 1280×720 and 1080×1920, JPEG, under 2 MB."""

    landscape: str
    portrait: str


class Judgement(Model):
    """What a judge says of a script, 0 to 1."""

    score: float
    explanation: str
    judge: str


class Coherence(Result):
    """How well a script holds together, 0 to 1: TF-IDF cosine similarity of its scenes; and a judge's opinion."""

    score: float
    between_scenes: list[float]
    with_topic: list[float]
    method: str = "TF-IDF cosine similarity"
    judgement: Judgement | None = None


class Pacing(Result):
    """How fast a script is spoken and cut."""

    words_per_minute: float
    by_scene: list[float]
    cuts_per_minute: float
    in_target: bool
    method: str
    notes: str | None = None


class EmotionalArc(Result):
    """Valence, -1 to 1, sentence by sentence, and the nearest of six basic story shapes: a heuristic."""

    valence: list[float]
    shape: str
    fit: float
    method: str = "word-list valence; nearest of six story shapes by correlation, a heuristic on so short a text"
    notes: str | None = None


class Mix(Model):
    """A provider for each kind of work; None takes the settings'."""

    text: ProviderName | None = None
    speech: ProviderName | None = None
    image: ProviderName | None = None


class Brief(Model):
    """What a video is to be made from.

    `platform` decides where captions may stand and what the video is checked against; `music` is a bed under the
    voice; over the last `crossfade` seconds of a scene the next one fades in (0: a cut).
    `provider` names who makes it (None: the settings do), one for all or one for each kind; `fresh` pays again for what
    was bought before; `budget_usd` is the most that it may cost.
    """

    prompt: Prompt
    aspect: Aspect = "9:16"
    duration: Duration = 30
    formats: Formats = ["mp4"]
    genre: str = "general"
    platform: str = DEFAULT_PLATFORM
    caption_style: CaptionStyle = "highlight"
    music: bool = True
    crossfade: Crossfade = 0.0
    provider: ProviderName | Mix | None = None
    fresh: bool = False
    budget_usd: Budget | None = None

    @property
    def mix(self) -> Mix:
        """The provider of each kind."""
        if isinstance(self.provider, Mix):
            return self.provider
        # An endpoint that only writes leaves the rest to the settings.
        others = None if self.provider == "openai" else self.provider
        return Mix(text=self.provider, speech=others, image=others)


class EstimateLine(Model):
    """The calls of one kind that a video needs, and what they cost in US dollars."""

    kind: str
    model: str
    calls: int
    likely_usd: float
    most_usd: float


class Estimate(Result):
    """What a video will cost in US dollars; no lines: nothing, as nothing is called that costs."""

    lines: list[EstimateLine]
    likely_usd: float
    most_usd: float
    prices_dated: str


class FinishedVideo(Result):
    """Everything that `create_video` made, and what it cost in US dollars."""

    video: Video
    exports: list[Exported]
    thumbnails: Thumbnails
    hook: Hook
    script: Script
    cost_usd: float
    coherence: Coherence
    pacing: Pacing
    emotional_arc: EmotionalArc


class BatchOutcome(Result):
    """What became of a batch's items, in their order: a finished video's URI, or why there is none."""

    batch_id: str

    completed: int
    failed: int
    videos: list[str | None]
    errors: list[str | None]


class Removed(Model):
    """How much of one kind a clean-up deleted: things, and bytes of their files."""

    count: int
    size_bytes: int


class CleanedUp(Result):
    """What a clean-up deleted (in a dry run: would delete), by kind (engine/control/retention.py)."""

    jobs_removed: int
    dry_run: bool
    kinds: dict[str, Removed]
