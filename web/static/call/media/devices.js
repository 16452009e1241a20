/** Microphones and loudspeakers: which there are, which was chosen, how loud one is. */

import { openMicrophone, release } from "../../client/media.js";
import { LevelMeter } from "../../app/meter.js";
import { recall, remember } from "../../app/preferences.js";
import { byId } from "../dom.js";

/** Fill a list with the devices of a kind. */
export async function listDevices(select, kind, chosen) {
  const devices = (await navigator.mediaDevices?.enumerateDevices?.()) ?? [];
  const named = devices.filter((device) => device.kind === kind && device.label && device.deviceId !== "default");
  select.replaceChildren(new Option("The system’s choice", ""), ...named.map(({ deviceId, label }) => new Option(label, deviceId)));
  select.value = named.some(({ deviceId }) => deviceId === chosen) ? chosen : "";
  return named.length;
}

export const chosenMicrophone = () => recall("microphone");
export const chosenSpeaker = () => recall("speaker");
export const keepMicrophone = (id) => remember("microphone", id);
export const keepSpeaker = (id) => remember("speaker", id);

/** The microphone before the call: open, drawn, handed over when one joins. */
export class MicrophoneCheck {
  #meter = new LevelMeter();
  stream = null;

  async open(deviceId) {
    const stream = await openMicrophone(deviceId);
    release(this.stream);
    this.stream = stream;
    byId("level-text").textContent = "Say something: the bar should move.";
    this.#meter.start(stream, (silent) => {
      byId("level-text").textContent = silent ? "Nothing is heard. Is this the right microphone, and is it on?" : "Your microphone is heard.";
    });
    return stream;
  }

  /** @returns {MediaStream|null} the call's from now on */
  take() {
    const { stream } = this;
    this.#meter.stop();
    this.stream = null;
    return stream;
  }

  close() {
    release(this.take());
  }
}
