"""The report of a batch: everything is in it, nothing in it can do harm, and its commands are the right ones."""

from __future__ import annotations

import re
from datetime import UTC, datetime, timedelta
from html.parser import HTMLParser
from typing import Any

import pytest

from ytray.engine.batch.model import BatchState, BatchStatus, ErrorGroup, Eta, ItemCounts, Stage
from ytray.engine.batch.report import report
from ytray.engine.batch.triage import FailedItem, group

BATCH = "b0190d3f2a7c"
AT = datetime(2026, 3, 1, 12, tzinfo=UTC)
EVIL = "<script>alert(1)</script> | `x` *y* [z](javascript:1) & \x00\x1b end\n\n# no heading"


def counts(**given: int) -> ItemCounts:
    none = dict.fromkeys(("waiting", "queued", "executing", "retrying"), 0)
    return ItemCounts(**(none | {"completed": 0, "failed": 0, "cancelled": 0, "discarded": 0} | given))


def status(state: BatchState = BatchState.FAILED, **given: Any) -> BatchStatus:
    how = given.pop("counts", counts(completed=480, failed=18, cancelled=2))
    values: dict[str, Any] = {
        "batch_id": BATCH,
        "name": "Spring catalogue",
        "task_name": "process_batch_item",
        "user_id": "ann",
        "state": state,
        "reason": None,
        "total": how.total,
        "counts": how,
        "reused": 30,
        "progress": 100.0,
        "created_at": AT,
        "started_at": AT,
        "ended_at": AT + timedelta(seconds=4354) if state.has_ended else None,
        "start_at": None,
        "cron": None,
        "priority": 5,
        "concurrency": None,
        "budget_usd": 50.0,
        "cost_usd": 41.25,
        "reserved_usd": 0.0,
        "forecast_usd": None,
        "items_per_minute": 6.62,
        "eta": None,
        "stages": [
            Stage(task_name="render_scene", queue="media", done=1920, mean_seconds=9.31, deviation_seconds=2.2),
            Stage(task_name="write", queue="generation", done=480, mean_seconds=0.4, deviation_seconds=0.1),
        ],
        "webhook_error": None,
        "metadata": {},
    }
    return BatchStatus(**(values | given))


ERRORS = [
    *["ProviderFailed: Vertex AI (gemini-3.8-flash) answered 503: The model is overloaded."] * 9,
    *[f"PermanentError: blocked by Vertex AI's safety filter: the prompt (SAFETY {n})" for n in range(6)],
    *["PermanentError: the video did not pass the quality gate: Cuts: scene 3: the cut is 0.4 s late"] * 2,
    "ValueError: " + EVIL,
]


def groups(errors: list[str] = ERRORS, key: str = "row") -> list[ErrorGroup]:
    failed = (
        FailedItem(
            n, n + 1, f"{key}-{n}", f"i3f{n:04x}.7ab2", error, "tasks/media.py:187 in compose", "compose",
            AT + timedelta(minutes=n), 5,
        )
        for n, error in enumerate(errors, start=1)
    )  # fmt: skip
    return group(failed, BATCH)


class Page(HTMLParser):
    """The page's elements, text, and whether every element was closed."""

    def __init__(self, html: str) -> None:
        super().__init__()
        self.names: list[str] = []
        self.addresses: list[str] = []
        self.codes: list[str] = []
        self._open: list[str] = []
        self._said = ""
        self.feed(html)
        self.close()
        assert not self._open
        self.text = " ".join(self._said.split())

    def handle_starttag(self, tag: str, attrs: list[tuple[str, str | None]]) -> None:
        self.names.append(tag)
        self.addresses += [f"{name}={value}" for name, value in attrs if name in ("src", "href", "style", "onclick")]
        if tag != "meta":
            self._open.append(tag)
        if tag == "code":
            self.codes.append("")

    def handle_endtag(self, tag: str) -> None:
        assert self._open.pop() == tag

    def handle_data(self, data: str) -> None:
        if "style" not in self._open:
            self._said += data
        if "code" in self._open:
            self.codes[-1] += data


def test_the_report_tells_outcome_counts_time_money_and_where_time_went() -> None:
    told = report(status(), groups())
    page = Page(told.html)
    for text in (page.text, told.markdown):
        assert "Spring catalogue" in text
        assert "480 of 500 items completed: 18 failed, 2 were cancelled." in text
        assert "1 h 13 min" in text
        assert "$41.25" in text
        assert "$50.00" in text
        assert "$0.0917" in text  # of each of the 450 that were not done before
        assert "6.62 a minute" in text
        assert "1,920" in text
        assert "99%" in text
    assert page.text.index("render_scene") < page.text.index("write")


def test_each_group_of_errors_has_its_count_times_examples_and_suggestion() -> None:
    found = groups()
    told = report(status(), found)
    page = Page(told.html)
    assert [each.count for each in found] == [9, 6, 2, 1]
    for each in found:
        for text in (page.text, told.markdown):
            assert f"{each.count} ×" in text
            assert each.fingerprint in text
            assert each.examples[0].job_id in text
        assert each.suggestion.replace("`", "") in page.text
    assert "2026-03-01 12:01:00 UTC to 2026-03-01 12:09:00 UTC" in page.text
    assert "vertex/gemini-3.8-flash" in page.text


