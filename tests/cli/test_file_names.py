"""Finished videos get names of their own."""

from __future__ import annotations

import threading
from collections.abc import Callable
from pathlib import Path
from types import SimpleNamespace
from typing import Any, cast

import pytest

from ytray.cli.backend import Backend
from ytray.cli.batch_files import fetch_files
from ytray.cli.file_names import alone_in, check_target, free_file
from ytray.cli.videos import chosen_name
from ytray.engine.batch.model import BatchStatus, Item, ItemPage, ItemState
from ytray.errors import InvalidArguments
from ytray.studio.film_names import plain_name
from ytray.studio.model import FinishedVideo


def film(number: int) -> FinishedVideo:
    """A finished video whose files say that they are those of film `number`."""
    quality = {"passed": True, "warnings": [], "loudness_lufs": None, "peak_dbtp": None, "report": "r", "page": "page"}
    video = dict.fromkeys(("uri", "captions_srt", "captions_vtt", "renderer", "encoder"), f"{number}")
    sizes = dict.fromkeys(("seconds", "width", "height", "parts", "parts_kept"), 1)
    said = {"provider": "p", "note": ""}
    scene = {"narration": "n", "subject": "s", "mood": "calm"}
    return FinishedVideo.model_validate(
        {
            "video": {**video, **sizes, "timeline": f"timeline {number}", "quality": quality},
            "exports": [{"uri": f"{number}", "format": "mp4", "size_bytes": 1}],
            "thumbnails": {"landscape": f"{number}", "portrait": f"{number}"},
            "hook": {"text": "h", **said},
            "script": {"title": "t", "topic": "t", "language": "en", "scenes": [scene], **said},
            "cost_usd": 0,
            "coherence": {"score": 1, "between_scenes": [], "with_topic": []},
            "pacing": {"words_per_minute": 1, "by_scene": [], "cuts_per_minute": 1, "in_target": True, "method": "m"},
            "emotional_arc": {"valence": [], "shape": "s", "fit": 1},
        }
    )


class Films:
    """What `fetch_files` asks of a system that has a batch: its items by their keys, each with a film of its own."""

    def __init__(self, films: dict[str, int]) -> None:
        self._films = films

    def batch(self, _batch_id: str) -> BatchStatus:
        return cast("BatchStatus", SimpleNamespace(task_name="create_video"))

    def batch_items(self, _batch_id: str, state: ItemState, **_: object) -> ItemPage:
        rest: Any = {"job_state": None, "progress": 100, "error": None, "cost_usd": 0, "reused": False, "state": state}
        items = [
            Item(number=place, line=place, key=key, job_id=str(number), **rest)
            for place, (key, number) in enumerate(self._films.items(), 1)
        ]
        return ItemPage(items=items, next_cursor=None)

    def wait(self, job_id: str, _timeout: float | None) -> Any:
        return film(int(job_id)).model_dump()

    def fetch(self, uri: str, target: Path) -> None:
        target.write_text(uri)


def brought(films: dict[str, int], out: Path, *, force: bool = False) -> list[tuple[str, str]]:
    """The videos' names and the films that they hold."""
    files = fetch_files(cast("Backend", Films(films)), "b1", out, force=force)
    return [(file.name, file.read_text()) for file in files]


@pytest.mark.parametrize(
    ("prompt", "name"),
    [
        ("Why do cats purr?", "why-do-cats-purr"),
        ("Γιατί γουργουρίζουν οι γάτες;", "γιατί-γουργουρίζουν-οι"),
        ("猫はなぜ喉を鳴らすのか", "猫はなぜ喉を鳴らすのか"),
        ("हिन्दी में बिल्ली", "हिन्दी-में-बिल्ली"),
        ("## **Why** cats purr", "why-cats-purr"),
        ("../../etc/passwd", "etc-passwd"),
        ("?!", "video"),
        ("CON", "con-video"),
        ("猫" * 500, "猫猫猫"),
    ],
)
def test_a_name_keeps_the_letters_of_its_title(prompt: str, name: str, tmp_path: Path) -> None:
    made = chosen_name(prompt, film(1), tmp_path, force=False)
    assert made.startswith(name)
    assert len(made.encode()) <= 48


