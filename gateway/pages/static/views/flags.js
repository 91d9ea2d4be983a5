// The latest flagged samples and decisions, from the audit file.

import { ask } from "../api.js";
import { cell, element, passage, show, table } from "../dom.js";

export async function flags(main) {
  const place = element("div", {});
  show(main, element("h1", {}, "Latest flags and decisions"), place);
  return { refresh: async () => show(place, listed(await ask("flags"))) };
}

function listed(answer) {
  if (answer.note) return element("p", { class: "soft" }, `Nothing is kept: ${answer.note}.`);
  if (!answer.flags.length) return element("p", { class: "soft" }, "Nothing was flagged and no rule has matched yet.");
  const heads = ["When", "What", "Route", "Model", "Found", "Request"];
  return table("The latest 100, newest first. A count of flags is not a rate of harm.", heads, answer.flags.map(line));
}

function line(record) {
  const when = new Date(record.at);
  return element(
    "tr",
    {},
    element("th", { scope: "row" }, element("time", { datetime: record.at, title: when.toLocaleString() }, when.toLocaleTimeString())),
    cell(record.kind === "flag" ? "flagged" : decided(record)),
    cell(record.route ?? "–"),
    cell(record.model ?? "–"),
    cell(found(record)),
    cell(element("code", {}, record.sample ?? record.request ?? "–")),
  );
}

function decided(record) {
  return [record.action ?? "decision", record.rule && ` by ${record.rule}`, record.direction && ` (${record.direction})`];
}

function found(record) {
  return (record.texts ?? []).filter((text) => text.flags?.length).map((text) =>
    element("div", {}, `${text.direction}: ${text.flags.map((slug) => `${slug} ${(text.scores?.[slug] ?? 0).toFixed(2)}`).join(", ")}`, text.text && passage(`What the ${text.direction} says`, text.text)),
  );
}
