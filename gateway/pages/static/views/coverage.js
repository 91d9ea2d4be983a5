// How much of the traffic was judged, and what was not read: what is unread is not clean.

import { ask } from "../api.js";
import { cell, element, pairs, show, table } from "../dom.js";
import { count, percent } from "../estimates.js";

export async function coverage(main) {
  const place = element("div", {});
  show(main, element("h1", {}, "Coverage"), place);
  return { refresh: async () => show(place, shown(await ask("status"))) };
}

const ELSEWHERE = "by assay worker, which counts them in its own /metrics; Prometheus adds them up";

const total = (rows) => rows.reduce((sum, row) => sum + row.count, 0);

function shown(status) {
  const judged = total(status.samples.filter((row) => row.fate === "judged"));
  const nothing = (said) => (status.workers_judge ? `${said} by the gateway itself: samples are judged ${ELSEWHERE}.` : `${said}.`);
  const [sampleable, offered] = [total(status.sampleable), total(status.offered)];
  return [
    status.ledger_problem && element("div", { class: "card problem", role: "alert" }, element("p", {}, `The ledger cannot be used now: ${status.ledger_problem}. Traffic goes on, but the rates lack what is judged meanwhile.`)),
    element("p", { class: "soft small" }, status.note),
    pairs([
      ["Requests", count(total(status.requests))],
      ["That detectors can read", count(sampleable)],
      ["Chosen as samples", sampleable ? `${count(offered)} (${percent(offered / sampleable)} of them)` : "0"],
      ["Judged", status.workers_judge ? ELSEWHERE : offered ? `${count(judged)} (${percent(judged / offered)} of the samples)` : "0"],
    ]),
    rows("Unread: shown to no detector", ["Channel", "Reason"], status.unread, ["channel", "reason"], nothing("Nothing was left unread")),
    rows("How samples ended", ["Fate", "Reason"], status.samples, ["fate", "reason"], nothing("There were no samples yet")),
    rows("What each detector did with its texts", ["Detector", "State"], status.texts, ["detector", "state"], nothing("No text was judged yet")),
    rows("Passed unjudged, because a guard failed and its rule allows it", ["Where", "Reason"], status.bypasses, ["direction", "reason"], "Nothing passed unjudged."),
  ];
}

function rows(title, heads, found, names, nothing) {
  if (!found.length) return [element("h2", {}, title), element("p", { class: "soft" }, nothing)];
  const body = found.map((row) => element("tr", {}, names.map((name, index) => (index ? cell(row[name] || "–") : element("th", { scope: "row" }, row[name]))), cell(count(row.count), "number")));
  const shown = table(title, [...heads, "Count"], body);
  shown.querySelector("caption").className = "hidden"; // the heading above says it to who sees both
  return [element("h2", {}, title), shown];
}
