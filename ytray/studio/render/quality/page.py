"""A quality report as a page: the verdict, every check, and plots over the time of the video.

One HTML file without scripts and without anything loaded from elsewhere, so that it may be kept beside the video and
opened under a strict Content-Security-Policy (it needs `style-src 'unsafe-inline'`). It is well-formed XML as well.
"""

from __future__ import annotations

from html import escape
from itertools import pairwise

from ytray.studio.analysis.pacing import TARGET
from ytray.studio.render.quality.plots import Plot
from ytray.studio.render.quality.report import Check, Curves, QualityReport, Span
from ytray.studio.render.quality.sound_rules import LOUDNESS_TOLERANCE
from ytray.studio.render.sound.mastering import LOUDNESS
from ytray.studio.render.text.captions import FASTEST

_WORDS = {"pass": "Passed", "warning": "Warning", "fail": "Failed"}
_ORDER = ("fail", "warning", "pass")
_LOUDNESS_SHOWN = (-40.0, 0.0)  # LUFS
_CAPTIONS_SHOWN = 26.0  # characters a second, at least
_PACING_SHOWN = (120.0, 220.0)  # words a minute, at least
_ROOM = 24  # units of a drawing: what a number needs

_STYLE = """
:root { color-scheme: light dark; --page: #f7f6f3; --card: #ffffff; --ink: #20242a; --soft: #666c74; --line: #e3e1db;
  --grid: #eeece7; --accent: #1f6f8b; --faint: #9cc3d1; --band: #dcefe3; --pass: #23744a; --warning: #8f5a00;
  --fail: #b3261e; --pass-tint: #e4f3ea; --warning-tint: #fbf0d9; --fail-tint: #fbe5e2; }
@media (prefers-color-scheme: dark) { :root { --page: #14171a; --card: #1c2024; --ink: #e8e7e3; --soft: #9da3aa;
  --line: #30353b; --grid: #272b30; --accent: #7cc0d8; --faint: #3d6474; --band: #1e3a2b; --pass: #7fd0a0;
  --warning: #e6b45c; --fail: #ff968c; --pass-tint: #1b3226; --warning-tint: #3a2e17; --fail-tint: #43211e; } }
* { box-sizing: border-box; }
body { margin: 0; background: var(--page); color: var(--ink); line-height: 1.5;
  font-family: system-ui, -apple-system, "Segoe UI", Roboto, "Liberation Sans", sans-serif; font-size: 15px; }
main { max-width: 1040px; margin: 0 auto; padding: 32px 20px 56px; }
h1 { font-size: 26px; line-height: 1.25; margin: 0 0 12px; overflow-wrap: anywhere; }
h2 { font-size: 17px; margin: 36px 0 12px; }
h3 { font-size: 14px; margin: 0; font-weight: 600; }
p { margin: 0; }
.kind { color: var(--soft); font-size: 13px; margin-bottom: 4px; }
.verdict { display: flex; flex-wrap: wrap; align-items: center; gap: 8px 14px; }
.state { display: inline-block; border-radius: 999px; padding: 1px 10px; font-size: 13px; font-weight: 600;
  white-space: nowrap; }
.state.pass { color: var(--pass); background: var(--pass-tint); }
.state.warning { color: var(--warning); background: var(--warning-tint); }
.state.fail { color: var(--fail); background: var(--fail-tint); }
.verdict .state { font-size: 15px; padding: 3px 14px; }
.soft { color: var(--soft); }
dl { display: grid; grid-template-columns: repeat(auto-fit, minmax(140px, 1fr)); gap: 1px; margin: 24px 0 0;
  background: var(--line); border: 1px solid var(--line); border-radius: 12px; overflow: hidden; }
dl div { background: var(--card); padding: 12px 16px; }
dt { color: var(--soft); font-size: 13px; }
dd { margin: 0; font-size: 18px; font-weight: 600; font-variant-numeric: tabular-nums; }
.card { background: var(--card); border: 1px solid var(--line); border-radius: 12px; }
.wide { overflow-x: auto; }
table { border-collapse: collapse; width: 100%; font-variant-numeric: tabular-nums; }
th { text-align: left; font-size: 13px; font-weight: 500; color: var(--soft); }
th, td { padding: 9px 16px; vertical-align: top; border-bottom: 1px solid var(--line); }
tbody tr:last-child td { border-bottom: 0; }
td.told { padding-top: 0; }
tr.led td { border-bottom: 0; }
figure { margin: 0; padding: 14px 16px 10px; border-bottom: 1px solid var(--line); min-width: 640px; }
figure:last-child { border-bottom: 0; }
figcaption { display: flex; flex-wrap: wrap; gap: 2px 12px; align-items: baseline; margin-bottom: 6px; }
figcaption .soft { font-size: 13px; }
svg { display: block; width: 100%; height: auto; }
svg text { fill: var(--soft); font-size: 12px; font-variant-numeric: tabular-nums; }
svg .number { fill: var(--ink); font-weight: 600; }
.grid { stroke: var(--grid); } .edge { stroke: var(--line); } .limit { stroke: var(--fail); stroke-dasharray: 5 4; }
.band { fill: var(--band); } .curve { fill: none; stroke: var(--accent); stroke-width: 2; stroke-linejoin: round; }
.under { fill: none; stroke: var(--faint); stroke-width: 1; } .cut { stroke: var(--ink); stroke-width: 2; }
.bar { fill: var(--faint); } .step { fill: var(--accent); } .bar.warning, .step.warning { fill: var(--warning); }
.dot { fill: var(--accent); } .scene.pass { fill: var(--pass-tint); } .scene.warning { fill: var(--warning-tint); }
.scene.fail { fill: var(--fail-tint); } .mark { fill: var(--soft); }
@media print { body { background: none; } .card { break-inside: avoid; } }
"""


