"""Which system the commands work on: the one that this machine can join, or another one over HTTP."""

from __future__ import annotations

from dataclasses import dataclass
from typing import TYPE_CHECKING, TypeAlias

import typer

if TYPE_CHECKING:
    from ytray.cli.inside import Inside
    from ytray.cli.remote import Checked, Remote
    from ytray.engine.batch.preparing import Preparation

    # Commands call what both have; both raise ytray's errors, the same ones.
    Backend: TypeAlias = Inside | Remote
    Preparing: TypeAlias = Preparation | Checked
else:  # a command loads only the one that it uses
    Backend = Preparing = object


@dataclass(frozen=True)
class Reach:
    """Which system the command line was pointed at; without a URL, the one that this machine can join."""

    url: str | None = None
    key: str | None = None

    def __repr__(self) -> str:
        return f"Reach({self.url!r})"

    def backend(self, *, timeout: float = 30.0, tries: int = 5) -> Backend:
        """The system. `timeout` (seconds) and `tries` are for calls over HTTP."""
        if self.url:
            from ytray.cli.remote import Remote

            return Remote(self.url, self.key, timeout, tries=tries)
        from ytray.cli.inside import Inside

        return Inside()


def backend(context: typer.Context) -> Backend:
    """The system that this command works on; it is left when the command ends."""
    reach = context.find_object(Reach) or Reach()
    found = reach.backend()
    context.call_on_close(found.close)
    return found
