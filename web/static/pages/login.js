/** Signing in: the token is tried, kept for this tab, and the page that was wanted is opened. */

import { CallError } from "../client/errors.js";
import { Server } from "../client/server.js";
import { forgetToken, keepToken, knownToken, wanted } from "../app/access.js";
import { byId, notice } from "../app/dom.js";

const server = new Server();
const input = byId("token");
let tries = 0;

/** Say why a token opens nothing, in the server's words. */
function refuse(error) {
  const known = error instanceof CallError ? error.message : "Something went wrong. Try again.";
  byId("problem").textContent = known;
  input.setAttribute("aria-invalid", "true");
  input.focus();
  if (error.code === "too-many-tries") wait(error.retryAfterS);
}

/** Take no token for as long as the server looks at none. */
function wait(seconds) {
  byId("continue").disabled = true;
  setTimeout(() => {
    byId("continue").disabled = false;
    clearProblem();
  }, seconds * 1000);
}

function clearProblem() {
  byId("problem").textContent = "";
  input.removeAttribute("aria-invalid");
}

/** Go on with a token, or find out why not. */
async function enter(token) {
  const mine = (tries += 1); // what is typed while the page looks around counts, not the looking
  server.token = token;
  try {
    const { scope, asks } = await (await server.request("api/me")).json();
    if (mine !== tries) return;
    if (asks) keepToken(token);
    const to = wanted();
    if (scope === "watch" && !/\/(stage|call)\//.test(to.pathname)) {
      notice(byId("note"), "This token is for watching. Open the address that you were given with it, in this tab.", { calm: true });
      return;
    }
    location.replace(to);
  } catch (error) {
    if (mine !== tries) return;
    if (error.status === 401) forgetToken();
    if (token || error.status !== 401) refuse(error);
  }
}

byId("login").addEventListener("submit", (event) => {
  event.preventDefault();
  const token = input.value.trim();
  if (!token) return refuse(new CallError("token", "Enter the token."));
  enter(token);
});
// A browser would send the form itself, and lose what was typed, until somebody listens.
input.disabled = byId("continue").disabled = false;
input.addEventListener("input", () => byId("continue").disabled || clearProblem());

if (new URLSearchParams(location.search).has("out")) notice(byId("note"), "You are signed out.", { calm: true });
const known = knownToken();
if (known || !new URLSearchParams(location.search).has("out")) enter(known);
input.focus();
