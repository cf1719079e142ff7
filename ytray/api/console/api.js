// Calls to the API. Every error is a problem (RFC 9457): its detail and hint are written for people.

const JSON_TYPE = "application/json";
// A proxy's answer, while nobody is behind it.
const AWAY = { detail: "it is starting, or is being started again", hint: "this takes some seconds; `ytray doctor` tells more" };

export class Problem extends Error {
  constructor(status, problem) {
    super(problem.detail || problem.title || `the server answered ${status}`);
    this.status = status;
    this.hint = problem.hint;
    this.errors = problem.errors || [];
    this.count = problem.count;
  }
}

async function call(method, path, body, type = JSON_TYPE) {
  let answer;
  try {
    answer = await fetch(path, {
      method,
      credentials: "same-origin",
      headers: body === undefined ? {} : { "Content-Type": type },
      body: body !== undefined && type === JSON_TYPE ? JSON.stringify(body) : body,
    });
  } catch {
    throw new Problem(0, { detail: "the API cannot be reached", hint: "is `ytray up` still running?" });
  }
  if (!answer.ok) {
    const problem = await answer.json().catch(() => null);
    if (!problem && (answer.status === 404 || answer.status >= 500)) throw new Problem(503, AWAY);
    if (answer.status === 401 && path !== "/api/session") window.dispatchEvent(new Event("signed-out"));
    throw new Problem(answer.status, problem || {});
  }
  if (answer.status === 204) return null;
  const kind = answer.headers.get("content-type") || "";
  return kind.includes("json") ? answer.json() : answer.text();
}

export const get = (path) => call("GET", path);
export const post = (path, body = {}) => call("POST", path, body);
export const upload = (path, file, type) => call("POST", path, file, type);
export const put = (path, body) => call("PUT", path, body);
export const remove = (path) => call("DELETE", path);

/** The path of a job's resource. */
export const job = (id, what) => `/api/jobs/${encodeURIComponent(id)}/${what}`;

/** The path of a batch, or of a resource of it. */
export const batch = (id, what = "") => `/api/batches/${encodeURIComponent(id)}${what && `/${what}`}`;
