/** The first view: which avatar speaks, or make the first one. */

import { announce, ask, byId, notice } from "./dom.js";

const ENROLLING_POLL_MS = 1000;

export class ChooseView {
  #library;
  #timer = 0;
  element = byId("view-choose");

  constructor(library) {
    this.#library = library;
    byId("choose-retry").addEventListener("click", () => this.enter());
  }

  get title() {
    return this.#library.records.length || !this.#library.loaded ? byId("choose-title") : byId("welcome-title");
  }

  /** @param {string} [sentence] why one has landed here instead */
  async enter(sentence = "") {
    notice(byId("choose-problem"), sentence);
    if (this.#library.loaded) this.#render(); // what is known, at once
    try {
      await this.#library.refresh();
      notice(byId("choose-problem"), sentence);
    } catch (error) {
      notice(byId("choose-problem"), error.message);
    }
    if (this.element.hidden) return;
    this.#render();
    const busy = this.#library.records.some(({ status }) => status === "enrolling");
    if (busy) this.#timer = setTimeout(() => this.enter(), ENROLLING_POLL_MS);
  }

  leave() {
    clearTimeout(this.#timer);
  }

  #render() {
    clearTimeout(this.#timer);
    const { records } = this.#library;
    const broken = !this.#library.loaded; // nothing is known, so nobody is welcomed
    byId("welcome").hidden = records.length > 0 || broken;
    byId("choose-retry").hidden = !broken;
    this.element.querySelector(".intro").hidden = records.length === 0 && !broken;
    this.element.setAttribute("aria-labelledby", this.title.id);
    const list = byId("avatars");
    list.hidden = records.length === 0;
    list.replaceChildren(newCard(), ...records.map((record) => this.#card(record)));
  }

  #card(record) {
    const card = byId("card").content.cloneNode(true).firstElementChild;
    card.querySelector(".card-name").textContent = record.name;
    if (record.status === "ready") {
      this.#library.draw(record.id, card.querySelector("canvas"));
      if (record.refusal) this.#refuse(card, record);
      else card.querySelector("a").href = `#avatar=${record.id}`;
    } else {
      card.querySelector(".card-note").textContent = `Being made, ${Math.round(record.progress * 100)} %`;
    }
    const tools = {
      rename: [`Rename ${record.name}`, () => this.#rename(record)],
      save: [`Save ${record.name} as a file`, () => this.#save(record)],
      delete: [`Delete ${record.name}`, () => this.#delete(record)],
    };
    for (const button of card.querySelectorAll("[data-do]")) {
      const [label, action] = tools[button.dataset.do];
      button.title = label;
      button.setAttribute("aria-label", label);
      button.hidden = record.status !== "ready" && button.dataset.do !== "delete";
      button.addEventListener("click", action);
    }
    return card;
  }

  /** A face without a valid consent cannot be used: say why, and what helps. */
  #refuse(card, record) {
    card.classList.add("refused");
    card.querySelector(".card-note").textContent = `Cannot be used: ${record.refusal}`;
    const button = Object.assign(document.createElement("button"), { type: "button", className: "button", textContent: "Give consent" });
    button.setAttribute("aria-label", `Give consent for ${record.name}`);
    button.addEventListener("click", () => this.#consent(record));
    card.append(button);
  }

  async #consent(record) {
    const dialog = byId("consenting");
    byId("consenting-why").textContent = record.refusal;
    byId("consenting-who").value = "";
    byId("consenting-who").placeholder = record.name;
    byId("consenting-agree").checked = false;
    byId("consenting-problem").textContent = "";
    dialog.querySelector("form").onsubmit = (event) => {
      if (event.submitter?.value !== "give" || byId("consenting-agree").checked) return;
      event.preventDefault();
      byId("consenting-problem").textContent = "Without this agreement the avatar stays unused.";
      byId("consenting-agree").focus();
    };
    if ((await ask(dialog)) !== "give") return;
    const terms = { statement: byId("consenting-statement").textContent, who: byId("consenting-who").value.trim() };
    try {
      await this.#library.giveConsent(record.id, terms);
      announce(`${record.name} can be used again.`);
    } catch (error) {
      return notice(byId("choose-problem"), error.message);
    }
    await this.enter();
    this.element.querySelector(`[href="#avatar=${CSS.escape(record.id)}"]`)?.focus();
  }

  async #rename({ id, name }) {
    byId("rename-input").value = name;
    const answer = ask(byId("rename"));
    byId("rename-input").select();
    const wanted = (await answer) === "rename" ? byId("rename-input").value.trim() : "";
    if (!wanted || wanted === name) return;
    try {
      await this.#library.rename(id, wanted);
      announce(`${name} is called ${wanted} now.`);
    } catch (error) {
      notice(byId("choose-problem"), error.message);
    }
    this.#render();
  }

  async #save({ id, name }) {
    try {
      const address = URL.createObjectURL(await this.#library.bundle(id));
      const file = `${name.replace(/[^\p{L}\p{N}]+/gu, "-")}.vav`;
      Object.assign(document.createElement("a"), { href: address, download: file }).click();
      setTimeout(() => URL.revokeObjectURL(address), 60_000);
      announce(`${name} was saved as ${file}.`);
    } catch (error) {
      notice(byId("choose-problem"), error.message);
    }
  }

  async #delete({ id, name }) {
    byId("confirm-title").textContent = `Delete ${name}?`;
    if ((await ask(byId("confirm"))) !== "delete") return;
    try {
      await this.#library.remove(id);
      announce(`${name} was deleted.`);
    } catch (error) {
      notice(byId("choose-problem"), error.message);
    }
    this.#render();
    this.title.focus();
  }
}

function newCard() {
  const card = document.createElement("li");
  card.className = "card card-new";
  card.innerHTML = `<a class="card-link" href="#new"><span class="tile"><svg class="icon" aria-hidden="true">
    <use href="static/icons.svg#plus"/></svg></span><span class="card-name">New avatar</span></a>`;
  return card;
}
