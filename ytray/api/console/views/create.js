// Making a video of a sentence.

import { get, post } from "../api.js";
import { ASPECTS, CAPTION_STYLES, CODECS, PLATFORMS } from "../choices.js";
import { debounced, el, fill } from "../dom.js";
import { dollars } from "../format.js";

const PROVIDERS = ["offline", "vertex", "openai"];
const LONGEST = 5000;
const SHORTEST = 2;

export async function show(main, { system }) {
  document.title = "Create · ytray";
  if (!system.scopes.includes("submit")) {
    fill(main, el("div", { className: "empty" }, el("h1", {}, "This key only reads"), el("p", {}, "Making videos takes a key with the scope submit.")));
    return null;
  }
  const length = el("small", { className: "dim" }, "");
  const prompt = el("textarea", { id: "prompt", name: "prompt", rows: 3, required: true, minlength: SHORTEST, maxlength: LONGEST,
    placeholder: "Why do cats purr?", data: { test: "create-prompt" },
    oninput: () => { length.textContent = prompt.value.length > LONGEST * 0.8 ? `${LONGEST - prompt.value.length} characters left` : ""; } });
  const seconds = el("output", { for: "duration" }, "30 s");
  const duration = el("input", { id: "duration", name: "duration", type: "range", min: 5, max: 180, step: 5, value: 30,
    data: { test: "create-duration" }, oninput: () => { seconds.textContent = `${duration.value} s`; } });
  const shape = select("aspect", ASPECTS);
  const platform = select("platform", PLATFORMS);
  const fade = el("output", { for: "crossfade" }, "cuts");
  const crossfade = el("input", { id: "crossfade", name: "crossfade", type: "range", min: 0, max: 2, step: 0.1, value: 0,
    data: { test: "create-crossfade" }, oninput: () => { fade.textContent = Number(crossfade.value) ? `${crossfade.value} s` : "cuts"; } });
  const provider = el("select", { id: "provider", name: "provider", data: { test: "create-provider" } },
    el("option", { value: "" }, `the system's own (${system.provider})`), PROVIDERS.map((name) => el("option", { value: name }, name)));
  const most = el("input", { id: "budget_usd", name: "budget_usd", type: "number", min: 0, step: "any", inputmode: "decimal",
    placeholder: "any amount", disabled: true, data: { test: "create-budget" } });
  const fresh = el("input", { type: "checkbox", name: "fresh", disabled: true, data: { test: "create-fresh" } });
  const cost = el("p", { className: "cost", "aria-live": "polite", data: { test: "cost" } }, system.provider === "offline" ? FREE : "");
  const trouble = el("p", { className: "wrong", role: "alert" });
  const send = el("button", { className: "primary", data: { test: "create-submit" } }, "Make the video");
  let asked = 0;

  function brief() {
    const given = new FormData(form); // what is disabled is left out
    const made = {
      prompt: given.get("prompt").trim(),
      aspect: given.get("aspect"),
      duration: Number(given.get("duration")),
      formats: given.getAll("formats"),
      genre: given.get("genre").trim() || "general",
      platform: given.get("platform"),
      caption_style: given.get("caption_style"),
      music: given.has("music"),
      crossfade: Number(given.get("crossfade")),
    };
    if (given.get("provider")) made.provider = given.get("provider");
    if (given.get("budget_usd")) made.budget_usd = Number(given.get("budget_usd"));
    if (given.has("fresh")) made.fresh = true;
    return made;
  }

  async function estimate() {
    if (!form.isConnected) return;
    const turn = ++asked;
    const { budget_usd: _, ...priced } = brief();
    // Of the prompt only its length counts, so a price can be told before there is one.
    if (priced.prompt.length < SHORTEST) priced.prompt = "a video";
    const answer = await post("/api/videos?estimate=true", priced).catch((problem) => problem);
    if (turn !== asked) return;
    const free = answer.most_usd === 0; // then there is nothing to limit and nothing to pay again
    for (const one of money) one.hidden = free;
    most.disabled = fresh.disabled = free;
    fill(cost, answer.lines ? told(answer) : `What it would cost is not known: ${answer.message}.`);
  }

  const estimateSoon = debounced(estimate, 400);

  async function order(event) {
    event.preventDefault();
    send.disabled = true;
    trouble.textContent = "";
    for (const field of form.querySelectorAll("[data-field] .wrong")) field.textContent = "";
    try {
      const accepted = await post("/api/videos", brief());
      location.hash = `#/jobs/${encodeURIComponent(accepted.job_id)}`;
    } catch (problem) {
      send.disabled = false;
      for (const wrong of problem.errors ?? []) {
        const at = form.querySelector(`[data-field=${wrong.loc.find((part) => form.querySelector(`[data-field=${CSS.escape(part)}]`)) ?? "none"}] .wrong`);
        if (at) at.textContent = wrong.msg;
      }
      trouble.textContent = problem.message;
    }
  }

  const field = (name, label, ...controls) => el("div", { className: "field", data: { field: name } },
    label ? el("label", { for: name }, label) : null, controls, el("p", { className: "wrong" }));
  const money = [
    field("budget_usd", "At most, USD", most),
    field("fresh", null, el("label", { className: "check" }, fresh, "pay again for what was bought before")),
  ];
  for (const one of money) one.hidden = true;
  const form = el("form", { className: "card create", onsubmit: order },
    el("h1", {}, "Make a video"),
    field("prompt", "One sentence that says what it is about", prompt, length),
    el("div", { className: "columns" },
      field("aspect", "Shape", shape),
      field("duration", "Length", el("span", { className: "range" }, duration, seconds)),
      field("genre", "Genre", el("input", { id: "genre", name: "genre", value: "general" })),
      field("platform", "Platform", platform),
      field("caption_style", "Captions", select("caption_style", CAPTION_STYLES.map((name) => [name, name]))),
      field("crossfade", "Crossfade between scenes", el("span", { className: "range" }, crossfade, fade)),
      field("music", null, el("span", { className: "label" }, "Music"), el("label", { className: "check" },
        el("input", { type: "checkbox", name: "music", checked: true, data: { test: "create-music" } }), "a bed under the voice, in the script's mood")),
      field("provider", "Provider", provider),
      money),
    el("fieldset", { data: { field: "formats" } }, el("legend", {}, "Formats"),
      Object.keys(CODECS).map((format) => el("label", { className: "check" },
        el("input", { type: "checkbox", name: "formats", value: format, checked: format === "mp4" }), format)),
      el("p", { className: "wrong" })),
    cost, trouble, send);
  prompt.addEventListener("input", estimateSoon);
  duration.addEventListener("input", estimateSoon);
  provider.addEventListener("change", estimate);
  // A video lying on its side is for YouTube, unless another platform was chosen.
  let isChosen = false;
  platform.addEventListener("change", () => { isChosen = true; });
  shape.addEventListener("change", () => {
    if (!isChosen) platform.value = shape.value === "16:9" ? "youtube" : "youtube_shorts";
  });
  fill(main, form);
  estimate();
  prompt.focus();
  const queues = await get("/api/queues").catch(() => null);
  const paused = queues?.queues.filter((queue) => queue.paused).map((queue) => queue.name) ?? [];
  if (paused.length) form.append(el("p", { className: "warn" }, `Paused now, so it would wait: ${paused.join(", ")}.`));
  return null;
}

function select(name, choices) {
  return el("select", { id: name, name, data: { test: `create-${name.replace("_", "-")}` } }, choices.map(([value, text]) => el("option", { value }, text)));
}

const FREE = "Estimated cost: $0.00. The offline provider makes no paid calls; its text comes from templates and states no facts.";

function told(estimate) {
  if (!estimate.lines.length) return FREE;
  return [
    "Estimated cost: ", el("strong", {}, `likely ${dollars(estimate.likely_usd)}, at most ${dollars(estimate.most_usd)}`),
    `; prices of ${estimate.prices_dated}.`,
    el("small", {}, estimate.lines.map((line) =>
      `${line.calls} × ${line.kind} by ${line.model}: ${line.most_usd ? dollars(line.likely_usd) : "no price given"}`).join(" · ")),
  ];
}
