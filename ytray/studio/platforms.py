"""What each platform takes, and where it draws over a video: presets that exports and the quality gate are held to.

The figures are those that the platforms published for uploads in 2026, rounded to the careful side: where the app, the
website and the API differ, the strictest counts, and megabytes are a million bytes. Safe areas are the parts that their
buttons and texts leave free, as shares of the picture's sides; no platform promises them.
"""

from __future__ import annotations

from dataclasses import dataclass
from typing import Literal

Platform = Literal["youtube_shorts", "tiktok", "reels", "youtube"]
DEFAULT_PLATFORM: Platform = "youtube_shorts"
_MB, _GB = 10**6, 10**9


@dataclass(frozen=True)
class SafeArea:
    """What a platform draws over, as shares of the height (top, bottom) and the width (left, right)."""

    top: float
    bottom: float
    left: float
    right: float


@dataclass(frozen=True)
class Preset:
    """A platform's limits. Sizes in pixels (width, height), lengths in seconds, files in bytes."""

    title: str
    size: tuple[int, int]
    least_seconds: float
    most_seconds: float
    most_bytes: int
    safe: SafeArea


PRESETS: dict[Platform, Preset] = {
    # Upright or square up to three minutes is a Short. YouTube itself takes 256 GB; 2 GB is what phones send reliably,
    # and three minutes at the highest bitrate that shows are half a gigabyte.
    "youtube_shorts": Preset(
        "YouTube Shorts", (1080, 1920), 1.0, 180.0, 2 * _GB, SafeArea(top=0.12, bottom=0.24, left=0.06, right=0.12)
    ),
    # The content API: 3 s to 10 minutes (single accounts less, the website an hour), 4 GB, 23 to 60 pictures a second.
    "tiktok": Preset(
        "TikTok", (1080, 1920), 3.0, 600.0, 4 * _GB, SafeArea(top=0.08, bottom=0.25, left=0.06, right=0.13)
    ),
    # The publishing API: 3 s to 15 minutes, 300 MB, 25 Mbit/s, closed groups of pictures, the index first. Only the
    # first three minutes' worth are shown to others than followers.
    "reels": Preset(
        "Instagram Reels", (1080, 1920), 3.0, 900.0, 300 * _MB, SafeArea(top=0.14, bottom=0.35, left=0.06, right=0.06)
    ),
    # Verified channels: 12 hours, 256 GB; others a quarter of an hour.
    "youtube": Preset(
        "YouTube", (1920, 1080), 1.0, 12 * 3600.0, 256 * _GB, SafeArea(top=0.05, bottom=0.10, left=0.06, right=0.06)
    ),
}


def platform_named(name: str, aspect: str = "9:16") -> Platform:
    """The platform that somebody calls so, as "TikTok" or "YouTube Shorts"; for another name the one of that shape."""
    plain = "".join(char for char in name.lower() if char.isalnum())
    known: dict[str, Platform] = {"shorts": "youtube_shorts", "instagram": "reels", "instagramreels": "reels"}
    known |= {"".join(char for char in platform if char.isalnum()): platform for platform in PRESETS}
    return known.get(plain, "youtube" if aspect == "16:9" else DEFAULT_PLATFORM)
