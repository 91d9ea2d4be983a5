// The 29 rows by category, the worst first.

import { ask, baseUrl } from "../api.js";
import { element, scrolling, show } from "../dom.js";
import { BASES, axis, band, chip, count, estimateOf, way, written } from "../estimates.js";
import { chosen, filters } from "../filters.js";
import { inShort, spoken } from "../findings.js";

export async function overview(main, _, names) {
  const rows = await ask("taxonomy");
  const place = element("div", {});
  const refresh = async () => show(place, await aboutJudge(names), summary(rows, await ask("rates", chosen()), await monitors(names)));
  show(
    main,
    element("h1", {}, "How trustworthy is this traffic?"),
    element(
      "div",
      { class: "card connect" },
      element("p", {}, "Point an app here: ", element("code", {}, baseUrl())),
      element("p", {}, element("a", { href: "#/connect" }, "How")),
    ),
    await filters(refresh),
    place,
    legend(),
  );
  return { refresh };
}

// Warnings about the judge model, so that nobody trusts a rate that it made up.
async function aboutJudge(names) {
  const { judge } = names.has("judge") ? await ask("judge") : {};
  return (judge?.warnings ?? []).map((warning) =>
    element("div", { class: "card problem", role: "alert" }, element("p", {}, `The judge model ${judge.model}: ${warning}.`)),
  );
}

// The monitors' reports by sub-category. They are about all traffic, whichever group is chosen.
export async function monitors(names) {
  const reports = names.has("monitors") ? (await ask("monitors")).monitors : [];
  return new Map(reports.map((report) => [report.subcategory, report]));
}

function legend() {
  return [
    element("h2", {}, "What an estimate rests on"),
    element(
      "dl",
      {},
      Object.entries(BASES).map(([basis, sense]) => [element("dt", {}, chip(basis)), element("dd", {}, sense)]),
    ),
    element("p", { class: "soft small" }, "Bands are 95 % intervals on a logarithmic scale. Where nothing was judged there is no figure, which does not mean zero."),
  ];
}

function summary(taxonomy, answer, reports) {
  const found = Map.groupBy(answer.rates, (row) => row.subcategory);
  const rows = taxonomy.map((row) => ({ ...row, measured: measured(found.get(row.slug) ?? []), report: reports.get(row.slug) }));
  const groups = [...Map.groupBy(rows, (row) => row.category)].map(([name, own]) => [name, own.toSorted(worstFirst)]);
  groups.sort(([, a], [, b]) => worstFirst(a[0], b[0]));
  const heads = [
    element("th", { scope: "col" }, "Sub-category"),
    element("th", { scope: "col" }, element("span", { class: "heard" }, "Where")),
    element("th", { scope: "col" }, "Share of traffic"),
    element("th", { scope: "col", class: "wide" }, axis()),
    element("th", { scope: "col" }, "Rests on"),
    element("th", { scope: "col", class: "wide number" }, "Samples’ worth"),
  ];
  const caption = `Estimated share of exchanges in the last ${answer.window}, worst first.`;
  return scrolling(
    "Estimates for the 29 sub-categories",
    element(
      "table",
      { id: "rows" },
      element("caption", {}, caption),
      element("thead", {}, element("tr", {}, heads)),
      groups.map(([name, own]) => group(name, own)),
    ),
  );
}

function measured(rows) {
  const found = rows.map((row) => ({ direction: row.direction, estimate: estimateOf(row) })).filter((row) => row.estimate);
  return found.toSorted((a, b) => b.estimate.low - a.estimate.low);
}

// The highest lower limit comes first, then the highest upper limit; what was not measured is last.
function worstFirst(a, b) {
  const [one, other] = [a.measured[0]?.estimate, b.measured[0]?.estimate];
  const surely = (row) => (row.report?.found ? 1 : 0);
  return (other?.low ?? -1) - (one?.low ?? -1) || (other?.high ?? -1) - (one?.high ?? -1) || surely(b) - surely(a);
}

function group(name, rows) {
  const head = element("tr", { class: "group" }, element("th", { scope: "rowgroup", colspan: 6 }, spoken(name)));
  return element("tbody", {}, head, rows.map(lines));
}

export { spoken };

function lines(row) {
  const short = inShort(row.report);
  const name = element("th", { scope: "row", rowspan: Math.max(1, row.measured.length + (short ? 1 : 0)) }, element("a", { href: `#/subcategory/${row.slug}`, id: `row-${row.slug}` }, spoken(row.slug)));
  const seen = short && element("td", { colspan: 5, class: row.report.found ? "" : "soft" }, short);
  if (!row.measured.length) return element("tr", {}, name, seen || element("td", { colspan: 5, class: "soft" }, missing(row)));
  const judged = row.measured.map(({ direction, estimate }, index) =>
    element(
      "tr",
      {},
      index ? [] : name,
      element("td", {}, way(direction)),
      element("td", {}, written(estimate)),
      element("td", { class: "wide" }, band(estimate, direction)),
      element("td", {}, chip(estimate.basis)),
      element("td", { class: "wide number soft" }, count(estimate.n)),
    ),
  );
  return [judged, seen && element("tr", {}, seen)];
}

export function missing(row) {
  if (row.report?.missing && !row.detectors.length) return `not measured yet: needs ${row.report.missing}`;
  return row.needs ? `not measured yet: needs ${row.needs}` : "not measured yet: no sample was judged in this window";
}
