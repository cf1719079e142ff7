// The list of jobs: filtered, paged by cursor, live on its first page.

import { get } from "../api.js";
import { el, empty, fill, throttled } from "../dom.js";
import { listenFrom } from "../live.js";
import { JobTable, STATES } from "./parts.js";

const PAGE = 50;

export async function show(main, { query, system }) {
  document.title = "Jobs · ytray";
  const filters = Object.fromEntries(["state", "task_name", "queue", "user_id", "cursor"].map((name) => [name, query.get(name) ?? ""]));
  const table = new JobTable(["state", "task", "progress", "created", "user", "retries", "error"]);
  const place = el("div");
  const older = el("a", { className: "button", hidden: true, data: { test: "older" } }, "Older →");
  const newest = el("a", { className: "button", hidden: !filters.cursor, href: link({ ...filters, cursor: "" }) }, "← Newest");

  function link(chosen) {
    const given = Object.entries(chosen).filter(([, value]) => value);
    return given.length ? `#/jobs?${new URLSearchParams(given)}` : "#/jobs";
  }

  function choose(name) {
    return (event) => { location.hash = link({ ...filters, cursor: "", [name]: event.target.value.trim() }); };
  }

  async function search(event) {
    event.preventDefault();
    const wanted = event.target.elements.wanted.value.trim();
    if (!wanted) {
      location.hash = link({ ...filters, task_name: "", cursor: "" });
      return;
    }
    const known = await get(`/api/jobs/${encodeURIComponent(wanted)}/status`).catch(() => null);
    location.hash = known ? `#/jobs/${encodeURIComponent(wanted)}` : link({ ...filters, task_name: wanted, cursor: "" });
  }

  async function refresh() {
    const asked = new URLSearchParams({ limit: PAGE });
    if (filters.state) asked.set("status", filters.state);
    for (const name of ["task_name", "queue", "user_id", "cursor"]) if (filters[name]) asked.set(name, filters[name]);
    const page = await get(`/api/jobs?${asked}`);
    table.show(page.jobs);
    older.hidden = !page.next_cursor;
    older.href = link({ ...filters, cursor: page.next_cursor ?? "" });
    if (page.jobs.length) {
      if (place.firstChild !== table.node) fill(place, table.node);
    } else if (page.next_cursor) {
      fill(place, empty("None among the newest", "The filter matches little. ", el("a", { href: older.href }, "Look further back"), "."));
    } else {
      const filtered = Object.values(filters).some(Boolean);
      fill(place, filtered
        ? empty("No job matches", "Take a filter away, or ", el("a", { href: "#/jobs" }, "show all jobs"), ".")
        : empty("No jobs yet", el("a", { href: "#/create" }, "Make a video"), ", or run ", el("code", {}, "ytray submit TASK --args JSON"), "."));
    }
  }

  const option = (value, text, chosen) => el("option", { value, selected: value === chosen }, text);
  fill(main,
    el("h1", { className: "visually-hidden" }, "Jobs"),
    el("div", { className: "filters" },
      el("form", { role: "search", onsubmit: search },
        el("input", { name: "wanted", type: "search", placeholder: "job id or task  ( / )", "aria-label": "Job id or task name",
          value: filters.task_name, data: { test: "search" } })),
      el("select", { "aria-label": "State", onchange: choose("state"), data: { test: "state-filter" } },
        option("", "every state", filters.state), STATES.map((state) => option(state, state.toLowerCase(), filters.state))),
      el("select", { "aria-label": "Queue", onchange: choose("queue"), data: { test: "queue-filter" } },
        option("", "every queue", filters.queue),
        ["generation", "media", "default", "batch"].map((queue) => option(queue, queue, filters.queue))),
      system.user_id === null
        ? el("input", { placeholder: "user", "aria-label": "User", value: filters.user_id, onchange: choose("user_id"), size: 12, data: { test: "user-filter" } })
        : null),
    place,
    el("nav", { className: "pager", "aria-label": "Pages" }, newest, older));
  const soon = throttled(() => refresh().catch(() => {}), 1000);
  return listenFrom(refresh, (kind, data) => {
    table.hear(kind, data);
    // Older pages stay as they are: only their rows change.
    if (kind === "reset" || (kind === "transition" && !filters.cursor)) soon();
  });
}
