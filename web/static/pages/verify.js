/** Checking a video: it is sent, looked at and forgotten; the answer is said in words. */

import { Server } from "../client/server.js";
import { askForToken, isAboutToken, knownToken, setUpFoot } from "../app/access.js";
import { byId, notice } from "../app/dom.js";

const server = new Server({ token: knownToken() });
const drop = byId("drop");
let asked = 0;

function row(name, value) {
  const line = document.createElement("div");
  line.append(
    Object.assign(document.createElement("dt"), { textContent: name }),
    Object.assign(document.createElement("dd"), { textContent: value }),
  );
  return line;
}

const MANIFEST = {
  Trusted: "valid, signed by this server",
  Valid: "valid, signed by somebody this server does not know",
  Invalid: "broken: changed since it was signed",
};

function show({ marked, words, watermark, made_here: here, label, manifest }) {
  byId("verdict").hidden = false;
  byId("verdict").dataset.marked = marked;
  byId("verdict-title").textContent = marked ? "Made by a machine" : "Nothing was found";
  byId("verdict-words").textContent = words;
  const whose = here === null ? "" : here ? ", this server’s" : ", another server’s";
  byId("verdict-parts").replaceChildren(
    row("Watermark", watermark ? `read${whose}` : "none found"),
    row("Words “AI avatar”", label > 0 ? `in ${Math.round(100 * label)} % of the pictures` : "not found"),
    row("C2PA manifest", MANIFEST[manifest.state] ?? "none found"),
  );
  byId("verdict").scrollIntoView({ block: "nearest" });
}

function state(name, words) {
  drop.dataset.state = name;
  byId("drop-words").textContent = words;
  byId("pick").disabled = name === "busy";
}

async function check(file) {
  const mine = (asked += 1);
  notice(byId("problem"));
  byId("verdict").hidden = true;
  state("busy", `Looking at ${file.name} …`);
  try {
    const found = await (await server.request("api/verify", { method: "POST", form: file })).json();
    if (mine === asked) show(found);
    state("done", file.name);
  } catch (error) {
    if (isAboutToken(error)) return void askForToken();
    notice(byId("problem"), error.message);
    state("empty", "Drop a video here");
  }
}

byId("pick").addEventListener("click", () => byId("file").click());
byId("file").addEventListener("change", ({ target }) => {
  const [file] = target.files;
  target.value = "";
  if (file) check(file);
});
addEventListener("dragover", (event) => {
  event.preventDefault();
  drop.classList.add("over");
});
addEventListener("dragleave", () => drop.classList.remove("over"));
addEventListener("drop", (event) => {
  event.preventDefault();
  drop.classList.remove("over");
  const [file] = event.dataTransfer.files;
  if (file && !byId("pick").disabled) check(file);
});
setUpFoot();
state("empty", "Drop a video here");
