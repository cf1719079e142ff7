"""The Compose file for one machine: against the Compose specification, and against what it refers to."""

from __future__ import annotations

import re
import shutil
import subprocess
import sys
from collections.abc import Callable
from pathlib import Path
from typing import Any

import pytest
import redis

from tests.cluster.reading import CLUSTER, REPOSITORY, document, wanted
from ytray.api.keys import KeyRing
from ytray.engine.state.store import Store
from ytray.system import redis_server

COMPOSE = CLUSTER / "compose.yaml"
MONITORING = CLUSTER / "monitoring"


def services() -> dict[str, Any]:
    found = document(COMPOSE)["services"]
    assert isinstance(found, dict)
    return found


def test_it_is_what_the_compose_specification_asks_for() -> None:
    checker = Path(sys.executable).parent / "check-jsonschema"
    done = subprocess.run(
        [checker, "--builtin-schema", "vendor.compose-spec", COMPOSE],
        capture_output=True,
        text=True,
        timeout=60,
        check=False,
    )
    assert done.returncode == 0, done.stdout + done.stderr


def test_what_it_mounts_and_builds_exists() -> None:
    declared = document(COMPOSE)
    for name, service in services().items():
        for volume in service.get("volumes", []):
            source = volume.split(":")[0]
            if source.startswith("."):
                assert (CLUSTER / source).exists(), source
            else:
                assert source in declared["volumes"], name
        assert set(service["secrets"]) <= set(declared["secrets"]), name
        assert set(service["networks"]) <= set(declared["networks"]), name
    build = services()["ytray"]["build"]
    assert (CLUSTER / build["context"]).resolve() == REPOSITORY
    assert (REPOSITORY / build["dockerfile"]).is_file()
    assert f" AS {build['target']}\n" in (REPOSITORY / build["dockerfile"]).read_text()


def test_services_are_healthy_pinned_locked_down_and_open_to_this_machine_alone() -> None:
    for name, service in services().items():
        assert "healthcheck" in service, name
        assert re.search(r":[v\d]", service["image"]) or service["image"] == "ytray:cpu", name
        assert service["cap_drop"] == ["ALL"], name
        assert service["security_opt"] == ["no-new-privileges:true"], name
        assert all(port.startswith("127.0.0.1:") for port in service.get("ports", [])), name
        assert name == "ytray" or service["user"].split(":")[0] not in ("0", "root"), name  # ytray's image has its own
    assert services()["redis"]["networks"] == ["inside"]
    assert {name for name, service in services().items() if "inside" in service["networks"]} == {"redis", "ytray"}
    assert document(COMPOSE)["networks"]["inside"] == {"internal": True}
    for watching, watched in (("prometheus", "ytray"), ("grafana", "prometheus")):
        assert set(services()[watching]["networks"]) & set(services()[watched]["networks"]), watching


def test_ended_processes_are_taken_note_of_and_the_system_has_time_to_stop() -> None:
    ytray = services()["ytray"]
    assert ytray["init"] is True
    assert ytray["command"][-1].rstrip().endswith("exec ytray up")  # so that signals reach it
    assert ytray["stop_grace_period"] == "60s"


def test_films_in_the_making_are_on_the_disk_of_the_home_and_not_in_memory() -> None:
    ytray = services()["ytray"]
    assert "tmpfs" not in ytray
    (mounted,) = [volume.split(":")[1] for volume in ytray["volumes"]]
    assert f"YTRAY_HOME={mounted} " in (REPOSITORY / ytray["build"]["dockerfile"]).read_text()
    assert Path(ytray["environment"]["TMPDIR"]).parent == Path(mounted)
    assert 'mkdir -m 700 "$$TMPDIR" && exec ytray up' in ytray["command"][-1]  # a folder that is missing is not used


def test_secrets_are_files_that_git_does_not_take() -> None:
    for secret in document(COMPOSE)["secrets"].values():
        assert secret["file"].startswith("./secrets/")
    assert (CLUSTER / "secrets" / ".gitignore").read_text().splitlines() == ["*", "!.gitignore"]
    explained = (REPOSITORY / "docs" / "clusters.md").read_text()
    for name in document(COMPOSE)["secrets"]:
        assert f"cluster/secrets/{name}" in explained, name


