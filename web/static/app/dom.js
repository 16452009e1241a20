/** Small helpers that every view uses. */

/** @param {string} id @returns {HTMLElement} */
export const byId = (id) => document.getElementById(id);

/** Say something to a screen reader without moving its focus. */
export function announce(sentence) {
  const region = byId("announcer");
  if (region.textContent !== sentence) region.textContent = sentence;
}

/** Show exactly one of some elements. */
export function showOnly(wanted, all) {
  for (const element of all) element.hidden = element !== wanted;
}

/** Exchange the drawing of a button. */
export function setIcon(button, name) {
  button.querySelector("use").setAttribute("href", `static/icons.svg#${name}`);
}

/** Fill a notice with a sentence, or hide it. */
export function notice(element, sentence = "", { calm = false } = {}) {
  element.hidden = !sentence;
  element.classList.toggle("calm", calm);
  element.querySelector("p").textContent = sentence;
  if (sentence) element.scrollIntoView({ block: "nearest" }); // on a phone it may be out of sight
}

/** Draw a picture into a canvas, filling it as object-fit: cover does. */
export function paint(canvas, picture) {
  const { width, height } = canvas;
  const scale = Math.max(width / picture.width, height / picture.height);
  const [w, h] = [picture.width * scale, picture.height * scale];
  const context = canvas.getContext("2d");
  context.imageSmoothingQuality = "high";
  context.drawImage(picture, (width - w) / 2, (height - h) / 2, w, h);
}

/** A number for people: no decimals that mean nothing, a dash for what is not known. */
export function figure(value, unit = "", digits = 0) {
  return Number.isFinite(value) ? `${value.toFixed(digits)}${unit && ` ${unit}`}` : "–";
}

/** Open a dialog and wait for its answer. @param {HTMLDialogElement} dialog */
export function ask(dialog) {
  dialog.returnValue = "";
  dialog.showModal();
  // Enter in a field would press the first button, which is Cancel.
  dialog.onkeydown = (event) => {
    if (event.key !== "Enter" || event.isComposing || !event.target.matches("input")) return;
    event.preventDefault();
    dialog.querySelector("form").requestSubmit(dialog.querySelector("button.primary"));
  };
  return new Promise((resolve) => {
    dialog.addEventListener("close", () => resolve(dialog.returnValue), { once: true });
  });
}
