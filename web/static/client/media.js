import { CallError } from "./errors.js";

const VOICE = { echoCancellation: true, noiseSuppression: true, autoGainControl: true };

/**
 * Open a microphone (or camera) or throw a CallError with a sentence.
 *
 * @param {MediaStreamConstraints} [constraints]
 * @returns {Promise<MediaStream>}
 */
export async function openMedia(constraints = { audio: VOICE }) {
  const what = constraints.video ? "camera" : "microphone";
  if (!window.isSecureContext || !navigator.mediaDevices?.getUserMedia) {
    throw new CallError(
      "insecure-context",
      `Browsers give the ${what} to secure pages only. Open this page over https, or on this machine at http://localhost.`,
    );
  }
  try {
    return await navigator.mediaDevices.getUserMedia(constraints);
  } catch (error) {
    throw mediaError(error, what);
  }
}

/** @param {string} [deviceId] the wanted microphone; another one serves when it is gone */
export async function openMicrophone(deviceId = "") {
  return openMedia({ audio: deviceId ? { ...VOICE, deviceId: { ideal: deviceId } } : VOICE });
}

function mediaError(error, what) {
  switch (error?.name) {
    case "NotAllowedError":
    case "SecurityError":
      return new CallError(
        "permission-refused",
        `The ${what} is blocked for this page. Allow it in the site settings beside the address, then try again.`,
      );
    case "NotFoundError":
    case "OverconstrainedError":
      return new CallError(`no-${what}`, `No ${what} was found. Plug one in or switch it on, then try again.`);
    default:
      return new CallError(`${what}-busy`, `The ${what} could not be opened. Close other programs that use it, then try again.`);
  }
}

/** Stop every track of a stream. @param {MediaStream|null} stream */
export function release(stream) {
  for (const track of stream?.getTracks() ?? []) {
    track.onended = null;
    track.stop();
  }
}
