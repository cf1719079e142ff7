// One job: where it is in its life, what it does, what it made.

import { get, job as at, post, remove } from "../api.js";
import { confirmed, el, fill, notice, setText, throttled } from "../dom.js";
import { between, bytes, clockTime, count, dollars, moment, span } from "../format.js";
import { listenFrom } from "../live.js";
import { CallTable } from "./calls.js";
import { flowGraph } from "./flow.js";
import { ENDED, bar, jobLink, stateChip, waiting, waits, when } from "./parts.js";
import { hasVideo, video } from "./video.js";

const CALLS = 200; // shown; a batch makes thousands

export async function show(main, { id, system }) {
  document.title = `${id} · ytray`;
  let status = await get(at(id, "status"));
  if (main.isConnected) document.title = `${status.task_name} · ytray`;
  const parts = Object.fromEntries(
    ["head", "steps", "spending", "timeline", "logs", "result", "files", "facts"].map((name) => [name, el("section", { className: name })]));
  const film = el("div", { className: "finished" });
  const may = system.scopes.includes("submit");
  let calls = null;
  let hasLeft = false;
  let due = 0;
  let after = 0;
  let moves = [];
  let filmed = null; // how to stop what goes on around the video that is shown
  let following = null;

  async function act(what, told) {
    await what();
    notice(told);
    await refresh();
  }

  async function discard() {
    if (await confirmed("Discard this failed job? It stays FAILED and can no longer be replayed.", "Discard")) {
      await act(() => remove(`/api/dlq/${encodeURIComponent(id)}`), "discarded");
    }
  }

  async function head() {
    const dead = status.current_state === "FAILED" && await get(`/api/dlq/${encodeURIComponent(id)}`).then(() => true, () => false);
    fill(parts.head,
      status.parent_id ? el("p", { className: "dim" }, origin(id, status.parent_id)) : null,
      el("h1", {}, status.task_name, " ", stateChip(status.current_state)),
      el("p", { className: "id", data: { test: "job-id" } }, id),
      ENDED.has(status.current_state) ? null : el("p", { className: "progress wide" },
        bar(status.progress, status.current_state), el("span", { className: "told" }, status.progress_message)),
      status.next_retry_at ? el("p", { className: "warn", data: { test: "retry-at" } }, "next attempt ", when(status.next_retry_at),
        `, at ${clockTime(status.next_retry_at)}: retry ${status.retry_count}`) : null,
      status.error && status.current_state !== "COMPLETED" ? el("p", { className: "wrong error", data: { test: "error" } }, status.error) : null,
      may ? el("div", { className: "actions" },
        ENDED.has(status.current_state) ? null : el("button", { className: "danger", data: { test: "cancel" },
          onclick: () => act(() => post(at(id, "cancel")), "cancelled") }, "Cancel"),
        dead ? el("button", { className: "primary", data: { test: "replay" },
          onclick: () => act(() => post(`/api/dlq/${encodeURIComponent(id)}/retry`), "replayed") }, "Replay") : null,
        dead ? el("button", { className: "danger quiet", onclick: discard, data: { test: "discard" } }, "Discard") : null) : null);
  }

  function facts() {
    const rows = [
      ["queue", `${status.queue}, priority ${status.priority}`],
      ["created", moment(status.created_at)],
      ["took", status.started_at ? span(between(status.started_at, status.completed_at)) : null],
      ["user", status.user_id],
      ["retries", status.retry_count || null],
      ["idempotency key", status.idempotency_key],
      ["cost", dollars(status.cost_usd)],
      ...Object.entries(status.metadata).map(([name, value]) => [name, typeof value === "string" ? value : JSON.stringify(value)]),
    ].filter(([, value]) => value !== null && value !== undefined);
    fill(parts.facts, el("h2", {}, "Facts"), el("dl", { className: "facts" }, rows.map(([name, value]) => [el("dt", {}, name), el("dd", {}, value)])));
  }

  function timeline() {
    const until = ENDED.has(status.current_state) ? moves.at(-1)?.at : undefined;
    const whole = Math.max(0.001, between(status.created_at, until));
    const items = [{ state: "PENDING", from: status.created_at, why: "" },
      ...moves.map((move) => ({ state: move.to_state, from: move.at, why: reason(move.metadata) }))];
    const strip = el("div", { className: "strip", "aria-hidden": "true" });
    const list = el("ol", { className: "moves", data: { test: "timeline" } });
    items.forEach((item, place) => {
      const seconds = between(item.from, items[place + 1]?.from ?? until);
      if (!(ENDED.has(item.state) && place === items.length - 1) && seconds > 0) {
        const piece = el("span", { data: { state: item.state }, title: `${item.state.toLowerCase()} ${span(seconds)}` });
        piece.style.flexGrow = Math.max(0.004, seconds / whole);
        strip.append(piece);
      }
      if (item.state === "PENDING" && moves.length) return;
      list.append(el("li", {}, stateChip(item.state), el("time", { datetime: item.from, title: moment(item.from) },
        `+${span(Math.max(0, between(status.created_at, item.from)))}`),
      el("span", { className: "why" }, item.why)));
    });
    fill(parts.timeline, el("h2", {}, "Timeline"), strip, list);
  }

  async function steps() {
    const { jobs } = await get(at(id, "children"));
    if (jobs.length) fill(parts.steps, el("h2", {}, "Steps"), waits(waiting(jobs)), flowGraph(jobs));
    return jobs;
  }

  const leftOut = el("p", { className: "dim below" });

  async function spending() {
    const { entries, cost_usd } = await get(`/api/spend?${new URLSearchParams({ job_id: id })}`);
    if (!entries.length) return;
    if (!calls) {
      const ofSteps = entries.some((entry) => entry.job_id !== id);
      calls = new CallTable(ofSteps ? ["state", "call", "origin", "cost"] : ["state", "call", "cost"], { here: id, may, changed: spending });
      fill(parts.spending, el("h2", {}, "Spending"), calls.node, leftOut);
    }
    due = Date.now() + 10 * entries.length; // a long journal is read seldom
    calls.show(entries.filter((entry, place) => entry.state === "uncertain" || place >= entries.length - CALLS), cost_usd);
    setText(leftOut, entries.length > CALLS ? `The newest ${CALLS} of ${count(entries.length)} calls, and all uncertain ones.` : "");
  }

  async function result() {
    const { current_state: state } = status;
    if (state !== "COMPLETED" && state !== "FAILED") {
      filmed?.();
      filmed = null;
      for (const place of [parts.result, parts.files, film]) fill(place);
      return;
    }
    const shown = status.result === null
      ? el("p", { className: "dim" }, "nothing, or it is no longer kept (YTRAY_RESULT_TTL)")
      : el("pre", { data: { test: "result" } }, JSON.stringify(status.result, null, 2));
    if (state === "COMPLETED") fill(parts.result, el("details", { open: JSON.stringify(status.result ?? "").length < 600 }, el("summary", {}, el("h2", {}, "Result")), shown));
    const { artifacts } = await get(at(id, "artifacts"));
    if (!artifacts.length) return;
    if (hasVideo(status, artifacts) && !filmed) {
      filmed = () => {};
      const stop = await video(film, status, artifacts, may);
      if (hasLeft) stop();
      else filmed = stop;
    }
    fill(parts.files, el("details", { open: artifacts.length < 8 },
      el("summary", {}, el("h2", {}, "Files ", el("span", { className: "count" }, artifacts.length))),
      el("ul", {}, artifacts.map((file) => el("li", {},
        el("a", { href: file.url, download: "" }, file.name), " ",
        el("small", { className: "dim" }, `${bytes(file.size_bytes)} · ${file.task_name}`))))));
  }

  const lines = el("ol", { className: "log", tabindex: 0, "aria-label": "Log", data: { test: "log" } });

  async function logs() {
    const log = await get(`${at(id, "logs")}?after=${after}`);
    after = log.next;
    if (!log.lines.length) return;
    const bottom = lines.scrollTop + lines.clientHeight >= lines.scrollHeight - 8;
    lines.append(...log.lines.map((line) => el("li", { data: { level: line.level } },
      el("time", { datetime: line.at, title: moment(line.at) }, new Date(line.at).toLocaleTimeString()),
      el("span", {}, line.message))));
    if (!lines.isConnected) fill(parts.logs, el("h2", {}, "Log"), lines);
    if (bottom) lines.scrollTop = lines.scrollHeight;
  }

  function tick() {
    timeline();
    facts();
    logs().catch(() => {});
  }

  async function refresh() {
    const before = status.current_state;
    const [now, past] = await Promise.all([get(at(id, "status")), get(at(id, "history"))]);
    status = now;
    moves = past.transitions;
    timeline();
    facts();
    await Promise.all([head(), steps(), spending(), logs(), before === now.current_state && filmed ? null : result()]);
    if (ENDED.has(status.current_state)) {
      clearInterval(following);
      following = null;
      // What it logged last arrives a moment after its end.
      setTimeout(() => logs().catch(() => {}), 1500);
    } else following ??= setInterval(tick, 1000);
  }

  fill(main, el("div", { className: "job" },
    el("div", { className: "main" }, parts.head, film, parts.steps, parts.spending, parts.logs, parts.result),
    el("aside", {}, parts.timeline, parts.facts, parts.files)));
  const soon = throttled(() => refresh().catch(() => {}), 500);
  const stepsSoon = throttled(() => steps().catch(() => {}), 700);
  // A call begins and ends inside an attempt: its progress tells that there may be something new.
  const spendingSoon = throttled(() => {
    if (Date.now() >= due) spending().catch(() => {});
  }, 2000);
  const deaf = await listenFrom(refresh, (kind, data) => {
    if (kind === "reset") soon();
    else if (data.job_id === id) {
      if (kind === "transition") soon();
      else {
        const shown = parts.head.querySelector("progress");
        if (shown) shown.value = data.progress;
        const told = parts.head.querySelector(".told");
        if (told) setText(told, data.progress_message);
        spendingSoon();
      }
    } else if (data.job_id?.startsWith(`${id}.`)) {
      stepsSoon();
      spendingSoon();
    }
  });
  return () => {
    deaf();
    clearInterval(following);
    hasLeft = true;
    filmed?.();
  };
}

/** What a job is part of: a flow, whose steps have its id in front of theirs, or a batch. */
function origin(id, parent) {
  if (id.startsWith(`${parent}.`)) return ["step of ", jobLink(parent, parent)];
  return ["item of ", el("a", { href: `#/batches/${encodeURIComponent(parent)}`, className: "id" }, parent)];
}

function reason(metadata) {
  const known = { ...metadata };
  delete known.fence;
  if (known.next_retry_ms) known.next_retry_ms = undefined;
  const text = known.reason ?? known.error;
  if (text) return `${text}${known.retry_count ? ` · retry ${known.retry_count}` : ""}`;
  if (known.seconds !== undefined) return span(known.seconds);
  return Object.entries(known).filter(([, value]) => value !== undefined).map(([name, value]) => `${name} ${JSON.stringify(value)}`).join(", ");
}
