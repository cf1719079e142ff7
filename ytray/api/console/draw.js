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
