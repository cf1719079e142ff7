"""MoviePy effects by their names: those of MoviePy itself, and classes of the user's own modules."""

from __future__ import annotations

import difflib
import hashlib
import importlib
import inspect
from pathlib import Path
from types import ModuleType
from typing import Any

import psutil

from ytray.errors import PermanentError
from ytray.settings import settings
from ytray.studio.render.timeline import Effect

_read: dict[str, float] = {}  # when the file of a module that was imported had been changed last, in seconds


def made(effect: Effect) -> Any:
    """The MoviePy effect, ready to be applied.

    Raises PermanentError when there is none of that name, its module is not among YTRAY_IMPORTS, or it does not take
    the arguments.
    """
    found = _class_of(effect.name)
    try:
        return found(**effect.arguments)
    except (TypeError, ValueError) as wrong:
        parameters = ", ".join(inspect.signature(found).parameters)
        raise PermanentError(f"the effect {effect.name} takes ({parameters}): {wrong}") from None


def identity(effect: Effect) -> str:
    """What the effect does, as a short text: its source, so that an edited one is rendered anew. Raises as `made`."""
    made(effect)
    return hashlib.sha256(inspect.getsource(_class_of(effect.name)).encode()).hexdigest()[:16]


def _as_it_is_now(name: str) -> ModuleType:
    """A user's module, read again when its file has changed: what is kept is named by the source that made it."""
    module = importlib.import_module(name)
    changed = Path(module.__file__ or "").stat().st_mtime if module.__file__ else 0.0
    if changed > _read.setdefault(name, psutil.Process().create_time()):
        module = importlib.reload(module)
        _read[name] = changed
    return module


def _class_of(name: str) -> type[Any]:
    from moviepy import Effect as MoviePyEffect
    from moviepy import vfx

    module, _, own = name.rpartition(".")
    if module:
        if module not in settings().imports:
            raise PermanentError(f"the effect {name} is of no module in YTRAY_IMPORTS: add {module!r} to it")
        found = getattr(_as_it_is_now(module), own, None)
    else:
        found = getattr(vfx, name, None)
    if not (inspect.isclass(found) and issubclass(found, MoviePyEffect)):
        known = [each for each in dir(vfx) if inspect.isclass(getattr(vfx, each))]
        close = difflib.get_close_matches(name, known, n=1)
        hint = f"did you mean {close[0]!r}?" if close else f"there are {', '.join(known)}"
        raise PermanentError(f"there is no MoviePy effect {name!r}: {hint}")
    return found
