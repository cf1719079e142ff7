"""Another user of the same machine: what of Ray, HAProxy and the settings is there to be read or entered."""

from __future__ import annotations

import logging
import os
import subprocess
import sys
from collections.abc import Callable
from concurrent.futures import ThreadPoolExecutor
from pathlib import Path

import grpc
import httpx
import pytest

from ytray.cli import privacy
from ytray.engine.base import logs, webhook
from ytray.errors import SystemUnavailable
from ytray.system.private import keep_ray_token, private_folder
from ytray.system.ray_cluster import asks_for_a_token


def test_ray_s_token_is_for_its_owner_alone(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    for name in ("RAY_AUTH_TOKEN", "RAY_AUTH_TOKEN_PATH", "RAY_AUTH_MODE"):
        monkeypatch.delenv(name, raising=False)
    monkeypatch.setenv("HOME", str(tmp_path))
    before = os.umask(0)
    try:
        keep_ray_token()
    finally:
        os.umask(before)
    token = tmp_path / ".ray" / "auth_token"
    made = token.read_text()
    assert len(made) == 64
    assert (token.stat().st_mode & 0o777, token.parent.stat().st_mode & 0o777) == (0o600, 0o700)
    # As Ray leaves it.
    token.chmod(0o644)
    token.parent.chmod(0o755)
    assert any("token" in told for told in privacy.open_doors())
    keep_ray_token()
    assert token.read_text() == made
    assert (token.stat().st_mode & 0o777, token.parent.stat().st_mode & 0o777) == (0o600, 0o700)
    assert not any("token" in told for told in privacy.open_doors())


def test_a_home_that_others_can_enter_is_told(tmp_path: Path, with_settings: Callable[..., None]) -> None:
    home = tmp_path / "home"
    with_settings(home=home)
    for mode, is_open in ((0o755, True), (0o711, True), (0o700, False)):
        home.mkdir(exist_ok=True)
        home.chmod(mode)
        assert any(str(home) in told for told in privacy.open_doors()) is is_open


def test_sockets_are_in_a_folder_that_nobody_else_enters(tmp_path: Path) -> None:
    tmp_path.chmod(0o755)
    long = tmp_path / ("x" * 90)
    for home in (tmp_path / "h", long):
        folder = private_folder(home, "run", room=10)
        assert folder.stat().st_mode & 0o777 == 0o700
        folder.chmod(0o777)
        assert private_folder(home, "run", room=10) == folder
        assert folder.stat().st_mode & 0o777 == 0o700
    folder = private_folder(long, "run", room=10)
    folder.rmdir()
    folder.symlink_to(tmp_path)  # of whoever was there first
    try:
        with pytest.raises(SystemUnavailable, match="belongs to somebody else"):
            private_folder(long, "run", room=10)
    finally:
        folder.unlink()


def test_the_address_of_a_webhook_is_in_no_log(with_settings: Callable[..., None]) -> None:
    request = httpx.Request("POST", "https://hooks.example/services/S3CRET")
    for failed in (
        httpx.HTTPStatusError(
            "for url https://hooks.example/services/S3CRET", request=request, response=httpx.Response(404)
        ),
        httpx.ConnectError("https://hooks.example/services/S3CRET"),
        OSError("https://hooks.example/services/S3CRET"),
    ):
        assert "S3CRET" not in webhook.what_went_wrong(failed)
    root = logging.getLogger()
    handlers, level = root.handlers[:], root.level
    try:
        with_settings(log_level="INFO")
        logs.configure()
        assert not logging.getLogger("httpx").isEnabledFor(logging.INFO)  # which tells each URL
    finally:
        root.handlers[:] = handlers
        root.setLevel(level)


def test_haproxy_is_closed_to_other_users_and_machines_and_waits_for_no_half_request(tmp_path: Path) -> None:
    done = subprocess.run(
        [sys.executable, "-m", "tests.attacks.haproxy_attacked"],
        env={**os.environ, "YTRAY_HOME": str(tmp_path / "h")},
        capture_output=True,
        text=True,
        timeout=120,
    )
    assert done.returncode == 0, done.stderr


class Gcs(grpc.GenericRpcHandler):  # type: ignore[misc]
    """A Ray cluster's control that looks for a token, or does not."""

    def __init__(self, *, asks: bool) -> None:
        self._asks = asks

    def service(self, _: object) -> object:
        def answer(_: bytes, context: grpc.ServicerContext) -> bytes:
            if self._asks and not dict(context.invocation_metadata()).get("authorization"):
                context.abort(grpc.StatusCode.UNAUTHENTICATED, "no token")
            return b""

        return grpc.unary_unary_rpc_method_handler(answer)


@pytest.mark.parametrize("asks", [True, False])
def test_a_ray_cluster_that_asks_for_no_token_is_told_from_one_that_does(asks: bool) -> None:
    server = grpc.server(ThreadPoolExecutor(1), handlers=[Gcs(asks=asks)])
    port = server.add_insecure_port("127.0.0.1:0")
    server.start()
    assert asks_for_a_token(f"127.0.0.1:{port}") is asks
    server.stop(None)


def test_a_local_ray_without_a_token_is_not_started(tmp_path: Path) -> None:
    done = subprocess.run(
        [sys.executable, "-c", "import ytray; ytray.connect()"],
        env={**os.environ, "YTRAY_HOME": str(tmp_path / "h"), "RAY_AUTH_MODE": "disabled", "HOME": str(tmp_path)},
        capture_output=True,
        text=True,
        timeout=120,
    )
    assert done.returncode == 1
    assert "YTRAY_RAY_WITHOUT_TOKEN=true" in done.stderr
    assert not (tmp_path / ".ray").exists()
