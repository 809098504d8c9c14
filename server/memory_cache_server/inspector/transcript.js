// An open session: a window of its transcript that turns both ways, and follows the tail if told.

import { get } from "./api.js";
import { byId, describe, timeOf } from "./dom.js";
import { laidOut } from "./json.js";
import { itemOf } from "./message.js";
import { follow } from "./tail.js";

const PAGE = 50;
const MOST_SHOWN = 200; // while the tail is followed; the oldest go
const SOON_MS = 1000;

let name = null;
let held = null; // {start, end, first, next}: what is shown, and what there is
let asking = new AbortController();
let stopFollowing = null;
let knowingSoon = 0;

/** Open a session at its newest messages; null closes. */
export async function open(wanted) {
  unfollow();
  asking.abort();
  name = wanted;
  held = null;
  byId("messages").replaceChildren();
  byId("about-line").textContent = byId("range").textContent = "";
  byId("about").hidden = true;
  trouble("");
  enable();
  if (name !== null) await newest();
}

/** Show the page on one side of the window; at the newest, ask whether there is more by now. */
export const older = () => held && held.start > held.first && turn({ before: held.start }, "end");
export const newer = () => held && turn({ after: held.end - 1 }, "start");
export const oldest = () => turn({ after: -1 }, "start");
export const newest = () => turn({}, "end");
export const from = (seq) => turn({ after: Math.max(seq, 0) - 1 }, "start");

/** Follow the tail, or stop. */
export function toggleTail() {
  if (name === null) return;
  if (stopFollowing) {
    unfollow();
    return;
  }
  const reload = () => ask({}, "end");
  const tell = { append, reload, clear, say: trouble, closed: unfollow };
  stopFollowing = follow(name, tell);
  byId("tail").setAttribute("aria-pressed", "true");
}

function unfollow() {
  stopFollowing?.();
  stopFollowing = null;
  byId("tail").setAttribute("aria-pressed", "false");
}

function turn(query, edge) {
  unfollow();
  return name && ask(query, edge);
}

async function ask(query, edge) {
  asking.abort();
  asking = new AbortController();
  try {
    const page = await get("session", { ...name, limit: PAGE, ...query }, asking.signal);
    trouble("");
    const nothingMore = held && page.start === page.end && page.next > page.first;
    if (nothingMore) held = { ...held, first: page.first, next: page.next };
    else show(page);
    about(page);
    // What says where one is takes room, so the end is where it is only now.
    const box = byId("transcript");
    if (!nothingMore) box.scrollTop = edge === "end" ? box.scrollHeight : 0;
  } catch (error) {
    if (error.name !== "AbortError") trouble(error.message);
  }
}

function show(page) {
  held = { start: page.start, end: page.end, first: page.first, next: page.next };
  const items = page.messages.map((text, at) => itemOf(page.start + at, text, page.beside[at]));
  byId("messages").replaceChildren(...items);
}

/** Add a message that was just acknowledged; false: it does not continue what is shown. */
function append(seq, text) {
  if (!held || seq > held.end) return false;
  if (seq < held.end) return true;
  const box = byId("transcript");
  const atBottom = box.scrollHeight - box.scrollTop - box.clientHeight < 40;
  const list = byId("messages");
  list.append(itemOf(seq, text, null));
  held.end = held.next = seq + 1;
  if (list.children.length > MOST_SHOWN) {
    list.firstElementChild.remove();
    held.start += 1;
  }
  if (atBottom) box.scrollTop = box.scrollHeight;
  range();
  knowingSoon ||= setTimeout(know, SOON_MS);
  return true;
}

/** Show nothing: the session is gone. */
function clear() {
  held = { start: 0, end: 0, first: 0, next: 0 };
  byId("messages").replaceChildren();
  range();
}

/** Bring version and counts up to what was appended. */
async function know() {
  const of = name;
  const page = name && (await get("session", { ...name, limit: 1 }).catch(() => null));
  knowingSoon = 0;
  if (page && of === name) about(page);
}

function about(page) {
  const near = page.tier === "near" ? "this worker's near cache" : "the store";
  const count = page.next - page.first;
  byId("about-line").textContent = `${count} messages · ${page.token_count} tokens · ${page.version}`;
  describe(byId("facts"), [
    ["version", page.version],
    ["messages", `${count}, seq ${page.first} to before ${page.next}`],
    ["token count", `${page.token_count}`],
    ["created", timeOf(page.created_at)],
    ["updated", timeOf(page.updated_at)],
    ["time to live", page.ttl_seconds === null ? "none" : `${page.ttl_seconds} s after a change`],
    ["expires", page.expires_at === null ? "never" : timeOf(page.expires_at)],
    ["answered from", near],
  ]);
  byId("fields").textContent = laidOut(page.fields);
  byId("about").hidden = false;
  range();
}

function range() {
  byId("range").textContent = held.end > held.start
    ? `${held.start}–${held.end - 1} of ${held.first}–${held.next - 1}`
    : "no messages";
  enable();
}

function enable() {
  const atOldest = !held || held.start <= held.first;
  byId("oldest").disabled = byId("older").disabled = atOldest;
  byId("newer").disabled = byId("newest").disabled = !held;
}

function trouble(words) {
  byId("trouble").textContent = words;
  byId("trouble").hidden = words === "";
}
