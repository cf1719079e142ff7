"""Keys and sessions: guessed, stolen, revoked, expired; and requests that come without one."""

from __future__ import annotations

import socket
import threading
import time
from collections.abc import Callable
from contextlib import closing
from urllib.parse import urlsplit

import httpx
import pytest
from structlog.testing import capture_logs

from tests.attacks.conftest import Attacked
from ytray.api.keys import KeyRing
from ytray.api.sessions import Sessions
from ytray.errors import AccessDenied, InvalidArguments


def usable(attacked: Attacked, *scopes: str, user: str | None = None, lasts: float | None = None) -> tuple[str, str]:
    """A key that the API knows by now, and its id."""
    key, record = attacked.ring.create("for a test", scopes, user, lasts)
    deadline = time.monotonic() + 10
    while attacked.ask("/api/system" if "metrics" not in scopes else "/metrics", key).status_code == 401:
        assert time.monotonic() < deadline, "the API does not get to know the key"
        time.sleep(0.02)
    return key, record.key_id


def listen(url: str, headers: dict[str, str], ended: threading.Event, begun: threading.Event) -> None:
    with httpx.Client(base_url=url, timeout=60) as client, client.stream("GET", "/api/events", headers=headers) as got:
        for _ in got.iter_lines():
            begun.set()
    ended.set()


def test_event_streams_end_within_two_seconds_of_their_keys(shut: Attacked) -> None:
    key, key_id = usable(shut, "read")
    session_key, session_key_id = usable(shut, "read")
    signed_in = httpx.post(f"{shut.url}/api/session", json={"key": session_key})
    cookie = {"Cookie": f"ytray_session={signed_in.cookies['ytray_session']}"}
    streams = []
    for headers in ({"Authorization": f"Bearer {key}"}, cookie):
        ended, begun = threading.Event(), threading.Event()
        threading.Thread(target=listen, args=(shut.url, headers, ended, begun), daemon=True).start()
        assert begun.wait(60)
        streams.append(ended)
    shut.ring.revoke(key_id)
    shut.ring.revoke(session_key_id)
    revoked = time.monotonic()
    assert all(ended.wait(60) for ended in streams)
    assert time.monotonic() - revoked < 8  # 2 s; a busy machine may take longer


def test_a_key_cannot_hold_all_streams(shut: Attacked, with_settings: Callable[..., None]) -> None:
    with_settings(stream_limit=2)
    headers = {"Authorization": f"Bearer {usable(shut, 'read')[0]}"}
    other = {"Authorization": f"Bearer {usable(shut, 'read')[0]}"}
    with (
        httpx.Client(base_url=shut.url, timeout=30) as client,
        client.stream("GET", "/api/events", headers=headers) as first,
        client.stream("GET", "/api/events", headers=headers) as second,
    ):
        held = [stream.iter_lines() for stream in (first, second)]  # one that is dropped closes its stream
        assert all(next(lines) for lines in held)
        refused = client.get("/api/events", headers=headers)
        assert refused.status_code == 429
        assert refused.json()["type"] == "/problems/too-many-streams"
        with client.stream("GET", "/api/events", headers=other) as others:
            assert others.status_code == 200


def test_nothing_of_a_body_is_read_before_its_key(shut: Attacked) -> None:
    where = urlsplit(shut.url)
    assert where.hostname is not None
    for key in ("", "Authorization: Bearer yt_000000000000_wrong\r\n"):
        with closing(socket.create_connection((where.hostname, where.port or 0), timeout=20)) as asking:
            head = f"POST /api/jobs HTTP/1.1\r\nHost: x\r\n{key}Content-Length: 1000000\r\n\r\n"
            asking.sendall(head.encode())  # and nothing more
            assert asking.recv(4096).startswith(b"HTTP/1.1 401")


def test_signing_in_takes_no_large_body(shut: Attacked) -> None:
    assert httpx.post(f"{shut.url}/api/session", content=b"x" * 200_000).status_code == 413


