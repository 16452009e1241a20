/** A call from joining to leaving: the seat, the connection and its return, who is in the room. */

import { CallError } from "../client/errors.js";
import { openMicrophone, release } from "../client/media.js";
import { sleep } from "../client/server.js";
import { Link } from "./link.js";
import { QualityWatch } from "./media/quality.js";

const BACKOFF_MS = [200, 700, 1500, 3000, 5000, 8000];
const ATTEMPTS = 25;
// Why the server may hang up on somebody who still wants to be there.
const RESTORABLE = ["connection", "idle", "timeout", "worker", "error", "hangup", "lifetime", "shutdown"];

/**
 * States: idle, joining, live, waiting (the server is full), reconnecting, over.
 *
 * Events, as `on(name, action)`: state (with `words`, and a `count` of what changes every second), room, join, leave, person, speaking, floor, chat, lock, muted,
 * recording, recorded, tracks, own, problem, quality, stumble.
 */
export class RoomCall {
  #door;
  #link = null;
  #run = null;
  #listeners = new Map();
  #quality = new QualityWatch();
  #entry = null;
  #seated = false; // a seat was taken by this try to come in
  #speaking = [];
  #tracks = new Map();

  state = "idle";
  me = "";
  host = false;
  part = "listener";
  title = "";
  locked = false;
  people = new Map();
  recording = { stage: "off", asked_by: "", waiting_for: [] };
  chat = [];
  microphone = null;
  muted = false;
  quality = "";
  wishes = { avatar_id: "", mood: "neutral", style: 1 };

