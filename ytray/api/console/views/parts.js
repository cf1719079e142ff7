// Pieces that several views show: a state, a progress bar, a row of a job.

import { el, setText } from "../dom.js";
import { ago, moment, shortId } from "../format.js";

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

/** A link to a job. */
export function jobLink(id, text = shortId(id)) {
  return el("a", { href: `#/jobs/${encodeURIComponent(id)}`, className: "id", title: id }, text);
}

/** A time, told by how long ago it is. */
export function when(at) {
  return at ? el("time", { datetime: at, title: moment(at), data: { ago: "" } }, ago(at)) : el("span", {}, "");
}

/** Keep every "… ago" on the page right. */
setInterval(() => {
  for (const time of document.querySelectorAll("time[data-ago]")) setText(time, ago(time.dateTime));
}, 1000);

/** A table of jobs that follows what happens to them. `columns` are names out of COLUMNS. */
export class JobTable {
  constructor(columns) {
    this.columns = columns;
    this.body = el("tbody");
    this.rows = new Map();
    const heads = columns.map((name) => el("th", { scope: "col", className: name }, COLUMNS[name].title));
    this.node = el("div", { className: "scroll" },
      el("table", { className: "jobs" }, el("thead", {}, el("tr", {}, heads)), this.body));
  }

  /** Show these jobs; rows that stay are changed in place. */
  show(jobs) {
    const rows = jobs.map((job) => {
      const row = this.rows.get(job.job_id) ?? this.#row(job.job_id);
      this.#update(row, job);
      return [job.job_id, row];
    });
    this.rows = new Map(rows);
    const nodes = rows.map(([, row]) => row.node);
    const same = nodes.length === this.body.children.length && nodes.every((node, i) => this.body.children[i] === node);
    if (!same) this.body.replaceChildren(...nodes);
  }

  /** Take up an event of a job that is shown. */
  hear(kind, data) {
    const row = this.rows.get(data.job_id);
    if (!row) return;
    if (kind === "transition") this.#update(row, { ...row.job, current_state: data.to_state });
    if (kind === "progress") {
      this.#update(row, { ...row.job, progress: data.progress, progress_message: data.progress_message });
    }
  }

  #row(id) {
    const open = () => { location.hash = `#/jobs/${encodeURIComponent(id)}`; };
    const cells = this.columns.map((name) => el("td", { className: name }));
    const node = el("tr", { tabindex: 0, data: { row: "", test: "job-row", id },
      onclick: (event) => { if (!event.target.closest("a, button, input") && !String(getSelection())) open(); },
      onkeydown: (event) => { if (event.key === "Enter" && event.target === node) open(); } }, cells);
    return { node, cells, job: {}, drawn: {} };
  }

  #update(row, job) {
    row.job = job;
    this.columns.forEach((name, place) => {
      const column = COLUMNS[name];
      const key = JSON.stringify(column.key(job));
      if (row.drawn[name] !== key) {
        row.drawn[name] = key;
        row.cells[place].replaceChildren(column.draw(job));
      }
    });
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
