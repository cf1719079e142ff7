// A new batch: rows of a file, or typed, are checked and priced first, and then run.

import { get, upload } from "../api.js";
import { el, fill } from "../dom.js";
import { bytes, count, dollars, span } from "../format.js";
import { batchPage } from "./batchtable.js";

const TYPES = { csv: "text/csv", tsv: "text/tab-separated-values", jsonl: "application/x-ndjson", ndjson: "application/x-ndjson" };
const FILES = Object.keys(TYPES).map((extension) => `.${extension}`).join(",");
const USUAL_TASK = "process_batch_item";
const SHOWN = 100; // wrong rows

export async function show(main, { system }) {
  document.title = "New batch · ytray";
  if (!system.scopes.includes("submit")) {
    fill(main, el("div", { className: "empty" }, el("h1", {}, "This key only reads"), el("p", {}, "Running batches takes a key with the scope submit.")));
    return null;
  }
  const { tasks } = await get("/api/tasks");
  const file = el("input", { id: "file", type: "file", accept: FILES, data: { test: "batch-file" } });
  const chosen = el("p", { className: "dim small", "aria-live": "polite" });
  const typed = el("textarea", { id: "typed", rows: 6, spellcheck: "false", placeholder: "prompt,duration\nWhy do cats purr?,30", data: { test: "batch-rows" } });
  const task = el("input", { id: "task", name: "task", required: true, value: USUAL_TASK, list: "tasks", autocomplete: "off", data: { test: "batch-task" } });
  const columns = el("p", { className: "dim small", id: "columns" });
  const skip = el("input", { type: "checkbox", name: "skip_invalid", data: { test: "skip-invalid" }, onchange: () => offer() });
  const outcome = el("div", { className: "checked", "aria-live": "polite", data: { test: "batch-outcome" } });
  const trouble = el("p", { className: "wrong", role: "alert", data: { test: "batch-trouble" } });
  const check = el("button", { className: "primary", data: { test: "batch-check" } }, "Check the rows");
  const run = el("button", { type: "button", className: "primary", hidden: true, onclick: () => start(), data: { test: "batch-run" } });
  let source = null; // the rows as they are sent: what was checked is what runs
  let prepared = null;
  let turn = 0;

  /** What is chosen beside the rows, as it stands in the address. */
  function options() {
    const given = [...new FormData(form)].map(([name, value]) => [name, value === "on" ? "true" : value.trim()]);
    return new URLSearchParams(given.filter(([, value]) => value));
  }

  function forget() {
    turn += 1;
    prepared = null;
    trouble.textContent = "";
    fill(outcome);
    offer();
  }

  /** Offer what can be done next: to check what was not checked yet, or to run it. */
  function offer() {
    const rows = prepared?.accepted ?? 0;
    check.classList.toggle("primary", !rows);
    run.hidden = !rows;
    run.disabled = Boolean(prepared?.bad_count) && !skip.checked;
    run.textContent = `Run ${count(rows)} ${rows === 1 ? "item" : "items"}`;
  }

  async function choose() {
    const [one] = file.files;
    forget();
    source = null;
    fill(chosen);
    if (!one) return;
    typed.value = "";
    const type = TYPES[one.name.split(".").at(-1).toLowerCase()];
    if (!type) {
      file.value = "";
      trouble.textContent = `${one.name}: a batch is read from CSV (.csv, .tsv) or JSON Lines (.jsonl, .ndjson).`;
      return;
    }
    // Read now: a file that is edited meanwhile cannot be sent again.
    const content = await one.arrayBuffer();
    if (file.files[0] !== one) return;
    source = { content, type };
    fill(chosen, bytes(one.size));
  }

  function type() {
    file.value = "";
    fill(chosen);
    forget();
    const text = typed.value.trim();
    const form = text.startsWith("{") ? "jsonl" : text.split("\n")[0].includes("\t") ? "tsv" : "csv";
    source = text ? { content: text, type: TYPES[form] } : null;
  }

  async function attempt(button, work) {
    button.disabled = true;
    trouble.textContent = "";
    try {
      await work();
    } catch (problem) {
      if (problem.status === undefined) throw problem;
      const wrong = problem.errors[0]?.line ? [] : problem.errors.map((one) => `${one.loc?.at(-1)}: ${one.msg}`);
      trouble.textContent = [problem.message, ...wrong].join("\n");
      fill(outcome, problem.errors[0]?.line ? badRows(problem.errors, problem.count) : null);
    }
    button.disabled = false;
  }

  async function estimate(event) {
    event.preventDefault();
    if (!source) {
      trouble.textContent = "Choose a file, or type some rows.";
      return;
    }
    fill(outcome, el("p", { className: "dim" }, "Reading the rows…"));
    const mine = ++turn;
    await attempt(check, async () => {
      const answer = await upload(`/api/batches?estimate=true&${options()}`, source.content, source.type);
      if (mine !== turn) return; // the rows are others by now
      prepared = answer;
      fill(outcome, told(prepared), prepared.bad_count ? badRows(prepared.bad, prepared.bad_count) : null,
        prepared.bad_count && prepared.accepted ? el("label", { className: "check" }, skip, "leave the wrong rows out") : null);
    });
    offer();
  }

  async function start() {
    await attempt(run, async () => {
      const accepted = await upload(`/api/batches?${options()}`, source.content, source.type);
      location.hash = batchPage(accepted.batch_id);
    });
    offer();
  }

  function describe() {
    const found = tasks.find((one) => one.name === task.value.trim());
    fill(columns, found ? columnsOf(found) : "There is no such task.");
  }

  const number = (name, title, more) => field(name, title,
    el("input", { id: name, name, type: "number", min: 0, inputmode: "decimal", data: { test: `batch-${name.replace("_", "-")}` }, ...more }));
  const form = el("form", { className: "card create", onsubmit: estimate },
    el("h1", {}, "New batch"),
    el("div", { className: "columns" },
      field("file", "A file of rows: CSV or JSON Lines", file, chosen),
      field("task", "What is done for each row", task, columns, el("datalist", { id: "tasks" }, tasks.map((one) => el("option", { value: one.name }))))),
    field("typed", "or the rows themselves", typed),
    el("div", { className: "columns" },
      field("name", "Name", el("input", { id: "name", name: "name", maxlength: 200, data: { test: "batch-name" } })),
      number("budget_usd", "Budget of all items, USD", { step: "any", placeholder: "any amount" }),
      number("concurrency", "Items at once, at most", { min: 1, max: 10_000, placeholder: "as many as there is room for" }),
      number("priority", "Priority, 0 to 9", { max: 9, placeholder: "4" })),
    outcome, trouble, el("div", { className: "actions" }, check, run));
  file.addEventListener("change", choose);
  typed.addEventListener("input", type);
  task.addEventListener("input", () => {
    forget();
    describe();
  });
  fill(main, form);
  describe();
  file.focus();
  return () => { turn += 1; };
}

