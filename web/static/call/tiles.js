/** The pictures of all people: a grid, or the speaker large and the others in a row. */

import { byId, caption } from "./dom.js";

const GAP = 12;
const HOLD_MS = 2000; // the large one stays for so long after its last word
const TELL_MS = 400;
const LONG_MS = 4000; // a picture that is not there by then is waited for because something is busy
const STATE_WORDS = { joining: "Joining", away: "Reconnecting" };
const LINE_WORDS = { fair: "Unsteady connection", poor: "Weak connection" };

export class Tiles {
  #call;
  #list = byId("tiles");
  #tiles = new Map();
  #layout = "grid";
  #large = "";
  #largeAt = 0;
  #told = "";
  #telling = 0;
  #timer = 0;
  #speaker = "";
  #awaited = false; // it was said that pictures are waited for

  /** @param {import("./call.js").RoomCall} call */
  constructor(call) {
    this.#call = call;
    new ResizeObserver(() => this.arrange()).observe(this.#list);
    call.on("room", () => (this.show(), this.#await()));
    call.on("join", () => this.show());
    call.on("leave", () => this.show());
    call.on("person", () => this.show());
    call.on("speaking", (id, on) => this.#speaks(id, on));
    call.on("tracks", (tracks) => this.#attach(tracks));
    call.on("own", (stream) => this.#own(stream));
    call.on("state", (state) => this.#list.classList.toggle("dim", state === "reconnecting"));
    call.on("stumble", (state) => this.#stumble(state));
    call.on("wearing", ({ state }) => this.#cover(this.#call.me, state === "loading" ? "Changing the avatar" : ""));
  }

  get layout() {
    return this.#layout;
  }

  setLayout(layout) {
    this.#layout = layout;
    this.#list.dataset.layout = layout;
    this.arrange();
  }

  setSpeaker(deviceId) {
    this.#speaker = deviceId;
    for (const { video } of this.#tiles.values()) video.setSinkId?.(deviceId).catch(() => {});
  }

  /** The picture that floats above other windows: the speaker's. */
  get floating() {
    const id = this.#large || [...this.#tiles.keys()].find((other) => other !== this.#call.me) || this.#call.me;
    return this.#tiles.get(id)?.video ?? null;
  }

  clear() {
    for (const { element, video } of this.#tiles.values()) {
      video.srcObject = null;
      element.remove();
    }
    this.#tiles.clear();
    this.#large = "";
    this.#told = "";
    this.#awaited = false;
  }

  // ---------------------------------------------------------------------------- who is shown

  show() {
    const shown = [...this.#call.people.values()].filter(({ part }) => part === "avatar");
    for (const [id, { element, video }] of this.#tiles) {
      if (shown.some((person) => person.id === id)) continue;
      video.srcObject = null;
      element.remove();
      this.#tiles.delete(id);
    }
    for (const person of shown) this.#draw(person);
    this.#chooseLarge();
    this.arrange();
  }

  /** Say to who does not see it that pictures are waited for, and that they have come. */
  #await() {
    const waits = [...this.#tiles.values()].some(({ seen }) => !seen);
    if (waits !== this.#awaited) caption(waits ? "Waiting for the pictures." : "The pictures are here.");
    this.#awaited = waits;
  }

  #draw(person) {
    const tile = this.#tiles.get(person.id) ?? this.#make(person);
    const me = person.id === this.#call.me;
    const { element } = tile;
    element.classList.toggle("speaking", person.speaking);
    element.querySelector(".tile-name span").textContent = me ? `${person.name} (you)` : person.name;
    element.querySelector(".tile-muted").toggleAttribute("hidden", !person.muted);
    element.querySelector(".tile-hand").hidden = !person.hand;
    element.setAttribute("aria-label", inWords(person, me, !tile.seen));
    const line = element.querySelector(".tile-line");
    line.textContent = me ? "" : (LINE_WORDS[person.quality] ?? ""); // one's own is said above
    line.hidden = !line.textContent;
    this.#cover(person.id, stateWords(person, tile, me), person.presence === "away");
  }

  #redraw(id) {
    const person = this.#call.people.get(id);
    if (person && this.#tiles.has(id)) this.#draw(person);
  }

  #cover(id, words, grey = false) {
    const tile = this.#tiles.get(id);
    if (!tile) return;
    const state = tile.element.querySelector(".tile-state");
    state.hidden = !words;
    state.textContent = words;
    tile.element.classList.toggle("away", grey);
  }

  #make(person) {
    const element = byId("tile").content.cloneNode(true).firstElementChild;
    const video = element.querySelector("video");
    element.dataset.id = person.id;
    video.muted = person.id === this.#call.me; // seen, never heard; and it has no sound anyway
    video.setAttribute("aria-label", person.id === this.#call.me ? "Your avatar" : `${person.name}’s avatar`);
    const tile = { element, video, seen: false, since: performance.now(), audio: null, picture: null };
    setTimeout(() => this.#redraw(person.id), LONG_MS + 10);
    video.addEventListener("loadeddata", () => {
      tile.seen = true;
      element.classList.add("seen");
      element.dataset.firstPicture ||= String(Math.round(performance.now()));
      this.#redraw(person.id);
      if (this.#awaited) this.#await();
    });
    video.addEventListener("click", () => this.#pin(person.id));
    if (this.#speaker) video.setSinkId?.(this.#speaker).catch(() => {});
    this.#tiles.set(person.id, tile);
    this.#list.append(element);
    return tile;
  }

  #own(stream) {
    const tile = this.#tiles.get(this.#call.me);
    this.ownStream = stream;
    if (tile && stream) this.#play(tile, stream);
  }

  #attach(tracks) {
    for (const [id, tile] of this.#tiles) {
      if (id === this.#call.me) {
        if (this.ownStream && tile.video.srcObject !== this.ownStream) this.#play(tile, this.ownStream);
        continue;
      }
      const { audio = null, video = null } = tracks.get(id) ?? {};
      if (tile.audio === audio && tile.picture === video && tile.video.srcObject) continue;
      Object.assign(tile, { audio, picture: video });
      const streams = [audio, video].filter(Boolean);
      if (streams.length) this.#play(tile, new MediaStream(streams));
      else {
        tile.video.srcObject = null;
        tile.element.classList.remove("seen");
        Object.assign(tile, { seen: false, since: performance.now() });
        setTimeout(() => this.#redraw(id), LONG_MS + 10);
        this.#redraw(id);
      }
    }
  }

  #play(tile, stream) {
    const { video, element } = tile;
    video.srcObject = stream;
    video.play().catch((error) => {
      if (error.name !== "NotAllowedError") return; // a newer stream has taken its place
      element.classList.add("blocked");
      addEventListener("click", () => video.play().then(() => element.classList.remove("blocked")).catch(() => {}), { once: true });
    });
  }

  #stumble(state) {
    this.#cover(this.#call.me, state === "lost" ? "Your avatar stumbled; it is back in a moment" : "");
  }

  // -------------------------------------------------------------------------- who is large

  #speaks(id, on) {
    this.#tiles.get(id)?.element.classList.toggle("speaking", on);
    const person = this.#call.people.get(id);
    const tile = this.#tiles.get(id);
    if (person && tile) tile.element.setAttribute("aria-label", inWords(person, id === this.#call.me, !tile.seen));
    this.#chooseLarge();
  }

  #pin(id) {
    if (this.#layout !== "speaker") return;
    this.#large = id;
    this.#largeAt = performance.now();
    this.arrange();
  }

  #chooseLarge() {
    clearTimeout(this.#timer);
    const speakers = this.#call.speakers.filter((id) => this.#tiles.has(id));
    const others = [...this.#tiles.keys()].filter((id) => id !== this.#call.me);
    let wanted = this.#large;
    if (speakers.includes(this.#large)) this.#largeAt = performance.now();
    else if (speakers.length) {
      const wait = this.#largeAt + HOLD_MS - performance.now();
      if (wait > 0 && this.#tiles.has(this.#large)) this.#timer = setTimeout(() => this.#chooseLarge(), wait);
      else [wanted] = speakers;
    }
    if (!this.#tiles.has(wanted)) wanted = others[0] ?? this.#call.me;
    if (wanted === this.#large) return;
    this.#large = wanted;
    this.#largeAt = performance.now();
    this.arrange();
    this.#float();
  }

  /** A floating picture follows the speaker. */
  #float() {
    const { floating } = this;
    if (document.pictureInPictureElement && document.pictureInPictureElement !== floating) floating?.requestPictureInPicture().catch(() => {});
  }

  // -------------------------------------------------------------------------- where they are

  /** Squares as large as they can be; their places are told, so that avatars look at each other. */
  arrange() {
    const count = this.#tiles.size;
    const { clientWidth: width, clientHeight: height } = this.#list;
    if (!count || !width || !height) return;
    const large = this.#layout === "speaker" && count > 1;
    if (large) this.#arrangeSpeaker(width, height, count);
    else this.#arrangeGrid(width, height, count);
    for (const [id, { element }] of this.#tiles) element.classList.toggle("large", large && id === this.#large);
    clearTimeout(this.#telling);
    this.#telling = setTimeout(() => this.#tellPlaces(), TELL_MS);
  }

  #arrangeGrid(width, height, count) {
    let [columns, side] = [1, 0];
    for (let tried = 1; tried <= count; tried += 1) {
      const rows = Math.ceil(count / tried);
      const fits = Math.min((width - GAP * (tried - 1)) / tried, (height - GAP * (rows - 1)) / rows);
      if (fits > side) [columns, side] = [tried, fits];
    }
    this.#list.style.setProperty("--columns", String(columns));
    this.#list.style.setProperty("--side", `${Math.floor(Math.max(side, 96))}px`);
  }

  #arrangeSpeaker(width, height, count) {
    const small = Math.max(72, Math.min(150, (width - GAP * (count - 2)) / (count - 1), height * 0.24));
    this.#list.style.setProperty("--small", `${Math.floor(small)}px`);
    this.#list.style.setProperty("--side", `${Math.floor(Math.max(120, Math.min(width, height - small - GAP)))}px`);
  }

  #tellPlaces() {
    const tiles = {};
    for (const [id, { element }] of this.#tiles) {
      if (id === this.#call.me) continue;
      const box = element.getBoundingClientRect();
      const x = ((box.left + box.width / 2) / innerWidth) * 2 - 1;
      const y = ((box.top + box.height / 2) / innerHeight) * 2 - 1;
      tiles[id] = [Number(x.toFixed(2)), Number(y.toFixed(2))];
    }
    const text = JSON.stringify(tiles);
    if (text === this.#told || this.#call.watching) return;
    if (this.#call.send({ type: "tiles", tiles })) this.#told = text;
  }
}

/** What stands where a picture should be. */
function stateWords(person, tile, me) {
  if (person.presence === "away" || (person.presence === "joining" && !tile.seen)) return STATE_WORDS[person.presence];
  if (tile.seen) return "";
  const words = me ? "Waiting for your picture" : "Waiting for the picture";
  const long = performance.now() - tile.since > LONG_MS;
  return long ? `${words}. The server or this device is busy.` : words;
}

/** A person in words, for those who do not see the rings and marks. */
export function inWords(person, me, waits = false) {
  const parts = [me ? "You" : person.name];
  if (person.host) parts.push("host");
  if (person.part === "listener") parts.push("listening only");
  if (person.presence === "away") parts.push("reconnecting");
  else if (waits && person.part === "avatar") parts.push("waiting for the picture");
  if (person.muted) parts.push("muted");
  else if (person.speaking) parts.push("speaking");
  if (person.hand) parts.push("hand raised");
  if (LINE_WORDS[person.quality]) parts.push(LINE_WORDS[person.quality].toLowerCase());
  return parts.join(", ");
}

