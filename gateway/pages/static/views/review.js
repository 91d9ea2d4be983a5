// The review: one item at a time, labelled by keyboard. Each label counts as 1 / (the probability it was drawn with).

import { ask, tell } from "../api.js";
import { element, pairs, passage, say, show } from "../dom.js";
import { spoken } from "./overview.js";

const HOURS = { "": "any time", 1: "last hour", 24: "last 24 hours" };
const SHOWN = 6; // of the sub-categories of an item; the others are behind a button
const KEYS = [["y", "yes"], ["n", "no"], ["↑ ↓", "another row"], ["x", "no to all"], ["Enter", "keep and go on"], ["s", "skip"]];

const wanted = { by: "operator", subcategory: "", route: "", model: "", decision: "", hours: "" };
const skipped = new Set();

export async function review(main) {
  const [rows, { routes }] = await Promise.all([ask("taxonomy"), ask("status")]);
  const place = element("div", { id: "item" });
  const next = () => showNext(place);
  show(
    main,
    element("h1", {}, "Review"),
    element("p", {}, "Labels of a few samples make the rates right, however wrong the detectors are. Say what a text shows, not whether you would block it."),
    element(
      "form",
      { class: "filters", "aria-label": "Which items", onsubmit: (event) => event.preventDefault() },
      typed("Reviewer", "by", next),
      choice("Sub-category", "subcategory", [["", "any"], ...rows.map((row) => [row.slug, spoken(row.slug)])], next),
      choice("Route", "route", [["", "any"], ...routes.map((route) => [route, route])], next),
      typed("Model", "model", next),
      choice("Detectors", "decision", [["", "any"], ["flag", "flagged"], ["allow", "not flagged"]], next),
      choice("Time", "hours", Object.entries(HOURS), next),
    ),
    element("p", { class: "small" }, KEYS.map(([key, sense]) => [element("kbd", {}, key), ` ${sense}   `])),
    place,
  );
  const typing = (event) => onKey(event, place);
  document.addEventListener("keydown", typing);
  await next();
  return { leave: () => document.removeEventListener("keydown", typing) };
}

function choice(label, name, options, changed) {
  const choose = (event) => ((wanted[name] = event.target.value), changed());
  const select = element("select", { id: `review-${name}`, onchange: choose }, options.map(([value, text]) => element("option", { value, selected: value === wanted[name] }, text)));
  return element("label", {}, label, select);
}

function typed(label, name, changed) {
  const type = (event) => ((wanted[name] = event.target.value.trim()), changed());
  return element("label", {}, label, element("input", { id: `review-${name}`, value: wanted[name], autocomplete: "off", spellcheck: "false", onchange: type }));
}

let current = null; // the item on the screen, with the answers given so far

async function showNext(place) {
  const { hours, ...filters } = wanted;
  const since = hours ? Date.now() / 1000 - 3600 * hours : "";
  try {
    const found = await ask("review", { ...filters, since, most: 50 });
    const item = found.items.find((each) => !skipped.has(each.sample));
    current = item ? { item, answers: new Map(), rows: ordered(item), all: false } : null;
    show(place, item ? drawItem(found) : element("p", { class: "soft" }, "Nothing waits for a label here."), agreement(found.agreement));
    place.querySelector(".row")?.focus();
  } catch (error) {
    show(place, element("div", { class: "card problem", role: "alert" }, element("p", {}, error.message)));
  }
}

const keyOf = (score) => `${score.direction} ${score.subcategory}`;

// The flagged ones first, then by score.
function ordered(item) {
  return item.scores.toSorted((a, b) => b.flagged - a.flagged || b.score - a.score);
}

