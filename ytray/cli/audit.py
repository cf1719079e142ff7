"""`ytray audit`."""

from __future__ import annotations

from typing import Annotated

import typer

from ytray.cli.backend import backend
from ytray.cli.output import AsJson, Exit, console, guarded, print_json, print_table


def add_to(app: typer.Typer) -> None:
    """Add the command of this file."""
    app.command()(guarded(audit))


def audit(
    context: typer.Context,
    limit: Annotated[int, typer.Option(min=1, max=1000, help="How many, the newest first.")] = 50,
    cursor: Annotated[str | None, typer.Option(help="Go on where the page before ended.")] = None,
    as_json: AsJson = False,
) -> Exit | None:
    """Show who paused, drained, cancelled, replayed, set a budget, made or revoked a key; and from where."""
    found = backend(context).audit(limit, cursor)
    if as_json:
        print_json(found.model_dump(mode="json"))
        return None
    rows = [
        (f"{one.at:%Y-%m-%d %H:%M:%S}", one.who, one.address, one.action, one.subject, one.detail)
        for one in found.entries
    ]
    print_table(("at, UTC", "who", "from", "did", "to", "and said"), rows, "nothing was done yet that is written down")
    if found.next_cursor:
        console.print(f"older ones: --cursor {found.next_cursor}", style="dim", soft_wrap=True)
    return None
