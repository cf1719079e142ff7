"""The secrets that webhooks are signed with: each user's own, and of no use to another."""

from __future__ import annotations

import socket
from collections.abc import Callable
from pathlib import Path
from typing import Any

import httpx
import pytest

from tests.attacks.receivers import OK, receiver
from tests.docs.snippets import ROOT, python_of
from tests.engine.tasks_for_batches import plain_item
from ytray.api.keys import KeyRing
from ytray.engine.batch.ledger import Ledger
from ytray.engine.batch.model import BatchOptions
from ytray.engine.batch.notices import Notices
from ytray.engine.batch.preparing import Preparation
from ytray.engine.state.store import Store
from ytray.engine.state.webhook_secrets import rotate_webhook_secret, webhook_secret

Told = tuple[dict[str, str], bytes]


@pytest.fixture
def genuine() -> Callable[[dict[str, str], bytes, str], bool]:
    """The check of a signature that the docs show."""
    names: dict[str, Any] = {}
    (snippet,) = [code for code in python_of(ROOT / "docs" / "batches.md") if "def is_genuine" in code]
    exec(snippet, names)
    check: Callable[[dict[str, str], bytes, str], bool] = names["is_genuine"]
    return check


@pytest.fixture
def told(bare_store: Store, tmp_path: Path, with_settings: Callable[..., None]) -> Callable[[str | None], Told]:
    """`told(user)` is what the webhook of a user's batch is sent."""
    with_settings(webhook_networks="127.0.0.1", alert_webhook_secret="the operator's own")

    def tell(user: str | None) -> Told:
        seen: list[bytes] = []

        def take(connection: socket.socket, request: bytes) -> None:
            seen.append(request)
            connection.sendall(OK)

        with receiver(take) as url:
            options = BatchOptions(user_id=user, on_failure=url)
            rows = [{"folder": str(tmp_path), "name": "a"}]
            batch = Preparation(Ledger(bare_store), plain_item, rows, options).commit()
            Ledger(bare_store).control(batch, "cancel", "enough")
            notices = Notices(bare_store)
            notices.look()
            assert notices.tell_one()
        head, _, body = seen[0].partition(b"\r\n\r\n")
        lines = [line.split(": ", 1) for line in head.decode().split("\r\n")[1:]]
        return {name.lower(): value for name, value in lines}, body

    return tell


def test_a_notice_is_signed_with_its_users_secret_alone(
    bare_store: Store, told: Callable[[str | None], Told], genuine: Callable[..., bool]
) -> None:
    headers, body = told("alice")
    alices, bobs, nobodys = (webhook_secret(bare_store, user).secret for user in ("alice", "bob", None))
    assert genuine(headers, body, alices)
    assert not genuine(headers, body, bobs)
    assert not genuine(headers, body + b" ", alices)
    assert headers["webhook-id"] == headers["x-ytray-delivery"]
    assert "x-ytray-signature" not in headers, "the operator's secret signs nothing of a user's"
    assert genuine(*told(None), nobodys)


def test_a_rotated_secret_signs_along_for_a_day(
    bare_store: Store, told: Callable[[str | None], Told], genuine: Callable[..., bool]
) -> None:
    old = webhook_secret(bare_store, "alice")
    assert old.previous_until is None
    new = rotate_webhook_secret(bare_store, "alice")
    assert new.previous_until is not None
    assert new.previous_until.timestamp() == pytest.approx(bare_store.now_ms() / 1000 + 86_400, abs=60)
    assert webhook_secret(bare_store, "alice") == new
    headers, body = told("alice")
    assert genuine(headers, body, old.secret)
    assert genuine(headers, body, new.secret)
    bare_store.redis.zadd(bare_store.key("wk:alice"), {old.secret: 1})  # the day is over
    headers, body = told("alice")
    assert not genuine(headers, body, old.secret)
    assert genuine(headers, body, new.secret)
    for _ in range(9):
        newest = rotate_webhook_secret(bare_store, "alice")
    headers, body = told("alice")
    assert genuine(headers, body, newest.secret)
    assert len(headers["webhook-signature"].split()) == 5, "however often it is rotated, a request stays small"


def test_a_key_reads_and_rotates_its_own_users_secret_and_no_others(
    bare_store: Store, serving: Callable[..., str]
) -> None:
    ring = KeyRing(bare_store)
    alice, _ = ring.create("a", ["submit"], "alice")
    looks, _ = ring.create("b", ["read"], "bob")
    backend, _ = ring.create("c", ["submit"], None)

    with httpx.Client(base_url=serving(bare_store, open_without_keys=False), timeout=60) as client:

        def ask(key: str, method: str = "GET", path: str = "secret", **params: str) -> httpx.Response:
            headers = {"Authorization": f"Bearer {key}"}
            return client.request(method, f"/api/webhooks/{path}", params=params, headers=headers)

        own = ask(alice)
        assert own.json() == webhook_secret(bare_store, "alice").model_dump(mode="json")
        assert own.headers["Cache-Control"] == "no-store"
        assert ask(alice, user_id="bob").status_code == 403
        assert ask(alice, "POST", "secret/rotate", user_id="bob").status_code == 403
        assert ask(looks).status_code == 403
        assert client.get("/api/webhooks/secret").status_code == 401
        assert not bare_store.redis.exists(bare_store.key("wk:bob")), "what was refused has changed nothing"
        rotated = ask(alice, "POST", "secret/rotate").json()
        assert rotated["secret"] != own.json()["secret"]
        assert ask(backend, user_id="alice").json() == rotated
        assert ask(backend).json()["user_id"] is None
        assert ask(backend, user_id="a\x00b").status_code == 422
