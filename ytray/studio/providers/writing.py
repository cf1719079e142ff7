"""What a language model is asked to write, whoever runs it. It answers into a schema, so nothing has to be parsed."""

from __future__ import annotations

from abc import ABC, abstractmethod
from typing import Annotated, Literal, TypeVar

from pydantic import BaseModel, Field

from ytray.errors import PermanentError
from ytray.studio.markup import plain_text
from ytray.studio.model import Hook, Mood, Scene, Script
from ytray.studio.words import words_of

WORDS_PER_SECOND = 2.7  # 162 words a minute: inside the 150 to 190 that a narration should have
WORDS_A_SCENE = 16  # a cut about every six seconds
_HOOK_TOKENS, _NOTES_TOKENS = 1024, 2048  # the most that an answer may take, what a model thinks before it included
_SCRIPT_TOKENS, _TOKENS_A_WORD = 4096, 8


A = TypeVar("A", bound=BaseModel)


class HookAnswer(BaseModel):
    """A model's answer: an opening line."""

    text: str = Field(description="One spoken sentence of at most 14 words, in the language of the prompt.")


class SceneAnswer(BaseModel):
    """A scene in a model's answer."""

    narration: str = Field(description="What is spoken in this scene: one or two short sentences.")
    subject: str = Field(description="What its picture shows, in English, at most eight words, no text in it.")
    mood: Mood


class ScriptAnswer(BaseModel):
    """A model's answer: a script."""

    title: str = Field(description="The title of the video, at most 60 characters.")
    topic: str = Field(description="Three to five keywords.")
    language: Literal["en", "de", "fr", "es"] = Field(description="The language of the narration.")
    scenes: Annotated[list[SceneAnswer], Field(min_length=1, max_length=40)]


class NotesAnswer(BaseModel):
    """A model's answer: notes for the author."""

    text: str = Field(description="Two or three sentences of concrete advice.")


class Writer(ABC):
    """A text provider that asks a language model."""

    name: str

    @abstractmethod
    def ask(self, prompt: str, answer: type[A], most_tokens: int, place: str) -> A:
        """The model's answer, read into `answer`; `place` sets two otherwise equal questions apart."""

    def hook(self, prompt: str, genre: str, platform: str, variant: int = 0) -> Hook:
        """An opening line for a prompt; another variant is another line."""
        found = self.ask(
            f"Write the hook of a short vertical video for {platform} ({genre}) made from this prompt:\n{prompt}\n\n"
            "The hook is the first sentence spoken. It makes people stay: a question, a number or a direct address, "
            "with nothing in front of it, no greeting, no emoji, no hashtag. It must be true."
            + (f" This is variant {variant + 1}; make it different from the obvious first idea." if variant else ""),
            HookAnswer,
            _HOOK_TOKENS,
            f"hook {variant}",
        )
        return Hook(
            text=" ".join(plain_text(found.text).split()), provider=self.name, note=f"written by {self.label()}"
        )

    def script(self, prompt: str, hook: str | None, seconds: float) -> Script:
        """A script of about `seconds` of speech."""
        words = round(seconds * WORDS_PER_SECOND)
        scenes = max(2, round(words / WORDS_A_SCENE))
        opening = f'The narration of the first scene begins with exactly this sentence: "{hook}"\n' if hook else ""
        found = self.ask(
            f"Write the script of a narrated vertical video of {seconds:.0f} seconds made from this prompt:\n{prompt}"
            f"\n\n{opening}Write about {words} words of narration in about {scenes} scenes, in the language of the "
            "prompt. Each scene says one thing and leads to the next; the last ends with a question or a call to the "
            "viewer. State only what is well established. Plain spoken sentences: no headings, no stage directions, no "
            "emoji, numbers and abbreviations as they are spoken.",
            ScriptAnswer,
            _SCRIPT_TOKENS + _TOKENS_A_WORD * words,
            "script",
        )
        plain = [scene.model_copy(update={"narration": plain_text(scene.narration)}) for scene in found.scenes]
        spoken = [Scene(**scene.model_dump()) for scene in plain if words_of(scene.narration)]
        if not spoken:
            raise PermanentError(f"{self.label()} wrote a script in which nothing is said")
        if hook and not spoken[0].narration.startswith(hook):
            spoken[0] = spoken[0].model_copy(update={"narration": f"{hook} {spoken[0].narration}"})
        return Script(
            title=plain_text(found.title)[:100],
            topic=found.topic,
            language=found.language,
            scenes=spoken,
            provider=self.name,
            note=f"written by {self.label()}; check its facts",
        )

    def notes(self, script: Script, about: str, figures: str) -> str | None:
        """Advice on a script in the light of what was measured."""
        return self.ask(
            "Here is the narration of a short vertical video, scene by scene:\n"
            + "\n".join(f"{place}. {scene.narration}" for place, scene in enumerate(script.scenes, 1))
            + f"\n\nMeasured {about}: {figures}\nTell its author in two or three sentences what to change, and where.",
            NotesAnswer,
            _NOTES_TOKENS,
            f"notes on {about}",
        ).text

    @abstractmethod
    def label(self) -> str:
        """The model, as people know it."""