  /** @param {import("./door.js").Door} door */
  constructor(door) {
    this.#door = door;
    addEventListener("pagehide", () => this.#run && this.#door.away());
  }

  on(name, action) {
    this.#listeners.set(name, [...(this.#listeners.get(name) ?? []), action]);
  }

  #tell(name, ...details) {
    for (const action of this.#listeners.get(name) ?? []) action(...details);
  }

  get active() {
    return this.#run !== null;
  }

  get watching() {
    return this.part === "watcher";
  }

  /** Who speaks, the longest first, without oneself. */
  get speakers() {
    return this.#speaking.filter((id) => id !== this.me && this.people.has(id));
  }

  /**
   * @param {{name: string, part: "avatar"|"listener", agrees: boolean}} entry
   * @param {{microphone: MediaStream|null, muted: boolean, wishes: object}} options
   */
  async join(entry, { microphone, muted, wishes }) {
    const run = (this.#run = new AbortController());
    this.#entry = entry;
    this.microphone = microphone;
    this.muted = muted;
    this.wishes = { ...this.wishes, ...wishes };
    for (const track of microphone?.getAudioTracks() ?? []) this.#adopt(track);
    this.#set("joining", "Joining: asking the server for a place.");
    try {
      await this.#connect(run, false);
    } catch (error) {
      if (run.signal.aborted) return;
      this.#stop();
      this.#set("idle", "");
      throw error;
    }
  }

  /** Give up to come in; the ticket of a seat is kept, the seat is not. */
  cancel() {
    if (!this.#run || !["joining", "waiting"].includes(this.state)) return;
    if (this.#seated) this.#giveBack();
    this.#stop();
    release(this.microphone);
    this.microphone = null;
    this.#set("idle", "");
  }

  #giveBack() {
    const { seat } = this.#door;
    this.#door.leave();
    this.#door.keepSeat(seat);
  }

  async leave() {
    if (!this.#run) return;
    const seat = this.#door.seat;
    const left = this.#door.leave();
    this.#end("You have left the call", "", seat);
    await left;
  }

  // ---------------------------------------------------------------------------- what one does

  setMuted(on) {
    this.muted = on;
    for (const track of this.microphone?.getAudioTracks() ?? []) track.enabled = !on;
    this.#link?.send({ type: "mute", on });
    this.#tell("muted", { by: this.me, on });
  }

  async setMicrophone(deviceId) {
    const stream = await openMicrophone(deviceId);
    const old = this.microphone;
    this.microphone = stream;
    const [track] = stream.getAudioTracks();
    this.#adopt(track);
    await this.#link?.sender?.replaceTrack(track);
    release(old);
  }

  raiseHand(on) {
    this.send({ type: "hand", on });
  }

  write(text) {
    return this.send({ type: "chat", text });
  }

  wear(id) {
    this.wishes.avatar_id = id;
    this.send({ type: "avatar", id });
  }

  setManner(mood, style) {
    Object.assign(this.wishes, { mood, style });
    this.send({ type: "manner", mood, style });
  }

  send(message) {
    return this.#link?.send(message) ?? false;
  }

  // ------------------------------------------------------------------------------ connecting

  #adopt(track) {
    track.enabled = !this.muted;
    track.onended = async () => {
      if (!this.microphone?.getTracks().includes(track) || !this.#run) return;
      this.#tell("problem", "The microphone was disconnected. Another one is used if there is one.");
      await this.setMicrophone("").catch(() => {});
    };
  }

  async #connect(run, again) {
    for (let attempt = 0; ; attempt += 1) {
      const link = new Link(this.#door, this.#handlers(run));
      this.#link = link;
      try {
        this.#seated = false;
        const seat = await this.#door.enter(this.#entry);
        this.#seated = true;
        if (run.signal.aborted) return this.#giveBack(); // given up meanwhile
        Object.assign(this, { me: seat.id, host: seat.host, part: seat.part, title: seat.title });
        const microphone = this.part === "avatar" ? this.microphone : null;
        const { signal } = run;
        if (!again) this.#set("joining", microphone ? "Joining: the server connects you and loads your avatar." : "Joining: the server connects you.");
        const others = Math.max(1, [...this.people.values()].filter(({ part }) => part === "avatar").length - Number(Boolean(microphone)));
        const own = await link.connect({ microphone, others, wishes: microphone ? this.wishes : {}, iceServers: seat.iceServers, signal });
        if (run.signal.aborted) return;
        this.#tell("own", own);
        this.#set("live", "In the call");
        this.#quality.start(() => link.stats(), (value, figures) => this.#rated(value, figures));
        return;
      } catch (error) {
        link.close();
        if (run.signal.aborted) return;
        await this.#beforeNextAttempt(error, run, again, attempt);
      }
    }
  }

  async #beforeNextAttempt(error, run, again, attempt) {
    if (error.retryAfterS > 0 && error.code !== "room-full") { // no room for another avatar just now
      const words = `${error.message} You come in by yourself as soon as there is a place.`;
      for (let left = error.retryAfterS; left > 0; left -= 1) {
        this.#set("waiting", words, `Trying again in ${left} s.`);
        await sleep(1000, run.signal);
      }
      this.#set("waiting", words, "Trying again now.");
      return;
    }
    const worthIt = ["unreachable", "connection-lost"].includes(error.code) || error.status >= 500;
    if (!again || !worthIt || attempt >= ATTEMPTS) throw error;
    const wait = BACKOFF_MS[Math.min(attempt, BACKOFF_MS.length - 1)];
    this.#set("reconnecting", "The connection was lost. Reconnecting");
    await Promise.race([sleep(wait, run.signal), new Promise((go) => addEventListener("online", go, { once: true }))]);
  }

  async #reconnect(run) {
    if (run.signal.aborted || this.state === "reconnecting") return;
    this.#quality.stop();
    this.#set("reconnecting", "The connection was lost. Reconnecting");
    this.#speaking = [];
    try {
      await sleep(BACKOFF_MS[0], run.signal);
      await this.#connect(run, true);
    } catch (error) {
      if (!run.signal.aborted) this.#end("The call could not be joined again", error.message, this.#door.seat);
    }
  }

  #handlers(run) {
    const ours = (action) => (...values) => (run.signal.aborted ? undefined : action(...values));
    return {
      onopen: ours(() => this.muted && this.part === "avatar" && this.send({ type: "mute", on: true })),
      onmessage: ours((message) => this.#message(message)),
      onstreams: ours((streams) => this.#streams(streams)),
      onlost: ours(() => this.state === "live" && this.#reconnect(run)),
    };
  }

  #streams(streams) {
    this.#tracks = new Map(streams.map((stream) => [stream.id, stream]));
    this.#tell("tracks", this.#tracks);
  }

  #rated(value, figures) {
    this.#tell("quality", value, figures);
    if (value === this.quality) return;
    this.quality = value;
    this.send({ type: "quality", value });
  }

  #stop() {
    this.#run?.abort();
    this.#run = null;
    this.#quality.stop();
    this.#link?.close();
    this.#link = null;
    this.#speaking = [];
    this.people.clear();
  }

  #end(title, words, seat) {
    this.#stop();
    release(this.microphone);
    this.microphone = null;
    this.state = "over";
    this.#tell("state", "over", { title, words, seat });
  }