def test_a_browser_never_holds_the_key_and_its_session_can_be_ended(shut: Attacked, until: Callable[..., None]) -> None:
    key, key_id = usable(shut, "read", user="alice")
    signed_in = httpx.post(f"{shut.url}/api/session", json={"key": key})
    assert key.split("_", 2)[2] not in signed_in.headers["set-cookie"]
    stolen = {"Cookie": f"ytray_session={signed_in.cookies['ytray_session']}"}
    assert shut.ask("/api/system", **stolen).json()["user_id"] == "alice"
    # The session is no key, and Redis does not hold it.
    assert shut.ask("/api/system", signed_in.cookies["ytray_session"]).status_code == 401
    names = [name.decode() for name in shut.store.redis.scan_iter("*session:*") if isinstance(name, bytes)]
    assert names
    assert not any(signed_in.cookies["ytray_session"] in name for name in names)
    httpx.delete(f"{shut.url}/api/session", headers=stolen)
    until(lambda: shut.ask("/api/system", **stolen).status_code == 401, 10)
    again = httpx.post(f"{shut.url}/api/session", json={"key": key})
    stolen = {"Cookie": f"ytray_session={again.cookies['ytray_session']}"}
    assert shut.ask("/api/system", **stolen).status_code == 200
    shut.ring.revoke(key_id)
    until(lambda: shut.ask("/api/system", **stolen).status_code == 401, 10)


def test_another_key_of_the_same_name_in_the_settings_ends_the_sessions_of_the_old_one(
    shut: Attacked, with_settings: Callable[..., None]
) -> None:
    with_settings(api_keys="carol:0123456789abcdef")
    session = Sessions(shut.store, KeyRing(shut.store)).open("0123456789abcdef")
    assert session is not None
    assert Sessions(shut.store, KeyRing(shut.store)).caller(session).user_id == "carol"
    with_settings(api_keys="carol:fedcba9876543210")
    with pytest.raises(AccessDenied):
        Sessions(shut.store, KeyRing(shut.store)).caller(session)


def test_guessing_at_keys_is_slowed_and_logged_by_address(shut: Attacked) -> None:
    key, key_id = usable(shut, "read")
    other, _ = usable(shut, "read")
    guess = f"yt_{key_id}_{'x' * 43}"
    with capture_logs() as logged:
        answers = [shut.ask("/api/system", guess, **{"X-Ytray-Client": "203.0.113.9"})]
        while answers[-1].status_code == 401 and len(answers) < 200:  # some are forgiven where guesses take their time
            answers.append(shut.ask("/api/system", guess, **{"X-Ytray-Client": "203.0.113.9"}))
    assert len(answers) > 20
    assert answers[-1].status_code == 429
    assert int(answers[-1].headers["retry-after"]) >= 1
    assert {"address": "203.0.113.9", "times": 1} in [
        {name: line.get(name) for name in ("address", "times")} for line in logged
    ]
    # Neither another key of the same address nor the same key of another address is kept out.
    assert shut.ask("/api/system", other, **{"X-Ytray-Client": "203.0.113.9"}).status_code == 200
    assert shut.ask("/api/system", key, **{"X-Ytray-Client": "203.0.113.10"}).status_code == 200


def test_a_key_has_an_end_and_tells_when_it_was_used(shut: Attacked, until: Callable[..., None]) -> None:
    key, key_id = usable(shut, "read", lasts=3)
    assert shut.ring.last_uses()[key_id].timestamp() == pytest.approx(time.time(), abs=60)
    until(lambda: shut.ask("/api/system", key).status_code == 401, 10)
    assert "expired" in shut.ask("/api/system", key).json()["detail"]
    for lasts in (0, -5, 1e30, float("nan")):
        with pytest.raises(InvalidArguments):
            shut.ring.create("too short or too long", ["read"], None, lasts)


def test_the_key_of_prometheus_reads_the_metrics_and_nothing_else(shut: Attacked) -> None:
    key, _ = usable(shut, "metrics")
    assert "_queue_depth" in shut.ask("/metrics", key).text
    for path in ("/api/system", "/api/jobs", "/api/queues", "/api/events"):
        assert shut.ask(path, key).status_code == 403, path
    with pytest.raises(InvalidArguments, match="of no user"):
        shut.ring.create("one user's", ["metrics"], "alice")
