// One message as people read it, whatever framework wrote it. Nothing in it is ever loaded or run.

import { el, fold, nameOf, preview, seen, timeOf } from "./dom.js";
import { laidOut, shown } from "./json.js";

const SHOWN_AT_ONCE = 4000;
const isObject = (value) => typeof value === "object" && value !== null && !Array.isArray(value);

/** Text as it is; anything else, for a message may hold anything anywhere, as JSON. */
const worded = (value) => (typeof value === "string" ? value : JSON.stringify(value) ?? "");

/** Make the item of a message: its seq, its canonical JSON text, what is known beside it. */
export function itemOf(seq, text, beside) {
  const message = unwrapped(JSON.parse(text));
  const role = [message.role, message.content?.role, message.author, message.type, message.kind]
    .find((each) => typeof each === "string") ?? "";
  const times = [message.created_at, beside?.created_at, message.timestamp];
  const created = timeOf(times.find((each) => typeof each === "string"));
  const tokens = beside ? `${beside.token_count} tokens` : null;
  const head = el(
    "div",
    { class: "head" },
    el("span", { class: "seq" }, `${seq}`),
    el("b", { class: "role" }, nameOf(role || "no role")),
    created,
    tokens && el("span", {}, tokens),
    raw(text),
  );
  return el("li", { "data-role": role, "data-seq": `${seq}` }, head, ...bodyOf(message, text));
}

/** LangChain keeps a message as its type and its data. */
function unwrapped(message) {
  if (typeof message.type !== "string" || !isObject(message.data)) return message;
  return { ...message.data, role: message.type };
}

function raw(text) {
  return fold("raw", "{ } JSON", "", () => [el("pre", { tabindex: "0" }, laidOut(text))]);
}

function bodyOf(message, text) {
  const call = callOf(message);
  const result = resultOf(message);
  const nodes = [];
  if (call) nodes.push(callNode(call));
  else if (result) nodes.push(resultNode(result));
  else for (const each of ["content", "parts", "blocks"]) nodes.push(...contentOf(message[each]));
  for (const each of asList(message.tool_calls)) nodes.push(partOf(each));
  if (nodes.length > 0) return nodes;
  if (message.content === "" || message.content === null) {
    return [el("p", { class: "none" }, "no content")];
  }
  return [fold("object", "object", preview(text), () => [el("pre", {}, laidOut(text))])];
}

const asList = (value) => (Array.isArray(value) ? value : []);

function contentOf(content) {
  if (content === null || content === undefined || content === "") return [];
  if (typeof content === "string") return textOf(content);
  if (Array.isArray(content)) return content.map(partOf);
  if (isObject(content) && Array.isArray(content.parts)) return content.parts.map(partOf);
  return [partOf(content)];
}

function textOf(text) {
  const start = el("p", { class: "text", dir: "auto" }, ...seen(text.slice(0, SHOWN_AT_ONCE)));
  if (text.length <= SHOWN_AT_ONCE) return [start];
  const rest = text.slice(SHOWN_AT_ONCE);
  const more = () => [el("p", { class: "text", dir: "auto" }, ...seen(rest))];
  return [start, fold("more", `${rest.length} more characters`, "", more)];
}

function partOf(part) {
  if (typeof part === "string") return el("div", {}, ...textOf(part));
  if (!isObject(part)) return el("pre", {}, ...seen(shown(part)));
  const kind = kindOf(part);
  const call = callOf(part);
  if (call) return callNode(call);
  const result = resultOf(part);
  if (result) return resultNode(result);
  const text = part.text ?? (/^(text|user-prompt|system-prompt)$/u.test(kind) ? part.content : null);
  if (typeof text === "string") return el("div", {}, ...textOf(text));
  const full = JSON.stringify(part);
  return fold("object", kind || "part", preview(full), () => [el("pre", {}, ...seen(shown(part)))]);
}

function callOf(it) {
  const within = [it.function, it.functionCall, it.function_call]
    .find((each) => isObject(each) && each.name);
  const isCall = /^(tool_use|tool-call|.+_call)$/u.test(kindOf(it));
  if (!within && !isCall) return null;
  const named = within ?? it;
  return {
    name: worded(named.name ?? named.tool_name ?? kindOf(it)),
    given: named.arguments ?? named.args ?? named.input ?? named.action ?? {},
    id: it.call_id ?? it.tool_call_id ?? it.id ?? null,
  };
}

function resultOf(it) {
  const within = [it.functionResponse, it.function_response].find(isObject);
  if (within) return { name: worded(within.name ?? ""), content: within.response, failed: false };
  const isResult = /^(.+_call_output|tool_result|tool-return)$/u.test(kindOf(it));
  const content = it.output ?? it.content;
  if (!isResult && it.role !== "tool" && it.role !== "function") return null;
  if (content === undefined) return null;
  const name = it.name ?? it.tool_name ?? it.tool_call_id ?? it.call_id ?? it.tool_use_id ?? "";
  return { name: worded(name), content, failed: it.is_error === true };
}

const kindOf = (it) => worded(it.type ?? it.part_kind ?? it.block_type ?? "");
const brief = (value) => preview(worded(value));

function callNode({ name, given, id }) {
  const about = id === null ? [] : [el("p", { class: "id" }, "id ", nameOf(worded(id)))];
  const fill = () => [...about, el("pre", {}, ...seen(shown(given)))];
  return fold("call", `call ${name}`, brief(given), fill);
}

function resultNode({ name, content, failed }) {
  const whole = () => [el("pre", {}, ...seen(shown(content ?? "")))];
  const fill = () => (Array.isArray(content) ? contentOf(content) : whole());
  const title = failed ? `failed result ${name}` : `result ${name}`;
  return fold("result", title, brief(content ?? ""), fill);
}
