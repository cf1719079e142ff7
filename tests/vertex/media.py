"""Real pictures, speech and clips, small and made quickly: what the server's media models answer."""

from __future__ import annotations

import io
import subprocess
import tempfile
import threading
import wave
import zlib
from functools import lru_cache
from pathlib import Path

import imageio_ffmpeg
import numpy as np
from PIL import Image, ImageDraw

from ytray.studio.providers.offline_speech import OfflineSpeech

SPEECH_RATE = 24_000  # samples a second, as Google's speech models answer
IMAGE_SIZES = {
    "1:1": (1024, 1024),
    "2:3": (832, 1248),
    "3:2": (1248, 832),
    "3:4": (864, 1184),
    "4:3": (1184, 864),
    "4:5": (896, 1152),
    "5:4": (1152, 896),
    "9:16": (768, 1344),
    "16:9": (1344, 768),
    "21:9": (1536, 672),
}
CLIP_SIZES = {"9:16": (270, 480), "16:9": (480, 270)}
_FFMPEG_TIMEOUT = 60  # seconds

# Two requests for the same thing at once: the second waits and takes it from the cache.
_making = threading.Lock()


def picture(prompt: str, aspect: str) -> bytes:
    """A PNG in the size of `aspect`, such as "9:16": shapes on a ground, all in colours that depend on the prompt."""
    size = IMAGE_SIZES[aspect]
    seed = zlib.crc32(prompt.encode())
    red, green, blue = (40 + (seed >> shift) % 160 for shift in (0, 8, 16))
    image = Image.new("RGB", size, (red, green, blue))
    draw = ImageDraw.Draw(image)
    unit = min(size) // 6
    for place in range(1, 6):
        x, y = size[0] * place // 6, size[1] * (1 + (seed >> (3 * place)) % 5) // 6
        shade = (blue, red, (green + 40 * place) % 256)
        if (seed >> place) % 2:
            draw.ellipse((x - unit, y - unit, x + unit, y + unit), fill=shade)
        else:
            draw.rectangle((x - unit, y - unit, x + unit, y + unit), fill=shade)
    written = io.BytesIO()
    image.save(written, "PNG", compress_level=1)
    return written.getvalue()


def speech(text: str, language: str) -> bytes:
    """The text spoken, as 16-bit mono samples at SPEECH_RATE. Raises PermanentError for a text it cannot say."""
    with _making:
        return _spoken(text, language)


def in_wav(samples: bytes) -> bytes:
    """Such samples in a WAV file."""
    written = io.BytesIO()
    with wave.open(written, "wb") as file:
        file.setnchannels(1)
        file.setsampwidth(2)
        file.setframerate(SPEECH_RATE)
        file.writeframes(samples)
    return written.getvalue()


def clip(seconds: float, aspect: str) -> bytes:
    """A silent H.264 MP4 of so many seconds, 24 frames a second, in CLIP_SIZES' size for `aspect`."""
    with _making:
        return _encoded(seconds, CLIP_SIZES[aspect])


@lru_cache(maxsize=256)
def _spoken(text: str, language: str) -> bytes:
    with tempfile.TemporaryDirectory() as folder:
        path = Path(folder, "speech.wav")
        OfflineSpeech().speak(text, language, path)
        with wave.open(str(path)) as file:
            rate = file.getframerate()
            heard = np.frombuffer(file.readframes(file.getnframes()), dtype="<i2")
    times = np.arange(round(len(heard) * SPEECH_RATE / rate)) * (rate / SPEECH_RATE)
    resampled: bytes = np.interp(times, np.arange(len(heard)), heard).astype("<i2").tobytes()
    return resampled


@lru_cache(maxsize=16)
def _encoded(seconds: float, size: tuple[int, int]) -> bytes:
    source = f"testsrc=size={size[0]}x{size[1]}:rate=24:duration={seconds:g}"
    encoder = ["-c:v", "libx264", "-preset", "ultrafast", "-pix_fmt", "yuv420p", "-threads", "1"]
    with tempfile.TemporaryDirectory() as folder:
        path = Path(folder, "clip.mp4")  # a file, since an MP4 cannot be written to a pipe
        program = [imageio_ffmpeg.get_ffmpeg_exe(), "-v", "error", "-f", "lavfi", "-i", source, *encoder, str(path)]
        subprocess.run(program, check=True, stdin=subprocess.DEVNULL, timeout=_FFMPEG_TIMEOUT)
        return path.read_bytes()
