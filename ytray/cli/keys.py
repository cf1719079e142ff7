"""`ytray keys`: API keys."""

from __future__ import annotations

from datetime import datetime
from typing import TYPE_CHECKING, Annotated

import typer

from ytray.cli.lengths import seconds_of
from ytray.cli.output import AsJson, Exit, complaints, console, guarded, print_json, print_table

if TYPE_CHECKING:
    from ytray.api.keys import KeyRing

app = typer.Typer(help="API keys: make, list and revoke them.", no_args_is_help=True)


def create(
    name: Annotated[str, typer.Argument(help="To know the key by.")],
    scopes: Annotated[
        list[str] | None, typer.Option("--scope", help="read, submit, admin or metrics; read and submit by default.")
    ] = None,
    user: Annotated[str | None, typer.Option(help="The user whose jobs alone it sees and submits.")] = None,
    expires: Annotated[
        str | None, typer.Option(metavar="TIME", help="From now until it ends: 90d, 12h. Without it never.")
    ] = None,
    tasks: Annotated[
        list[str] | None, typer.Option("--tasks", help="The tasks that it may submit, comma-separated; any by default.")
    ] = None,
    priority: Annotated[int | None, typer.Option(help="The highest priority that it may give, 0 to 9.")] = None,
    as_json: AsJson = False,
) -> Exit | None:
    """Make a key and print it. It is kept as a hash: this is the only time it is seen."""
    lasts = None if expires is None else seconds_of(expires, "--expires")
    named = [part.strip() for given in tasks or () for part in given.split(",") if part.strip()]
    key, record = _ring().create(name, scopes or ["read", "submit"], user, lasts, tasks=named, priority=priority)
    _audited("make key", record.key_id, f"{name}: {', '.join(record.scopes)}, {f'of {user}' if user else 'of no user'}")
    if as_json:
        print_json({"key": key, **record.model_dump(mode="json", exclude={"secret_hash"})})
    else:
        until = f" until {record.expires_at:%Y-%m-%d %H:%M} UTC" if record.expires_at else ""
        told = f"key {record.key_id} ({', '.join(record.scopes)}){until}; it is not shown again:"
        complaints.print(told, style="dim")
        console.print(key, markup=False, soft_wrap=True)
    return None


def list_keys(as_json: AsJson = False) -> Exit | None:
    """List the keys, without their secrets."""
    ring = _ring()
    keys, used = ring.all(), ring.last_uses()
    if as_json:
        told = [
            {**key.model_dump(mode="json", exclude={"secret_hash"}), "last_used_at": _told(used.get(key.key_id))}
            for key in keys
        ]
        print_json({"keys": told, "open": not keys and not ring.is_shut()})
        return None
    rows = [
        (
            key.key_id,
            key.name,
            ", ".join(key.scopes),
            key.user_id or "everybody's",
            ", ".join(key.tasks) or "any task",
            "" if key.priority is None else f"≤ {key.priority}",
            f"{key.created_at:%Y-%m-%d}",
            f"{used[key.key_id]:%Y-%m-%d %H:%M}" if key.key_id in used else "never",
            ("ended " if key.has_expired() else "") + f"{key.expires_at:%Y-%m-%d %H:%M}" if key.expires_at else "never",
        )
        for key in keys
    ]
    stays = ": the API lets nobody in; `ytray keys off` opens it to this machine" if ring.is_shut() else ""
    columns = ("key", "name", "scopes", "sees jobs of", "may submit", "priority", "made", "used last", "ends")
    print_table(columns, rows, f"there are no keys{stays}")
    return None


def revoke(
    key_id: Annotated[str, typer.Argument(metavar="KEY", help="As `ytray keys list` shows it.")],
    as_json: AsJson = False,
) -> Exit | None:
    """Make a key useless, within two seconds everywhere."""
    _ring().revoke(key_id)
    _audited("revoke key", key_id)
    if as_json:
        print_json({"revoked": key_id})
    else:
        console.print(f"{key_id} is revoked")
    return None


def off(as_json: AsJson = False) -> Exit | None:
    """Ask for no keys any more, when none is left: whoever reaches the API on loopback may do everything again."""
    _ring().open_again()
    _audited("ask for no keys", "the API")
    if as_json:
        print_json({"open": True})
    else:
        console.print("no key is asked for on loopback any more; `ytray keys create` makes one, and closes it again")
    return None


app.command("create")(guarded(create))
app.command("list")(guarded(list_keys))
app.command("revoke")(guarded(revoke))
app.command("off")(guarded(off))


def _told(at: datetime | None) -> str | None:
    return None if at is None else at.isoformat(timespec="seconds").replace("+00:00", "Z")


def _audited(action: str, subject: str, detail: str = "") -> None:
    from ytray.engine.state.audit import record_here
    from ytray.engine.state.connection import store

    record_here(store(), action, subject, detail)


def _ring() -> KeyRing:
    from ytray.api.keys import KeyRing
    from ytray.engine.state.connection import store

    return KeyRing(store())
