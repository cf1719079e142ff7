"""A part of a video by MoviePy: for effects written in Python. Slower by far, and looks the same."""

from __future__ import annotations

from collections.abc import Callable, Iterator
from contextlib import ExitStack
from pathlib import Path
from typing import Any

import numpy as np
from PIL import Image, ImageFilter

from ytray.errors import PermanentError
from ytray.studio.render import effect_sizes, effects, ffmpeg
from ytray.studio.render.encoders import TAGGED, Encoder
from ytray.studio.render.parts import Part, Shown
from ytray.studio.render.pictures import BLUR, DARKENED, ZOOM, source_of, window
from ytray.studio.render.stills import normal_still
from ytray.studio.render.text.lettering import letter
from ytray.studio.render.timeline import FRAMES_PER_SECOND
from ytray.studio.render.work import work_folder

_LOSSLESS = ("-c:v", "libx264", "-preset", "ultrafast", "-qp", "0")
Frame = np.ndarray[Any, np.dtype[np.uint8]]


def render(part: Part, encoder: Encoder, output: Path, progress: Callable[[float], None] = lambda _: None) -> None:
    """Write a part to `output`, an MP4 without sound, with the effects that its scenes name.

    Raises PermanentError when a picture or clip cannot be read, or an effect cannot be made;
    DiskFull, RenderFailed.
    """
    from moviepy import CompositeVideoClip, ImageClip, vfx

    with work_folder() as folder, ExitStack() as opened:
        layers = [_picture(shown, part, folder, f"clip{n}", opened) for n, shown in enumerate(part.pictures)]
        if part.fades_into is not None:
            layers[1] = layers[1].with_effects([vfx.CrossFadeIn(part.seconds)])
        lettering = letter(part.captions, part.frames, part.size, part.style, part.platform) if part.captions else None
        if lettering is not None:
            ends = [*lettering.starts[1:], part.frames]
            for picture, start, end in zip(lettering.pictures, lettering.starts, ends, strict=True):
                drawn = ImageClip(picture, transparent=True, duration=(end - start) / FRAMES_PER_SECOND)
                layers.append(
                    drawn.with_start(start / FRAMES_PER_SECOND).with_position((lettering.left, lettering.top))
                )
        # A background colour makes MoviePy four times as fast as its default of none.
        whole = CompositeVideoClip(layers, size=part.size, bg_color=(0, 0, 0)).with_duration(part.seconds)
        width, height = part.size
        arguments = ["-f", "rawvideo", "-pixel_format", "rgb24", "-video_size", f"{width}x{height}"]
        arguments += ["-framerate", str(FRAMES_PER_SECOND), "-i", "pipe:0"]
        arguments += ["-vf", f"scale=out_color_matrix=bt709:out_range=tv:flags=bicubic,{TAGGED}"]
        arguments += ["-frames:v", str(part.frames), *encoder.encoding]
        ffmpeg.run(
            arguments,
            output,
            seconds=part.seconds,
            folder=folder,
            progress=progress,
            frames=part.frames,
            feed=_frames(whole, part.frames),
        )


def _frames(clip: Any, number: int) -> Iterator[bytes]:
    for frame in range(number):
        # In the middle of a frame's time: which picture a MoviePy layer shows at its very edge is left to rounding.
        yield clip.get_frame((frame + 0.5) / FRAMES_PER_SECOND).astype(np.uint8).tobytes()


def _picture(shown: Shown, part: Part, folder: Path, name: str, opened: ExitStack) -> Any:
    """What a scene shows in this part as a MoviePy clip of the video's size, its effects applied."""
    from moviepy import CompositeVideoClip

    scene = shown.scene
    seconds = shown.in_all / FRAMES_PER_SECOND
    moving = _still(shown, part, folder) if scene.clip is None else _clip(shown, part, folder, name, opened)
    try:
        effect_sizes.check_sizes(scene.effects, part.size)
    except ValueError as wrong:
        raise PermanentError(str(wrong)) from None
    affected = moving.with_effects([effects.made(effect) for effect in scene.effects]).with_duration(seconds)
    if tuple(affected.size) != part.size:  # as after Crop, Resize or Rotate
        affected = CompositeVideoClip([affected.with_position("center")], size=part.size, bg_color=(0, 0, 0))
    first = shown.first / FRAMES_PER_SECOND
    return affected.subclipped(first, min(seconds, first + part.seconds)).with_duration(part.seconds)


def _still(shown: Shown, part: Part, folder: Path) -> Any:
    from moviepy import VideoClip

    with Image.open(normal_still(Path(shown.scene.picture or ""), folder)) as opened:
        picture = opened.convert("RGB")
    filled = _filled(picture, part.size, shown.scene.fit, inside=1 / (1 + ZOOM))
    steps = max(1, shown.in_all - 1)

    def frame(at: float) -> Frame:
        zoom, x, y = window(shown.scene.motion, min(1.0, int(at * FRAMES_PER_SECOND) / steps))
        width, height = filled.width / zoom, filled.height / zoom
        left, top = (filled.width - width) * x, (filled.height - height) * y
        box = (left, top, left + width, top + height)
        return np.asarray(filled.resize(part.size, Image.Resampling.BICUBIC, box=box))

    return VideoClip(frame, duration=shown.in_all / FRAMES_PER_SECOND)


def _clip(shown: Shown, part: Part, folder: Path, name: str, opened: ExitStack) -> Any:
    """The clip, brought to the video's size by the same filters as ffmpeg's renderer uses, without loss."""
    from moviepy import VideoFileClip

    source = source_of(Shown(shown.scene, 0, shown.in_all), shown.in_all, part.size, folder, name, ())
    (folder / f"{name}.graph").write_text(f"[0:v]{source.filters},{TAGGED}[v]")
    arguments = [*source.arguments, "-/filter_complex", f"{name}.graph", "-map", "[v]", "-frames:v", str(shown.in_all)]
    ready = folder / f"{name}.mp4"
    seconds = shown.in_all / FRAMES_PER_SECOND
    names = {name: Path(shown.scene.source).name}
    ffmpeg.run([*arguments, *_LOSSLESS], ready, seconds=seconds, folder=folder, frames=shown.in_all, names=names)
    film = VideoFileClip(str(ready), audio=False)
    opened.callback(film.close)
    return film.with_duration(seconds)


def _filled(picture: Image.Image, size: tuple[int, int], fit: str, *, inside: float) -> Image.Image:
    """A picture of the size's shape, at its own fineness: cropped, or whole over a blurred copy of itself."""
    scale = max(size[0] / picture.width, size[1] / picture.height)
    if fit == "crop":
        width, height = size[0] / scale, size[1] / scale
        left, top = (picture.width - width) / 2, (picture.height - height) / 2
        fine = max(1.0, 1.25 / scale)
        target = round(size[0] * min(fine, 1.6)), round(size[1] * min(fine, 1.6))
        return picture.resize(target, Image.Resampling.LANCZOS, box=(left, top, left + width, top + height))
    small = max(2, size[0] // 8), max(2, size[1] // 8)
    ground = _filled(picture, small, "crop", inside=1.0).resize(small)
    ground = ground.filter(ImageFilter.GaussianBlur(BLUR * max(small)))
    ground = Image.blend(Image.new("RGB", small), ground, DARKENED).resize(size, Image.Resampling.BICUBIC)
    whole = min(size[0] / picture.width, size[1] / picture.height) * inside
    front = picture.resize((round(picture.width * whole), round(picture.height * whole)), Image.Resampling.LANCZOS)
    ground.paste(front, ((size[0] - front.width) // 2, (size[1] - front.height) // 2))
    return ground
