"""How a worker finds the function of a job: by import, or shipped by value when a script defines it."""

from __future__ import annotations

import importlib
import sys
from collections.abc import Callable
from functools import cache
from hashlib import sha256
from pathlib import Path
from types import ModuleType
from typing import TYPE_CHECKING, Any, cast

from ytray.errors import PermanentError

if TYPE_CHECKING:
    from ytray.engine.store import Store


def reference(task: Any, function: Any, store: Store) -> str:
    """Words with which `resolve` finds `task` in any process: "module:name", "module:name@folder" or "value:<sha>".

    A task of `__main__` (a script, a notebook) cannot be imported elsewhere: its pickled code goes into Redis.
    """
    module = sys.modules.get(function.__module__)
    if function.__module__ == "__main__" or module is None or "<locals>" in function.__qualname__:
        return _by_value(task, store)
    name = f"{function.__module__}:{function.__qualname__}"
    folder = _import_folder(module)
    return f"{name}@{folder}" if folder else name


def _by_value(task: Any, store: Store) -> str:
    from ray import cloudpickle

    dumps: Callable[[Any], bytes] = cloudpickle.dumps
    code = dumps(task)
    digest = sha256(code).hexdigest()[:32]
    store.redis.set(store.key(f"code:{digest}"), code)
    store.secure()
    return f"value:{digest}"


def _import_folder(module: ModuleType) -> str | None:
    """The folder on sys.path that a module was found in; None for what is installed everywhere alike."""
    if module.__name__.partition(".")[0] == "ytray" or not module.__file__:
        return None
    if "site-packages" in module.__file__:
        return None
    levels = module.__name__.count(".") + (1 if Path(module.__file__).name == "__init__.py" else 0)
    return str(Path(module.__file__).resolve().parents[levels])


@cache
def resolve(words: str, store: Store) -> Any:
    """The task that `reference` named. Raises PermanentError, saying what is missing."""
    if words.startswith("value:"):
        from ray import cloudpickle

        code = store.redis.get(store.key(f"code:{words.removeprefix('value:')}"))
        if code is None:
            raise PermanentError("the code of this job's task is no longer stored; submit it again")
        return cloudpickle.loads(cast(bytes, code))
    name, _, folder = words.partition("@")
    if folder and folder not in sys.path:
        sys.path.append(folder)
    module_name, _, attribute = name.partition(":")
    try:
        found: Any = importlib.import_module(module_name)
        for part in attribute.split("."):
            found = getattr(found, part)
    except (Exception, SystemExit) as missing:  # whatever the module raises as it is imported
        if hasattr(missing, "ray_terminate_msg"):  # not the module's own exit: Ray ends this process
            raise
        where = f" (looked in {folder} too)" if folder else ""
        why = missing if isinstance(missing, (ImportError, AttributeError)) else repr(missing)
        raise PermanentError(
            f"this worker cannot import {module_name}.{attribute}: {why}{where}; install the module on every node"
        ) from missing
    return found
