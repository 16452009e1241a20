/** Before the call: who one is, what one looks like, whether one is heard and hears. */

import { askForToken, isAboutToken } from "../app/access.js";
import { recall, remember } from "../app/preferences.js";
import { byId, notice, say } from "./dom.js";
import { MicrophoneCheck, chosenMicrophone, chosenSpeaker, keepMicrophone, keepSpeaker, listDevices } from "./media/devices.js";
import { chime } from "./media/sounds.js";

export class Lobby {
  #door;
  #faces;
  #join;
  #check = new MicrophoneCheck();
  #info = null;
  #unheard = false; // the microphone could not be opened
  #said = "";
  element = byId("view-lobby");

  /**
   * @param {import("./door.js").Door} door
   * @param {import("./faces.js").Faces} faces
   * @param {(entry: object, options: object) => Promise<void>} join
   * @param {() => void} cancel gives up to join
   */
  constructor(door, faces, join, cancel) {
    this.#door = door;
    this.#faces = faces;
    this.#join = join;
    byId("who").value = recall("who");
    byId("who").addEventListener("input", () => problem("who"));
    byId("lobby-form").addEventListener("submit", (event) => (event.preventDefault(), this.#submit()));
    byId("lobby-retry").addEventListener("click", () => this.enter());
    byId("join-cancel").addEventListener("click", cancel);
    byId("microphones").addEventListener("change", ({ target }) => (keepMicrophone(target.value), this.#listen()));
    byId("speakers").addEventListener("change", ({ target }) => keepSpeaker(target.value));
    byId("test-sound").addEventListener("click", () => chime("test", { always: true, speaker: byId("speakers").value }));
    navigator.mediaDevices?.addEventListener?.("devicechange", () => this.#list());
  }

  get title() {
    return byId("lobby-title");
  }

  async enter() {
    notice(byId("lobby-problem"));
    byId("lobby-retry").hidden = false;
    try {
      this.#info = await this.#look();
    } catch (error) {
      this.#info = null;
      byId("join").disabled = true;
      notice(byId("lobby-problem"), error.message);
      return;
    }
    this.#describe();
    byId("join").disabled = !this.#info.watch_only; // until it is known which face one wears
    if (this.#info.watch_only) return;
    try {
      if (!this.#faces.loaded) await this.#faces.load(this.#info.owner, recall("face"));
    } catch (error) {
      notice(byId("lobby-problem"), error.message);
    }
    byId("join").disabled = false;
    this.faceChosen(this.#faces.chosen);
  }

  leave() {
    this.#check.close();
    this.progress();
  }

  /**
   * Say what is waited for on the way in.
   *
   * @param {string} [words] said to screen readers too, once; nothing is waited for without
   * @param {string} [count] only to be seen: it changes every second
   */
  progress(words = "", count = "") {
    byId("join-wait").hidden = !words;
    byId("join-wait-words").textContent = words;
    byId("join-wait-count").textContent = count;
    byId("join").hidden = Boolean(words);
    if (words && words !== this.#said) {
      say(words);
      byId("join-wait").scrollIntoView({ block: "nearest" });
    }
    this.#said = words;
  }

  /** The access token opens what an invitation does not. */
  async #look() {
    for (;;) {
      try {
        return await this.#door.look();
      } catch (error) {
        // What is no invitation here may be a token that holds no more: the sign-in page says why.
        const stale = error.code === "ticket" && !this.#door.isInvited && this.#door.token;
        if (!isAboutToken(error) && error.code !== "invitation-needed" && !stale) throw error;
        const token = await askForToken();
        if (!token) throw error;
        this.#door.token = token;
      }
    }
  }

  #describe() {
    const { title, people, seats, locked, recording, watch_only: watches } = this.#info;
    byId("room-title").textContent = title;
    document.title = `${title} · Vis-à-vis`;
    this.title.textContent = watches ? `Watch “${title}”` : `Join “${title}”`;
    byId("join").textContent = watches ? "Watch" : "Join";
    const here = people.length === 0 ? "Nobody is in the call yet." : `In the call: ${people.join(", ")}.`;
    const full = people.length >= seats ? ` All ${seats} places are taken.` : "";
    byId("lobby-who").textContent = here + full + (locked ? " The host has locked it." : "");
    byId("agree-field").hidden = !recording || watches;
    this.element.classList.toggle("watches", watches);
    for (const id of ["faces-field", "device-check"]) byId(id).hidden = watches;
    byId("mirror-words").textContent = watches ? "You see and hear the call. Nobody sees or hears you." : "Your camera stays off. Others see your avatar.";
  }

  /** @param {string} id "" is listening only */
  faceChosen(id) {
    const listens = !id;
    byId("mirror").dataset.shows = listens ? "empty" : "avatar";
    byId("face-words").textContent = listens ? "You hear everybody, and can write. Others see your name; nobody sees or hears you." : "Others see this face, saying what you say.";
    for (const part of byId("device-check").children) if (part.id !== "speaker-check") part.hidden = listens;
    if (listens) return this.#check.close();
    remember("face", id);
    this.#faces.draw(id, byId("preview"));
    if (!this.element.hidden && !this.#check.stream) this.#listen();
  }

  async #listen() {
    try {
      await this.#check.open(chosenMicrophone());
      if (this.#unheard) notice(byId("lobby-problem")); // what else is wrong stays said
      this.#unheard = false;
    } catch (error) {
      this.#unheard = true;
      byId("lobby-retry").hidden = true;
      notice(byId("lobby-problem"), error.message);
    }
    this.#list();
  }

  async #list() {
    await listDevices(byId("microphones"), "audioinput", chosenMicrophone());
    const speakers = await listDevices(byId("speakers"), "audiooutput", chosenSpeaker());
    byId("speakers").disabled = !speakers || !("setSinkId" in HTMLMediaElement.prototype);
  }

  async #submit() {
    const name = byId("who").value.trim();
    const agreed = byId("agree").checked || byId("agree-field").hidden;
    problem("who", name ? "" : "Tell the others who you are.");
    problem("agree", agreed ? "" : "Without this agreement you cannot come in while it is recorded.");
    if (!name) return byId("who").focus();
    if (!agreed) return byId("agree").focus();
    remember("who", name);
    const part = this.#info?.watch_only || !this.#faces.chosen ? "listener" : "avatar";
    byId("join").disabled = true;
    notice(byId("lobby-problem"));
    this.progress(part === "avatar" && !this.#check.stream ? "Joining: opening your microphone." : "Joining.");
    byId("join-cancel").focus(); // what was pressed is not there any more
    try {
      const microphone = part === "avatar" ? (this.#check.stream ?? (await this.#check.open(chosenMicrophone()))) : null;
      this.#check.take();
      await this.#join({ name, part, agrees: agreed }, { microphone, muted: false, wishes: { avatar_id: this.#faces.chosen } });
      if (!this.element.hidden && part === "avatar") this.#listen(); // it was given up
    } catch (error) {
      this.progress();
      byId("lobby-retry").hidden = true;
      notice(byId("lobby-problem"), error.message);
      if (part === "avatar" && !this.#check.stream) this.#listen();
      this.#look().then((info) => ((this.#info = info), this.#describe()), () => {});
    }
    byId("join").disabled = false;
    if ([document.body, byId("join-cancel")].includes(document.activeElement)) byId("join").focus();
  }
}

function problem(id, sentence = "") {
  byId(`${id}-problem`).textContent = sentence;
  byId(id).setAttribute("aria-invalid", String(Boolean(sentence)));
}
