/** The stage: one avatar, one call. Everything here goes through the public client. */

import { AvatarCall } from "../../client.js";
import { askForToken, isAboutToken } from "./access.js";
import { announce, byId, notice, setIcon } from "./dom.js";
import { LevelMeter } from "./meter.js";
import { clearStats, showStats } from "./numbers.js";
import { recall, remember } from "./preferences.js";
import { Tapes } from "./tapes.js";

const STATE_WORDS = {
  idle: "Ready",
  microphone: "Waiting for the microphone",
  connecting: "Connecting",
  live: "Live",
  waiting: "Server full",
  reconnecting: "Reconnecting",
  ended: "Ended",
  failed: "Not connected",
};

export class StageView {
  #library;
  #settings;
  #call = null;
  #meter = new LevelMeter();
  #wakeLock = null;
  #tapes;
  #video = byId("avatar-video");
  #screen = byId("screen");
  element = byId("view-stage");

  /**
   * @param {import("./library.js").Library} library
   * @param {import("./settings.js").Settings} settings
   */
  constructor(library, settings) {
    this.#library = library;
    this.#settings = settings;
    this.#tapes = new Tapes(library, () => this.#call);
    this.#listen();
    clearStats();
  }

  get title() {
    return byId("stage-name");
  }

  /** @param {object} record the avatar to show first */
  enter(record) {
    if (this.#call?.active) return this.#switch(record);
    this.#call = new AvatarCall({
      video: this.#video,
      token: this.#library.token,
      avatarId: record.id,
      microphoneId: this.#settings.microphone,
      mood: this.#settings.mood,
      onstate: (state, detail) => this.#stateChanged(state, detail),
      onstats: showStats,
      onerror: (error) => this.#problem(error),
      onfirstframe: () => this.#screen.classList.add("seen"),
      onworker: (state) => this.#workerChanged(state),
      onrecording: (message) => this.#tapes.told(message),
      onsoundblocked: () => this.#soundBlocked(),
    });
    this.#call.setMuted(false);
    this.#showMuted();
    this.#showSound();
    notice(byId("stage-problem"));
    this.#name(record);
    this.#stateChanged("idle", { message: "" });
  }

  leave() {
    this.#call?.stop();
    this.#call = null;
    notice(byId("stage-problem"));
    if (document.fullscreenElement) document.exitFullscreen();
  }

  /** Another mood was chosen in the settings. */
  useMood(mood) {
    this.#call?.setMood(mood);
  }

  /** Another microphone was chosen in the settings. */
  async useMicrophone(deviceId) {
    try {
      await this.#call?.setMicrophone(deviceId);
      if (this.#call?.state === "live") this.#startMeter();
    } catch (error) {
      this.#problem(error);
    }
  }

  #listen() {
    byId("go-live").addEventListener("click", () => this.#toggleLive());
    byId("mute").addEventListener("click", () => this.#toggleMute());
    byId("sound").addEventListener("click", () => this.#toggleSound());
    byId("interrupt").addEventListener("click", () => this.#interrupt());
    byId("volume").value = recall("volume", "100");
    byId("volume").addEventListener("input", ({ target }) => this.#setVolume(Number(target.value)));
    byId("explain").addEventListener("click", ({ currentTarget }) => {
      const open = byId("latency-parts").hidden;
      byId("latency-parts").hidden = !open;
      currentTarget.setAttribute("aria-expanded", String(open));
    });
    byId("stage-problem").querySelector("button").addEventListener("click", () => {
      notice(byId("stage-problem"));
      byId("go-live").focus();
    });
    byId("headphones").querySelector("button").addEventListener("click", () => {
      byId("headphones").hidden = true;
      remember("headphones", "known");
    });
    const canFill = this.#screen.requestFullscreen || this.#video.webkitEnterFullscreen;
    byId("fullscreen").hidden = !canFill;
    byId("fullscreen").addEventListener("click", () => this.#toggleFullscreen());
    document.addEventListener("keydown", (event) => this.#key(event));
    document.addEventListener("visibilitychange", () => this.#keepAwake());
  }

  // ------------------------------------------------------------------------------ what happens

  #stateChanged(state, { message, retryInS }) {
    const before = this.#screen.dataset.state;
    const active = this.#call?.active ?? false;
    this.#screen.dataset.state = state;
    byId("state-text").textContent = retryInS ? `${STATE_WORDS[state]}, trying again in ${retryInS} s` : STATE_WORDS[state];
    const button = byId("go-live");
    button.textContent = active ? "Stop" : "Go live";
    button.dataset.on = String(active);
    byId("interrupt").disabled = state !== "live";
    this.#tapes.state(state);
    if (state !== "live") this.#screen.classList.remove("seen");
    if (state === before) return;
    if (state === "waiting") notice(byId("stage-problem"), `${message} It goes on by itself as soon as there is room.`, { calm: true });
    else if (state === "reconnecting") notice(byId("stage-problem"), "The connection was lost. It is being restored by itself.", { calm: true });
    else if (state === "live" || state === "idle") notice(byId("stage-problem"));
    announce(state === "idle" ? (before === "idle" ? "" : "The call has ended.") : STATE_WORDS[state]);
    if (state === "live") this.#startMeter();
    if (!active) {
      this.#meter.stop();
      clearStats();
      byId("headphones").hidden = true;
    }
    this.#showMicrophoneText();
    this.#keepAwake();
  }

  #startMeter() {
    this.#meter.start(this.#call.microphone, (silent) => this.#showMicrophoneText(silent));
    if (recall("headphones") !== "known") byId("headphones").hidden = false;
  }

  #workerChanged(state) {
    const sentence = state === "lost" ? "The avatar stumbled and is starting again. It is back in a moment." : "";
    notice(byId("stage-problem"), sentence, { calm: true });
    announce(state === "lost" ? "" : "The avatar is back.");
  }

  async #problem(error) {
    notice(byId("stage-problem"), error.message);
    if (!isAboutToken(error)) return;
    const token = await askForToken();
    if (!token || !this.#call) return;
    this.#library.token = this.#call.token = token;
    this.#goLive();
  }

  #soundBlocked() {
    this.#showSound();
    notice(byId("stage-problem"), "The browser holds the sound back. Press the sound button to hear the avatar.", { calm: true });
  }

  // ---------------------------------------------------------------------------- what one can do

  #toggleLive() {
    if (this.#call.active) this.#call.stop();
    else this.#goLive();
  }

  #goLive() {
    notice(byId("stage-problem"));
    this.#call.start().catch(() => {}); // onerror has the sentence
  }

  #toggleMute() {
    this.#call.setMuted(!this.#call.muted);
    this.#showMuted();
    announce(this.#call.muted ? "The microphone is muted." : "The microphone is on.");
  }

  #toggleSound() {
    this.#video.muted = !this.#video.muted;
    if (!this.#video.muted && this.#video.volume === 0) this.#setVolume(100);
    this.#showSound();
    announce(this.#video.muted ? "The sound is off." : "The sound is on.");
  }

  #setVolume(percent) {
    this.#video.volume = percent / 100;
    this.#video.muted = percent === 0;
    if (percent) remember("volume", String(percent));
    this.#showSound();
  }

  #interrupt() {
    if (this.#call.interrupt()) announce("Interrupted.");
  }

  async #switch(record) {
    if (record.id === this.#call.avatarId && this.#call.active) return;
    this.#name(record);
    byId("switching").hidden = false;
    try {
      await this.#call.switchAvatar(record.id);
      announce(`${record.name} speaks now.`);
    } catch (error) {
      this.#problem(error);
      const former = this.#library.find(this.#call?.avatarId);
      if (former) this.#name(former);
    }
    byId("switching").hidden = true;
  }

  #toggleFullscreen() {
    if (document.fullscreenElement) document.exitFullscreen();
    else if (this.#screen.requestFullscreen) this.#screen.requestFullscreen();
    else this.#video.webkitEnterFullscreen();
  }

  #key(event) {
    const busy = event.ctrlKey || event.metaKey || event.altKey || event.repeat || document.querySelector("dialog[open]");
    if (this.element.hidden || busy || !this.#settings.shortcuts) return;
    const { target } = event;
    if (target.matches?.("input, select, textarea")) return;
    const actions = {
      " ": () => this.#toggleLive(),
      m: () => this.#toggleMute(),
      s: () => this.#toggleSound(),
      i: () => this.#interrupt(),
      f: () => this.#toggleFullscreen(),
    };
    const action = actions[event.key.toLowerCase()];
    if (!action || (event.key === " " && target.closest?.("button, a, summary"))) return;
    event.preventDefault();
    action();
  }

  // ------------------------------------------------------------------------------ what is shown

  #name(record) {
    byId("stage-name").textContent = record.name;
    document.title = `${record.name} · Vis-à-vis`;
    this.#video.setAttribute("aria-label", `${record.name}, an AI avatar, live`);
    const notes = (record.notes ?? []).map((text) => Object.assign(document.createElement("li"), { textContent: text }));
    byId("stage-notes").replaceChildren(...notes);
    const poster = byId("poster");
    poster.getContext("2d").clearRect(0, 0, poster.width, poster.height);
    this.#library.draw(record.id, poster);
    history.replaceState(null, "", `#avatar=${record.id}`);
    this.#showSwitcher(record.id);
  }

  #showSwitcher(current) {
    const { ready } = this.#library;
    this.element.querySelector(".switcher").hidden = ready.length < 2;
    const items = ready.map((record) => {
      const item = document.createElement("li");
      const button = document.createElement("button");
      const canvas = Object.assign(document.createElement("canvas"), { width: 128, height: 128 });
      button.type = "button";
      button.title = record.name;
      button.dataset.id = record.id;
      button.setAttribute("aria-label", record.name);
      button.setAttribute("aria-pressed", String(record.id === current));
      button.addEventListener("click", () => this.#choose(record));
      button.append(canvas);
      item.append(button);
      this.#library.draw(record.id, canvas);
      return item;
    });
    const focused = document.activeElement?.dataset?.id;
    byId("switcher").replaceChildren(...items);
    if (focused) byId("switcher").querySelector(`[data-id="${CSS.escape(focused)}"]`)?.focus();
  }

  #choose(record) {
    if (this.#call.active) return this.#switch(record);
    this.#call.switchAvatar(record.id);
    this.#name(record);
  }

  #showMuted() {
    const { muted } = this.#call;
    byId("mute").setAttribute("aria-pressed", String(muted));
    setIcon(byId("mute"), muted ? "mic-off" : "mic");
    this.#showMicrophoneText();
  }

  #showMicrophoneText(silent = false) {
    const live = this.#call?.state === "live";
    const words = !live
      ? "The microphone opens when you go live."
      : this.#call.muted
        ? "Muted. The avatar listens."
        : silent
          ? "Nothing is heard. Is this the right microphone? Settings has the others."
          : "Your microphone";
    byId("level-text").textContent = words;
  }

  #showSound() {
    const on = !this.#video.muted;
    byId("sound").setAttribute("aria-pressed", String(on));
    setIcon(byId("sound"), on ? "sound" : "sound-off");
    byId("volume").value = String(on ? Math.round(this.#video.volume * 100) : 0);
  }

  async #keepAwake() {
    const wanted = this.#call?.state === "live" && document.visibilityState === "visible";
    if (wanted && !this.#wakeLock) this.#wakeLock = await navigator.wakeLock?.request("screen").catch(() => null);
    if (!wanted) await this.#wakeLock?.release();
    if (!wanted || this.#wakeLock?.released) this.#wakeLock = null;
  }
}