def page(report: QualityReport, title: str = "") -> str:
    """The report as a complete HTML page; `title` is the video's where it has one, and may hold anything."""
    kind = "Quality report"
    heading = f'<p class="kind">{kind}</p>\n<h1>{_text(title)}</h1>' if title else f"<h1>{kind}</h1>"
    failed, warned = len(report.of("fail")), len(report.of("warning"))
    state, verdict = ("pass", "Passed") if report.passed else ("fail", "Did not pass")
    counts = f"{len(report.checks)} checks: {failed} failed, {_counted(warned, 'warning')}"
    return f"""<!DOCTYPE html>
<html xmlns="http://www.w3.org/1999/xhtml" lang="en">
<head>
<meta charset="utf-8"/>
<meta name="viewport" content="width=device-width, initial-scale=1"/>
<title>{f"Quality: {_text(title)}" if title else kind}</title>
<style>{_STYLE}</style>
</head>
<body>
<main>
{heading}
<div class="verdict"><span class="state {state}">{verdict}</span><span class="soft">{counts}</span></div>
{_key_figures(report)}
{_section("What to look at", [*report.of("fail"), *report.of("warning")])}
<h2>Over time</h2>
<div class="card wide">
{"".join(_figures(report))}
</div>
{_section("What is in order", report.of("pass"))}
</main>
</body>
</html>
"""


def _text(text: str) -> str:
    """Text as HTML and XML both take it: the characters that XML 1.0 forbids become a sign for them."""
    return escape("".join(sign if _is_allowed(sign) else "\ufffd" for sign in text))


def _is_allowed(sign: str) -> bool:
    return sign in "\t\n\r" or " " <= sign <= "\ud7ff" or "\ue000" <= sign <= "\ufffd" or sign >= "\U00010000"


def _signed(text: str) -> str:
    """Numbers with the minus sign that is as wide as a plus."""
    return text.replace("-", "−")


def _counted(number: int, what: str) -> str:
    return f"{number} {what}{'' if number == 1 else 's'}"


def _key_figures(report: QualityReport) -> str:
    streams, sound = report.figures.streams, report.figures.sound
    lags = [abs(lag) for lag in sound.voice_lags if lag is not None]
    found = [
        ("Length", f"{streams.picture_seconds:.2f} s"),
        ("Picture", f"{streams.width}×{streams.height}"),
        ("Loudness", "silent" if sound.loudness is None else f"{sound.loudness:.1f} LUFS"),
        ("True peak", "silent" if sound.true_peak is None else f"{sound.true_peak:.1f} dBTP"),
        ("Voice off by", f"{1000 * max(lags):.0f} ms at most" if lags else "no voice"),
        ("File", f"{streams.size_bytes / 1024**2:.1f} MB"),
    ]
    return "<dl>" + "".join(f"<div><dt>{name}</dt><dd>{_signed(value)}</dd></div>" for name, value in found) + "</dl>"


def _section(title: str, checks: list[Check]) -> str:
    """A heading with a table of checks; nothing where there are none."""
    if not checks:
        return ""
    head = "<tr><th>Outcome</th><th>Check</th><th>Measured</th><th>Wanted</th></tr>"
    rows = "".join(map(_row, checks))
    table = f'<div class="card wide"><table><thead>{head}</thead><tbody>{rows}</tbody></table></div>'
    return f"<h2>{title}</h2>\n{table}"


def _row(check: Check) -> str:
    state = f'<span class="state {check.state}">{_WORDS[check.state]}</span>'
    where = f' <span class="soft">scene {check.scene}</span>' if check.scene is not None else ""
    cells = f"<td>{state}</td><td>{_text(check.title)}{where}</td>"
    cells += f"<td>{_text(check.measured)}</td><td>{_text(check.wanted)}</td>"
    if check.told is None:
        return f"<tr>{cells}</tr>"
    told = check.told.removeprefix(f"scene {check.scene}: ")
    told = told[:1].upper() + told[1:]
    return f'<tr class="led">{cells}</tr><tr><td></td><td class="told" colspan="3">{_text(told)}.</td></tr>'


