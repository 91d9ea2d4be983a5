// Chooses the window, route and model of the figures. The choice lasts until the page is closed.

import { ask } from "./api.js";
import { element } from "./dom.js";

export const WINDOWS = ["5m", "1h", "24h", "7d"];
const choice = { window: "1h", route: "", model: "" };

export function chosen() {
  return { ...choice };
}

export async function filters(changed) {
  const { route: routes, model: models } = await ask("groups", { window: "7d" });
  return element(
    "form",
    { class: "filters", "aria-label": "Which traffic", onsubmit: (event) => event.preventDefault() },
    choose("Window", "window", WINDOWS.map((window) => [window, window]), changed),
    choose("Route", "route", [["", "all"], ...routes.map((route) => [route, route])], changed),
    choose("Model", "model", [["", "all"], ...models.map((model) => [model, model])], changed),
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
