// Asks the gateway. The operator's key is kept only in this variable, and is gone when the page is closed.

let key = "";

export function useKey(given) {
  key = given;
}

export function hasKey() {
  return key !== "";
}

export class Refusal extends Error {
  constructor(status, message) {
    super(message);
    this.status = status;
    this.wantsKey = status === 401 || status === 403;
  }
}

// Asks for `trust/v1/NAME`. Throws a Refusal with the gateway's own message.
export async function ask(name, parameters = {}) {
  const query = new URLSearchParams(Object.entries(parameters).filter(([, value]) => value));
  return answer(fetch(`trust/v1/${name}${query.size ? `?${query}` : ""}`, { headers: headers(), cache: "no-store" }));
}

export async function tell(name, body) {
  const all = { ...headers(), "content-type": "application/json" };
  return answer(fetch(`trust/v1/${name}`, { method: "POST", headers: all, body: JSON.stringify(body) }));
}

// The names below `trust/v1/` that this gateway has.
export async function offered() {
  return new Set(Object.keys(await answer(fetch("trust", { headers: headers(), cache: "no-store" }))));
}

function headers() {
  return { accept: "application/json", ...(key && { authorization: `Bearer ${key}` }) };
}

async function answer(asked) {
  let reply;
  try {
    reply = await asked;
  } catch {
    throw new Refusal(0, "The gateway does not answer.");
  }
  const body = await reply.json().catch(() => null);
  if (!reply.ok) throw new Refusal(reply.status, body?.error?.message ?? `The gateway answered ${reply.status}.`);
  return body;
}

// The base URL for apps, as this browser reached the gateway.
export function baseUrl() {
  return new URL("v1", document.baseURI.split("#")[0]).href;
}
