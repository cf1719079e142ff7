// What several views show of a batch: its bar of items, when it will be done, a table of batches.

import { el, setText } from "../dom.js";
import { count, dollars, expected } from "../format.js";
import { stateChip, Table, when } from "./parts.js";

export const BATCH_STATES = ["SCHEDULED", "RUNNING", "PAUSED", "COMPLETED", "FAILED", "CANCELLED"];
export const ITEM_STATES = ["COMPLETED", "ACTIVE", "FAILED", "CANCELLED", "DISCARDED", "WAITING"];

/** Whether nothing more happens to a batch by itself. */
export const hasEnded = (state) => ["COMPLETED", "FAILED", "CANCELLED"].includes(state);

/** Where a batch is shown. */
export const batchPage = (id) => `#/batches/${encodeURIComponent(id)}`;

/** How many items of a batch are in each of ITEM_STATES. */
export function itemCounts({ counts }) {
  const active = counts.queued + counts.executing + counts.retrying;
  return { ...Object.fromEntries(ITEM_STATES.map((state) => [state, counts[state.toLowerCase()]])), ACTIVE: active };
}

/** The counts of a batch's status with those that an event told. */
export function withEvent(status, { state, waiting, active, completed, failed }) {
  const { executing, retrying } = status.counts;
  const counts = { ...status.counts, waiting, completed, failed, queued: Math.max(0, active - executing - retrying) };
  return { ...status, state, counts };
}

/** A bar with a segment for each state of items, as wide as its share. Its segments stay while their widths change. */
export class ItemBar {
  constructor(className = "") {
    this.segments = Object.fromEntries(ITEM_STATES.map((state) => [state, el("span", { data: { state } })]));
    this.node = el("span", { className: `items-bar ${className}`, role: "img", data: { test: "items-bar" } }, Object.values(this.segments));
  }

  show(status) {
    const counts = itemCounts(status);
    for (const [state, segment] of Object.entries(this.segments)) {
      segment.hidden = !counts[state];
      segment.style.flexGrow = counts[state];
    }
    this.node.setAttribute("aria-label", ITEM_STATES.filter((state) => counts[state])
      .map((state) => `${count(counts[state])} ${state.toLowerCase()}`).join(", "));
  }
}

/** A table of batches that follows what happens to them. `columns` are names out of COLUMNS. */
export class BatchTable extends Table {
  constructor(columns) {
    super(columns, COLUMNS, { idOf: (batch) => batch.batch_id, pageOf: (batch) => batchPage(batch.batch_id), test: "batch-row", className: "batches" });
  }

  /** Take up an event of a batch that is shown. */
  hear(kind, data) {
    const row = kind === "batch" && this.rows.get(data.batch_id);
    if (row) this.update(row, withEvent(row.thing, data));
  }
}

const done = (batch) => batch.total - batch.counts.waiting - itemCounts(batch).ACTIVE;

const COLUMNS = {
  state: { title: "State", key: (batch) => batch.state, draw: (batch) => stateChip(batch.state) },
  batch: { title: "Batch", key: (batch) => batch.name, draw: (batch) => el("span", {},
    el("strong", { className: "clip name" }, batch.name ?? batch.task_name),
    el("a", { href: batchPage(batch.batch_id), className: "id", title: batch.batch_id }, batch.batch_id.slice(0, 12))) },
  items: { title: "Items", key: (batch) => [batch.counts, batch.total], draw: (batch) => {
    const bar = new ItemBar();
    bar.show(batch);
    return el("span", { className: "of-items" }, bar.node, el("small", { data: { test: "items-done" } }, `${count(done(batch))} of ${count(batch.total)}`));
  } },
  left: { title: "Left", key: (batch) => [batch.eta, batch.state], draw: (batch) =>
    el("span", { className: "dim", title: batch.eta ? expected(batch.eta)[1] : "" }, batch.eta ? expected(batch.eta)[0] : "") },
  cost: { title: "Cost", key: (batch) => batch.cost_usd, draw: (batch) => el("span", {}, dollars(batch.cost_usd)) },
  user: { title: "User", key: (batch) => batch.user_id, draw: (batch) => el("span", {}, batch.user_id ?? "") },
  created: { title: "Created", key: (batch) => batch.created_at, draw: (batch) => when(batch.created_at) },
};
