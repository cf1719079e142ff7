// The outcome of the quality gate: the verdict, what is wrong with what to do, and what is in order, folded.

import { el } from "../dom.js";
import { signed } from "../format.js";

const WORDS = { pass: "passed", warning: "warning", fail: "failed" };

/** The report of a video. `page` is its file as a page of its own; `begins` are the scenes' beginnings, in seconds. */
export function reportOf(report, page, playback, begins) {
  const by = (state) => report.checks.filter((check) => check.state === state);
  const wrong = [...by("fail"), ...by("warning")];
  const right = by("pass");
  const sound = report.figures.sound;
  const levels = [["Loudness", sound.loudness, "LUFS"], ["peak", sound.true_peak, "dBTP"]].filter(([, level]) => level !== null);
  const heard = levels.map(([name, level, unit]) => `${name} ${signed(level, 1)} ${unit}`).join(", ") || "Silent";
  return [
    el("h2", {}, "Quality"),
    el("p", { className: "verdict", data: { test: "verdict" } },
      el("span", { className: "state", data: { state: report.passed ? wrong.length ? "warning" : "pass" : "fail" } }, verdict(report.checks.length, right.length, by("fail").length, by("warning").length)),
      el("span", { className: "dim" }, `${heard}.`),
      page ? el("a", { href: page.url, target: "_blank", rel: "noopener", data: { test: "report-page" } }, "Report") : null),
    wrong.length ? table(wrong, playback, begins, "checks-open") : null,
    right.length ? el("details", {}, el("summary", {}, `${right.length} passed`), table(right, playback, begins, "checks-passed")) : null,
  ];
}

/** "Checked: 17 of 18 passed, 1 warning". */
function verdict(all, passed, failed, warned) {
  const others = [failed ? `${failed} failed` : null, warned ? `${warned} ${warned === 1 ? "warning" : "warnings"}` : null];
  return ["Checked: ", `${passed} of ${all} passed`, ...others.filter(Boolean).map((other) => `, ${other}`)].join("");
}

function table(checks, playback, begins, test) {
  return el("div", { className: "scroll" }, el("table", { className: "checks", data: { test } },
    el("thead", {}, el("tr", {}, ["Outcome", "Check", "Measured", "Wanted"].map((title) => el("th", { scope: "col" }, title)))),
    el("tbody", {}, checks.map((check) => el("tr", {},
      el("td", {}, el("span", { className: "state", data: { state: check.state } }, WORDS[check.state])),
      el("td", {}, check.title, " ", check.scene ? sceneLink(check.scene, playback, begins) : null,
        check.told ? el("p", { className: "told" }, toldOf(check)) : null),
      el("td", { className: "measured" }, check.measured),
      el("td", { className: "wanted dim" }, check.wanted))))));
}

function sceneLink(number, playback, begins) {
  const start = begins[number - 1];
  if (!playback.canSeek || start === undefined) return el("small", { className: "dim" }, `scene ${number}`);
  return el("button", { type: "button", className: "link", onclick: () => playback.seek(start) }, `scene ${number}`);
}

function toldOf(check) {
  const told = check.scene ? check.told.replace(`scene ${check.scene}: `, "") : check.told;
  return `${told[0].toUpperCase()}${told.slice(1)}.`;
}
