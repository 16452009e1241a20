import { CallError } from "./errors.js";
import { Server, sleep } from "./server.js";

const PROGRESS_POLL_MS = 250;

/** The avatars of one server: list, make, look at and delete them. */
export class Avatars {
  #server;

  /** @param {{baseUrl?: string, token?: string}} [options] */
  constructor(options) {
    this.#server = new Server(options);
  }

  set token(token) {
    this.#server.token = token;
  }

  /** @returns {Promise<object[]>} every record, newest first */
  async list() {
    return (await (await this.#server.request("api/avatars")).json()).avatars;
  }

  /** @returns {Promise<{formats: string[], max_bytes: number, max_pixels: number}>} photos that can be sent */
  async photos() {
    return (await (await this.#server.request("api/avatars")).json()).photos;
  }

  async get(id) {
    return (await this.#server.request(`api/avatars/${encodeURIComponent(id)}`)).json();
  }

  /** The picture as a Blob: fetched, because an <img> cannot carry the token. */
  async preview(id) {
    return (await this.#server.request(`api/avatars/${encodeURIComponent(id)}/preview.jpg`)).blob();
  }

  /**
   * What to change in front of a camera; the server looks at the picture and keeps it nowhere.
   *
   * @param {Uint8Array} pixels 144 by 144, RGB, not mirrored
   * @returns {Promise<{code: string, sentence: string}>} code "good" if nothing
   */
  async guidance(pixels) {
    return (await this.#server.request("api/avatars/guidance", { method: "POST", form: pixels })).json();
  }

  /**
   * A photo that this browser cannot open, opened by the server, which keeps nothing of it.
   *
   * @param {Blob} photo
   * @returns {Promise<Blob>} a JPEG, upright
   */
  async openPhoto(photo) {
    return (await this.#server.request("api/avatars/photo", { method: "POST", form: photo })).blob();
  }

  /** @returns {Promise<object>} the record */
  async rename(id, name) {
    return (await this.#server.request(`api/avatars/${encodeURIComponent(id)}`, { method: "PATCH", json: { name } })).json();
  }

  /** The avatar as a Blob that `create` takes in place of a photo, here or on another server. */
  async bundle(id) {
    return (await this.#server.request(`api/avatars/${encodeURIComponent(id)}/avatar.vav`)).blob();
  }

  /**
   * Give an avatar a new consent, in place of one that was withdrawn, has ended or does not cover calls.
   *
   * @param {string} id
   * @param {{statement: string, who?: string}} terms
   */
  async giveConsent(id, { statement, who = "" }) {
    const path = `api/avatars/${encodeURIComponent(id)}/consent`;
    return (await this.#server.request(path, { method: "POST", json: { consent: true, statement, who } })).json();
  }

  async remove(id) {
    await this.#server.request(`api/avatars/${encodeURIComponent(id)}`, { method: "DELETE" });
  }

  /**
   * Make an avatar from one photo.
   *
   * @param {{photo: Blob, name: string, consent: boolean, statement?: string,
   *   onprogress?: (record: object) => void, signal?: AbortSignal}} order
   * @returns {Promise<object>} the record, ready
   * @throws {CallError} code "refused" when the photo cannot serve; `reason` and `message` say why
   */
  async create({ photo, name, consent, statement = "", onprogress, signal }) {
    const form = new FormData();
    form.append("photo", photo, photo.name || "photo.jpg");
    form.append("name", name);
    form.append("consent", String(Boolean(consent)));
    if (statement) form.append("statement", statement);
    let record = await (await this.#server.request("api/avatars", { method: "POST", form, signal })).json();
    while (record.status === "enrolling") {
      onprogress?.(record);
      await sleep(PROGRESS_POLL_MS, signal);
      record = await this.get(record.id);
    }
    if (record.status === "failed") {
      await this.remove(record.id).catch(() => {}); // a refused photo leaves nothing behind
      throw new CallError("refused", record.reason || "The photo could not be used.", { reason: record.reason_code });
    }
    onprogress?.(record);
    return record;
  }
}
