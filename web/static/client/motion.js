const HEAD = 16;
const SCALE = 8192;

/** Names of the coefficients in the order of a motion message: ARKit's 52, then twelve of pose. */
export const MOTION_NAMES = Object.freeze(
  (
    "eyeBlinkLeft eyeLookDownLeft eyeLookInLeft eyeLookOutLeft eyeLookUpLeft eyeSquintLeft eyeWideLeft " +
    "eyeBlinkRight eyeLookDownRight eyeLookInRight eyeLookOutRight eyeLookUpRight eyeSquintRight eyeWideRight " +
    "jawForward jawRight jawLeft jawOpen mouthClose mouthFunnel mouthPucker mouthRight mouthLeft " +
    "mouthSmileLeft mouthSmileRight mouthFrownLeft mouthFrownRight mouthDimpleLeft mouthDimpleRight " +
    "mouthStretchLeft mouthStretchRight mouthRollLower mouthRollUpper mouthShrugLower mouthShrugUpper " +
    "mouthPressLeft mouthPressRight mouthLowerDownLeft mouthLowerDownRight mouthUpperUpLeft mouthUpperUpRight " +
    "browDownLeft browDownRight browInnerUp browOuterUpLeft browOuterUpRight cheekPuff cheekSquintLeft " +
    "cheekSquintRight noseSneerLeft noseSneerRight tongueOut " +
    "headPitch headYaw headRoll headX headY headZ gazeYaw gazePitch torsoBreath torsoShrug torsoLean torsoSway"
  ).split(" "),
);

/**
 * Read one message of the data channel `motion`. Coefficients are 0-1, angles in radians, shifts in
 * distances between the eyes; `MOTION_NAMES` gives their order.
 *
 * @param {ArrayBuffer} data
 * @returns {{frame: number, fps: number, mediaTime: number, dropped: number, values: Float32Array}}
 * @throws {RangeError} it is no motion message of version 1
 */
export function decodeMotion(data) {
  const view = new DataView(data);
  const known = data.byteLength >= HEAD && view.getUint16(0) === 0x564d && view.getUint8(2) === 1;
  const count = known ? view.getUint8(3) : 0;
  if (!known || data.byteLength !== HEAD + 2 * count) throw new RangeError("This is no motion message of version 1.");
  const values = new Float32Array(count);
  for (let i = 0; i < count; i += 1) values[i] = view.getInt16(HEAD + 2 * i, true) / SCALE;
  const frame = view.getUint32(4, true);
  const fps = view.getFloat32(8, true);
  return { frame, fps, mediaTime: frame / fps, dropped: view.getUint32(12, true), values };
}
