// How to point an app at this gateway.

import { ask, baseUrl } from "../api.js";
import { element, say, show } from "../dom.js";

export async function connect(main) {
  const status = await ask("status");
  const key = status.callers_need_a_key ? "YOUR_GATEWAY_KEY" : "sk-local";
  const base = baseUrl();
  show(
    main,
    element("h1", {}, "Point an app here"),
    element("p", {}, "Change the base URL and the key, nothing else."),
    element("div", { class: "card connect" }, element("p", {}, "Base URL ", element("code", { id: "base" }, base)), element("button", { onclick: () => copy(base) }, "Copy")),
    element("p", {}, status.callers_need_a_key ? "The key is one of the gateway's configured keys." : "No key is configured: every local caller is served, whatever key it sends."),
    snippet("Python", `from openai import OpenAI\n\nclient = OpenAI(base_url="${base}", api_key="${key}")`),
    snippet("JavaScript", `import OpenAI from "openai";\n\nconst client = new OpenAI({ baseURL: "${base}", apiKey: "${key}" });`),
    snippet("Anthropic, Python", `from anthropic import Anthropic\n\nclient = Anthropic(base_url="${base.replace(/\/v1$/, "")}", api_key="${key}")`),
    snippet("Any app that reads the environment", `OPENAI_BASE_URL=${base}\nOPENAI_API_KEY=${key}`),
  );
  return {};
}

function snippet(title, text) {
  return [element("h2", {}, title), element("pre", { tabindex: "0", "aria-label": title }, element("code", {}, text))];
}

async function copy(text) {
  await navigator.clipboard.writeText(text);
  say("The base URL is copied.");
}
