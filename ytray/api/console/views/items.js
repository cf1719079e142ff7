// The items of a batch, as a table of pages that follows them.

import { batch as at, get } from "../api.js";
import { el, hide } from "../dom.js";
import { count, dollars, innermost } from "../format.js";
import { ITEM_STATES } from "./batchtable.js";
import { bar, jobLink, jobPage, stateChip, Table } from "./parts.js";

const PAGE = 25;

/** The items of a batch, page by page, all or those in one state. */
export class Items {
  constructor(batchId) {
    this.batchId = batchId;
    this.pages = [null]; // the cursors of the pages up to the one that is shown
    this.turn = 0;
    this.table = new Table(["number", "item", "state", "cost", "error"], COLUMNS,
      { idOf: (item) => item.number, pageOf: (item) => item.job_id && jobPage(item.job_id), test: "item", className: "items" });
    this.byJob = new Map();
    this.state = el("select", { "aria-label": "State of items", data: { test: "item-filter" }, onchange: () => this.#go([null]) },
      el("option", { value: "" }, "every state"), ITEM_STATES.map((state) => el("option", { value: state }, state.toLowerCase())));
    this.none = el("p", { className: "dim", hidden: true }, "None.");
    this.next = null;
    this.back = el("button", { hidden: true, onclick: () => this.#go(this.pages.slice(0, -1)) }, "← Earlier");
    this.on = el("button", { hidden: true, onclick: () => this.#go([...this.pages, this.next]), data: { test: "items-next" } }, "Later →");
    this.node = el("section", { className: "stack", "aria-label": "Items" },
      el("div", { className: "actions" }, el("h2", {}, "Items"), this.state),
      this.table.node, this.none, el("nav", { className: "pager", "aria-label": "Pages of items" }, this.back, this.on));
  }

  /** Show only the items in one state. */
  only(state) {
    this.state.value = state;
    return this.#go([null]);
  }

  #go(pages) {
    this.pages = pages;
    return this.refresh();
  }

  async refresh() {
    const turn = ++this.turn;
    const asked = new URLSearchParams({ limit: PAGE });
    if (this.state.value) asked.set("state", this.state.value);
    if (this.pages.at(-1) !== null) asked.set("cursor", this.pages.at(-1));
    const page = await get(`${at(this.batchId, "items")}?${asked}`);
    if (turn !== this.turn) return;
    this.table.show(page.items);
    this.byJob = new Map(page.items.map((item) => [item.job_id, this.table.rows.get(item.number)]));
    this.next = page.next_cursor;
    this.table.node.hidden = !page.items.length;
    this.none.hidden = page.items.length > 0;
    hide(this.on, page.next_cursor === null, this.back);
    hide(this.back, this.pages.length === 1, this.on);
  }

  /** Take up an event of an item's job. */
  hear(kind, data) {
    const row = kind === "progress" && this.byJob.get(data.job_id);
    if (row) this.table.update(row, { ...row.thing, progress: data.progress });
  }
}

const COLUMNS = {
  number: { title: "Line", key: (item) => item.line, draw: (item) => el("span", { className: "dim" }, count(item.line)) },
  item: { title: "Item", key: (item) => [item.key, item.job_id], draw: (item) => el("span", {},
    el("strong", { className: "clip name", title: item.key }, item.key), item.job_id ? jobLink(item.job_id) : null) },
  state: { title: "State", key: (item) => [item.state, item.job_state, item.reused, item.progress], draw: (item) => el("span", {},
    item.state === "ACTIVE" && item.progress ? [bar(item.progress, "EXECUTING"), " "] : null,
    stateChip(item.state === "ACTIVE" && item.job_state ? item.job_state : item.state),
    item.reused ? el("small", { className: "dim", title: "an earlier or another batch had made it" }, " reused") : null) },
  cost: { title: "Cost", key: (item) => item.cost_usd, draw: (item) => el("span", { className: "dim" }, item.cost_usd ? dollars(item.cost_usd) : "") },
  error: { title: "Error", key: (item) => item.error, draw: (item) => el("span", { className: "clip", title: item.error ?? "" }, innermost(item.error ?? "")) },
};
