// The dead-letter queue, grouped by what went wrong.

import { get, post } from "../api.js";
import { confirmed, el, empty, fill, notice, throttled } from "../dom.js";
import { count } from "../format.js";
import { listenFrom } from "../live.js";
import { jobLink, when } from "./parts.js";

const MOST = 1000; // letters looked at: the oldest ones, which are to be settled first
const SHOWN = 50; // of a group

export async function show(main, { system }) {
  document.title = "Dead letters · ytray";
  const place = el("div", { className: "groups" });
  const chosen = new Set();
  const open = new Set();
  const may = system.scopes.includes("submit");
  const selected = el("div", { className: "actions sticky", hidden: true });

  async function settle(ids, what) {
    if (what === "remove" && !(await confirmed(
      `Discard ${count(ids.length)} failed ${ids.length === 1 ? "job" : "jobs"}? They stay FAILED and can no longer be replayed.`, "Discard"))) return;
    const done = await post(`/api/dlq/${what}`, { job_ids: ids });
    ids.forEach((id) => chosen.delete(id));
    notice(`${count(done.job_ids.length)} ${what === "retry" ? "replayed" : "discarded"}`);
    await refresh();
  }

  const buttons = (ids, prefix = "") => may ? [
    el("button", { onclick: () => settle(ids(), "retry"), data: { test: `${prefix}replay` } }, "Replay"),
    el("button", { className: "danger quiet", onclick: () => settle(ids(), "remove"), data: { test: `${prefix}discard` } }, "Discard"),
  ] : [];

  function choose(id, yes) {
    if (yes) chosen.add(id);
    else chosen.delete(id);
    selected.hidden = !chosen.size;
    fill(selected, el("span", {}, `${count(chosen.size)} selected`), buttons(() => [...chosen], "selected-"));
  }

  function row(letter) {
    const more = el("div", { className: "more", hidden: !open.has(letter.job_id) });
    const fillMore = () => fill(more,
      el("h4", {}, "Arguments"), el("pre", {}, JSON.stringify(letter.args, null, 2)),
      el("h4", {}, "Traceback"), el("pre", {}, letter.traceback || "none: the worker died"));
    const toggle = el("button", { className: "quiet", "aria-expanded": open.has(letter.job_id), data: { test: "letter-more" },
      onclick: () => {
        more.hidden = !more.hidden;
        toggle.setAttribute("aria-expanded", !more.hidden);
        if (more.hidden) open.delete(letter.job_id);
        else {
          open.add(letter.job_id);
          fillMore();
        }
      } }, "Why");
    if (!more.hidden) fillMore();
    return el("li", { tabindex: 0, data: { row: "", test: "letter" },
      onkeydown: (event) => { if (event.key === "Enter" && event.target.tagName === "LI") location.hash = `#/jobs/${encodeURIComponent(letter.job_id)}`; } },
      may ? el("input", { type: "checkbox", checked: chosen.has(letter.job_id), "aria-label": `select ${letter.job_id}`,
        onchange: (event) => choose(letter.job_id, event.target.checked), data: { test: "select" } }) : null,
      jobLink(letter.job_id), when(letter.failed_at),
      el("span", { className: "clip", title: letter.error }, letter.error),
      el("small", {}, letter.retry_count ? `${letter.retry_count} ${letter.retry_count === 1 ? "retry" : "retries"}` : ""), toggle, more);
  }

  async function refresh() {
    const page = await get(`/api/dlq?limit=${MOST}`);
    const groups = new Map();
    for (const letter of page.dead_letters) {
      const key = `${letter.task_name}\n${normal(letter.error)}`;
      if (!groups.has(key)) groups.set(key, []);
      groups.get(key).push(letter);
    }
    const sorted = [...groups.values()].sort((a, b) => b.length - a.length);
    fill(place, sorted.length ? sorted.map((letters) => el("section", { className: "card group", data: { test: "group" } },
      el("header", {},
        el("h2", {}, letters[0].task_name, " ", el("span", { className: "count" }, count(letters.length))),
        el("p", { className: "clip", title: letters[0].error }, normal(letters[0].error)),
        el("div", { className: "actions" }, buttons(() => letters.map((letter) => letter.job_id), "group-"))),
      el("ul", { className: "letters" }, letters.slice(0, SHOWN).map(row)),
      letters.length > SHOWN ? el("p", { className: "dim" }, `and ${count(letters.length - SHOWN)} more like these`) : null))
      : empty("Nothing here", "Jobs that fail for good come here, to be replayed or discarded. All is well."),
    page.next_cursor ? el("p", { className: "dim" }, `The oldest ${count(MOST)} of ${page.total === null ? "more" : count(page.total)} are shown.`) : null);
  }

  fill(main, el("h1", { className: "visually-hidden" }, "Dead-letter queue"), selected, place);
  const soon = throttled(() => refresh().catch(() => {}), 1500);
  return listenFrom(refresh, (kind, data) => {
    if (kind === "reset" || data.to_state === "FAILED" || data.from_state === "FAILED") soon();
  });
}

/** The error without what differs from one job to the next: ids, numbers, quoted parts. */
function normal(error) {
  return error.split("\n")[0].replace(/[0-9a-f]{8,}/gi, "…").replace(/\d+(\.\d+)?/g, "#").replace(/'[^']{1,80}'/g, "'…'");
}
