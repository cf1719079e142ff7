// The nodes of the cluster: what each offers and runs, and taking one out of service.

import { get, post } from "../api.js";
import { arrange, el, empty, fill, hide, notice, setText, throttled } from "../dom.js";
import { count } from "../format.js";
import { listenFrom } from "../live.js";
import { jobLink, when } from "./parts.js";

const SHOWN = 12; // jobs of a node
const LOOK_EVERY = 5000; // milliseconds
const MINUTES = [1, 5, 15, 60]; // that a drain may take

export async function show(main, { system }) {
  document.title = "Nodes · ytray";
  if (system.user_id) {
    fill(main, empty("Not for this key", "The nodes tell of all users' jobs: sign in with a key that is not bound to one user."));
    return null;
  }
  const may = system.scopes.includes("admin");
  const summary = el("p", { className: "dim", data: { test: "nodes-summary" } });
  const lacks = el("div", { className: "lacks" });
  const list = el("div", { className: "nodes" });
  const cards = new Map();

  async function refresh() {
    const [{ nodes }, { queues }] = await Promise.all([get("/api/nodes"), get("/api/queues")]);
    const now = new Map(nodes.map((node) => [node.node_id, cards.get(node.node_id) ?? new Card(node, may, refresh)]));
    cards.clear();
    for (const [id, card] of now) cards.set(id, card);
    for (const node of nodes) cards.get(node.node_id).update(node);
    arrange(list, [...cards.values()].map((card) => card.node));
    const running = nodes.reduce((sum, node) => sum + node.jobs.length, 0);
    const up = nodes.filter((node) => node.state === "up").length;
    setText(summary, `${count(up)} ${up === 1 ? "node takes" : "nodes take"} work, ${count(running)} ${running === 1 ? "job runs" : "jobs run"}.`);
    fill(lacks, queues.filter((queue) => queue.slots === 0 && queue.depth).map((queue) => lack(queue)));
  }

  fill(main, el("div", { className: "stack" }, el("h1", {}, "Nodes"), summary, lacks), list);
  const soon = throttled(() => refresh().catch(() => {}), 2000);
  const deaf = await listenFrom(refresh, (kind) => {
    if (kind === "transition" || kind === "reset") soon();
  });
  const timer = setInterval(soon, LOOK_EVERY);
  return () => {
    deaf();
    clearInterval(timer);
  };
}

/** That jobs of a queue wait and no node offers it a slot, with a way to the nodes where that is another page. */
export function lack({ name, depth }, leads = false) {
  return el("p", { className: "wrong", data: { test: `lack-${name}` } },
    `${count(depth)} ${depth === 1 ? "job waits" : "jobs wait"} in ${name}, and no node offers queue_${name}: `,
    `${depth === 1 ? "it starts" : "they start"} when one joins.`,
    leads ? [" ", el("a", { href: "#/nodes" }, "Nodes")] : null);
}

/** One node. What stays the same is not drawn again, so that the focus stays where it is. */
class Card {
  constructor({ node_id: id, host, name }, may, changed) {
    this.id = id;
    this.links = new Map();
    this.drawn = "";
    this.state = el("span", { className: "state", data: { test: "node-state" } });
    this.facts = el("div", { className: "slots" });
    this.drain = el("div", { className: "draining", hidden: true, data: { test: "node-drain" } });
    this.left = el("strong", { data: { test: "node-left" } });
    this.jobs = el("ul", { className: "jobs-there", data: { test: "node-jobs" } });
    this.more = el("p", { className: "dim small" });
    this.button = el("button", { data: { test: "drain" }, onclick: () => this.ask(changed) }, "Drain…");
    this.may = may;
    this.title = name || host;
    this.node = el("article", { className: "card node-card", tabindex: 0, "aria-label": `node ${this.title}`,
      data: { row: "", test: "node", id } },
      el("header", {}, el("h2", {}, this.title), this.state),
      el("p", { className: "where" }, el("code", { title: id }, id.slice(0, 12)), " ", host === name ? "" : host),
      this.facts, this.drain,
      el("div", {}, this.left, this.jobs, this.more), this.button);
  }

