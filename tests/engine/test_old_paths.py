"""Modules of the engine are found under the paths that they had before they were put into rooms."""

from __future__ import annotations

import importlib
import pickle
import sys
from collections.abc import Callable
from typing import Any

import pytest
from ray import cloudpickle

from ytray.engine.control import dispatcher
from ytray.engine.run.worker import run_lease
from ytray.engine.state import store


@pytest.mark.parametrize(("old", "now"), [("store", store), ("tracker", dispatcher)])
def test_an_old_path_leads_to_the_same_module_and_warns(old: str, now: object, monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.delitem(sys.modules, f"ytray.engine.{old}", raising=False)
    with pytest.warns(DeprecationWarning, match=f"ytray.engine.{old} is now ytray.engine"):
        assert importlib.import_module(f"ytray.engine.{old}") is now


def test_nodes_of_an_older_version_find_the_function_that_runs_jobs() -> None:
    dumps: Callable[[Any], bytes] = cloudpickle.dumps
    sent = dumps(run_lease)
    assert b"ytray.engine.worker" in sent
    assert pickle.loads(sent) is run_lease
