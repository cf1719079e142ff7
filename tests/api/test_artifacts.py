"""Files over HTTP: whole, in ranges, and harmless where a browser would show them as a page."""

from __future__ import annotations

import os
from collections.abc import Callable
from pathlib import Path
from typing import Any
from urllib.parse import quote

import httpx
import pytest

from tests.engine.tasks_for_tests import add, titled
from tests.engine.tasks_for_units import publish_at_the_gate
from ytray import Job
from ytray.artifacts import ArtifactStore, attempt_folder
from ytray.engine.state.store import Store

HARMLESS = "default-src 'none'; style-src 'unsafe-inline'; img-src data:; sandbox"
PAGE = "<!DOCTYPE html><title>A report</title><style>p { color: red }</style><p>All is well."


@pytest.fixture(scope="module")
def done(system: Store) -> Job[int]:
    """A job that has completed."""
    assert system is not None
    job = add.delay(1, 2)
    job.get(timeout=60)
    return job


@pytest.fixture(params=["folder", "memory"])
def publish(
    request: pytest.FixtureRequest, tmp_path: Path, with_settings: Callable[..., None]
) -> Callable[[Job[int], str, str], str]:
    """`publish(job, name, text)` keeps a file of a job, in a folder or remotely, and returns its path in the API."""
    if request.param == "memory":
        with_settings(artifacts=f"memory://artifacts-{os.urandom(4).hex()}")

    def keep(job: Job[int], name: str, text: str) -> str:
        file = tmp_path / name
        file.write_text(text, "utf-8")
        ArtifactStore().publish(file, attempt_folder(job.id, 1), name)
        return f"/api/jobs/{job.id}/artifacts/{name}"

    return keep


@pytest.mark.parametrize("name", ["report.html", "picture.svg", "page.xhtml", "feed.xml"])
def test_a_page_may_style_itself_and_nothing_else(
    api: httpx.Client, publish: Callable[[Job[int], str, str], str], done: Job[int], name: str
) -> None:
    path = publish(done, name, PAGE)
    for asked in ({}, {"Range": "bytes=0-9"}):
        answer = api.get(path, headers=asked)
        assert answer.text == (PAGE[:10] if asked else PAGE)
        assert answer.headers.get_list("content-security-policy") == [HARMLESS]
        assert answer.headers["x-content-type-options"] == "nosniff"
        assert answer.headers["x-frame-options"] == "DENY"
    assert api.get(path).headers["content-type"].split(";")[0].endswith(("html", "xml"))


def test_other_files_have_the_policy_of_every_answer(
    api: httpx.Client, publish: Callable[[Job[int], str, str], str], done: Job[int]
) -> None:
    usual = api.get("/api/system").headers["content-security-policy"]
    for name in ("timeline.json", "captions.srt", "video.mp4", "plain"):
        answer = api.get(publish(done, name, "{}"))
        assert answer.headers.get_list("content-security-policy") == [usual], name


def test_a_films_files_are_kept_by_its_title_in_any_script(
    api: httpx.Client, publish: Callable[[Job[Any], str, str], str]
) -> None:
    made = titled.delay(title="Почему **коты** мурлычат?")
    made.get(timeout=60)
    export = add.options(metadata={"video_job": made.id}).delay(1, 2)
    export.get(timeout=60)
    for job, name, kept in (
        (made, "video.mp4", "почему-коты-мурлычат.mp4"),
        (made, "timeline.json", "почему-коты-мурлычат.timeline.json"),
        (export, "video-av1.webm", "почему-коты-мурлычат-av1.webm"),
    ):
        told = api.get(publish(job, name, "…")).headers["content-disposition"]
        assert told == f"inline; filename=\"{name}\"; filename*=UTF-8''{quote(kept)}"


def test_a_file_of_no_film_and_one_of_anothers_keep_their_own_names(
    api: httpx.Client, publish: Callable[[Job[Any], str, str], str], done: Job[int]
) -> None:
    theirs = titled.options(user_id="somebody").delay(title="Secret plans")
    theirs.get(timeout=60)
    curious = add.options(metadata={"video_job": theirs.id}).delay(1, 2)
    curious.get(timeout=60)
    for job in (done, curious):
        told = api.get(publish(job, "video.mp4", "…")).headers["content-disposition"]
        assert told == 'inline; filename="video.mp4"'


def test_a_range_is_answered_alike_from_a_folder_and_from_afar(
    api: httpx.Client, publish: Callable[[Job[int], str, str], str], done: Job[int]
) -> None:
    path = publish(done, "letters.txt", "abcdefghij")
    for asked, got in (("bytes=2-4", "cde"), ("bytes=7-", "hij"), ("bytes=-2", "ij")):
        answer = api.get(path, headers={"Range": asked})
        assert (answer.status_code, answer.text) == (206, got)
        assert answer.headers["content-range"].endswith("/10")
    assert api.get(path, headers={"Range": "bytes=10-12"}).status_code == 416


def test_a_jobs_files_are_seen_once_it_has_completed(
    api: httpx.Client, system: Store, tmp_path: Path, until: Callable[..., None]
) -> None:
    assert system is not None
    job = publish_at_the_gate.delay(str(tmp_path), "answer.txt", "forty-two")
    until((tmp_path / "published").exists)
    path = f"/api/jobs/{job.id}/artifacts"
    assert api.get(path).json()["artifacts"] == []
    assert api.get(f"{path}/answer.txt").status_code == 404
    (tmp_path / "gate").touch()
    assert job.get(timeout=30).endswith(f"/{job.id}/1/answer.txt")
    (seen,) = api.get(path).json()["artifacts"]
    assert (seen["name"], seen["size_bytes"], seen["url"]) == ("answer.txt", 9, f"{path}/answer.txt")
    assert api.get(seen["url"]).text == "forty-two"
