// Makes elements from data. Everything that comes from traffic is added as text, never as markup.

const SVG = "http://www.w3.org/2000/svg";

export function element(name, attributes = {}, ...children) {
  return filled(document.createElement(name), attributes, children);
}

export function drawn(name, attributes = {}, ...children) {
  return filled(document.createElementNS(SVG, name), attributes, children);
}

function filled(node, attributes, children) {
  for (const [name, value] of Object.entries(attributes)) {
    if (name.startsWith("on")) node.addEventListener(name.slice(2), value);
    else if (value === true) node.setAttribute(name, "");
    else if (value !== false && value != null) node.setAttribute(name, value);
  }
  node.append(...children.flat(Infinity).filter((child) => child != null && child !== false && child !== ""));
  return node;
}

// Replaces the children of a place and keeps the keyboard's focus.
export function show(place, ...children) {
  const focused = place.contains(document.activeElement) ? document.activeElement.id : "";
  place.replaceChildren(...children.flat(Infinity).filter((child) => child != null && child !== false && child !== ""));
  if (focused) document.getElementById(focused)?.focus({ preventScroll: true });
}

let silence;

// Says what was done, for screen readers too.
export function say(text) {
  const place = document.getElementById("said");
  place.textContent = text;
  clearTimeout(silence);
  silence = setTimeout(() => (place.textContent = ""), 6000);
}

// A table that scrolls if it is too wide, by keyboard too.
export function table(caption, heads, rows) {
  const head = element("tr", {}, heads.map((name) => element("th", { scope: "col" }, name)));
  const body = element("tbody", {}, rows);
  return scrolling(caption, element("table", {}, element("caption", {}, caption), element("thead", {}, head), body));
}

export function scrolling(name, content) {
  return element("div", { class: "scroll", role: "region", "aria-label": name, tabindex: "0" }, content);
}

// A text from traffic. It scrolls if it is long, by keyboard too.
export function passage(name, text) {
  return element("div", { class: "text", tabindex: "0", role: "group", "aria-label": name }, text);
}

export function cell(content, kind) {
  return element("td", { class: kind }, content);
}

export function pairs(rows) {
  return element("dl", {}, rows.map(([name, value]) => [element("dt", {}, name), element("dd", {}, value)]));
}
