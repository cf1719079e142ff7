// What happens, as it happens. The browser reconnects by itself and resumes after the last event it has seen.

const listeners = new Set();
let source = null;

/** Call `listener(kind, data)` for each event: a transition, progress, batch or reset; returns how to stop it. */
export function listen(listener) {
  listeners.add(listener);
  return () => listeners.delete(listener);
}

/** Listen from before `first` has read what is shown, so that nothing falls between the look and the listening. */
export async function listenFrom(first, listener) {
  const deaf = listen(listener);
  try {
    await first();
  } catch (problem) {
    deaf();
    throw problem;
  }
  return deaf;
}

/** Connect, and show in `indicator` whether what the page shows is live. */
export function connect(indicator) {
  source?.close();
  const stream = new EventSource("/api/events");
  source = stream;
  const show = (state, text) => {
    indicator.dataset.state = state;
    indicator.textContent = text;
  };
  let lost = false;
  stream.onopen = () => {
    show("live", "live");
    // What happened meanwhile comes by itself; only a first look that failed has to be made again.
    if (lost) tell("reset", {});
    lost = false;
  };
  stream.onerror = () => {
    lost = true;
    show("waiting", "reconnecting");
    // A browser gives up after an answer that is no stream, such as a 503 of a starting replica.
    if (stream.readyState === EventSource.CLOSED && stream === source) setTimeout(() => connect(indicator), 2000);
  };
  for (const kind of ["transition", "progress", "batch", "reset"]) {
    stream.addEventListener(kind, (event) => tell(kind, JSON.parse(event.data)));
  }
}

export function disconnect() {
  source?.close();
  source = null;
}

function tell(kind, data) {
  for (const listener of listeners) listener(kind, data);
}
