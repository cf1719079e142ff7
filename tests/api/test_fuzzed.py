"""Whatever is sent, the API answers as its OpenAPI document says, and never with a fault of its own."""

from __future__ import annotations

from typing import Any
from urllib.parse import quote

import httpx
import pytest
import requests
import schemathesis
from hypothesis import HealthCheck, given, settings
from hypothesis import strategies as st
from schemathesis.checks import not_a_server_error
from schemathesis.core.result import Ok
from schemathesis.specs.openapi.checks import (
    content_type_conformance,
    response_schema_conformance,
    status_code_conformance,
)

CHECKS = [not_a_server_error, status_code_conformance, content_type_conformance, response_schema_conformance]


def test_every_route_answers_as_documented(api_url: str) -> None:
    session = requests.Session()
    session.trust_env = False
    described = schemathesis.openapi.from_url(f"{api_url}/openapi.json")
    tried = []
    for found in described.get_all_operations():
        assert isinstance(found, Ok), found
        operation = found.ok()
        if operation.path == "/api/events":
            continue  # it never ends; test_events.py reads it

        @given(case=operation.as_strategy())
        @settings(max_examples=15, deadline=None, suppress_health_check=list(HealthCheck), database=None)
        def answers_as_documented(case: schemathesis.Case[Any]) -> None:
            case.call_and_validate(checks=CHECKS, timeout=30, session=session)

        answers_as_documented()
        tried.append(operation.label)
    assert len(tried) >= 25


TEXT = st.text(st.characters(exclude_categories=["Cs"]), max_size=60)


@given(name=TEXT, tail=TEXT)
@settings(max_examples=40, deadline=None, suppress_health_check=list(HealthCheck))
def test_no_path_of_an_artifact_leads_out_of_the_store(api: httpx.Client, name: str, tail: str) -> None:
    path = f"/api/jobs/{quote(name, safe='')}/artifacts/{quote(tail, safe='')}".encode()
    answer = api.get(api.base_url.copy_with(raw_path=path), timeout=30)
    assert answer.status_code in (404, 405, 422, 307)


@pytest.mark.parametrize(
    "path",
    [
        "/api/jobs/..%2f..%2fetc/artifacts/passwd",
        "/api/jobs/x/artifacts/..%2f..%2f..%2fetc%2fpasswd",
        "/api/jobs/x/artifacts/%2e%2e",
        "/console/..%2f..%2fapp.py",
        "/console/%2e%2e/%2e%2e/app.py",
        "/swagger/..%2f..%2f__init__.py",
    ],
)
def test_known_tricks_with_paths_find_nothing(api: httpx.Client, path: str) -> None:
    answer = api.get(api.base_url.copy_with(raw_path=path.encode()), timeout=30)
    assert answer.status_code in (403, 404, 422)


@given(
    headers=st.dictionaries(
        st.sampled_from(
            ["Authorization", "X-API-Key", "Idempotency-Key", "Last-Event-ID", "X-Request-ID", "Range", "Cookie"]
        ),
        st.text(st.characters(min_codepoint=32, max_codepoint=126), max_size=300),
    )
)
@settings(max_examples=40, deadline=None, suppress_health_check=list(HealthCheck))
def test_no_header_makes_the_api_fail(api: httpx.Client, headers: dict[str, str]) -> None:
    sent = {name: value.strip() for name, value in headers.items()}
    assert api.get("/api/counts", headers=sent, timeout=30).status_code == 200
    order = {"task": "cleanup_old_results", "args": {"dry_run": True}}
    assert api.post("/api/jobs", json=order, headers=sent, timeout=30).status_code in (202, 409, 422)
