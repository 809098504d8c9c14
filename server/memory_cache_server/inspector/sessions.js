// The list of sessions: by activity, in pages; narrowed by typing; found by id.

import { get } from "./api.js";
import { byId, el, nameOf } from "./dom.js";

const LIMIT = 50;

let offset = 0;
let found = false; // what is listed was asked for by id
let asking = new AbortController();
let current = "";

/** The address of a session within this page. */
export function hashOf({ session_id, namespace, user_id }) {
  const parts = new URLSearchParams({ session_id });
  if (namespace) parts.set("namespace", namespace);
  if (user_id) parts.set("user_id", user_id);
  return `#${parts}`;
}

/** Start: list the most recent sessions, and obey the form. */
export function start() {
  byId("search").addEventListener("submit", (event) => {
    event.preventDefault();
    offset = 0;
    load(byId("query").value);
  });
  byId("search").addEventListener("change", (event) => {
    if (event.target !== byId("query")) reload();
  });
  byId("query").addEventListener("input", narrow);
  byId("sessions").addEventListener("click", (event) => {
    // Of the session that is open already the address does not change.
    if (event.target.closest("a")) document.body.dataset.view = "session";
  });
  byId("list-back").addEventListener("click", () => turn(-LIMIT));
  byId("list-on").addEventListener("click", () => turn(LIMIT));
  return load();
}

/** Mark the session that is open. */
export function mark(hash) {
  current = hash;
  for (const link of links()) {
    if (link.getAttribute("href") === current) link.setAttribute("aria-current", "page");
    else link.removeAttribute("aria-current");
  }
}

/** Move the focus through the list: by so many, from where it is or from the open session. */
export function move(by) {
  const shown = links().filter((link) => !link.parentElement.hidden);
  if (shown.length === 0) return;
  let at = shown.indexOf(document.activeElement);
  if (at < 0) {
    at = shown.findIndex((link) => link.hasAttribute("aria-current"));
    by = at < 0 ? 0 : by;
  }
  shown[Math.min(Math.max(at + by, 0), shown.length - 1)].focus();
}

const links = () => [...byId("sessions").querySelectorAll("a")];

function turn(by) {
  offset = Math.max(0, offset + by);
  load();
}

/** List anew, from the most recent on. */
export function reload() {
  offset = 0;
  return load();
}

async function load(wanted = "") {
  asking.abort();
  asking = new AbortController();
  const query = {
    session_id: wanted,
    namespace: byId("namespace").value,
    user_id: byId("user").value,
    limit: LIMIT,
    offset,
  };
  try {
    show(await get("sessions", query, asking.signal), wanted);
  } catch (error) {
    if (error.name !== "AbortError") byId("list-status").textContent = error.message;
  }
}

function show({ sessions, total }, wanted) {
  byId("sessions").replaceChildren(...sessions.map(itemOf));
  found = wanted !== "";
  byId("list-back").disabled = found || offset === 0;
  byId("list-on").disabled = found || offset + sessions.length >= total;
  const end = offset + sessions.length;
  const count = total > sessions.length ? `The first ${sessions.length}` : total;
  byId("list-status").textContent = found
    ? `${count} with exactly this id`
    : total === 0 ? "No sessions" : `${offset + 1}–${end} of ${total}, most recent first`;
  mark(current);
  if (!found) hideOthers();
}

function itemOf(session) {
  const scope = [session.namespace, session.user_id];
  const about = scope.some(Boolean)
    ? el("span", { class: "scope" }, nameOf(scope[0] || "–"), " / ", nameOf(scope[1] || "–"))
    : null;
  const link = el("a", { href: hashOf(session) }, nameOf(session.session_id), about);
  return el("li", {}, link);
}

async function narrow() {
  if (found) await reload();
  hideOthers();
}

function hideOthers() {
  const text = byId("query").value.toLowerCase();
  for (const link of links()) {
    link.parentElement.hidden = !link.textContent.toLowerCase().includes(text);
  }
}
