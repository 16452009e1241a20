/** Recordings of the studio: asked for, shown while they run, fetched and erased afterwards. */

import { clock, icon, make, size } from "../call/dom.js";
import { announce, ask, byId, notice } from "./dom.js";

export class Tapes {
  #library;
  #call = () => null;
  #running = false;

  /**
   * @param {import("./library.js").Library} library
   * @param {() => import("../client/call.js").AvatarCall|null} call the one on the stage
   */
  constructor(library, call) {
    this.#library = library;
    this.#call = call;
    byId("tape").addEventListener("click", () => this.#toggle());
    byId("tapes").addEventListener("toggle", () => byId("tapes").open && this.list());
  }

  /** What the server says of a recording. @param {{type: string, stage?: string, seconds: number, bytes: number}} message */
  told({ type, stage, seconds, bytes }) {
    const began = !this.#running;
    this.#running = type === "recorded" || stage === "running";
    byId("tape-pill").hidden = !this.#running;
    byId("tape").setAttribute("aria-pressed", String(this.#running));
    byId("tape").setAttribute("aria-label", this.#running ? "Stop the recording" : "Record");
    byId("tape-text").textContent = `Recording ${clock(seconds)} · ${size(bytes)}`;
    if (this.#running && began) announce("You are being recorded.");
    if (this.#running) return;
    announce("The recording has ended.");
    byId("tapes").open = true;
    this.list();
  }

  /** The call is over, or another one begins. */
  state(state) {
    byId("tape").disabled = state !== "live";
    if (state === "live" || !this.#running) return;
    this.#running = false;
    byId("tape-pill").hidden = true;
    byId("tape").setAttribute("aria-pressed", "false");
    byId("tape").setAttribute("aria-label", "Record");
    byId("tapes").open = true;
    this.list();
  }

  async #toggle() {
    if (this.#running) return void this.#call()?.record(false);
    const text = "Your avatar and your voice are written to this server, and nowhere else, until you stop. You find the recording below, to fetch or to erase.";
    if (await sure("Record yourself?", text, "I agree")) this.#call()?.record(true);
    byId("tape").focus();
  }

  async list() {
    try {
      const takes = await this.#library.recordings();
      const rows = takes.filter(({ room, files }) => !room && files.length).map((take) => this.#row(take));
      byId("tapes-list").replaceChildren(...(rows.length ? rows : [make("li", { className: "fine", textContent: "Nothing has been recorded yet." })]));
    } catch (error) {
      notice(byId("stage-problem"), error.message);
    }
  }

  #row(take) {
    const began = new Date(take.started).toLocaleString([], { dateStyle: "short", timeStyle: "short" });
    const length = take.seconds ? `${clock(take.seconds)}, ` : "";
    const words = make("p", { textContent: `${began}, ${length}${size(take.bytes)}` });
    const fetching = make("button", { type: "button", className: "icon-button quiet", title: "Save as a file" }, icon("download"));
    fetching.setAttribute("aria-label", `Save the recording of ${began} as a file`);
    fetching.addEventListener("click", () => this.#fetch(take).catch((error) => notice(byId("stage-problem"), error.message)));
    const erase = make("button", { type: "button", className: "icon-button quiet", title: "Erase" }, icon("trash"));
    erase.setAttribute("aria-label", `Erase the recording of ${began}`);
    erase.addEventListener("click", async () => {
      if (!(await sure("Erase this recording?", "It is gone for good.", "Erase"))) return erase.focus();
      await this.#library.eraseRecording(take.id).catch((error) => notice(byId("stage-problem"), error.message));
      await this.list();
    });
    return make("li", { className: "tape-row" }, words, fetching, erase);
  }

  async #fetch({ id, files, started }) {
    for (const { file } of files) {
      const address = URL.createObjectURL(await this.#library.recorded(id, file));
      make("a", { href: address, download: `visavis-${started.slice(0, 16).replace(/\D/g, "")}-${file}` }).click();
      setTimeout(() => URL.revokeObjectURL(address), 60_000);
    }
  }
}

async function sure(title, text, yes) {
  byId("sure-title").textContent = title;
  byId("sure-text").textContent = text;
  byId("sure-yes").textContent = yes;
  return (await ask(byId("sure"))) === "yes";
}