function drawItem(found) {
  const { item, rows, all } = current;
  const texts = Object.entries(item.texts ?? {});
  return element(
    "section",
    { class: "card", "aria-label": "Item to label" },
    pairs([
      ["Why this one", item.why],
      ["When", new Date(1000 * item.at).toLocaleString()],
      ["Route, model", `${item.route}, ${item.model}`],
      ...(item.language ? [["Language", item.language]] : []),
      ...(item.unread ? [["Not wholly read", item.unread]] : []),
    ]),
    texts.length ? texts.map(([where, text]) => [element("h2", {}, spoken(where)), passage(`The ${where}`, text)]) : element("p", { class: "soft" }, found.note ?? "The texts of this item are not kept."),
    element("h2", {}, "Is it there?"),
    rows.slice(0, all ? rows.length : SHOWN).map(question),
    element(
      "div",
      { class: "choices" },
      element("button", { class: "main", id: "keep", onclick: keep }, "Keep and go on"),
      element("button", { id: "no-to-all", onclick: noToAll }, "No to all"),
      element("button", { id: "skip", onclick: skip }, "Skip"),
      !all && rows.length > SHOWN && element("button", { id: "more", onclick: () => more(found) }, `${rows.length - SHOWN} more`),
    ),
    element("p", { class: "soft small" }, `${found.waiting} items wait in all. Rows without an answer are not counted.`),
  );
}

function question(score, index) {
  const key = keyOf(score);
  const radio = (value, text) => {
    const mark = () => current.answers.set(key, value);
    return element("label", { class: "answer" }, element("input", { type: "radio", name: `answer-${index}`, value: String(value), checked: current.answers.get(key) === value, onchange: mark }), text);
  };
  const title = `${spoken(score.subcategory)} in the ${score.direction}`;
  const hint = `${score.flagged ? "flagged, " : ""}score ${score.score.toFixed(2)}`;
  return element("fieldset", { class: "row", tabindex: "-1", "data-key": key }, element("legend", {}, title, element("span", { class: "soft small" }, ` ${hint}`)), radio(true, "yes"), radio(false, "no"));
}

function more(found) {
  current.all = true;
  document.querySelector("#item > section").replaceWith(drawItem(found));
  document.querySelectorAll(".row")[SHOWN]?.focus();
}

function onKey(event, place) {
  if (!current || event.ctrlKey || event.metaKey || event.altKey || event.target.closest("select, form input, nav, header")) return;
  const onButton = event.target.closest("button, a");
  const does = { y: () => answer(true), n: () => answer(false), x: noToAll, s: skip, ArrowDown: () => move(1), ArrowUp: () => move(-1), Enter: onButton ? null : keep }[event.key];
  if (!does || !place.isConnected || (event.target.closest(".text") && event.key.startsWith("Arrow"))) return;
  event.preventDefault();
  does();
}

const questions = () => [...document.querySelectorAll(".row")];
const at = () => Math.max(0, questions().findIndex((row) => row.contains(document.activeElement)));

function move(by) {
  const rows = questions();
  rows[Math.min(rows.length - 1, Math.max(0, at() + by))]?.focus();
}

function answer(value) {
  const row = questions()[at()];
  current.answers.set(row.dataset.key, value);
  row.querySelector(`input[value="${value}"]`).checked = true;
  say(`${row.querySelector("legend").firstChild.textContent}: ${value ? "yes" : "no"}`);
  move(1);
}

function noToAll() {
  for (const score of current.rows) current.answers.set(keyOf(score), false);
  for (const row of questions()) row.querySelector('input[value="false"]').checked = true;
  say("No to all. Enter keeps it.");
}

function skip() {
  skipped.add(current.item.sample);
  showNext(document.getElementById("item"));
}

async function keep() {
  const { item, answers } = current;
  if (!answers.size) return say("Answer at least one row with y or n, or skip.");
  const labels = [...answers].map(([key, value]) => ({ direction: key.split(" ")[0], subcategory: key.split(" ")[1], value }));
  try {
    await tell("labels", { sample: item.sample, by: wanted.by, labels });
    skipped.add(item.sample);
    say(`${labels.length} ${labels.length === 1 ? "label" : "labels"} kept.`);
    await showNext(document.getElementById("item"));
  } catch (error) {
    say(error.message);
  }
}

function agreement(found) {
  if (!found?.length) return null;
  return [
    element("h2", {}, "Agreement"),
    found.map(({ reviewers, labels, equal_share, kappa }) =>
      element("p", {}, `${reviewers.join(" and ")}: ${labels} labels by both, ${Math.round(100 * equal_share)} % the same, ${kappa == null ? "Cohen's kappa not defined" : `Cohen's kappa ${kappa.toFixed(2)}`}.`),
    ),
  ];
}
