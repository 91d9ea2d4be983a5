// Which window, route and model the figures are for. The choice lasts as long as the page.

import { ask } from "./api.js";
import { element } from "./dom.js";

export const WINDOWS = ["5m", "1h", "24h", "7d"];
const choice = { window: "1h", route: "", model: "" };

export function chosen() {
  return { ...choice };
}

export async function filters(changed) {
  const { routes } = await ask("status");
  return element(
    "form",
    { class: "filters", "aria-label": "Which traffic", onsubmit: (event) => event.preventDefault() },
    choose("Window", "window", WINDOWS.map((window) => [window, window]), changed),
    choose("Route", "route", [["", "all"], ...routes.map((route) => [route, route])], changed),
    typed("Model", "model", changed),
  );
}

function choose(label, name, options, changed) {
  const select = element("select", { id: `filter-${name}` }, options.map(([value, text]) => element("option", { value, selected: value === choice[name] }, text)));
  select.addEventListener("change", () => {
    choice[name] = select.value;
    changed();
  });
  return element("label", {}, label, select);
}

function typed(label, name, changed) {
  const field = element("input", { id: `filter-${name}`, value: choice[name], placeholder: "all", autocomplete: "off", spellcheck: "false" });
  field.addEventListener("change", () => {
    choice[name] = field.value.trim();
    changed();
  });
  return element("label", {}, label, field);
}
