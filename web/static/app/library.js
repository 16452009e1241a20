/** The avatars as the page knows them: records, small pictures, and the token that opens them. */

import { Avatars, Recordings } from "../../client.js";
import { askForToken, isAboutToken, knownToken } from "./access.js";
import { paint } from "./dom.js";

export class Library {
  #avatars;
  #recordings;
  #pictures = new Map();
  token;
  records = [];
  loaded = false;

  constructor() {
    this.token = knownToken();
    this.#avatars = new Avatars({ token: this.token });
    this.#recordings = new Recordings({ token: this.token });
  }

  /** Run something that may need a token; ask and repeat when it does. */
  async allowed(action) {
    for (;;) {
      try {
        return await action();
      } catch (error) {
        if (!isAboutToken(error)) throw error;
        const token = await askForToken();
        if (!token) throw error;
        this.token = this.#avatars.token = this.#recordings.token = token;
      }
    }
  }

  async refresh() {
    const records = await this.allowed(() => this.#avatars.list());
    this.records = records.filter(({ status }) => status !== "failed");
    this.loaded = true;
    return this.records;
  }

  /** Who can be shown now. */
  get ready() {
    return this.records.filter(({ status, refusal }) => status === "ready" && !refusal);
  }

  find(id) {
    return this.records.find((record) => record.id === id);
  }

  /** What photos the server can open itself. */
  photos() {
    return this.allowed(() => this.#avatars.photos());
  }

  /** A photo as JPEG that only the server can open. */
  openPhoto(photo) {
    return this.allowed(() => this.#avatars.openPhoto(photo));
  }

  /** What to change in front of the camera. @param {Uint8Array} pixels RGB, 144 by 144 */
  guidance(pixels) {
    return this.#avatars.guidance(pixels);
  }

  create(order) {
    return this.allowed(() => this.#avatars.create(order));
  }

  async rename(id, name) {
    const record = await this.allowed(() => this.#avatars.rename(id, name));
    this.records = this.records.map((other) => (other.id === id ? record : other));
  }

  /** The avatar as a file, to be kept or sent to another server. */
  bundle(id) {
    return this.allowed(() => this.#avatars.bundle(id));
  }

  giveConsent(id, terms) {
    return this.allowed(() => this.#avatars.giveConsent(id, terms));
  }

  async remove(id) {
    await this.allowed(() => this.#avatars.remove(id));
    this.#pictures.delete(id);
    this.records = this.records.filter((record) => record.id !== id);
  }

  recordings() {
    return this.allowed(() => this.#recordings.list());
  }

  recorded(id, file) {
    return this.allowed(() => this.#recordings.file(id, file));
  }

  eraseRecording(id) {
    return this.allowed(() => this.#recordings.remove(id));
  }

  /** Draw an avatar's picture; a canvas, since an <img> could not carry the token. */
  async draw(id, canvas) {
    canvas.dataset.avatar = id;
    if (!this.#pictures.has(id)) this.#pictures.set(id, this.#picture(id));
    const picture = await this.#pictures.get(id);
    if (!picture) this.#pictures.delete(id); // ask again next time
    else if (canvas.dataset.avatar === id) paint(canvas, picture);
  }

  async #picture(id) {
    try {
      return await createImageBitmap(await this.allowed(() => this.#avatars.preview(id)));
    } catch {
      return null; // the grey tile stays
    }
  }
}
