"""Modules of YTRAY_IMPORTS that cannot be imported take no other along."""

from __future__ import annotations

import sys
from collections.abc import Callable
from pathlib import Path

import pytest

from ytray.engine.base.imports import broken_imports
from ytray.engine.jobs.task import all_tasks, find
from ytray.errors import UnknownTask

Change = Callable[..., None]


class Written:
    """Modules that are written for one test, and in YTRAY_IMPORTS."""

    def __init__(self, folder: Path, change: Change) -> None:
        self._folder, self._change, self.names = folder, change, list[str]()

    def add(self, name: str, text: str) -> None:
        (self._folder / f"{name}.py").write_text(text)
        self.names.append(name)
        self._change(imports=tuple(self.names))


@pytest.fixture
def written(tmp_path: Path, monkeypatch: pytest.MonkeyPatch, with_settings: Change) -> Written:
    monkeypatch.syspath_prepend(tmp_path)
    return Written(tmp_path, with_settings)


@pytest.mark.parametrize(
    ("name", "text", "told"),
    [
        ("lacks_a_library", "import a_library_of_the_workers", "ModuleNotFoundError: No module named 'a_library_of"),
        ("cannot_be_parsed", "def half(:\n", "SyntaxError"),
        ("raises_at_import", "raise RuntimeError('no card: \\udce9')", r"RuntimeError: no card: \udce9"),
        ("exits_at_import", "import sys; sys.exit(3)", "SystemExit: 3"),
        (
            "raises_what_cannot_be_told",
            "class Mute(Exception):\n    def __str__(self): return 1 / 0\nraise Mute()",
            "Mute: (an error that cannot be told)",
        ),
    ],
)
def test_a_module_that_cannot_be_imported_is_named_and_other_tasks_go_on(
    written: Written, name: str, text: str, told: str
) -> None:
    written.add(
        f"whole_beside_{name}", f"from ytray import task\n\n@task(name='beside_{name}')\ndef t() -> None: ...\n"
    )
    written.add(name, text)
    assert list(broken_imports()) == [name]
    assert told in broken_imports()[name]
    assert find(f"beside_{name}").name == f"beside_{name}"
    assert find("generate_hook").queue == "generation"
    with pytest.raises(UnknownTask, match=f"module {name} of YTRAY_IMPORTS could not be imported: "):
        find("of_no_module")


def test_a_module_that_breaks_half_way_leaves_no_task_behind(written: Written) -> None:
    written.add(
        "breaks_half_way",
        "from ytray import task\n\n@task()\ndef first_half() -> None: ...\n\nimport nothing_of_the_kind\n",
    )
    assert "first_half" not in all_tasks()
    with pytest.raises(UnknownTask, match="module breaks_half_way of YTRAY_IMPORTS"):
        find("first_half")


def test_a_broken_module_is_tried_once_in_a_process(written: Written, tmp_path: Path) -> None:
    note = tmp_path / "tried"
    written.add("counts_its_imports", f"open({str(note)!r}, 'a').write('x')\nraise ImportError('never')\n")
    for _ in range(3):
        all_tasks()
    assert note.read_text() == "x"
    assert "counts_its_imports" not in sys.modules
