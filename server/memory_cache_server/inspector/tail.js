// The live tail: server-sent events, handled strictly one after the other.

import { urlOf } from "./api.js";

/**
 * Follow a session; returns what stops it.
 *
 * `append(seq, text)` takes a message, or answers false where it does not continue what is shown;
 * `reload()` shows the newest page, `clear()` an empty one; `say(words)` tells the state;
 * `closed()`: it cannot go on.
 */
export function follow(name, { append, reload, clear, say, closed }) {
  const source = new EventSource(urlOf("events", name));
  let queue = Promise.resolve();
  const handle = (kind, work) => {
    source.addEventListener(kind, (event) => {
      queue = queue.then(() => source.readyState !== EventSource.CLOSED && work(event.data));
    });
  };
  const again = async (words) => {
    await reload();
    if (words) say(words);
  };
  // What came between the page and this event is on neither: read the page again.
  handle("following", () => again(""));
  handle("message", async (data) => {
    const { seq } = JSON.parse(data);
    if (!append(seq, messageIn(data))) await again("");
  });
  handle("edited", () => again("The transcript was edited; this is what it is now."));
  handle("lost", () => again("The store lost changes in a failover; this is what is left."));
  handle("deleted", () => {
    clear();
    say("The session was deleted, or has expired. If it is made again, it shows.");
  });
  source.addEventListener("open", () => say(""));
  source.addEventListener("error", () => {
    if (source.readyState === EventSource.CLOSED) {
      closed();
      say("The server refused to go on; follow again to try again.");
    } else say("The connection was lost; trying again.");
  });
  return () => source.close();
}

/** The message's own text: `{"seq":1,"message":{…}}` without what is around it. */
const messageIn = (data) => data.slice(data.indexOf("{", 1), -1);
