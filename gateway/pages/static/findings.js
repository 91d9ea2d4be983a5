// The findings of monitors as rows: what, how much with its interval, and what it rests on.

import { cell, element, table } from "./dom.js";
import { count, percent } from "./estimates.js";

export const spoken = (slug) => slug.replaceAll("_", " ").replace(/^./, (first) => first.toUpperCase());

// A row is described by the first of these fields that it has.
const TOLD = [
  ["cohort", (row) => `${spoken(row.measure)}, ${row.cohorts} ${row.cohort} against the others`],
  ["topic", (row) => `${spoken(row.measure)}, prompts about ${row.side} against ${row.other}`],
  ["change", (row) => `${spoken(row.measure)} since ${row.change}${row.route ? `, route ${row.route}` : ""}`],
  ["feature", (row) => spoken(row.feature)],
  ["grams", (row) => `${together(row)} in ${row.prompts} prompts: ${spoken(row.outcome).toLowerCase()}`],
  ["model", (row) => `${spoken(row.measure)} of ${row.model} on route ${row.route}`],
  ["outcome", (row) => spoken(row.outcome)],
  ["looked_at", () => "No word or opening of prompts goes along with refusals, flags or one fixed answer"],
];

// Words, and the openings of prompts.
function together({ words, openings = 0 }) {
  if (words + openings === 1) return words ? "A word" : "An opening";
  return openings ? `${words + openings} words and openings that occur together` : `${words} words that occur together`;
}

export function told(row) {
  return TOLD.find(([field]) => field in row)?.[1](row) ?? "";
}

const points = (share) => `${share > 0 ? "+" : ""}${Number((100 * share).toPrecision(2))}`;
const isShare = (row) => "usual" in row || "model" in row || (row.outcome || "").endsWith("_in_passages");

export function figure(row) {
  if ("usual" in row) return [element("strong", {}, percent(row.estimate)), ` where ${percent(row.usual)} is usual`];
  if ("low" in row && isShare(row)) return [element("strong", {}, percent(row.estimate)), element("span", { class: "soft small" }, ` ${percent(row.low)} to ${percent(row.high)}`)];
  if ("low" in row) return [element("strong", {}, `${points(row.estimate)} points`), element("span", { class: "soft small" }, ` ${points(row.low)} to ${points(row.high)}`)];
  if ("distance" in row) return [element("strong", {}, row.distance.toFixed(3)), element("span", { class: "soft small" }, " distance")];
  return row.note ?? "";
}

// What a row rests on: those of these fields that it has.
const RESTS = [
  ["samples", (n) => `${count(n)} samples`],
  ["answers", (n) => `${count(n)} answers`],
  ["prompts", (n) => `${count(n)} prompts`],
  ["looked_at", (n) => `${count(n)} prompts`],
  ["now", (n, row) => `${count(n)} now, ${count(row.before)} before`],
  ["hours", (n) => `${n} hours`],
  ["design", spoken],
  ["outcome", (outcome, row) => "model" in row && `right or wrong by ${spoken(outcome).toLowerCase()}`],
  ["sample", (id) => element("code", {}, id)],
];

export function rests(row) {
  const parts = RESTS.filter(([field]) => row[field]).map(([field, say]) => say(row[field], row)).filter(Boolean);
  return parts.flatMap((part, index) => (index ? [", ", part] : [part]));
}

const found = (row) => (row.found ? element("strong", { class: "found" }, "found") : element("span", { class: "soft" }, "not shown"));

export function findings(title, rows) {
  const lines = rows.map((row) => element("tr", {}, element("th", { scope: "row" }, told(row)), cell(figure(row)), cell(found(row)), cell(rests(row), "wide soft")));
  const shown = table(title, ["What", "How much, 95 %", "Sure?", "Rests on"], lines);
  shown.querySelector("thead th:last-child").classList.add("wide");
  return shown;
}

// A short form for the overview: the clearest finding, or that there is none; null if nothing can be said yet.
export function inShort(report) {
  if (!report?.rows.length) return null;
  const clear = report.rows.filter((row) => row.found);
  if (!clear.length) return [`Monitor: nothing found`];
  const more = report.found > 1 ? ` and ${report.found - 1} more` : "";
  return [element("strong", {}, "Monitor: "), told(clear[0]), ": ", figure(clear[0]), more];
}
