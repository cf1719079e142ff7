// The audit trail: who did what, to what, and from where.

import { get } from "../api.js";
import { el, empty, fill, throttled } from "../dom.js";
import { listenFrom } from "../live.js";
import { Table, when } from "./parts.js";

const SHOWN = 100;
const text = (title, name) => ({ title, key: (entry) => entry[name], draw: (entry) => document.createTextNode(entry[name]) });
const KINDS = {
  at: { title: "When", key: (entry) => entry.at, draw: (entry) => when(entry.at) },
  who: text("Who", "who"),
  address: text("From", "address"),
  action: text("Did", "action"),
  subject: text("To", "subject"),
  detail: text("And said", "detail"),
};

export async function show(main, { system }) {
  document.title = "Audit · ytray";
  if (!system.scopes.includes("admin")) {
    fill(main, empty("Not for this key", "The audit trail takes a key with the scope admin."));
    return null;
  }
  const table = new Table(Object.keys(KINDS), KINDS, { idOf: (entry) => entry.id, pageOf: () => null, test: "audit-entry" });
  const older = el("button", { className: "quiet", data: { test: "audit-older" }, onclick: () => more() }, "Older");
  let pages = 1;

  async function refresh() {
    const entries = [];
    let cursor = null;
    for (let page = 0; page < pages; page += 1) {
      const found = await get(`/api/audit?limit=${SHOWN}${cursor ? `&cursor=${cursor}` : ""}`);
      entries.push(...found.entries);
      cursor = found.next_cursor;
      if (!cursor) break;
    }
    older.hidden = !cursor;
    table.show(entries);
  }

  async function more() {
    pages += 1;
    await refresh();
  }

  fill(main, el("div", { className: "stack" }, el("h1", {}, "Audit"),
    el("p", { className: "dim" }, "Who paused, drained, cancelled, replayed, set a budget, made or revoked a key; the newest first.")),
  table.node, older);
  const soon = throttled(() => refresh().catch(() => {}), 2000);
  const deaf = await listenFrom(refresh, () => soon());
  return deaf;
}
