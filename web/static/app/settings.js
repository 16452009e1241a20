/** Settings: which microphone, the avatar's mood, and whether single keys do something. */

import { ask, byId } from "./dom.js";
import { recall, remember } from "./preferences.js";

export class Settings {
  /** @param {(deviceId: string) => void} onmicrophone @param {(mood: string) => void} onmood */
  constructor(onmicrophone, onmood) {
    byId("open-settings").addEventListener("click", () => this.#open());
    byId("shortcuts-on").checked = this.shortcuts;
    byId("shortcuts-on").addEventListener("change", ({ target }) => remember("shortcuts", target.checked ? "on" : "off"));
    byId("microphones").addEventListener("change", ({ target }) => {
      remember("microphone", target.value);
      onmicrophone(target.value);
    });
    byId("mood").value = this.mood;
    byId("mood").addEventListener("change", ({ target }) => {
      remember("mood", target.value);
      onmood(this.mood);
    });
    navigator.mediaDevices?.addEventListener?.("devicechange", () => this.#list());
  }

  get microphone() {
    return recall("microphone");
  }

  /** Empty or one of the moods that the list offers. */
  get mood() {
    const kept = recall("mood");
    return [...byId("mood").options].some(({ value }) => value === kept) ? kept : "";
  }

  get shortcuts() {
    return recall("shortcuts", "on") === "on";
  }

  async #open() {
    await this.#list();
    await ask(byId("settings"));
  }

  async #list() {
    const devices = (await navigator.mediaDevices?.enumerateDevices?.()) ?? [];
    const named = devices.filter(({ kind, deviceId, label }) => kind === "audioinput" && label && deviceId !== "default");
    const options = named.map(({ deviceId, label }) => new Option(label, deviceId));
    const select = byId("microphones");
    select.replaceChildren(new Option("The system’s choice", ""), ...options);
    select.value = named.some(({ deviceId }) => deviceId === this.microphone) ? this.microphone : "";
    byId("microphones-hint").hidden = named.length > 0;
  }
}
