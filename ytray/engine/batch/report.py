"""What became of a batch, for people: as Markdown, and as one HTML page without scripts or anything from elsewhere.

Names, keys and errors may hold anything; in both forms they are text and nothing else.
"""

from __future__ import annotations

import math
import re
from collections.abc import Sequence
from dataclasses import dataclass
from datetime import datetime
from html import escape
from typing import NamedTuple

from ytray.engine.batch.model import DEFAULT_TASK, BatchState, BatchStatus, ErrorGroup, Stage

_GROUPS_SHOWN = 50  # of the errors, the largest
_STEPS_SHOWN = 12  # groups for which commands are listed
_LONGEST = 600  # characters of an error

_STATES = {
    BatchState.COMPLETED: ("Completed", "pass"),
    BatchState.FAILED: ("Did not complete", "fail"),
    BatchState.CANCELLED: ("Cancelled", "warning"),
    BatchState.PAUSED: ("Paused", "warning"),
    BatchState.RUNNING: ("Running", "now"),
    BatchState.SCHEDULED: ("Scheduled", "now"),
}

_STYLE = """
:root { color-scheme: light dark; --page: #f7f6f3; --card: #ffffff; --ink: #20242a; --soft: #666c74; --line: #e3e1db;
  --faint: #9cc3d1; --now: #1f6f8b; --pass: #23744a; --warning: #8f5a00; --fail: #b3261e; --now-tint: #e1eff4;
  --pass-tint: #e4f3ea; --warning-tint: #fbf0d9; --fail-tint: #fbe5e2; --code: #f1efea; }
@media (prefers-color-scheme: dark) { :root { --page: #14171a; --card: #1c2024; --ink: #e8e7e3; --soft: #9da3aa;
  --line: #30353b; --faint: #3d6474; --now: #7cc0d8; --pass: #7fd0a0; --warning: #e6b45c; --fail: #ff968c;
  --now-tint: #1b323b; --pass-tint: #1b3226; --warning-tint: #3a2e17; --fail-tint: #43211e; --code: #262b30; } }
* { box-sizing: border-box; }
body { margin: 0; background: var(--page); color: var(--ink); line-height: 1.5; font-size: 15px;
  font-family: system-ui, -apple-system, "Segoe UI", Roboto, "Liberation Sans", sans-serif; }
main { max-width: 1040px; margin: 0 auto; padding: 32px 20px 56px; }
h1 { font-size: 26px; line-height: 1.25; margin: 0 0 12px; overflow-wrap: anywhere; }
h2 { font-size: 17px; margin: 36px 0 12px; } p { margin: 0; }
h3 { font-size: 15px; margin: 0; font-weight: 600; overflow-wrap: anywhere; }
.soft { color: var(--soft); } .kind { color: var(--soft); font-size: 13px; margin-bottom: 4px; }
.verdict { display: flex; flex-wrap: wrap; align-items: baseline; gap: 8px 14px; }
.state { display: inline-block; border-radius: 999px; padding: 3px 14px; font-weight: 600; white-space: nowrap; }
.now { color: var(--now); background: var(--now-tint); } .pass { color: var(--pass); background: var(--pass-tint); }
.warning { color: var(--warning); background: var(--warning-tint); }
.fail { color: var(--fail); background: var(--fail-tint); }
dl { display: grid; grid-template-columns: repeat(auto-fit, minmax(150px, 1fr)); gap: 1px; margin: 24px 0 0;
  background: var(--card); border: 1px solid var(--line); border-radius: 12px; overflow: hidden; }
dl div { padding: 12px 16px; box-shadow: 0 0 0 1px var(--line); }
dt { color: var(--soft); font-size: 13px; }
dd { margin: 0; font-size: 18px; font-weight: 600; font-variant-numeric: tabular-nums; }
dd small { display: block; font-size: 13px; font-weight: 400; color: var(--soft); }
.card { background: var(--card); border: 1px solid var(--line); border-radius: 12px; margin: 0 0 12px; }
.wide { overflow-x: auto; } .group { padding: 14px 16px; } .group table { min-width: 640px; font-size: 13px; }
table { border-collapse: collapse; width: 100%; font-variant-numeric: tabular-nums; }
th { text-align: left; font-size: 13px; font-weight: 500; color: var(--soft); }
th, td { padding: 9px 16px; vertical-align: top; border-bottom: 1px solid var(--line); }
tbody tr:last-child td { border-bottom: 0; } .number { text-align: right; white-space: nowrap; }
.bar { width: 24%; min-width: 110px; }
.bar span { display: block; height: 10px; margin-top: 7px; border-radius: 3px; background: var(--faint); }
code { font-family: ui-monospace, "SF Mono", Menlo, Consolas, "Liberation Mono", monospace; font-size: 13px;
  background: var(--code); border-radius: 4px; padding: 1px 5px; overflow-wrap: anywhere; }
.head { display: flex; gap: 12px; align-items: baseline; }
.count { font-size: 18px; font-weight: 600; white-space: nowrap; }
.group .soft { font-size: 13px; margin: 2px 0 8px; } .group .wide { margin-top: 10px; }
.group th, .group td { padding: 6px 12px 6px 0; } ol { margin: 0; padding: 14px 16px 14px 40px; }
ol li + li { margin-top: 8px; }
@media print { body { background: none; } .card, dl, tr { break-inside: avoid; } h2 { break-after: avoid; }
  main { padding: 0; } .state, .bar span { print-color-adjust: exact; -webkit-print-color-adjust: exact; } }
"""


