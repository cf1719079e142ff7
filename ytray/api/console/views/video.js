// A finished video: played, with its captions beside it, what was measured of it, its scenes and its formats.

import { get, job as at } from "../api.js";
import { el, fill } from "../dom.js";
import { curve, columns } from "../draw.js";
import { formats } from "./formats.js";
import { Playback } from "./playback.js";
import { plots } from "./plots.js";
import { reportOf } from "./report.js";
import { aboutTimeline, leastWidth, sceneStrip, starts } from "./scenes.js";

const PACE = [150, 190]; // words a minute
const LEAD = 20; // pixels that stay in view before the second that plays

/** Whether a job's page has a video to show, or the report of one that did not pass. */
export function hasVideo(status, artifacts) {
  return composed(status, artifacts) !== undefined;
}

/**
 * Show the video that a job made in `place`: of `create_video` with its script, of `render_timeline` and composition
 * without; of a job that failed the report alone, if it came so far. Returns how to stop what goes on there.
 */
export async function video(place, status, artifacts, may) {
  const { job_id: composer } = composed(status, artifacts);
  const file = (name) => artifacts.find((one) => one.job_id === composer && one.name === name);
  const read = (name) => file(name) ? get(file(name).url).catch(() => null) : null;
  const [report, timeline, kept] = await Promise.all([read("report.json"), read("timeline.json"), keptBefore(composer)]);
  const made = status.result?.script ? status.result : null;
  const result = status.result?.video ?? status.result;
  const parts = Object.fromEntries(["film", "overtime", "report", "formats"].map((name) => [name, el("section", { className: name })]));
  const player = file("video.mp4") ? el("video", { controls: true, playsinline: true, preload: "metadata", src: file("video.mp4").url,
    poster: posterOf(made, artifacts)?.url, data: { test: "video" } }) : null;
  const playback = new Playback(player);
  const begins = timeline ? starts(timeline) : report?.curves.scene_starts ?? [];
  if (player) {
    const size = result ?? { ...report?.figures.streams, seconds: report?.figures.streams.picture_seconds };
    const captions = el("ol", { className: "captions", "aria-label": "Captions", data: { test: "captions" } });
    fill(parts.film,
      el("div", { className: size.height > size.width ? "film portrait" : "film" }, player,
        el("div", { className: "beside" },
          el("h2", {}, made?.script.title ?? "Video"),
          el("p", { className: "dim" }, `${size.seconds?.toFixed(1)} s, ${size.width}×${size.height}. ${made?.script.note ?? ""}`),
          result ? makers(result, kept) : null,
          captions)),
      made ? ofScript(made, playback, begins) : ofReport(report, playback, begins));
    if (file("captions.srt")) follow(player, captions, file("captions.srt").url);
  }
  if (report || timeline) overTime(parts.overtime, { report, timeline, file: file("timeline.json"), playback });
  if (report) fill(parts.report, reportOf(report, file("report.html"), playback, begins));
  // What is wrong comes first where there is nothing to play.
  fill(place, player ? [parts.film, parts.overtime, parts.report, parts.formats] : [parts.report, parts.overtime]);
  if (!result) return () => {};
  const exports = (made?.exports ?? []).flatMap((one) => {
    const found = artifacts.find((other) => isAt(other, one.uri));
    return found ? [{ ...one, file: found }] : [];
  });
  const ready = [{ file: file("video.mp4"), format: "mp4", note: "as composed" }, ...exports];
  return formats(parts.formats, { ready, video: result.uri, job: status, may });
}

/** The file by which its maker, the composing job, is known. */
function composed(status, artifacts) {
  if (status.current_state === "FAILED") return artifacts.find((file) => file.name === "report.json");
  const made = status.result?.video ?? status.result;
  return made?.timeline ? artifacts.find((file) => isAt(file, made.uri)) : undefined;
}

function isAt(file, uri) {
  const { job, name } = placeOf(uri);
  return job === file.job_id && name === file.name;
}

/** Whose an artifact is and its name, by its URI: `…/job/fence/name`, or `…/owner/name` where its content names it. */
function placeOf(uri) {
  const [above, folder, name] = ["", "", ...String(uri).split("/")].slice(-3);
  return { job: above && /^[0-9]{1,12}$/.test(folder) ? above : folder, name };
}

/** Where an artifact, by its URI, can be read. */
function linkOf(uri) {
  const { job, name } = placeOf(uri);
  return job && name ? `/api/jobs/${encodeURIComponent(job)}/artifacts/${encodeURIComponent(name)}` : null;
}

function posterOf(made, artifacts) {
  if (!made) return undefined;
  const { landscape, portrait } = made.thumbnails;
  const wanted = made.video.height > made.video.width ? portrait : landscape;
  return artifacts.find((file) => isAt(file, wanted));
}

