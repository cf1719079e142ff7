// A finished video: played, with its captions beside it, and what was measured of its script.

import { el, fill } from "../dom.js";
import { curve, columns } from "../draw.js";

/** Show the video of a `create_video` result in `place`; `artifacts` are the flow's files. */
export function video(place, made, artifacts) {
  const file = (name) => artifacts.find((one) => one.name === name);
  const portrait = made.video.height > made.video.width;
  const poster = file(portrait ? "thumbnail-1080x1920.jpg" : "thumbnail-1280x720.jpg");
  const player = el("video", { controls: true, playsinline: true, preload: "metadata", src: file("video.mp4").url,
    poster: poster?.url, data: { test: "video" } });
  const captions = el("ol", { className: "captions", "aria-label": "Captions", data: { test: "captions" } });
  const thumbnails = artifacts.filter((one) => one.name.startsWith("thumbnail-"));
  const arc = made.emotional_arc;
  const pacing = made.pacing;
  fill(place,
    el("div", { className: portrait ? "film portrait" : "film" }, player,
      el("div", { className: "beside" },
        el("h2", {}, made.script.title),
        el("p", { className: "dim" }, `${made.video.seconds.toFixed(1)} s, ${made.video.width}×${made.video.height}. ${made.script.note}`),
        captions)),
    el("div", { className: "plots" },
      el("figure", { data: { test: "arc" } }, curve(arc.valence),
        el("figcaption", {}, el("strong", {}, `Emotional arc: ${arc.shape}`), ` Valence sentence by sentence; fit ${arc.fit.toFixed(2)}. A heuristic on so short a text.`),
        notes(arc.notes)),
      el("figure", { data: { test: "pacing" } }, columns(pacing.by_scene, [150, 190]),
        el("figcaption", {}, el("strong", {}, `Pacing: ${Math.round(pacing.words_per_minute)} words a minute`),
          ` by scene, against 150 to 190; ${pacing.cuts_per_minute.toFixed(0)} cuts a minute.`),
        notes(pacing.notes)),
      el("figure", {}, el("p", { className: "big" }, made.coherence.score.toFixed(2)),
        el("figcaption", {}, el("strong", {}, "Coherence"), ` of 0 to 1, by ${made.coherence.method}.`),
        opinion(made.coherence.judgement))),
    hooks(made.hook),
    thumbnails.length ? el("details", {}, el("summary", {}, "Thumbnails"),
      el("div", { className: "thumbnails" }, thumbnails.map((one) => el("a", { href: one.url, target: "_blank", rel: "noopener" },
        el("img", { src: one.url, alt: one.name, loading: "lazy" }))))) : null,
    el("details", {}, el("summary", {}, "Script"), made.script.scenes.map((scene, n) =>
      el("p", {}, el("small", { className: "dim" }, `${n + 1} · ${scene.subject} · ${scene.mood} `), scene.narration))));
  if (file("captions.srt")) follow(player, captions, file("captions.srt").url);
}

/** What the language model advises; the offline provider advises nothing. */
function notes(text) {
  return text ? el("p", { className: "note", data: { test: "notes" } }, el("strong", {}, "Advice: "), text) : null;
}

function opinion(judgement) {
  return judgement ? el("p", { className: "note", data: { test: "judgement" } },
    el("strong", {}, `${judgement.judge}: ${judgement.score.toFixed(2)}. `), judgement.explanation) : null;
}

/** The hooks that were written, where one had to be written again. */
function hooks(hook) {
  const tried = hook.candidates ?? [];
  if (tried.length < 2) return null;
  return el("details", { open: true, data: { test: "hooks" } }, el("summary", {}, `Hook, the best of ${tried.length}`),
    el("ol", { className: "hooks" }, tried.map((one) => el("li", { className: one.text === hook.text ? "taken" : null },
      el("span", { className: "score" }, one.score.toFixed(2)), el("span", {}, one.text),
      one.text === hook.text ? el("small", {}, "taken") : null))),
    el("p", { className: "dim small" }, "Scores from 0 to 1 are a heuristic of our own: short, at once at its point, with a question, a number or the viewer in it."));
}

async function follow(player, list, url) {
  const lines = parse(await (await fetch(url)).text());
  const items = lines.map((line) => el("li", {}, el("button", { className: "quiet",
    onclick: () => { player.currentTime = line.start; player.play(); } }, line.text)));
  fill(list, items);
  player.addEventListener("timeupdate", () => {
    const now = lines.findIndex((line) => player.currentTime >= line.start && player.currentTime < line.end);
    items.forEach((item, place) => item.classList.toggle("now", place === now));
    // Only the list itself scrolls; the page stays where the reader is.
    if (now >= 0) list.scrollTop = items[now].offsetTop - list.offsetTop - list.clientHeight / 2;
  });
}

/** The captions of a SubRip file: [{start, end, text}], in seconds. */
export function parse(text) {
  const time = /(\d+):(\d+):(\d+)[,.](\d+)\s*-->\s*(\d+):(\d+):(\d+)[,.](\d+)/;
  return text.split(/\r?\n\r?\n/).flatMap((block) => {
    const rows = block.split(/\r?\n/);
    const place = rows.findIndex((row) => time.test(row));
    if (place < 0) return [];
    const [h1, m1, s1, t1, h2, m2, s2, t2] = rows[place].match(time).slice(1).map(Number);
    return [{ start: h1 * 3600 + m1 * 60 + s1 + t1 / 1000, end: h2 * 3600 + m2 * 60 + s2 + t2 / 1000, text: rows.slice(place + 1).join(" ") }];
  });
}
