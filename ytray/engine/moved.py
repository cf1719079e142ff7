"""Imports by the paths that modules of the engine had before they were put into rooms: they go on, with a warning."""

from __future__ import annotations

import importlib
import sys
import warnings
from importlib.abc import Loader, MetaPathFinder
from importlib.machinery import ModuleSpec
from types import ModuleType

_ROOMS = {
    "base": "arguments canonical context cron error_text imports interrupts limits logs marks model names printed "
    "processes retry surroundings threads tracing values webhook webhook_targets",
    "state": "audit backup code connection deadlock joblog link own_jobs ownership parts reading records refusals "
    "schema shipped signing store waiting webhook_secrets",
    "cluster": "autoscale capacity handover nodes placement",
    "jobs": "dlq flow gathering job task tracking unit",
    "run": "breaker flow_alone flow_endings flow_host flow_loop flow_runner steps verdict watch worker",
    "control": "actors alerts clocks keeper metrics retention schedule standstill",
}
_MOVED = {
    f"ytray.engine.{name}": f"ytray.engine.{room}.{name}" for room, names in _ROOMS.items() for name in names.split()
} | {"ytray.engine.tracker": "ytray.engine.control.dispatcher"}


class _Moved(MetaPathFinder, Loader):
    def find_spec(self, fullname: str, *_: object) -> ModuleSpec | None:
        return ModuleSpec(fullname, self) if fullname in _MOVED else None

    def create_module(self, spec: ModuleSpec) -> ModuleType:
        new = _MOVED[spec.name]
        warnings.warn(f"{spec.name} is now {new}", DeprecationWarning, stacklevel=2)
        module = importlib.import_module(new)
        spec.loader_state = module.__spec__
        return module

    def exec_module(self, module: ModuleType) -> None:
        # It has been run under its new name; the import system has just given it the old one.
        spec = module.__spec__
        assert spec is not None
        module.__spec__ = spec.loader_state


def install() -> None:
    """Make the old paths importable."""
    sys.meta_path.append(_Moved())
