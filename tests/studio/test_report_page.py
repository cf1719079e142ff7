"""The page of a quality report: complete, self-contained, and safe whatever a title says."""

from __future__ import annotations

import re
from xml.etree import ElementTree

import pytest

from ytray.studio.render.quality.page import page
from ytray.studio.render.quality.report import (
    CaptionFigures,
    Check,
    Curves,
    Figures,
    PictureFigures,
    QualityReport,
    SoundFigures,
    Span,
    StreamFigures,
)

HOSTILE = "</title><script>alert(1)</script><img src=x onerror='a()'> & \"]]>\x00\x1b\ud800"
XHTML, SVG = "{http://www.w3.org/1999/xhtml}", "{http://www.w3.org/2000/svg}"


def report_of(*checks: Check) -> QualityReport:
    """A report of three scenes with those checks."""
    streams = StreamFigures(
        size_bytes=14_890_000,
        picture_seconds=30.0,
        sound_seconds=30.0,
        sound_starts_after_picture=0.0,
        width=1080,
        height=1920,
        frames_per_second=30.0,
        is_steady=True,
        video_codec="h264",
        audio_codec="aac",
        pixel_format="yuv420p",
        colour_range="tv",
        colour_matrix="bt709",
        colour_primaries="bt709",
        colour_transfer="bt709",
        is_faststart=True,
    )
    figures = Figures(
        streams=streams,
        sound=SoundFigures(loudness=-14.2, loudness_range=4.0, true_peak=-1.3, voice_lags=[0.005, -0.012, None]),
        picture=PictureFigures(black=[Span(start=9.6, end=9.9)], frozen=[], silent=[]),
        captions=CaptionFigures(count=2, fastest=22.0, longest_line=28, words_shown=1.0, time_covered=1.0),
        words_per_minute=171.0,
    )
    curves = Curves(
        seconds=30.0,
        momentary=[(0.4, -70.0), (10.0, -13.0), (30.0, -16.0)],
        short_term=[(3.0, -14.0), (30.0, -14.5)],
        cuts=[10.0, 20.0],
        scene_starts=[0.0, 10.0, 20.0],
        captions=[(0.0, 2.0, 14.0), (2.0, 3.0, 22.0)],
        arc=[-0.5, 0.5],
        pacing=[165.0, 0.0, 201.0],
    )
    return QualityReport(
        passed=not any(check.state == "fail" for check in checks), checks=list(checks), figures=figures, curves=curves
    )


GOOD = Check(name="peak", title="True peak", state="pass", measured="-1.3 dBTP", wanted="at most -1 dBTP")
BLACK = Check(
    name="black",
    title="No black pictures",
    state="fail",
    measured="0.30 s",
    wanted="none",
    told="scene 2: black for 0.30 s from 9.60 s; render the scene again",
    scene=2,
)


def parsed(html: str) -> ElementTree.Element:
    """The page, read by a parser that takes only what is well-formed."""
    head, _, body = html.partition("\n")
    assert head == "<!DOCTYPE html>"
    return ElementTree.fromstring(body)


def test_a_hostile_text_stays_text() -> None:
    hostile = Check(
        name="caption", title=HOSTILE, state="warning", measured=HOSTILE, wanted=HOSTILE, told=HOSTILE, scene=1
    )
    html = page(report_of(hostile), HOSTILE)
    html.encode("utf-8")
    root = parsed(html)
    kinds = {element.tag.partition("}")[2] for element in root.iter()}
    assert not kinds & {"script", "img", "iframe", "object", "link", "base", "form"}
    assert root.findtext(f".//{XHTML}h1") == HOSTILE.translate({0: "\ufffd", 27: "\ufffd", 0xD800: "\ufffd"})


def test_nothing_is_loaded_and_no_script_runs() -> None:
    root = parsed(page(report_of(GOOD, BLACK), "Cats"))
    names = {name for element in root.iter() for name in element.attrib}
    assert not {name for name in names if name.startswith("on") or name in ("src", "href", "srcset", "style")}
    style = root.findtext(f".//{XHTML}style") or ""
    assert "url(" not in style
    assert "@import" not in style


def test_a_page_is_light_or_dark_as_the_reader_likes() -> None:
    style = parsed(page(report_of(GOOD), "Cats")).findtext(f".//{XHTML}style") or ""
    light, _, dark = style.partition("@media (prefers-color-scheme: dark)")
    used = set(re.findall(r"var\((--[a-z-]+)\)", style))
    for scheme in (light, dark.partition("} }")[0]):
        assert used <= set(re.findall(r"(--[a-z-]+):", scheme))


def test_a_page_without_a_title_of_its_own_says_once_what_it_is() -> None:
    root = parsed(page(report_of(GOOD)))
    assert root.findtext(f".//{XHTML}title") == "Quality report"
    assert "".join(root.itertext()).count("Quality report") == 2  # the tab's title, and the heading
    assert root.findtext(f".//{XHTML}h1") == "Quality report"


@pytest.mark.parametrize(("checks", "verdict"), [((GOOD,), "Passed"), ((GOOD, BLACK), "Did not pass")])
def test_the_verdict_comes_first(checks: tuple[Check, ...], verdict: str) -> None:
    root = parsed(page(report_of(*checks), "Cats"))
    assert root.findtext(f".//{XHTML}div[@class='verdict']/{XHTML}span") == verdict


def test_a_fault_is_told_before_what_is_in_order_and_its_scene_is_marked() -> None:
    html = page(report_of(GOOD, BLACK), "Cats")
    assert html.index("Black for 0.30 s from 9.60 s; render the scene again.") < html.index("True peak</td>")
    scenes = [each for each in parsed(html).iter(f"{SVG}rect") if "scene" in each.get("class", "")]
    assert [each.get("class") for each in scenes] == ["scene pass", "scene fail", "scene pass"]


def test_all_plots_share_one_time_axis() -> None:
    plots = list(parsed(page(report_of(GOOD), "Cats")).iter(f"{SVG}svg"))
    assert [plot.findtext(f"{SVG}title") for plot in plots] == [
        "Scenes and cuts",
        "Loudness",
        "Captions",
        "Emotional arc",
        "Pacing",
    ]
    axes = [
        [(text.get("x"), text.text) for text in plot.iter(f"{SVG}text") if " s" in (text.text or "")] for plot in plots
    ]
    assert axes[0]
    assert all(axis == axes[0] for axis in axes)


def test_what_was_not_measured_is_not_plotted() -> None:
    report = report_of(GOOD)
    curves = report.curves.model_copy(update={"captions": [], "arc": None, "pacing": None})
    plots = list(parsed(page(report.model_copy(update={"curves": curves}), "Cats")).iter(f"{SVG}svg"))
    assert len(plots) == 2
