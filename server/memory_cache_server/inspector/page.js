// The page: its address says which session is open; keys and buttons do the same things.

import { byId, nameOf } from "./dom.js";
import * as sessions from "./sessions.js";
import * as transcript from "./transcript.js";
import * as worker from "./worker.js";

const buttons = {
  oldest: transcript.oldest,
  older: transcript.older,
  newer: transcript.newer,
  newest: transcript.newest,
  tail: transcript.toggleTail,
};

const keys = {
  "/": () => showList(() => byId("query").focus()),
  j: () => showList(() => sessions.move(1)),
  k: () => showList(() => sessions.move(-1)),
  "[": transcript.older,
  "]": transcript.newer,
  t: transcript.toggleTail,
  r: sessions.reload,
};

function nameIn(hash) {
  const parts = new URLSearchParams(hash.slice(1));
  if (!parts.get("session_id")) return null;
  const part = (which) => parts.get(which) ?? "";
  return {
    session_id: part("session_id"), namespace: part("namespace"), user_id: part("user_id"),
  };
}

async function route() {
  const name = nameIn(location.hash);
  document.body.dataset.view = name ? "session" : "list";
  byId("opened").hidden = name === null;
  byId("nothing").hidden = name !== null;
  sessions.mark(name ? sessions.hashOf(name) : "");
  if (name) title(name);
  else document.title = "memory-cache inspector";
  if (name) byId("transcript").focus({ preventScroll: true });
  await transcript.open(name);
  await worker.about(name);
}

function title({ session_id, namespace, user_id }) {
  document.title = `${session_id} – memory-cache`;
  const scope = namespace || user_id ? [" ", nameOf(namespace || "–"), " / ", nameOf(user_id || "–")] : [];
  const small = document.createElement("small");
  small.append(...scope);
  byId("name").replaceChildren(nameOf(session_id), small);
}

/** Do something in the list; a narrow screen shows either it or a session. */
function showList(then) {
  document.body.dataset.view = "list";
  then();
}

function leave() {
  const typing = document.activeElement === byId("query");
  if (typing && byId("query").value !== "") {
    byId("query").value = "";
    byId("query").dispatchEvent(new Event("input"));
  } else if (typing) byId("query").blur();
  else showList(() => sessions.move(0));
}

function onKey(event) {
  if (event.ctrlKey || event.metaKey || event.altKey) return;
  if (event.key === "Escape") {
    leave();
    return;
  }
  const typing = event.target.matches("input, textarea, select");
  if (typing || !(event.key in keys)) return;
  event.preventDefault();
  keys[event.key]();
}

for (const [id, work] of Object.entries(buttons)) byId(id).addEventListener("click", () => work());
byId("go").addEventListener("submit", (event) => {
  event.preventDefault();
  const seq = byId("seq").valueAsNumber;
  if (Number.isSafeInteger(seq)) transcript.from(seq);
});
document.addEventListener("keydown", onKey);
addEventListener("hashchange", route);
worker.start();
sessions.start();
route();
