"""The docs are true: each Python snippet runs, each command that they show is one, and each task has an example."""

from __future__ import annotations

import os
import shutil
import subprocess
import sys
from pathlib import Path
from typing import Any

import pytest
import typer

from tests.docs.snippets import PAGES, ROOT, commands_of, python_of
from ytray.cli.app import app
from ytray.engine.jobs.task import all_tasks
from ytray.engine.state.store import Store

_WITH_PYTHON = [page for page in PAGES if python_of(page) and page.name != "README.md"]
# Where a snippet needs what its page leaves to the reader: values of these names.
_GIVEN: dict[str, dict[str, Any]] = {
    "batches.md": {"take_down": print, "upload": print, "thumbnail": Path("thumbnail.jpg")},
}


def _shown(page: Path) -> str:
    return str(page.relative_to(ROOT))


def test_the_readmes_first_example_runs_as_the_script_that_it_is(system: Store, tmp_path: Path) -> None:
    (example,) = python_of(ROOT / "README.md")
    script = tmp_path / "ten_lines.py"
    script.write_text(example)
    done = subprocess.run(
        [sys.executable, str(script)], env=os.environ, cwd=tmp_path, capture_output=True, text=True, timeout=120
    )
    assert done.returncode == 0, done.stderr
    assert done.stdout.startswith("a.png at 640 [Transition(")


@pytest.mark.timeout(300)
@pytest.mark.parametrize("page", _WITH_PYTHON, ids=_shown)
def test_every_python_snippet_of_the_docs_runs(
    system: Store, api_url: str, page: Path, tmp_path: Path, monkeypatch: pytest.MonkeyPatch, small_pictures: None
) -> None:
    monkeypatch.chdir(tmp_path)
    shutil.copy(ROOT / "tests" / "docs" / "briefs.csv", tmp_path)
    names: dict[str, Any] = {"__name__": "__main__", **_GIVEN.get(page.name, {})}
    for place, snippet in enumerate(python_of(page), 1):
        code = compile(snippet.replace("http://127.0.0.1:8000", api_url), f"{page.name}, snippet {place}", "exec")
        exec(code, names)


def test_each_task_has_an_example() -> None:
    examples = "\n".join(python_of(ROOT / "docs" / "tasks.md"))
    built_in = [name for name, task in all_tasks().items() if task.function.__module__.startswith("ytray.tasks.")]
    internal = {"render_scene", "render_timeline", "compose_timeline"}
    assert [name for name in built_in if name not in internal and f"{name}.delay(" not in examples] == []


@pytest.mark.parametrize("page", [page for page in PAGES if list(commands_of(page))], ids=_shown)
def test_every_command_that_the_docs_show_is_one(page: Path, tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.chdir(tmp_path)
    for words in commands_of(page):
        for file in (Path(word) for word in words if word.endswith((".json", ".csv"))):
            file.parent.mkdir(parents=True, exist_ok=True)
            file.touch()
        _parse(typer.main.get_command(app), words)


def _parse(command: Any, words: list[str]) -> None:
    """Read a command's words as it would itself, and do nothing. Raises when they are none."""
    context = command.make_context("ytray", list(words))
    if hasattr(command, "resolve_command"):
        _, inner, more = command.resolve_command(context, [*context._protected_args, *context.args])
        _parse(inner, more)
