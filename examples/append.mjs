const session = "http://localhost:8000/v1/working-memory/js-1";

async function ask(path, options = {}) {
  const answer = await fetch(session + path, options);
  const body = await answer.json();
  if (!answer.ok) throw new Error(`${answer.status}: ${body.detail}`);
  return body;
}

const appended = await ask("/messages", {
  method: "POST",
  headers: { "content-type": "application/json", "idempotency-key": "turn-1" },
  body: JSON.stringify({ messages: [{ role: "user", content: "hi from JavaScript" }] }),
});
console.log("appended at", appended.start, "of", appended.next);

const { messages } = await ask("?recent_messages_limit=20");
for (const { role, content } of messages) console.log(`${role}: ${content}`);
