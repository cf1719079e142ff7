// The paid calls of the spend journal, as a table that job.js and spending.js show.

import { post } from "../api.js";
import { confirmed, el, fill, notice } from "../dom.js";
import { dollars } from "../format.js";
import { jobLink, when } from "./parts.js";

const OPEN = new Set(["intended", "started"]);
const allowed = new Set(); // what was allowed on this page, by key and try: the next try may be uncertain again

/** A table of paid calls. `columns` are names out of COLUMNS; `here` is the job whose page it stands on. */
export class CallTable {
  constructor(columns, { here = null, may = false, changed = () => {} }) {
    this.columns = columns;
    this.here = here;
    this.may = may;
    this.changed = changed;
    this.rows = new Map();
    this.body = el("tbody");
    this.foot = el("tfoot");
    const heads = columns.map((name) => el("th", { scope: "col", className: name }, COLUMNS[name].title));
    this.node = el("div", { className: "scroll" },
      el("table", { className: "calls", data: { test: "calls" } }, el("thead", {}, el("tr", {}, heads)), this.body, this.foot));
  }

  /** Show these calls, and what they cost together where that is given. Calls that did not change stay as they are. */
  show(entries, total = null) {
    this.rows = new Map(entries.map((entry) => {
      const drawn = JSON.stringify([entry, isAllowed(entry)]);
      const known = this.rows.get(entry.key);
      return [entry.key, known?.drawn === drawn ? known : { drawn, node: this.#row(entry) }];
    }));
    const nodes = [...this.rows.values()].map((row) => row.node);
    const same = nodes.length === this.body.children.length && nodes.every((node, i) => this.body.children[i] === node);
    if (!same) this.body.replaceChildren(...nodes);
    if (total !== null) fill(this.foot, this.#total(total));
  }

  #row(entry) {
    const elsewhere = entry.job_id !== this.here;
    const open = () => { location.hash = `#/jobs/${encodeURIComponent(entry.job_id)}`; };
    const node = el("tr", { tabindex: elsewhere ? 0 : null, data: { test: "call", ...(elsewhere ? { row: "" } : {}) },
      onclick: (event) => { if (elsewhere && !event.target.closest("a, button") && !String(getSelection())) open(); },
      onkeydown: (event) => { if (elsewhere && event.key === "Enter" && event.target === node) open(); } },
    this.columns.map((name) => el("td", { className: name }, COLUMNS[name].draw(entry), name === "call" ? this.#outcome(entry) : null)));
    return node;
  }

  #total(usd) {
    return el("tr", {}, this.columns.map((name, place) => place === 0 ? el("th", { scope: "row" }, "Total")
      : el("td", { className: name }, name === "cost" ? el("span", { data: { test: "calls-total" } }, dollars(usd)) : null)));
  }

  /** Why a call brought nothing, and what can be done. */
  #outcome(entry) {
    if (entry.state === "failed") return el("p", { className: "outcome error", data: { test: "call-why" } }, entry.error);
    if (entry.state !== "uncertain") return null;
    return el("div", { className: "outcome", data: { test: "call-why" } },
      el("p", { className: "warn error" }, entry.error),
      isAllowed(entry)
        ? el("p", {}, "Allowed again: a replay of ", jobLink(entry.job_id, "its job"), " makes it once more.")
        : [el("p", { className: "dim" }, "It may have been billed, so it counts as spent and is not made again by itself."),
          this.may ? el("button", { onclick: () => this.#allow(entry), data: { test: "allow" } }, "Allow again") : null]);
  }

  async #allow(entry) {
    const sure = await confirmed(
      `Nobody knows whether this call by ${entry.model} was billed. If it was, making it again pays a second time: `
      + `up to ${dollars(entry.estimate_usd)} more. A replay of its job makes it.`, "Allow again", "Not now");
    if (!sure) return;
    await post(`/api/spend/${encodeURIComponent(entry.key)}/allow`);
    allowed.add(tryOf(entry));
    notice("allowed: replay its job to make the call again");
    await this.changed();
  }
}

const tryOf = (entry) => `${entry.key} ${entry.tries}`;
const isAllowed = (entry) => entry.state === "uncertain" && allowed.has(tryOf(entry));

const COLUMNS = {
  state: { title: "State", draw: (entry) => el("span", { className: "state", data: { state: entry.state, test: "call-state" } }, entry.state) },
  call: { title: "Call", draw: (entry) => [
    el("strong", {}, entry.kind), " ", el("span", { className: "dim", title: `by ${entry.provider}` }, entry.model),
    entry.tries > 1 ? el("span", { className: "dim" }, ` · ${entry.tries} tries`) : null,
    entry.about ? el("span", { className: "clip", title: entry.about }, entry.about) : null] },
  origin: { title: "Job", draw: (entry) => jobLink(entry.job_id) },
  user: { title: "User", draw: (entry) => entry.user_id ?? "" },
  at: { title: "Made", draw: (entry) => when(entry.at) },
  cost: { title: "Cost", draw: (entry) => OPEN.has(entry.state)
    ? el("span", { className: "dim", title: "reserved until it is known" }, `up to ${dollars(entry.estimate_usd)}`)
    : el("span", { title: billed(entry) }, dollars(entry.cost_usd)) },
};

/** What was billed, in units: "310 input tokens, 50 output tokens". */
function billed(entry) {
  return Object.entries(entry.units).map(([unit, number]) => `${number.toLocaleString("en")} ${unit.replaceAll("_", " ")}`).join(", ");
}
