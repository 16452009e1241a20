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

async function errorFrom(response) {
  const { status } = response;
  let sentence = "";
  try {
    const { error } = await response.json();
    if (typeof error === "string") sentence = error;
  } catch {
    // a proxy's page, not our server's sentence
  }
  const fail = (code, fallback, detail) => new CallError(code, sentence || fallback, { status, ...detail });
  if (status === 401 || (status === 403 && /token/i.test(sentence))) {
    return fail("token", "This server asks for an access token.");
  }
  if (status === 404) return fail("unknown-avatar", "This avatar does not exist any more. Choose another one.");
  if (status === 422) return fail("refused", "The photo could not be used.");
  if (status === 413) return fail("refused", "The photo is larger than 10 MB.");
  if (status === 503) {
    const retryAfterS = Math.max(1, Number(response.headers.get("Retry-After")) || 5);
    return fail("server-full", "The server is full.", { retryAfterS });
  }
  return fail("server", `The server answered with error ${status}.`);
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
