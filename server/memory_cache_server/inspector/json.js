// JSON as it is stored. A browser's numbers lose digits beyond 2^53, so text is laid out as text.

import { seenJson } from "./dom.js";

const STEP = "  ";
const TOKEN = /"(?:[^"\\]|\\.)*"|[{}[\],:]|[^\s{}[\],:"]+/gsu;

/** Lay JSON text out over lines; every string and number stays letter for letter. */
export function laidOut(text) {
  let depth = 0;
  let before = "";
  const parts = [];
  const newLine = () => parts.push("\n", STEP.repeat(depth));
  for (const [token] of text.matchAll(TOKEN)) {
    const closes = token === "}" || token === "]";
    if (closes) depth -= 1;
    const opened = before === "{" || before === "[";
    if (closes ? !opened : opened || before === ",") newLine();
    parts.push(token === ":" ? ": " : token);
    if (token === "{" || token === "[") depth += 1;
    before = token;
  }
  return seenJson(parts.join(""));
}

/** Lay a value out: JSON text inside a string too, as the arguments of a call often are. */
export function shown(value) {
  if (typeof value !== "string") return seenJson(JSON.stringify(value, null, STEP) ?? "");
  try {
    JSON.parse(value);
  } catch {
    return value;
  }
  return laidOut(value);
}
