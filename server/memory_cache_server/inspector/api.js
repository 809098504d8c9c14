// What the page asks the server. Names travel in the query, where any text can.

/** An answer that is an error, in the server's words. */
export class ApiError extends Error {
  constructor(status, words) {
    super(words);
    this.status = status;
  }
}

/** The URL of some data; what is null, undefined or empty is left out of the query. */
export function urlOf(path, query) {
  const url = new URL(`inspect/data/${path}`, document.baseURI);
  url.hash = "";
  for (const [name, value] of Object.entries(query)) {
    if (value !== null && value !== undefined && value !== "") url.searchParams.set(name, value);
  }
  return url;
}

/** Get some data. Raises ApiError, or AbortError when `signal` ends it. */
export async function get(path, query, signal) {
  let response;
  try {
    response = await fetch(urlOf(path, query), { cache: "no-store", signal });
  } catch (error) {
    if (error.name === "AbortError") throw error;
    throw new ApiError(0, "The server does not answer.");
  }
  const document = await response.json().catch(() => ({}));
  if (response.ok) return document;
  throw new ApiError(response.status, wordsOf(response.status, document));
}

function wordsOf(status, { title, detail }) {
  const faults = Array.isArray(detail) ? detail.map((fault) => fault.msg).join("; ") : detail;
  return [title ?? `Status ${status}`, faults].filter(Boolean).join(": ");
}
