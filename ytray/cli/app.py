"""All commands together."""

from __future__ import annotations

import sys
from typing import Annotated

import typer

from ytray.cli import (
    audit,
    batches,
    clusters,
    deadletters,
    jobs,
    logs,
    nodes,
    operating,
    queues,
    rendering,
    spending,
    state,
    top,
    upgrading,
    videos,
    webhooks,
)
from ytray.cli import keys as api_keys
from ytray.cli.backend import Reach
from ytray.cli.terminal import tell_of_a_crash

app = typer.Typer(
    name="ytray",
    help="Durable jobs and a studio for AI-made video, on Ray.",
    no_args_is_help=True,
    pretty_exceptions_enable=False,
    context_settings={"help_option_names": ["-h", "--help"]},
)


@app.callback()
def reach(
    context: typer.Context,
    url: Annotated[
        str | None,
        typer.Option(
            envvar="YTRAY_URL", help="Work over the HTTP API there, not inside the cluster. Before the command."
        ),
    ] = None,
    key: Annotated[
        str | None, typer.Option(envvar="YTRAY_KEY", help="The API's key; better in the environment.")
    ] = None,
) -> None:
    """Durable jobs and a studio for AI-made video, on Ray."""
    context.obj = Reach(url, key)


videos.add_to(app)
rendering.add_to(app)
jobs.add_to(app)
logs.add_to(app)
top.add_to(app)
nodes.add_to(app)
spending.add_to(app)
audit.add_to(app)
operating.add_to(app)
state.add_to(app)
upgrading.add_to(app)
app.add_typer(batches.app, name="batch")
app.add_typer(queues.app, name="queues")
app.add_typer(deadletters.app, name="dlq")
app.add_typer(api_keys.app, name="keys")
app.add_typer(webhooks.app, name="webhooks")
app.add_typer(clusters.app, name="cluster")


def run() -> None:
    """Run the command line of this process."""
    sys.excepthook = tell_of_a_crash
    app()
