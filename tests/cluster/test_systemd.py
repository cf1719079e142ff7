"""The unit for one machine: systemd itself reads it, and what it names is what ytray uses."""

from __future__ import annotations

import os
import re
import subprocess
from pathlib import Path

import pytest

from tests.cluster.reading import CLUSTER, REPOSITORY, wanted
from ytray.cli.output import Exit

UNIT = CLUSTER / "systemd" / "ytray.service"
OPERATIONS = (REPOSITORY / "docs" / "operations.md").read_text()
HOME = "/var/lib/ytray"
_PARTLY = 2.0  # of 10, the exposure up to which systemd calls a service OK


def service() -> dict[str, str]:
    """What the unit says, keys that it repeats joined by spaces."""
    told: dict[str, str] = {}
    for line in UNIT.read_text().splitlines():
        key, is_set, value = line.partition("=")
        if is_set and not key.startswith("#"):
            told[key] = f"{told[key]} {value}" if key in told else value
    return told


@pytest.fixture
def installed(tmp_path: Path) -> Path:
    """The unit as it is, but for the program, which is elsewhere on this machine."""
    copy = tmp_path / UNIT.name
    program = tmp_path / "ytray"
    program.touch(mode=0o755)
    copy.write_text(UNIT.read_text().replace("ExecStart=/opt/ytray/bin/ytray", f"ExecStart={program}"))
    return copy


def analyze(*arguments: str | Path) -> subprocess.CompletedProcess[str]:
    return subprocess.run(
        [wanted("systemd-analyze", "systemd"), *arguments],
        env={**os.environ, "SYSTEMD_COLORS": "0", "SYSTEMD_PAGER": "cat"},
        capture_output=True,
        text=True,
        timeout=60,
        check=False,
    )


def test_systemd_takes_it_without_a_word(installed: Path) -> None:
    done = analyze("verify", "--man=no", installed)
    assert done.returncode == 0, done.stderr
    assert UNIT.name not in done.stderr, done.stderr  # keys that it does not know are told, and ignored


def test_a_key_that_systemd_does_not_know_would_be_found(installed: Path) -> None:
    installed.write_text(installed.read_text().replace("WatchdogSec", "WatchdogSeconds"))
    assert "WatchdogSeconds" in analyze("verify", "--man=no", installed).stderr


def test_it_is_as_locked_down_as_the_docs_say(installed: Path) -> None:
    told = analyze("security", "--offline=yes", installed).stdout
    exposure = re.search(r"exposure level for ytray\.service: ([\d.]+)", told)
    assert exposure is not None, told
    assert float(exposure[1]) <= _PARTLY
    assert re.search(r"`systemd-analyze security ytray`\s+gives\s+it\s+1\.7", OPERATIONS)


def test_it_is_watched_restarted_and_keeps_all_in_its_home() -> None:
    told = service()
    assert told["Type"] == "notify"
    assert (told["Restart"], told["RestartPreventExitStatus"]) == ("on-failure", str(int(Exit.BAD_INPUT)))
    assert told["KillMode"] == "mixed"  # `ytray up` stops its parts in order; else all would be told at once
    assert told["OOMPolicy"] == "continue"
    assert told["StateDirectory"] == "ytray ytray/tmp"
    for name, value in (("YTRAY_HOME", HOME), ("TMPDIR", f"{HOME}/tmp"), ("HOME", HOME)):
        assert f"{name}={value}" in told["Environment"].split()
    assert told["User"] == told["Group"] == "ytray"


def test_the_docs_install_what_the_unit_names() -> None:
    told = service()
    program, command = told["ExecStart"].split()
    assert command == "up"
    for named in (str(Path(program).parents[1]), "cluster/systemd/ytray.service", told["EnvironmentFile"].lstrip("-")):
        assert named in OPERATIONS, named