@dataclass(frozen=True, slots=True)
class Report:
    """A report of a batch, in two forms of the same content."""

    markdown: str
    html: str


class _Figure(NamedTuple):
    name: str
    value: str
    beside: str = ""


class _Advice(NamedTuple):
    """Something to do next: a command, and what it does."""

    command: str
    does: str


def report(status: BatchStatus, groups: Sequence[ErrorGroup]) -> Report:
    """What became of a batch: outcome, counts, time, money, where time went, its errors, and what to do next."""
    return Report(_markdown(status, groups), _html(status, groups))


# ------------------------------------------------------------------------------------------------- what is told


def _outcome(status: BatchStatus) -> str:
    """The outcome in one sentence."""
    counts, why = status.counts, f" ({status.reason})" if status.reason else ""
    done = f"{counts.completed:,} of {_items(counts.total)} completed"
    match status.state:
        case BatchState.SCHEDULED:
            when = f"at {_moment(status.start_at)}" if status.start_at else f"by the schedule {status.cron}"
            return f"It starts {when}, with {_items(counts.total)}."
        case BatchState.COMPLETED:
            given_up = f"; {counts.discarded:,} were given up" if counts.discarded else ""
            return f"{done}{given_up}."
        case BatchState.FAILED:
            lost = [(counts.failed, "failed"), (counts.cancelled, "were cancelled"), (counts.discarded, "given up")]
            return f"{done}: {', '.join(f'{number:,} {how}' for number, how in lost if number)}."
        case BatchState.CANCELLED:
            return f"It was cancelled{why} after {done}."
        case BatchState.PAUSED:
            return f"It is paused{why}: {done}, {counts.left:,} are left."
        case BatchState.RUNNING:
            return f"It runs: {done}, {counts.left:,} are left{_to_go(status)}."


def _to_go(status: BatchStatus) -> str:
    eta = status.eta
    if eta is None:
        return ""
    return f"; done in about {_span(eta.seconds)} ({_span(eta.low_seconds)} to {_span(eta.high_seconds)})"


def _figures(status: BatchStatus) -> list[_Figure]:
    counts, worked = status.counts, status.counts.completed - status.reused
    reused = f"{status.reused:,} done before" if status.reused else ""
    within = "without a budget" if status.budget_usd is None else f"of {_usd(status.budget_usd)} at most"
    found = [_Figure("Items", f"{counts.total:,}"), _Figure("Completed", f"{counts.completed:,}", reused)]
    others = (("Failed", counts.failed), ("Cancelled", counts.cancelled), ("Given up", counts.discarded))
    found += [_Figure(name, f"{number:,}") for name, number in others if number]
    if counts.left:
        found.append(_Figure("Left", f"{counts.left:,}", f"{counts.active:,} in the making"))
    if status.started_at and status.ended_at:
        taken = (status.ended_at - status.started_at).total_seconds()
        found.append(_Figure("Time", _span(taken), f"ended {_moment(status.ended_at)}"))
    elif status.started_at:
        found.append(_Figure("Started", f"{status.started_at:%H:%M} UTC", f"{status.started_at:%Y-%m-%d}"))
    if status.items_per_minute:
        found.append(_Figure("Throughput", f"{_short(status.items_per_minute)} a minute"))
    found.append(_Figure("Cost", _usd(status.cost_usd), within))
    if worked > 0:
        found.append(_Figure("Cost an item", _usd(status.cost_usd / worked), "that completed"))
    if counts.left and status.forecast_usd is not None:
        found.append(_Figure("Will cost", _usd(status.forecast_usd), "altogether, at this rate"))
    return found


