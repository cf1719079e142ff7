// The list of batches: filtered, paged by cursor, live.

import { get } from "../api.js";
import { el, empty, fill, throttled } from "../dom.js";
import { listenFrom } from "../live.js";
import { BATCH_STATES, BatchTable } from "./batchtable.js";
import { webhookSecret } from "./webhooks.js";

const PAGE = 25;

export async function show(main, { query, system }) {
  document.title = "Batches · ytray";
  const filters = Object.fromEntries(["state", "user_id", "cursor"].map((name) => [name, query.get(name) ?? ""]));
  const may = system.scopes.includes("submit");
  const table = new BatchTable(["state", "batch", "items", "left", "cost", "user", "created"]);
  const place = el("div");
  const older = el("a", { className: "button", hidden: true }, "Older →");
  const newest = el("a", { className: "button", hidden: !filters.cursor, href: link({ cursor: "" }) }, "← Newest");

  function link(chosen) {
    const given = Object.entries({ ...filters, ...chosen }).filter(([, value]) => value);
    return given.length ? `#/batches?${new URLSearchParams(given)}` : "#/batches";
  }

  const choose = (name) => (event) => { location.hash = link({ cursor: "", [name]: event.target.value.trim() }); };

  async function refresh() {
    const asked = new URLSearchParams({ limit: PAGE });
    for (const [name, value] of Object.entries(filters)) if (value) asked.set(name, value);
    const page = await get(`/api/batches?${asked}`);
    table.show(page.batches);
    older.hidden = !page.next_cursor;
    older.href = link({ cursor: page.next_cursor ?? "" });
    if (page.batches.length) {
      if (place.firstChild !== table.node) fill(place, table.node);
    } else if (Object.values(filters).some(Boolean)) {
      fill(place, empty("No batch matches", "Take a filter away, or ", el("a", { href: "#/batches" }, "show all batches"), "."));
    } else {
      fill(place, empty("No batches yet", may ? [el("a", { href: "#/batches/new" }, "Choose a file of rows"), ", or run "] : "Run ",
        el("code", {}, "ytray batch run FILE"), ": each row becomes a video."));
    }
  }

  const option = (value, text) => el("option", { value, selected: value === filters.state }, text);
  fill(main,
    el("h1", { className: "visually-hidden" }, "Batches"),
    el("div", { className: "filters" },
      el("select", { "aria-label": "State", onchange: choose("state"), data: { test: "state-filter" } },
        option("", "every state"), BATCH_STATES.map((state) => option(state, state.toLowerCase()))),
      system.user_id === null
        ? el("input", { placeholder: "user", "aria-label": "User", value: filters.user_id, onchange: choose("user_id"), size: 12 })
        : null,
      may ? el("a", { className: "button primary", href: "#/batches/new", data: { test: "new-batch" } }, "New batch") : null),
    place,
    el("nav", { className: "pager", "aria-label": "Pages" }, newest, older),
    may ? webhookSecret() : null);
  const soon = throttled(() => refresh().catch(() => {}), 2000);
  const deaf = await listenFrom(refresh, (kind, data) => {
    table.hear(kind, data);
    if (kind === "reset" || (kind === "batch" && (!filters.cursor || table.rows.has(data.batch_id)))) soon();
  });
  const timer = setInterval(soon, 10_000); // when one will be done changes also while nothing of it ends
  return () => {
    deaf();
    clearInterval(timer);
  };
}
