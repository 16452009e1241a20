/** How loud the microphone is, drawn and said. */

import { byId } from "./dom.js";

const FLOOR_DB = -60;
const RELEASE = 0.9; // per frame: falls slower than it rises, so that the eye can follow
const HEARD = 0.12;
const SILENT_AFTER_MS = 8000;
const READ_OUT_MS = 500;

export class LevelMeter {
  #context = null;
  #frame = 0;
  #shown = 0;
  #bar = byId("level");

  /**
   * @param {MediaStream} stream
   * @param {(silent: boolean) => void} onsilence nothing has been heard for a while, or again something
   */
  start(stream, onsilence) {
    this.stop();
    const context = (this.#context = new AudioContext());
    const analyser = new AnalyserNode(context, { fftSize: 1024 });
    context.createMediaStreamSource(stream).connect(analyser);
    const samples = new Float32Array(analyser.fftSize);
    let heardAt = performance.now();
    let readAt = 0;
    let silent = false;
    const draw = (now) => {
      analyser.getFloatTimeDomainData(samples);
      const level = loudness(samples);
      this.#shown = Math.max(level, this.#shown * RELEASE);
      this.#bar.firstElementChild.style.transform = `scaleX(${this.#shown.toFixed(3)})`;
      if (level > HEARD) heardAt = now;
      if (silent !== now - heardAt > SILENT_AFTER_MS) onsilence((silent = !silent));
      if (now - readAt > READ_OUT_MS) {
        readAt = now;
        this.#bar.setAttribute("aria-valuenow", String(Math.round(this.#shown * 100)));
      }
      this.#frame = requestAnimationFrame(draw);
    };
    this.#frame = requestAnimationFrame(draw);
  }

  stop() {
    cancelAnimationFrame(this.#frame);
    this.#context?.close();
    this.#context = null;
    this.#shown = 0;
    this.#bar.firstElementChild.style.transform = "scaleX(0)";
    this.#bar.setAttribute("aria-valuenow", "0");
  }
}

/** 0 at -60 dB of full scale, 1 at 0 dB. */
function loudness(samples) {
  let sum = 0;
  for (const sample of samples) sum += sample * sample;
  const db = 10 * Math.log10(sum / samples.length + 1e-12);
  return Math.min(1, Math.max(0, 1 - db / FLOOR_DB));
}
