"""A part of a video by one ffmpeg filter graph: pictures in motion, their crossfade, and the captions over them."""

from __future__ import annotations

from collections.abc import Callable
from pathlib import Path

from ytray.errors import PermanentError
from ytray.studio.render import ffmpeg
from ytray.studio.render.encoders import TAGGED, Encoder
from ytray.studio.render.parts import Part
from ytray.studio.render.pictures import source_of
from ytray.studio.render.text.lettering import Lettering, letter
from ytray.studio.render.timeline import FRAMES_PER_SECOND
from ytray.studio.render.work import work_folder


def render(part: Part, encoder: Encoder, output: Path, progress: Callable[[float], None] = lambda _: None) -> None:
    """Write a part to `output`, an MP4 without sound.

    Raises PermanentError when a picture or clip cannot be read; DiskFull, RenderFailed.
    """
    with work_folder() as folder:
        arguments: list[str] = []
        chains: list[str] = []
        for place, shown in enumerate(part.pictures):
            own = f"source{place}"
            source = source_of(shown, part.frames, part.size, folder, own, encoder.decoding)
            arguments += source.arguments
            chains.append(f"[{place}:v]{source.filters}[p{place}]")
        if part.fades_into is not None:
            ready = f"settb=1/{FRAMES_PER_SECOND},format=yuv420p"
            chains += [f"[p{place}]{ready}[q{place}]" for place in range(2)]
            chains.append(f"[q0][q1]xfade=transition=fade:duration={part.seconds:.6f}:offset=0[x]")
        shown_as = "x" if part.fades_into is not None else "p0"
        lettering = letter(part.captions, part.frames, part.size, part.style, part.platform) if part.captions else None
        if lettering is not None:
            arguments += _fed(lettering, folder)
            chains.append(f"[{len(part.pictures)}:v]{_timed(lettering)}[c]")
            over = f"overlay=x={lettering.left}:y={lettering.top}:eof_action=repeat:format=yuv420"
            chains.append(f"[{shown_as}][c]{over},{TAGGED}[v]")
        else:
            chains.append(f"[{shown_as}]{TAGGED}[v]")
        (folder / "graph").write_text(";\n".join(chains))
        arguments += [
            "-filter_complex_threads",
            "1",
            "-/filter_complex",
            "graph",
            "-map",
            "[v]",
            "-frames:v",
            str(part.frames),
            *encoder.encoding,
        ]
        try:
            ffmpeg.run(
                arguments,
                output,
                seconds=part.seconds,
                folder=folder,
                progress=progress,
                frames=part.frames,
                names={f"source{place}": Path(shown.scene.source).name for place, shown in enumerate(part.pictures)},
            )
        except ffmpeg.RenderFailed as failed:
            unreadable = "Error opening input" in str(failed) or "Invalid data found" in str(failed)
            if unreadable and not encoder.decoding:  # a card may not read what libavcodec does
                names = " or ".join(Path(shown.scene.source).name for shown in part.pictures)
                told = f"{part.told()}: {names} cannot be read as a picture or a clip; save or send it again"
                raise PermanentError(told) from failed
            raise


def _fed(lettering: Lettering, folder: Path) -> list[str]:
    """The captions' pictures as an input: uncompressed, each once."""
    with (folder / "captions.rgba").open("wb") as file:
        for picture in lettering.pictures:
            file.write(picture.tobytes())
    size = f"{lettering.width}x{lettering.height}"
    rate = str(FRAMES_PER_SECOND)
    return ["-f", "rawvideo", "-pixel_format", "rgba", "-video_size", size, "-framerate", rate, "-i", "captions.rgba"]


def _timed(lettering: Lettering) -> str:
    """Filters that show each picture of the captions from its frame on."""
    steps = [f"{start}*eq(N,{place})" for place, start in enumerate(lettering.starts)]
    return f"scale=out_color_matrix=bt709:out_range=tv,format=yuva420p,setpts='{'+'.join(steps)}'"
