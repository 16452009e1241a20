import { CallError } from "./errors.js";

const ROOT = new URL("../../", import.meta.url); // where this server's pages begin, also behind a prefix

/** Requests to one Vis-à-vis server; whatever goes wrong comes out as a CallError. */
export class Server {
  constructor({ baseUrl, token } = {}) {
    this.baseUrl = baseUrl ? new URL(baseUrl, document.baseURI) : new URL(ROOT);
    if (!this.baseUrl.pathname.endsWith("/")) this.baseUrl.pathname += "/";
    this.token = token || "";
  }

  async request(path, { method = "GET", json, form, keepalive = false, signal } = {}) {
    const headers = {};
    if (!/^[\x20-\x7e]*$/.test(this.token)) { // no header can carry it: an invisible character, say
      throw new CallError("token", "This token is not one of this server's.", { status: 401 });
    }
    if (this.token) headers.Authorization = `Bearer ${this.token}`;
    if (json !== undefined) headers["Content-Type"] = "application/json";
    const body = json === undefined ? form : JSON.stringify(json);
    let response;
    try {
      response = await fetch(new URL(path, this.baseUrl), { method, headers, body, keepalive, signal });
    } catch (error) {
      if (signal?.aborted) throw error;
      throw new CallError("unreachable", "The server cannot be reached. Check that it is running and that this device is on its network.");
    }
    if (!response.ok) throw await errorFrom(response);
    return response;
  }
}

/**
 * Whom a connection may ask for a way to the server: nobody, unless its settings name a STUN or TURN
 * server. Kept for half the time that a password lasts; a server that does not say has none.
 */
export class IceServers {
  #ask;
  #kept = null;
  #until = 0;

  /** @param {() => Promise<Response>} ask */
  constructor(ask) {
    this.#ask = ask;
  }

  /** @returns {Promise<RTCIceServer[]>} */
  get() {
    if (!this.#kept || performance.now() > this.#until) this.#kept = this.#fetch();
    return this.#kept;
  }

  async #fetch() {
    this.#until = Infinity; // one question at a time
    try {
      const { iceServers = [], ttl = 0 } = await (await this.#ask()).json();
      this.#until = performance.now() + ttl * 500;
      return iceServers;
    } catch {
      this.#until = 0; // the offer will say what is wrong
      return [];
    }
  }
}

// What an answer without a code of ours means: a proxy's page, say.
const BY_STATUS = {
  401: ["token", "This server asks for an access token."],
  404: ["unknown-avatar", "This avatar does not exist any more. Choose another one."],
  413: ["too-large", "What was sent is larger than the server takes."],
  422: ["refused", "The photo could not be used."],
  503: ["server-full", "The server is full."],
};
const RETRY_AFTER_S = 5; // where the server does not say

async function errorFrom(response) {
  const { status } = response;
  const text = (value) => (typeof value === "string" ? value : "");
  let said = {};
  try {
    said = (await response.json()) ?? {};
  } catch {
    // a proxy's page, not our server's sentence
  }
  const [fallback, words] = BY_STATUS[status] ?? ["server", `The server answered with error ${status}.`];
  const code = text(said.code) || fallback;
  const message = text(said.error) || words;
  if (status === 413 || status === 422) return new CallError("refused", message, { status, reason: code });
  const waits = status === 503 || (status === 429 && response.headers.has("Retry-After"));
  if (!waits) return new CallError(status >= 500 ? "server" : code, message, { status });
  const retryAfterS = Math.max(1, Number(response.headers.get("Retry-After")) || RETRY_AFTER_S);
  return new CallError(code, message, { status, retryAfterS });
}

/** Wait, or reject with the signal's reason. */
export function sleep(ms, signal) {
  return new Promise((resolve, reject) => {
    const timer = setTimeout(resolve, ms);
    const abort = () => (clearTimeout(timer), reject(signal.reason));
    if (signal?.aborted) abort();
    signal?.addEventListener("abort", abort, { once: true });
  });
}

/** A signal that aborts with the first of some; AbortSignal.any, which Safari has since 17.4 only. */
export function anyOf(...signals) {
  const first = new AbortController();
  for (const signal of signals) {
    const abort = () => first.abort(signal.reason);
    if (signal.aborted) abort();
    else signal.addEventListener("abort", abort, { once: true, signal: first.signal });
  }
  return first.signal;
}
