"""Every aspect ratio, caption style and kind of script on one sheet: `python examples/contact_sheet.py SHEET.jpg`.

Each picture is a frame of a video that was rendered, mastered and checked for it; under it stands what was measured in
the finished file. Needs the fonts fonts-noto-cjk, fonts-noto-core and fonts-noto-color-emoji.
"""

from __future__ import annotations

import subprocess
import sys
import tempfile
from pathlib import Path

from PIL import Image, ImageDraw, ImageFont

from ytray.studio.model import SIZES, Aspect, CaptionStyle, Mood, Scene, Speech, Word
from ytray.studio.platforms import Platform
from ytray.studio.providers import painter, speaker
from ytray.studio.render.compose import compose
from ytray.studio.render.ffmpeg import binary
from ytray.studio.render.quality.gate import examine
from ytray.studio.render.text.fonts import BOLD
from ytray.studio.render.timeline import Fit, Music, Timeline, scene_of

# What is shown: aspect, style, platform, how the picture fills, its subject, what is written.
SHEET: tuple[tuple[Aspect, CaptionStyle, Platform, Fit, str, str], ...] = (
    ("9:16", "highlight", "youtube_shorts", "crop", "cat", "Cats purr at twenty-six hertz."),
    ("9:16", "pill", "tiktok", "crop", "ocean", "The sea was here before its name."),
    ("9:16", "boxed", "reels", "blur", "city", "A city shows itself at night."),
    ("9:16", "clean", "youtube_shorts", "crop", "moon", "It has no light of its own."),
    ("16:9", "highlight", "youtube", "crop", "mountain", "From above a wall is a map."),
    ("1:1", "pill", "reels", "crop", "coffee", "One cup changes the morning."),
    ("4:5", "boxed", "reels", "crop", "bees", "Nobody tells a bee where to go."),
    ("9:16", "highlight", "youtube_shorts", "crop", "tree", "桜の木は、静かに話している。"),
    ("9:16", "pill", "youtube_shorts", "crop", "book", "打开书，就有人和你说话。"),
    ("9:16", "highlight", "tiktok", "crop", "fire", "불은 한때 자라던 것이다."),
    ("9:16", "highlight", "youtube_shorts", "crop", "ocean", "البحر لا ينسى أحدا أبدا"),
    ("9:16", "boxed", "youtube_shorts", "crop", "moon", "הירח לא מאיר בעצמו"),
    ("9:16", "pill", "youtube_shorts", "crop", "city", "शहर रात में बोलता है"),
    ("9:16", "highlight", "youtube_shorts", "crop", "cat", "Кошка знает ответ 😺"),
    ("9:16", "highlight", "tiktok", "crop", "coffee", "Coffee ☕ first, then 👩‍🚀🚀"),
)
MOODS: tuple[Mood, ...] = ("calm", "bright", "warm", "dark", "wild")
HIGH, GAP, TEXT, COLUMNS = 480, 14, 40, 8  # pixels


def main(sheet: Path) -> None:
    """Make every video and lay a frame of each on the sheet."""
    with tempfile.TemporaryDirectory(prefix="ytray-sheet-") as name:
        cells = [cell(Path(name), number) for number in range(len(SHEET))]
    rows = [cells[start : start + COLUMNS] for start in range(0, len(cells), COLUMNS)]
    width = max(sum(one.width + GAP for one in row) for row in rows) + GAP
    whole = Image.new("RGB", (width, len(rows) * (HIGH + TEXT + GAP) + GAP), (24, 24, 28))
    for number, row in enumerate(rows):
        left = GAP
        for one in row:
            whole.paste(one, (left, GAP + number * (HIGH + TEXT + GAP)))
            left += one.width + GAP
    whole.save(sheet, quality=88, optimize=True)


def cell(folder: Path, number: int) -> Image.Image:
    """A frame of one video, and what was measured under it."""
    aspect, style, platform, fit, _, text = SHEET[number]
    timeline = _timeline(folder, number)
    video = folder / f"{number}.mp4"
    compose(timeline, video)
    report = examine(video, timeline)
    found = report.figures.sound
    frame = folder / f"{number}.png"
    at = timeline.seconds * 0.55
    arguments = ["-v", "error", "-y", "-ss", f"{at:.3f}", "-i", str(video), "-frames:v", "1", str(frame)]
    subprocess.run([binary(), *arguments], check=True)
    with Image.open(frame) as opened:
        shown = opened.convert("RGB").resize(
            (round(HIGH * opened.width / opened.height), HIGH), Image.Resampling.LANCZOS
        )
    made = Image.new("RGB", (shown.width, HIGH + TEXT), (24, 24, 28))
    made.paste(shown, (0, 0))
    told = f"{aspect} {style}, {platform}", f"{found.loudness:.1f} LUFS  {found.true_peak:.1f} dBTP"
    drawing = ImageDraw.Draw(made)
    for line, words in enumerate(told):
        drawing.text((2, HIGH + 4 + 18 * line), words, font=ImageFont.truetype(str(BOLD), 14), fill=(210, 210, 214))
    print(f"{aspect:5} {style:10} {platform:15} {fit:5} {told[1]}  {'passed' if report.passed else 'FAILED'}  {text}")
    for check in report.of("fail") + report.of("warning"):
        print(f"      {check.state}: {check.title}: {check.told or check.measured}")
    return made


def _timeline(folder: Path, number: int) -> Timeline:
    aspect, style, platform, fit, subject, text = SHEET[number]
    width, height = SIZES[aspect]
    picture, narration = folder / f"{number}.jpg", folder / f"{number}.wav"
    # A square picture where it is to stand over a blurred copy of itself.
    drawn = (1350, 1350) if fit == "blur" else (round(width * 1.25), round(height * 1.25))
    mood = MOODS[number % len(MOODS)]
    painter().draw(Scene(narration="", subject=subject, mood=mood), "sheet", drawn, picture)
    spoken = speaker().speak("Here somebody speaks for three seconds and a little more.", "en", narration)
    # The offline voice speaks four languages: the others are shown, at the pace of a voice.
    written = text.split() if " " in text else [text]
    step = spoken.seconds / len(written)
    words = [Word(text=word, start=step * place, end=step * (place + 1)) for place, word in enumerate(written)]
    speech = Speech(uri=str(narration), seconds=spoken.seconds, words=words, voice=spoken.voice, provider="offline")
    scene = scene_of(number, speech, picture=str(picture), fit=fit)
    return Timeline(
        width=width,
        height=height,
        caption_style=style,
        platform=platform,
        music=Music(mood=mood),
        scenes=[scene],
    )


if __name__ == "__main__":
    main(Path(sys.argv[1]))
