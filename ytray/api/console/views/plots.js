// What was measured of a finished video, over its time. All plots share one axis with the strip of scenes above them.

import { el } from "../dom.js";
import { clock } from "../format.js";

const [QUIETEST, LOUDEST] = [-30, -6]; // LUFS shown
const TARGET = [-15, -13]; // LUFS
const FASTEST = 20; // characters a second of a caption
const POINTS = 1200; // of a line: more than a screen has

/** Plots of a report's curves and figures. A click goes to its time; a line follows the player. */
export function plots(report, playback) {
  const { curves, figures } = report;
  const stretches = [["Still", figures.picture.frozen], ["Black", figures.picture.black], ["Silent", figures.picture.silent]];
  const node = el("div", { className: "lanes", data: { test: "plots" } },
    curves.short_term.length ? loudness(curves) : null,
    cuts(curves),
    curves.captions.length ? captions(curves) : null,
    stretches.filter(([, spans]) => spans.length).map(([name, spans]) => lane(`${name} for ${total(spans)} s`, curves.seconds, 8,
      spans.map((span) => el("rect", { x: span.start, width: span.end - span.start, y: 0, height: 8, className: "stretch" })))),
    axis(curves.seconds));
  if (playback.canSeek) {
    node.classList.add("seeks");
    node.addEventListener("click", (event) => {
      const box = node.getBoundingClientRect();
      playback.seek(Math.max(0, (event.clientX - box.left) / box.width * curves.seconds));
    });
  }
  return node;
}

function loudness(curves) {
  const y = (value) => LOUDEST - Math.min(LOUDEST, Math.max(QUIETEST, value));
  const line = (points) => thinned(points).map(([at, value]) => `${at},${y(value)}`).join(" ");
  // Until three seconds have been heard there is no short-term loudness.
  const heard = curves.short_term.filter(([, value]) => value > QUIETEST);
  return lane(["Loudness, LUFS", "over 3 s, and over 0.4 s in pale; the band is −14 ± 1"], curves.seconds, LOUDEST - QUIETEST, [
    el("rect", { x: 0, width: curves.seconds, y: y(TARGET[1]), height: TARGET[1] - TARGET[0], className: "band" }),
    el("polyline", { points: line(curves.momentary), className: "line pale" }),
    heard.length ? el("polyline", { points: line(heard), className: "line", data: { test: "loudness" } }) : null,
  ], "loudness");
}

function cuts(curves) {
  return lane([`Cuts: ${curves.cuts.length} seen`, `thick; thin are the ${curves.scene_starts.length} scenes' beginnings`], curves.seconds, 10, [
    curves.scene_starts.map((at) => el("line", { x1: at, x2: at, y1: 0, y2: 10, className: "axis" })),
    curves.cuts.map((at) => el("line", { x1: at, x2: at, y1: 0, y2: 10, className: "cut", data: { test: "cut" } }, el("title", {}, `${at.toFixed(2)} s`))),
  ], "cuts");
}

function captions(curves) {
  const most = Math.max(26, ...curves.captions.map(([, , speed]) => speed));
  return lane(["Captions, characters a second", `the line is the limit of ${FASTEST}`], curves.seconds, most, [
    curves.captions.map(([start, end, speed]) => el("rect", { x: start, width: end - start, y: most - speed, height: speed,
      className: speed > FASTEST + 0.05 ? "column out" : "column", data: { test: "caption-speed" } },
    el("title", {}, `${start.toFixed(1)} to ${end.toFixed(1)} s: ${speed.toFixed(1)} a second`))),
    el("line", { x1: 0, x2: curves.seconds, y1: most - FASTEST, y2: most - FASTEST, className: "limit" }),
  ], "captions");
}

/** One plot: a drawing as wide as the video is long, and as high as its values reach, under its name. */
function lane(name, seconds, high, drawn, kind = "stretches") {
  const [title, about] = [name].flat();
  return el("figure", { className: "lane", data: { lane: kind } },
    el("figcaption", {}, el("strong", {}, title), about ? ` ${about}` : null),
    el("svg", { viewBox: `0 0 ${seconds} ${high}`, preserveAspectRatio: "none", role: "img", "aria-label": title }, drawn));
}

function axis(seconds) {
  const step = [0.5, 1, 2, 5, 10, 15, 30, 60, 120, 300, 600].find((one) => seconds / one <= 8) ?? 1800;
  const ticks = Array.from({ length: Math.floor(seconds / step) + 1 }, (_, place) => place * step).filter((at) => at < seconds * 0.92);
  return el("div", { className: "ticks", "aria-hidden": "true" }, ticks.map((at) => {
    const tick = el("span", {}, step < 1 ? at.toFixed(1) : clock(at));
    tick.style.insetInlineStart = `${100 * at / seconds}%`;
    return tick;
  }));
}

function thinned(points) {
  const every = Math.ceil(points.length / POINTS);
  return points.filter((_, place) => place % every === 0);
}

function total(spans) {
  return spans.reduce((sum, span) => sum + span.end - span.start, 0).toFixed(1);
}
