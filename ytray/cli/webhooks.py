"""`ytray webhooks`: what webhooks are signed with."""

from __future__ import annotations

from typing import Annotated

import typer

from ytray.cli.backend import backend
from ytray.cli.output import AsJson, Exit, complaints, console, guarded, print_json

app = typer.Typer(help="Webhooks of batches: the secret that they are signed with.", no_args_is_help=True)


def secret(
    context: typer.Context,
    user: Annotated[str | None, typer.Option(help="Whose; by default one's own, inside the cluster nobody's.")] = None,
    rotate: Annotated[bool, typer.Option("--rotate", help="Make a new one; for a day the old one signs, too.")] = False,
    as_json: AsJson = False,
) -> Exit | None:
    """Show the secret that notices of one's batches are signed with; it is made when it is first asked for."""
    system = backend(context)
    found = system.rotate_webhook_secret(user) if rotate else system.webhook_secret(user)
    if as_json:
        print_json(found.model_dump(mode="json"))
        return None
    if found.previous_until:
        complaints.print(f"the one before signs, too, until {found.previous_until:%Y-%m-%d %H:%M} UTC", style="dim")
    console.print(found.secret, markup=False, soft_wrap=True)
    return None


@app.callback()
def _only_with_a_command() -> None:
    """Webhooks of batches: the secret that they are signed with."""


app.command()(guarded(secret))
