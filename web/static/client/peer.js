import { CallError } from "./errors.js";
import { decodeMotion } from "./motion.js";
import { anyOf, sleep } from "./server.js";

const PING_MS = 2000;
const SILENCE_LIMIT_MS = 6500; // without a word from the server the connection counts as lost
const DISCONNECTED_LIMIT_MS = 4000; // ICE heals by itself, or by another way found meanwhile
const GATHER_LIMIT_MS = 1000;
const CONNECT_LIMIT_MS = 15_000;

/** One peer connection, from the offer to its loss; AvatarCall makes a new one to reconnect. */
export class Peer {
  #server;
  #handlers;
  #video;
  #pc = null;
  #control = null;
  #timers = new Set();
  #over = false;
  #heard = 0;
  #answered = false;
  #lateCandidates = [];
  #gone = new AbortController(); // lost before it was ever live
  id = "";

  constructor(server, video, handlers) {
    this.#server = server;
    this.#video = video;
    this.#handlers = handlers;
  }

  /** Resolves when media flows; rejects with a CallError. */
  async connect({ microphone, heard, avatarId, size, probe, mood, style, canvas, iceServers = [], signal }) {
    if (typeof RTCPeerConnection === "undefined") {
      throw new CallError("unsupported", "This browser cannot make live calls. Use a current Chrome, Edge, Firefox or Safari.");
    }
    signal = anyOf(signal, this.#gone.signal);
    const startedAt = performance.now();
    const pc = (this.#pc = new RTCPeerConnection({ iceServers, bundlePolicy: "max-bundle" }));
    const track = microphone.getAudioTracks()[0];
    const audio = pc.addTransceiver(track ?? "audio", { direction: "sendrecv", streams: [microphone] });
    const video = pc.addTransceiver("video", { direction: "recvonly" });
    const other = heard?.getAudioTracks()[0];
    if (other) pc.addTransceiver(other, { direction: "sendonly" });
    this.sender = audio.sender;
    for (const receiver of [audio.receiver, video.receiver]) askForNoDelay(receiver);
    this.#openControl();
    if (this.#handlers.onmotion) this.#openMotion();
    pc.onicecandidate = ({ candidate }) => candidate && this.#candidate(candidate);
    this.#show(new MediaStream([audio.receiver.track, video.receiver.track]), startedAt);

    await pc.setLocalDescription(await pc.createOffer());
    await gathered(pc, signal);
    const { sdp, type } = pc.localDescription;
    this.#lateCandidates = []; // those until here are in the offer
    const request_data = { size, ...(avatarId ? { avatar_id: avatarId } : {}), ...(probe ? { probe } : {}) };
    if (mood) request_data.mood = mood;
    if (style !== undefined) request_data.style = style;
    if (canvas) Object.assign(request_data, canvas);
    const answer = await (
      await this.#server.request("api/offer", { method: "POST", json: { sdp, type, request_data } })
    ).json(); // never aborted: only the answer's id lets us hang up what the server has begun
    this.id = answer.pc_id;
    if (this.#over) {
      await this.#forget();
      throw signal.reason ?? connectionLost();
    }
    await pc.setRemoteDescription({ type: answer.type, sdp: apart(answer.sdp) });
    this.#answered = true;
    this.#trickle();
    await connected(pc, signal);
    pc.onconnectionstatechange = () => this.#connectionChanged();
  }

  send(message) {
    if (this.#control?.readyState !== "open") return false;
    this.#control.send(JSON.stringify(message));
    return true;
  }

  async stats() {
    return this.#pc && !this.#over ? this.#pc.getStats() : null;
  }

  /** Hang up. The server is told, so that the slot is free before it would notice. */
  close({ keepalive = false } = {}) {
    if (this.#over) return Promise.resolve();
    this.#over = true;
    for (const timer of this.#timers) clearInterval(timer);
    this.#pc?.close();
    return this.#forget(keepalive);
  }

  async #forget(keepalive = false) {
    if (this.id) await this.#hangUp(this.id, keepalive);
  }

  async #hangUp(id, keepalive = false) {
    const path = `api/sessions/${encodeURIComponent(id)}`;
    await this.#server.request(path, { method: "DELETE", keepalive }).catch(() => {}); // gone already
  }

  #show(stream, startedAt) {
    const { onfirstframe, onsoundblocked } = this.#handlers;
    const video = this.#video;
    video.playsInline = true;
    video.srcObject = stream;
    const seen = () => !this.#over && video.srcObject === stream && onfirstframe(performance.now() - startedAt);
    if (video.requestVideoFrameCallback) video.requestVideoFrameCallback(seen);
    else video.addEventListener("playing", seen, { once: true });
    video.play().catch((error) => {
      if (error.name !== "NotAllowedError") return; // a newer stream has taken its place
      video.muted = true; // a picture without sound is better than neither
      video.play().catch(() => {});
      onsoundblocked();
    });
  }

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
      if (message && typeof message === "object") this.#handlers.onmessage(message);
    };
    control.onclose = () => this.#lost();
  }

  #openMotion() {
    const channel = this.#pc.createDataChannel("motion", { ordered: false, maxRetransmits: 0 });
    channel.binaryType = "arraybuffer";
    channel.onmessage = ({ data }) => this.#handlers.onmotion(decodeMotion(data));
  }