def _figures(report: QualityReport) -> list[str]:
    curves = report.curves
    found = [_scenes(report), _loudness(curves)]
    if curves.captions:
        found.append(_captions(curves))
    if curves.arc:
        found.append(_arc(curves, curves.arc))
    if curves.pacing:
        found.append(_pacing(curves, curves.pacing))
    return found


def _figure(title: str, about: str, plot: Plot) -> str:
    caption = f'<figcaption><h3>{title}</h3><span class="soft">{about}</span></figcaption>'
    return f"<figure>{caption}{plot.drawn(title)}</figure>\n"


def _spans(curves: Curves) -> list[tuple[float, float]]:
    """When each scene is shown."""
    return list(pairwise([*curves.scene_starts, curves.seconds]))


def _scenes(report: QualityReport) -> str:
    curves, picture = report.curves, report.figures.picture
    marks: list[tuple[str, list[Span]]] = [
        ("black", picture.black),
        ("still", picture.frozen),
        ("silent", picture.silent),
    ]
    marks = [(name, spans) for name, spans in marks if spans]
    plot = Plot(curves.seconds, 44 + 16 * len(marks), (44.0 + 16 * len(marks), 0.0))
    for number, (start, end) in enumerate(_spans(curves), start=1):
        states = {check.state for check in report.checks if check.scene == number}
        state = next(state for state in _ORDER if state in states or state == "pass")
        plot.bar(start, end, 0, 40, f"scene {state}")
        if plot.across(end) - plot.across(start) > _ROOM:
            plot.label((start + end) / 2, 20, str(number), "number")
    for cut in curves.cuts:
        plot.upright(cut, 0, 40, "cut")
    for row, (name, spans) in enumerate(marks):
        top = 46.0 + 16 * row
        plot.beside(top + 4, name)
        for span in spans:
            plot.bar(span.start, span.end, top, top + 8, "mark")
    return _figure("Scenes and cuts", "bars between scenes are cuts that were seen in the picture", plot)


def _loudness(curves: Curves) -> str:
    low, high = _LOUDNESS_SHOWN
    plot = Plot(curves.seconds, 150, (low, high))
    plot.band(LOUDNESS - LOUDNESS_TOLERANCE, LOUDNESS + LOUDNESS_TOLERANCE)
    plot.levels([-40, -30, -20, -14, 0])
    plot.curve([(at, max(low, value)) for at, value in curves.momentary], "under")
    plot.curve([(at, max(low, value)) for at, value in curves.short_term if value > low], "curve")
    about = f"LUFS; over 3 s, and over 0.4 s in pale; the band is the target of {LOUDNESS:g} for the whole"
    return _figure("Loudness", _signed(about), plot)


def _captions(curves: Curves) -> str:
    fastest = max(speed for _, _, speed in curves.captions)
    plot = Plot(curves.seconds, 110, (0, max(_CAPTIONS_SHOWN, fastest * 1.1)))
    plot.levels([0, 10, FASTEST])
    for start, end, speed in curves.captions:
        plot.bar(start, end, 0, speed, "bar warning" if speed > FASTEST + 0.05 else "bar")
    plot.limit(FASTEST)
    return _figure("Captions", f"characters a second of each; the limit is {FASTEST:g}", plot)


def _arc(curves: Curves, arc: list[float]) -> str:
    plot = Plot(curves.seconds, 120, (-1.1, 1.1))
    plot.levels([-1, 0, 1])
    points = [((place + 0.5) / len(arc) * curves.seconds, max(-1.0, min(1.0, each))) for place, each in enumerate(arc)]
    plot.curve(points, "curve")
    for at, value in points:
        plot.dot(at, value)
    return _figure("Emotional arc", "valence of each sentence, from −1 to 1, spread evenly", plot)


def _pacing(curves: Curves, pacing: list[float]) -> str:
    low, high = _PACING_SHOWN
    low, high = min(low, *(pace * 0.9 for pace in pacing if pace)), max(high, max(pacing) * 1.1)
    plot = Plot(curves.seconds, 120, (low, high))
    plot.band(*TARGET)
    plot.levels(TARGET)
    thick = (high - low) / 60
    for (start, end), pace in zip(_spans(curves), pacing, strict=False):
        if pace:
            kind = "step" if TARGET[0] <= pace <= TARGET[1] else "step warning"
            plot.bar(start, end, pace - thick, pace + thick, kind)
            if plot.across(end) - plot.across(start) > _ROOM:
                plot.label((start + end) / 2, pace + 5 * thick, f"{pace:.0f}", "number")
    return _figure("Pacing", f"words a minute by scene; the band is {TARGET[0]:g} to {TARGET[1]:g}", plot)
