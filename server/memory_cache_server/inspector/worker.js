// The state of the worker that answers: its near cache, and whether the open session is in it.

import { get } from "./api.js";
import { byId, describe, el } from "./dom.js";

const EVERY_MS = 2000;
const SOON_MS = 1000; // what was just read is hot a moment later
const MIB = 1024 * 1024;

let name = null;

/** Start: show the state, and again and again while it is unfolded and looked at. */
export function start() {
  byId("worker").addEventListener("toggle", refresh);
  setInterval(() => byId("worker").open && !document.hidden && refresh(), EVERY_MS);
}

/** Say which session is open. */
export function about(wanted) {
  name = wanted;
  if (name !== null) setTimeout(refresh, SOON_MS);
  return refresh();
}

async function refresh() {
  const of = name;
  try {
    const state = await get("worker", name ?? {});
    if (of === name) show(state);
  } catch (error) {
    byId("worker-line").textContent = error.message;
  }
}

function show({ pid, session_is_hot: hot, statistics: now }) {
  const ratio = now.reads === 0 ? "no reads yet" : `${((100 * now.hits) / now.reads).toFixed(1)} % hits`;
  const held = `${(now.bytes_held / MIB).toFixed(1)} of ${(now.bytes_budget / MIB).toFixed(0)} MiB`;
  const here = hot === null ? "" : hot ? " · session is hot" : " · session is not hot";
  byId("worker-line").textContent =
    `worker ${pid}${here} · ${now.sessions_held} hot, ${held} · ${ratio}`;
  const list = el("dl");
  describe(list, Object.entries(now).map(([key, value]) => [key.replaceAll("_", " "), text(value)]));
  byId("worker-table").replaceChildren(list);
}

function text(value) {
  if (value === null) return "–";
  if (typeof value === "number" && !Number.isInteger(value)) return value.toFixed(6);
  if (typeof value !== "object") return String(value);
  const pairs = Object.entries(value).map(([key, each]) => `${key} ${each}`);
  return pairs.join(", ") || "none";
}
