"""What the tests of the cluster files share: where these files are, and how they are read."""

from __future__ import annotations

import os
import shutil
import subprocess
from pathlib import Path
from typing import Any

import pytest
import yaml

REPOSITORY = Path(__file__).parents[2]
CLUSTER = REPOSITORY / "cluster"
LAUNCHED = (REPOSITORY / "cluster.yaml", CLUSTER / "on-premise.yaml")


def document(path: Path) -> dict[str, Any]:
    """The one document of a YAML file."""
    read = yaml.safe_load(path.read_text())
    assert isinstance(read, dict)
    return read


def node_environment(home: Path = Path("/nonexistent")) -> dict[str, str]:
    """What cluster/node-environment.sh sets for a user with this home."""
    told = subprocess.run(
        ["bash", "-c", f". {CLUSTER}/node-environment.sh && env -0"],
        env={"HOME": str(home), "PATH": os.environ["PATH"]},
        capture_output=True,
        text=True,
        check=True,
    ).stdout
    return dict(line.split("=", 1) for line in told.split("\0") if line)


def wanted(program: str, package: str) -> str:
    """The path of a program that a test needs. Without it the test is skipped, and fails in CI."""
    found = shutil.which(program) or shutil.which(program, path="/usr/sbin:/sbin")
    if found is None:
        told = f"{program} is missing: apt-get install {package}"
        if os.environ.get("CI") == "true":
            pytest.fail(told)
        pytest.skip(told)
    return found
