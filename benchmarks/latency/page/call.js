// A plain WebRTC call, the same for every server: no library, no server's own client. Offers leave
// through the harness (window.signal), which speaks the server's dialect.
const GATHER_LIMIT_MS = 1000;
const CONNECT_LIMIT_MS = 15_000;
const PING_MS = 2000;

const within = (promise, ms, sentence) =>
  Promise.race([
    promise,
    new Promise((_, reject) => setTimeout(() => reject(new Error(sentence)), ms)),
  ]);

const gathered = (pc) =>
  new Promise((resolve) => {
    if (pc.iceGatheringState === "complete") resolve();
    pc.onicegatheringstatechange = () => pc.iceGatheringState === "complete" && resolve();
    setTimeout(resolve, GATHER_LIMIT_MS);
  });

const connected = (pc) =>
  new Promise((resolve, reject) => {
    const look = () => {
      if (pc.connectionState === "connected") resolve();
      if (pc.connectionState === "failed") reject(new Error("The media connection failed."));
    };
    pc.onconnectionstatechange = look;
    look();
  });

/** Sound and picture as streams of their own, as our own page has them. */
const apart = (sdp) =>
  sdp
    .split(/(?=^m=)/m)
    .map((lines) => (/^m=video/.test(lines) ? lines.replace(/^a=msid:\S+/gm, "a=msid:v") : lines))
    .join("");

export class Call {
  /** @param {{control: boolean, receiveOnly: boolean, sendOnly: boolean, apart: boolean}} shape */
  constructor(shape) {
    this.shape = shape;
    this.lost = null; // a sentence, once it is over before its time
    this.messages = [];
  }

  /** Connect; resolves when media can flow. */
  async connect(microphone, leg) {
    const began = performance.now();
    const pc = (this.pc = new RTCPeerConnection({ iceServers: [], bundlePolicy: "max-bundle" }));
    const { sendOnly, receiveOnly } = this.shape;
    const [track] = microphone.getAudioTracks();
    const audio = receiveOnly
      ? pc.addTransceiver("audio", { direction: "recvonly" })
      : pc.addTransceiver(track, {
          direction: sendOnly ? "sendonly" : "sendrecv",
          streams: [microphone],
        });
    const receivers = sendOnly ? [] : [audio.receiver];
    if (!sendOnly) receivers.push(pc.addTransceiver("video", { direction: "recvonly" }).receiver);
    for (const receiver of receivers) {
      if ("jitterBufferTarget" in receiver) receiver.jitterBufferTarget = 0;
    }
    this.stream = new MediaStream(receivers.map((receiver) => receiver.track));
    if (this.shape.control) this.openControl();
    await pc.setLocalDescription(await pc.createOffer());
    await gathered(pc);
    const { sdp, session } = await window.signal({ sdp: pc.localDescription.sdp, leg });
    this.session = session;
    await pc.setRemoteDescription({ type: "answer", sdp: this.shape.control || this.shape.apart ? apart(sdp) : sdp });
    await within(connected(pc), CONNECT_LIMIT_MS, "The media connection was not made in time.");
    pc.onconnectionstatechange = () => {
      if (["failed", "closed"].includes(pc.connectionState)) this.lost ??= "The connection was lost.";
    };
    return began;
  }

  openControl() {
    const control = (this.control = this.pc.createDataChannel("control", { ordered: true }));
    control.onopen = () => {
      this.pings = setInterval(() => this.send({ type: "ping", t: performance.now() }), PING_MS);
    };
    control.onmessage = ({ data }) => {
      let message;
      try {
        message = JSON.parse(data);
      } catch {
        return; // another server's own words
      }
      if (message?.type === "stats") this.serverStats = message;
      if (message?.type === "ended") this.lost ??= String(message.reason);
      if (message?.type === "error") this.messages.push(String(message.message));
    };
  }

  /** Keep what the channel `motion` says, as it comes: what each frame's face is drawn from. */
  keepMotion(kept) {
    const channel = this.pc.createDataChannel("motion", { ordered: false, maxRetransmits: 0 });
    channel.binaryType = "arraybuffer";
    channel.onmessage = ({ data }) => kept.push(btoa(String.fromCharCode(...new Uint8Array(data))));
  }

  send(message) {
    if (this.control?.readyState !== "open") return false;
    this.control.send(JSON.stringify(message));
    return true;
  }

  /** The running totals that figures are made from, flat. */
  async totals() {
    const out = { wall: Date.now() };
    const keep = {
      video: ["framesDecoded", "keyFramesDecoded", "framesDropped", "freezeCount", "pliCount",
        "firCount", "nackCount", "packetsReceived", "packetsLost", "bytesReceived",
        "jitterBufferDelay", "jitterBufferEmittedCount", "totalProcessingDelay",
        "totalDecodeTime", "frameWidth", "frameHeight"],
      audio: ["packetsReceived", "packetsLost", "concealedSamples", "totalSamplesReceived",
        "jitterBufferDelay", "jitterBufferTargetDelay", "jitterBufferEmittedCount", "removedSamplesForAcceleration",
        "insertedSamplesForDeceleration"],
    }; // prettier-ignore
    const report = await this.pc.getStats();
    for (const entry of report.values()) {
      if (entry.type === "inbound-rtp") {
        for (const name of keep[entry.kind]) out[`${entry.kind}.${name}`] = entry[name] ?? 0;
        out[`${entry.kind}.codec`] = report.get(entry.codecId)?.mimeType ?? "";
      }
      if (entry.type === "candidate-pair" && entry.nominated && entry.state === "succeeded") {
        out.roundTripMs = (entry.currentRoundTripTime ?? 0) * 1000;
      }
    }
    out.server = this.serverStats ?? null;
    return out;
  }

  /** Tell our own server, as its page does, how long the buffer held sound between two totals. */
  tellPlayout(totals) {
    const [before, now] = totals.slice(-2);
    if (!now) return;
    const grown = (name) => now[`audio.${name}`] - before[`audio.${name}`];
    const samples = grown("jitterBufferEmittedCount");
    if (!(samples > 0)) return;
    const [held, target] = ["jitterBufferDelay", "jitterBufferTargetDelay"].map(
      (name) => (1000 * grown(name)) / samples,
    );
    this.send({ type: "playout", audio_ms: Math.min(held, target + 20) });
  }

  async close() {
    clearInterval(this.pings);
    this.pc?.close();
    if (this.session) await window.hangUp(this.session);
  }
}
