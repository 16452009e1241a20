// Plays a prepared file as the microphone and notes when each click left, when it was heard again
// and what was shown when. The figures are made from these notes outside the page.
import { Call } from "./call.js";
import { FrameLog } from "./frames.js";

const FIRST_FRAME_LIMIT_MS = 20_000;
const BETWEEN_CALLS_MS = 300;
const LOOK_MS = 1000;
const RESUME_MS = 1300; // from a stop until speech goes on: longer than any mouth takes

const sleep = (ms) => new Promise((resolve) => setTimeout(resolve, ms));

const detector = (context, threshold, sink) => {
  const node = new AudioWorkletNode(context, "click-detector", {
    processorOptions: { threshold, restSeconds: 0.25 },
  });
  node.port.onmessage = (event) => sink.push(event.data.wall);
  return node;
};

const load = async (context, url) => {
  const data = await (await fetch(url)).arrayBuffer();
  return context.decodeAudioData(data);
};

const looped = (context, buffer, target) => {
  const gain = new GainNode(context, { gain: 0 });
  const source = new AudioBufferSourceNode(context, { buffer, loop: true });
  source.connect(gain).connect(target);
  return { source, gain };
};

const firstFrame = (video, began) =>
  Promise.race([
    new Promise((resolve) => {
      video.requestVideoFrameCallback((now) => resolve(now - began));
    }),
    sleep(FIRST_FRAME_LIMIT_MS).then(() => {
      throw new Error(`No picture was shown within ${FIRST_FRAME_LIMIT_MS / 1000} s.`);
    }),
  ]);

class Bench {
  constructor(options) {
    this.options = options;
    this.video = document.getElementById("video");
    this.notes = { sent: [], heard: [], connects: [], stops: [], motion: [], stats: [], errors: [] };
  }

  async prepare() {
    const context = (this.context = new AudioContext({
      sampleRate: 48000,
      latencyHint: "interactive",
    }));
    await context.resume();
    // A worklet's own request cannot be answered by the harness; a blob needs none.
    const worklet = await (await fetch("detector.js")).blob();
    const module = URL.createObjectURL(new Blob([worklet], { type: "text/javascript" }));
    await context.audioWorklet.addModule(module);
    this.microphone = context.createMediaStreamDestination();
    const mouth = detector(context, 0.5, this.notes.sent);
    mouth.connect(this.microphone);
    this.words = looped(context, await load(context, this.options.words), mouth);
    this.babble = looped(context, await load(context, this.options.babble), mouth);
    this.words.source.start();
    this.babble.source.start();
  }

  /** One call, or two where sending and receiving have addresses of their own. */
  async connect() {
    const { control, split, apart } = this.options;
    const legs = split
      ? [new Call({ sendOnly: true }), new Call({ receiveOnly: true, apart })]
      : [new Call({ control })];
    this.legs = legs;
    const began = performance.now();
    for (const [place, leg] of legs.entries()) await leg.connect(this.microphone.stream, place);
    const call = (this.call = legs[legs.length - 1]);
    this.video.srcObject = call.stream;
    const first = firstFrame(this.video, began);
    await Promise.all([this.video.play().catch(() => {}), first]);
    this.notes.connects.push(await first);
  }

  async hangUp() {
    this.video.srcObject = null;
    for (const leg of this.legs) await leg.close();
  }

  check() {
    const lost = this.legs.map((leg) => leg.lost).find(Boolean);
    if (lost) throw new Error(`The call ended while it was measured: ${lost}`);
  }

  listen() {
    const sound = new MediaStream(this.call.stream.getAudioTracks());
    this.context.createMediaStreamSource(sound).connect(
      detector(this.context, this.options.heardThreshold, this.notes.heard),
    );
  }

  async watch(seconds) {
    const end = performance.now() + seconds * 1000;
    while (performance.now() < end) {
      await sleep(Math.min(LOOK_MS, Math.max(0, end - performance.now())));
      this.check();
      this.notes.stats.push(await this.call.totals());
      this.call.tellPlayout(this.notes.stats);
      const { wantsSound, soundWithinS } = this.options;
      const waited = (Date.now() - this.notes.began) / 1000;
      if (wantsSound && waited > soundWithinS && !this.notes.heard.length) {
        throw new Error(`No click came back as sound within ${soundWithinS} s.`);
      }
    }
  }

  /** Stops in the midst of speech, in turn with a barge-in and by falling silent alone. */
  async stops(count) {
    this.words.gain.gain.value = 0;
    for (let k = 0; k < count; k++) {
      this.babble.gain.gain.value = 1;
      await sleep(1200 + 137 * (k % 7)); // sweeps the phase of a frame
      this.check();
      const barges = k % 2 === 0;
      this.babble.gain.gain.value = 0;
      const interrupted = barges && this.call.send({ type: "interrupt" });
      this.notes.stops.push({ wall: performance.timeOrigin + performance.now(), interrupted });
      await sleep(RESUME_MS);
    }
  }

  async run() {
    const { connects, seconds, stops, grids } = this.options;
    await this.prepare();
    for (let k = 1; k < connects; k++) {
      await this.connect();
      await this.hangUp();
      await sleep(BETWEEN_CALLS_MS);
    }
    await this.connect();
    const log = new FrameLog(this.video);
    log.wantGrids = grids !== "none";
    this.listen();
    this.words.gain.gain.value = 1;
    this.notes.began = Date.now();
    await window.began();
    if (grids === "some") {
      const some = Math.min(seconds, this.options.gridSeconds);
      await this.watch(some);
      log.wantGrids = false;
      await this.watch(seconds - some);
    } else {
      await this.watch(seconds);
    }
    this.notes.stopped = Date.now();
    if (stops) {
      log.wantGrids = true;
      if (this.options.control) this.call.keepMotion(this.notes.motion);
      await this.stops(stops);
    }
    const { messages } = this.call;
    const taken = log.take();
    await this.hangUp();
    await this.context.close();
    return { ...this.notes, ...taken, errors: messages };
  }
}

window.runBench = (options) => new Bench(options).run();
window.benchReady = true;
