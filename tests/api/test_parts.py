"""The parts of a machine's system, as its supervisor tells of them: in the API, to operators, and in the metrics."""

from __future__ import annotations

import time
from collections.abc import Callable
from pathlib import Path

import httpx
import pytest
import redis

from ytray.api.keys import KeyRing
from ytray.engine.state.parts import YOUNG, record, trouble
from ytray.engine.state.store import Store
from ytray.system.parts import Part, write_parts


def parts() -> list[Part]:
    """A part of each kind, as of now."""
    now = time.time()
    return [
        Part("redis", "up", 0, now - 100, ""),
        Part("raylet", "missing", 2, now - 35, "raylet (process 7) was ended by SIGKILL"),
        Part("gcs", "starting", 0, now - 3, ""),
        Part("haproxy", "up", 1, now - 25, "haproxy (process 9) has ended with exit code 1"),
        Part("job_tracker", "up", 3, now - YOUNG - 7200, "job_tracker (process 8) has ended"),
    ]


@pytest.fixture
def watched(bare_store: Store, serving: Callable[..., str], monkeypatch: pytest.MonkeyPatch) -> str:
    """The URL of an API over a store in which a supervisor has told of its parts."""
    from ytray.engine.state import connection

    monkeypatch.setattr(connection, "_current", connection._Connection(bare_store, has_ray=True))
    bare_store.redis.hset(bare_store.key("parts"), mapping={part.name: part.sent() for part in parts()})
    bare_store.redis.hset(bare_store.key("parts"), "odd", "of a version to come")
    bare_store.redis.hset(bare_store.key("part_restarts"), mapping={"raylet": 12, "job_tracker": 3})
    return serving(bare_store, open_without_keys=True)


def told(url: str, key: str = "") -> dict[str, dict[str, object]]:
    headers = {"Authorization": f"Bearer {key}"} if key else {}
    return {part["name"]: part for part in httpx.get(f"{url}/api/system", headers=headers).json()["parts"]}


def test_the_api_tells_of_each_part_and_in_a_sentence_of_those_in_trouble(watched: str) -> None:
    seen = told(watched)
    assert list(seen) == [part.name for part in parts()]
    assert [name for name, part in seen.items() if part["trouble"]] == ["raylet", "gcs", "haproxy"]
    raylet = seen["raylet"]
    assert (raylet["state"], raylet["restarts"]) == ("missing", 2)
    assert str(raylet["since"]).endswith("Z")
    assert str(raylet["trouble"]).startswith("raylet has been missing for 3")
    assert "Started again so far: 2 times. Its last end: raylet (process 7) was ended by SIGKILL" in str(
        raylet["trouble"]
    )
    assert str(seen["gcs"]["trouble"]).startswith("gcs has been starting for ")
    assert "haproxy was started again 2" in str(seen["haproxy"]["trouble"])


def test_what_ended_long_ago_is_on_record_and_no_trouble() -> None:
    tracker = parts()[-1]
    assert trouble(tracker) == ""
    assert record(tracker).startswith("job_tracker has been up for 2 h. Started again so far: 3 times. Its last end: ")
    assert record(parts()[0]) == ""


def test_a_key_of_one_user_sees_no_parts(watched: str, bare_store: Store) -> None:
    ring = KeyRing(bare_store)
    keys = {user: ring.create("a key", ["read"], user)[0] for user in ("ann", None)}
    url = watched
    assert told(url, keys["ann"]) == {}
    assert "raylet" in told(url, keys[None])


def test_what_the_supervisor_wrote_down_is_told_while_redis_is_away(
    watched: str, bare_store: Store, tmp_path: Path, with_settings: Callable[..., None]
) -> None:
    assert "redis" in told(watched)
    with_settings(home=tmp_path)
    write_parts(tmp_path, [Part("redis", "starting", 0, time.time(), "redis was ended by SIGKILL")])
    assert list(told(watched)) == ["redis"]
    redis.Redis.from_url(bare_store.redis_url).shutdown(nosave=True)
    assert "redis was ended by SIGKILL" in str(told(watched)["redis"]["trouble"])


def test_restarts_are_counted_in_the_metrics_from_nought(watched: str) -> None:
    text = httpx.get(f"{watched}/metrics").text
    assert 'ytray_part_restarts_total{part="raylet"} 12.0' in text
    assert 'ytray_part_restarts_total{part="redis"} 0.0' in text
