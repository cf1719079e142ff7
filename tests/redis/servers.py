"""Real Redis servers and Sentinels on loopback, of a test's own."""

from __future__ import annotations

import datetime
import ipaddress
import os
import shutil
import signal
import socket
import subprocess
import tempfile
import time
from collections.abc import Callable
from dataclasses import dataclass, field
from pathlib import Path
from typing import Any

import redis
from cryptography import x509
from cryptography.hazmat.primitives import hashes, serialization
from cryptography.hazmat.primitives.asymmetric import ec
from cryptography.x509.oid import NameOID

from ytray.system import redis_server


def free_port() -> int:
    """One that a server in cluster mode can have, too: its own port for that is 10,000 higher."""
    while True:
        with socket.socket() as probe:
            probe.bind(("127.0.0.1", 0))
            port = int(probe.getsockname()[1])
        if port < 55_000:
            return port


def order(client: redis.Redis, *command: str | int) -> Any:
    """Send a command, and return its reply."""
    send: Callable[..., Any] = client.execute_command
    return send(*command)


@dataclass
class Server:
    """A redis-server (or, with sentinel=True, a Sentinel) and its folder."""

    options: dict[str, str] = field(default_factory=dict)
    sentinel: str = ""
    binary: str = ""
    port: int = field(default_factory=free_port)
    folder: Path = field(default_factory=lambda: Path(tempfile.mkdtemp(prefix="ytray-test-redis-")))
    process: subprocess.Popen[bytes] | None = None

    def start(self) -> Server:
        binary = self.binary or redis_server.find_binary()[0]
        settings = {
            "port": str(self.port),
            "bind": "127.0.0.1",
            "dir": str(self.folder),
            "save": '""',
            "logfile": str(self.folder / "log"),
            **({} if self.sentinel else {"repl-diskless-sync-delay": "0"}),
            **self.options,
        }
        lines = [f"{name} {value}" for name, value in settings.items()]
        config = self.folder / "redis.conf"
        if self.sentinel:
            lines = [line for line in lines if not line.startswith("save")] + self.sentinel.splitlines()
        config.write_text("\n".join(lines) + "\n")
        config.chmod(0o600)
        arguments = [binary, str(config), *(["--sentinel"] if self.sentinel else [])]
        self.process = subprocess.Popen(arguments, stdout=subprocess.DEVNULL, stderr=subprocess.DEVNULL)
        deadline = time.monotonic() + 60
        while True:
            with socket.socket() as probe:
                if probe.connect_ex(("127.0.0.1", int(self.options.get("tls-port", self.port)))) == 0:
                    return self
            assert self.process.poll() is None, (self.folder / "log").read_text()
            assert time.monotonic() < deadline, "the server did not start"

    @property
    def url(self) -> str:
        return f"redis://127.0.0.1:{self.port}/0"

    def client(self, **options: str) -> redis.Redis:
        return redis.Redis(port=self.port, **options)  # type: ignore[arg-type]

    def send(self, what: signal.Signals) -> None:
        assert self.process is not None
        os.kill(self.process.pid, what)

    def stop(self) -> None:
        if self.process is not None:
            self.process.kill()
            self.process.wait()
        shutil.rmtree(self.folder, ignore_errors=True)


def write_certificates(folder: Path) -> dict[str, Path]:
    """A certificate authority, and a certificate for 127.0.0.1 with its key, which serves for clients too."""
    now = datetime.datetime.now(datetime.UTC)

    def name(of: str) -> x509.Name:
        return x509.Name([x509.NameAttribute(NameOID.COMMON_NAME, of)])

    def build(of: str, key: ec.EllipticCurvePrivateKey, issuer: str) -> x509.CertificateBuilder:
        return (
            x509.CertificateBuilder()
            .subject_name(name(of))
            .issuer_name(name(issuer))
            .public_key(key.public_key())
            .serial_number(x509.random_serial_number())
            .not_valid_before(now - datetime.timedelta(minutes=5))
            .not_valid_after(now + datetime.timedelta(hours=2))
        )

    authority, own = ec.generate_private_key(ec.SECP256R1()), ec.generate_private_key(ec.SECP256R1())
    ca = (
        build("an authority for tests", authority, "an authority for tests")
        .add_extension(x509.BasicConstraints(ca=True, path_length=0), critical=True)
        .add_extension(x509.SubjectKeyIdentifier.from_public_key(authority.public_key()), critical=False)
        .sign(authority, hashes.SHA256())
    )
    certificate = (
        build("127.0.0.1", own, "an authority for tests")
        .add_extension(x509.SubjectAlternativeName([x509.IPAddress(ipaddress.ip_address("127.0.0.1"))]), critical=False)
        .add_extension(x509.AuthorityKeyIdentifier.from_issuer_public_key(authority.public_key()), critical=False)
        .sign(authority, hashes.SHA256())
    )
    files = {kind: folder / f"{kind}.pem" for kind in ("ca", "certificate", "key")}
    files["ca"].write_bytes(ca.public_bytes(serialization.Encoding.PEM))
    files["certificate"].write_bytes(certificate.public_bytes(serialization.Encoding.PEM))
    files["key"].touch(mode=0o600)
    files["key"].write_bytes(
        own.private_bytes(serialization.Encoding.PEM, serialization.PrivateFormat.PKCS8, serialization.NoEncryption())
    )
    return files


@dataclass
class Watched:
    """A master, two replicas, and three Sentinels that watch them."""

    servers: list[Server]
    sentinels: list[Server]

    @property
    def url(self) -> str:
        places = ",".join(f"127.0.0.1:{sentinel.port}" for sentinel in self.sentinels)
        return f"redis+sentinel://{places}/0?master=ours"

    @classmethod
    def start(cls, down_after_ms: int = 500) -> Watched:
        master = Server({"appendonly": "yes"}).start()
        found = cls([master], [])
        try:
            for _ in range(2):
                options = {"replicaof": f"127.0.0.1 {master.port}", "appendonly": "yes"}
                found.servers.append(Server(options).start())
            watch = "\n".join(
                (
                    f"sentinel monitor ours 127.0.0.1 {master.port} 2",
                    f"sentinel down-after-milliseconds ours {down_after_ms}",
                    "sentinel failover-timeout ours 3000",
                    "sentinel parallel-syncs ours 2",
                )
            )
            for _ in range(3):
                found.sentinels.append(Server(sentinel=watch).start())
            found._await_agreement()
        except BaseException:
            found.stop()
            raise
        return found

    def _await_agreement(self) -> None:
        deadline = time.monotonic() + 60
        while True:
            states = [sentinel.client().sentinel_master("ours", return_responses=True) for sentinel in self.sentinels]
            if all(s["num-slaves"] == 2 and s["num-other-sentinels"] == 2 for s in states):  # type: ignore[index]
                replication = self.servers[0].client().info("replication")
                if all(replication.get(f"slave{n}", {}).get("state") == "online" for n in (0, 1)):
                    return
            assert time.monotonic() < deadline, states
            time.sleep(0.05)

    def stop(self) -> None:
        for server in (*self.sentinels, *self.servers):
            server.stop()
