"""The sound of a timeline: narrations in their places, mastered in two passes to what the platforms play at."""

from __future__ import annotations

import hashlib
import json
import subprocess
import tempfile
from pathlib import Path

from pydantic_core import to_json

from ytray.studio.render import ffmpeg
from ytray.studio.render.digests import digest
from ytray.studio.render.timeline import Timeline, TimelineScene

_SOUNDS = 1  # raised when the sound comes out different from what it was: what is kept is then no longer used
_RATE = 48_000  # Hz: of video everywhere
_LOUDNESS = -14.0  # LUFS integrated: what YouTube and TikTok turn a video down to
_PEAK = -1.6  # dBTP; AAC comes out up to half a decibel higher, and -1 is the limit
_RANGE = 11.0  # LU
_FADE = 0.01  # seconds at either end of a narration: no click at a joint
_MEASURE_TIMEOUT = 600  # seconds


def sound_name(timeline: Timeline) -> str:
    """A file name that stands for all that goes into a timeline's sound."""
    parts = [_SOUNDS, *([scene.frames, digest(Path(scene.narration))] for scene in timeline.scenes)]
    return f"sound-{hashlib.sha256(to_json(parts)).hexdigest()[:40]}.m4a"


def render_sound(timeline: Timeline, output: Path) -> None:
    """Write the whole sound to `output`, a stereo M4A file (AAC) at 48 kHz, as long as the pictures.

    Raises RenderFailed, PermanentError when the disk is full.
    """
    with tempfile.TemporaryDirectory(prefix="ytray-sound-") as name:
        folder = Path(name)
        arguments: list[str] = []
        chains: list[str] = []
        for place, scene in enumerate(timeline.scenes):
            (folder / f"speech{place}").symlink_to(Path(scene.narration).resolve())
            arguments += ["-i", f"speech{place}"]
            chains.append(f"[{place}:a]{_placed(scene)}[a{place}]")
        joined = "".join(f"[a{place}]" for place in range(len(timeline.scenes)))
        chains.append(f"{joined}concat=n={len(timeline.scenes)}:v=0:a=1[speech]")
        (folder / "graph").write_text(";\n".join(chains))
        raw = folder / "raw.wav"
        arguments += ["-/filter_complex", "graph", "-map", "[speech]", "-c:a", "pcm_f32le", "-rf64", "auto"]
        ffmpeg.run(arguments, raw, seconds=timeline.seconds, folder=folder)
        mastered = ["-i", "raw.wav", "-af", f"{_second_pass(raw)},aresample={_RATE}"]
        mastered += ["-c:a", "aac", "-b:a", "192k"]
        ffmpeg.run(mastered, output, seconds=timeline.seconds, folder=folder)


def _placed(scene: TimelineScene) -> str:
    """Filters that make a narration exactly as long as its scene."""
    return (
        f"aresample={_RATE},aformat=channel_layouts=stereo,afade=t=in:d={_FADE},"
        f"apad=whole_dur={scene.length:.6f},atrim=end={scene.length:.6f},asetpts=PTS-STARTPTS"
    )


def _second_pass(raw: Path) -> str:
    """The loudness filter, told what a first pass has measured. Silence is left as it is."""
    target = f"loudnorm=I={_LOUDNESS}:TP={_PEAK}:LRA={_RANGE}"
    measures = ["-i", raw.name, "-af", f"{target}:print_format=json", "-f", "null", "-"]
    done = subprocess.run(
        [ffmpeg.binary(), "-hide_banner", "-nostdin", *measures],
        cwd=raw.parent,
        capture_output=True,
        text=True,
        errors="replace",
        timeout=_MEASURE_TIMEOUT,
        check=False,
    )
    start = done.stderr.rfind("{")
    if done.returncode != 0 or start < 0:
        raise ffmpeg.RenderFailed(f"the loudness of the sound could not be measured: {done.stderr.strip()[-500:]}")
    found = json.loads(done.stderr[start : done.stderr.rindex("}") + 1])
    if "inf" in found["input_i"]:
        return "anull"
    measured = {
        "measured_I": found["input_i"],
        "measured_TP": found["input_tp"],
        "measured_LRA": found["input_lra"],
        "measured_thresh": found["input_thresh"],
        "offset": found["target_offset"],
    }
    return f"{target}:linear=true:" + ":".join(f"{name}={value}" for name, value in measured.items())