def test_what_to_do_next_is_a_list_of_commands_to_be_copied() -> None:
    found = groups()
    told = report(status(), found)
    commands = [
        f"ytray batch resume {BATCH}",
        f"ytray batch resume {BATCH} FILE",
        *(
            f"ytray batch errors {BATCH} {'--replay' if each.retryable else '--discard'} {each.fingerprint}"
            for each in found
        ),
    ]
    page = Page(told.html)
    for command in commands:
        assert command in page.codes
        assert f"`{command}`" in told.markdown


def test_a_batch_that_ran_out_of_money_is_told_how_much_it_needs() -> None:
    paused = status(
        BatchState.PAUSED,
        reason="its budget is used up",
        counts=counts(completed=100, failed=3, waiting=97),
        reused=0,
        budget_usd=20.0,
        cost_usd=19.8,
        forecast_usd=38.0,
    )
    over = f"OverBudget: over budget: image by m may cost $1, and of the $20.00 of flow {BATCH} $0.2 are left"
    told = report(paused, groups([over] * 3))
    assert f"`ytray batch change {BATCH} --budget 43`" in told.markdown
    assert told.markdown.index("--budget 43") < told.markdown.index(f"`ytray batch resume {BATCH}`")
    assert "It is paused (its budget is used up): 100 of 200 items completed, 97 are left." in told.markdown


@pytest.mark.parametrize(
    ("state", "given", "sentence"),
    [
        (BatchState.COMPLETED, {"counts": counts(completed=1)}, "1 of 1 item completed."),
        (BatchState.COMPLETED, {"counts": counts(completed=8, discarded=2)}, "8 of 10 items completed; 2 were given"),
        (BatchState.CANCELLED, {"reason": "typo"}, "It was cancelled (typo) after 480 of 500 items completed."),
        (
            BatchState.RUNNING,
            {
                "counts": counts(completed=2, executing=3, waiting=5),
                "eta": Eta(seconds=4000, low_seconds=3000, high_seconds=5400, method="x"),
            },
            "It runs: 2 of 10 items completed, 8 are left; done in about 1 h 7 min (50 min to 1 h 30 min).",
        ),
        (
            BatchState.SCHEDULED,
            {"counts": counts(waiting=5), "start_at": AT, "started_at": None, "stages": [], "items_per_minute": None},
            "It starts at 2026-03-01 12:00:00 UTC, with 5 items.",
        ),
    ],
)  # fmt: skip
def test_the_outcome_is_one_sentence(state: BatchState, given: dict[str, Any], sentence: str) -> None:
    told = report(status(state, **given), [])
    assert sentence in Page(told.html).text
    assert "Errors" not in told.markdown


def test_a_batch_that_completed_has_nothing_to_be_done() -> None:
    told = report(status(BatchState.COMPLETED, counts=counts(completed=500), task_name="resize"), [])
    assert "What to do next" not in told.html + told.markdown


def test_a_batch_of_videos_says_how_to_get_them() -> None:
    told = report(status(BatchState.COMPLETED, counts=counts(completed=500)), [])
    assert "`ytray batch fetch b0190d3f2a7c --out DIR` brings the files of 500 items" in told.markdown


def test_names_and_errors_are_text_and_nothing_else() -> None:
    evil = status(name=EVIL, reason=EVIL, webhook_error=EVIL, user_id=EVIL)
    over = f"OverBudget: over budget: of user {EVIL}, this month"
    told = report(evil, groups([f"ValueError: {EVIL}", over], key=EVIL))
    page = Page(told.html)
    assert set(page.names).isdisjoint({"script", "a", "img", "link", "iframe"})
    assert all(re.fullmatch(r"style=width: [\d.]+%", each) for each in page.addresses)
    assert "://" not in told.html
    assert "<script>alert(1)</script> | `x` *y*" in page.text
    assert not re.search(r"[\x00-\x08\x0b-\x1f]", told.html + told.markdown)
    for line in told.markdown.splitlines():
        outside = re.sub(r"(`+) ?.*? ?\1", "", line)
        assert "<script>" not in outside
        assert not re.search(r"(?<!\\)\[z", outside)
        assert not line.startswith("# no heading")


def test_every_row_of_a_table_in_markdown_has_as_many_cells_as_its_head() -> None:
    told = report(status(name=EVIL), groups(key="a|b"))
    tables = re.findall(r"(?:^\|.*\|$\n?)+", told.markdown, re.MULTILINE)
    assert len(tables) == 6  # figures, stages, and the examples of four groups
    for table in tables:
        cells = {len(re.findall(r"(?<!\\)\|", row)) for row in table.strip().splitlines()}
        assert len(cells) == 1


def test_a_report_of_very_many_kinds_of_errors_stays_readable() -> None:
    kinds = [f"ValueError: {'x' * (1 + n % 40)} {'y' * (1 + n // 40)}" for n in range(400)]
    told = report(status(), groups([kind + "z" * 5000 for kind in kinds]))
    assert "350 more kinds" in told.markdown
    assert len(told.html) < 300_000
