"""Clips made from a still by a slow zoom: moving pictures without a model."""

from __future__ import annotations

from pathlib import Path

from ytray.studio.render.compose import move_still

_FRAMES_PER_SECOND = 24  # as Veo's


class OfflineVideo:
    """The offline clip maker."""

    name = "offline"

    def move(self, still: Path, seconds: int, size: tuple[int, int], into: Path) -> None:
        """Write an MP4 clip of `seconds` made from `still`, `size` pixels, 24 frames a second, without sound."""
        move_still(still, seconds, size, _FRAMES_PER_SECOND, into)
