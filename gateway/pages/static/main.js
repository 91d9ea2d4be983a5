// Chooses the section to show, refreshes it, and asks for the operator's key.

import { alarms } from "./views/alarms.js";
import { Refusal, ask, hasKey, offered, useKey } from "./api.js";
import { changes } from "./views/changes.js";
import { compare } from "./views/compare.js";
import { connect } from "./views/connect.js";
import { coverage } from "./views/coverage.js";
import { detail } from "./views/detail.js";
import { element, show } from "./dom.js";
import { flags } from "./views/flags.js";
import { overview } from "./views/overview.js";
import { policy } from "./views/policy.js";
import { review } from "./views/review.js";

const EVERY_MS = 10_000;
const main = document.getElementById("main");

// The sections: path, title, the view that shows it, and what the gateway must offer for it.
const SECTIONS = [
  { path: "", title: "Trust", view: overview, needs: "rates" },
  { path: "alarms", title: "Alarms", view: alarms, needs: "alarms" },
  { path: "changes", title: "Changes", view: changes, needs: "changes" },
  { path: "compare", title: "Compare", view: compare, needs: "compare" },
  { path: "review", title: "Review", view: review, needs: "review" },
  { path: "policy", title: "Policy", view: policy, needs: "policy" },
  { path: "flags", title: "Latest flags", view: flags, needs: "flags" },
  { path: "coverage", title: "Coverage", view: coverage, needs: "status" },
  { path: "connect", title: "Connect", view: connect, needs: "status" },
];
const DETAIL = { path: "subcategory", title: "Sub-category", view: detail };

let names = new Set();
let shown = null;
let timer;

function asked() {
  const [path, ...rest] = decodeURIComponent(location.hash.replace(/^#\/?/, "")).split("/");
  const section = path === DETAIL.path ? DETAIL : SECTIONS.find((each) => each.path === path) ?? SECTIONS[0];
  return { section, argument: rest.join("/"), where: location.hash };
}

function showSections(current) {
  const usable = SECTIONS.filter((each) => names.has(each.needs));
  const link = (each) => element("a", { href: `#/${each.path}`, "aria-current": each === current && "page" }, each.title);
  show(document.getElementById("sections"), usable.map((each) => element("li", {}, link(each))));
}

// Shows the section that the address names. A view returns a function that refreshes it, or none if it does so itself.
async function go(moved) {
  clearTimeout(timer);
  const { section, argument, where } = asked();
  try {
    if (!names.size) names = await offered();
    showSections(section);
    document.title = `${section === DETAIL ? argument : section.title} · Assay`;
    if (moved || shown?.where !== where) {
      shown?.leave?.();
      main.replaceChildren();
      shown = { where, ...(await section.view(main, argument, names)) };
    }
    await shown.refresh?.();
    main.dataset.shown = where;
    if (moved && !main.contains(document.activeElement)) main.focus({ preventScroll: true }); // a view may have chosen
    mend();
  } catch (error) {
    if (error instanceof Refusal && error.wantsKey) return askForKey();
    console.error(error);
    complain(error instanceof Refusal ? error.message : `An error in this page: ${error.message}`);
  }
  timer = setTimeout(() => (document.hidden ? null : go(false)), EVERY_MS);
}

function mend() {
  document.getElementById("problem")?.remove();
}

function complain(message) {
  mend();
  main.prepend(element("div", { id: "problem", class: "card problem", role: "alert" }, element("p", {}, message)));
}

function askForKey() {
  names = new Set();
  shown = null;
  const field = element("input", { type: "password", id: "key", autocomplete: "off", spellcheck: "false", required: true });
  const enter = (event) => {
    event.preventDefault();
    useKey(field.value.trim());
    go(true);
  };
  show(
    main,
    element("h1", {}, "Operator key"),
    element("p", {}, "These figures are for the gateway's operator. The key stays in this page's memory: it is not stored, and a reload forgets it."),
    element(
      "form",
      { class: "filters", onsubmit: enter },
      element("label", {}, "Operator key", field),
      element("button", { class: "main" }, "Show"),
    ),
    element("p", { role: "alert", class: "small" }, hasKey() ? "That is not the operator's key of this gateway (`operator_key`)." : ""),
  );
  field.focus();
}

async function about() {
  const status = await ask("status");
  show(document.getElementById("foot"), `Assay ${status.version}. Figures are refreshed every 10 seconds.`);
}

addEventListener("hashchange", () => go(true));
document.addEventListener("visibilitychange", () => document.hidden || go(false));
document.querySelector("[data-skip]").addEventListener("click", (event) => {
  event.preventDefault();
  main.focus();
});
go(false).then(about).catch(() => {});
