"""`ytray up|down|config|doctor`."""

from __future__ import annotations

import json
import os
import signal
import subprocess
import sys
import time
from pathlib import Path
from typing import TYPE_CHECKING, Annotated, TextIO, cast

import typer
from rich.text import Text

from ytray.cli.output import AsJson, Exit, console, guarded, print_json, print_table
from ytray.cli.terminal import harmless_event
from ytray.errors import SystemUnavailable
from ytray.full_disk import LossyStream

if TYPE_CHECKING:
    from ytray.supervision.report import Report

_READY_PATIENCE = 150.0  # seconds until a detached system must be ready
_STOP_PATIENCE = 60.0  # seconds until a stopping system must be gone


def add_to(app: typer.Typer) -> None:
    """Add the commands of this file."""
    for command in (up, down, config, doctor):
        app.command()(guarded(command))


def up(
    detach: Annotated[
        bool, typer.Option("--detach", help="Run in the background; return when the API answers.")
    ] = False,
    with_standby: Annotated[bool, typer.Option("--with-standby", hidden=True)] = False,
    successor: Annotated[bool, typer.Option("--successor", hidden=True)] = False,
    as_json: AsJson = False,
) -> Exit | None:
    """Start the system here, with the API, the console and the Ray dashboard, until Ctrl-C or `ytray down`.

    Every part of it is watched, and brought back when it dies.
    """
    import structlog

    from ytray.settings import settings
    from ytray.system.running import only_one

    home = settings().home
    if detach:
        with only_one(home):  # refuses a second one before anything is started
            pass
        _detach(home, as_json)
        return None
    from ytray.supervision.supervisor import Supervisor

    *prepare, render = structlog.get_config()["processors"]
    structlog.configure(
        processors=[*prepare, harmless_event, render],
        logger_factory=structlog.PrintLoggerFactory(cast("TextIO", LossyStream(sys.stderr))),
    )
    with only_one(home):
        Supervisor(
            home,
            with_standby=with_standby or successor,
            is_successor=successor,
            tell=lambda report: _tell_where(report, as_json),
        ).run()
    return None


def down(as_json: AsJson = False) -> Exit | None:
    """Stop the system that `ytray up` started for this YTRAY_HOME. Accepted jobs stay, and go on at the next start."""
    from ytray.settings import settings

    stopped = _stop(settings().home)
    if as_json:
        print_json({"stopped": stopped})
    else:
        console.print("stopped" if stopped else "nothing was running")
    return None


def _stop(home: Path) -> bool:
    """Stop what runs for that home, and what one that was killed has left; returns whether there was anything."""
    from ytray.settings import settings
    from ytray.supervision.supervisor import sweep
    from ytray.supervision.tree import end_tree
    from ytray.system import ray_cluster, redis_server
    from ytray.system.identity import wait_until_ended
    from ytray.system.running import mark_left, only_one, supervisor_of

    deadline = time.monotonic() + _STOP_PATIENCE
    stopped = False
    while True:
        supervisor = supervisor_of(home)
        if supervisor is not None and supervisor.signal(signal.SIGTERM):
            stopped = True
            if wait_until_ended([supervisor], _STOP_PATIENCE):
                raise SystemUnavailable(f"process {supervisor.pid} did not stop within {_STOP_PATIENCE:.0f} s")
        try:
            with only_one(home):
                mark = mark_left(home)
                if mark is not None:
                    stopped = True
                    end_tree(mark)
                if ray_cluster.owner(home) is None:  # else it is a script's own, which stops with that
                    if settings().redis_url is None:
                        stopped = redis_server.stop(home) or stopped  # left behind by one that was killed
                    sweep(home)
                return stopped
        except SystemUnavailable:  # a successor is just taking over: it is to stop, too
            if time.monotonic() > deadline:
                raise
            time.sleep(0.1)


def config(as_json: AsJson = False) -> Exit | None:
    """Show the settings in force and where each came from; secrets are masked."""
    from ytray.settings import settings

    found = settings()
    rows = []
    for name, field in type(found).model_fields.items():
        variable = str(field.validation_alias or f"YTRAY_{name.upper()}")
        value = getattr(found, name)
        source = "environment" if variable in os.environ else "file" if name in found.model_fields_set else "default"
        rows.append({"setting": variable, "value": _plain(value), "source": source, "about": field.description or ""})
    if as_json:
        print_json({"settings": rows})
    else:
        print_table(("setting", "value", "from", "about"), [tuple(row.values()) for row in rows], "")
    return None


def doctor(as_json: AsJson = False) -> Exit | None:
    """Check everything that ytray stands on, a line each."""
    from ytray.cli.checkup import examine

    findings = examine()
    if as_json:
        print_json({"checks": [finding.__dict__ for finding in findings]})
    else:
        styles = {"ok": "green", "warning": "yellow", "bad": "bold red"}
        for finding in findings:
            mark = Text(f"{finding.state:<8}", styles[finding.state])
            console.print(Text.assemble(mark, (finding.what, "bold"), f": {finding.told}"))
    return Exit.FAILED if any(finding.state == "bad" for finding in findings) else None


def _detach(home: Path, as_json: bool) -> None:
    from ytray.system.parts import read_parts
    from ytray.system.running import supervisor_of

    def is_up() -> bool:
        supervisor = supervisor_of(home)
        if supervisor is None or supervisor.pid != child.pid:
            return False
        return any(part.name == "node" and part.state == "up" for part in read_parts(home))

    log = home / "ytray.log"
    with log.open("ab") as out:
        child = subprocess.Popen(
            [sys.executable, "-m", "ytray", "up", "--with-standby"],
            stdin=subprocess.DEVNULL,
            stdout=out,
            stderr=subprocess.STDOUT,
            start_new_session=True,
        )
    deadline = time.monotonic() + _READY_PATIENCE
    while not is_up():
        code = child.poll()
        if code is not None:
            last = log.read_text(errors="replace").strip().splitlines()[-1:]
            raise SystemUnavailable(f"it did not start (exit code {code}); {log} ends with: {last[0] if last else ''}")
        if time.monotonic() > deadline:
            raise SystemUnavailable(
                f"it did not answer within {_READY_PATIENCE:.0f} s and goes on trying as process {child.pid}; "
                f"{log} tells more, and `ytray down` stops it"
            )
        time.sleep(0.1)
    if as_json:
        print_json({"pid": child.pid, "log": str(log)})
    else:
        console.print(f"running in the background as process {child.pid}; its log is {log}", markup=False)


def _tell_where(report: Report, as_json: bool) -> None:
    dashboard = report.dashboard
    if as_json:
        print_json({"url": report.url, "ray_address": report.ray_address, "dashboard": dashboard})
        sys.stdout.flush()
        return
    token = "" if os.environ.get("RAY_AUTH_MODE") == "disabled" else "RAY_AUTH_MODE=token "
    console.print(f"ytray is up. Console and API: {report.url}", markup=False)
    console.print(f"Ray dashboard: {dashboard}", markup=False)
    console.print("Submit a driver of your own with:", markup=False)
    console.print(
        f"  {token}ray job submit --address {dashboard} --working-dir . -- python your_script.py",
        markup=False,
        soft_wrap=True,
    )
    console.print("Ctrl-C or `ytray down` stops it; accepted jobs stay and go on at the next start.")


def _plain(value: object) -> str:
    from ytray.system.masking import masked

    return masked(json.dumps(value) if isinstance(value, (tuple, list)) else "" if value is None else str(value))
