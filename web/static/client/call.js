import { CallError } from "./errors.js";
import { openMicrophone, release } from "./media.js";
import { Peer } from "./peer.js";
import { IceServers, Server, sleep } from "./server.js";
import { statsCollector } from "./stats.js";

const SWITCH_LIMIT_MS = 10_000;
const BACKOFF_MS = [300, 1000, 2000, 4000, 8000];
const RECONNECT_ATTEMPTS = 20;
// Why the server may end a call that its user still wants: a laptop slept, a worker was slow to load.
const RESTORABLE = ["connection", "idle", "timeout", "lifetime", "avatar", "worker", "error"];
const FAULTS = 3; // so many in a row without one picture, and it is no use

/** A live call with an avatar. States: idle, microphone, connecting, live, waiting, reconnecting, ended, failed. */
export class AvatarCall {
  #server;
  #iceServers;
  #options;
  #peer = null;
  #run = null; // AbortController of the call in progress
  #ownsMicrophone = false;
  #switching = null;
  #collector = null;
  #faults = 0; // losses since the last picture

  state = "idle";
  avatarId;
  muted = false;
  /** The MediaStream being sent, for a level meter. */
  microphone = null;
  /** @see AvatarCall#onstats */
  stats = { firstFrameMs: null, mouthToLipMs: null, networkMs: null, bufferMs: null, server: null };

  /**
   * @param {object} options
   * @param {HTMLVideoElement} options.video where the avatar appears and is heard
   * @param {string} [options.avatarId] the newest avatar if left out
   * @param {string} [options.baseUrl] the server this module came from if left out
   * @param {string} [options.token]
   * @param {string} [options.microphoneId] a deviceId
   * @param {number} [options.size] 256, 384 or 512 px
   * @param {"neutral"|"warm"|"serious"|"lively"|"conversational"} [options.mood]
   * @param {number} [options.style] 0-2: how strongly head, brows and cheeks move; 1 if left out
   * @param {{canvas: string, framing?: string, background?: string, stage?: string}} [options.canvas]
   *   a wider picture ("1280x720") and what stands behind the person; `stage` names /stage/NAME
   * @param {boolean} [options.probe] have measuring marks burnt into the picture
   * @param {MediaStream} [options.heard] what the other side says: the avatar listens, nods and looks
   * @param {(frame: {frame: number, fps: number, mediaTime: number, dropped: number, values: Float32Array}) => void}
   *   [options.onmotion] every frame's coefficients, in the order of MOTION_NAMES, to drive a 3D character
   * @param {(state: string, detail: {message: string, retryInS?: number, attempt?: number}) => void} [options.onstate]
   * @param {(stats: object) => void} [options.onstats] once per second while live
   * @param {(error: CallError) => void} [options.onerror] everything the user should read
   * @param {(ms: number) => void} [options.onfirstframe]
   * @param {(id: string, state: "loading"|"ready") => void} [options.onavatar]
   * @param {(state: "lost"|"recovered") => void} [options.onworker]
   * @param {(message: {type: "recording"|"recorded", stage?: "running"|"off", id: string, seconds: number, bytes: number}) => void}
   *   [options.onrecording] a recording began, goes on (once a second) or has ended
   * @param {() => void} [options.onsoundblocked] the browser wants a click before it plays sound
   */
  constructor(options) {
    if (!(options?.video instanceof HTMLVideoElement)) throw new TypeError("AvatarCall needs a video element.");
    this.#options = options;
    this.#server = new Server(options);
    this.#iceServers = new IceServers(() => this.#server.request("api/ice"));
    this.avatarId = options.avatarId || "";
  }

  set token(token) {
    this.#server.token = token;
  }

  /** Whether a call is running, be it live, connecting or waiting. */
  get active() {
    return this.#run !== null;
  }

