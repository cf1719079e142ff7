"""Idempotency keys of two tenants whose names and keys join to the same words."""

from __future__ import annotations

import pytest

from tests.attacks.conftest import Attacked
from tests.attacks.tenants import Tenants

PAIRS = [
    ("acme", "eu:1", "acme:eu", "1"),
    ("acme", "1", "acme:eu", "1"),
    ("acme", "batch 1", "acme:batch", "1"),
    ("acme|eu", "1", "acme", "|eu|1"),
    ("acme%3Aeu", "1", "acme:eu", "1"),
]


@pytest.fixture(scope="module")
def tenants(apart: Attacked) -> Tenants:
    users = {user for first, _, second, _ in PAIRS for user in (first, second)}
    return Tenants(apart, {user: apart.ring.create("key", ["read", "submit"], user)[0] for user in users}).known()


def order(kind: str, text: str) -> tuple[str, dict[str, object]]:
    if kind.startswith("jobs"):
        return "/api/jobs", {"task": "generate_hook", "args": {"prompt": text}}
    if kind.startswith("videos"):
        return "/api/videos", {"prompt": text}
    return "/api/batches", {"task": "generate_hook", "items": [{"prompt": text}]}


@pytest.mark.parametrize("case", range(len(PAIRS)))
def test_no_tenant_meets_anothers_idempotency_key(tenants: Tenants, case: int) -> None:
    first, her_key, second, his_key = PAIRS[case]
    made: list[str] = []
    for kind in (f"jobs{case}", f"batches{case}", f"videos{case}"):
        for user, key in ((first, her_key), (second, his_key)):
            path, body = order(kind, f"{kind} {user}")
            answer = tenants.ask(user, "POST", path, json=body, headers={"Idempotency-Key": f"{key}{kind}"})
            assert answer.status_code == 202, answer.text
            made.append(answer.json().get("job_id") or answer.json()["batch_id"])
            again = tenants.ask(user, "POST", path, json={**body, "idempotency_key": f"{key}{kind}"})
            assert (again.json().get("job_id") or again.json()["batch_id"]) == made[-1]
            path, other = order(kind, "something else")
            conflict = tenants.ask(user, "POST", path, json=other, headers={"Idempotency-Key": f"{key}{kind}"})
            assert conflict.status_code == 409
            assert made[-1] in conflict.json()["detail"]
            assert not [one for one in made[:-1] if one in conflict.text]
    assert len(set(made)) == len(made)
