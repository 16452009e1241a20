/** The access token: taken from `#token=` or asked for, kept for this tab only. */

import { ask, byId } from "./dom.js";
import { recall, remember } from "./preferences.js";

let asking = null;

/** The token this tab knows, and out of the address bar with it. */
export function knownToken() {
  const parameters = new URLSearchParams(location.hash.slice(1));
  if (parameters.has("token")) {
    remember("token", parameters.get("token"), "sessionStorage");
    parameters.delete("token");
    const rest = parameters.toString().replace(/=(&|$)/g, "$1");
    history.replaceState(null, "", `${location.pathname}${location.search}${rest && `#${rest}`}`);
  }
  return recall("token", "", "sessionStorage");
}

/** Ask once, however many requests were refused. @returns {Promise<string>} "" when given up */
export function askForToken() {
  asking ??= prompt().finally(() => (asking = null));
  return asking;
}

async function prompt() {
  const input = byId("token-input");
  byId("token-problem").textContent = input.value ? "The server does not accept this token." : "";
  const answer = await ask(byId("token"));
  const token = answer === "ok" ? input.value.trim() : "";
  if (token) remember("token", token, "sessionStorage");
  return token;
}
