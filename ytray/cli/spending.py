"""`ytray spend|budget|models`: what paid calls have cost, may cost and would cost."""

from __future__ import annotations

from typing import TYPE_CHECKING, Annotated

import typer

from ytray.cli.backend import backend
from ytray.cli.output import AsJson, Exit, console, guarded, print_json, print_table
from ytray.errors import InvalidArguments
from ytray.spend.model import SpendState

if TYPE_CHECKING:
    from ytray.spend.model import Budget

spend = typer.Typer(help="The spend journal: every paid call and what it cost.", invoke_without_command=True)
budget = typer.Typer(help="What users may spend in a calendar month (UTC).", invoke_without_command=True)

User = Annotated[str | None, typer.Option(help="Only of this user.")]
Limit = Annotated[int, typer.Option(help="How many of the newest, 1 to 1,000; of a job all are shown.")]
UserArgument = Annotated[str, typer.Argument(metavar="USER")]


def add_to(app: typer.Typer) -> None:
    """Add the commands of this file."""
    app.add_typer(spend, name="spend")
    app.add_typer(budget, name="budget")
    app.command()(guarded(models))


@spend.callback()
def newest(
    context: typer.Context,
    job: Annotated[str | None, typer.Option(metavar="JOB_ID", help="Only of this job and its steps.")] = None,
    user: User = None,
    limit: Limit = 100,
    as_json: AsJson = False,
) -> None:
    """Show the newest paid calls, and what they cost together."""
    if context.invoked_subcommand is None:
        guarded(list_calls)(context, job_id=job, user=user, limit=limit, as_json=as_json)


def list_calls(
    context: typer.Context,
    job_id: Annotated[
        str | None, typer.Argument(metavar="JOB_ID", help="A job: its paid calls and its steps'.")
    ] = None,
    user: User = None,
    limit: Limit = 100,
    as_json: AsJson = False,
) -> Exit | None:
    """Show the paid calls of a job, or the newest of all, and what they cost together."""
    if job_id is not None and user is not None:
        raise InvalidArguments("name a job or a user, not both")
    if not 1 <= limit <= 1000:
        raise InvalidArguments(f"--limit is 1 to 1,000, not {limit}")
    entries = backend(context).spending(job_id, user_id=user, limit=limit)
    cost = sum(entry.cost_usd for entry in entries)
    if as_json:
        print_json({"entries": [entry.model_dump(mode="json") for entry in entries], "cost_usd": round(cost, 6)})
        return None
    rows = [
        (
            f"{entry.at:%Y-%m-%d %H:%M:%S}",
            entry.state,
            entry.kind,
            entry.model,
            f"{entry.cost_usd:.4f}",
            " ".join(entry.about.split())[:60],
        )
        for entry in entries
    ]
    print_table(("time (UTC)", "state", "kind", "model", "USD", "about"), rows, "nothing was paid for")
    if entries:
        console.print(f"{cost:.4f} USD in {len(entries)} calls")
    for entry in entries:
        if entry.state is SpendState.UNCERTAIN:
            told = f"uncertain, {entry.kind} by {entry.model}: `ytray spend allow {entry.key}` lets a replay make it"
            console.print(told, style="yellow", markup=False, soft_wrap=True)
    return None


def allow(
    context: typer.Context,
    key: Annotated[str, typer.Argument(metavar="KEY", help="As `ytray spend` and the job's error tell it.")],
    as_json: AsJson = False,
) -> Exit | None:
    """Let an uncertain call be made and paid again; `ytray dlq retry` its job then."""
    entry = backend(context).allow_call(key)
    if as_json:
        print_json(entry.model_dump(mode="json"))
    else:
        console.print(f"{key} may be made again; `ytray dlq retry {entry.job_id}` does so", markup=False)
    return None


@budget.callback()
def default(context: typer.Context, as_json: AsJson = False) -> None:
    """Show what users may spend this month, and have spent."""
    if context.invoked_subcommand is None:
        guarded(list_budgets)(context, as_json=as_json)


def list_budgets(context: typer.Context, as_json: AsJson = False) -> Exit | None:
    """Show what users may spend this month, and have spent."""
    found = backend(context).budgets()
    if as_json:
        print_json({"budgets": [one.model_dump(mode="json") for one in found]})
    else:
        rows = [(_user(one), _limit(one), f"{one.spent_usd:.4f}", f"{one.reserved_usd:.4f}") for one in found]
        print_table(("user", "limit, USD", "spent", "reserved"), rows, "nobody has a budget or has spent anything")
    return None


def set_budget(
    context: typer.Context,
    user: UserArgument,
    usd: Annotated[float, typer.Argument(metavar="USD", help="US dollars a calendar month.")],
    as_json: AsJson = False,
) -> Exit | None:
    """Say what a user may spend in a calendar month."""
    _told(backend(context).set_budget(user, usd), as_json)
    return None


def clear_budget(context: typer.Context, user: UserArgument, as_json: AsJson = False) -> Exit | None:
    """Let a user spend what YTRAY_BUDGET_USER says."""
    _told(backend(context).set_budget(user, None), as_json)
    return None


def models(context: typer.Context, as_json: AsJson = False) -> Exit | None:
    """Show what each model costs in US dollars, how much it may be asked a minute, and how many calls it runs."""
    found = backend(context).models()
    if as_json:
        print_json({"models": [one.model_dump(mode="json") for one in found]})
        return None
    columns = (
        "model",
        "M tokens in",
        "out",
        "audio",
        "image",
        "second",
        "call",
        "requests",
        "tokens",
        "at once",
        "runs",
    )
    rows = [
        (
            one.model,
            *(f"{usd:g}" if usd else "" for usd in one.price.model_dump().values()),
            *(number or "" for number in (one.requests, one.tokens, one.at_once)),
            one.running,
        )
        for one in found
    ]
    print_table(columns, rows, "no model has a price")
    return None


spend.command("list")(guarded(list_calls))
spend.command("allow")(guarded(allow))
budget.command("list")(guarded(list_budgets))
budget.command("set")(guarded(set_budget))
budget.command("clear")(guarded(clear_budget))


def _user(found: Budget) -> str:
    return found.scope.removeprefix("user ") or "(none)"


def _limit(found: Budget) -> str:
    return "none" if found.limit_usd is None else f"{found.limit_usd:.2f}"


def _told(found: Budget, as_json: bool) -> None:
    if as_json:
        print_json(found.model_dump(mode="json"))
    else:
        console.print(
            f"{_user(found)}: limit {_limit(found)}, spent {found.spent_usd:.4f} USD this month", markup=False
        )
