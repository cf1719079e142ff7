// The timeline of a video: its scenes in proportion to their lengths. The one that plays is lit, and told of in full.

import { platformTitle } from "../choices.js";
import { el, fill } from "../dom.js";

const LEAST_WIDE = 20; // pixels of a scene; a strip of very many scrolls
const MOTIONS = { in: ["⊕", "zooms in"], out: ["⊖", "zooms out"], left: ["←", "moves left"], right: ["→", "moves right"], none: ["", "stands still"] };

/** The second at which each scene begins. Scenes have whole frames, 30 a second. */
export function starts(timeline) {
  let frames = 0;
  return timeline.scenes.map((scene) => {
    const at = frames / 30;
    frames += Math.max(1, Math.round(scene.seconds * 30));
    return at;
  });
}

/** How wide a strip of so many scenes has to be. */
export function leastWidth(timeline) {
  return `${timeline.scenes.length * LEAST_WIDE}px`;
}

/**
 * The strip, and the line that tells of one scene: {strip, told}. `checks` are the report's; `linkOf(uri)` is where an
 * artifact can be read.
 */
export function sceneStrip(timeline, checks, playback, linkOf) {
  const begins = starts(timeline);
  const told = el("div", { className: "told-scene", data: { test: "scene-told" } });
  const state = (number) => ["fail", "warning"].find((one) => checks.some((check) => check.scene === number && check.state === one));
  const worst = timeline.scenes.findIndex((_, place) => state(place + 1) === "fail");
  let playing = playback.canSeek ? 0 : Math.max(0, worst);
  let looked = null; // the scene that is pointed at or focused
  let shown = null;

  function tell() {
    const place = looked ?? playing;
    if (shown === place) return;
    shown = place;
    fill(told, detail(timeline, place, begins[place], linkOf));
  }

  function look(place) {
    looked = place;
    tell();
  }

  function step(event, place) {
    const to = { ArrowRight: place + 1, ArrowLeft: place - 1, Home: 0, End: buttons.length - 1 }[event.key];
    if (to === undefined || !buttons[to]) return;
    event.preventDefault();
    buttons[place].tabIndex = -1;
    buttons[to].tabIndex = 0;
    buttons[to].focus();
  }

  const buttons = timeline.scenes.map((scene, place) => el("button", {
    type: "button", tabindex: place ? -1 : 0, "aria-label": `Scene ${place + 1}: ${facts(scene, begins[place]).join(", ")}. ${words(scene)}`,
    data: { test: "scene", state: state(place + 1) },
    onclick: () => {
      playback.seek(begins[place]);
      if (playback.canSeek) look(null); // from here on what plays is told of
    },
    onmouseenter: () => look(place), onmouseleave: () => look(null),
    onfocus: () => look(place), onblur: () => look(null),
    onkeydown: (event) => step(event, place),
  },
  el("strong", {}, place + 1),
  el("span", { className: "marks", "aria-hidden": "true" }, scene.clip ? "▸" : MOTIONS[scene.motion][0], scene.effects.length ? el("em", {}, "fx") : null),
  scene.crossfade ? wedge(scene) : null));
  const strip = el("ol", { className: "scenes", "aria-label": "Scenes", data: { test: "scenes" } }, buttons.map((button, place) => {
    const item = el("li", {}, button);
    item.style.flexGrow = 100 * timeline.scenes[place].seconds; // together over 1, or they would not fill the strip
    return item;
  }));
  playback.follow((seconds) => {
    const now = Math.max(0, begins.findLastIndex((start) => start <= seconds + 0.001));
    if (now === playing && buttons[now].hasAttribute("aria-current")) return;
    buttons[playing].removeAttribute("aria-current");
    buttons[now].setAttribute("aria-current", "true");
    playing = now;
    tell();
  });
  tell();
  return { strip, told };
}

/** What is so of the whole video: its music, its captions, and how to render it anew. */
export function aboutTimeline(timeline, file) {
  const music = timeline.music;
  const bed = music
    ? `Music: ${music.file ? "a file of yours" : music.mood}, ${music.below_voice} LU below the voice${music.ducking ? ", which it gives way to" : ""}.`
    : "No music.";
  const captions = timeline.captions ? `Captions: ${timeline.caption_style}.` : "No captions.";
  return el("p", { className: "dim small", data: { test: "timeline-about" } }, `${bed} ${captions} For ${platformTitle(timeline.platform)}. `,
    file ? [el("a", { href: file.url, download: "", data: { test: "timeline-file" } }, file.name), " is what it was rendered from: edit it, and ",
      el("code", {}, "ytray render timeline.json"), " renders what you changed."] : null);
}

/** The next scene fades in under this: a wedge as long as the fade. */
function wedge(scene) {
  const made = el("span", { className: "wedge", "aria-hidden": "true" });
  made.style.inlineSize = `${100 * scene.crossfade / scene.seconds}%`;
  return made;
}

function detail(timeline, place, start, linkOf) {
  const scene = timeline.scenes[place];
  const [shows, ...others] = facts(scene, start);
  const link = linkOf(scene.clip ?? scene.picture);
  return [
    el("p", {}, el("strong", {}, `Scene ${place + 1} of ${timeline.scenes.length}`), el("span", { className: "dim" },
      " · ", link ? el("a", { href: link, target: "_blank", rel: "noopener" }, shows) : shows, others.map((fact) => ` · ${fact}`))),
    el("p", { className: "words" }, words(scene) || el("span", { className: "dim" }, "nobody speaks")),
  ];
}

function facts(scene, start) {
  return [
    scene.clip ? `clip${scene.clip_from ? ` from ${scene.clip_from} s` : ""}` : "picture",
    `${start.toFixed(1)} to ${(start + scene.seconds).toFixed(1)} s`,
    scene.clip ? null : MOTIONS[scene.motion][1],
    scene.crossfade ? `fades into the next over ${scene.crossfade} s` : null,
    scene.effects.length ? `effects: ${scene.effects.map((effect) => effect.name).join(", ")}` : null,
  ].filter(Boolean);
}

function words(scene) {
  return scene.words.map((word) => word.text).join(" ");
}
