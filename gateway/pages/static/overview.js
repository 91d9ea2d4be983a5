// The 29 rows by category, the worst first.

import { ask, baseUrl } from "./api.js";
import { element, scrolling, show } from "./dom.js";
import { BASES, axis, band, chip, count, estimateOf, way, written } from "./estimates.js";
import { chosen, filters } from "./filters.js";

export async function overview(main) {
  const rows = await ask("taxonomy");
  const place = element("div", {});
  const refresh = async () => show(place, summary(rows, await ask("rates", chosen())));
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

function legend() {
  return [
    element("h2", {}, "What an estimate rests on"),
    element(
      "dl",
      {},
      Object.entries(BASES).map(([basis, sense]) => [element("dt", {}, chip(basis)), element("dd", {}, sense)]),
    ),
    element("p", { class: "soft small" }, "Bands are 95 % intervals on a logarithmic scale. Where nothing was judged there is no number, not zero."),
  ];
}

function summary(taxonomy, answer) {
  const found = Map.groupBy(answer.rates, (row) => row.subcategory);
  const rows = taxonomy.map((row) => ({ ...row, measured: measured(found.get(row.slug) ?? []) }));
  const groups = [...Map.groupBy(rows, (row) => row.category)].map(([name, own]) => [name, own.toSorted(worstFirst)]);
  groups.sort(([, a], [, b]) => worstFirst(a[0], b[0]));
  const heads = [
    element("th", { scope: "col" }, "Sub-category"),
    element("th", { scope: "col" }, element("span", { class: "wide" }, "Where")),
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

// What is surely there comes first, then what may be; what was not measured is last.
function worstFirst(a, b) {
  const [one, other] = [a.measured[0]?.estimate, b.measured[0]?.estimate];
  return (other?.low ?? -1) - (one?.low ?? -1) || (other?.high ?? -1) - (one?.high ?? -1);
}

function group(name, rows) {
  const head = element("tr", { class: "group" }, element("th", { scope: "rowgroup", colspan: 6 }, spoken(name)));
  return element("tbody", {}, head, rows.map(lines));
}

export function spoken(slug) {
  return slug.replaceAll("_", " ").replace(/^./, (first) => first.toUpperCase());
}

function lines(row) {
  const name = element("th", { scope: "row", rowspan: Math.max(1, row.measured.length) }, element("a", { href: `#/subcategory/${row.slug}`, id: `row-${row.slug}` }, spoken(row.slug)));
  if (!row.measured.length) return element("tr", {}, name, element("td", { colspan: 5, class: "soft" }, missing(row)));
  return row.measured.map(({ direction, estimate }, index) =>
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
}

export function missing(row) {
  return row.needs ? `not measured yet: needs ${row.needs}` : "not measured yet: no sample was judged in this window";
}
