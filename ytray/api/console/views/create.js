// Making a video of a sentence.

import { get, post } from "../api.js";
import { el, fill } from "../dom.js";

const ASPECTS = [["9:16", "9:16 · Shorts, Reels, TikTok"], ["16:9", "16:9 · YouTube"], ["1:1", "1:1 · square"], ["4:5", "4:5 · feed"]];
const FORMATS = ["mp4", "webm", "gif", "mov", "m4a", "mp3"];
const LONGEST = 5000;

export async function show(main, { system }) {
  document.title = "Create · ytray";
  if (!system.scopes.includes("submit")) {
    fill(main, el("div", { className: "empty" }, el("h1", {}, "This key only reads"), el("p", {}, "Making videos takes a key with the scope submit.")));
    return null;
  }
  const length = el("small", { className: "dim" }, "");
  const prompt = el("textarea", { id: "prompt", name: "prompt", rows: 3, required: true, minlength: 3, maxlength: LONGEST,
    placeholder: "Why do cats purr?", data: { test: "create-prompt" },
    oninput: () => { length.textContent = prompt.value.length > LONGEST * 0.8 ? `${LONGEST - prompt.value.length} characters left` : ""; } });
  const seconds = el("output", { for: "duration" }, "30 s");
  const duration = el("input", { id: "duration", name: "duration", type: "range", min: 5, max: 180, step: 5, value: 30,
    data: { test: "create-duration" }, oninput: () => { seconds.textContent = `${duration.value} s`; } });
  const trouble = el("p", { className: "wrong", role: "alert" });
  const send = el("button", { className: "primary", data: { test: "create-submit" } }, "Make the video");

  async function order(event) {
    event.preventDefault();
    const given = new FormData(form);
    send.disabled = true;
    trouble.textContent = "";
    for (const field of form.querySelectorAll("[data-field] .wrong")) field.textContent = "";
    try {
      const accepted = await post("/api/videos", {
        prompt: given.get("prompt").trim(),
        aspect: given.get("aspect"),
        duration: Number(given.get("duration")),
        formats: given.getAll("formats"),
        genre: given.get("genre").trim() || "general",
        platform: given.get("platform").trim() || "youtube_shorts",
      });
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
  const form = el("form", { className: "card create", onsubmit: order },
    el("h1", {}, "Make a video"),
    field("prompt", "One sentence that says what it is about", prompt, length),
    el("div", { className: "columns" },
      field("aspect", "Shape", el("select", { id: "aspect", name: "aspect" }, ASPECTS.map(([value, text]) => el("option", { value }, text)))),
      field("duration", "Length", el("span", { className: "range" }, duration, seconds)),
      field("genre", "Genre", el("input", { id: "genre", name: "genre", value: "general" })),
      field("platform", "Platform", el("input", { id: "platform", name: "platform", value: "youtube_shorts" }))),
    el("fieldset", { data: { field: "formats" } }, el("legend", {}, "Formats"),
      FORMATS.map((format) => el("label", { className: "check" },
        el("input", { type: "checkbox", name: "formats", value: format, checked: format === "mp4" }), format)),
      el("p", { className: "wrong" })),
    el("p", { className: "cost", data: { test: "cost" } }, costs(system)),
    trouble, send);
  fill(main, form);
  prompt.focus();
  const queues = await get("/api/queues").catch(() => null);
  const paused = queues?.queues.filter((queue) => queue.paused).map((queue) => queue.name) ?? [];
  if (paused.length) form.append(el("p", { className: "warn" }, `Paused now, so it would wait: ${paused.join(", ")}.`));
  return null;
}

function costs(system) {
  return system.provider === "offline"
    ? "Estimated cost: $0.00. The offline provider makes no paid calls; its text comes from templates and states no facts."
    : `Provider: ${system.provider}.`;
}
