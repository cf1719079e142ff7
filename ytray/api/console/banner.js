// Lines above the page while a part of the system is missing, is starting, or was started again a short while ago.

import { get } from "./api.js";
import { el, fill } from "./dom.js";

const EVERY = 4000; // ms

let timer = null;
let turn = 0;
let shown = "";

/** Look now and every few seconds, and show in `place` what is to be told. */
export function watchParts(place) {
  forgetParts(place);
  const mine = turn;
  const look = async () => {
    const lines = document.hidden ? null : await found();
    if (mine !== turn) return;
    if (lines) show(place, lines);
    timer = setTimeout(look, EVERY);
  };
  look();
}

/** Look no more, and show nothing. */
export function forgetParts(place) {
  turn += 1;
  clearTimeout(timer);
  show(place, []);
}

async function found() {
  try {
    const { parts } = await get("/api/system");
    return parts.filter((part) => part.trouble).map((part) => ({ state: part.state, text: part.trouble }));
  } catch (problem) {
    if (problem.status === 401) return null;
    const gone = problem.status === 0 ? "The API cannot be reached." : `The API does not answer: ${problem.message}.`;
    return [{ state: "missing", text: `${gone} What is shown may be old; this page goes on by itself once it is back.` }];
  }
}

function show(place, lines) {
  const next = JSON.stringify(lines);
  if (next === shown) return; // it is read aloud when it changes
  shown = next;
  place.hidden = !lines.length;
  fill(place, lines.map(({ state, text }) => el("p", { data: { part: state } }, text)));
}