function makers({ renderer, encoder, parts, parts_kept }, kept) {
  return el("p", { className: "dim small", data: { test: "makers" } },
    `Rendered by ${renderer}, encoded by ${encoder}; ${kept ?? parts_kept} of ${parts} parts were kept from before.`);
}

/** How many parts a flow's steps found rendered; null without such steps. For the step that composes all are there. */
async function keptBefore(composer) {
  const flow = composer.slice(0, Math.max(0, composer.lastIndexOf(".")));
  const { jobs } = flow ? await get(at(flow, "children")).catch(() => ({ jobs: [] })) : { jobs: [] };
  const parts = jobs.filter((step) => step.task_name === "render_scene" && step.result);
  return parts.length ? parts.filter((step) => step.result.was_kept).length : null;
}

/** The scenes and the plots over one axis of time. */
function overTime(place, { report, timeline, file, playback }) {
  const scenes = timeline ? sceneStrip(timeline, report?.checks ?? [], playback, linkOf) : null;
  const deck = el("div", { className: playback.canSeek ? "deck plays" : "deck" }, scenes?.strip, report ? plots(report, playback) : null);
  if (timeline) deck.style.minInlineSize = leastWidth(timeline);
  const seconds = report?.curves.seconds ?? timeline.scenes.reduce((sum, scene) => sum + scene.seconds, 0);
  const seen = el("div", { className: "sideways" }, deck);
  fill(place, el("h2", {}, timeline ? "Scenes" : "Over time"), scenes?.told, seen,
    timeline ? aboutTimeline(timeline, file) : null);
  playback.follow((second) => {
    const share = Math.min(1, second / seconds);
    deck.style.setProperty("--at", `${100 * share}%`);
    const at = share * deck.clientWidth; // of very many scenes not all fit beside each other
    if (at < seen.scrollLeft || at > seen.scrollLeft + seen.clientWidth) seen.scrollLeft = at - LEAD;
  });
}

/** What was measured of a video that has no script: of its report. */
function ofReport(report, playback, begins) {
  const { arc, pacing } = report?.curves ?? {};
  if (!arc && !pacing) return null;
  return el("div", { className: "plots" },
    arc ? el("figure", { data: { test: "arc" } }, curve(arc), el("figcaption", {}, el("strong", {}, "Emotional arc"), " Valence sentence by sentence.")) : null,
    pacing ? el("figure", { data: { test: "pacing" } }, columns(pacing, PACE, (scene) => playback.seek(begins[scene])),
      el("figcaption", {}, el("strong", {}, `Pacing: ${Math.round(report.figures.words_per_minute ?? 0)} words a minute`), " by scene, against 150 to 190.")) : null);
}

function ofScript(made, playback, begins) {
  const arc = made.emotional_arc;
  const pacing = made.pacing;
  return [
    el("div", { className: "plots" },
      el("figure", { data: { test: "arc" } }, curve(arc.valence),
        el("figcaption", {}, el("strong", {}, `Emotional arc: ${arc.shape}`), ` Valence sentence by sentence; fit ${arc.fit.toFixed(2)}. A heuristic on so short a text.`),
        notes(arc.notes)),
      el("figure", { data: { test: "pacing" } }, columns(pacing.by_scene, PACE, (scene) => playback.seek(begins[scene])),
        el("figcaption", {}, el("strong", {}, `Pacing: ${Math.round(pacing.words_per_minute)} words a minute`),
          ` by scene, against 150 to 190; ${pacing.cuts_per_minute.toFixed(0)} cuts a minute.`),
        notes(pacing.notes)),
      el("figure", {}, el("p", { className: "big" }, made.coherence.score.toFixed(2)),
        el("figcaption", {}, el("strong", {}, "Coherence"), ` of 0 to 1, by ${made.coherence.method}.`),
        opinion(made.coherence.judgement))),
    hooks(made.hook),
    thumbnails(made.thumbnails),
    el("details", {}, el("summary", {}, "Script"), made.script.scenes.map((scene, n) =>
      el("p", {}, el("small", { className: "dim" }, `${n + 1} · ${scene.subject} · ${scene.mood} `), scene.narration))),
  ];
}

function thumbnails({ landscape, portrait }) {
  return el("details", {}, el("summary", {}, "Thumbnails"),
    el("div", { className: "thumbnails" }, [["landscape", landscape], ["portrait", portrait]].map(([name, uri]) =>
      el("a", { href: linkOf(uri), target: "_blank", rel: "noopener" }, el("img", { src: linkOf(uri), alt: `${name} thumbnail`, loading: "lazy" })))));
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
