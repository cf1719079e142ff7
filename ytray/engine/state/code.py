"""How a worker finds the function of a job: by import, or shipped by value when a script defines it."""

from __future__ import annotations

import importlib
import re
import sys
from functools import cache
from pathlib import Path
from types import ModuleType
from typing import TYPE_CHECKING, Any, cast

from ytray.engine.base.error_text import in_words, is_rays_order
from ytray.engine.base.names import escaped, unescaped
from ytray.engine.state.link import CodeNotStored
from ytray.errors import PermanentError
from ytray.settings import settings

_SHIPPED = "value:"
_VALUE = re.compile(r"value:[0-9a-f]{32}")

if TYPE_CHECKING:
    from ytray.engine.state.store import Store


def reference(task: Any, function: Any, store: Store) -> str:
    """Words with which `resolve` finds `task` in any process: "module:name", "module:name@folder" or "value:<sha>".

    A task of `__main__` (a script, a notebook) cannot be imported elsewhere: its pickled code goes into Redis.
    """
    module = sys.modules.get(function.__module__)
    if function.__module__ == "__main__" or module is None or "<locals>" in function.__qualname__:
        return _by_value(task, store)
    name = f"{_word(function.__module__)}:{escaped(function.__qualname__)}"
    folder = _import_folder(module)
    return f"{name}@{folder}" if folder else name


def _word(module: str) -> str:
    # A module may be called "value", and is not code that was shipped then.
    return escaped(module) if module != "value" else "%76alue"


def _by_value(task: Any, store: Store) -> str:
    from ytray.engine.state.shipped import ship

    return f"{_SHIPPED}{ship(task, store)}"


def _import_folder(module: ModuleType) -> str | None:
    """The folder on sys.path that a module was found in; None for what is installed everywhere alike."""
    if module.__name__.partition(".")[0] == "ytray" or not module.__file__:
        return None
    if "site-packages" in module.__file__:
        return None
    levels = module.__name__.count(".") + (1 if Path(module.__file__).name == "__init__.py" else 0)
    return str(Path(module.__file__).resolve().parents[levels])


def shipped_in(words: str) -> str:
    """The digest of the code that a reference says was shipped; "" for one that is imported."""
    return words.removeprefix(_SHIPPED) if _VALUE.fullmatch(words) else ""


@cache
def resolve(words: str, store: Store) -> Any:
    """The task that `reference` named. Raises CodeNotStored; PermanentError, saying what cannot be imported."""
    if _VALUE.fullmatch(words):
        from ray import cloudpickle

        from ytray.engine.state import signing

        if not settings().stored_code:
            raise PermanentError(
                "YTRAY_STORED_CODE is false: code that a script ships is not run; put the task into a module that "
                "every node has, and name that in YTRAY_IMPORTS"
            )
        code = store.redis.get(store.key(f"code:{shipped_in(words)}"))
        if code is None:
            raise CodeNotStored(
                "the code of this job's task is not stored any more: run the script that defines it again, and submit "
                "any job of it; then this one finds it when it is tried again or replayed"
            )
        task = cloudpickle.loads(signing.checked(cast(bytes, code), shipped_in(words)))
        task.__dict__["_reference"] = (store, words)  # what it submits of itself is the same code
        return task
    name, _, folder = words.partition("@")
    if folder and folder not in sys.path:
        sys.path.append(folder)
    module_name, attribute = (unescaped(word) for word in name.split(":", 1))
    try:
        found: Any = importlib.import_module(module_name)
        for part in attribute.split("."):
            found = getattr(found, part)
    except BaseException as missing:  # whatever the module raises as it is imported
        if is_rays_order(missing) or isinstance(missing, KeyboardInterrupt):
            raise
        where = f" (looked in {folder} too)" if folder else ""
        why = missing if isinstance(missing, (ImportError, AttributeError)) else in_words(missing)
        raise PermanentError(
            f"this worker cannot import {module_name}.{attribute}: {why}{where}; install the module on every node"
        ) from missing
    return found
