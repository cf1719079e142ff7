"""A node without Ray, for the tests of its supervisor: a "raylet" that sleeps, a "haproxy" that is nobody's child.

It starts its "dashboard" again at once.

What the first argument says happens instead of coming up: "fails" tells why in a report, "crashes" does not.
"""

from __future__ import annotations

import signal
import subprocess
import sys

from ytray.settings import settings
from ytray.supervision.report import Processes, Report, write_report
from ytray.system.identity import identity, myself


def _main(what: str) -> None:
    home = settings().home
    if what == "crashes":
        raise ValueError("this is the end")
    if what == "fails":
        write_report(home, Report(node=myself(), state="failed", told="the port is taken"))
        raise SystemExit(1)
    raylet = subprocess.Popen(["sleep", "1000"])
    # In a session of its own, and its parent has ended: the first process that the kernel finds is its parent now.
    haproxy = subprocess.run(
        ["sh", "-c", "setsid sleep 1001 >/dev/null 2>&1 & echo $!"], stdout=subprocess.PIPE, text=True, check=True
    )
    parts = {}
    for name, pid in (("raylet", raylet.pid), ("haproxy", int(haproxy.stdout))):
        process = identity(pid)
        assert process is not None
        parts[name] = Processes(1, [process])
    while True:
        dashboard = subprocess.Popen(["sleep", "1002"])
        process = identity(dashboard.pid)
        assert process is not None
        parts["dashboard"] = Processes(1, [process])
        write_report(home, Report(node=myself(), state="up", url="http://127.0.0.1:1", parts=parts))
        while dashboard.poll() is None:
            if signal.sigwait({signal.SIGTERM, signal.SIGCHLD}) == signal.SIGTERM:
                return


if __name__ == "__main__":
    signal.pthread_sigmask(signal.SIG_BLOCK, {signal.SIGTERM, signal.SIGCHLD})
    _main(sys.argv[1])
