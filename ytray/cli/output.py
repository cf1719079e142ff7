"""What every command shares: printing for people or as JSON, and errors as exit codes."""

from __future__ import annotations

import json
import sys
from collections.abc import Callable, Iterable, Iterator, Sequence
from contextlib import contextmanager
from enum import IntEnum
from functools import wraps
from typing import Annotated, Any, ParamSpec

import typer
from rich.live import Live
from rich.table import Table
from rich.text import Text

from ytray.cli.terminal import Terminal, harmless_json
from ytray.errors import (
    IdempotencyConflict,
    InvalidArguments,
    InvalidBatchMove,
    InvalidTransition,
    JobCancelled,
    JobFailed,
    PayloadTooLarge,
    SettingsError,
    UnknownBatch,
    UnknownJob,
    UnknownNode,
    UnknownTask,
    YtrayError,
)

P = ParamSpec("P")

AsJson = Annotated[bool, typer.Option("--json", help="Print JSON, in a shape that stays the same.")]

console = Terminal()
complaints = Terminal(stderr=True)

_USAGE = (
    IdempotencyConflict,
    InvalidArguments,
    InvalidBatchMove,
    InvalidTransition,
    PayloadTooLarge,
    SettingsError,
    UnknownBatch,
    UnknownJob,
    UnknownNode,
    UnknownTask,
    ValueError,
)


@contextmanager
def drawn_anew() -> Iterator[Live]:
    """What is drawn again and again while something runs; whatever is printed next begins on a line of its own."""
    with Live(console=console, refresh_per_second=8) as live:
        yield live
    if not console.is_terminal:
        console.print()


class Exit(IntEnum):
    """Exit codes of every command."""

    DONE = 0
    FAILED = 1
    BAD_INPUT = 2


def guarded(command: Callable[P, Exit | None]) -> Callable[P, None]:
    """Turn ytray's errors into one line on standard error and an exit code; with --json, into {"error": …}."""

    @wraps(command)
    def run(*args: P.args, **kwargs: P.kwargs) -> None:
        try:
            code = _called(command, *args, **kwargs)
        except BrokenPipeError:
            raise
        except (YtrayError, ValueError, OSError) as error:
            if kwargs.get("as_json"):
                sys.stderr.write(json.dumps({"error": str(error), "type": type(error).__name__}) + "\n")
            else:
                complaints.print(Text.assemble((type(error).__name__, "bold red"), f": {error}"), soft_wrap=True)
            ended_badly = isinstance(error, (JobFailed, JobCancelled, TimeoutError))
            code = Exit.BAD_INPUT if isinstance(error, _USAGE) and not ended_badly else Exit.FAILED
        raise typer.Exit(code or Exit.DONE)

    return run


def _called(command: Callable[P, Exit | None], *args: P.args, **kwargs: P.kwargs) -> Exit | None:
    """Call a command; what Redis says of its state becomes the sentence for it."""
    try:
        return command(*args, **kwargs)
    except YtrayError:
        raise
    except Exception as error:
        from redis import RedisError  # a command that asks nothing of Redis does not import it

        from ytray.engine.state.refusals import as_unavailable

        unavailable = as_unavailable(error) if isinstance(error, RedisError) else None
        if unavailable is None:
            raise
        raise unavailable from error


def print_json(value: Any) -> None:
    """Print `value` as JSON, one document on standard output."""
    sys.stdout.write(harmless_json(json.dumps(value, indent=2, ensure_ascii=False)) + "\n")


def print_table(columns: Sequence[str], rows: Iterable[Sequence[Any]], empty: str) -> None:
    """Print a table for people, or the line `empty` when there is nothing to show."""
    table = Table(*columns, box=None, header_style="bold", pad_edge=False)
    for row in rows:
        table.add_row(*(Text(str(cell)) for cell in row))
    if table.row_count:
        console.print(table)
    else:
        console.print(empty, style="dim")


def parse_json(text: str, what: str) -> Any:
    """JSON given on the command line. Raises InvalidArguments naming the option."""
    try:
        return json.loads(text)
    except json.JSONDecodeError as wrong:
        raise InvalidArguments(f"{what} is not JSON: {wrong}") from None
