"""MoviePy effects by their names: those of MoviePy itself, and classes of the user's own modules."""

from __future__ import annotations

import difflib
import hashlib
import importlib
import inspect
from typing import Any

from ytray.errors import PermanentError
from ytray.settings import settings
from ytray.studio.render.timeline import Effect


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


def _class_of(name: str) -> type[Any]:
    from moviepy import Effect as MoviePyEffect
    from moviepy import vfx

    module, _, own = name.rpartition(".")
    if module:
        if module not in settings().imports:
            raise PermanentError(f"the effect {name} is of no module in YTRAY_IMPORTS: add {module!r} to it")
        found = getattr(importlib.import_module(module), own, None)
    else:
        found = getattr(vfx, name, None)
    if not (inspect.isclass(found) and issubclass(found, MoviePyEffect)):
        known = [each for each in dir(vfx) if inspect.isclass(getattr(vfx, each))]
        close = difflib.get_close_matches(name, known, n=1)
        hint = f"did you mean {close[0]!r}?" if close else f"there are {', '.join(known)}"
        raise PermanentError(f"there is no MoviePy effect {name!r}: {hint}")
    return found
