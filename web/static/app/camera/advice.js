/**
 * What to change before the photo is taken, a sentence at a time, from the camera's own pictures.
 *
 * It judges light, contrast, sharpness and stillness inside the oval. Place, distance, pose and an open
 * mouth the server judges from a small copy, which it keeps nowhere; a browser that finds faces itself
 * (FaceDetector) tells at least place and distance where the server does not.
 */

const EVERY_MS = 350;
const SIDE = 96; // px of the small copy that is looked at
const SENT = 144; // px of the copy that the server looks at
const ASK_EVERY_MS = 600;
const ASK_AGAIN_MS = 5000; // after an answer that was none
const HELD = 2; // looks in a row that must agree before the words change
const DARK = 62; // mean luma 0-255 inside the oval
const BRIGHT = 215;
const ONE_SIDED = 0.34; // difference of the halves' light, relative to their mean
const BACKLIT = 1.9; // surroundings over face
const BLURRED = 5.5; // mean absolute Laplacian
const MOVING = 11; // mean change of luma between two looks
const GOOD = "Good. Look into the camera, mouth closed.";

export class Advice {
  #video;
  #tell;
  #timer = 0;
  #canvas = document.createElement("canvas");
  #context;
  #last = null;
  #said = "";
  #wanted = "";
  #count = 0;
  #faces = null;
  #ask;
  #asking = false;
  #askAt = 0;
  #answer = null; // of the server: its sentence, "" for nothing to change; null while it is not known
  #sent = document.createElement("canvas");

  /**
   * @param {HTMLVideoElement} video
   * @param {(sentence: string) => void} tell
   * @param {(pixels: Uint8Array) => Promise<{code: string, sentence: string}>} ask the server
   */
  constructor(video, tell, ask) {
    this.#video = video;
    this.#tell = tell;
    this.#ask = ask;
    this.#sent.width = this.#sent.height = SENT;
    this.#canvas.width = this.#canvas.height = SIDE;
    this.#context = this.#canvas.getContext("2d", { willReadFrequently: true });
    if ("FaceDetector" in window) this.#faces = new window.FaceDetector({ maxDetectedFaces: 2, fastMode: true });
  }

  start() {
    this.stop();
    this.#timer = setInterval(() => this.#look(), EVERY_MS);
  }

  stop() {
    clearInterval(this.#timer);
    this.#last = this.#answer = null;
    this.#say("");
  }

  async #look() {
    const { videoWidth: width, videoHeight: height } = this.#video;
    if (!this.#video.srcObject) return this.stop();
    if (!width) return;
    const side = Math.min(width, height); // what the square frame shows
    this.#context.drawImage(this.#video, (width - side) / 2, (height - side) / 2, side, side, 0, 0, SIDE, SIDE);
    const luma = lumaOf(this.#context.getImageData(0, 0, SIDE, SIDE).data);
    this.#askServer(side);
    const light = judge(luma, this.#last);
    const placed = this.#answer ?? (await this.#placed());
    const dark = luma.reduce((sum, value) => sum + value, 0) / luma.length < DARK; // no face is found then
    const sentence = (dark && light) || placed || light || GOOD;
    this.#last = luma;
    this.#count = sentence === this.#wanted ? this.#count + 1 : 1;
    this.#wanted = sentence;
    if (this.#count >= HELD) this.#say(sentence);
  }

  #say(sentence) {
    if (sentence === this.#said) return;
    this.#said = sentence;
    this.#tell(sentence);
  }

  /** Have the server look, unless it still does. @param {number} side of the square that is shown */
  async #askServer(side) {
    const now = performance.now();
    if (this.#asking || now < this.#askAt) return;
    this.#asking = true;
    this.#askAt = now + ASK_EVERY_MS;
    const { videoWidth: width, videoHeight: height } = this.#video;
    const context = this.#sent.getContext("2d", { willReadFrequently: true });
    context.drawImage(this.#video, (width - side) / 2, (height - side) / 2, side, side, 0, 0, SENT, SENT);
    const { data } = context.getImageData(0, 0, SENT, SENT);
    const pixels = new Uint8Array(3 * SENT * SENT);
    for (let from = 0, to = 0; from < data.length; from += 4) {
      pixels[to++] = data[from];
      pixels[to++] = data[from + 1];
      pixels[to++] = data[from + 2];
    }
    try {
      const { code, sentence } = await this.#ask(pixels);
      if (this.#video.srcObject) this.#answer = code === "good" ? "" : sentence;
    } catch {
      this.#answer = null; // what can be told here is told; the photo itself is judged later
      this.#askAt = now + ASK_AGAIN_MS;
    }
    this.#asking = false;
  }

  /** Where the face is, if this browser finds faces. */
  async #placed() {
    if (!this.#faces) return "";
    let found;
    try {
      found = await this.#faces.detect(this.#canvas);
    } catch {
      this.#faces = null; // it is there, but does not work
      return "";
    }
    if (!found.length) return "Place your face inside the oval.";
    if (found.length > 1) return "Only one person, please.";
    const { x, y, width, height } = found[0].boundingBox;
    const [right, down] = [(x + width / 2) / SIDE - 0.5, (y + height / 2) / SIDE - 0.45];
    if (width < 0.25 * SIDE) return "Come closer.";
    if (width > 0.62 * SIDE) return "Go back a little.";
    if (Math.abs(right) > 0.12) return right > 0 ? "Move a little to your right." : "Move a little to your left.";
    if (Math.abs(down) > 0.14) return down > 0 ? "Move up a little." : "Move down a little.";
    return "";
  }
}

function lumaOf(data) {
  const luma = new Float32Array(SIDE * SIDE);
  for (let i = 0; i < luma.length; i += 1) luma[i] = 0.299 * data[4 * i] + 0.587 * data[4 * i + 1] + 0.114 * data[4 * i + 2];
  return luma;
}

/** What is wrong with the light or the picture; "" if nothing. @param {Float32Array} luma @param {Float32Array|null} last */
export function judge(luma, last) {
  const sums = { face: [0, 0], left: [0, 0], right: [0, 0], around: [0, 0], edges: [0, 0], moved: [0, 0] };
  const add = (name, value) => {
    sums[name][0] += value;
    sums[name][1] += 1;
  };
  for (let y = 1; y < SIDE - 1; y += 1) {
    for (let x = 1; x < SIDE - 1; x += 1) {
      const [dx, dy] = [(x / SIDE - 0.5) / 0.245, (y / SIDE - 0.45) / 0.33]; // the oval of the page
      const at = y * SIDE + x;
      const value = luma[at];
      if (dx * dx + dy * dy > 1) {
        add("around", value);
        continue;
      }
      add("face", value);
      add(dx < 0 ? "left" : "right", value);
      add("edges", Math.abs(4 * value - luma[at - 1] - luma[at + 1] - luma[at - SIDE] - luma[at + SIDE]));
      if (last) add("moved", Math.abs(value - last[at]));
    }
  }
  const mean = (name) => (sums[name][1] ? sums[name][0] / sums[name][1] : 0);
  const face = mean("face");
  if (face < DARK && mean("around") > BACKLIT * face) return "The light comes from behind you. Turn towards it.";
  if (face < DARK) return "It is too dark. Face a window or a lamp.";
  if (face > BRIGHT) return "It is too bright. Step out of the direct light.";
  if (Math.abs(mean("left") - mean("right")) > ONE_SIDED * face) return "The light comes from one side. Turn towards it.";
  if (last && mean("moved") > MOVING) return "Hold still.";
  if (mean("edges") < BLURRED) return "The picture is blurred. Wipe the lens, or come closer.";
  return "";
}
