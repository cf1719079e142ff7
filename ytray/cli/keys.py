"""`ytray keys`: API keys."""

from __future__ import annotations

from typing import TYPE_CHECKING, Annotated

import typer

from ytray.cli.output import AsJson, Exit, complaints, console, guarded, print_json, print_table

if TYPE_CHECKING:
    from ytray.api.keys import KeyRing

app = typer.Typer(help="API keys: make, list and revoke them.", no_args_is_help=True)


def create(
    name: Annotated[str, typer.Argument(help="To know the key by.")],
    scopes: Annotated[
        list[str] | None, typer.Option("--scope", help="read, submit or admin; read and submit by default.")
    ] = None,
    user: Annotated[str | None, typer.Option(help="The user whose jobs alone it sees and submits.")] = None,
    as_json: AsJson = False,
) -> Exit | None:
    """Make a key and print it. It is kept as a hash: this is the only time it is seen."""
    key, record = _ring().create(name, scopes or ["read", "submit"], user)
    if as_json:
        print_json({"key": key, **record.model_dump(mode="json", exclude={"secret_hash"})})
    else:
        complaints.print(f"key {record.key_id} ({', '.join(record.scopes)}); it is not shown again:", style="dim")
        console.print(key, markup=False, soft_wrap=True)
    return None


def list_keys(as_json: AsJson = False) -> Exit | None:
    """List the keys, without their secrets."""
    keys = _ring().all()
    if as_json:
        print_json({"keys": [key.model_dump(mode="json", exclude={"secret_hash"}) for key in keys]})
    else:
        rows = [
            (key.key_id, key.name, ", ".join(key.scopes), key.user_id or "everybody's", f"{key.created_at:%Y-%m-%d}")
            for key in keys
        ]
        print_table(("key", "name", "scopes", "sees jobs of", "made"), rows, "there are no keys")
    return None


def revoke(
    key_id: Annotated[str, typer.Argument(metavar="KEY", help="As `ytray keys list` shows it.")],
    as_json: AsJson = False,
) -> Exit | None:
    """Make a key useless, within two seconds everywhere."""
    _ring().revoke(key_id)
    if as_json:
        print_json({"revoked": key_id})
    else:
        console.print(f"{key_id} is revoked")
    return None


app.command("create")(guarded(create))
app.command("list")(guarded(list_keys))
app.command("revoke")(guarded(revoke))


def _ring() -> KeyRing:
    from ytray.api.keys import KeyRing
    from ytray.engine.connection import open_store

    return KeyRing(open_store())
