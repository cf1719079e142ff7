// What went wrong with a batch's items: groups of like errors, with what to do about each.

import { batch as at, get, post } from "../api.js";
import { arrange, confirmed, el, fill, notice, setText } from "../dom.js";
import { count, innermost } from "../format.js";
import { jobLink, when } from "./parts.js";

/** What went wrong with a batch's items, like errors together, with what to do about them. */
export class Failures {
  constructor(batchId, { may, changed }) {
    this.batchId = batchId;
    this.may = may;
    this.changed = changed;
    this.groups = new Map();
    this.turn = 0;
    this.title = el("h2", { tabindex: -1 }, "What went wrong");
    this.list = el("div", { className: "groups" });
    this.node = el("section", { className: "stack", hidden: true, data: { test: "failures" } }, this.title, this.list);
  }

  async refresh() {
    const turn = ++this.turn;
    const { groups } = await get(at(this.batchId, "errors"));
    if (turn !== this.turn) return; // a later answer came first
    this.groups = new Map(groups.map((group) => {
      const shown = this.groups.get(group.fingerprint) ?? this.#made(group);
      shown.update(group);
      return [group.fingerprint, shown];
    }));
    arrange(this.list, [...this.groups.values()].map((shown) => shown.node));
    this.node.hidden = !groups.length;
  }

  #made({ fingerprint }) {
    const number = el("span", { className: "count", data: { test: "group-count" } });
    const [type, message, place, span, advice] = ["strong", "p", "p", "p", "p"].map((tag) => el(tag));
    message.className = "wrong error";
    place.className = span.className = "dim small";
    advice.className = "note";
    const examples = el("ul", { className: "examples" });
    const settle = (what) => async () => {
      if (what === "discard" && !(await confirmed(
        `Give up ${number.textContent} failed ${number.textContent === "1" ? "item" : "items"}? The batch can then complete without them.`, "Discard"))) return;
      const { items } = await post(at(this.batchId, `errors/${encodeURIComponent(fingerprint)}/${what}`));
      notice(`${count(items)} ${items === 1 ? "item" : "items"} ${what === "replay" ? "run again" : "given up"}`);
      await this.changed();
      if (document.activeElement === document.body) this.title.focus();
    };
    const node = el("article", { className: "card group", data: { test: "group" } },
      el("header", {}, el("h3", {}, type, " ", number), message, place, span), advice, examples,
      this.may ? el("div", { className: "actions" },
        el("button", { onclick: settle("replay"), data: { test: "group-replay" } }, "Run again"),
        el("button", { className: "danger quiet", onclick: settle("discard"), data: { test: "group-discard" } }, "Discard")) : null);
    let drawn = "";
    const update = (group) => {
      setText(number, count(group.count));
      setText(type, group.error_type);
      setText(message, group.message);
      setText(place, [`in ${group.task_name}`, group.frame, group.dependency && `needs ${group.dependency}`,
        group.retryable ? "may pass as it is" : null].filter(Boolean).join(" · "));
      const key = JSON.stringify([group.first_at, group.last_at, group.suggestion, group.examples]);
      if (key === drawn) return;
      drawn = key;
      fill(span, "first ", when(group.first_at), ", last ", when(group.last_at));
      fill(advice, withCode(group.suggestion));
      fill(examples, group.examples.map((example) => el("li", {},
        example.job_id ? jobLink(example.job_id, `line ${count(example.line)}`) : `line ${count(example.line)}`, " ",
        el("span", { className: "clip", title: example.error }, innermost(example.error)))));
    };
    return { node, update };
  }
}

/** A sentence whose `commands` stand between backticks. */
function withCode(text) {
  return text.split("`").map((part, place) => (place % 2 ? el("code", {}, part) : part));
}
