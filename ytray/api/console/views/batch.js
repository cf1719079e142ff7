// One batch: how its items stand, when it will be done, what it costs, what went wrong.

import { batch as at, get, post } from "../api.js";
import { climb } from "../draw.js";
import { confirmed, el, fill, hide, notice, setText, throttled } from "../dom.js";
import { between, count, dollars, expected, moment, span } from "../format.js";
import { listenFrom } from "../live.js";
import { hasEnded, ITEM_STATES, ItemBar, itemCounts, withEvent } from "./batchtable.js";
import { Failures } from "./failures.js";
import { Items } from "./items.js";
import { stateChip, waits, when } from "./parts.js";

const LOOK_EVERY = 5000; // milliseconds; ends arrive at once
const POINTS = 400; // of the line of items done

export async function show(main, { id, system }) {
  let status = await get(at(id));
  if (main.isConnected) document.title = `${status.name ?? status.task_name} · ytray`;
  const may = system.scopes.includes("submit");
  const parts = { head: head(id, may, act), bar: counts((state) => items.only(state)), tiles: tiles(), chart: chart(), stages: stages() };
  const items = new Items(id);
  const failures = new Failures(id, { may, changed: () => refresh() });
  let looks = 0;
  let heard = null; // the newest event since the last look began
  let told = null; // how the failed ones stood when the errors were read

  async function act(what, words) {
    await post(at(id, what));
    notice(words);
    await refresh();
  }

  function draw() {
    for (const part of Object.values(parts)) part.show(status);
  }

  async function errors() {
    const now = `${status.counts.failed} ${status.ended_at}`;
    if (now === told) return;
    told = now;
    await failures.refresh();
  }

  async function refresh() {
    const turn = ++looks;
    heard = null;
    const now = await get(at(id));
    if (turn !== looks) return;
    // What was told meanwhile may be newer than the answer; if it is not, what comes next is.
    status = heard ? withEvent(now, heard) : now;
    draw();
    await Promise.all([items.refresh(), errors()]);
  }

  fill(main, el("div", { className: "one-batch" }, parts.head.node, parts.bar.node, parts.tiles.node, parts.chart.node, failures.node, items.node, parts.stages.node));
  draw();
  const soon = throttled(() => refresh().catch(() => {}), 1500);
  const deaf = await listenFrom(refresh, (kind, data) => {
    if (kind === "reset") soon();
    else if (kind === "batch" && data.batch_id === id) {
      heard = data;
      status = withEvent(status, data);
      parts.bar.show(status);
      soon();
    } else items.hear(kind, data);
  });
  const looking = setInterval(() => { if (!hasEnded(status.state)) soon(); }, LOOK_EVERY);
  const ticking = setInterval(() => parts.tiles.tick(status), 1000);
  return () => {
    deaf();
    clearInterval(looking);
    clearInterval(ticking);
  };
}

/** What it is, and what can be done with it. */
function head(id, may, act) {
  const name = el("span", { data: { test: "batch-title" } });
  const chip = el("span");
  const facts = el("p", { className: "dim" });
  const reason = el("p", { className: "warn error", data: { test: "batch-reason" } });
  const retries = el("div");
  const unheard = el("p", { className: "wrong error" });
  let move = null;
  const go = el("button", { data: { test: "batch-go" }, onclick: () => act(move.what, move.told) });
  const cancel = el("button", { className: "danger", data: { test: "batch-cancel" }, onclick: async () => {
    if (await confirmed("Cancel this batch? Items that run are stopped. What is done stays, and it can be resumed.", "Cancel the batch")) await act("cancel", "cancelled");
  } }, "Cancel");
  const report = el("a", { className: "button", href: `${at(id, "report")}?format=html`, target: "_blank", rel: "noopener", data: { test: "batch-report" } }, "Report");
  const node = el("header", { className: "head" },
    el("h1", {}, name, " ", chip), el("p", { className: "id", data: { test: "batch-id" } }, id), facts, reason, retries, unheard,
    el("div", { className: "actions" }, may ? [go, cancel] : null, report));
  return { node, show(status) {
    const { counts } = status;
    setText(name, status.name ?? "Batch");
    if (chip.dataset.shown !== status.state) {
      chip.dataset.shown = status.state;
      fill(chip, stateChip(status.state));
    }
    setText(facts, [status.task_name, status.user_id && `of ${status.user_id}`, `priority ${status.priority}`,
      status.concurrency && `${count(status.concurrency)} at once, at most`, status.cron && `again at ${status.cron} (UTC)`,
      status.reused && `${count(status.reused)} reused`, `created ${moment(status.created_at)}`].filter(Boolean).join(" · "));
    setText(reason, status.reason ?? "");
    const drawn = JSON.stringify(status.retries);
    if (retries.dataset.drawn !== drawn) {
      retries.dataset.drawn = drawn;
      fill(retries, waits(status.retries.map((one) => ({ ...one, task: one.task_name }))));
    }
    setText(unheard, status.webhook_error ? `its webhook was not told: ${status.webhook_error}` : "");
    move = status.state === "RUNNING" ? { what: "pause", text: "Pause", told: "paused: what runs goes on, nothing new starts" }
      : status.state === "PAUSED" ? { what: "resume", text: "Resume", told: "goes on" }
        : counts.failed + counts.cancelled && status.state !== "SCHEDULED" ? { what: "resume", text: "Resume", told: "goes on with what did not complete" } : null;
    if (move) setText(go, move.text);
    hide(go, !move, report);
    hide(cancel, hasEnded(status.state), go, report);
  } };
}

