"""Rendering a part by whom it needs, on what the machine has; parts that are kept are not rendered again."""

from __future__ import annotations

from collections.abc import Callable
from pathlib import Path
from typing import Protocol

from ytray.errors import PermanentError
from ytray.studio.render import ffmpeg_renderer, moviepy_renderer
from ytray.studio.render.encoders import Encoder, encoders
from ytray.studio.render.ffmpeg import RenderFailed
from ytray.studio.render.parts import Part, part_name
from ytray.studio.render.timeline import Renderer


class _Render(Protocol):
    def __call__(self, part: Part, encoder: Encoder, output: Path, progress: Callable[[float], None], /) -> None: ...


_RENDERERS: dict[Renderer, _Render] = {"ffmpeg": ffmpeg_renderer.render, "moviepy": moviepy_renderer.render}


class KeptParts(Protocol):
    """Parts and sounds that were rendered before, by names that stand for all that went into them."""

    def has(self, name: str, /) -> bool:
        """Whether the part is kept."""

    def find(self, name: str, folder: Path, /) -> Path | None:
        """The part's file, or None; a copy may be put into `folder`."""

    def keep(self, name: str, file: Path, /) -> None:
        """Keep a part."""


class NoKeptParts:
    """Keeps nothing."""

    def has(self, _name: str) -> bool:
        """No."""
        return False

    def find(self, name: str, folder: Path) -> Path | None:
        """None."""

    def keep(self, name: str, file: Path) -> None:
        """Keep nothing."""


def render_part(
    part: Part,
    folder: Path,
    kept: KeptParts,
    progress: Callable[[float], None] = lambda _: None,
    choices: tuple[Encoder, ...] | None = None,
) -> tuple[Path, Encoder, bool]:
    """A part's file (it may lie in `folder`), who encoded it, and whether it had been kept.

    The machine's encoders (or `choices`) are tried in their order: one that fails in earnest is passed over, as a
    card's does when too many use it. Raises PermanentError, RenderFailed.
    """
    choices = choices or encoders()
    for encoder in choices:
        name = part_name(part, encoder.encoding)
        found = kept.find(name, folder)
        if found is not None:
            return found, encoder, True
        file = folder / name
        try:
            _RENDERERS[part.renderer](part, encoder, file, progress)
        except RenderFailed as failed:
            if encoder is choices[-1]:
                raise RenderFailed(f"{part.told()}: {failed}") from failed
            continue
        except PermanentError as wrong:
            told = str(wrong)
            raise PermanentError(told if part.told() in told else f"{part.told()}: {told}") from wrong
        kept.keep(name, file)
        return file, encoder, False
    raise RenderFailed(f"no encoder is known for {part.told()}")
