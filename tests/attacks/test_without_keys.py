"""An API on loopback that asks for no key: who else reaches it, by a proxy or by a page in the user's browser."""

from __future__ import annotations

from collections.abc import Callable

import httpx
import pytest

from tests.attacks.conftest import Attacked
from ytray.api.app import build
from ytray.api.keys import KeyRing
from ytray.engine.state.store import Store
from ytray.errors import InvalidArguments

PASSED_ON = {
    "Forwarded": "for=203.0.113.9",
    "X-Forwarded-For": "203.0.113.9",
    "X-Forwarded-Proto": "https",
    "X-Forwarded-Host": "localhost",
    "X-Real-IP": "203.0.113.9",
    "Via": "1.1 nginx",
}


@pytest.mark.parametrize("name", PASSED_ON)
def test_what_a_proxy_passed_on_is_refused(opened: Attacked, name: str) -> None:
    assert opened.ask("/api/system").status_code == 200
    refused = opened.ask("/api/system", **{name: PASSED_ON[name]})
    assert refused.status_code == 403
    assert "proxy" in refused.json()["detail"]
    assert httpx.post(f"{opened.url}/api/jobs", json={}, headers={name: PASSED_ON[name]}).status_code == 403


@pytest.mark.parametrize("host", ["testserver", "evil.example", "127.0.0.1.evil.example", "localhost.", ""])
def test_only_names_of_this_machine_are_answered(opened: Attacked, host: str) -> None:
    assert opened.ask("/api/system", Host=host).status_code in (400, 403)


@pytest.mark.parametrize(
    "origin", ["http://[", "http://[::1", "https://evil.example", "null", "http://", "//", "[", ""]
)
def test_pages_of_other_origins_may_not_act_however_they_spell_theirs(opened: Attacked, origin: str) -> None:
    done = httpx.post(f"{opened.url}/api/jobs", json={}, headers={"Origin": origin})
    assert done.status_code == 403
    assert done.json()["type"] == "/problems/forbidden"


def test_pages_of_other_sites_may_not_ask_but_lead_here(opened: Attacked) -> None:
    asked = opened.ask("/api/system", **{"Sec-Fetch-Site": "cross-site", "Sec-Fetch-Mode": "no-cors"})
    assert asked.status_code == 403
    form = httpx.post(f"{opened.url}/api/jobs", headers={"Sec-Fetch-Site": "cross-site", "Sec-Fetch-Mode": "navigate"})
    assert form.status_code == 403
    link = opened.ask("/", **{"Sec-Fetch-Site": "cross-site", "Sec-Fetch-Mode": "navigate"})
    assert link.status_code == 200


def test_the_api_stays_closed_when_its_last_key_is_gone(
    redis_url: str, serving: Callable[..., str], until: Callable[..., None]
) -> None:
    where = Store(redis_url, "last-key")
    attacked = Attacked(serving(where, open_without_keys=True), where, KeyRing(where))
    assert attacked.ask("/api/system").status_code == 200
    key, record = attacked.ring.create("only", ["admin"], None)
    until(lambda: attacked.ask("/api/system").status_code == 401, 10)
    assert attacked.ask("/api/system", key).status_code == 200
    with pytest.raises(InvalidArguments, match="revoke"):
        attacked.ring.open_again()
    attacked.ring.revoke(record.key_id)
    until(lambda: attacked.ask("/api/system", key).status_code == 401, 10)
    assert attacked.ask("/api/system").status_code == 401
    # Another replica, which has never seen the key, knows it too.
    assert Attacked(serving(where, open_without_keys=True), where, attacked.ring).ask("/api/system").status_code == 401
    attacked.ring.open_again()
    until(lambda: attacked.ask("/api/system").status_code == 200, 10)


def test_revoking_a_key_that_an_older_version_made_closes_as_well(redis_url: str) -> None:
    where = Store(redis_url, "older")
    ring = KeyRing(where, open_without=True)
    _, record = ring.create("made before", ["read"], None)
    where.redis.delete(where.key("keys_shut"))
    ring.revoke(record.key_id)
    assert not KeyRing(where, open_without=True).is_open()
    assert build(where, open_without_keys=True).state.keys.is_open() is False
