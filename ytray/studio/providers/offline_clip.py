"""Clips made from a still by a slow zoom: moving pictures without a model."""

from __future__ import annotations

from pathlib import Path

from ytray.studio.model import Scene
from ytray.studio.providers.offline_picture import OfflineImage
from ytray.studio.render import ffmpeg
from ytray.studio.render.encoders import CPU, TAGGED
from ytray.studio.render.pictures import still_filters
from ytray.studio.render.work import work_folder

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
        frames = seconds * _FRAMES_PER_SECOND
        with work_folder() as folder:
            (folder / "picture").symlink_to(still.resolve())
            graph = f"{still_filters(frames, size, _FRAMES_PER_SECOND)},{TAGGED}"
            arguments = ["-i", "picture", "-vf", graph, "-frames:v", str(frames), *CPU.encoding]
            ffmpeg.run([*arguments, "-movflags", "+faststart"], into, seconds=seconds, folder=folder, frames=frames)
