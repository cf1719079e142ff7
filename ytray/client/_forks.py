"""After a fork no connection is shared: in the child each client opens its own."""

from __future__ import annotations

import os
from typing import Protocol
from weakref import WeakSet


class _Opens(Protocol):
    def _open(self) -> None: ...


_clients: WeakSet[_Opens] = WeakSet()


def open_anew_after_fork(client: _Opens) -> None:
    """Have the client open its connections anew in every child that this process forks."""
    _clients.add(client)


def _open_all() -> None:
    for client in list(_clients):
        client._open()


os.register_at_fork(after_in_child=_open_all)
