// The policy in force: its rules, their thresholds, and the false alarms that these cost.

import { ask } from "../api.js";
import { cell, element, pairs, show, table } from "../dom.js";
import { count, percent } from "../estimates.js";
import { spoken } from "./overview.js";

export async function policy(main) {
  const place = element("div", {});
  show(main, element("h1", {}, "Policy in force"), place);
  return { refresh: async () => show(place, described(await ask("policy"), await ask("status"))) };
}

function described(inForce, status) {
  const warnings = inForce.warnings.map((text) => element("p", {}, text));
  return [
    inForce.refused && element("div", { class: "card problem", role: "alert" }, element("p", {}, `The newest state of its file is not in force: ${inForce.refused}`)),
    pairs([["Source", inForce.source], ...Object.entries(inForce.routes).map(([route, source]) => [`On route ${route}`, source]), ["Revision", element("code", {}, inForce.revision)], ["Mode", inForce.mode]]),
    warnings.length ? element("div", { class: "card" }, warnings) : null,
    element("p", { class: "soft small" }, "“Costs” is at most the share of benign texts that reach the threshold, and “Benign texts” is how many were measured: your own traffic, if assay calibrate has adopted tables from second opinions, else those of the detector's card, which may differ from yours."),
    inForce.rules.length ? inForce.rules.map((rule) => ruled(rule, status)) : element("p", {}, "It has no rules, so it changes nothing."),
  ];
}

function ruled(rule, status) {
  const done = status.decisions.filter((each) => each.rule === rule.id);
  const counts = done.map((each) => `${count(each.count)} ${each.action} ${each.effect}`).join(", ");
  const nothing = status.workers_judge ? "no match here; assay worker counts what it finds in samples in its own /metrics" : "no match";
  const share = rule.enforced && rule.share < 1 ? `, for ${percent(rule.share)} of requests` : "";
  const rows = distinct(rule.thresholds).map((each) =>
    element(
      "tr",
      {},
      element("th", { scope: "row" }, spoken(each.subcategory)),
      cell(each.direction),
      cell(each.score.toPrecision(3), "number"),
      cell(each.table),
      cell(each.basis === "local" ? "this traffic" : each.false_alarms == null ? "nothing" : "its card"),
      cell(each.false_alarms == null ? "not known" : `≤ ${percent(each.false_alarms)}`, "number"),
      cell(each.rows ? count(each.rows) : "–", "number"),
    ),
  );
  const heads = ["Sub-category", "Where", "From score", "Detector", "Measured on", "Costs", "Benign texts"];
  return element(
    "section",
    { "aria-label": `Rule ${rule.id}` },
    element("h2", {}, rule.id),
    element("p", {}, `${rule.action === "flag" ? "Flag: records what it finds and changes nothing" : `${spoken(rule.action)}, ${rule.enforced ? "enforced" : "only watched"}`} (mode ${rule.mode}${share}); on error: ${rule.on_error}${rule.routes.length ? `; on route ${rule.routes.join(", ")}` : ""}. Since the start: ${counts || nothing}.`),
    rows.length ? table(`Thresholds of ${rule.id}`, heads, rows) : null,
  );
}

// A rule may look for the same in several of its conditions: one row is enough.
function distinct(thresholds) {
  return [...new Map(thresholds.map((each) => [JSON.stringify(each), each])).values()];
}