def _advice(status: BatchStatus, groups: Sequence[ErrorGroup]) -> list[_Advice]:
    """What to do next: what puts the cause right first, what gives items up last."""
    batch, counts, forecast = status.batch_id, status.counts, status.forecast_usd or 0.0
    raising, errors = f"ytray batch change {batch} --budget", f"ytray batch errors {batch}"
    found = []
    if status.budget_usd is not None and (
        (counts.left and forecast > status.budget_usd) or any(raising in group.suggestion for group in groups)
    ):
        enough = math.ceil(1.1 * max(forecast, status.budget_usd) + 0.5)
        found.append(_Advice(f"{raising} {enough}", "raises the budget to what seems to be needed"))
    if status.state is BatchState.PAUSED:
        found.append(_Advice(f"ytray batch resume {batch}", "lets it go on, and tries what did not complete again"))
    elif again := counts.failed + counts.cancelled:
        found.append(_Advice(f"ytray batch resume {batch}", f"tries {_items(again)} again: all that did not complete"))
    if any("FILE" in group.suggestion for group in groups):
        told = "takes the corrected input file: changed rows are made anew, and nothing is made twice"
        found.append(_Advice(f"ytray batch resume {batch} FILE", told))
    for group in sorted(groups[:_STEPS_SHOWN], key=lambda group: not group.retryable):
        alike = f"the {_items(group.count)} with {group.error_type}: {_cut(group.message, 60)}"
        option, does = ("--replay", "tries only") if group.retryable else ("--discard", "gives up")
        found.append(_Advice(f"{errors} {option} {group.fingerprint}", f"{does} {alike}"))
    if counts.completed and status.task_name == DEFAULT_TASK:
        found.append(_Advice(f"ytray batch fetch {batch} --out DIR", f"brings the files of {_items(counts.completed)}"))
    return found


def _stage_rows(stages: Sequence[Stage]) -> list[tuple[list[str], float]]:
    """The cells of a row for each kind of step, with its share of all time, the largest first."""
    everything = sum(stage.done * stage.mean_seconds for stage in stages) or 1.0
    rows = []
    for stage in stages:
        share = stage.done * stage.mean_seconds / everything
        times = [_span(stage.mean_seconds), _span(stage.deviation_seconds)]
        rows.append(([stage.task_name, stage.queue, f"{stage.done:,}", *times, f"{share:.0%}"], share))
    return sorted(rows, key=lambda row: -row[1])


def _markdown(status: BatchStatus, groups: Sequence[ErrorGroup]) -> str:
    lines = [f"# {_plain(_title(status))}", "", f"Batch {_code(status.batch_id)} of {_code(status.task_name)}.", ""]
    lines += [f"**{_STATES[status.state][0]}.** {_plain(_outcome(status))}", ""]
    figures = _figures(status)
    lines += _table(["", ""], [[each.name, f"{each.value} ({each.beside})".removesuffix(" ()")] for each in figures])
    if advice := _advice(status, groups):
        lines += ["## What to do next", ""]
        lines += [f"{place}. {_code(each.command)} {_plain(each.does)}" for place, each in enumerate(advice, 1)]
        lines.append("")
    if status.webhook_error:
        lines += ["## Webhook", "", f"It was not told: {_plain(status.webhook_error)}", ""]
    if groups:
        lines += [f"## Errors, by kind ({len(groups):,})", ""]
        for group in groups[:_GROUPS_SHOWN]:
            lines += _group_lines(group)
        lines += [f"{_more(len(groups))}", ""] if len(groups) > _GROUPS_SHOWN else []
    if status.stages:
        lines += ["## Where time went", ""]
        head = ["Step", "Queue", "Done", "Mean", "Deviation", "Share"]
        lines += _table(head, [cells for cells, _ in _stage_rows(status.stages)])
    return "\n".join(lines).rstrip() + "\n"


