// What webhooks of one's batches are signed with: shown when it is asked for, and made anew.

import { get, post } from "../api.js";
import { confirmed, el, fill, notice } from "../dom.js";
import { moment } from "../format.js";

export function webhookSecret() {
  const shown = el("p", { className: "wraps" });

  function tell(found) {
    fill(shown, el("code", { data: { test: "webhook-secret" } }, found.secret),
      found.previous_until ? ` The one before signs, too, until ${moment(found.previous_until)}.` : null);
    rotate.hidden = false;
  }

  async function ask(asked) {
    try {
      tell(await asked());
    } catch (problem) {
      notice(problem.message, "bad");
    }
  }

  async function renew() {
    if (await confirmed("Make a new secret? For a day webhooks are signed with the old one, too.", "Make a new one")) {
      await ask(() => post("/api/webhooks/secret/rotate"));
    }
  }

  const show = el("button", { type: "button", onclick: () => ask(() => get("/api/webhooks/secret")), data: { test: "show-webhook-secret" } }, "Show the secret");
  const rotate = el("button", { type: "button", hidden: true, onclick: renew, data: { test: "rotate-webhook-secret" } }, "Make a new one");
  return el("details", { className: "card", data: { test: "webhooks" } },
    el("summary", {}, "Webhooks"),
    el("p", {}, "Webhooks of your batches (on_complete, on_failure) are signed with your secret, in the format of Standard Webhooks."),
    shown, el("div", { className: "actions" }, show, rotate));
}
