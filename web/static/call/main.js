/** The page of a call: the door, the lobby, the room, and what is left afterwards. */

import { askForToken, isAboutToken, setUpFoot } from "../app/access.js";
import { recall } from "../app/preferences.js";
import { RoomCall } from "./call.js";
import { Controls } from "./controls.js";
import { chosenSpeaker } from "./media/devices.js";
import { Door, roomInAddress } from "./door.js";
import { byId, caption, notice, say, showOnly } from "./dom.js";
import { Drawer } from "./drawer.js";
import { Faces } from "./faces.js";
import { Lobby } from "./lobby.js";
import { WORDS } from "./media/quality.js";
import { chime } from "./media/sounds.js";
import { Takes } from "./takes.js";
import { Tiles } from "./tiles.js";

const VIEWS = ["door", "lobby", "room", "over"].map((name) => byId(`view-${name}`));
const SPOKEN_MS = 1500; // who speaks is said only when they go on, and not every word of it

const room = roomInAddress();
const door = new Door(room);
const call = new RoomCall(door);
const lists = [{ list: byId("faces"), listen: true }, { list: byId("faces-live"), listen: false }];
const faces = new Faces(door, lists, faceChosen, faceProblem);
const lobby = new Lobby(door, faces, join, () => call.cancel());
const tiles = new Tiles(call);
const drawer = new Drawer(call);
const takes = new Takes(call, door);
const controls = new Controls({ call, door, tiles, drawer, takes, faces });
let wakeLock = null;
let saying = 0;

function faceChosen(id) {
  if (!call.active) lobby.faceChosen(id);
  else if (id) call.wear(id); // who erased the face they wear is told by the server
}

/** In the call faces are chosen in a dialog, which covers the notices. */
function faceProblem(sentence) {
  if (call.active) return void (byId("faces-live-words").textContent = sentence);
  byId("lobby-retry").hidden = true;
  notice(byId("lobby-problem"), sentence);
}

function show(name, title) {
  showOnly(byId(`view-${name}`), VIEWS);
  document.body.dataset.view = name;
  title?.focus({ preventScroll: true });
}

async function join(entry, options) {
  await call.join(entry, options);
  byId("exposure").hidden = !call.watching || recall("exposed", "", "sessionStorage") === "yes";
}

function stateChanged(state, { words = "", count = "", title = "", seat = "" }) {
  const pill = byId("room-state");
  pill.hidden = state === "live";
  pill.textContent = `${words} ${count}`.trim();
  if (state === "live") {
    lobby.leave();
    show("room", byId("room-heading"));
    tiles.setSpeaker(chosenSpeaker());
    byId("room-wait").hidden = call.people.size > 0; // nothing is known yet of who is here
    caption("You are in the call.");
    notice(byId("room-problem"));
  }
  if (state === "reconnecting") caption("The connection was lost. Reconnecting.");
  if (byId("view-room").hidden) lobby.progress(["joining", "waiting"].includes(state) ? words : "", count);
  else if (state === "waiting") caption(words);
  if (state === "over") over(title, words, seat);
  keepAwake();
}

function over(title, words, seat) {
  for (const dialog of document.querySelectorAll("dialog[open]")) dialog.close("");
  tiles.clear();
  drawer.close();
  if (document.pictureInPictureElement) document.exitPictureInPicture();
  byId("over-title").textContent = title;
  byId("over-words").textContent = words;
  takes.list(byId("over-takes"), seat);
  show("over", byId("over-title"));
  say(title);
}

function came(person) {
  if (person.id === call.me) return;
  if (person.part === "watcher") return;
  caption(`${person.name} joined${person.part === "listener" ? " to listen" : ""}.`);
  chime("join");
}

function went(person, reason) {
  if (person.part === "watcher") return;
  const words = { left: "left", lost: "was lost", removed: "was removed by the host" }[reason] ?? "left";
  caption(`${person.name} ${words}.`);
  chime("leave");
}