def _group_lines(group: ErrorGroup) -> list[str]:
    return [
        f"### {group.count:,} × {_plain(f'{group.error_type}: {group.message}')}",
        "",
        f"{_code(group.fingerprint)} · {_plain(_about(group))}",
        "",
        _advised(group.suggestion),
        "",
        *_table(
            ["Item", "Line", "Key", "Job", "Error"],
            [
                [f"{each.number}", f"{each.line}", each.key, each.job_id or "none", _cut(each.error)]
                for each in group.examples
            ],
        ),
    ]


def _table(head: Sequence[str], rows: Sequence[Sequence[str]]) -> list[str]:
    lines = [head, ["---"] * len(head), *[[_plain(cell) for cell in row] for row in rows]]
    return [*(f"| {' | '.join(line)} |" for line in lines), ""]


def _plain(text: str) -> str:
    """Text as Markdown shows it unchanged, in a table too."""
    escaped = re.sub(r"([\\`*_{}\[\]|~#])", r"\\\1", re.sub(r"\s+", " ", _visible(text)))
    return escaped.replace("&", "&amp;").replace("<", "&lt;").replace(">", "&gt;")


def _code(text: str) -> str:
    """Text as code, whatever backticks are in it."""
    text = re.sub(r"\s+", " ", _visible(text))
    fence = "`" * (1 + max(map(len, re.findall("`+", text)), default=0))
    return f"{fence}{' ' if '`' in text else ''}{text}{' ' if '`' in text else ''}{fence}"


def _advised(suggestion: str) -> str:
    """A suggestion with the commands in it as code."""
    parts = suggestion.split("`")
    if len(parts) % 2 == 0:
        return _plain(suggestion)
    return "".join(_code(part) if place % 2 else _plain(part) for place, part in enumerate(parts))


def _html(status: BatchStatus, groups: Sequence[ErrorGroup]) -> str:
    word, colour = _STATES[status.state]
    title = _text(_title(status))
    figures = "".join(
        f"<div><dt>{each.name}</dt><dd>{_text(each.value)}"
        f"{f'<small>{_text(each.beside)}</small>' if each.beside else ''}</dd></div>"
        for each in _figures(status)
    )
    return f"""<!DOCTYPE html>
<html lang="en">
<head>
<meta charset="utf-8">
<meta name="viewport" content="width=device-width, initial-scale=1">
<title>Batch: {title}</title>
<style>{_STYLE}</style>
</head>
<body>
<main>
<p class="kind">Batch <code>{_text(status.batch_id)}</code> of <code>{_text(status.task_name)}</code></p>
<h1>{title}</h1>
<div class="verdict"><span class="state {colour}">{word}</span><span>{_text(_outcome(status))}</span></div>
<dl>{figures}</dl>
{_html_advice(status, groups)}{_html_groups(groups)}{_html_stages(status.stages)}</main>
</body>
</html>
"""


def _html_advice(status: BatchStatus, groups: Sequence[ErrorGroup]) -> str:
    advice = _advice(status, groups)
    steps = "".join(f"<li><code>{_text(each.command)}</code> {_text(each.does)}</li>" for each in advice)
    shown = f'<h2>What to do next</h2>\n<ol class="card">{steps}</ol>\n' if advice else ""
    if status.webhook_error:
        shown += f'<h2>Webhook</h2>\n<div class="card group">It was not told: {_text(status.webhook_error)}</div>\n'
    return shown


def _html_groups(groups: Sequence[ErrorGroup]) -> str:
    if not groups:
        return ""
    shown = "".join(map(_html_group, groups[:_GROUPS_SHOWN]))
    more = f'<p class="soft">{_more(len(groups))}</p>\n' if len(groups) > _GROUPS_SHOWN else ""
    return f"<h2>Errors, by kind ({len(groups):,})</h2>\n{shown}{more}"


