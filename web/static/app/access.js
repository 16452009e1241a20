/**
 * The access token: taken from `#token=`, or asked for on the page /login, and kept for this tab.
 *
 * It is in sessionStorage and goes out in a header that only our own code sets: no other site, and no
 * other port of this host, can have the browser send it, as it would send a cookie.
 */

import { byId } from "./dom.js";
import { forget, recall, remember } from "./preferences.js";

const ROOT = new URL("../../", import.meta.url); // where this server's pages begin, also behind a prefix
const ABOUT_TOKEN = ["token", "token-expired", "token-revoked", "token-used"];

/** The token this tab knows, and out of the address bar with it. */
export function knownToken() {
  const parameters = new URLSearchParams(location.hash.slice(1));
  if (parameters.has("token")) {
    keepToken(parameters.get("token"));
    parameters.delete("token");
    const rest = parameters.toString().replace(/=(&|$)/g, "$1");
    history.replaceState(null, "", `${location.pathname}${location.search}${rest && `#${rest}`}`);
  }
  return recall("token", "", "sessionStorage");
}

export function keepToken(token) {
  remember("token", token, "sessionStorage");
}

export function forgetToken() {
  forget("token", "sessionStorage");
}

/** Whether the server refused because of the token, and not because of what was asked. */
export function isAboutToken(error) {
  return ABOUT_TOKEN.includes(error.code);
}

/** Go to the page that asks for the token; this one ends here. @returns {Promise<never>} */
export function askForToken() {
  const to = `${location.pathname}${location.search}${location.hash}`;
  location.assign(new URL(`login?to=${encodeURIComponent(to)}`, ROOT));
  return new Promise(() => {});
}

/** Where somebody wanted to go who was sent to /login: a page of this server, whatever is asked. */
export function wanted() {
  const to = new URLSearchParams(location.search).get("to");
  try {
    const url = new URL(to || ROOT, ROOT);
    const here = url.origin === ROOT.origin && url.pathname.startsWith(ROOT.pathname);
    return here && !url.pathname.endsWith("/login") ? url : ROOT;
  } catch {
    return ROOT;
  }
}

/** The foot of a page: signing out, for who is signed in. */
export function setUpFoot() {
  const button = byId("sign-out");
  button.hidden = !knownToken();
  button.addEventListener("click", () => {
    forgetToken();
    location.assign(new URL("login?out", ROOT));
  });
}
