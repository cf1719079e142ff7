"""Clips made from a still by a slow zoom: moving pictures without a model."""

from __future__ import annotations

from pathlib import Path

from ytray.studio.model import Scene
from ytray.studio.providers.offline_picture import OfflineImage
from ytray.studio.render.scene import move_still

_FRAMES_PER_SECOND = 24  # as Veo's
_STILL_SCALE = 1.25  # a still is drawn larger than the clip, since the clip zooms into it


class OfflineVideo:
    """The offline clip maker."""

    name = "offline"

    def film(self, prompt: str, still: Path | None, seconds: int, size: tuple[int, int], into: Path) -> None:
        """Write an MP4 clip of `seconds`, `size` pixels, 24 frames a second, without sound."""
        if still is None:
            still = into.with_name("still.jpg")
            width, height = (round(side * _STILL_SCALE) for side in size)
            OfflineImage().draw(Scene(narration=prompt, subject=prompt, mood="bright"), prompt, (width, height), still)
        move_still(still, seconds, size, _FRAMES_PER_SECOND, into)
