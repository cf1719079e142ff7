"""The system as `ytray up` runs it: on Ray Serve, beside the Ray dashboard, with drivers of `ray job submit`."""

from __future__ import annotations

import asyncio
import contextlib
import json
import os
import re
import signal
import sys
import textwrap
import threading
from collections.abc import Callable
from pathlib import Path

import httpx
import psutil
import pytest

from tests.serve.conftest import YTRAY, Running
from ytray import JobState
from ytray.client import AsyncClient, Client
from ytray.errors import SystemUnavailable

RAY = str(Path(sys.executable).with_name("ray"))
Until = Callable[..., None]


def test_up_serves_the_api_the_console_and_the_documentation(running: Running) -> None:
    with httpx.Client(base_url=running.url) as api:
        assert api.get("/readyz").json() == {"status": "ok"}
        assert '<script type="module" src="/console/app.js">' in api.get("/").text
        assert api.get("/console/app.js").headers["content-type"].startswith("text/javascript")
        assert "swagger-ui" in api.get("/docs").text
        assert api.get("/swagger/swagger-ui-bundle.js").status_code == 200
        assert api.get("/api/queues").json()["queues"][0]["slots"] >= 1
        assert api.get("/console/../app.py").status_code == 404


def test_nothing_of_the_api_listens_for_other_machines(running: Running) -> None:
    port = httpx.URL(running.url).port
    addresses = [c.laddr for c in psutil.net_connections("tcp") if c.status == psutil.CONN_LISTEN]
    assert {address.ip for address in addresses if address and address.port == port} == {"127.0.0.1"}


def test_a_driver_that_knows_nothing_of_tokens_joins_and_its_job_runs(running: Running) -> None:
    script = running.folder / "driver.py"
    script.write_text(
        "import ray, ytray\n"
        "from tests.serve.tasks_for_serve import square\n"
        "ytray.connect()\n"
        "print(square.delay(12).get(timeout=60))\n"
    )
    done = running.run(sys.executable, str(script))
    assert (done.returncode, done.stdout.strip()) == (0, "144"), done.stderr


def test_jobs_show_under_their_names_in_the_ray_dashboard(running: Running, until: Until) -> None:
    with Client(running.url) as client:
        assert client.wait(client.submit("square", {"number": 3}), timeout=60) == 9

    def listed() -> bool:
        found = running.run(
            RAY, "list", "tasks", "--address", running.dashboard, "--filter", "name=square", "--format", "json"
        )
        return "square" in found.stdout

    running.environment["RAY_AUTH_MODE"] = "token"
    try:
        until(listed, 60)
    finally:
        del running.environment["RAY_AUTH_MODE"]


def test_ray_job_submit_takes_a_users_own_script_and_the_job_outlives_its_driver(
    running: Running, until: Until
) -> None:
    folder = running.folder / "project"
    folder.mkdir()
    gate = running.folder / "the-driver-has-ended"
    (folder / "mine.py").write_text(
        textwrap.dedent(f"""
        import pathlib
        import time
        import ytray
        from ytray import task

        @task()
        def slow_greeting(name: str) -> str:
            while not pathlib.Path({str(gate)!r}).exists():
                time.sleep(0.05)
            return f"hello {{name}}"

        ytray.connect()
        print("JOB", slow_greeting.delay("world").id, flush=True)
        """)
    )
    told = (running.folder / "home" / "ytray.log").read_text()
    printed = re.search(r"RAY_AUTH_MODE=token ray job submit --address (\S+)", told)
    assert printed is not None
    running.environment["RAY_AUTH_MODE"] = "token"
    try:
        done = running.run(
            *(RAY, "job", "submit", "--address", printed[1], "--working-dir", str(folder)),
            *("--", sys.executable, "mine.py"),
        )
    finally:
        del running.environment["RAY_AUTH_MODE"]
    assert done.returncode == 0, done.stdout + done.stderr
    found = re.search(r"JOB (\S+)", done.stdout)
    assert found is not None, done.stdout
    # Whoever is at work was left alone, though Ray gives such a driver a RAY_ADDRESS: no other driver was brought up.
    assert "ray::JobTracker" in actors_of(running)
    assert "ray::Keeper" not in actors_of(running)
    with Client(running.url) as client:
        assert not client.status(found[1]).current_state.has_ended
        gate.touch()
        assert client.wait(found[1], timeout=60) == "hello world"


def actors_of(running: Running) -> set[str]:
    """The titles of Ray's processes that belong to the running system."""
    found = set()
    for process in psutil.process_iter():
        with contextlib.suppress(psutil.Error, OSError):
            if process.environ().get("YTRAY_HOME") == running.environment["YTRAY_HOME"]:
                found.add(process.cmdline()[0].strip())
    return found


@pytest.mark.chaos  # for its length: `make demo` makes a video by the same command, and the next test submits to Ray
def test_ray_job_submit_makes_a_video_with_the_command_line(running: Running) -> None:
    out = running.folder / "videos"
    running.environment["RAY_AUTH_MODE"] = "token"
    try:
        done = running.run(
            *(RAY, "job", "submit", "--address", running.dashboard, "--working-dir", str(Path(__file__).parent), "--"),
            *(sys.executable, "-m", "ytray", "create", "'Why do cats purr?'", "--duration", "5", "--out", str(out)),
            timeout=170,
        )
    finally:
        del running.environment["RAY_AUTH_MODE"]
    assert done.returncode == 0, done.stdout + done.stderr
    assert str(out / "why-do-cats-purr.mp4") in done.stdout
    assert (out / "why-do-cats-purr.mp4").stat().st_size > 100_000


