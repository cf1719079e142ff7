"""Tasks that the command line's tests submit."""

from __future__ import annotations

import logging
import time
from pathlib import Path

from ytray import task


@task()
def talkative(folder: str, words: list[str]) -> int:
    """Log each word, waiting before each for a file of that name, if `folder` is given."""
    for word in words:
        while folder and not (Path(folder) / word).exists():
            time.sleep(0.01)
        logging.getLogger("talk").warning("now %s", word)
    print("said it all")
    return len(words)