@pytest.mark.parametrize("there", ["why-is-c-so-fast.mp4", "WHY-IS-C-SO-FAST.SRT", "why-is-c-so-fast-thumbnail.jpg"])
def test_two_films_never_share_a_name_unless_asked(there: str, tmp_path: Path) -> None:
    (tmp_path / there).touch()
    assert chosen_name("Why is C# so fast?", film(1), tmp_path, force=False) == "why-is-c-so-fast-2"
    (tmp_path / "why-is-c-so-fast-2.mp4").touch()
    assert chosen_name("why is c so fast", film(1), tmp_path, force=False) == "why-is-c-so-fast-3"
    assert chosen_name("why is c so fast", film(1), tmp_path, force=True) == "why-is-c-so-fast"


def test_a_title_that_ends_as_the_name_of_a_thumbnail_is_one_as_any(tmp_path: Path) -> None:
    (tmp_path / "cat-thumbnail.mp4").touch()
    assert chosen_name("Cat thumbnail", film(1), tmp_path, force=False) == "cat-thumbnail-2"


def test_two_batches_with_one_key_share_no_name(tmp_path: Path) -> None:
    assert brought({"cat": 1}, tmp_path) == [("cat.mp4", "1")]
    assert brought({"cat": 2}, tmp_path) == [("cat-2.mp4", "2")]
    assert brought({"cat": 1}, tmp_path) == [("cat.mp4", "1")]
    assert brought({"cat": 2}, tmp_path) == [("cat-2.mp4", "2")]
    assert len(list(tmp_path.iterdir())) == 12
    assert brought({"cat": 2}, tmp_path, force=True) == [("cat.mp4", "2")]


@pytest.mark.parametrize(
    ("keys", "names"),
    [
        (["Cat", "cat", "CAT"], ["Cat", "cat-2", "CAT-3"]),
        (["a?", "a!", "a-2"], ["a", "a-2", "a-2-2"]),
        (["a-2", "a", "a?"], ["a-2", "a", "a-3"]),
        (["\u00e9", "e\u0301"], ["\u00e9", "\u00e9-2"]),
        (["猫" * 200, "猫" * 199], ["猫" * 33, "猫" * 33 + "-2"]),
        (["NUL", "com1.x"], ["NUL-video", "com1.x-video"]),
    ],
)
def test_keys_that_look_alike_to_a_file_system_share_no_name(keys: list[str], names: list[str], tmp_path: Path) -> None:
    films = {key: number for number, key in enumerate(keys, 1)}
    wanted = [(f"{name}.mp4", str(number)) for number, name in enumerate(names, 1)]
    assert brought(films, tmp_path) == wanted
    assert brought(films, tmp_path) == wanted
    assert brought(dict(reversed(films.items())), tmp_path) == wanted[::-1]


def test_a_file_that_is_taken_gets_a_number(tmp_path: Path) -> None:
    long = tmp_path / f"{'é' * 125}.mp4"
    for target, wanted in ((tmp_path / "v.mp4", "v-2.mp4"), (long, f"{'é' * 124}")):
        assert free_file(target) == target
        target.touch()
        assert free_file(target).name.startswith(wanted)
        free_file(target).touch()


def test_a_target_that_cannot_be_written_is_told_before_anything_is_made(tmp_path: Path) -> None:
    (tmp_path / "file").touch()
    for target, told in (
        (tmp_path, "is a folder; name the file"),
        (tmp_path / ("é" * 200), "at most 255 bytes"),
        (tmp_path / "file" / "v.mp4", "File exists|Not a directory"),
    ):
        with pytest.raises(InvalidArguments, match=told):
            check_target(target)


def test_commands_choose_names_one_after_the_other(tmp_path: Path) -> None:
    order: list[str] = []

    def choose(name: str, meanwhile: Callable[[], None]) -> None:
        with alone_in(tmp_path):
            meanwhile()
            order.append(name)

    other = threading.Thread(target=choose, args=("second", lambda: None))
    choose("first", other.start)
    other.join(60)
    assert order == ["first", "second"]


def test_a_plain_name_fits_into_any_file_system() -> None:
    assert plain_name('Ünï.cod_e/\\:*?"<>|\0\n x', signs="._") == "Ünï.cod_e-x"
    assert len(plain_name("क" * 500).encode()) <= 100
