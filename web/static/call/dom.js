/** What this page adds to the helpers that all pages share. */

import { announce, ask, byId } from "../app/dom.js";

export { announce, ask, byId, notice, paint, showOnly } from "../app/dom.js";

const ICONS = new URL("../icons.svg", import.meta.url).pathname;
const CAPTIONS_KEPT = 12;

/** Exchange the drawing of a button or a mark. */
export function setIcon(element, name) {
  element.querySelector("use").setAttribute("href", `${ICONS}#${name}`);
}

/** An element with properties and children. */
export function make(tag, properties = {}, ...children) {
  const element = Object.assign(document.createElement(tag), properties);
  element.append(...children);
  return element;
}

/** An icon as an element. */
export function icon(name) {
  const svg = document.createElementNS("http://www.w3.org/2000/svg", "svg");
  const use = document.createElementNS("http://www.w3.org/2000/svg", "use");
  svg.setAttribute("class", "icon");
  svg.setAttribute("aria-hidden", "true");
  use.setAttribute("href", `${ICONS}#${name}`);
  svg.append(use);
  return svg;
}

/** Press or release a button that stays down. */
export function press(button, on) {
  button.setAttribute("aria-pressed", String(on));
}

/** Say what happens, one line after another: nothing is lost when two things happen at once. */
export function caption(sentence) {
  const log = byId("captions");
  log.append(make("p", { textContent: sentence }));
  while (log.childElementCount > CAPTIONS_KEPT) log.firstElementChild.remove();
}

/** Ask a yes-or-no question. @returns {Promise<boolean>} */
export async function sure(title, text, yes) {
  byId("sure-title").textContent = title;
  byId("sure-text").textContent = text;
  byId("sure-yes").textContent = yes;
  return (await ask(byId("sure"))) === "yes";
}

/** 83 s → "1:23" */
export function clock(seconds) {
  const whole = Math.max(0, Math.round(seconds));
  return `${Math.floor(whole / 60)}:${String(whole % 60).padStart(2, "0")}`;
}

/** 4200000 → "4.2 MB" */
export function size(bytes) {
  return bytes < 1e6 ? `${Math.max(1, Math.round(bytes / 1e3))} kB` : `${(bytes / 1e6).toFixed(1)} MB`;
}

export { announce as say };