function changed(person, before) {
  if (!before || person.id === call.me) return;
  if (person.hand && !before.hand) {
    caption(`${person.name} raised a hand.`);
    chime("hand");
  }
  if (person.muted !== before.muted) caption(`${person.name} is ${person.muted ? "muted" : "not muted any more"}.`);
  if (person.presence !== before.presence && person.presence === "away") caption(`${person.name} is reconnecting.`);
  if (person.presence !== before.presence && person.presence === "live" && before.presence === "away") caption(`${person.name} is back.`);
  if (person.quality !== before.quality && person.quality === "poor") caption(`${person.name} has a weak connection.`);
}

function speaks() {
  clearTimeout(saying);
  const [id] = call.speakers;
  if (id) saying = setTimeout(() => call.speakers[0] === id && caption(`${call.people.get(id)?.name} is speaking.`), SPOKEN_MS);
}

function rated(value, { rttMs, loss }) {
  const round = rttMs === null ? "" : `, ${Math.round(rttMs)} ms there and back`;
  const lost = loss > 0.005 ? `, ${(100 * loss).toFixed(0)} % of it lost` : "";
  byId("line-words").textContent = `Your connection is ${WORDS[value]}${round}${lost}.`;
  const pill = byId("line-pill");
  pill.hidden = value === "good";
  pill.textContent = { fair: "Your connection is unsteady", poor: "Your connection is weak" }[value] ?? "";
  if (pill.dataset.value !== value && value !== "good") caption(`${pill.textContent}.`);
  pill.dataset.value = value;
}

/** Open a room; only who knows the access token may, where there is one. */
async function opened(title) {
  for (;;) {
    try {
      return await door.open(title);
    } catch (error) {
      const token = isAboutToken(error) ? await askForToken() : "";
      if (!token) throw error;
      door.token = token;
    }
  }
}

async function keepAwake() {
  const wanted = call.state === "live" && document.visibilityState === "visible";
  if (wanted && !wakeLock) wakeLock = await navigator.wakeLock?.request("screen").catch(() => null);
  if (!wanted) await wakeLock?.release();
  if (!wanted || wakeLock?.released) wakeLock = null;
}

call.on("state", stateChanged);
call.on("join", came);
call.on("leave", went);
call.on("person", changed);
call.on("speaking", speaks);
call.on("quality", rated);
call.on("room", () => {
  byId("room-title").textContent = call.title;
  byId("room-wait").hidden = true;
});
call.on("problem", (sentence) => notice(byId("room-problem"), sentence));
call.on("lock", ({ on }) => caption(on ? "The host has locked the call." : "The call is open again."));
call.on("muted", ({ by }) => {
  if (by === call.me) return;
  caption("The host has muted you.");
  notice(byId("room-problem"), "The host has muted you. Press the microphone when you want to speak.", { calm: true });
});
byId("room-problem").querySelector("button").addEventListener("click", () => notice(byId("room-problem")));
byId("exposure").querySelector("button").addEventListener("click", () => {
  byId("exposure").hidden = true;
  sessionStorage.setItem("visavis.exposed", "yes");
});
byId("rejoin").addEventListener("click", () => {
  show("lobby", lobby.title);
  lobby.enter();
});
byId("door-form").addEventListener("submit", async (event) => {
  event.preventDefault();
  const title = byId("door-name").value.trim();
  byId("door-problem").textContent = title ? "" : "Give the call a name.";
  if (!title) return byId("door-name").focus();
  try {
    const { name } = await opened(title);
    location.href = new URL(name, door.address).href;
  } catch (error) {
    byId("door-problem").textContent = error.message;
  }
});
byId("skip").addEventListener("click", (event) => (event.preventDefault(), byId("main").focus()));
document.addEventListener("visibilitychange", keepAwake);

tiles.setLayout(recall("layout", "grid") === "speaker" ? "speaker" : "grid");
controls.showLayout();
setUpFoot();
if (!room) show("door");
else {
  show("lobby");
  lobby.enter();
}
