// Compares two groups of the traffic.

import { ask } from "../api.js";
import { cell, element, show, table } from "../dom.js";
import { percent, way } from "../estimates.js";
import { WINDOWS } from "../filters.js";
import { spoken } from "./overview.js";

const wanted = { window: "24h", pivot: "model", one: "", other: "" };

export async function compare(main) {
  const place = element("div", {});
  const names = element("datalist", { id: "groups" });
  const refresh = async () => show(place, await compared(names));
  const pick = (label, name, options) =>
    element("label", {}, label, element("select", { id: `compare-${name}`, onchange: (event) => ((wanted[name] = event.target.value), refresh()) }, options.map((value) => element("option", { value, selected: value === wanted[name] }, value))));
  const type = (label, name) =>
    element("label", {}, label, element("input", { id: `compare-${name}`, list: "groups", value: wanted[name], autocomplete: "off", spellcheck: "false", onchange: (event) => ((wanted[name] = event.target.value.trim()), refresh()) }));
  show(
    main,
    element("h1", {}, "Compare"),
    element("form", { class: "filters", "aria-label": "What is compared", onsubmit: (event) => event.preventDefault() }, pick("Window", "window", WINDOWS), pick("By", "pivot", ["model", "route", "language", "caller"]), type("One", "one"), type("Other", "other"), names),
    place,
  );
  return { refresh };
}

async function compared(names) {
  const { [wanted.pivot]: known = [] } = await ask("groups", { window: wanted.window });
  show(names, known.map((value) => element("option", { value })));
  if (!wanted.one && !wanted.other && known.length > 1) {
    [wanted.one, wanted.other] = known;
    for (const name of ["one", "other"]) document.getElementById(`compare-${name}`).value = wanted[name];
  }
  if (!wanted.one || !wanted.other || wanted.one === wanted.other) return element("p", { class: "soft" }, known.length > 1 ? `Name two that differ: ${known.join(", ")}.` : "Only one group was judged in this window.");
  const answer = await ask("compare", { window: wanted.window, [wanted.pivot]: wanted.one, [`other_${wanted.pivot}`]: wanted.other });
  const rows = answer.rates.toSorted((a, b) => sureness(b) - sureness(a));
  if (!rows.length) return element("p", { class: "soft" }, "Nothing was judged in both.");
  return [
    table(`${wanted.one} minus ${wanted.other}, ${wanted.window}, the surest differences first`, ["Sub-category", "Where", "Difference", "Interval", "In words", "Of"], rows.map(line)),
    element("p", { class: "soft small" }, answer.note),
  ];
}

function sureness({ difference }) {
  return difference ? Math.max(difference.low, -difference.high) : -9;
}

const points = (value) => `${value > 0 ? "+" : value < 0 ? "−" : ""}${percent(Math.abs(value))}`;

function line(row) {
  const of = { rate: "the rate", flagged_share: "what is flagged" }[row.of] ?? "–";
  return element(
    "tr",
    {},
    element("th", { scope: "row" }, element("a", { href: `#/subcategory/${row.subcategory}`, id: `compare-${row.subcategory}-${row.direction}` }, spoken(row.subcategory))),
    cell(way(row.direction)),
    cell(row.difference ? points(row.difference.estimate) : "–", "number"),
    cell(row.difference ? `${points(row.difference.low)} to ${points(row.difference.high)}` : "–", "number"),
    cell(row.words),
    cell(of, "soft"),
  );
}
