"""What one request can become. What a flow can is in tests/engine/test_bounds.py."""

from __future__ import annotations

from collections.abc import Callable
from typing import Any

import pytest

from tests.attacks.conftest import Attacked
from tests.attacks.tenants import Tenants
from ytray.engine.base.arguments import Signature
from ytray.engine.jobs.task import find
from ytray.studio.render.timeline import Timeline

ENDLESS: dict[str, Any] = {"width": 64, "height": 64, "scenes": [{"picture": "x", "seconds": 3600}] * 5}


@pytest.fixture(scope="module")
def mallory(apart: Attacked) -> Tenants:
    return Tenants(apart, {"mallory": apart.ring.create("mallory", ["read", "submit"], "mallory")[0]}).known()


def test_a_timeline_has_an_end(mallory: Tenants) -> None:
    for name in ("render_timeline", "compose_timeline", "render_scene"):
        refused = mallory.submit("mallory", name, {"timeline": ENDLESS})
        assert refused.status_code == 422
        assert "a timeline lasts at most 14,400 s, and these 5 scenes last 18,000 s" in refused.json()["detail"]
    long = {**ENDLESS, "scenes": ENDLESS["scenes"][:4]}
    assert mallory.submit("mallory", "render_timeline", {"timeline": long}).status_code == 202


@pytest.mark.parametrize("formats", [["mp4"] * 20_000, ["mp4", "webm", "mp4"]])
def test_each_format_is_made_once(mallory: Tenants, formats: list[str]) -> None:
    for path, body in (
        ("/api/videos", {"prompt": "hello", "formats": formats}),
        ("/api/jobs", {"task": "process_batch", "args": {"items": [{"prompt": "hello", "formats": formats}]}}),
        ("/api/batches", {"items": [{"prompt": "hello", "formats": formats}]}),
    ):
        assert mallory.ask("mallory", "POST", path, json=body).status_code == 422, path


def test_what_was_accepted_before_is_still_read() -> None:
    stored = {"prompt": "hello", "formats": ["mp4", "webm", "mp4"]}
    assert find("create_video").signature.decode(stored)["formats"] == ["mp4", "webm"]

    def render(timeline: Timeline) -> None: ...

    assert Signature(render, "render").decode({"timeline": ENDLESS})["timeline"].seconds == 18_000


def test_a_batch_has_no_more_rows_than_it_may(mallory: Tenants, with_settings: Callable[..., None]) -> None:
    rows = [{"prompt": f"number {number}"} for number in range(4)]
    made = mallory.ask("mallory", "POST", "/api/batches", json={"items": rows[:3], "task": "generate_hook"}).json()
    with_settings(batch_rows=3)
    refused = mallory.ask("mallory", "POST", "/api/batches", json={"items": rows, "task": "generate_hook"})
    assert (refused.status_code, "at most 3 rows" in refused.json()["detail"]) == (413, True)
    edited = mallory.ask("mallory", "POST", f"/api/batches/{made['batch_id']}/resume", json={"items": rows})
    assert edited.status_code == 413


def test_an_effect_makes_no_frame_far_larger_than_the_video(mallory: Tenants) -> None:
    for name, arguments in (
        ("Margin", {"margin_size": 20_000}),
        ("Margin", {"left": 10, "bottom": 9e9}),
        ("Resize", {"new_size": 5}),
        ("Resize", {"new_size": [64, 20_000]}),
        ("Resize", {"width": 20_000}),
        ("Scroll", {"w": 20_000}),
        ("SuperSample", {"d": 0.1, "n_frames": 100_000}),
    ):
        scene = {"picture": "x", "seconds": 1, "effects": [{"name": name, "arguments": arguments}]}
        timeline = {"width": 64, "height": 64, "scenes": [scene]}
        refused = mallory.submit("mallory", "render_scene", {"timeline": timeline})
        assert refused.status_code == 422, (name, arguments)
        assert f"scene 1: the effect {name}" in refused.json()["detail"]
    twice = [{"name": "Resize", "arguments": {"new_size": 2.5}}] * 2
    timeline["scenes"] = [{**scene, "effects": twice}]
    assert mallory.submit("mallory", "render_scene", {"timeline": timeline}).status_code == 422
    timeline["scenes"] = [{**scene, "effects": [*twice[:1], {"name": "Margin", "arguments": {"margin_size": 8}}]}]
    assert mallory.submit("mallory", "render_scene", {"timeline": timeline}).status_code == 202
