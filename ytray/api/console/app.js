// The shell: which view is shown, who is signed in, the keyboard, light and dark.

import { get, post, remove } from "./api.js";
import { forgetParts, watchParts } from "./banner.js";
import { el, empty, fill, notice, throttled } from "./dom.js";
import { connect, disconnect, listen } from "./live.js";
import { show as audit } from "./views/audit.js";
import { show as batch } from "./views/batch.js";
import { show as batches } from "./views/batches.js";
import { show as create } from "./views/create.js";
import { show as deadletters } from "./views/deadletters.js";
import { show as job } from "./views/job.js";
import { show as jobs } from "./views/jobs.js";
import { show as newBatch } from "./views/newbatch.js";
import { show as nodes } from "./views/nodes.js";
import { show as overview } from "./views/overview.js";
import { show as spending } from "./views/spending.js";

const main = document.getElementById("main");
const indicator = document.getElementById("live");
const banner = document.getElementById("banner");
let leave = null;
let system = null;
let shown = 0;

const VIEWS = { "": overview, jobs, batches, "batches/new": newBatch, deadletters, spending, nodes, audit, create };
const PAGES = { jobs: job, batches: batch }; // of one of them

async function route() {
  const turn = ++shown;
  const [path, query] = location.hash.replace(/^#\/?/, "").split("?");
  const [name, id] = path.split("/");
  const view = VIEWS[path] || (id && PAGES[name]) || VIEWS[name];
  leave?.();
  leave = null;
  for (const link of document.querySelectorAll("nav a")) {
    const current = link.dataset.view === (name || "overview");
    if (current) link.setAttribute("aria-current", "page");
    else link.removeAttribute("aria-current");
  }
  if (!system && !(await signedIn())) return;
  if (turn !== shown) return;
  if (!view) {
    fill(main, empty("There is no such page", "Go to the ", el("a", { href: "#/" }, "overview"), "."));
    return;
  }
  // Its own, so that a view whose data come after somebody has gone on does not write over the next one.
  const stage = el("div", { className: "stage" });
  fill(main, stage);
  try {
    const left = await view(stage, { id: id && decodeURIComponent(id), query: new URLSearchParams(query), system });
    if (turn === shown) leave = left;
    else left?.();
  } catch (problem) {
    if (turn === shown && problem.status !== 401) failed(problem);
  }
}

function failed(problem) {
  if (problem.status === undefined) throw problem;
  let seconds = 5;
  const again = el("button", { onclick: () => route() }, "Try again");
  const page = empty(problem.status === 404 ? "Not found" : "That did not work", problem.message);
  if (problem.hint) page.append(el("p", { className: "dim" }, problem.hint));
  page.append(again);
  fill(main, page);
  if (problem.status === 0 || problem.status === 503) {
    const timer = setInterval(() => {
      again.textContent = `Try again (${--seconds})`;
      if (seconds <= 0) route();
    }, 1000);
    leave = () => clearInterval(timer);
  }
}

async function signedIn() {
  try {
    system = await get("/api/system");
  } catch (problem) {
    if (problem.status === 401) signIn();
    else failed(problem);
    return false;
  }
  document.getElementById("sign-out").hidden = !system.auth;
  document.body.dataset.scopes = system.scopes.join(" ");
  document.querySelector("[data-view=nodes]").hidden = Boolean(system.user_id);
  connect(indicator);
  watchParts(banner);
  countDead();
  return true;
}

function signIn() {
  disconnect();
  forgetParts(banner);
  system = null;
  indicator.textContent = "signed out";
  indicator.dataset.state = "";
  document.title = "Sign in · ytray";
  const key = el("input", { type: "password", id: "key", name: "key", autocomplete: "current-password", required: true,
    data: { test: "key" } });
  const wrong = el("p", { className: "wrong", role: "alert" });
  const form = el("form", { className: "card narrow",
    onsubmit: async (event) => {
      event.preventDefault();
      try {
        await post("/api/session", { key: key.value.trim() });
        route();
      } catch (problem) {
        wrong.textContent = problem.message;
        key.select();
      }
    } },
    el("h1", {}, "Sign in"),
    el("label", { for: "key" }, "API key"), key, wrong,
    el("button", { className: "primary", data: { test: "sign-in" } }, "Sign in"),
    el("p", { className: "dim" }, "Whoever runs this system makes keys with ", el("code", {}, "ytray keys create NAME"), "."));
  fill(main, form);
  key.focus();
}

const countDead = throttled(async () => {
  if (!system) return;
  const badge = document.getElementById("dead-count");
  const page = await get("/api/dlq?limit=1").catch(() => null);
  const number = page?.total ?? page?.dead_letters.length ?? 0;
  badge.hidden = !number;
  badge.textContent = page?.total === null ? "" : number.toLocaleString("en");
}, 3000);

listen((kind, data) => {
  if (kind === "reset" || data.to_state === "FAILED" || data.from_state === "FAILED") countDead();
});

function setTheme(theme) {
  document.documentElement.dataset.theme = theme;
  localStorage.setItem("theme", theme);
}

document.documentElement.dataset.theme =
  localStorage.getItem("theme") || (matchMedia("(prefers-color-scheme: dark)").matches ? "dark" : "light");
document.getElementById("theme").addEventListener("click", () => {
  setTheme(document.documentElement.dataset.theme === "dark" ? "light" : "dark");
});
document.getElementById("sign-out").addEventListener("click", async () => {
  await remove("/api/session");
  signIn();
});
document.getElementById("keys").addEventListener("click", showKeys);

const KEYS = [
  ["g then o, j, b, d, s, n, c", "overview, jobs, batches, dead letters, spending, nodes, create"],
  ["/", "search"],
  ["j, k", "next, previous row or node"],
  ["Enter", "open the row"],
  ["?", "this list"],
];

function showKeys() {
  const dialog = document.getElementById("dialog");
  fill(dialog,
    el("h2", {}, "Keyboard"),
    el("dl", { className: "keys" }, KEYS.map(([key, what]) => [el("dt", {}, key), el("dd", {}, what)])),
    el("button", { onclick: () => dialog.close(), autofocus: true }, "Close"));
  dialog.showModal();
}

let going = false;
document.addEventListener("keydown", (event) => {
  if (event.ctrlKey || event.metaKey || event.altKey || event.target.matches("input, textarea, select")) return;
  if (going) {
    going = false;
    const to = { o: "#/", j: "#/jobs", b: "#/batches", d: "#/deadletters", s: "#/spending", n: "#/nodes", c: "#/create" }[event.key];
    if (to) location.hash = to;
    return;
  }
  if (event.key === "g") going = true;
  else if (event.key === "?") showKeys();
  else if (event.key === "/") {
    event.preventDefault();
    const search = document.querySelector("[data-test=search]");
    if (search) search.focus();
    else location.hash = "#/jobs";
  } else if (event.key === "j" || event.key === "k") {
    const rows = [...document.querySelectorAll("[data-row]")];
    const at = rows.indexOf(document.activeElement);
    rows[Math.max(0, Math.min(rows.length - 1, at + (event.key === "j" ? 1 : -1)))]?.focus();
  }
});

window.addEventListener("hashchange", () => {
  route();
  main.focus({ preventScroll: true });
  scrollTo(0, 0);
});
window.addEventListener("signed-out", () => {
  if (system) notice("Your key is no longer valid.", "bad");
  signIn();
});
window.addEventListener("unhandledrejection", (event) => {
  if (event.reason?.status !== undefined) {
    event.preventDefault();
    if (event.reason.status !== 401) notice(event.reason.message, "bad");
  }
});

route();