def test_the_command_line_works_from_outside_the_cluster(running: Running, until: Until) -> None:
    environment = {**running.environment, "YTRAY_HOME": str(running.folder / "elsewhere"), "YTRAY_URL": running.url}
    outside = Running(running.url, running.dashboard, environment, running.folder)
    done = outside.run(*YTRAY, "submit", "square", "--args", '{"number": 9}', "--wait")
    assert (done.returncode, json.loads(done.stdout)) == (0, 81), done.stderr
    assert not (running.folder / "elsewhere").exists()
    assert json.loads(outside.run(*YTRAY, "queues", "--json").stdout)["queues"]


def test_a_second_up_is_told_that_one_runs_and_a_taken_port_is_named(running: Running) -> None:
    again = running.run(*YTRAY, "up")
    assert again.returncode == 1
    assert "running already" in again.stderr
    taken = running.run(sys.executable, "-c", STARTED_TWICE)
    assert "there is no API key" in taken.stdout
    assert "cannot be used" in taken.stdout
    assert "YTRAY_HTTP_PORT" in taken.stdout


STARTED_TWICE = """
import os
import ytray
from ytray.api.deployment import start
from ytray.settings import settings

ytray.connect()
for host in ("0.0.0.0", "127.0.0.1"):
    os.environ["YTRAY_HTTP_HOST"] = host
    settings.cache_clear()
    try:
        start()
    except ytray.SystemUnavailable as refused:
        print(refused)
"""


def test_while_no_replica_is_there_a_client_waits_or_is_told_to_come_again(running: Running, until: Until) -> None:
    told: list[httpx.Response] = []

    def answered() -> bool:
        with contextlib.suppress(httpx.TransportError):  # a connection that went to the replica ends with it
            told.append(httpx.get(f"{running.url}/api/queues", timeout=30))
        return bool(told) and told[-1].is_success

    for process in _of_this_system(running, "ray::ServeReplica:ytray:api"):
        os.kill(process.pid, signal.SIGKILL)
    until(answered, 60)
    for refusal in told[:-1]:
        assert refusal.headers["content-type"] == "application/problem+json", refusal.text
        if refusal.status_code == 502:
            continue  # it had gone to the replica that died
        assert refusal.status_code == 503, refusal.text
        assert int(refusal.headers["retry-after"]) >= 1
        assert "is being started again" in refusal.json()["detail"]
    until(lambda: httpx.get(f"{running.url}/readyz").is_success, 60)


async def _cancelled(client: AsyncClient, job_id: str) -> None:
    """Cancel a job; where the replica died before it answered, see what became of it: the client does not guess."""
    try:
        await client.cancel(job_id)
    except SystemUnavailable:
        if (await client.status(job_id)).current_state is not JobState.CANCELLED:
            await client.cancel(job_id)


@pytest.mark.parametrize("clients", [40, pytest.param(200, marks=pytest.mark.chaos)])
def test_a_storm_of_clients_loses_nothing_while_a_replica_and_the_tracker_are_killed(
    running: Running, until: Until, clients: int
) -> None:
    accepted: list[str] = []
    cancelled: set[str] = set()
    missing: list[str] = []
    killed: list[int] = []
    over = threading.Event()

    async def one(number: int, client: AsyncClient) -> None:
        for n in range(5):
            job_id = await client.submit("square", {"number": number * 10 + n}, user_id=f"user-{number}")
            accepted.append(job_id)
            match (number + n) % 5:
                case 0:
                    await client.jobs(user_id=f"user-{number}", limit=5)
                case 1:
                    later = await client.submit("square", {"number": 1}, delay=600)
                    accepted.append(later)
                    await _cancelled(client, later)
                    cancelled.add(later)
                case 2:
                    await client.history(job_id)
                case 3:
                    await client.queues()
            if (await client.status(job_id)).job_id != job_id:
                missing.append(job_id)

    async def storm() -> None:
        async with AsyncClient(running.url, timeout=60, tries=12) as client:
            await asyncio.gather(*(one(number, client) for number in range(clients)))

    def kill() -> None:
        for title in ("ray::ServeReplica:ytray:api", "ray::JobTracker"):
            until(lambda: over.is_set() or len(accepted) >= (len(killed) + 1) * clients, 120)
            for process in _of_this_system(running, title):
                os.kill(process.pid, signal.SIGKILL)
                killed.append(process.pid)

    killer = threading.Thread(target=kill)
    killer.start()
    try:
        asyncio.run(storm())
    finally:
        over.set()
        killer.join()
    assert len(killed) >= 2
    assert not missing
    assert len(accepted) >= 5 * clients
    with Client(running.url, tries=12) as client:

        def all_ended() -> bool:
            states = {job_id: client.status(job_id).current_state for job_id in accepted}
            return all(
                state == (JobState.CANCELLED if job_id in cancelled else JobState.COMPLETED)
                for job_id, state in states.items()
            )

        until(all_ended, 120)


def _of_this_system(running: Running, title: str) -> list[psutil.Process]:
    """Its processes of that title: another cluster may run on this machine."""
    found = []
    for process in psutil.process_iter():
        try:
            if process.name().startswith("ray::") or title in " ".join(process.cmdline()):
                mine = process.environ().get("YTRAY_HOME") == running.environment["YTRAY_HOME"]
                if mine and " ".join(process.cmdline()).startswith(title):
                    found.append(process)
        except psutil.Error:
            continue
    return found
