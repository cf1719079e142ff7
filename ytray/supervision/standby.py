"""The process that takes the supervisor's place when it is killed, where no init system would: `ytray up --detach`.

It waits for the end of that one process, whose pidfd it was given, and does nothing else; it is this file run alone,
with nothing imported, to be small. When the supervisor stops in order, it has this process ended first.
"""

from __future__ import annotations

import os
import select
import sys

if __name__ == "__main__":
    waiting = select.poll()
    waiting.register(int(sys.argv[1]), select.POLLIN)
    waiting.poll()
    os.execv(sys.executable, [sys.executable, "-m", "ytray", "up", "--successor"])
