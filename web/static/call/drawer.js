/** The side: what people write to each other, and who is here. */

import { byId, caption, icon, make, sure } from "./dom.js";
import { inWords } from "./tiles.js";

const LINK = /\bhttps?:\/\/[^\s<>"']+[^\s<>"'.,;:!?)]/g;

export class Drawer {
  #call;
  #open = "";
  #unread = 0;
  #drawer = byId("drawer");

  /** @param {import("./call.js").RoomCall} call */
  constructor(call) {
    this.#call = call;
    byId("open-chat").addEventListener("click", () => this.toggle("chat"));
    byId("open-people").addEventListener("click", () => this.toggle("people"));
    byId("close-drawer").addEventListener("click", () => this.close());
    for (const name of ["chat", "people"]) byId(`tab-${name}`).addEventListener("click", () => this.#show(name));
    this.#drawer.querySelector(".tabs").addEventListener("keydown", (event) => this.#arrow(event));
    this.#drawer.addEventListener("keydown", (event) => event.key === "Escape" && this.close());
    byId("write").addEventListener("submit", (event) => (event.preventDefault(), this.#send()));
    byId("message").addEventListener("keydown", (event) => {
      if (event.key !== "Enter" || event.shiftKey || event.isComposing) return;
      event.preventDefault();
      this.#send();
    });
    call.on("room", () => (this.#allMessages(), this.showPeople()));
    call.on("chat", (message) => this.#arrived(message));
    for (const name of ["join", "leave", "person", "speaking"]) call.on(name, () => this.showPeople());
  }

  get open() {
    return this.#open;
  }

  toggle(name) {
    if (this.#open === name) this.close();
    else this.#show(name);
  }

  close() {
    const from = this.#open;
    this.#open = "";
    this.#drawer.hidden = true;
    this.#buttons();
    if (from && this.#drawer.contains(document.activeElement) | (document.activeElement === document.body)) byId(`open-${from}`).focus();
  }

  #show(name) {
    this.#open = name;
    this.#drawer.hidden = false;
    for (const other of ["chat", "people"]) {
      const on = other === name;
      byId(`tab-${other}`).setAttribute("aria-selected", String(on));
      byId(`tab-${other}`).tabIndex = on ? 0 : -1;
      byId(`pane-${other}`).hidden = !on;
    }
    if (name === "chat") {
      this.#unread = 0;
      this.#scroll();
      if (!byId("write").hidden) byId("message").focus();
    } else byId("tab-people").focus();
    this.#buttons();
  }

  #buttons() {
    byId("open-chat").setAttribute("aria-expanded", String(this.#open === "chat"));
    byId("open-people").setAttribute("aria-expanded", String(this.#open === "people"));
    const badge = byId("unread");
    badge.hidden = this.#unread === 0;
    badge.textContent = this.#unread > 9 ? "9+" : String(this.#unread);
    byId("open-chat").setAttribute("aria-label", this.#unread ? `Chat, ${this.#unread} new` : "Chat");
  }

  #arrow(event) {
    if (!["ArrowLeft", "ArrowRight"].includes(event.key)) return;
    this.#show(this.#open === "chat" ? "people" : "chat");
    byId(`tab-${this.#open}`).focus();
  }

  // ------------------------------------------------------------------------------- chat

  #send() {
    const text = byId("message").value.trim();
    if (text && this.#call.write(text)) byId("message").value = "";
  }

  #allMessages() {
    byId("messages").replaceChildren(...this.#call.chat.map((message) => this.#line(message)));
    byId("write").hidden = this.#call.watching;
    this.#scroll();
  }

  #arrived(message) {
    byId("messages").append(this.#line(message));
    this.#scroll();
    if (message.id === this.#call.me) return;
    caption(`${message.name} writes: ${message.text}`);
    if (this.#open !== "chat") this.#unread += 1;
    this.#buttons();
  }

  #line({ id, name, text, at }) {
    const time = new Date(at * 1000);
    const head = make("p", { className: "message-head" }, make("strong", { textContent: id === this.#call.me ? "You" : name }),
      make("time", { dateTime: time.toISOString(), textContent: time.toLocaleTimeString([], { hour: "2-digit", minute: "2-digit" }) }));
    return make("li", { className: id === this.#call.me ? "message mine" : "message" }, head, make("p", { className: "message-text" }, ...linked(text)));
  }

  #scroll() {
    const list = byId("messages");
    list.scrollTop = list.scrollHeight;
  }

  // ----------------------------------------------------------------------------- people

  showPeople() {
    const people = [...this.#call.people.values()].filter(({ part }) => part !== "watcher");
    const focused = document.activeElement?.dataset?.act;
    byId("people").replaceChildren(...people.map((person) => this.#row(person)));
    if (focused) byId("people").querySelector(`[data-act="${CSS.escape(focused)}"]`)?.focus();
    byId("tab-people").textContent = `People (${people.length})`;
    byId("invite").hidden = this.#call.watching;
    this.#showOthers();
  }

  #showOthers() {
    const people = [...this.#call.people.values()];
    const listening = people.filter(({ part }) => part === "listener").map(({ id, name }) => (id === this.#call.me ? "you" : name));
    const watching = people.filter(({ part }) => part === "watcher").length;
    byId("listeners").hidden = !listening.length;
    byId("listeners").textContent = listening.length ? `Listening: ${listening.join(", ")}` : "";
    byId("watch-pill").hidden = !watching;
    byId("watch-pill").textContent = watching === 1 ? "1 person watches" : `${watching} people watch`;
    const seated = people.filter(({ part }) => part !== "watcher");
    byId("alone").hidden = this.#call.watching || seated.length > 1;
  }

  #row(person) {
    const me = person.id === this.#call.me;
    const notes = inWords(person, me).split(", ").slice(1).join(", ");
    const row = make("li", { className: "person" }, make("div", { className: "person-words" },
      make("span", { className: "person-name", textContent: me ? `${person.name} (you)` : person.name }),
      make("span", { className: "person-notes", textContent: notes })));
    if (this.#call.host && !me) {
      if (person.part === "avatar") row.append(this.#act(person, "mute-other", "mic-off", `Mute ${person.name}`, person.muted));
      row.append(this.#act(person, "remove", "close", `Remove ${person.name} from the call`));
    }
    return row;
  }

  #act(person, type, drawing, label, disabled = false) {
    const button = make("button", { type: "button", className: "icon-button quiet", title: label, ariaLabel: label, disabled }, icon(drawing));
    button.dataset.act = `${type} ${person.id}`;
    button.addEventListener("click", async () => {
      const asks = type === "remove";
      if (asks && !(await sure(`Remove ${person.name}?`, "They leave at once, and the link by which they came stops working.", "Remove"))) return;
      this.#call.send({ type, id: person.id });
    });
    return button;
  }
}

/** Text with its addresses as links, without ever reading it as HTML. */
function linked(text) {
  const parts = [];
  let from = 0;
  for (const { 0: address, index } of text.matchAll(LINK)) {
    parts.push(text.slice(from, index), make("a", { href: address, textContent: address, target: "_blank", rel: "noopener noreferrer" }));
    from = index + address.length;
  }
  parts.push(text.slice(from));
  return parts;
}
