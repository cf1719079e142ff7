"""What the documentation promises, and whole systems beside the session's own."""

from __future__ import annotations

import json
import os
import re
import subprocess
import sys
from pathlib import Path
from typing import Any

from ytray.system.ray_cluster import recorded

DOCS = Path(__file__).parents[2] / "docs" / "redis.md"


def documented_user(name: str, namespace: str, password: str) -> list[str]:
    """The words of the line of docs/redis.md that makes a user."""
    (line,) = re.findall(rf"^ACL SETUSER {name} .*$", DOCS.read_text(), re.MULTILINE)
    return str(line).replace("{ytray}", f"{{{namespace}}}").replace("PASSWORD", password).split()


def run_whole_system(home: Path, **environment: str) -> dict[str, Any]:
    """Run whole_system.py on the session's Ray cluster; returns what it printed."""
    ran = subprocess.run(
        [sys.executable, "-m", "tests.redis.whole_system"],
        env={**os.environ, "RAY_ADDRESS": recorded(home) or "", **environment},
        cwd=Path(__file__).parents[2],
        capture_output=True,
        text=True,
        timeout=120,
        check=False,
    )
    assert ran.returncode == 0, ran.stderr[-4000:]
    assert "s3cret" not in ran.stderr + ran.stdout
    told: dict[str, Any] = json.loads(next(line for line in ran.stdout.splitlines() if line.startswith("{")))
    return told
