// Pieces that several views show: a state, a progress bar, a row of a job.

import { arrange, el, setText } from "../dom.js";
import { ago, clockTime, count, innermost, moment, shortId } from "../format.js";

export const STATES = ["PENDING", "QUEUED", "EXECUTING", "RETRYING", "COMPLETED", "FAILED", "CANCELLED"];
export const ENDED = new Set(["COMPLETED", "FAILED", "CANCELLED"]);

/** A job's state, by word and colour. */
export function stateChip(state) {
  return el("span", { className: "state", data: { state, test: "job-state" } }, state.toLowerCase());
}

/** A bar that shows percent. */
export function bar(percent, state) {
  const made = el("progress", { max: 100, value: percent, data: { state }, "aria-label": "progress" });
  made.value = percent;
  return made;
}

/** Where a job is shown. */
export const jobPage = (id) => `#/jobs/${encodeURIComponent(id)}`;

/** A link to a job. */
export function jobLink(id, text = shortId(id)) {
  return el("a", { href: jobPage(id), className: "id", title: id }, text);
}

/** A time, told by how long ago it is. */
export function when(at) {
  return at ? el("time", { datetime: at, title: moment(at), data: { ago: "" } }, ago(at)) : el("span", {}, "");
}

/** What waits to be tried again, [{task, error, count, until}]: a line for each, which says why and until when. */
export function waits(list) {
  return list.map(({ task, error, count: many, until }) => el("p", { className: "warn error", data: { test: "waits" } },
    el("strong", {}, task), many > 1 ? ` (${count(many)} of them)` : "", " waits to be tried again ", when(until),
    `, at ${clockTime(until)}: ${innermost(error)}`));
}

/** The jobs of a list that wait to be tried again, those that failed alike together. */
export function waiting(jobs) {
  const alike = new Map();
  for (const job of jobs) {
    if (job.current_state !== "RETRYING") continue;
    const [task, error, until] = [job.task_name, job.error ?? job.progress_message, job.next_retry_at ?? job.created_at];
    const known = alike.get(`${task}\n${error}`);
    if (!known) alike.set(`${task}\n${error}`, { task, error, count: 1, until });
    else Object.assign(known, { count: known.count + 1, until: known.until < until ? known.until : until });
  }
  return [...alike.values()];
}

/** Keep every "… ago" on the page right. */
setInterval(() => {
  for (const time of document.querySelectorAll("time[data-ago]")) setText(time, ago(time.dateTime));
}, 1000);

/**
 * A table whose rows are changed in place. `columns` are names out of `kinds`, each of which has a title, a key of what it
 * shows and how that is drawn. `idOf` tells things apart; a row leads to the page that `pageOf` says, if it does.
 */
export class Table {
  constructor(columns, kinds, { idOf, pageOf, test, className }) {
    this.columns = columns;
    this.kinds = kinds;
    this.of = { idOf, pageOf, test };
    this.body = el("tbody");
    this.rows = new Map();
    const heads = columns.map((name) => el("th", { scope: "col", className: name }, kinds[name].title));
    this.node = el("div", { className: "scroll" },
      el("table", { className }, el("thead", {}, el("tr", {}, heads)), this.body));
  }

  /** Show these things; rows that stay are changed in place. */
  show(things) {
    this.rows = new Map(things.map((thing) => {
      const id = this.of.idOf(thing);
      const row = this.rows.get(id) ?? this.#row(id);
      this.update(row, thing);
      return [id, row];
    }));
    arrange(this.body, [...this.rows.values()].map((row) => row.node));
  }

  /** Show that the thing of a row is another now. */
  update(row, thing) {
    row.thing = thing;
    row.page = this.of.pageOf(thing);
    if (row.page) {
      row.node.setAttribute("tabindex", 0);
      row.node.dataset.row = "";
    }
    this.columns.forEach((name, place) => {
      const kind = this.kinds[name];
      const key = JSON.stringify(kind.key(thing));
      if (row.drawn[name] !== key) {
        row.drawn[name] = key;
        row.cells[place].replaceChildren(kind.draw(thing));
      }
    });
  }

  #row(id) {
    const open = () => { if (row.page) location.hash = row.page; };
    const cells = this.columns.map((name) => el("td", { className: name }));
    const node = el("tr", { data: { test: this.of.test, id },
      onclick: (event) => { if (!event.target.closest("a, button, input") && !String(getSelection())) open(); },
      onkeydown: (event) => { if (event.key === "Enter" && event.target === node) open(); } }, cells);
    const row = { node, cells, thing: {}, page: null, drawn: {} };
    return row;
  }
}

/** A table of jobs that follows what happens to them. `columns` are names out of COLUMNS. */
export class JobTable extends Table {
  constructor(columns) {
    super(columns, COLUMNS, { idOf: (job) => job.job_id, pageOf: (job) => jobPage(job.job_id), test: "job-row", className: "jobs" });
  }

  /** Take up an event of a job that is shown. */
  hear(kind, data) {
    const row = this.rows.get(data.job_id);
    if (!row) return;
    if (kind === "transition") this.update(row, { ...row.thing, current_state: data.to_state });
    if (kind === "progress") {
      this.update(row, { ...row.thing, progress: data.progress, progress_message: data.progress_message });
    }
  }
}

const COLUMNS = {
  state: { title: "State", key: (job) => job.current_state, draw: (job) => stateChip(job.current_state) },
  task: { title: "Task", key: (job) => job.job_id, draw: (job) => el("span", {},
    el("strong", {}, job.task_name), " ", jobLink(job.job_id)) },
  progress: {
    title: "Progress",
    key: (job) => [job.progress, job.current_state, job.progress_message],
    draw: (job) => job.current_state === "EXECUTING" || (job.progress > 0 && job.progress < 100)
      ? el("span", { className: "progress" }, bar(job.progress, job.current_state), el("small", {}, job.progress_message))
      : el("span"),
  },
  created: { title: "Created", key: (job) => job.created_at, draw: (job) => when(job.created_at) },
  user: { title: "User", key: (job) => job.user_id, draw: (job) => el("span", {}, job.user_id ?? "") },
  retries: { title: "Retries", key: (job) => job.retry_count, draw: (job) => el("span", {}, job.retry_count || "") },
  error: {
    title: "Error",
    key: (job) => [job.error, job.current_state],
    draw: (job) => el("span", { className: "clip", title: job.error ?? "" },
      ["FAILED", "RETRYING"].includes(job.current_state) ? job.error ?? "" : ""),
  },
};
