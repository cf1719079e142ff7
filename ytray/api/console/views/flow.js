// A flow drawn as its graph of steps: columns by when a kind of step began, filling in as it runs.

import { el } from "../dom.js";
import { between, clockTime, span } from "../format.js";
import { ENDED } from "./parts.js";

const WIDE = 172; // of a node, in pixels
const HIGH = 34;
const GAP_X = 34;
const GAP_Y = 8;
const TOP = 8;

/** The graph of these steps (statuses). Steps side by side share a column; the lines say "after". */
export function flowGraph(steps) {
  const columns = stages(steps);
  const width = columns.length * (WIDE + GAP_X) - GAP_X + 4;
  const height = Math.max(...columns.map((column) => column.length)) * (HIGH + GAP_Y) + TOP;
  const places = columns.map((column, x) => column.map((step, y) => {
    const free = (height - TOP - column.length * (HIGH + GAP_Y)) / 2;
    return { step, x: 2 + x * (WIDE + GAP_X), y: TOP + free + y * (HIGH + GAP_Y) };
  }));
  const lines = places.slice(1).flatMap((column, x) => joins(places[x], column));
  return el("div", { className: "graph", tabindex: 0, role: "group", "aria-label": "Steps of the flow", data: { test: "flow" } },
    el("svg", { width, height, viewBox: `0 0 ${width} ${height}` }, lines, places.flat().map(node)));
}

/** Kinds of steps in the order in which they began; those whose runs overlap stand side by side. */
function stages(steps) {
  const kinds = new Map();
  for (const step of steps) {
    if (!kinds.has(step.task_name)) kinds.set(step.task_name, []);
    kinds.get(step.task_name).push(step);
  }
  const sorted = [...kinds.values()].map((group) => ({
    steps: group.sort((a, b) => a.created_at.localeCompare(b.created_at) || a.job_id.localeCompare(b.job_id)),
    made: Math.min(...group.map((step) => Date.parse(step.created_at))),
    ended: Math.max(...group.map((step) => (step.completed_at ? Date.parse(step.completed_at) : Infinity))),
  })).sort((a, b) => a.made - b.made);
  const columns = [];
  for (const group of sorted) {
    const last = columns.at(-1);
    // Submitted within a moment, and not because the others had ended: submitted side by side.
    if (last && group.made - last.made < 150 && group.made < last.ended) {
      last.steps.push(...group.steps);
      last.ended = Math.max(last.ended, group.ended);
    } else columns.push({ ...group, steps: [...group.steps] });
  }
  return columns.map((column) => column.steps);
}

function joins(from, to) {
  const middle = (column) => (column[0].y + column.at(-1).y + HIGH) / 2;
  const x = from[0].x + WIDE + GAP_X / 2;
  const paths = [
    ...from.map((place) => `M${place.x + WIDE} ${place.y + HIGH / 2}H${x}`),
    ...to.map((place) => `M${x} ${place.y + HIGH / 2}H${place.x}`),
    `M${x} ${Math.min(from[0].y + HIGH / 2, to[0].y + HIGH / 2, middle(from))}V${Math.max(from.at(-1).y, to.at(-1).y) + HIGH / 2}`,
  ];
  return paths.map((d) => el("path", { d, className: "join" }));
}

function node({ step, x, y }) {
  const done = step.current_state === "COMPLETED" ? 100 : ENDED.has(step.current_state) ? 100 : step.progress;
  const took = step.started_at ? span(between(step.started_at, step.completed_at)) : "";
  const told = step.current_state === "COMPLETED" ? took
    : step.current_state === "EXECUTING" ? `${Math.round(step.progress)} %`
      : step.next_retry_at ? `retrying at ${clockTime(step.next_retry_at)}` : step.current_state.toLowerCase();
  return el("svg:a", { href: `#/jobs/${encodeURIComponent(step.job_id)}`, className: "node", data: { state: step.current_state, test: "flow-node" },
    "aria-label": `${step.task_name}, ${step.current_state.toLowerCase()}` },
  el("g", { transform: `translate(${x} ${y})` },
    el("title", {}, `${step.task_name}\n${step.current_state} ${took}\n${step.error ?? step.progress_message}`),
    el("rect", { width: WIDE, height: HIGH, rx: 7, className: "box" }),
    el("rect", { width: Math.max(0, (WIDE - 2) * done / 100), height: 3, x: 1, y: HIGH - 4, rx: 1.5, className: "done" }),
    el("text", { x: 10, y: 14.5 }, step.task_name.length > 23 ? `${step.task_name.slice(0, 22)}…` : step.task_name),
    el("text", { x: 10, y: 26.5, className: "small" }, told)));
}
