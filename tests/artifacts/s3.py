"""An S3 endpoint over HTTP for tests: moto's server, as a process of its own, on any host and port."""

from __future__ import annotations

import contextlib
import json
import os
import signal
import subprocess
import sys
import tempfile
import time
import urllib.request
from collections.abc import Iterator, Sequence
from dataclasses import dataclass
from pathlib import Path

_ROOT = Path(__file__).parents[2]


@dataclass(frozen=True)
class S3Server:
    """A running endpoint with one empty bucket. `environment` is what a process needs to use it."""

    url: str
    bucket: str
    process: subprocess.Popen[str]

    @property
    def artifacts(self) -> str:
        """A YTRAY_ARTIFACTS in the bucket."""
        return f"s3://{self.bucket}/films"

    @property
    def environment(self) -> dict[str, str]:
        """The standard variables that lead a client here."""
        return {
            "AWS_ENDPOINT_URL": self.url,
            "AWS_ACCESS_KEY_ID": "key-for-tests",
            "AWS_SECRET_ACCESS_KEY": "secret-for-tests",
            "AWS_DEFAULT_REGION": "us-east-1",
        }


@contextlib.contextmanager
def s3_server(
    host: str = "127.0.0.1", port: int = 0, bucket: str = "ytray-tests", inside: Sequence[str] = ()
) -> Iterator[S3Server]:
    """Serve S3 on `host` and `port` (0: a free one) with an empty `bucket`, until the block ends.

    `inside` goes before the command, such as `("ip", "netns", "exec", "host-1")`.
    """
    with tempfile.TemporaryFile("w+") as said:
        # Its standard input ends with this process, and so does it, also when this process is killed.
        process = subprocess.Popen(
            [*inside, sys.executable, "-m", "tests.artifacts.s3", host, str(port), bucket],
            cwd=_ROOT,
            # Pages of a listing are short: of S3's own it would take a thousand files to fill one.
            env={**os.environ, "MOTO_S3_DEFAULT_KEY_BUFFER_SIZE": str(1 << 20), "MOTO_S3_DEFAULT_MAX_KEYS": "20"},
            stdin=subprocess.PIPE,
            stdout=subprocess.PIPE,
            stderr=said,
            text=True,
        )
        try:
            assert process.stdout is not None
            line = process.stdout.readline()
            if not line:
                said.seek(0)
                raise RuntimeError(f"moto's server did not start: {said.read()}")
            yield S3Server(json.loads(line)["url"], bucket, process)
        finally:
            process.send_signal(signal.SIGKILL)
            process.communicate()


def _serve(host: str, port: int, bucket: str) -> None:
    from moto.server import ThreadedMotoServer

    server = ThreadedMotoServer(ip_address=host, port=port, verbose=False)
    server.start()
    at, got = server.get_host_and_port()
    url = f"http://{at}:{got}"
    deadline = time.monotonic() + 30
    while True:
        try:
            urllib.request.urlopen(urllib.request.Request(f"{url}/{bucket}", method="PUT"), timeout=10).close()
            break
        except OSError:
            if time.monotonic() > deadline:
                raise
    print(json.dumps({"url": url}), flush=True)
    sys.stdin.read()
    server.stop()


if __name__ == "__main__":
    _serve(sys.argv[1], int(sys.argv[2]), sys.argv[3])
