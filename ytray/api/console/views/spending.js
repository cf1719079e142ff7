// Money: what each user may spend this month, the newest paid calls, and what the models cost.

import { get, put } from "../api.js";
import { el, empty, fill, notice, throttled } from "../dom.js";
import { count, dollars, price } from "../format.js";
import { listenFrom } from "../live.js";
import { CallTable } from "./calls.js";

const SHOWN = 50; // calls, and users
const MOST = 1000; // calls looked at for uncertain ones

export async function show(main, { query, system }) {
  document.title = "Spending · ytray";
  const filters = { user_id: query.get("user_id") ?? "", uncertain: query.get("uncertain") ?? "" };
  const admin = system.scopes.includes("admin");
  const month = el("h2", {});
  const budgets = el("div");
  const place = el("div");
  const models = el("section", { "aria-label": "Models" });
  const calls = new CallTable(["state", "call", "origin", "user", "at", "cost"],
    { may: system.scopes.includes("submit"), changed: () => refresh() });
  let editing = false;

  const link = (chosen) => {
    const given = Object.entries({ ...filters, ...chosen }).filter(([, value]) => value);
    return given.length ? `#/spending?${new URLSearchParams(given)}` : "#/spending";
  };

  async function limit(user, usd) {
    await put(`/api/budgets/${encodeURIComponent(user)}`, { limit_usd: usd });
    notice(usd === null ? `${user} has no limit of their own any more` : `${user} may spend ${dollars(usd)} a month`);
    editing = false;
    await refresh();
  }

  function budget(given) {
    const user = given.scope.replace(/^user /, "");
    const used = given.spent_usd + given.reserved_usd;
    const told = el("div", { className: "figures" },
      el("span", {}, el("strong", {}, dollars(given.spent_usd)), given.limit_usd === null ? " spent, no limit" : ` of ${dollars(given.limit_usd)}`),
      given.reserved_usd ? el("small", { className: "dim" }, `${dollars(given.reserved_usd)} reserved`) : null);
    const line = el("li", { className: "budget", data: { test: "budget", user } },
      user ? el("a", { href: link({ user_id: user }), className: "name", title: `the calls of ${user}` }, user)
        : el("span", { className: "name dim" }, "nobody's jobs"),
      given.limit_usd === null ? null : meter(user, given, used),
      told,
      admin && user ? el("button", { className: "quiet", data: { test: "set-limit" }, "aria-label": `Set the limit of ${user}`,
        onclick: () => edit(line, user, given.limit_usd) }, "Set limit") : null);
    return line;
  }

  function edit(line, user, now) {
    editing = true;
    const usd = money({ "aria-label": `Limit of ${user} a month, USD`, value: now ?? "", data: { test: "limit" } });
    const close = () => {
      editing = false;
      refresh();
    };
    fill(line, el("span", { className: "name" }, user), el("form", { className: "actions",
      onsubmit: (event) => {
        event.preventDefault();
        limit(user, Number(usd.value));
      },
      onkeydown: (event) => { if (event.key === "Escape") close(); } },
    usd, el("button", { className: "primary", data: { test: "save-limit" } }, "Save"),
    now === null ? null : el("button", { type: "button", title: "YTRAY_BUDGET_USER then says what they may spend", data: { test: "clear-limit" },
      onclick: () => limit(user, null) }, "Clear"),
    el("button", { type: "button", className: "quiet", onclick: close }, "Cancel")));
    usd.focus();
    usd.select();
  }

  function showBudgets(list) {
    const spent = list.reduce((sum, one) => sum + one.spent_usd, 0);
    const today = new Date().toLocaleString("en", { month: "long", year: "numeric", timeZone: "UTC" });
    fill(month, today, " ", el("span", { className: "dim" }, list.length ? `${dollars(spent)} spent` : ""));
    if (editing) return; // what somebody types stays where it is
    const sorted = [...list].sort((a, b) => b.spent_usd + b.reserved_usd - a.spent_usd - a.reserved_usd);
    fill(budgets, sorted.length ? el("ul", { className: "card budgets" }, sorted.slice(0, SHOWN).map(budget))
      : el("p", { className: "dim" }, "Nobody has spent anything this month, and nobody has a limit of their own. ",
        admin ? "Set one below; " : "", "YTRAY_BUDGET_USER sets one for everybody."),
    sorted.length > SHOWN ? el("p", { className: "dim" }, `and ${count(sorted.length - SHOWN)} who spent less`) : null);
  }

  function showCalls(entries) {
    const found = filters.uncertain ? entries.filter((entry) => entry.state === "uncertain") : entries;
    calls.show(found.slice(0, SHOWN));
    if (found.length) {
      if (place.firstChild !== calls.node) fill(place, calls.node);
    } else if (Object.values(filters).some(Boolean)) {
      fill(place, empty("No call matches", "Take a filter away, or ", el("a", { href: "#/spending" }, "show all calls"), "."));
    } else {
      fill(place, empty("No paid calls yet", "Set YTRAY_PROVIDER, or choose a provider where you ",
        el("a", { href: "#/create" }, "make a video"), ": each call is written down here before it is made."));
    }
  }

  async function refresh() {
    const asked = new URLSearchParams({ limit: filters.uncertain ? MOST : SHOWN });
    if (filters.user_id) asked.set("user_id", filters.user_id);
    const [money, journal, known] = await Promise.all([get("/api/budgets"), get(`/api/spend?${asked}`), get("/api/models")]);
    showBudgets(money.budgets);
    showCalls(journal.entries);
    showModels(models, known);
  }

  const choose = (name) => (event) => {
    location.hash = link({ [name]: event.target.type === "checkbox" ? (event.target.checked ? "1" : "") : event.target.value.trim() });
  };
  fill(main,
    el("h1", { className: "visually-hidden" }, "Spending"),
    el("section", { "aria-label": "Budgets" }, month, budgets, admin ? another(limit) : null),
    el("section", { className: "stack", "aria-label": "Paid calls" }, el("h2", {}, "Newest paid calls"),
      el("div", { className: "filters" },
        system.user_id === null
          ? el("input", { placeholder: "user", "aria-label": "User", value: filters.user_id, onchange: choose("user_id"), size: 12, data: { test: "user-filter" } })
          : null,
        el("label", { className: "check" },
          el("input", { type: "checkbox", checked: Boolean(filters.uncertain), onchange: choose("uncertain"), data: { test: "uncertain-filter" } }),
          "only uncertain ones")),
      place),
    models);
  const soon = throttled(() => refresh().catch(() => {}), 2000);
  const deaf = await listenFrom(refresh, (kind) => {
    if (kind !== "progress") soon();
  });
  const timer = setInterval(soon, 10_000); // a call ends inside its job's attempt, which no transition tells
  return () => {
    deaf();
    clearInterval(timer);
  };
}

