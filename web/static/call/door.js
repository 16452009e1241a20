/** The address of the call, the ticket that was sent, and the requests of this room. */

import { CallError } from "../client/errors.js";
import { Server } from "../client/server.js";
import { knownToken } from "../app/access.js";
import { recall, remember } from "../app/preferences.js";

const AVATAR_POLL_MS = 300;
const MINE = 20; // avatars made in this browser that it remembers

/** The room's name in the address; "" on the page that opens one. */
export function roomInAddress() {
  const last = location.pathname.split("/").pop();
  return decodeURIComponent(last);
}

/** Take `?invite=` out of the address bar and keep it for this tab. */
function takeInvitation(room) {
  const parameters = new URLSearchParams(location.search);
  const sent = parameters.get("invite");
  if (sent) {
    remember(`invite.${room}`, sent, "sessionStorage");
    parameters.delete("invite");
    const rest = parameters.toString();
    history.replaceState(null, "", `${location.pathname}${rest && `?${rest}`}${location.hash}`);
  }
  return recall(`invite.${room}`, "", "sessionStorage");
}

/** Everything that is asked of the server about one room. */
export class Door {
  #server;
  #token;
  #invitation;

  constructor(room) {
    this.room = room;
    this.#token = knownToken();
    this.#invitation = room ? takeInvitation(room) : "";
    this.#server = new Server();
    this.seat = recall(`seat.${room}`, "", "sessionStorage");
  }

  set token(token) {
    this.#token = token;
    this.#invitation = "";
  }

  /** Whether an invitation is shown, which goes before a token. */
  get isInvited() {
    return Boolean(this.#invitation);
  }

  get token() {
    return this.#token;
  }

  /** Where a link to this call begins. */
  get address() {
    return new URL("call/", this.#server.baseUrl);
  }

  keepSeat(seat) {
    this.seat = seat;
    remember(`seat.${this.room}`, seat, "sessionStorage");
  }

  async #ask(path, { bearer, ...rest } = {}) {
    this.#server.token = bearer ?? (this.#invitation || this.#token);
    return this.#server.request(path, rest);
  }

  #path(rest = "") {
    return `api/rooms/${encodeURIComponent(this.room)}${rest}`;
  }

  async open(title) {
    return (await this.#ask("api/rooms", { method: "POST", json: { title } })).json();
  }

  async look() {
    return (await this.#ask(this.#path())).json();
  }

  /** Who was removed stays it in this browser, whatever they call themselves next. */
  keepOut() {
    remember(`out.${this.room}`, this.seat);
    this.keepSeat("");
  }

  /** Take a seat, or the one back that this tab had. */
  async enter({ name, part, agrees }) {
    const json = { name, part, agrees, seat: this.seat || recall(`out.${this.room}`) };
    const bearer = this.#invitation || this.#token || undefined;
    const given = await (await this.#ask(this.#path("/people"), { method: "POST", json, bearer })).json();
    this.keepSeat(given.seat);
    return given;
  }

  async offer(json) {
    return (await this.#ask(this.#path("/offer"), { method: "POST", json, bearer: this.seat })).json();
  }

  trickle(json) {
    return this.#ask(this.#path("/offer"), { method: "PATCH", json, bearer: this.seat }).catch(() => {});
  }

  /** For good: the seat is free at once. */
  async leave() {
    const bearer = this.seat;
    this.keepSeat("");
    if (bearer) await this.#ask(this.#path("/people/me"), { method: "DELETE", bearer, keepalive: true }).catch(() => {});
  }

  /** The page goes; it may be back in a moment. */
  away() {
    if (this.seat) this.#ask(this.#path("/people/me/away"), { method: "POST", bearer: this.seat, keepalive: true }).catch(() => {});
  }

  async invite(purpose, lasts_s) {
    const json = { purpose, lasts_s };
    const made = await (await this.#ask(this.#path("/invitations"), { method: "POST", json, bearer: this.seat })).json();
    return new URL(made.path, this.#server.baseUrl).href;
  }

  // ------------------------------------------------------------------------------ recordings

  async recordings(seat = this.seat) {
    return (await (await this.#ask(this.#path("/recordings"), { bearer: seat })).json()).recordings;
  }

  async recorded(id, file, seat = this.seat) {
    return (await this.#ask(this.#path(`/recordings/${id}/${file}`), { bearer: seat })).blob();
  }

  async eraseRecording(id, seat = this.seat) {
    await this.#ask(this.#path(`/recordings/${id}`), { method: "DELETE", bearer: seat });
  }

  // ---------------------------------------------------------------------------------- avatars

  /** The avatars one may choose from: all of them for the owner, otherwise those made in this browser. */
  async avatars(owner) {
    if (owner) {
      const { avatars } = await (await this.#ask("api/avatars", { bearer: this.#token })).json();
      return avatars.filter(({ status }) => status === "ready"); // one that is refused is shown, with the reason
    }
    const found = await Promise.all(ownAvatars().map((id) => this.#avatar(id).catch(() => null)));
    return found.filter((record) => record?.status === "ready");
  }

  get #bearer() {
    return this.seat || this.#invitation || this.#token;
  }

  async #avatar(id) {
    return (await this.#ask(this.#path(`/avatars/${id}`), { bearer: this.#bearer })).json();
  }

  async preview(id) {
    return (await this.#ask(this.#path(`/avatars/${id}/preview.jpg`), { bearer: this.#bearer })).blob();
  }

  async makeAvatar({ photo, name, statement, onprogress }) {
    const form = new FormData();
    form.append("photo", photo, photo.name || "photo.jpg");
    form.append("name", name);
    form.append("consent", "true");
    form.append("statement", statement);
    const made = await (await this.#ask(this.#path("/avatars"), { method: "POST", form, bearer: this.#bearer })).json();
    let record = made;
    while (record.status === "enrolling") {
      onprogress(record);
      await new Promise((resolve) => setTimeout(resolve, AVATAR_POLL_MS));
      record = await this.#avatar(record.id);
    }
    if (record.status === "failed") throw new CallError("refused", record.reason || "The photo could not be used.");
    remember("mine", JSON.stringify([record.id, ...ownAvatars()].slice(0, MINE)));
    const kept = Object.entries({ [record.id]: made.key, ...ownKeys() }).slice(0, MINE);
    remember("keys", JSON.stringify(Object.fromEntries(kept)));
    return record;
  }

  /** Whether this browser may erase an avatar: it made it on the way into a call. */
  mayErase(id) {
    return Boolean(ownKeys()[id]);
  }

  /** Erase an avatar that was made on the way in, and everything made from its photo. */
  async eraseAvatar(id) {
    const { [id]: key, ...rest } = ownKeys();
    await this.#ask(this.#path(`/avatars/${id}`), { method: "DELETE", bearer: key });
    remember("keys", JSON.stringify(rest));
    remember("mine", JSON.stringify(ownAvatars().filter((other) => other !== id)));
  }
}

/** What erases the avatars that were made in this browser, by their ids. */
function ownKeys() {
  try {
    const keys = JSON.parse(recall("keys", "{}"));
    return keys && typeof keys === "object" && !Array.isArray(keys) ? keys : {};
  } catch {
    return {};
  }
}

/** Ids of the avatars that were made in this browser; whoever knows an id can wear that face. */
function ownAvatars() {
  try {
    const ids = JSON.parse(recall("mine", "[]"));
    return Array.isArray(ids) ? ids.filter((id) => /^[0-9a-f]{32}$/.test(id)) : [];
  } catch {
    return [];
  }
}
