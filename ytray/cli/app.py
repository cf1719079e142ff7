"""All commands together."""

from __future__ import annotations

import typer

from ytray.cli import deadletters, jobs, operating, queues, videos

app = typer.Typer(
    name="ytray",
    help="Durable jobs and a studio for AI-made video, on Ray.",
    no_args_is_help=True,
    pretty_exceptions_enable=False,
    context_settings={"help_option_names": ["-h", "--help"]},
)

videos.add_to(app)
jobs.add_to(app)
operating.add_to(app)
app.add_typer(queues.app, name="queues")
app.add_typer(deadletters.app, name="dlq")


def run() -> None:
    """Run the command line of this process."""
    app()