  #connectionChanged() {
    const { connectionState } = this.#pc;
    if (connectionState === "failed" || connectionState === "closed") this.#lost();
    if (connectionState === "disconnected") {
      this.#restartIce();
      const timer = this.#every(DISCONNECTED_LIMIT_MS, () => {
        clearInterval(timer);
        if (this.#pc.connectionState !== "connected") this.#lost();
      });
    }
  }

  /** Another network, another address: the same connection finds another way, and nothing ends. */
  async #restartIce() {
    const pc = this.#pc;
    if (pc.signalingState !== "stable") return;
    try {
      pc.restartIce();
      await pc.setLocalDescription(await pc.createOffer());
      await gathered(pc, this.#gone.signal);
      const { sdp, type } = pc.localDescription;
      this.#lateCandidates = [];
      const json = { sdp, type, pc_id: this.id };
      const answer = await (await this.#server.request("api/offer", { method: "POST", json })).json();
      if (this.#over) return;
      if (answer.pc_id !== this.id) {
        this.#lost(); // the server had given it up already; this would be another session
        await this.#hangUp(answer.pc_id);
      } else await pc.setRemoteDescription({ type: answer.type, sdp: apart(answer.sdp) });
    } catch {
      // it counts as lost when it stays disconnected
    }
  }

  #lost() {
    if (this.#over) return;
    this.close();
    this.#gone.abort(connectionLost());
    this.#handlers.onlost();
  }

  #candidate(candidate) {
    this.#lateCandidates.push(candidate.toJSON());
    if (this.#answered) this.#trickle();
  }

  #trickle() {
    const candidates = this.#lateCandidates.splice(0);
    if (!candidates.length) return;
    const json = { pc_id: this.id, candidates };
    this.#server.request("api/offer", { method: "PATCH", json }).catch(() => {}); // the first ones may do
  }

  #every(ms, action) {
    const timer = setInterval(action, ms);
    this.#timers.add(timer);
    return timer;
  }
}

function askForNoDelay(receiver) {
  if ("jitterBufferTarget" in receiver) receiver.jitterBufferTarget = 0;
  else if ("playoutDelayHint" in receiver) receiver.playoutDelayHint = 0;
}

/**
 * Make sound and picture streams of their own: a browser holds the earlier of one stream's two back,
 * by what it can see of them. The server sees more (call.js tells it) and keeps them together.
 */
function apart(sdp) {
  const sections = sdp.split(/(?=^m=)/m);
  return sections.map((lines) => (lines.startsWith("m=video") ? lines.replace(/^a=msid:\S+/gm, "a=msid:picture") : lines)).join("");
}

function gathered(pc, signal) {
  if (pc.iceGatheringState === "complete") return Promise.resolve();
  const done = new Promise((resolve) => {
    pc.addEventListener("icegatheringstatechange", () => pc.iceGatheringState === "complete" && resolve());
  });
  return Promise.race([done, sleep(GATHER_LIMIT_MS, signal)]);
}

function connectionLost() {
  return new CallError(
    "connection-lost",
    "The call could not be connected. A firewall may block UDP between this device and the server.",
  );
}

function connected(pc, signal) {
  return new Promise((resolve, reject) => {
    const lost = () => reject(connectionLost());
    const timer = setTimeout(lost, CONNECT_LIMIT_MS);
    signal.addEventListener("abort", () => reject(signal.reason), { once: true });
    pc.onconnectionstatechange = () => {
      if (pc.connectionState === "connecting" || pc.connectionState === "new") return;
      clearTimeout(timer);
      if (pc.connectionState === "connected") resolve();
      else lost();
    };
    pc.onconnectionstatechange();
  });
}
