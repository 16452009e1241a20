/** The webcam: a mirrored preview, a countdown, one photo. */

import { openMedia } from "../../client.js";
import { announce, byId } from "./dom.js";

const COUNTDOWN_FROM = 3;
const CAMERA = { facingMode: "user", width: { ideal: 1920 }, height: { ideal: 1080 } };

export class Camera {
  #stream = null;
  #counting = null;
  #video = byId("camera");
  #count = byId("countdown");

  async open() {
    const stream = await openMedia({ video: CAMERA });
    this.close();
    this.#stream = stream;
    this.#video.srcObject = stream;
    await this.#video.play();
  }

  close() {
    this.#counting?.abort();
    this.#count.textContent = "";
    for (const track of this.#stream?.getTracks() ?? []) track.stop();
    this.#stream = null;
    this.#video.srcObject = null;
  }

  /** Count down and take the photo, as others see the person. @returns {Promise<Blob|null>} */
  async shoot() {
    const counting = (this.#counting = new AbortController());
    for (let left = COUNTDOWN_FROM; left > 0; left -= 1) {
      this.#count.textContent = String(left);
      await new Promise((resolve) => setTimeout(resolve, 800));
      if (counting.signal.aborted) return null;
    }
    this.#count.textContent = "";
    const canvas = new OffscreenCanvas(this.#video.videoWidth, this.#video.videoHeight);
    canvas.getContext("2d").drawImage(this.#video, 0, 0);
    announce("The photo was taken.");
    return canvas.convertToBlob({ type: "image/jpeg", quality: 0.95 });
  }
}
