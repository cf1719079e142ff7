"""Tracker and workers of different versions, as there are while a system is being upgraded."""

from __future__ import annotations

from pathlib import Path

import pytest

from ytray.engine.state.store import Claimed
from ytray.settings import Settings

SENT = ("job", 3, "task", b"{}", 1, "user", "media", 0, 1234)


def test_a_worker_of_an_older_version_understands_a_newer_tracker() -> None:
    assert Claimed.received((*SENT, "something new")) == Claimed(*SENT)
    assert Claimed(*SENT).sent() == SENT


def test_settings_that_a_worker_does_not_know_are_left_out_and_missing_ones_have_their_default() -> None:
    values = Settings(result_ttl=7, redis_url="redis://:secret@away/0").model_dump()
    del values["kept_ttl"]
    received = Settings.of_system({**values, "something_new": 1})
    assert (received.result_ttl, received.kept_ttl) == (7, Settings().kept_ttl)
    assert received.redis_url is not None
    assert received.redis_url.get_secret_value() == "redis://:secret@away/0"


def test_a_node_keeps_its_own_home(monkeypatch: pytest.MonkeyPatch) -> None:
    system = Settings(home=Path("/home/of/who/submitted")).model_dump()
    monkeypatch.setenv("YTRAY_HOME", "/home/of/the/node")
    assert Settings.of_system(system).home == Path("/home/of/the/node")
    monkeypatch.delenv("YTRAY_HOME")
    assert Settings.of_system(system).home == Path("/home/of/who/submitted")
