"""The modules of YTRAY_IMPORTS: one that cannot be imported here takes no other along."""

from __future__ import annotations

import importlib

from ytray.engine.base.error_text import in_words, is_rays_order
from ytray.settings import settings

_LONGEST = 500  # characters of a reason
_broken: dict[str, str] = {}  # module → why, of this process: each is tried once


def broken_imports() -> dict[str, str]:
    """Import the modules of YTRAY_IMPORTS; returns those that cannot be imported in this process, and why.

    What failed is not tried again: once it is mended, the process has to be restarted.
    """
    wanted = settings().imports
    for module in wanted:
        if module not in _broken:
            _try(module)
    return {module: _broken[module] for module in wanted if module in _broken}


def told_of(broken: dict[str, str]) -> str:
    """ "; module x of YTRAY_IMPORTS could not be imported: …" for each that is broken, to end an error with."""
    return "".join(f"; module {module} of YTRAY_IMPORTS could not be imported: {why}" for module, why in broken.items())


def _try(module: str) -> None:
    try:
        importlib.import_module(module)
    except KeyboardInterrupt:
        raise
    except BaseException as error:  # a module may also call sys.exit()
        if is_rays_order(error):
            raise
        _broken[module] = in_words(error, _LONGEST)
