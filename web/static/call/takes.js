/** Recordings: asked for, agreed to, shown while they run, fetched and erased afterwards. */

import { ask, byId, caption, clock, icon, make, notice, size, sure } from "./dom.js";

export class Takes {
  #call;
  #door;
  #asked = false;

  /** @param {import("./call.js").RoomCall} call @param {import("./door.js").Door} door */
  constructor(call, door) {
    this.#call = call;
    this.#door = door;
    byId("record").addEventListener("click", () => this.#toggle());
    call.on("room", () => this.#show(call.recording));
    call.on("recording", (recording) => this.#show(recording));
    call.on("recorded", ({ seconds, bytes }) => {
      byId("rec-text").textContent = `Recording ${clock(seconds)} · ${size(bytes)}`;
    });
  }

  #toggle() {
    byId("options").close();
    if (this.#call.recording.stage === "off") this.#call.send({ type: "record" });
    else this.#call.send({ type: "record-answer", yes: false });
  }

  #name(id) {
    return id === this.#call.me ? "You" : (this.#call.people.get(id)?.name ?? "Somebody");
  }

  #show(recording) {
    const { stage, asked_by: by, waiting_for: waiting } = recording;
    const pill = byId("rec-pill");
    const before = pill.dataset.stage ?? "off";
    pill.dataset.stage = stage;
    pill.hidden = stage === "off";
    if (stage === "asked") byId("rec-text").textContent = `Waiting for ${waiting.map((id) => this.#name(id)).join(", ")} to agree to a recording`;
    if (stage === "running" && before !== "running") byId("rec-text").textContent = "Recording";
    byId("record").querySelector("span").textContent = { off: "Record the call", asked: "Take the question back", running: "Stop the recording" }[stage];
    byId("record").hidden = this.#call.watching;
    if (stage === before) return;
    if (stage === "running") caption("The call is being recorded.");
    if (stage === "off") this.#over(before, recording);
    if (stage === "asked" && waiting.includes(this.#call.me)) this.#ask(by);
    if (stage !== "asked" && byId("asked").open) byId("asked").close("");
  }

  async #ask(by) {
    if (this.#asked) return;
    this.#asked = true;
    byId("asked-text").textContent = `${this.#name(by)} would like to record it: everybody’s avatar and voice, each in a file of its own.`;
    const answer = await ask(byId("asked"));
    this.#asked = false;
    if (answer || this.#call.recording.stage === "asked") this.#call.send({ type: "record-answer", yes: answer === "yes" });
  }

  #over(before, { stopped_by: by }) {
    const sentence = before === "running" ? "The recording has ended. You find it under “More”." : `There is no recording: ${by ? `${this.#name(by)} said no` : "it was taken back"}.`;
    caption(sentence);
    notice(byId("room-problem"), sentence, { calm: true });
  }

  /** Show what may be fetched. @param {HTMLElement} list */
  async list(list, seat) {
    let takes = [];
    try {
      takes = await this.#door.recordings(seat);
    } catch {
      // none to be had
    }
    list.replaceChildren(...takes.map((take) => this.#row(take, list, seat)));
  }

  #row(take, list, seat) {
    const began = new Date(take.started).toLocaleTimeString([], { hour: "2-digit", minute: "2-digit" });
    const words = make("p", { textContent: `Recording of ${began}${take.seconds ? `, ${clock(take.seconds)}` : ""}, ${size(take.bytes)}` });
    const files = take.files.map((file) => {
      const button = make("button", { type: "button", className: "button" }, icon("download"), `${file.name || "Somebody"}, from ${clock(file.starts_s)}`);
      button.addEventListener("click", () => this.#fetch(take, file, seat).catch((error) => notice(byId("room-problem"), error.message)));
      return button;
    });
    const erase = make("button", { type: "button", className: "icon-button quiet", ariaLabel: "Erase this recording" }, icon("trash"));
    erase.addEventListener("click", async () => {
      if (!(await sure("Erase this recording?", "It is gone for everybody who is in it.", "Erase"))) return;
      await this.#door.eraseRecording(take.id, seat).catch((error) => notice(byId("room-problem"), error.message));
      this.list(list, seat);
    });
    return make("li", { className: "take" }, words, make("div", { className: "take-files" }, ...files, erase));
  }

  async #fetch(take, file, seat) {
    const address = URL.createObjectURL(await this.#door.recorded(take.id, file.file, seat));
    const name = (file.name || "person").replace(/[^\p{L}\p{N}]+/gu, "-");
    make("a", { href: address, download: `${take.room}-${name}-${file.file}` }).click();
    setTimeout(() => URL.revokeObjectURL(address), 60_000);
  }
}
