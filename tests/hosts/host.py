"""Hosts of their own on one machine: each with its network, processes, name, temporary files and shared memory.

A host is a set of Linux namespaces, held by one process. Killing that process is what pulling the plug is: the kernel
ends everything on the host at once. Needs root.
"""

from __future__ import annotations

import contextlib
import ctypes
import itertools
import os
import re
import shutil
import signal
import subprocess
import sys
import tempfile
import time
from collections.abc import Iterator, Mapping
from dataclasses import dataclass
from pathlib import Path

import psutil

BIN = Path(sys.executable).parent
REPOSITORY = Path(__file__).parents[2]
_RAY_TEMP = Path("/tmp/ray")
_SETTLED = 60.0  # seconds for a host to be there
_KILLED_WITH_PARENT = 1  # PR_SET_PDEATHSIG
_numbers = itertools.count(1)


def ip(*arguments: str) -> None:
    """Run iproute2."""
    subprocess.run(["ip", *arguments], check=True, capture_output=True, text=True)


@dataclass(frozen=True)
class Cable:
    """A bad one: each frame is `delay` seconds late, and a share of them, `loss`, is lost."""

    delay: float
    loss: float


class Lan:
    """A bridge that hosts are connected to; this process is on it too, as `address`."""

    def __init__(self) -> None:
        _sweep()
        self.device = f"yt{os.getpid()}n{next(_numbers)}"  # with what is added 15 characters at most, as Linux allows
        self._net = f"10.213.{os.getpid() % 250 + 1}"
        self.address = f"{self._net}.254"
        self.folder = Path(tempfile.mkdtemp(prefix="ytray-hosts-"))
        self._hosts: list[Host] = []
        # With an address that it was given. Else it takes the least of those of its ends, another one as hosts come and
        # go, and what the others send to the one that they know is lost until they ask again, a minute later.
        ip("link", "add", self.device, "address", f"02:00:{_in_pairs(os.getpid())}", "type", "bridge")
        ip("addr", "add", f"{self.address}/24", "dev", self.device)
        ip("link", "set", self.device, "up")

    def host(self, name: str, environment: Mapping[str, str], cable: Cable | None = None) -> Host:
        """A new host on this network, at the end of a cable that is quick and good, unless told else."""
        number = len(self._hosts) + 1
        made = Host(self, name, number, f"{self._net}.{number}", dict(environment), cable)
        self._hosts.append(made)
        return made

    def restart(self, host: Host) -> Host:
        """A host that was killed comes back, with its address and its files."""
        made = Host(self, host.name, host.number, host.ip, host.environment)
        self._hosts[host.number - 1] = made
        return made

    def close(self) -> None:
        """Kill every host and take the network away."""
        for host in self._hosts:
            host.kill()
        with contextlib.suppress(subprocess.CalledProcessError):
            ip("link", "del", self.device)
        shutil.rmtree(self.folder, ignore_errors=True)