def _html_group(group: ErrorGroup) -> str:
    parts = group.suggestion.split("`")
    advised = "".join(f"<code>{_text(part)}</code>" if n % 2 else _text(part) for n, part in enumerate(parts))
    rows = "".join(
        f'<tr><td class="number">{each.number}</td><td class="number">{each.line}</td><td>{_text(each.key)}</td>'
        f"<td><code>{_text(each.job_id or 'none')}</code></td><td>{_text(_cut(each.error))}</td></tr>"
        for each in group.examples
    )
    head = '<tr><th class="number">Item</th><th class="number">Line</th><th>Key</th><th>Job</th><th>Error</th></tr>'
    return f"""<div class="card group">
<div class="head"><span class="count">{group.count:,} ×</span>
<h3>{_text(group.error_type)}: {_text(group.message)}</h3></div>
<p class="soft"><code>{_text(group.fingerprint)}</code> · {_text(_about(group))}</p>
<p>{advised}</p>
<div class="wide"><table><thead>{head}</thead><tbody>{rows}</tbody></table></div>
</div>
"""


def _html_stages(stages: Sequence[Stage]) -> str:
    if not stages:
        return ""
    rows = ""
    for (name, queue, *numbers), share in _stage_rows(stages):
        cells = "".join(f'<td class="number">{number}</td>' for number in numbers)
        bar = f'<td class="bar"><span style="width: {max(1.0, 100 * share):.1f}%"></span></td>'
        rows += f"<tr><td>{_text(name)}</td><td>{_text(queue)}</td>{cells}{bar}</tr>"
    heads = "".join(f'<th class="number">{name}</th>' for name in ("Done", "Mean", "Deviation", "Share"))
    head = f"<tr><th>Step</th><th>Queue</th>{heads}<th></th></tr>"
    table = f'<div class="card wide"><table><thead>{head}</thead><tbody>{rows}</tbody></table></div>'
    return f"<h2>Where time went</h2>\n{table}\n"


def _text(text: str) -> str:
    return escape(_visible(text))


def _visible(text: str) -> str:
    """Text with a sign for each control character, which HTML forbids and a terminal obeys."""
    return re.sub(r"[\x00-\x08\x0b\x0c\x0e-\x1f\x7f-\x9f\ud800-\udfff]", "\ufffd", text)


def _title(status: BatchStatus) -> str:
    return status.name or f"Batch {status.batch_id}"


def _about(group: ErrorGroup) -> str:
    where = f"in {group.task_name}" + (f", {group.frame}" if group.frame else "")
    when = _moment(group.first_at) + (f" to {_moment(group.last_at)}" if group.last_at != group.first_at else "")
    by = f" · {group.dependency}" if group.dependency else ""
    again = "may pass as it is" if group.retryable else "does not pass by itself"
    return f"{where} · {when}{by} · {again}"


def _more(groups: int) -> str:
    return f"{groups - _GROUPS_SHOWN:,} more kinds of errors are not shown; ytray batch errors lists all."


def _cut(error: str, longest: int = _LONGEST) -> str:
    text = " ".join(error.split())
    return text if len(text) <= longest else f"{text[:longest].rstrip()}…"


def _items(number: int) -> str:
    return f"{number:,} item{'' if number == 1 else 's'}"


def _usd(amount: float) -> str:
    return f"${amount:,.2f}" if amount >= 1 or not amount else f"${amount:.4f}"


def _short(number: float) -> str:
    return f"{number:,.0f}" if number >= 100 else f"{number:.3g}"


def _moment(at: datetime) -> str:
    return f"{at:%Y-%m-%d %H:%M:%S} UTC"


def _span(seconds: float) -> str:
    """A length of time in its two largest units."""
    if seconds < 1:
        return f"{seconds * 1000:.0f} ms"
    if seconds < 60:
        return f"{seconds:.1f} s" if seconds < 9.95 else f"{seconds:.0f} s"
    minutes, rest = divmod(round(seconds), 60)
    if minutes < 60:
        return f"{minutes} min {rest} s" if rest else f"{minutes} min"
    hours, minutes = divmod(round(seconds / 60), 60)
    if hours < 48:
        return f"{hours} h {minutes} min" if minutes else f"{hours} h"
    days, hours = divmod(round(seconds / 3600), 24)
    return f"{days} days {hours} h" if hours else f"{days} days"