  /**
   * Ask for the microphone (unless a stream is given) and connect; resolves when live.
   *
   * @param {MediaStream} [stream]
   * @throws {CallError} also given to `onerror`
   */
  async start(stream) {
    if (this.#run) return;
    const run = (this.#run = new AbortController());
    addEventListener("pagehide", this.#leave);
    this.stats = { firstFrameMs: null, mouthToLipMs: null, networkMs: null, bufferMs: null, server: null };
    this.#faults = 0;
    try {
      this.#ownsMicrophone = !stream;
      this.#iceServers.get(); // while the microphone opens
      if (!stream) {
        this.#set("microphone", "Waiting for the microphone");
        stream = await openMicrophone(this.#options.microphoneId);
      }
      if (run.signal.aborted) return release(this.#ownsMicrophone ? stream : null);
      this.#adopt(stream);
      this.#set("connecting", "Connecting");
      await this.#connect(run, false);
    } catch (error) {
      if (run.signal.aborted) return;
      throw this.#fail(error);
    }
  }

  /** End the call; start() begins another one. */
  stop() {
    if (!this.#run) return;
    this.#end("idle", "");
  }

  /** Barge-in: what has been said but not yet shown is dropped and the face eases to neutral. */
  interrupt() {
    return this.#peer?.send({ type: "interrupt" }) ?? false;
  }

  /** Write one's avatar and voice to the server, or stop; who speaks agrees by asking. @param {boolean} on */
  record(on) {
    return this.#peer?.send({ type: "record", on: Boolean(on) }) ?? false;
  }

  /** @param {boolean} on */
  setMuted(on) {
    this.muted = Boolean(on);
    for (const track of this.microphone?.getAudioTracks() ?? []) track.enabled = !this.muted;
    this.#peer?.send({ type: "mute", on: this.muted });
  }

  /**
   * Another mood, at once while live and for the next call.
   *
   * @param {""|"neutral"|"warm"|"serious"|"lively"|"conversational"} mood empty is neutral
   * @param {number} [style] 0-2: how strongly head, brows and cheeks move
   */
  setMood(mood, style = this.#options.style ?? 1) {
    Object.assign(this.#options, { mood, style });
    this.#peer?.send({ type: "manner", mood: mood || "neutral", style });
  }

  /** Use another microphone without interrupting the call. @param {string} deviceId */
  async setMicrophone(deviceId) {
    this.#options.microphoneId = deviceId;
    const run = this.#run;
    if (!run || !this.microphone) return;
    const stream = await openMicrophone(deviceId);
    if (run.signal.aborted) return release(stream);
    const old = this.#ownsMicrophone ? this.microphone : null;
    this.#ownsMicrophone = true;
    this.#adopt(stream);
    await this.#peer?.sender?.replaceTrack(stream.getAudioTracks()[0]);
    release(old);
  }

  /**
   * Another avatar takes over; while live without a reconnect.
   *
   * @param {string} id
   * @returns {Promise<void>} resolves when it is on screen, rejects with a CallError
   */
  switchAvatar(id) {
    this.#switching?.resolve(); // a newer wish replaces an older one
    this.#switching = null;
    const before = this.avatarId;
    this.avatarId = id;
    if (this.state !== "live" || !this.#peer?.send({ type: "avatar", id })) return Promise.resolve();
    return new Promise((resolve, reject) => {
      const done = (action) => (value) => {
        clearTimeout(timer);
        if (this.#switching?.id === id) this.#switching = null;
        action(value);
      };
      const undo = (error) => {
        this.avatarId = before;
        reject(error);
      };
      const timer = setTimeout(() => this.#switching?.reject(new CallError("server", "The other avatar did not load in time.")), SWITCH_LIMIT_MS);
      this.#switching = { id, resolve: done(resolve), reject: done(undo) };
    });
  }

  #leave = () => this.#peer?.close({ keepalive: true });

  #set(state, message, extra = {}) {
    this.state = state;
    this.#options.onstate?.(state, { message, ...extra });
  }

  #fail(cause) {
    const known = cause instanceof CallError;
    const error = known ? cause : new CallError("server", "Something went wrong while connecting. Try again.");
    if (!known) console.error(cause);
    this.#end("failed", error.message);
    this.#options.onerror?.(error);
    return error;
  }

  #end(state, message) {
    this.#run?.abort();
    this.#run = null;
    clearInterval(this.#collector);
    removeEventListener("pagehide", this.#leave);
    this.#switching?.resolve();
    this.#peer?.close();
    this.#peer = null;
    release(this.#ownsMicrophone ? this.microphone : null);
    this.microphone = null;
    this.#options.video.srcObject = null;
    this.#set(state, message);
  }

  #adopt(stream) {
    this.microphone = stream;
    for (const track of stream.getAudioTracks()) {
      track.enabled = !this.muted;
      track.onended = () => this.#microphoneGone(stream);
    }
  }

  async #microphoneGone(stream) {
    if (this.microphone !== stream) return;
    const error = new CallError("no-microphone", "The microphone was disconnected. Plug it in again or choose another one.");
    this.#options.onerror?.(error);
    if (this.#ownsMicrophone) await this.setMicrophone("").catch(() => {}); // another one may be there
  }

  async #connect(run, again) {
    for (let attempt = 1; ; attempt += 1) {
      const peer = new Peer(this.#server, this.#options.video, this.#handlers(run));
      this.#peer = peer;
      try {
        const { microphone, avatarId } = this;
        const { size = 512, probe = false, heard, mood, style, canvas } = this.#options;
        const iceServers = await this.#iceServers.get();
        await peer.connect({ microphone, heard, avatarId, size, probe, mood, style, canvas, iceServers, signal: run.signal });
        if (!run.signal.aborted) this.#wentLive(run);
        return;
      } catch (error) {
        await peer.close();
        if (run.signal.aborted) return;
        await this.#beforeNextAttempt(error, run, again, attempt);
      }
    }
  }

  async #beforeNextAttempt(error, run, again, attempt) {
    if (error.retryAfterS) {
      for (let left = error.retryAfterS; left > 0; left -= 1) {
        this.#set("waiting", error.message, { retryInS: left, attempt });
        await sleep(1000, run.signal);
      }
      this.#set(again ? "reconnecting" : "connecting", "Trying again", { attempt });
      return;
    }
    const worthIt = ["unreachable", "connection-lost", "server"].includes(error.code);
    if (!again || !worthIt) throw error;
    if (attempt >= RECONNECT_ATTEMPTS) {
      throw new CallError("connection-lost", "The connection was lost and could not be restored. Check the server and the network, then go live again.");
    }
    const wait = BACKOFF_MS[Math.min(attempt, BACKOFF_MS.length) - 1] * (0.8 + 0.4 * Math.random());
    this.#set("reconnecting", "The connection was lost. Reconnecting", { attempt });
    await Promise.race([sleep(wait, run.signal), new Promise((go) => addEventListener("online", go, { once: true }))]);
  }

  #wentLive(run) {
    clearInterval(this.#collector);
    const collect = statsCollector();
    this.#collector = setInterval(async () => {
      const report = await this.#peer?.stats();
      if (!report || run.signal.aborted || this.state !== "live") return;
      Object.assign(this.stats, collect(report, this.stats.server));
      const { soundHeldMs } = this.stats;
      if (soundHeldMs !== null) this.#peer?.send({ type: "playout", audio_ms: soundHeldMs });
      this.#options.onstats?.(this.stats);
    }, 1000);
    this.#set("live", "Live");
  }

  #handlers(run) {
    const ours = (action) => (...values) => (run.signal.aborted ? undefined : action(...values));
    return {
      onopen: ours(() => this.muted && this.#peer?.send({ type: "mute", on: true })),
      onmessage: ours((message) => this.#message(message)),
      onmotion: this.#options.onmotion && ours(this.#options.onmotion),
      onsoundblocked: ours(() => this.#options.onsoundblocked?.()),
      onfirstframe: ours((ms) => {
        this.#faults = 0;
        this.stats.firstFrameMs ??= Math.round(ms);
        this.#options.onfirstframe?.(Math.round(ms));
      }),
      onlost: ours(() => this.state === "live" && this.#reconnect(run)),
    };
  }

  #restorable(cause) {
    return this.state === "live" && RESTORABLE.includes(cause) && this.#faults < FAULTS;
  }

  async #reconnect(run) {
    this.#set("reconnecting", "The connection was lost. Reconnecting", { attempt: 0 });
    this.#switching?.resolve(); // the next offer names the wanted avatar
    try {
      await sleep(BACKOFF_MS[this.#faults], run.signal);
      this.#faults += 1;
      await this.#connect(run, true);
    } catch (error) {
      if (!run.signal.aborted) this.#fail(error);
    }
  }

  #message(message) {
    const sentence = (text, fallback) => (typeof text === "string" && text ? text : fallback);
    if (message.type === "stats") this.stats.server = message;
    else if (message.type === "recording" || message.type === "recorded") this.#options.onrecording?.(message);
    else if (message.type === "worker") this.#options.onworker?.(message.state);
    else if (message.type === "avatar") {
      this.#options.onavatar?.(message.id, message.state);
      if (message.state === "ready" && this.#switching?.id === message.id) this.#switching.resolve();
    } else if (message.type === "error") {
      const error = new CallError(sentence(message.code, "server"), sentence(message.message, "The server reported a problem."));
      if (this.#switching) this.#switching.reject(error);
      else this.#options.onerror?.(error);
    } else if (message.type === "ended" && this.#restorable(message.cause)) {
      this.#peer?.close();
      this.#reconnect(this.#run);
    } else if (message.type === "ended") {
      const error = new CallError("ended", sentence(message.reason, "The server ended the call."));
      this.#end("ended", error.message);
      this.#options.onerror?.(error);
    }
  }
}