/** A wide bar of items by state, and the number of each; a click on one shows those items. */
function counts(pick) {
  const bar = new ItemBar("wide");
  const percent = el("strong", { data: { test: "percent" } });
  const numbers = Object.fromEntries(ITEM_STATES.map((state) => {
    const number = el("strong");
    return [state, { number, button: el("button", { className: "quiet", data: { state, test: `count-${state.toLowerCase()}` }, title: "show these items",
      onclick: () => pick(state) }, number, el("span", {}, state.toLowerCase())) }];
  }));
  const node = el("section", { className: "card", "aria-label": "Progress" },
    el("div", { className: "of-all" }, bar.node, percent),
    el("div", { className: "numbers" }, ITEM_STATES.map((state) => numbers[state].button)));
  return { node, show(status) {
    bar.show(status);
    const found = itemCounts(status);
    for (const state of ITEM_STATES) {
      setText(numbers[state].number, count(found[state]));
      numbers[state].button.hidden = !found[state] && ["CANCELLED", "DISCARDED"].includes(state);
    }
    const left = found.WAITING + found.ACTIVE;
    setText(percent, `${Math.floor(100 * (status.total - left) / Math.max(1, status.total))} %`);
  } };
}

/** The figures that people ask for: how fast, how much, how long. */
function tiles() {
  const tile = (title, test) => {
    const [value, more] = [el("strong", { data: { test } }), el("small", { className: "dim" })];
    return { value, more, node: el("div", { className: "card tile" }, el("dt", {}, title), el("dd", {}, value, more)) };
  };
  const [rate, cost, left, elapsed] = [["Throughput", "rate"], ["Cost", "cost"], ["Time left", "eta"], ["Elapsed", "elapsed"]].map((one) => tile(...one));
  const say = ({ value, more }, text, about = "") => {
    setText(value, text);
    setText(more, about);
  };
  const tick = (status) => say(elapsed, status.started_at ? span(Math.max(0, between(status.started_at, status.ended_at))) : "not started",
    status.ended_at ? `ended ${moment(status.ended_at)}` : "");
  return { tick, node: el("dl", { className: "tiles" }, [rate, cost, left, elapsed].map((one) => one.node)), show(status) {
    const speed = status.items_per_minute;
    say(rate, speed === null ? "–" : speed >= 10 ? count(Math.round(speed)) : speed.toFixed(1), speed === null ? "" : "items a minute");
    const all = status.forecast_usd === null || hasEnded(status.state) ? null : `likely ${dollars(status.forecast_usd)} in all`;
    say(cost, dollars(status.cost_usd), [all, status.budget_usd === null ? null : `of ${dollars(status.budget_usd)}`,
      status.reserved_usd ? `${dollars(status.reserved_usd)} reserved` : null].filter(Boolean).join(", "));
    left.node.hidden = hasEnded(status.state);
    if (status.eta) {
      say(left, ...expected(status.eta));
      left.node.title = status.eta.method;
    } else if (status.state === "SCHEDULED") say(left, "–", status.start_at ? `starts ${moment(status.start_at)}` : "");
    else say(left, "–", "not known yet");
    tick(status);
  } };
}

/** Items done over time, as far as this page has seen it, and as it is expected to go on. */
function chart() {
  let seen = [];
  const plot = el("div");
  const until = el("span");
  const node = el("figure", { className: "card climb", hidden: true, data: { test: "chart" } },
    el("figcaption", {}, el("strong", {}, "Items done"), " over time; pale is what this page did not see, and what is expected"),
    plot, el("div", { className: "ends dim small", "aria-hidden": "true" }, el("span", {}, "start"), until));
  return { node, show(status) {
    if (!status.started_at) return;
    const now = Math.max(0, between(status.started_at, status.ended_at));
    const found = itemCounts(status);
    const point = [now, status.total - found.WAITING - found.ACTIVE];
    // The clock of the server says when it ended, and may be behind.
    seen = [...seen.filter(([before]) => before < now), point];
    if (seen.length > POINTS) seen = seen.filter((_, place) => place % 2 === 0 || place === seen.length - 1);
    const eta = hasEnded(status.state) ? null : status.eta;
    node.hidden = seen.length < 2 && !eta;
    const drawn = climb(seen, status.total, now, eta);
    fill(plot, drawn.node);
    setText(until, span(drawn.whole));
  } };
}

/** How often each kind of step was done, and how long it takes. */
function stages() {
  const body = el("tbody");
  const node = el("section", { hidden: true, "aria-label": "Stages" }, el("h2", {}, "Stages"),
    el("div", { className: "scroll" }, el("table", { className: "plain stages", data: { test: "stages" } },
      el("thead", {}, el("tr", {}, ["Task", "Queue", "Done", "Takes"].map((title) => el("th", { scope: "col" }, title)))), body)));
  return { node, show(status) {
    node.hidden = !status.stages.length;
    const drawn = JSON.stringify(status.stages);
    if (drawn === body.dataset.drawn) return;
    body.dataset.drawn = drawn;
    fill(body, status.stages.map((stage) => el("tr", {}, el("td", { className: "wraps" }, el("strong", {}, stage.task_name)), el("td", { className: "dim" }, stage.queue),
      el("td", {}, count(stage.done)), el("td", {}, `${span(stage.mean_seconds)} ± ${span(stage.deviation_seconds)}`))));
  } };
}
