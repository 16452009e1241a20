import { Server } from "./server.js";

/** The recordings of one server, for whoever knows its token. */
export class Recordings {
  #server;

  /** @param {{baseUrl?: string, token?: string}} [options] */
  constructor(options) {
    this.#server = new Server(options);
  }

  set token(token) {
    this.#server.token = token;
  }

  /** @returns {Promise<object[]>} the newest first */
  async list() {
    return (await (await this.#server.request("api/recordings")).json()).recordings;
  }

  /** One file of a recording as a Blob. */
  async file(id, name) {
    return (await this.#server.request(`api/recordings/${encodeURIComponent(id)}/${encodeURIComponent(name)}`)).blob();
  }

  async remove(id) {
    await this.#server.request(`api/recordings/${encodeURIComponent(id)}`, { method: "DELETE" });
  }
}
