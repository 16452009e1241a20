/** The row of avatars one can wear, and making one on the way in. */

import { openPhoto } from "../app/photo.js";
import { byId, icon, make, paint, say, sure } from "./dom.js";

const OURS = { formats: [], max_bytes: 10_000_000 }; // a guest may not ask what else the server opens

export class Faces {
  #door;
  #lists;
  #onchoose;
  #onproblem;
  #pictures = new Map();
  records = [];
  chosen = "";
  loaded = false;
  owner = false; // of the server: may give consents

  /**
   * @param {import("./door.js").Door} door
   * @param {{list: HTMLElement, listen: boolean}[]} lists where they are shown, and whether "listen only" is among them
   * @param {(id: string) => void} onchoose "" is listening only
   * @param {(sentence: string) => void} onproblem
   */
  constructor(door, lists, onchoose, onproblem) {
    this.#door = door;
    this.#lists = lists;
    this.#onchoose = onchoose;
    this.#onproblem = onproblem;
    byId("making-cancel").addEventListener("click", () => byId("making").close());
    byId("making-form").addEventListener("submit", (event) => (event.preventDefault(), this.#make()));
  }

  async load(owner, wanted) {
    this.owner = owner;
    this.records = await this.#door.avatars(owner);
    this.loaded = true;
    const known = this.#usable.some(({ id }) => id === wanted);
    this.choose(known ? wanted : (this.#usable[0]?.id ?? ""), { quiet: true });
  }

  get #usable() {
    return this.records.filter(({ refusal }) => !refusal);
  }

  /** Say why a face cannot be worn, and what helps. */
  #refuse({ name, refusal }) {
    const help = this.owner ? `Give consent for it on the page of all avatars.` : "Choose another face, or make a new one.";
    this.#onproblem(`${name} cannot be worn: ${refusal} ${help}`);
  }

  choose(id, { quiet = false } = {}) {
    if (!quiet) this.#onproblem(""); // what was wrong with another face
    this.chosen = id;
    this.render();
    if (!quiet) this.#onchoose(id);
  }

  name(id) {
    return this.records.find((record) => record.id === id)?.name ?? "";
  }

  render() {
    for (const { list, listen } of this.#lists) {
      const focused = list.contains(document.activeElement) ? document.activeElement.dataset.id : null;
      const items = this.records.map((record) => this.#face(record));
      if (listen) items.push(this.#plain("", "Listen only", "headphones"));
      items.push(this.#plain("new", "New", "plus"));
      list.replaceChildren(...items);
      if (focused !== null) list.querySelector(`[data-id="${CSS.escape(focused)}"]`)?.focus();
    }
  }

  #face(record) {
    const { id, name, refusal } = record;
    const canvas = make("canvas", { width: 128, height: 128 });
    canvas.setAttribute("aria-hidden", "true");
    this.draw(id, canvas);
    const item = this.#item(id, name, canvas);
    if (refusal) {
      const button = item.firstElementChild;
      button.append(make("span", { className: "face-refusal", textContent: "No consent" }));
      button.setAttribute("aria-disabled", "true");
      button.title = refusal;
    }
    if (this.#door.mayErase(id)) item.append(this.#eraser(id, name));
    return item;
  }

  #eraser(id, name) {
    const button = make("button", { type: "button", className: "face-erase", title: `Erase ${name}` }, icon("trash"));
    button.setAttribute("aria-label", `Erase ${name}`);
    button.addEventListener("click", () => this.#erase(id, name, button));
    return button;
  }

  async #erase(id, name, button) {
    if (!(await sure(`Erase ${name}?`, "The photo and everything made from it are erased. Whoever wears this face is seen no more.", "Erase"))) return button.focus();
    try {
      await this.#door.eraseAvatar(id);
    } catch (error) {
      return this.#onproblem(error.message);
    }
    this.records = this.records.filter((record) => record.id !== id);
    say(`${name} was erased.`);
    this.choose(this.chosen === id ? (this.#usable[0]?.id ?? "") : this.chosen);
  }

  #plain(id, name, drawing) {
    return this.#item(id, name, make("span", { className: "face-plain" }, icon(drawing)));
  }

  #item(id, name, picture) {
    const button = make("button", { type: "button" }, picture, make("span", { className: "face-name", textContent: name }));
    button.dataset.id = id;
    if (id !== "new") button.setAttribute("aria-pressed", String(id === this.chosen));
    button.addEventListener("click", () => this.#pressed(id));
    return make("li", {}, button);
  }

  #pressed(id) {
    const refused = this.records.find((record) => record.id === id && record.refusal);
    if (id === "new") this.#ask();
    else if (refused) this.#refuse(refused);
    else this.choose(id);
  }

  async draw(id, canvas) {
    if (!this.#pictures.has(id)) this.#pictures.set(id, this.#door.preview(id).then(createImageBitmap).catch(() => null));
    canvas.dataset.avatar = id;
    const picture = await this.#pictures.get(id);
    if (!picture) this.#pictures.delete(id);
    else if (canvas.dataset.avatar === id) paint(canvas, picture);
    return Boolean(picture);
  }

  // ----------------------------------------------------------------------------- a new one

  #ask() {
    byId("making-form").reset();
    this.#busy(false);
    byId("making-problem").textContent = "";
    byId("making").showModal();
  }

  #busy(on) {
    byId("making-progress").hidden = !on;
    byId("making-go").disabled = on;
  }

  async #make() {
    const [photo] = byId("making-photo").files;
    const problem = byId("making-problem");
    if (!photo) return void (problem.textContent = "Choose a photo first.");
    if (!byId("making-consent").checked) return void (problem.textContent = "Without this agreement no avatar can be made.");
    problem.textContent = "";
    this.#busy(true);
    try {
      const opened = await openPhoto(photo, { can: async () => OURS });
      const record = await this.#door.makeAvatar({
        photo: opened.photo,
        name: byId("who").value.trim() || "My avatar",
        statement: byId("making-statement").textContent,
        onprogress: ({ progress }) => this.#progress(progress),
      });
      this.records = [record, ...this.records];
      byId("making").close();
      this.choose(record.id);
    } catch (error) {
      problem.textContent = error.message;
    }
    this.#busy(false);
  }

  #progress(share) {
    const percent = Math.round(share * 100);
    byId("making-progress").setAttribute("aria-valuenow", String(percent));
    byId("making-progress").firstElementChild.style.transform = `scaleX(${percent / 100})`;
  }
}
