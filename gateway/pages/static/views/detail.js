// One sub-category: what it is, how much of it there is, and what measures it.

import { ask } from "../api.js";
import { cell, element, pairs, scrolling, show, table } from "../dom.js";
import { axis, band, chip, count, estimateOf, percent, way, written } from "../estimates.js";
import { WINDOWS } from "../filters.js";
import { findings, spoken } from "../findings.js";
import { missing, monitors } from "./overview.js";

export async function detail(main, slug, names) {
  const row = await ask("taxonomy", { subcategory: slug });
  const among = names.has("callers") ? await ask("callers", { window: "24h" }) : { rates: [] }; // once: it reads every caller's sums
  const place = element("div", {});
  show(
    main,
    element("h1", {}, spoken(slug)),
    element("p", {}, `${row.definition}.`),
    pairs([
      ["Category", spoken(row.category)],
      ["Can be judged by", row.kinds.join(", ")],
      ...(row.honest_line ? [["Does not say", row.honest_line]] : []),
    ]),
    place,
    otherCallers(among.rates.filter((each) => each.subcategory === slug && each.among_callers)),
    behind(row),
  );
  const says = names.has("probes") ? ((await ask("probes")).probes?.probes ?? {}) : {};
  return { refresh: async () => show(place, await sections({ ...row, report: (await monitors(names)).get(slug) }, says)) };
}

const PIVOTS = ["model", "route", "language"];
const MOST = 12; // of each, so that a page stays quick where callers name any model

async function sections(row, says) {
  const groups = await ask("groups", { window: "24h" });
  const byWindow = await Promise.all(WINDOWS.map(async (window) => [window, await own(row, { window })]));
  const by = await Promise.all(
    PIVOTS.map(async (pivot) => {
      const names = groups[pivot].slice(0, MOST);
      const found = await Promise.all(names.map(async (name) => [name, await own(row, { window: "24h", [pivot]: name })]));
      return found.length ? estimates(`By ${pivot}, 24 hours`, spoken(pivot), found, row) : [];
    }),
  );
  const judged = byWindow.some(([, rates]) => rates.length);
  const shares = judged ? [estimates("By window", "Window", byWindow, row), by] : row.report ? [] : estimates("By window", "Window", [], row);
  return [shares, monitored(row), probed(row, byWindow.at(-1), says)];
}

// What its monitor found over 24 hours, or what it still needs.
function monitored({ report, slug }) {
  if (!report) return [];
  const heading = element("h2", {}, "What its monitor found, 24 hours");
  if (!report.rows.length) return [heading, element("p", { class: "soft" }, `Nothing can be said yet: needs ${report.missing}.`)];
  const alarms = report.alarms.length ? element("p", {}, element("strong", { class: "found" }, `${report.alarms.length} of it lasts: `), element("a", { href: "#/alarms" }, "see the alarms"), ".") : [];
  return [heading, element("p", { class: "soft small" }, "Over all rows, at most 5 % of the findings are expected to be false (1 % for words)."), alarms, findings(`What the monitor of ${spoken(slug).toLowerCase()} found`, report.rows)];
}

// What probes measured in the longest window.
function probed(row, [window, rates], says) {
  if (!row.probes) return [];
  const heading = element("h2", {}, `What probes found, ${window}`);
  const found = rates.flatMap((rate) => Object.entries(rate.probes ?? {}));
  if (!found.length) return [heading, element("p", { class: "soft" }, `Nothing yet: ${row.probes}.`)];
  const lines = found.map(([name, each]) => {
    const probe = name.replace(/^probe:/, "").replace(/@.*$/, "");
    return element("tr", {}, element("th", { scope: "row" }, probe), cell(says[probe]?.says ?? "", "wide"), cell(written({ ...each, basis: "probe" })), cell(count(each.effective_samples), "number soft"));
  });
  const shown = table(`What probes of ${spoken(row.slug).toLowerCase()} measured`, ["Probe", "Says", "Share, or difference", "Requests’ worth"], lines);
  shown.querySelector("thead th:nth-child(2)").classList.add("wide");
  return [heading, shown];
}

async function own(row, parameters) {
  const { rates } = await ask("rates", parameters);
  return rates.filter((each) => each.subcategory === row.slug);
}

export function estimates(title, what, groups, row) {
  const found = groups.flatMap(([name, rates]) => rates.map((rate) => ({ name, direction: rate.direction, estimate: estimateOf(rate) }))).filter((each) => each.estimate);
  const heading = element("h2", {}, title);
  if (!found.length) return [heading, element("p", { class: "soft" }, missing(row))];
  const heads = [what, "Where", "Share of traffic"].map((name) => element("th", { scope: "col" }, name));
  heads.push(element("th", { scope: "col", class: "wide" }, axis()), element("th", { scope: "col" }, "Rests on"), element("th", { scope: "col", class: "wide number" }, "Samples’ worth"));
  const body = found.map(({ name, direction, estimate }) =>
    element(
      "tr",
      {},
      element("th", { scope: "row" }, name),
      cell(way(direction)),
      cell(written(estimate)),
      cell(band(estimate, direction), "wide"),
      cell(chip(estimate.basis)),
      cell(count(estimate.n), "wide number soft"),
    ),
  );
  return [heading, scrolling(title, element("table", {}, element("thead", {}, element("tr", {}, heads)), element("tbody", {}, body)))];
}

function otherCallers(rates) {
  if (!rates.length) return [];
  const heads = ["Where", "This traffic", "Other callers like these", "Callers’ worth", "Busiest makes"];
  const lines = rates.map(({ direction, basis, rate, among_callers: among }) =>
    element(
      "tr",
      {},
      element("th", { scope: "row" }, way(direction)),
      cell(written({ ...rate, basis })),
      cell(`${percent(among.low)} to ${percent(among.high)}`),
      cell(among.callers.toFixed(1), "number"),
      cell(percent(among.busiest), "number"),
    ),
  );
  return [element("h2", {}, "Beyond these callers, 24 hours"), element("p", { class: "soft small" }, "The first interval holds for the traffic that passed. The rate of other callers is less sure the more callers differ and the fewer there are."), table("Rates of this traffic and of other callers", heads, lines)];
}

function behind(row) {
  const off = Object.entries(row.off).map(([detector, why]) => element("p", {}, element("strong", {}, detector), ` was trained for it and is turned off: ${why}.`));
  return [
    element("h2", {}, "What measures it"),
    row.monitor ? element("p", {}, element("strong", {}, "A monitor. "), row.monitor) : row.needs && element("p", {}, `Nothing judges it yet. It needs ${row.needs}.`),
    row.detectors.map(card),
    off,
  ];
}

function card(detector) {
  const judges = detector.roles.length ? `judges ${detector.roles.join(" and ")}` : "";
  const head = element("h3", {}, `${detector.id} (${detector.kind}) ${judges}`);
  if (!detector.measured.length) return [head, element("p", { class: "soft" }, "Not measured on a public set.")];
  const rows = detector.measured.map((figure) =>
    element("tr", {}, element("th", { scope: "row" }, figure.set), cell(figure.metric), cell(figure.value.toFixed(3), "number"), cell(count(figure.rows), "number"), cell(figure.seen ? "yes" : "", "wide"), cell(figure.date, "wide soft")),
  );
  const shown = table(`${detector.id}: figures of its card`, ["Set", "Figure", "Value", "Texts", "Trained on other rows of it", "Measured"], rows);
  shown.querySelectorAll("thead th:nth-child(n+5)").forEach((node) => node.classList.add("wide"));
  return [head, element("details", {}, element("summary", {}, `${rows.length} figures of its card`), shown)];
}
