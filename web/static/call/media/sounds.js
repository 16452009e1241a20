/** Short tones when people come and go, and to test the loudspeaker; nothing is loaded for them. */

import { recall, remember } from "../../app/preferences.js";

const TONES = {
  join: [523.25, 783.99],
  leave: [783.99, 523.25],
  hand: [659.25, 659.25],
  test: [392, 523.25, 659.25, 783.99],
};
const STEP_S = 0.13;
const LOUD = 0.09;

let context = null;

export function soundsOn() {
  return recall("sounds", "on") === "on";
}

export function setSounds(on) {
  remember("sounds", on ? "on" : "off");
}

/** @param {keyof TONES} name @param {{always?: boolean, speaker?: string}} [options] */
export async function chime(name, { always = false, speaker = "" } = {}) {
  if (!always && !soundsOn()) return;
  try {
    context ??= new AudioContext();
    if (speaker && context.setSinkId) await context.setSinkId(speaker).catch(() => {});
    await context.resume();
  } catch {
    return; // a call without its tones is still a call
  }
  const begin = context.currentTime + 0.02;
  TONES[name].forEach((frequency, n) => {
    const at = begin + n * STEP_S;
    const oscillator = new OscillatorNode(context, { type: "sine", frequency });
    const gain = new GainNode(context, { gain: 0 });
    gain.gain.setValueAtTime(0, at);
    gain.gain.linearRampToValueAtTime(LOUD, at + 0.02);
    gain.gain.exponentialRampToValueAtTime(0.0005, at + STEP_S * 1.8);
    oscillator.connect(gain).connect(context.destination);
    oscillator.start(at);
    oscillator.stop(at + STEP_S * 2);
  });
}