class Host:
    """One host. `ip` is its address; `folder` holds its files, which no other host sees (there they are at `home`)."""

    def __init__(
        self, lan: Lan, name: str, number: int, address: str, environment: dict[str, str], cable: Cable | None = None
    ) -> None:
        self.name, self.number, self.ip = name, number, address
        self.folder = lan.folder / f"{number}-{name}"
        self._here = lan.folder / "here"  # the same path on each host, and other files behind it
        for folder in (self.folder / "tmp", self.folder / "ray", self.folder / "home", self._here):
            folder.mkdir(parents=True, exist_ok=True)
        self.home = self._here / "home"
        self._end = f"{lan.device}h{number}"
        _RAY_TEMP.mkdir(exist_ok=True)
        self.environment = {
            "PATH": f"{BIN}:{os.environ['PATH']}",
            "HOME": str(self.home),
            "TMPDIR": str(self._here / "tmp"),
            "LANG": "C.UTF-8",
            "YTRAY_HOME": str(self.home),
            "RAY_USAGE_STATS_ENABLED": "0",
            "PYTHONPATH": str(REPOSITORY),
            **environment,
        }
        self._wire: subprocess.Popen[str] | None = None
        self._holder = self._hold()
        self._init = _child_of(self._holder)
        if cable is None:
            ip("link", "add", self._end, "type", "veth", "peer", "name", "eth0", "netns", str(self._init))
        else:
            self._lay(cable)
        ip("link", "set", self._end, "master", lan.device, "up")
        for setup in (f"addr add {address}/24 dev eth0", "link set eth0 up", "link set lo up"):
            subprocess.run([*self._entering("--net"), "ip", *setup.split()], check=True, capture_output=True)

    def _lay(self, cable: Cable) -> None:
        other = f"{self._end}x"
        for device in (self._end, other):
            ip("tuntap", "add", "dev", device, "mode", "tap")
        command = [sys.executable, "-m", "tests.hosts.wire", self._end, other, str(cable.delay), str(cable.loss)]
        self._wire = subprocess.Popen(
            command, cwd=REPOSITORY, stdout=subprocess.PIPE, text=True, preexec_fn=die_with_parent
        )
        assert self._wire.stdout is not None
        assert self._wire.stdout.readline() == "ready\n"
        ip("link", "set", other, "netns", str(self._init), "name", "eth0")

    def _hold(self) -> subprocess.Popen[str]:
        setup = (
            f"hostname {self.name} && mount --make-rprivate / && mount -t proc proc /proc"
            f" && mount --bind {self.folder} {self._here} && mount --bind {self.folder / 'ray'} {_RAY_TEMP}"
            " && mount -t tmpfs -o size=1g tmpfs /dev/shm && echo ready && { sleep infinity & wait; }"
        )
        # bash, since as the first process of the host it has to take in the orphans that end there.
        command = [
            "unshare",
            "--net",
            "--mount",
            "--pid",
            "--uts",
            "--ipc",
            "--fork",
            "--kill-child",
            "bash",
            "-c",
            setup,
        ]
        holder = subprocess.Popen(
            command, stdin=subprocess.DEVNULL, stdout=subprocess.PIPE, text=True, preexec_fn=die_with_parent
        )
        assert holder.stdout is not None
        assert holder.stdout.readline() == "ready\n", "the host did not come up: this takes root, unshare and mount"
        return holder

    def _entering(self, *which: str) -> list[str]:
        everything = ("--net", "--mount", "--pid", "--uts", "--ipc", f"--wdns={self._here}")
        return ["nsenter", "--target", str(self._init), *(which or everything)]

    def start(self, *command: str, log: str, **environment: str) -> subprocess.Popen[bytes]:
        """Start a program on the host, which goes on; what it prints goes to the file `log` of the host."""
        with (self.folder / log).open("ab") as out:
            return subprocess.Popen(
                [*self._entering(), *command],
                env={**self.environment, **environment},
                stdin=subprocess.DEVNULL,
                stdout=out,
                stderr=subprocess.STDOUT,
            )

    def run(self, *command: str, timeout: float = 90, **environment: str) -> str:
        """Run a program on the host to its end; returns what it printed. Raises AssertionError when it failed."""
        ended = subprocess.run(
            [*self._entering(), *command],
            env={**self.environment, **environment},
            capture_output=True,
            text=True,
            timeout=timeout,
        )
        assert ended.returncode == 0, (
            f"{' '.join(command)} on {self.name}: {ended.stdout[-2000:]}{ended.stderr[-2000:]}"
        )
        return ended.stdout

    def processes(self, title: str = "") -> list[psutil.Process]:
        """What runs on the host, as this machine's process ids, where the title holds `title`."""
        space, found = _pid_space(self._init), []
        for process in psutil.process_iter():
            with contextlib.suppress(psutil.Error, OSError):
                if _pid_space(process.pid) == space and title in " ".join(process.cmdline()):
                    found.append(process)
        return found

    def seen_there(self, path: Path) -> Path:
        """The path on the host of something in its folder."""
        return self._here / path.relative_to(self.folder)

    def seen_here(self, path: Path) -> Path:
        """The same the other way round."""
        return self.folder / path.relative_to(self._here)

    def kill(self) -> None:
        """Pull the plug. The cable goes first, so that no goodbye gets out, as none does from a machine that dies."""
        with contextlib.suppress(subprocess.CalledProcessError):
            ip("link", "del", self._end)
        for process in (self._holder, self._wire):
            if process is not None:
                process.kill()
                process.wait()
        deadline = time.monotonic() + _SETTLED
        while psutil.pid_exists(self._init) and time.monotonic() < deadline:
            time.sleep(0.01)

    def cut_off(self) -> None:
        """Pull the network cable."""
        ip("link", "set", self._end, "down")

    def reconnect(self) -> None:
        """Put the network cable back."""
        ip("link", "set", self._end, "up")

    @contextlib.contextmanager
    def cut(self) -> Iterator[None]:
        """Off the network while the block runs."""
        self.cut_off()
        try:
            yield
        finally:
            self.reconnect()


def _in_pairs(number: int) -> str:
    return number.to_bytes(4, "big").hex(":")


def _child_of(holder: subprocess.Popen[str]) -> int:
    (child,) = psutil.Process(holder.pid).children()
    return child.pid


def _pid_space(pid: int) -> str:
    return os.readlink(f"/proc/{pid}/ns/pid")


def die_with_parent() -> None:
    """For `preexec_fn`: the kernel kills the process when the thread that started it ends."""
    ctypes.CDLL(None).prctl(_KILLED_WITH_PARENT, signal.SIGKILL)


def _sweep() -> None:
    """Take away the networks of test runs that were killed."""
    for device in os.listdir("/sys/class/net"):
        match = re.match(r"yt(\d+)n", device)
        if match and not psutil.pid_exists(int(match[1])):
            with contextlib.suppress(subprocess.CalledProcessError):
                ip("link", "del", device)