def test_its_prometheus_takes_the_same_alerts() -> None:
    done = subprocess.run(
        [
            wanted("promtool", "prometheus"),
            "check",
            "config",
            "--syntax-only",
            MONITORING / "compose" / "prometheus.yml",
        ],
        capture_output=True,
        text=True,
        timeout=60,
        check=False,
    )
    assert done.returncode == 0, done.stdout + done.stderr
    config = document(MONITORING / "compose" / "prometheus.yml")
    mounted = dict(volume.split(":")[:2] for volume in services()["prometheus"]["volumes"])
    assert config["rule_files"] == [mounted["./monitoring/alerts.yml"]]
    key = config["scrape_configs"][0]["authorization"]["credentials_file"]
    assert key.removeprefix("/run/secrets/") in services()["prometheus"]["secrets"]
    host, port = config["scrape_configs"][0]["static_configs"][0]["targets"][0].split(":")
    assert host in services()
    assert services()[host]["ports"] == [f"127.0.0.1:{port}:{port}"]


def test_the_keys_of_the_docs_may_do_what_they_are_for(bare_store: Store, with_settings: Callable[..., None]) -> None:
    made = re.search(r'echo -n "(admin:.*)" > api_keys', (REPOSITORY / "docs" / "clusters.md").read_text())
    assert made is not None
    with_settings(api_keys=re.sub(r"\$\(cat (\w+)\)", r"\1-for-this-test", made[1]))
    keys = KeyRing(bare_store)
    assert keys.caller("admin_key-for-this-test").scopes == {"read", "submit", "admin"}
    prometheus = keys.caller("metrics_key-for-this-test")
    assert prometheus.sees_only is None  # the metrics tell of all users
    assert prometheus.scopes == {"metrics"}


def test_grafana_finds_its_dashboards_and_its_prometheus() -> None:
    mounted = dict(volume.split(":")[:2] for volume in services()["grafana"]["volumes"])
    folder = document(MONITORING / "compose" / "dashboards.yml")["providers"][0]["options"]["path"]
    assert mounted["./monitoring/dashboards"] == folder
    (source,) = document(MONITORING / "compose" / "datasource.yml")["datasources"]
    host, port = source["url"].removeprefix("http://").split(":")
    assert services()[host]["ports"] == [f"127.0.0.1:{port}:{port}"]


def answers(client: redis.Redis) -> bool:
    """Its socket is there a moment before it listens."""
    try:
        return bool(client.ping())
    except redis.ConnectionError:
        return False


@pytest.mark.parametrize("name", ["redis", "ytray"])
def test_the_commands_of_a_service_are_good_shell(name: str) -> None:
    command = services()[name]["command"][-1].replace("$$", "$")
    subprocess.run([wanted("bash", "bash"), "-n", "-c", command], check=True)


def test_redis_starts_with_the_password_of_the_file_and_keeps_everything(
    tmp_path: Path, until: Callable[..., None]
) -> None:
    binary, _ = redis_server.find_binary()
    (tmp_path / "redis_password").write_text("for-this-test\n")
    (tmp_path / "bin").mkdir()
    (tmp_path / "bin" / "redis-server").symlink_to(shutil.which(binary) or binary)
    command = services()["redis"]["command"][-1].replace("$$", "$")
    for told, here in (("/run/secrets/", f"{tmp_path}/"), ("/tmp/redis.conf", f"{tmp_path}/redis.conf")):
        command = command.replace(told, here)
    command = command.replace("--dir /data", f"--dir {tmp_path} --port 0 --unixsocket {tmp_path}/redis.sock")
    server = subprocess.Popen(
        ["sh", "-c", command], env={"PATH": f"{tmp_path}/bin:/usr/bin:/bin"}, stdout=subprocess.DEVNULL
    )
    try:
        client = redis.Redis.from_url(f"unix://:for-this-test@{tmp_path}/redis.sock")
        until(lambda: answers(client))
        assert client.config_get("appendonly") == {"appendonly": "yes"}
        assert client.config_get("maxmemory-policy") == {"maxmemory-policy": "noeviction"}
    finally:
        server.terminate()
        server.wait(60)
