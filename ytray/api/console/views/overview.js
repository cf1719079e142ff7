// The overview: what waits, what runs, what is in trouble.

import { get, post } from "../api.js";
import { el, empty, fill, notice, throttled } from "../dom.js";
import { count, dollars, span } from "../format.js";
import { listenFrom } from "../live.js";
import { BatchTable } from "./batchtable.js";
import { lack } from "./nodes.js";
import { JobTable, STATES } from "./parts.js";

const BATCHES = 10; // the newest, of which those are shown that are under way

export async function show(main, { system }) {
  document.title = "Overview · ytray";
  const counts = el("ul", { className: "counts", "aria-label": "Jobs by state" });
  const queues = el("div", { className: "queues" });
  const breakers = el("section", { hidden: true, "aria-label": "Circuit breakers" });
  const running = new JobTable(["task", "progress", "created"]);
  const recent = new JobTable(["state", "task", "created", "error"]);
  const nothingRuns = el("p", { className: "dim" }, "Nothing runs now.");
  const batches = new BatchTable(["batch", "items", "left"]);
  const batching = el("section", { hidden: true, data: { test: "running-batches" } }, el("h2", {}, "Batches"), batches.node);
  const lately = el("section", {});
  const spent = el("p", { className: "spent", hidden: true, data: { test: "spent" } });
  const mayPause = system.scopes.includes("admin");

  async function refresh() {
    const [numbers, lines, states, now, last] = await Promise.all([
      get("/api/counts"), get("/api/queues"), get("/api/breakers"),
      get("/api/jobs?status=running&limit=20"), get("/api/jobs?limit=12"),
    ]);
    fill(counts, STATES.map((state) => el("li", {},
      el("a", { href: `#/jobs?state=${state}`, data: { state } },
        el("strong", {}, count(numbers.counts[state])), el("span", {}, state.toLowerCase())))));
    fill(queues, lines.queues.map((queue) => card(queue)));
    const trouble = states.breakers.filter((breaker) => breaker.state !== "closed");
    breakers.hidden = !states.breakers.length;
    fill(breakers, el("h2", {}, "Circuit breakers"), states.breakers.map((breaker) =>
      el("p", { className: "breaker", data: { breaker: breaker.state } },
        el("strong", {}, breaker.name), ` ${breaker.state.replace("_", "-")}`,
        trouble.includes(breaker) ? el("small", {}, ` after ${breaker.failures} failures: ${breaker.last_error}`) : null)));
    running.show(now.jobs);
    nothingRuns.hidden = now.jobs.length > 0;
    running.node.hidden = !now.jobs.length;
    recent.show(last.jobs);
    fill(lately, last.jobs.length ? [el("h2", {}, "Latest"), recent.node] : empty("No jobs yet",
      "Make your first video: ", el("a", { href: "#/create" }, "type a sentence"), ", or run ",
      el("code", {}, 'ytray create "Why do cats purr?"'), "."));
  }

  async function underWay() {
    const page = await get(`/api/batches?limit=${BATCHES}`);
    const found = page.batches.filter((batch) => batch.state === "RUNNING" || batch.state === "PAUSED");
    batches.show(found);
    batching.hidden = !found.length;
  }

  async function money() {
    const { budgets } = await get("/api/budgets");
    const reserved = budgets.reduce((sum, one) => sum + one.reserved_usd, 0);
    spent.hidden = !budgets.length;
    fill(spent, el("a", { href: "#/spending" }, "Spent this month"), " ",
      el("strong", {}, dollars(budgets.reduce((sum, one) => sum + one.spent_usd, 0))),
      reserved ? el("span", { className: "dim" }, `, ${dollars(reserved)} reserved`) : null);
  }

  function card(queue) {
    const busy = queue.slots ? Math.min(1, queue.executing / queue.slots) : 0;
    const meter = el("span", { className: "meter" }, el("span"));
    meter.firstChild.style.inlineSize = `${busy * 100}%`;
    const toggle = async () => {
      await post(`/api/queues/${queue.name}/${queue.paused ? "resume" : "pause"}`);
      notice(`${queue.name} ${queue.paused ? "starts jobs again" : "is paused: what runs goes on, nothing new starts"}`);
      refresh();
    };
    return el("article", { className: "card queue", data: { paused: queue.paused, test: `queue-${queue.name}` } },
      el("header", {}, el("h2", {}, queue.name), el("small", { title: "worth against the other queues" }, `priority ${queue.priority}`)),
      el("dl", {},
        el("dt", {}, "waiting"), el("dd", { data: { test: "depth" } }, count(queue.depth)),
        el("dt", {}, "in flight"), el("dd", {}, count(queue.executing)),
        el("dt", {}, "slots"), el("dd", {}, queue.slots ?? "?"),
        el("dt", {}, "delayed"), el("dd", {}, count(queue.delayed)),
        el("dt", {}, "oldest waits"), el("dd", {}, queue.depth ? span(queue.oldest_wait_seconds) : "–")),
      meter,
      queue.slots === 0 && !queue.depth ? el("p", { className: "warn" }, `no node offers queue_${queue.name}`) : null,
      queue.slots === 0 && queue.depth ? lack(queue, !system.user_id) : null,
      queue.paused ? el("p", { className: "warn" }, "paused") : null,
      mayPause ? el("button", { className: "quiet", onclick: toggle, data: { test: `queue-pause-${queue.name}` } },
        queue.paused ? "Resume" : "Pause") : null);
  }

  fill(main, el("h1", { className: "visually-hidden" }, "Overview"), counts, queues, spent, breakers, batching,
    el("section", {}, el("h2", {}, "Running now"), nothingRuns, running.node), lately);
  const soon = throttled(() => refresh().catch(() => {}), 1000);
  const batchesSoon = throttled(() => underWay().catch(() => {}), 3000);
  batchesSoon();
  const deaf = await listenFrom(refresh, (kind, data) => {
    batches.hear(kind, data);
    if (kind === "batch" || kind === "reset") batchesSoon();
    if (kind === "batch") return; // what its items do is told, too
    running.hear(kind, data);
    recent.hear(kind, data);
    if (kind !== "progress") soon();
  });
  const timer = setInterval(() => {
    soon();
    batchesSoon();
  }, 10_000);
  // Every user's budget is read for it: seldom is enough.
  const moneySoon = () => money().catch(() => {});
  moneySoon();
  const seldom = setInterval(moneySoon, 30_000);
  return () => {
    deaf();
    clearInterval(timer);
    clearInterval(seldom);
  };
}
