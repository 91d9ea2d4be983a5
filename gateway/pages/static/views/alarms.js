// Rates that have risen: which, since when, the rates before and after, and the samples that show it.

import { ask } from "../api.js";
import { cell, element, passage, show, table } from "../dom.js";
import { band, chip, percent, way, written } from "../estimates.js";
import { figure, rests, spoken, told } from "../findings.js";

export async function alarms(main, _, names) {
  const place = element("div", {});
  const refresh = async () => show(place, listed(await ask("alarms"), await known(names)));
  show(main, element("h1", {}, "Rates that have risen"), place);
  return { refresh };
}

// The audit file's records of the latest samples, by id; none if there is no audit file.
async function known(names) {
  if (!names.has("flags")) return new Map();
  const { flags } = await ask("flags");
  return new Map(flags.filter((record) => record.sample).map((record) => [record.sample, record]));
}

function listed(answer, records) {
  const promise = `Each of ${answer.series} series is compared with its first three of the last ten days. A series without a rise raises a false alarm once in ${Math.round(answer.run_length_hours / 24)} days or more rarely; of all alarms together at most ${percent(answer.false_discoveries)} are expected to be false.`;
  const lasting = answer.monitors?.length ? monitored(answer) : [];
  if (!answer.alarms.length) return [element("p", {}, answer.series ? "No rate has risen." : "Nothing can be compared yet: it takes three days to know what is usual."), element("p", { class: "soft small" }, promise), lasting];
  return [element("p", { class: "soft small" }, promise), answer.alarms.map((alarm) => risen(alarm, records)), lasting];
}

// Findings of monitors that last.
function monitored(answer) {
  const rows = answer.monitors.map((row) =>
    element("tr", {}, element("th", { scope: "row" }, element("a", { href: `#/subcategory/${row.subcategory}` }, spoken(row.subcategory))), cell(told(row)), cell(figure(row)), cell(row.since ? moment(row.since) : rests(row), "wide soft")),
  );
  const shown = table("Findings of monitors that last", ["Sub-category", "What", "How much, 95 %", "Since"], rows);
  shown.querySelector("thead th:last-child").classList.add("wide");
  return [element("h2", {}, "Findings of monitors that last"), element("p", { class: "soft small" }, answer.monitors_note), shown];
}

function risen(alarm, records) {
  const what = spoken(alarm.subcategory);
  const where = alarm.route ? `on route ${alarm.route}` : "in all traffic";
  const sense = alarm.of === "rate" ? "The rate has risen." : "More is flagged than before. This is not a rate of harm, because there are no second opinions.";
  const lines = [["Before", alarm.before], ["After", alarm.after]].map(([name, interval]) =>
    element("tr", {}, element("th", { scope: "row" }, name), cell(written({ ...interval, basis: alarm.basis })), cell(band(interval, alarm.direction))),
  );
  return element(
    "section",
    { "aria-label": `${what} in ${alarm.direction}s ${where}`, class: "card" },
    element("h2", {}, element("a", { href: `#/subcategory/${alarm.subcategory}` }, what), " ", way(alarm.direction), " ", chip(alarm.basis)),
    element("p", {}, sense, " Since ", moment(alarm.since), `, ${where}; seen until `, moment(alarm.until), "."),
    table(`Share of ${alarm.direction}s ${where} that show ${what.toLowerCase()}`, ["When", "Share", "Interval"], lines),
    alarm.samples.length ? behind(alarm, records) : element("p", { class: "soft" }, "The samples that showed it are no longer in the ledger."),
  );
}

function moment(seconds) {
  const at = new Date(1000 * seconds);
  return element("time", { datetime: at.toISOString() }, at.toLocaleString());
}

function behind(alarm, records) {
  const head = element("h3", { id: `behind-${alarm.subcategory}-${alarm.direction}-${alarm.route ?? ""}` }, `The latest ${alarm.samples.length} samples that show it`);
  return [head, element("ul", { class: "samples" }, alarm.samples.map((sample) => element("li", {}, element("code", {}, sample), said(records.get(sample), alarm))))];
}

function said(record, alarm) {
  const texts = (record?.texts ?? []).filter((text) => text.direction === alarm.direction && text.flags?.includes(alarm.subcategory));
  return texts.map((text) => passage("What was said", text.text ?? `score ${(text.scores?.[alarm.subcategory] ?? 0).toFixed(2)}`));
}
