// Changes of the system, each with the measures that moved after it.

import { ask, hasKey } from "../api.js";
import { element, show } from "../dom.js";
import { findings } from "../findings.js";

const KINDS = { model: "Model", policy: "Policy", detector: "Detector", system_prompt: "System prompt", deployment: "Deployment", data: "Data", reference: "Reference for shifts", other: "Other" };

export async function changes(main, _, names) {
  const place = element("div", {});
  const refresh = async () => show(place, listed((await ask("changes")).changes, await effects(names)));
  show(main, element("h1", {}, "Changes and what moved after them"), place, how());
  return { refresh };
}

async function effects(names) {
  if (!names.has("monitors")) return null;
  return (await ask("monitors")).monitors.find((report) => report.subcategory === "interventional_effect");
}

function listed(known, report) {
  if (!known.length) return element("p", {}, "No change was noticed or posted yet.");
  return known.map((change) => card(change, report));
}

function card(change, report) {
  const name = `${change.kind}: ${change.what}`;
  const where = change.route ? `on route ${change.route}` : "on all routes";
  const own = (report?.rows ?? []).filter((row) => row.change === name && (row.route ?? null) === change.route);
  const sense = own[0]?.design === "difference_in_differences" ? "against the other routes" : "against its own past";
  return element(
    "section",
    { class: "card", "aria-label": `${name} ${where}` },
    element("h2", {}, `${KINDS[change.kind] ?? change.kind}: ${change.what || "pinned"}`),
    element("p", {}, moment(change.at), change.until ? [" to ", moment(change.until)] : `, ${where}`, "."),
    change.kind === "reference" ? element("p", { class: "soft" }, "Shifts are measured against this window.") : moved(own, name, sense),
  );
}

function moved(own, name, sense) {
  if (own.length) return findings(`What moved after ${name}, ${sense}`, own);
  return element("p", { class: "soft" }, "No effect is shown. An effect needs 24 hours of judged traffic before the change and 6 hours after it, and only the clearest are listed.");
}

export function moment(seconds) {
  const at = new Date(1000 * seconds);
  return element("time", { datetime: at.toISOString() }, at.toLocaleString());
}

function how() {
  const key = hasKey() ? " -H 'authorization: Bearer OPERATOR_KEY'" : "";
  const body = '{"kind": "deployment", "what": "new retrieval index"}';
  return [
    element("h2", {}, "Report a change"),
    element("p", { class: "soft small" }, "New models, policies, detectors and system prompts are noticed automatically. Report every other change yourself. A step shows that something moved at that time, not that the change caused it."),
    element("pre", { tabindex: "0" }, element("code", {}, `curl -X POST ${new URL("trust/v1/changes", document.baseURI.split("#")[0]).href}${key} -d '${body}'`)),
  ];
}
