// Building and changing the page. Text always goes in as text, so that nothing a user wrote is read as markup.

/**
 * An element: el("a", {href: "#/"}, "Overview"). `on…` properties are listeners, `data` an object of data attributes;
 * "svg:a" is a link inside a drawing.
 */
export function el(tag, properties = {}, ...children) {
  const svg = tag.startsWith("svg:") ? tag.slice(4) : SVG_TAGS.has(tag) && tag;
  const made = svg ? document.createElementNS("http://www.w3.org/2000/svg", svg) : document.createElement(tag);
  for (const [name, value] of Object.entries(properties ?? {})) {
    if (value === undefined || value === null || value === false) continue;
    if (name.startsWith("on")) made.addEventListener(name.slice(2), value);
    else if (name === "data") Object.assign(made.dataset, value);
    else if (name === "value") made.value = value;
    else made.setAttribute(name === "className" ? "class" : name, value === true ? "" : value);
  }
  made.append(...present(children));
  return made;
}

const SVG_TAGS = new Set(["svg", "g", "path", "rect", "circle", "line", "text", "polyline", "title", "clipPath", "defs"]);

/** Replace what a node holds. */
export function fill(node, ...children) {
  node.replaceChildren(...present(children));
  return node;
}

function present(children) {
  return children.flat(Infinity).filter((child) => child !== null && child !== undefined && child !== false);
}

/** Change text only where it differs: an unchanged page is not laid out again. */
export function setText(node, text) {
  if (node.textContent !== text) node.textContent = text;
}

/** Make these nodes, in this order, all that a parent holds. Nodes that stay are not touched, and the focus stays. */
export function arrange(parent, nodes) {
  const held = document.activeElement;
  const wanted = new Set(nodes);
  for (const child of [...parent.children]) if (!wanted.has(child)) child.remove();
  nodes.forEach((node, place) => {
    if (parent.children[place] !== node) parent.insertBefore(node, parent.children[place] ?? null);
  });
  if (document.activeElement !== held && parent.contains(held)) held.focus({ preventScroll: true });
}

/** Show a node or hide it. The focus, should it be on what is hidden, goes on to the first of others that is shown. */
export function hide(node, isHidden, ...others) {
  const isLost = isHidden && document.activeElement === node;
  node.hidden = isHidden;
  if (isLost) others.find((other) => !other.hidden)?.focus();
}

/** Calls `work` at most once in so many milliseconds, and always after the last call. */
export function throttled(work, milliseconds) {
  let timer = null;
  let again = false;
  return function run() {
    if (timer !== null) {
      again = true;
      return;
    }
    work();
    timer = setTimeout(() => {
      timer = null;
      if (again) {
        again = false;
        run();
      }
    }, milliseconds);
  };
}

/** Calls `work` once nothing has asked for it for so many milliseconds. */
export function debounced(work, milliseconds) {
  let timer = null;
  return () => {
    clearTimeout(timer);
    timer = setTimeout(work, milliseconds);
  };
}

/** Tell the user something, for a while. */
export function notice(text, kind = "good") {
  const line = el("p", { className: `notice ${kind}` }, text);
  document.getElementById("notices").append(line);
  setTimeout(() => line.remove(), kind === "bad" ? 9000 : 4000);
}

/** Ask before something that cannot be undone; resolves to whether the user agreed. */
export function confirmed(question, action, otherwise = "Keep") {
  const dialog = document.getElementById("dialog");
  return new Promise((resolve) => {
    const answer = (yes) => () => {
      dialog.close();
      resolve(yes);
    };
    fill(
      dialog,
      el("p", {}, question),
      el("div", { className: "actions" },
        el("button", { className: "danger", onclick: answer(true), data: { test: "confirm" } }, action),
        el("button", { onclick: answer(false), autofocus: true }, otherwise)),
    );
    dialog.addEventListener("cancel", () => resolve(false), { once: true });
    dialog.showModal();
  });
}

/** A message in place of content: what is so, and what to do. */
export function empty(title, ...what) {
  return el("div", { className: "empty" }, el("h2", {}, title), el("p", {}, ...what));
}
