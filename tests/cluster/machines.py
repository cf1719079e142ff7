"""Machines to make a cluster of with Ray's launcher: each with an sshd, and a desk from which it is told to."""

from __future__ import annotations

import contextlib
import hashlib
import os
import secrets
import shutil
import subprocess
import sys
from collections.abc import Iterator
from dataclasses import dataclass
from pathlib import Path
from typing import Any

import yaml

from tests.cluster.reading import CLUSTER, REPOSITORY, document, wanted
from tests.hosts.host import Host, Lan, die_with_parent
from ytray.system import redis_server

# What the machines have for the tests alone: the packages come from uv's cache, as there is no network, and as links.
_OF_THE_TESTS = {
    "UV_OFFLINE": "1",
    "UV_LINK_MODE": "symlink",
    "UV_PYTHON": os.path.realpath(sys.executable),
    "AUTOSCALER_UPDATE_INTERVAL_S": "1",
}


@dataclass(frozen=True)
class Site:
    """A desk, two machines, and a Redis that all reach."""

    desk: Host
    head: Host
    worker: Host
    config: Path

    def ray(self, *arguments: str) -> str:
        """Run a command of Ray's launcher at the desk, in the root of the repository."""
        return self.desk.run("sh", "-c", f'cd {REPOSITORY} && exec ray "$@"', "ray", *arguments, timeout=240)

    def on_the_head(self, command: str) -> str:
        """Run a command on the head the way that docs/clusters.md says."""
        return self.ray("exec", str(self.config), command)


@contextlib.contextmanager
def site() -> Iterator[Site]:
    """Machines that are there while the block runs. Takes root."""
    with contextlib.ExitStack() as held:
        lan = Lan()
        held.callback(lan.close)
        redis_url = held.enter_context(_redis(lan))
        desk, head, worker = (lan.host(name, {}) for name in ("desk", "head", "worker"))
        public = _key(desk)
        for machine in (head, worker):
            # A machine with no way out would take itself for 127.0.0.1: so Ray finds an address.
            machine.run("ip", "route", "add", "default", "via", lan.address)
            _listen(machine, public)
        _secrets(desk, redis_url, lan.folder / "artifacts")
        config = _adapted(desk, head, worker)
        held.callback(shutil.rmtree, _ssh_sockets(str(config["cluster_name"])), ignore_errors=True)
        (desk.folder / "home" / "cluster.yaml").write_text(yaml.safe_dump(config))
        yield Site(desk, head, worker, desk.home / "cluster.yaml")


def _adapted(desk: Host, head: Host, worker: Host) -> dict[str, Any]:
    """cluster/on-premise.yaml with what the user has to fill in."""
    config = document(CLUSTER / "on-premise.yaml")
    config["cluster_name"] = f"ytray-test-{os.getpid()}"
    config["provider"] |= {"head_ip": head.ip, "worker_ips": [worker.ip]}
    config["auth"] = {"ssh_user": "root", "ssh_private_key": str(desk.home / "key")}
    return config


def _key(host: Host) -> str:
    key = host.folder / "home" / "key"
    subprocess.run([wanted("ssh-keygen", "openssh-client"), "-qt", "ed25519", "-N", "", "-f", str(key)], check=True)
    return key.with_suffix(".pub").read_text()


def _listen(machine: Host, public: str) -> None:
    """Let whoever has the key in, as root, whose home is on this machine alone."""
    home = machine.folder / "home"
    _key(machine)
    (home / "authorized").write_text(public)
    (home / "passwd").write_text(
        f"root:x:0:0:root:{machine.home}:/bin/bash\nsshd:x:104:65534::/run/sshd:/usr/sbin/nologin\n"
    )
    (home / "sshd_config").write_text(
        f"HostKey {machine.home}/key\nAuthorizedKeysFile {machine.home}/authorized\nStrictModes no\nUsePAM no\n"
        "PidFile none\nPermitRootLogin yes\nPasswordAuthentication no\n"
        f"SetEnv {' '.join(f'{name}={value}' for name, value in _OF_THE_TESTS.items())}"
        f" UV_CACHE_DIR={_uv('cache', 'dir')}\n"
    )
    tools = home / "ytray" / ".tools" / "bin"
    tools.mkdir(parents=True)
    (tools / "uv").symlink_to(find_uv())
    mounts = f"mount -t tmpfs tmpfs /run && mkdir /run/sshd && mount --bind {machine.home}/passwd /etc/passwd"
    machine.run("sh", "-c", mounts)
    machine.start(wanted("sshd", "openssh-server"), "-D", "-e", "-f", str(machine.home / "sshd_config"), log="sshd.log")


def _secrets(desk: Host, redis_url: str, artifacts: Path) -> None:
    artifacts.mkdir()
    folder = desk.folder / "home" / ".ytray-cluster"
    folder.mkdir(mode=0o700)
    (folder / "token").write_text(secrets.token_hex(32))
    (folder / "env").write_text(f"YTRAY_REDIS_URL={redis_url}\nYTRAY_ARTIFACTS={artifacts}\n")


@contextlib.contextmanager
def _redis(lan: Lan) -> Iterator[str]:
    binary, _ = redis_server.find_binary()
    password = secrets.token_hex(16)
    folder = lan.folder / "redis"
    folder.mkdir()
    (folder / "redis.conf").write_text(
        f"bind {lan.address}\ndir {folder}\nappendonly yes\nsave ''\nmaxmemory-policy noeviction\n"
        f"requirepass {password}\nlogfile {folder}/redis.log\n"
    )
    server = subprocess.Popen([binary, str(folder / "redis.conf")], preexec_fn=die_with_parent)
    try:
        yield f"redis://:{password}@{lan.address}:6379/0"
    finally:
        server.kill()
        server.wait()


def find_uv() -> str:
    """The uv of this machine."""
    found = subprocess.run(
        ["bash", str(REPOSITORY / "scripts" / "find-uv")], check=True, capture_output=True, text=True
    ).stdout.strip()
    return os.path.realpath(REPOSITORY / found)


def _uv(*arguments: str) -> str:
    return subprocess.run([find_uv(), *arguments], check=True, capture_output=True, text=True).stdout.strip()


def _ssh_sockets(cluster_name: str) -> Path:
    """Where Ray's launcher keeps its connections, on whatever machine it runs."""
    user, cluster = (hashlib.sha256(name.encode()).hexdigest()[:10] for name in ("root", cluster_name))
    return Path(f"/tmp/ray_ssh_{user}") / cluster
