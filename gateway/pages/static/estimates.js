// Estimates from the gateway, and how they are written and drawn.

import { drawn, element } from "./dom.js";

// What an estimate rests on, the surest first.
export const BASES = {
  labels: "people looked at a sample: the interval is for the rate of harm",
  judge: "a judge model looked at a sample: the interval is for what that model would say of all traffic",
  probe: "requests were sent again, unchanged or with one change: how often the answer differs, over the requests to which this applies",
  card: "the detector's errors on public benchmarks: a range and no promise, because your traffic differs from them",
  flags: "only what the detector flags: not a rate of harm",
};

// One shape for a row of `/trust/v1/rates`: {estimate, low, high, basis, n}, null where nothing was judged. On the basis
// `card` there is a range without an estimate, on `flags` only the flagged share.
export function estimateOf(row) {
  if (row.basis !== "flags" && row.rate.low != null) return { ...row.rate, n: row.rate.effective_samples };
  return row.flagged_share && { ...row.flagged_share, basis: "flags", n: row.effective_samples };
}

export function percent(share) {
  if (share == null) return "–";
  const value = 100 * share;
  if (value === 0) return "0 %";
  if (value < 0.001) return "< 0.001 %";
  return `${Number(value.toPrecision(value >= 99.5 ? 3 : 2))} %`;
}

export function count(n) {
  return n == null ? "–" : Math.round(n).toLocaleString("en");
}

export function chip(basis) {
  return element("span", { class: `basis on-${basis}`, title: BASES[basis] }, basis);
}

export function written(estimate) {
  const range = [element("span", {}, percent(estimate.low)), " to ", element("span", {}, percent(estimate.high))];
  return element(
    "span",
    { class: "estimate" },
    estimate.estimate == null ? [] : [element("strong", {}, percent(estimate.estimate)), " "],
    element("span", { class: estimate.estimate == null ? "" : "soft small" }, range),
    estimate.basis === "flags" && element("span", { class: "soft small" }, " flagged"),
  );
}

// A band on a logarithmic scale from 0.01 % to 100 %; what is below begins at the left edge.
const FROM = -4;
const STEPS = ["0.01 %", "0.1", "1", "10", "100 %"];

function place(share) {
  return 100 * Math.min(1, Math.max(0, (Math.log10(Math.max(share, 1e-9)) - FROM) / -FROM));
}

export function band(estimate, direction) {
  const [left, right] = [place(estimate.low), place(estimate.high)];
  const marks = STEPS.map((_, index) => drawn("line", { class: "grid", x1: `${25 * index}%`, x2: `${25 * index}%`, y1: 0, y2: 24 }));
  const range = drawn("rect", { class: `range ${direction}`, x: `${left}%`, width: `${Math.max(right - left, 0.8)}%`, y: 6, height: 12, rx: 2 });
  const at = place(estimate.estimate ?? estimate.low);
  const point = drawn("line", { class: direction, x1: `${at}%`, x2: `${at}%`, y1: 3, y2: 21, "stroke-width": 3 });
  return drawn("svg", { class: "band", "aria-hidden": "true" }, marks, range, estimate.estimate == null ? [] : point);
}

export function axis() {
  return element("span", { class: "axis" }, STEPS.map((step) => element("span", {}, step)));
}

export function way(direction) {
  return element("span", { class: `way ${direction}` }, direction);
}