  #set(state, words, count = "") {
    this.state = state;
    this.#tell("state", state, { words, count });
  }

  // --------------------------------------------------------------------- what the server says

  #message(message) {
    const action = {
      room: () => this.#whole(message),
      join: () => this.#person(message.person, "join"),
      person: () => this.#person(message.person, "person"),
      leave: () => this.#left(message),
      speaking: () => this.#speaks(message),
      chat: () => (this.chat.push(message.message), this.#tell("chat", message.message)),
      lock: () => ((this.locked = message.on), this.#tell("lock", message)),
      muted: () => this.#mutedByHost(message),
      recording: () => ((this.recording = message), this.#tell("recording", message)),
      recorded: () => this.#tell("recorded", message),
      worker: () => this.#tell("stumble", message.state),
      avatar: () => this.#tell("wearing", message),
      error: () => this.#tell("problem", String(message.message), String(message.code)),
      ended: () => this.#ended(message),
    }[message.type];
    action?.();
  }

  #whole(room) {
    this.me = room.you;
    this.title = room.title;
    this.locked = room.locked;
    this.recording = room.recording;
    this.chat = room.chat;
    this.people = new Map(room.people.map((person) => [person.id, person]));
    this.#speaking = room.people.filter(({ speaking }) => speaking).map(({ id }) => id);
    this.host = this.people.get(this.me)?.host ?? false;
    if (room.avatar_id) this.wishes.avatar_id = room.avatar_id;
    this.#tell("room");
    this.#tell("tracks", this.#tracks);
  }

  #person(person, event) {
    const before = this.people.get(person.id);
    this.people.set(person.id, person);
    if (person.id === this.me) {
      this.host = person.host;
      this.part = person.part;
    }
    this.#tell(event, person, before);
  }

  #left({ id, name, reason }) {
    const person = this.people.get(id);
    this.people.delete(id);
    this.#speaking = this.#speaking.filter((other) => other !== id);
    if (person) this.#tell("leave", { ...person, name }, reason);
  }

  #speaks({ id, on }) {
    const person = this.people.get(id);
    if (!person) return;
    person.speaking = on;
    this.#speaking = this.#speaking.filter((other) => other !== id);
    if (on) this.#speaking.push(id);
    this.#tell("speaking", id, on);
  }

  #mutedByHost({ by }) {
    this.muted = true;
    for (const track of this.microphone?.getAudioTracks() ?? []) track.enabled = false;
    this.#tell("muted", { by, on: true });
  }

  #ended({ reason, cause }) {
    const { seat } = this.#door;
    if (RESTORABLE.includes(cause) && this.state === "live") {
      this.#link?.close();
      this.#reconnect(this.#run);
      return;
    }
    if (cause === "removed") this.#door.keepOut();
    if (cause === "room-ended") this.#door.keepSeat("");
    this.#end(cause === "room-ended" ? "The call has ended" : "You are out of the call", String(reason ?? ""), seat);
  }
}
