/** What one can press in the call: the bar, the keys, and what lies behind "More". */

import { recall, remember } from "../app/preferences.js";
import { chosenMicrophone, keepMicrophone, listDevices } from "./media/devices.js";
import { ask, byId, caption, notice, press, say, setIcon, sure } from "./dom.js";
import { setSounds, soundsOn } from "./media/sounds.js";

const STYLE_WORDS = [[0.3, "still"], [0.8, "calm"], [1.2, "as learnt"], [1.7, "lively"], [2.1, "very lively"]];

export class Controls {
  #call;
  #door;
  #tiles;
  #drawer;
  #takes;
  #faces;

  constructor({ call, door, tiles, drawer, takes, faces }) {
    Object.assign(this, { view: byId("view-room") });
    this.#call = call;
    this.#door = door;
    this.#tiles = tiles;
    this.#drawer = drawer;
    this.#takes = takes;
    this.#faces = faces;
    this.#listenToBar();
    this.#listenToOptions();
    this.#listenToInvitations();
    document.addEventListener("keydown", (event) => this.#key(event));
    for (const name of ["room", "person", "muted", "lock"]) call.on(name, () => this.show());
  }

  #listenToBar() {
    byId("mute").addEventListener("click", () => this.#toggleMute());
    byId("hand").addEventListener("click", () => this.#toggleHand());
    byId("layout").addEventListener("click", () => this.#toggleLayout());
    byId("more").addEventListener("click", () => this.#more());
    byId("leave").addEventListener("click", () => this.#call.leave());
  }

  #listenToOptions() {
    byId("mood").addEventListener("change", () => this.#manner());
    byId("style").addEventListener("input", () => this.#manner());
    byId("microphones-live").addEventListener("change", async ({ target }) => {
      keepMicrophone(target.value);
      await this.#call.setMicrophone(target.value).catch((error) => notice(byId("room-problem"), error.message));
    });
    byId("pip").hidden = !document.pictureInPictureEnabled;
    byId("pip").addEventListener("click", () => this.#float());
    byId("lock").addEventListener("click", () => this.#call.send({ type: "lock", on: !this.#call.locked }));
    byId("end-call").addEventListener("click", async () => {
      byId("options").close();
      if (await sure("End the call for everybody?", "Everybody is put out, and the links stop working.", "End the call")) this.#call.send({ type: "end-call" });
    });
    byId("sounds-on").checked = soundsOn();
    byId("sounds-on").addEventListener("change", ({ target }) => setSounds(target.checked));
    byId("shortcuts-on").checked = recall("shortcuts", "on") === "on";
    byId("shortcuts-on").addEventListener("change", ({ target }) => remember("shortcuts", target.checked ? "on" : "off"));
  }

  #listenToInvitations() {
    for (const id of ["invite", "alone-invite"]) byId(id).addEventListener("click", () => this.invite());
    byId("lasts").addEventListener("change", () => this.#makeLinks());
    for (const button of document.querySelectorAll("[data-copy]")) {
      button.addEventListener("click", async () => {
        const input = byId(button.dataset.copy);
        input.select();
        await navigator.clipboard?.writeText(input.value).catch(() => document.execCommand("copy"));
        byId("inviting-words").textContent = "Copied. Send it to whom you want to see.";
      });
    }
  }

  /** Bring every button in line with what is. */
  show() {
    const call = this.#call;
    const { me, people, muted } = call;
    const myself = people.get(me);
    const heard = call.part === "avatar";
    press(byId("mute"), muted);
    setIcon(byId("mute"), muted ? "mic-off" : "mic");
    byId("mute").setAttribute("aria-label", muted ? "Switch the microphone on" : "Mute the microphone");
    byId("mute").hidden = !heard;
    byId("hand").hidden = call.watching;
    press(byId("hand"), Boolean(myself?.hand));
    byId("hand").setAttribute("aria-label", myself?.hand ? "Take your hand down" : "Raise your hand");
    byId("own-options").hidden = !heard;
    for (const element of document.querySelectorAll(".host-only")) element.hidden = !call.host;
    byId("lock").querySelector("span").textContent = call.locked ? "Unlock the call" : "Lock the call";
    byId("lock-pill").hidden = !call.locked;
  }

  // ------------------------------------------------------------------------------- the bar

  #toggleMute() {
    if (this.#call.part !== "avatar") return;
    this.#call.setMuted(!this.#call.muted);
    say(this.#call.muted ? "Your microphone is muted." : "Your microphone is on.");
  }

  #toggleHand() {
    if (this.#call.watching) return;
    this.#call.raiseHand(!this.#call.people.get(this.#call.me)?.hand);
  }

  #toggleLayout() {
    const layout = this.#tiles.layout === "grid" ? "speaker" : "grid";
    this.#tiles.setLayout(layout);
    remember("layout", layout);
    this.showLayout();
  }

  showLayout() {
    const large = this.#tiles.layout === "speaker";
    press(byId("layout"), large);
    setIcon(byId("layout"), large ? "grid" : "speaker");
    byId("layout").setAttribute("aria-label", large ? "Show everybody the same size" : "Show the speaker large");
  }

  #key(event) {
    const busy = event.ctrlKey || event.metaKey || event.altKey || event.repeat || document.querySelector("dialog[open]");
    if (this.view.hidden || busy || recall("shortcuts", "on") !== "on") return;
    if (event.target.matches?.("input, select, textarea")) return;
    const actions = {
      m: () => this.#toggleMute(),
      h: () => this.#toggleHand(),
      c: () => this.#drawer.toggle("chat"),
      p: () => this.#drawer.toggle("people"),
      l: () => this.#toggleLayout(),
    };
    const action = actions[event.key.toLowerCase()];
    if (!action) return;
    event.preventDefault();
    action();
  }

  // ---------------------------------------------------------------------------------- more

  async #more() {
    const { mood, style, avatar_id: id } = this.#call.wishes;
    byId("mood").value = mood;
    byId("style").value = String(style);
    this.#styleWords();
    this.#faces.choose(id, { quiet: true });
    this.#takes.list(byId("takes"));
    listDevices(byId("microphones-live"), "audioinput", chosenMicrophone());
    await ask(byId("options"));
    byId("more").focus();
  }

  #manner() {
    this.#styleWords();
    remember("mood", byId("mood").value);
    this.#call.setManner(byId("mood").value, Number(byId("style").value));
  }

  #styleWords() {
    const value = Number(byId("style").value);
    byId("style-value").textContent = STYLE_WORDS.find(([most]) => value <= most)[1];
  }

  async #float() {
    byId("options").close();
    try {
      if (document.pictureInPictureElement) await document.exitPictureInPicture();
      else await this.#tiles.floating?.requestPictureInPicture();
    } catch {
      notice(byId("room-problem"), "The picture cannot float just now; wait until somebody is to be seen.", { calm: true });
    }
  }

  async invite() {
    await this.#makeLinks();
    await ask(byId("inviting"));
  }

  async #makeLinks() {
    const lasts = Number(byId("lasts").value);
    try {
      [byId("link-join").value, byId("link-watch").value] = await Promise.all([
        this.#door.invite("join", lasts),
        this.#door.invite("watch", lasts),
      ]);
      byId("inviting-words").textContent = "Who has a link can use it until it expires, or until the call is locked.";
    } catch (error) {
      byId("inviting-words").textContent = error.message;
    }
    caption("Invitation links are ready.");
  }
}
