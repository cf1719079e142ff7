// Small plots, as SVG. They scale with their column; colours come from the style sheet.

import { el } from "./dom.js";

const WIDE = 300;
const HIGH = 110;
const EDGE = 8;

/** A line through values between -1 and 1, with its zero line. */
export function curve(values) {
  const x = (place) => EDGE + place * (WIDE - 2 * EDGE) / Math.max(1, values.length - 1);
  const reach = Math.max(0.25, ...values.map(Math.abs));
  const y = (value) => HIGH / 2 - value / reach * (HIGH / 2 - EDGE);
  const points = values.map((value, place) => `${x(place).toFixed(1)},${y(value).toFixed(1)}`).join(" ");
  return el("svg", { viewBox: `0 0 ${WIDE} ${HIGH}`, role: "img", "aria-label": `from ${values[0]?.toFixed(2)} to ${values.at(-1)?.toFixed(2)}` },
    el("line", { x1: EDGE, x2: WIDE - EDGE, y1: HIGH / 2, y2: HIGH / 2, className: "axis" }),
    el("text", { x: EDGE, y: 12, className: "small" }, "bright"), el("text", { x: EDGE, y: HIGH - 4, className: "small" }, "dark"),
    el("polyline", { points, className: "line" }),
    values.map((value, place) => el("circle", { cx: x(place), cy: y(value), r: 3, className: "dot" }, el("title", {}, value.toFixed(2)))));
}

/**
 * How many of `total` were done, over time: `seen` are pairs of seconds and a number. Before them the line is pale, and
 * so it is until the end that is expected, around which lies a band.
 */
export function climb(seen, total, now, eta) {
  const end = eta ? now + eta.seconds : now;
  const whole = Math.max(1e-3, eta ? Math.min(now + eta.high_seconds, end * 1.25) : now);
  const point = ([at, done]) => `${(at / whole * WIDE).toFixed(2)},${((1 - done / Math.max(1, total)) * HIGH).toFixed(2)}`;
  const line = (points, className) => el("polyline", { points: points.map(point).join(" "), className });
  const last = seen.at(-1);
  const low = eta && (now + eta.low_seconds) / whole * WIDE;
  return {
    whole,
    node: el("svg", { viewBox: `0 0 ${WIDE} ${HIGH}`, preserveAspectRatio: "none", role: "img", "aria-label": `${last[1]} of ${total}` },
      eta ? el("rect", { x: low, width: Math.max(0, WIDE - low), y: 0, height: HIGH, className: "band" }) : null,
      el("line", { x1: 0, x2: WIDE, y1: HIGH, y2: HIGH, className: "axis" }),
      line([[0, 0], seen[0]], "line pale"),
      eta ? line([last, [end, total]], "line pale") : null,
      line(seen, "line")),
  };
}

/** A column for each value, with the band where values should lie; a click on one calls `pick` with its place. */
export function columns(values, [low, high], pick = () => {}) {
  const most = Math.max(high * 1.15, ...values);
  const y = (value) => HIGH - 14 - value / most * (HIGH - 22);
  const step = (WIDE - 2 * EDGE) / Math.max(1, values.length);
  const wide = Math.min(38, step * 0.66);
  return el("svg", { viewBox: `0 0 ${WIDE} ${HIGH}`, role: "img", "aria-label": values.map((value) => Math.round(value)).join(", ") },
    el("rect", { x: EDGE, width: WIDE - 2 * EDGE, y: y(high), height: y(low) - y(high), className: "band" }),
    values.map((value, place) => {
      const inside = value >= low && value <= high;
      const left = EDGE + place * step + (step - wide) / 2;
      return el("g", { onclick: () => pick(place) }, el("rect", { x: left, width: wide, y: y(value), height: HIGH - 14 - y(value), rx: 2, className: inside ? "column" : "column out" },
        el("title", {}, `scene ${place + 1}: ${Math.round(value)}`)),
      el("text", { x: left + wide / 2, y: HIGH - 3, className: "small middle" }, place + 1));
    }));
}
