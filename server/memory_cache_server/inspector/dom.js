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

/** Make a name whose writing direction cannot spill into what stands around it. */
export const nameOf = (text) => el("bdi", {}, text);

/** Make what unfolds; `fill` makes the content when it is first unfolded. */
export function fold(kind, title, hint, fill) {
  const summary = el("summary", {}, el("b", {}, title), hint ? el("code", {}, hint) : null);
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
  const line = text.slice(0, 2 * length).replace(/\s+/gu, " ");
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
