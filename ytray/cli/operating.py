"""`ytray up|down|config|doctor`."""

from __future__ import annotations

import json
import os
import signal
import subprocess
import sys
import threading
import time
from pathlib import Path
from typing import Annotated

import psutil
import typer

from ytray.cli.output import AsJson, Exit, console, guarded, print_json, print_table
from ytray.errors import SystemUnavailable

_READY_PATIENCE = 120.0  # seconds until a detached system must be ready
_STOP_PATIENCE = 60.0  # seconds until a stopping system must be gone


def add_to(app: typer.Typer) -> None:
    """Add the commands of this file."""
    for command in (up, down, config, doctor):
        app.command()(guarded(command))


def up(
    detach: Annotated[bool, typer.Option("--detach", help="Run in the background; return when it is ready.")] = False,
    as_json: AsJson = False,
) -> Exit | None:
    """Start the system here, with the API, the console and the Ray dashboard, until Ctrl-C or `ytray down`."""
    import ytray
    from ytray.api.environment import prepare_environment
    from ytray.settings import settings

    running = _running(settings().home)
    if running is not None:
        raise SystemUnavailable(f"it is running already (process {running.pid}); `ytray down` stops it")
    if detach:
        _detach(settings().home, as_json)
        return None
    prepare_environment()
    ytray.connect(dashboard=True)
    from ytray.api import deployment

    try:
        url = deployment.start()
        _tell_where(url, as_json)
        stop = threading.Event()
        for number in (signal.SIGINT, signal.SIGTERM):
            signal.signal(number, lambda *_: stop.set())
        _pid_file(settings().home).write_text(str(os.getpid()))
        stop.wait()
        _pid_file(settings().home).unlink(missing_ok=True)
        deployment.stop()
    finally:
        ytray.shutdown()
    return None


def down(as_json: AsJson = False) -> Exit | None:
    """Stop the system that `ytray up` started for this YTRAY_HOME. Accepted jobs stay, and go on at the next start."""
    from ytray.settings import settings
    from ytray.system import redis_server

    running = _running(settings().home)
    if running is not None:
        running.terminate()
        try:
            running.wait(_STOP_PATIENCE)
        except psutil.TimeoutExpired:
            raise SystemUnavailable(f"process {running.pid} did not stop within {_STOP_PATIENCE:.0f} s") from None
    elif settings().redis_url is None:
        redis_server.stop(settings().home)  # left behind by a driver that was killed
    if as_json:
        print_json({"stopped": running is not None})
    else:
        console.print("stopped" if running is not None else "nothing was running")
    return None


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
        marks = {"ok": "[green]ok[/]", "warning": "[yellow]warning[/]", "bad": "[bold red]bad[/]"}
        for finding in findings:
            console.print(f"{marks[finding.state]:<20} [bold]{finding.what}[/]: ", end="")
            console.print(finding.told, markup=False)
    return Exit.FAILED if any(finding.state == "bad" for finding in findings) else None


def _detach(home: Path, as_json: bool) -> None:
    log = home / "ytray.log"
    home.mkdir(parents=True, exist_ok=True, mode=0o700)
    with log.open("ab") as out:
        child = subprocess.Popen(
            [sys.executable, "-m", "ytray", "up"],
            stdin=subprocess.DEVNULL,
            stdout=out,
            stderr=subprocess.STDOUT,
            start_new_session=True,
        )
    deadline = time.monotonic() + _READY_PATIENCE
    while not _pid_file(home).exists():
        if child.poll() is not None or time.monotonic() > deadline:
            last = log.read_text(errors="replace").strip().splitlines()[-1:]
            raise SystemUnavailable(f"it did not start; {log} ends with: {last[0] if last else 'nothing'}")
        time.sleep(0.1)
    if as_json:
        print_json({"pid": child.pid, "log": str(log)})
    else:
        console.print(f"running in the background as process {child.pid}; its log is {log}", markup=False)


def _tell_where(url: str, as_json: bool) -> None:
    import ray

    from ytray.settings import settings
    from ytray.system.ray_cluster import recorded

    context = ray.get_runtime_context()
    address, dashboard = str(context.gcs_address), recorded(settings().home, "dashboard") or ""
    if as_json:
        print_json({"url": url, "ray_address": address, "dashboard": dashboard})
        sys.stdout.flush()
        return
    token = "" if os.environ.get("RAY_AUTH_MODE") == "disabled" else "RAY_AUTH_MODE=token "
    console.print(f"ytray is up. Console and API: {url}", markup=False)
    console.print(f"Ray dashboard: {dashboard}", markup=False)
    console.print("Submit a driver of your own with:", markup=False)
    console.print(
        f"  {token}ray job submit --address {dashboard} --working-dir . -- python your_script.py",
        markup=False,
        soft_wrap=True,
    )
    console.print("Ctrl-C stops it; accepted jobs stay and go on at the next start.")


def _pid_file(home: Path) -> Path:
    return home / "up.pid"


def _running(home: Path) -> psutil.Process | None:
    """The process of `ytray up` for that home, if it lives."""
    try:
        process = psutil.Process(int(_pid_file(home).read_text()))
    except (OSError, ValueError, psutil.NoSuchProcess):
        return None
    try:
        return process if "up" in process.cmdline() else None
    except psutil.Error:
        return None


def _plain(value: object) -> str:
    return json.dumps(value) if isinstance(value, (tuple, list)) else "" if value is None else str(value)
