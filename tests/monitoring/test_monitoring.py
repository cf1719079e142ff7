"""Dashboards and alerts speak of metrics that exist, and a real Prometheus takes them."""

from __future__ import annotations

import json
import os
import re
import shutil
import socket
import subprocess
from collections.abc import Callable
from pathlib import Path

import httpx
import pytest

from tests.engine.tasks_for_tests import add
from ytray import metrics
from ytray.engine.state.store import Store

MONITORING = Path(__file__).parents[2] / "cluster" / "monitoring"
TESTS = ("alerts_test.yml", "alerts_of_days_test.yml")
SUFFIXES = ("_bucket", "_sum", "_count")


def tool(name: str) -> str:
    found = shutil.which(name)
    if found is None:
        told = f"{name} is missing: apt-get install prometheus"
        if os.environ.get("CI") == "true":
            pytest.fail(told)
        pytest.skip(told)
    return found


def expressions() -> list[str]:
    found = re.findall(r"expr: (?:\|\n)?((?:.+\n)+?)\s+(?:for|labels):", (MONITORING / "alerts.yml").read_text())
    for dashboard in (MONITORING / "dashboards").glob("*.json"):
        told = json.loads(dashboard.read_text())
        found += [target["expr"] for panel in told["panels"] for target in panel["targets"]]
        found += [variable["query"]["query"] for variable in told["templating"]["list"] if variable["type"] == "query"]
    return found


@pytest.mark.parametrize(
    "arguments",
    [("check", "rules", "alerts.yml"), ("check", "config", "prometheus.yml"), ("test", "rules", *TESTS)],
)
def test_promtool_is_content(arguments: tuple[str, ...]) -> None:
    done = subprocess.run(
        [tool("promtool"), *arguments], cwd=MONITORING, capture_output=True, text=True, timeout=60, check=False
    )
    assert done.returncode == 0, done.stdout + done.stderr


def test_every_alert_is_tested_and_explained() -> None:
    alerts = re.findall(r"alert: (\w+)", (MONITORING / "alerts.yml").read_text())
    tests = "".join((MONITORING / name).read_text() for name in TESTS)
    explained = (MONITORING.parents[1] / "docs" / "operations.md").read_text()
    assert len(alerts) >= 10
    for alert in alerts:
        assert f"{alert} fires" in tests, alert
        assert f"{alert} stays quiet" in tests, alert
        assert f"**{alert}**" in explained, alert


@pytest.mark.parametrize("namespace", ["ytray", "celery"])
def test_dashboards_and_alerts_speak_of_metrics_that_exist(
    system: Store, with_settings: Callable[..., None], namespace: str
) -> None:
    add.delay(1).get(timeout=30)
    with_settings(metrics_namespace=namespace)
    told = metrics.render().decode()
    families = set(re.findall(r"^# TYPE (\S+)", told, re.MULTILINE))
    used = {
        name
        for expression in expressions()
        for name in re.findall(r"\bytray_[a-z_]+", expression.replace("${ns}", "ytray"))
    }
    assert len(used) >= 12
    for name in used:
        wanted = namespace + name.removeprefix("ytray")
        bare = next((wanted.removesuffix(end) for end in SUFFIXES if wanted.endswith(end)), wanted)
        assert {wanted, bare} & families, f"{wanted} is not among {sorted(families)}"


def test_a_real_prometheus_scrapes_the_api_and_loads_the_rules(
    api_url: str, tmp_path: Path, until: Callable[..., None]
) -> None:
    add.delay(2).get(timeout=30)
    config = (MONITORING / "prometheus.yml").read_text()
    config = config.replace("127.0.0.1:8000", httpx.URL(api_url).netloc.decode()).replace("15s", "1s")
    (tmp_path / "prometheus.yml").write_text(config)
    shutil.copy(MONITORING / "alerts.yml", tmp_path)
    with socket.socket() as probe:
        probe.bind(("127.0.0.1", 0))
        port = probe.getsockname()[1]
    server = subprocess.Popen(
        [
            tool("prometheus"),
            f"--config.file={tmp_path}/prometheus.yml",
            f"--storage.tsdb.path={tmp_path}/data",
            f"--web.listen-address=127.0.0.1:{port}",
        ],
        stdout=subprocess.DEVNULL,
        stderr=subprocess.DEVNULL,
    )
    try:
        with httpx.Client(base_url=f"http://127.0.0.1:{port}") as prometheus:

            def value(query: str) -> float | None:
                try:
                    found = prometheus.get("/api/v1/query", params={"query": query}).json()["data"]["result"]
                except (httpx.TransportError, ValueError):
                    return None  # it is still starting
                return float(found[0]["value"][1]) if found else None

            until(lambda: value("up") == 1, 60)
            until(lambda: value('ytray_tasks_total{task_name="add",status="completed"}'), 60)
            assert value('ytray_queue_depth{queue="media"}') is not None
            groups = prometheus.get("/api/v1/rules").json()["data"]["groups"]
            assert len(groups[0]["rules"]) == 16
    finally:
        server.terminate()
        server.wait(60)
