"""What HAProxy answers itself, where no replica does: by Serve's own template and its own binary, without a cluster."""

from __future__ import annotations

import json
import os
import subprocess
import sys
import tempfile

from tests.serve import haproxy_alone


def test_nobody_and_a_broken_off_answer_are_problems_and_told_apart() -> None:
    with tempfile.TemporaryDirectory(prefix="ytray-test-") as folder:  # short: it holds sockets
        done = subprocess.run(
            [sys.executable, "-m", haproxy_alone.__name__, folder],
            env={**os.environ, "YTRAY_HOME": f"{folder}/h"}, capture_output=True, text=True, timeout=120,
        )  # fmt: skip
    assert done.returncode == 0, done.stderr
    nobody, broken_off = json.loads(done.stdout.splitlines()[-1])
    assert nobody["status"] == 503  # clients take this for "nothing was done", and send again
    assert broken_off["status"] == 502
    for told in (nobody, broken_off):
        problem = json.loads(told["body"])
        assert told["headers"]["content-type"] == "application/problem+json"
        assert int(told["headers"]["retry-after"]) >= 1
        assert problem["status"] == told["status"]
    assert "nothing was done" in json.loads(nobody["body"])["detail"]
    assert "may have been done or not" in json.loads(broken_off["body"])["detail"]
