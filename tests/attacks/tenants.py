"""Users with a key each, and what they ask of an API."""

from __future__ import annotations

import time
from dataclasses import dataclass, field
from typing import Any

import httpx

from tests.attacks import tasks_for_attacks as tasks_for_attacks  # they are known to the API by being imported
from tests.attacks.conftest import Attacked


@dataclass(frozen=True)
class Tenants:
    """An API, and the keys of two users."""

    attacked: Attacked
    keys: dict[str, str]
    files: dict[str, str] = field(default_factory=dict)

    def known(self) -> Tenants:
        """The same, once the API has noticed that there are these keys."""
        deadline = time.monotonic() + 30
        for who in self.keys:
            while self.ask(who, "GET", "/api/system").status_code == 401:
                assert time.monotonic() < deadline
        return self

    def ask(self, who: str, method: str, path: str, **more: Any) -> httpx.Response:
        """A request with somebody's key."""
        headers = {"Authorization": f"Bearer {self.keys[who]}"} | more.pop("headers", {})
        return httpx.request(method, f"{self.attacked.url}{path}", headers=headers, timeout=30, **more)

    def submit(self, who: str, task_name: str, args: dict[str, Any], **more: Any) -> httpx.Response:
        """The submission of a job."""
        return self.ask(who, "POST", "/api/jobs", json={"task": task_name, "args": args}, **more)