  update(node) {
    const { draining_since: since, drain_deadline: deadline, drain_reason: reason } = node;
    const known = JSON.stringify({ ...node, jobs: null });
    if (known !== this.drawn) {
      this.drawn = known;
      this.state.dataset.state = node.state;
      setText(this.state, node.is_head ? `${node.state}, head` : node.state);
      fill(this.facts, Object.entries(node.slots).filter(([queue, slots]) => slots || node.busy[queue])
        .map(([queue, slots]) => lane(queue, node.busy[queue], slots)),
        node.gpus ? el("p", { className: "cards" }, el("span", {}, node.gpus === 1 ? "card" : "cards"), el("strong", {}, node.gpus)) : null);
      if (!this.facts.children.length) fill(this.facts, el("p", { className: "dim" }, "offers no queue a slot"));
      fill(this.drain, el("p", {}, since ? ["The drain began ", when(since)] : "It is drained",
        deadline && node.state === "draining" ? ["; what still runs is interrupted ", when(deadline)] : null, reason ? `: ${reason}` : null),
        node.warnings.map((warning) => el("p", { className: "warn" }, warning)));
      this.drain.hidden = node.state === "up";
      hide(this.button, !this.may || node.is_head || node.state === "gone", this.node);
      setText(this.button, node.state === "draining" ? "Other deadline…" : "Drain…");
    }
    setText(this.left, node.jobs.length ? `${count(node.jobs.length)} ${node.jobs.length === 1 ? "job runs" : "jobs run"} here` : "No job runs here");
    const shown = node.jobs.slice(0, SHOWN);
    this.links = new Map(shown.map((id) => [id, this.links.get(id) ?? el("li", {}, jobLink(id))]));
    arrange(this.jobs, [...this.links.values()]);
    setText(this.more, node.jobs.length > SHOWN ? `and ${count(node.jobs.length - SHOWN)} more` : "");
  }

  /** Ask by when and why, and drain it. */
  async ask(changed) {
    const given = await asked(this.title);
    if (!given) return;
    const node = await post(`/api/nodes/${this.id}/drain`, given);
    notice(`${this.title} takes nothing new; ${node.jobs.length ? `what runs there has ${count(given.deadline_seconds / 60)} min to end` : "no job runs there"}`);
    await changed();
  }
}

function lane(queue, busy, slots) {
  const meter = el("span", { className: "meter", "aria-hidden": true }, el("span"));
  meter.firstChild.style.inlineSize = `${100 * Math.min(1, slots ? busy / slots : 1)}%`;
  return el("p", { className: "lane-of-slots", data: { queue } }, el("span", {}, queue),
    el("strong", {}, `${count(busy)} of ${count(slots)} busy`), meter);
}

/** Asks by when a node must be empty, and why; resolves to what the API takes, or to null when it is to be kept. */
function asked(title) {
  const dialog = document.getElementById("dialog");
  const minutes = el("select", { id: "drain-minutes", data: { test: "drain-minutes" } },
    MINUTES.map((number) => el("option", { value: number, selected: number === 5 }, number === 60 ? "1 hour" : `${number} min`)),
    el("option", { value: 0 }, "none: at once"));
  const reason = el("input", { id: "drain-reason", maxlength: 500, placeholder: "maintenance", data: { test: "drain-reason" } });
  return new Promise((resolve) => {
    const close = (answer) => {
      dialog.close();
      resolve(answer);
    };
    fill(dialog, el("form", { className: "asked",
      onsubmit: (event) => {
        event.preventDefault();
        close({ deadline_seconds: 60 * Number(minutes.value), reason: reason.value.trim() });
      } },
      el("h2", {}, `Drain ${title}?`),
      el("p", {}, "It takes nothing new. What runs there may end within this time; then it is interrupted and goes on elsewhere, from its checkpoint. There is no way back: the node ends, and joins anew when Ray is started on it again."),
      el("label", { for: "drain-minutes" }, "Time to end"), minutes,
      el("label", { for: "drain-reason" }, "Reason"), reason,
      el("div", { className: "actions" },
        el("button", { className: "danger", data: { test: "confirm" } }, "Drain"),
        el("button", { type: "button", autofocus: true, onclick: () => close(null) }, "Keep"))));
    dialog.addEventListener("cancel", () => resolve(null), { once: true });
    dialog.showModal();
  });
}
