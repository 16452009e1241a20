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
      card.querySelector("a").href = `#avatar=${record.id}`;
      this.#library.draw(record.id, card.querySelector("canvas"));
    } else {
      card.querySelector(".card-note").textContent = `Being made, ${Math.round(record.progress * 100)} %`;
    }
    const remove = card.querySelector("button");
    remove.setAttribute("aria-label", `Delete ${record.name}`);
    remove.addEventListener("click", () => this.#delete(record));
    return card;
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
