/** One peer connection for a whole call: microphone up, one's own picture and everybody else down. */

import { CallError } from "../client/errors.js";
import { anyOf } from "../client/server.js";

const PING_MS = 2000;
const SILENCE_LIMIT_MS = 6500; // without a word from the server the connection counts as lost
const DISCONNECTED_LIMIT_MS = 2500; // ICE often heals by itself within this
const CONNECT_LIMIT_MS = 15_000;
const RESERVE = 1; // pairs of sections beyond those who are here, so that the next one needs no offer

export class Link {
  #door;
  #handlers;
  #pc = null;
  #control = null;
  #timers = new Set();
  #over = false;
  #heard = 0;
  #answered = false;
  #candidates = [];
  #turn = Promise.resolve(); // one offer at a time
  #gone = new AbortController();
  id = "";
  sender = null;

  /**
   * @param {import("./door.js").Door} door
   * @param {{onmessage: Function, onopen: Function, onlost: Function, onstreams: Function}} handlers
   */
  constructor(door, handlers) {
    this.#door = door;
    this.#handlers = handlers;
  }

  /**
   * @param {{microphone: MediaStream|null, others: number, wishes: object, iceServers?: RTCIceServer[], signal: AbortSignal}} options
   *   without a microphone one has no avatar: one listens or watches
   * @returns {Promise<MediaStream|null>} one's own picture, never one's own sound
   */
  async connect({ microphone, others, wishes, iceServers = [], signal }) {
    if (typeof RTCPeerConnection === "undefined") {
      throw new CallError("unsupported", "This browser cannot make calls. Use a current Chrome, Edge, Firefox or Safari.");
    }
    signal = anyOf(signal, this.#gone.signal);
    const pc = (this.#pc = new RTCPeerConnection({ iceServers, bundlePolicy: "max-bundle" }));
    let own = null;
    if (microphone) {
      this.sender = pc.addTransceiver(microphone.getAudioTracks()[0], { direction: "sendonly" }).sender;
      own = new MediaStream([this.#receive("video").receiver.track]);
    }
    this.#reserve(others + RESERVE);
    this.#openControl();
    pc.onicecandidate = ({ candidate }) => candidate && this.#candidate(candidate);
    await pc.setLocalDescription(await pc.createOffer());
    // Nothing is waited for: candidates follow, and the server answers checks from wherever they come.
    this.#candidates = [];
    const answer = await this.#door.offer({ ...pc.localDescription.toJSON(), ...wishes });
    this.id = answer.pc_id;
    if (this.#over) throw signal.reason ?? lost();
    await pc.setRemoteDescription({ type: answer.type, sdp: apart(answer.sdp) });
    this.#answered = true;
    this.#trickle();
    await connected(pc, signal);
    pc.onconnectionstatechange = () => this.#connectionChanged();
    return own;
  }

  /** @returns {boolean} whether it was sent */
  send(message) {
    if (this.#control?.readyState !== "open") return false;
    this.#control.send(JSON.stringify(message));
    return true;
  }

  async stats() {
    return this.#pc && !this.#over ? this.#pc.getStats() : null;
  }

  close() {
    if (this.#over) return;
    this.#over = true;
    for (const timer of this.#timers) clearInterval(timer);
    this.#pc?.close();
  }

  // ------------------------------------------------------------------------------ sections

  #receive(kind) {
    const transceiver = this.#pc.addTransceiver(kind, { direction: "recvonly" });
    const wanted = kind === "video" ? /^video\/(H264|VP8|rtx)$/i : /^audio\/opus$/i;
    const codecs = RTCRtpReceiver.getCapabilities?.(kind)?.codecs ?? [];
    const short = codecs.filter(({ mimeType, sdpFmtpLine = "" }) =>
      wanted.test(mimeType) && !/packetization-mode=0|profile-level-id=(4d|64|f4)/i.test(sdpFmtpLine));
    if (short.length) transceiver.setCodecPreferences?.(short); // sixteen sections fit into an offer
    const { receiver } = transceiver;
    if ("jitterBufferTarget" in receiver) receiver.jitterBufferTarget = 0;
    return transceiver;
  }

  #reserve(pairs) {
    for (let i = 0; i < pairs; i += 1) {
      this.#receive("audio");
      this.#receive("video");
    }
  }

  #track(mid) {
    if (mid === null) return null;
    return this.#pc.getTransceivers().find((transceiver) => transceiver.mid === mid)?.receiver.track ?? null;
  }

  /** The server says whose sound and picture are in which sections, and how many it misses. */
  #streams({ streams, missing }) {
    if (this.#over) return;
    const known = streams.map(({ id, audio, video }) => ({ id, audio: this.#track(audio), video: this.#track(video) }));
    this.#handlers.onstreams(known);
    if (missing.audio || missing.video) this.#turn = this.#turn.then(() => this.#more(missing)).catch(() => this.#lost());
  }

  /** Add sections to the running connection. */
  async #more({ audio, video }) {
    const pc = this.#pc;
    if (this.#over || pc.signalingState !== "stable") return;
    for (let i = 0; i < audio; i += 1) this.#receive("audio");
    for (let i = 0; i < video; i += 1) this.#receive("video");
    await pc.setLocalDescription(await pc.createOffer());
    const answer = await this.#door.offer({ ...pc.localDescription.toJSON(), pc_id: this.id });
    if (!this.#over) await pc.setRemoteDescription({ type: answer.type, sdp: apart(answer.sdp) });
  }

  // ------------------------------------------------------------------------------- control

  #openControl() {
    const control = (this.#control = this.#pc.createDataChannel("control", { ordered: true }));
    control.onopen = () => {
      this.#heard = performance.now();
      this.#every(PING_MS, () => {
        if (performance.now() - this.#heard > SILENCE_LIMIT_MS) this.#lost();
        else this.send({ type: "ping", t: performance.now() });
      });
      this.#handlers.onopen();
    };
    control.onmessage = ({ data }) => {
      this.#heard = performance.now();
      let message;
      try {
        message = JSON.parse(data);
      } catch {
        return; // not ours to understand
      }
      if (message?.type === "streams") this.#streams(message);
      else if (message && typeof message === "object") this.#handlers.onmessage(message);
    };
    control.onclose = () => this.#lost();
  }

  #connectionChanged() {
    const { connectionState } = this.#pc;
    if (connectionState === "failed" || connectionState === "closed") this.#lost();
    if (connectionState === "disconnected") {
      const timer = this.#every(DISCONNECTED_LIMIT_MS, () => {
        clearInterval(timer);
        if (this.#pc.connectionState !== "connected") this.#lost();
      });
    }
  }

  #lost() {
    if (this.#over) return;
    this.close();
    this.#gone.abort(lost());
    this.#handlers.onlost();
  }

  #candidate(candidate) {
    this.#candidates.push(candidate.toJSON());
    if (this.#answered) this.#trickle();
  }

  #trickle() {
    const candidates = this.#candidates.splice(0);
    if (candidates.length) this.#door.trickle({ pc_id: this.id, candidates });
  }

  #every(ms, action) {
    const timer = setInterval(action, ms);
    this.#timers.add(timer);
    return timer;
  }
}

/**
 * Make every section a stream of its own: a browser would hold back the earlier of two that belong
 * together, by what it can see of them. The server sees more and sends them in step.
 */
function apart(sdp) {
  const sections = sdp.split(/(?=^m=)/m);
  return sections.map((lines, n) => (n ? lines.replace(/^a=msid:\S+/gm, `a=msid:section-${n}`) : lines)).join("");
}

function lost() {
  return new CallError("connection-lost", "The connection to the call was lost. A firewall may block UDP between this device and the server.");
}

function connected(pc, signal) {
  return new Promise((resolve, reject) => {
    const fail = () => reject(lost());
    const timer = setTimeout(fail, CONNECT_LIMIT_MS);
    signal.addEventListener("abort", () => (clearTimeout(timer), reject(signal.reason)), { once: true });
    pc.onconnectionstatechange = () => {
      if (pc.connectionState === "connecting" || pc.connectionState === "new") return;
      clearTimeout(timer);
      if (pc.connectionState === "connected") resolve();
      else fail();
    };
    pc.onconnectionstatechange();
  });
}
