"""The image: its file is linted, and the steps that install the program are run here, outside of a container."""

from __future__ import annotations

import os
import re
import shutil
import subprocess
import sys
from pathlib import Path

from tests.cluster.machines import find_uv
from tests.cluster.reading import CLUSTER, REPOSITORY
from ytray.api.environment import SERVE_ENVIRONMENT

DOCKERFILE = CLUSTER / "Dockerfile"


def instructions(word: str) -> list[str]:
    """What follows each such instruction, continued lines joined."""
    joined = re.sub(r"(?m)^#.*\n", "", DOCKERFILE.read_text()).replace("\\\n", " ")
    return [line.removeprefix(f"{word} ").strip() for line in joined.splitlines() if line.startswith(f"{word} ")]


def test_hadolint_is_content() -> None:
    linter = Path(sys.executable).parent / "hadolint"
    done = subprocess.run([linter, DOCKERFILE], capture_output=True, text=True, timeout=60, check=False)
    assert done.returncode == 0, done.stdout + done.stderr


def test_the_image_has_both_targets_pins_its_base_and_is_no_root() -> None:
    stages = instructions("FROM")
    assert [stage.split(" AS ")[1] for stage in stages] == ["build", "cpu", "cuda"]
    assert re.fullmatch(r"PYTHON=3\.11\.\d+-slim-bookworm(@sha256:\w{64})?", instructions("ARG")[0])
    assert instructions("USER") == ["10001:10001"]
    assert instructions("HEALTHCHECK")
    told = " ".join(instructions("ENV"))
    for name, value in SERVE_ENVIRONMENT.items():
        assert f"{name}={value}" in told
    assert "RAY_AUTH_MODE=token" in told


def test_the_first_process_is_an_init_that_reaps_and_hands_signals_to_ytray_alone() -> None:
    assert instructions("ENTRYPOINT") == ['["tini", "-s", "--"]']  # -g would have each process of Ray stop by itself
    assert instructions("CMD") == ['["ytray", "up"]']
    (packages,) = [step for step in instructions("RUN") if "apt-get install" in step]
    assert " tini " in packages


def test_what_is_copied_exists_and_is_not_ignored() -> None:
    taken = {line[1:] for line in (REPOSITORY / ".dockerignore").read_text().splitlines() if line.startswith("!")}
    sources = [
        source
        for copied in instructions("COPY")
        if "--from" not in copied
        for source in [part for part in copied.split() if not part.startswith("--")][:-1]
    ]
    assert set(sources) == taken
    for source in sources:
        assert (REPOSITORY / source).exists(), source


def test_the_steps_of_the_build_make_a_program_that_runs(tmp_path: Path) -> None:
    for source in ("pyproject.toml", "uv.lock", "README.md"):
        shutil.copy(REPOSITORY / source, tmp_path)
    environment = {
        "PATH": f"{Path(find_uv()).parent}:{os.environ['PATH']}",
        "HOME": os.environ.get("HOME", "/root"),
        "UV_PROJECT_ENVIRONMENT": str(tmp_path / "ytray-env"),
        "UV_PYTHON": os.path.realpath(sys.executable),
        "UV_PYTHON_DOWNLOADS": "never",
        # From uv's cache, which `make setup` has filled, and as links: the image takes copies from the network.
        "UV_OFFLINE": "1",
        "UV_LINK_MODE": "symlink",
    }
    steps = [step.replace("--no-cache ", "") for step in instructions("RUN") if step.startswith("uv sync")]
    assert len(steps) == 2
    for step in steps:
        if "--no-install-project" not in step:
            shutil.copytree(REPOSITORY / "ytray", tmp_path / "ytray", ignore=shutil.ignore_patterns("__pycache__"))
        subprocess.run(step.split(), cwd=tmp_path, env=environment, check=True, capture_output=True, timeout=90)
    programs = tmp_path / "ytray-env" / "bin"
    assert {"ray", "serve", "ytray"} <= {path.name for path in programs.iterdir()}
    elsewhere = {**environment, "YTRAY_HOME": str(tmp_path / "home")}
    done = subprocess.run(
        [programs / "ytray", "config", "--json"],
        cwd=programs,
        env=elsewhere,
        capture_output=True,
        text=True,
        timeout=60,
    )
    assert done.returncode == 0, done.stderr
    packaged = next((tmp_path / "ytray-env" / "lib").glob("python3*/site-packages/ytray"))
    for needed in ("api/console/index.html", "engine/state/lua/claim.lua", "py.typed"):
        assert (packaged / needed).is_file() == (REPOSITORY / "ytray" / needed).is_file(), needed
