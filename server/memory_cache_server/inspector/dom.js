// The only ways this page makes elements. Text becomes text nodes: it is never read as markup.

export const byId = (id) => document.getElementById(id);

/** Make an element. Children are nodes or text; null is left out, as are attributes that are null. */
export function el(tag, attributes = {}, ...children) {
  const node = document.createElement(tag);
  for (const [name, value] of Object.entries(attributes)) {
    if (value !== null) node.setAttribute(name, value);
  }
  node.append(...children.filter((child) => child !== null));
  return node;
}

// Controls, invisible characters and turns of direction; not what breaks lines or joins letters.
const UNSEEN = /((?![\n\t\u200c\u200d])[\p{Cc}\p{Cf}\p{Cs}\p{Zl}\p{Zp}])/u;

/** Return a text as nodes: what could not be seen, or would turn what is around it, has its number. */
export function seen(text) {
  if (!UNSEEN.test(text)) return [text];
  const number = (char) => `U+${char.codePointAt(0).toString(16).toUpperCase().padStart(4, "0")}`;
  return text.split(UNSEEN).map((part, at) => (
    at % 2 ? el("span", { class: "unseeable" }, number(part)) : part
  ));
}

/** Return JSON text that means the same, in which everything can be seen. */
export function seenJson(text) {
  const unit = (code) => `\\u${code.toString(16).padStart(4, "0")}`;
  const escaped = (char) => [...Array(char.length).keys()].map((at) => unit(char.charCodeAt(at)));
  return text.replace(new RegExp(UNSEEN, "gu"), (char) => escaped(char).join(""));
}

/** Make a name whose writing direction cannot spill into what stands around it. */
export const nameOf = (text) => el("bdi", {}, ...seen(text));

/** Make what unfolds; `fill` makes the content when it is first unfolded. */
export function fold(kind, title, hint, fill) {
  const summary = el("summary", {}, el("b", {}, ...seen(title)), hint ? el("code", {}, hint) : null);
  const node = el("details", { class: kind }, summary);
  const unfold = () => node.append(...fill());
  node.addEventListener("toggle", unfold, { once: true });
  return node;
}

/** Put these terms and descriptions into a <dl>. */
export function describe(list, pairs) {
  const rows = pairs.map(([term, what]) => el("div", {}, el("dt", {}, term), el("dd", {}, what)));
  list.replaceChildren(...rows);
}

/** The start of a text, on one line. */
export function preview(text, length = 120) {
  const line = seenJson(text.slice(0, 2 * length).replace(/\s+/gu, " "));
  return line.length > length ? `${line.slice(0, length)}…` : line;
}

/** A time as people compare them: UTC, to the second. */
export function timeOf(iso) {
  const moment = new Date(iso);
  if (Number.isNaN(moment.valueOf())) return null;
  const text = moment.toISOString().slice(0, 19).replace("T", " ");
  // A narrow screen has no room for the year.
  const year = el("span", { class: "year" }, text.slice(0, 5));
  return el("time", { datetime: iso, title: `${iso} (shown in UTC)` }, year, text.slice(5));
}
