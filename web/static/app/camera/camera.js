/** The webcam: a mirrored preview, a countdown, one photo. */

import { openMedia } from "../../../client.js";
import { announce, byId } from "../dom.js";

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

  /**
   * Count down and take the photo, as others see the person.
   *
   * @returns {Promise<Blob|null>} null when the camera was closed meanwhile
   * @throws {Error} when it stopped by itself
   */
  async shoot() {
    const counting = (this.#counting = new AbortController());
    for (let left = COUNTDOWN_FROM; left > 0; left -= 1) {
      this.#count.textContent = String(left);
      await new Promise((resolve) => setTimeout(resolve, 800));
      if (counting.signal.aborted) return null;
    }
    this.#count.textContent = "";
    if (!this.#stream?.active) this.#video.srcObject = null; // its last picture is not the person now
    const canvas = document.createElement("canvas"); // Safari has no OffscreenCanvas before 16.4
    canvas.width = this.#video.videoWidth;
    canvas.height = this.#video.videoHeight;
    canvas.getContext("2d").drawImage(this.#video, 0, 0);
    const photo = await new Promise((resolve) => canvas.toBlob(resolve, "image/jpeg", 0.95));
    if (!photo) throw new Error("The camera gives no picture any more. Plug it in again, or upload a photo.");
    announce("The photo was taken.");
    return photo;
  }
}
