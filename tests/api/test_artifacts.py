"""Files over HTTP: whole, in ranges, and harmless where a browser would show them as a page."""

from __future__ import annotations

import os
from collections.abc import Callable
from pathlib import Path

import httpx
import pytest

from tests.engine.tasks_for_tests import add
from ytray import Job
from ytray.artifacts import ArtifactStore

HARMLESS = "default-src 'none'; style-src 'unsafe-inline'; img-src data:; sandbox"
PAGE = "<!DOCTYPE html><title>A report</title><style>p { color: red }</style><p>All is well."


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
        ArtifactStore().publish(file, job.id, name)
        return f"/api/jobs/{job.id}/artifacts/{name}"

    return keep


@pytest.mark.parametrize("name", ["report.html", "picture.svg", "page.xhtml", "feed.xml"])
def test_a_page_may_style_itself_and_nothing_else(
    api: httpx.Client, publish: Callable[[Job[int], str, str], str], name: str
) -> None:
    path = publish(add.options(delay=3600).delay(1, 2), name, PAGE)
    for asked in ({}, {"Range": "bytes=0-9"}):
        answer = api.get(path, headers=asked)
        assert answer.text == (PAGE[:10] if asked else PAGE)
        assert answer.headers.get_list("content-security-policy") == [HARMLESS]
        assert answer.headers["x-content-type-options"] == "nosniff"
        assert answer.headers["x-frame-options"] == "DENY"
    assert api.get(path).headers["content-type"].split(";")[0].endswith(("html", "xml"))


def test_other_files_have_the_policy_of_every_answer(
    api: httpx.Client, publish: Callable[[Job[int], str, str], str]
) -> None:
    job = add.options(delay=3600).delay(1, 2)
    usual = api.get("/api/system").headers["content-security-policy"]
    for name in ("timeline.json", "captions.srt", "video.mp4", "plain"):
        answer = api.get(publish(job, name, "{}"))
        assert answer.headers.get_list("content-security-policy") == [usual], name


def test_a_range_is_answered_alike_from_a_folder_and_from_afar(
    api: httpx.Client, publish: Callable[[Job[int], str, str], str]
) -> None:
    path = publish(add.options(delay=3600).delay(1, 2), "letters.txt", "abcdefghij")
    for asked, got in (("bytes=2-4", "cde"), ("bytes=7-", "hij"), ("bytes=-2", "ij")):
        answer = api.get(path, headers={"Range": asked})
        assert (answer.status_code, answer.text) == (206, got)
        assert answer.headers["content-range"].endswith("/10")
    assert api.get(path, headers={"Range": "bytes=10-12"}).status_code == 416