const money = (properties) => el("input", { type: "number", min: 0, step: "any", required: true, inputmode: "decimal", size: 8, ...properties });

/** A form that gives a user a limit who is not in the list. */
function another(limit) {
  const user = el("input", { placeholder: "user", "aria-label": "User", required: true, maxlength: 255, size: 12, data: { test: "new-user" } });
  const usd = money({ placeholder: "USD", "aria-label": "Limit a month, USD", data: { test: "new-limit" } });
  return el("form", { className: "actions another",
    onsubmit: async (event) => {
      event.preventDefault();
      await limit(user.value.trim(), Number(usd.value));
      event.target.reset();
    } },
  user, usd, el("button", { data: { test: "new-save" } }, "Set a monthly limit"));
}

function meter(user, given, used) {
  const whole = Math.max(given.limit_usd, used) || 1;
  const parts = [["spent", given.spent_usd], ["reserved", given.reserved_usd]].map(([name, usd]) => {
    const part = el("span", { className: name });
    part.style.inlineSize = `${usd / whole * 100}%`;
    return part;
  });
  return el("span", { className: "meter money", role: "meter", "aria-label": `spent and reserved by ${user}`, "aria-valuemin": 0,
    "aria-valuemax": given.limit_usd, "aria-valuenow": Math.min(used, given.limit_usd),
    "aria-valuetext": `${dollars(used)} of ${dollars(given.limit_usd)}`, data: { full: String(used >= given.limit_usd) } }, parts);
}

function showModels(place, { dated, models }) {
  fill(place, el("h2", {}, "Models"),
    el("div", { className: "scroll" }, el("table", { className: "models", data: { test: "models" } },
      el("thead", {}, el("tr", {}, ["Model", "Price", "Limits"].map((title) => el("th", { scope: "col" }, title)))),
      el("tbody", {}, models.map((model) => el("tr", {},
        el("td", {}, el("strong", {}, model.model)),
        el("td", {}, prices(model.price)),
        el("td", { className: "dim" }, limits(model))))))),
    el("p", { className: "dim below" }, `Prices as of ${dated}, from secondary sources unless you gave your own (YTRAY_PRICES). `,
      "Limits are those of YTRAY_MODEL_LIMITS, over the whole cluster."));
}

function prices(given) {
  const tokens = [["input_million_tokens", "in"], ["output_million_tokens", "out"], ["audio_million_tokens", "audio out"]]
    .filter(([name]) => given[name]).map(([name, what]) => `${price(given[name])} ${what}`).join(", ");
  const others = [["image", "an image"], ["second", "a second"], ["call", "a call"]]
    .filter(([name]) => given[name]).map(([name, what]) => `${price(given[name])} ${what}`);
  return [tokens ? `${tokens} a million tokens` : "", ...others].filter(Boolean).join("; ") || "nothing";
}

function limits(model) {
  return [
    model.requests && `${count(model.requests)} requests a minute`,
    model.tokens && `${count(model.tokens)} tokens a minute`,
    model.at_once && `${count(model.at_once)} calls at once, ${count(model.running)} now`,
  ].filter(Boolean).join("; ") || "none";
}