const field = (name, title, ...content) => el("div", { className: "field" }, el("label", { for: name }, title), ...content);

/** What an input is and would cost, in a sentence. */
function told({ accepted, known, likely_usd: likely, most_usd: most, seconds }) {
  const parts = [
    known ? `${count(known)} of them done before` : null,
    likely === null ? null : `likely ${dollars(likely)}, at most ${dollars(most)}`,
    seconds === null ? null : `about ${span(seconds)}`,
  ].filter(Boolean);
  return el("p", { className: "cost" }, el("strong", {}, `${count(accepted)} ${accepted === 1 ? "item" : "items"}`), parts.map((part) => `; ${part}`), ".");
}

function badRows(bad, number) {
  return [
    el("p", { className: "wrong" }, `${count(number)} ${number === 1 ? "row is" : "rows are"} wrong:`),
    el("div", { className: "scroll" }, el("table", { className: "plain", data: { test: "bad-rows" } },
      el("thead", {}, el("tr", {}, ["Line", "Field", "Reason"].map((title) => el("th", { scope: "col" }, title)))),
      el("tbody", {}, bad.slice(0, SHOWN).map((row) => el("tr", {},
        el("td", {}, count(row.line)), el("td", {}, row.field), el("td", { className: "wraps" }, row.reason)))))),
    bad.length > SHOWN || number > bad.length ? el("p", { className: "dim" }, `The first ${count(Math.min(SHOWN, bad.length))} are shown.`) : null,
  ];
}

/** The columns that a task takes, those first that a row needs: its parameters, or the fields of its only one. */
function columnsOf({ input_schema: schema }) {
  const only = Object.values(schema.properties ?? {});
  const inner = only.length === 1 && only[0].$ref ? schema.$defs[only[0].$ref.split("/").at(-1)] : schema;
  const needed = new Set(inner.required);
  const names = Object.keys(inner.properties ?? {}).sort((a, b) => needed.has(b) - needed.has(a));
  return ["Columns: ", names.map((name, place) => [place ? ", " : "", needed.has(name) ? el("strong", {}, name) : name]),
    names.includes("key") ? "." : "; key names a row."];
}
