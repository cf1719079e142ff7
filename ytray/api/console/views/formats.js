// The formats that a video was written in, and a form to have it in another.

import { get, job as at, post } from "../api.js";
import { CODECS, PLATFORMS, platformTitle } from "../choices.js";
import { el, fill, setText } from "../dom.js";
import { bytes } from "../format.js";
import { listen } from "../live.js";
import { ENDED, bar, jobLink, stateChip, waiting, waits } from "./parts.js";

const LOOKED_AT = 200; // of the newest exports, among which this video's are looked for

/**
 * Fill `place` with a video's formats. `ready` are [{file, format, codec, platform}]; `video` is the artifact's URI,
 * `job` the status of the job whose page it is. Returns how to stop following the exports that are being made.
 */
export function formats(place, { ready, video, job, may }) {
  const list = el("ul", { className: "exports", data: { test: "exports" } }, ready.map(({ file, ...kind }) => el("li", { data: { test: "export" } }, done(kind, file))));
  const rows = new Map();
  fill(place, el("h2", {}, "Formats"), list, may ? form(order) : null);

  async function order(kind) {
    const { job_id: id } = await post("/api/jobs", {
      task: "export_video", args: { video, ...kind }, metadata: { ...kind, video_job: job.job_id }, user_id: job.user_id,
    });
    await follow(id);
  }

  /** Show the export of a job, from before its state is read: what happens meanwhile is heard. */
  async function follow(id) {
    const row = { node: el("li", { data: { test: "export" } }), looks: 0 };
    rows.set(id, row);
    list.append(row.node);
    await refresh(id);
  }

  async function refresh(id) {
    const row = rows.get(id);
    const look = ++row.looks;
    const status = await get(at(id, "status"));
    const isDone = status.current_state === "COMPLETED";
    const { artifacts } = isDone ? await get(at(id, "artifacts")) : { artifacts: [] };
    if (look !== row.looks) return; // a later look was faster
    const { format, codec, platform } = status.metadata;
    const kind = { format, codec, platform };
    if (isDone) fill(row.node, artifacts.length ? done(kind, artifacts[0]) : gone(kind));
    else fill(row.node, underway(kind, status));
  }

  // Those that were asked for on this page before are found again by what was noted with them.
  get(`/api/jobs?task_name=export_video&limit=${LOOKED_AT}`)
    .then(({ jobs }) => Promise.all(jobs.filter((one) => one.metadata.video_job === job.job_id).reverse().map((one) => follow(one.job_id))))
    .catch(() => {});
  return listen((kind, data) => {
    if (kind === "reset") for (const id of rows.keys()) refresh(id).catch(() => {});
    if (!rows.has(data.job_id)) return;
    if (kind === "transition") refresh(data.job_id).catch(() => {});
    const { node } = rows.get(data.job_id);
    const shown = node.querySelector("progress");
    if (kind !== "progress" || !shown) return;
    shown.value = data.progress;
    setText(node.querySelector(".told"), data.progress_message);
  });
}

function form(order) {
  const select = (name, label, choices) => el("label", {}, label, el("select", { name, data: { test: `export-${name}` } },
    choices.map(([value, text]) => el("option", { value }, text))));
  const codec = select("codec", "Codec", []);
  const trouble = el("p", { className: "wrong", role: "alert" });
  const send = el("button", { data: { test: "export-make" } }, "Make");
  const made = el("form", { className: "another", "aria-label": "Make another format", onchange: fit, onsubmit: submit },
    el("strong", {}, "Make another"),
    select("format", "Format", Object.keys(CODECS).map((name) => [name, name])), codec,
    select("platform", "For", [["", "no platform"], ...PLATFORMS]), send, trouble);

  /** Offer only what goes together: platforms are given MP4 with H.264. */
  function fit(event) {
    const { format, codec: chosen, platform } = made.elements;
    if (platform.value) format.value = "mp4";
    format.disabled = Boolean(platform.value);
    if (!event || event.target.name !== "codec") {
      fill(chosen, CODECS[format.value].map((name, place) => el("option", { value: place ? name : "" }, name)));
    }
    chosen.disabled = Boolean(platform.value);
    codec.hidden = !CODECS[format.value].length;
  }

  async function submit(event) {
    event.preventDefault();
    const { format, codec: chosen, platform } = made.elements;
    const kind = { format: format.value };
    if (chosen.value) kind.codec = chosen.value;
    if (platform.value) kind.platform = platform.value;
    send.disabled = true;
    setText(trouble, "");
    await order(kind).catch((problem) => setText(trouble, problem.message));
    send.disabled = false;
  }

  fit();
  return made;
}

function name({ format, codec, platform, note }) {
  const usual = CODECS[format]?.[0];
  const kinds = [codec ?? usual, platform ? `for ${platformTitle(platform)}` : null, note].filter(Boolean);
  return el("span", { className: "name" }, el("strong", {}, format), el("span", { className: "dim" }, kinds.map((kind) => ` · ${kind}`)));
}

function done(kind, file) {
  return [name(kind), el("span", { className: "dim" }, bytes(file.size_bytes)),
    el("a", { href: file.url, download: "", "aria-label": `Download ${file.name}`, data: { test: "export-file" } }, "Download")];
}

function gone(kind) {
  return [name(kind), el("span", { className: "dim" }, "its file was removed"), null];
}

function underway(kind, status) {
  return [name(kind),
    el("span", { className: "progress" }, ENDED.has(status.current_state) ? stateChip(status.current_state) : [
      bar(status.progress, status.current_state), el("small", { className: "told" }, status.progress_message)]),
    jobLink(status.job_id, "Job"),
    status.current_state === "RETRYING" ? waits(waiting([status]))
      : status.error && status.current_state !== "COMPLETED" ? el("p", { className: "wrong error" }, status.error) : null];
}
