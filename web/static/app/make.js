/** From a photo to an avatar: photo → consent → progress → the stage, or the reason why not. */

import { Camera } from "./camera.js";
import { announce, byId, notice, paint, showOnly } from "./dom.js";

const LARGEST_PHOTO = 10_000_000; // bytes, as the server
const PANELS = ["photo", "consent", "progress", "refused"];
const CLOSER = "Go closer to the camera, or use a larger version of the photo.";
const FRONTAL = "Look straight into the camera, with the head upright.";
const ANOTHER_FILE = "Use a photo saved as JPEG, PNG or WEBP.";
const UNCOVERED = "Show the whole face: no dark glasses, mask, hand or deep shadow, and open eyes.";
const TIPS = {
  "no-face": "Use a photo in which the face is large, seen from the front and evenly lit.",
  "several-faces": "Use a photo with one person, or cut the others away.",
  "face-too-small": CLOSER,
  "too-small": CLOSER,
  "too-large": "Use a smaller version of the photo.",
  "face-turned": FRONTAL,
  "face-sideways": FRONTAL,
  "too-dark": "Face a window or a lamp, so that the light comes from the front.",
  "face-covered": UNCOVERED,
  "mouth-hidden": UNCOVERED,
  "eyes-closed": UNCOVERED,
  "eyes-hidden": UNCOVERED,
  "not-picture": ANOTHER_FILE,
  corrupt: ANOTHER_FILE,
};
const USUAL_TIP = "Use a sharp photo of one face, seen from the front.";

export class MakeView {
  #library;
  #open;
  #camera = new Camera();
  #photo = null;
  #making = null;
  #frame = byId("frame");
  element = byId("view-make");

  /**
   * @param {import("./library.js").Library} library
   * @param {(id: string, notes: string[]) => void} open shows the finished avatar
   */
  constructor(library, open) {
    this.#library = library;
    this.#open = open;
    this.#listen();
  }

  get title() {
    return byId("make-title");
  }

  enter() {
    this.#photo = null;
    this.#show("photo", { focus: false });
  }

  leave() {
    this.#camera.close();
    this.#making?.abort();
    this.#frame.classList.remove("busy");
  }

  #listen() {
    byId("use-camera").addEventListener("click", () => this.#openCamera());
    byId("take-photo").addEventListener("click", () => this.#takePhoto());
    byId("close-camera").addEventListener("click", () => this.#show("photo"));
    byId("upload").addEventListener("click", () => byId("file").click());
    byId("file").addEventListener("change", ({ target }) => {
      if (target.files[0]) this.#use(target.files[0]);
      target.value = ""; // the same file again is a new choice
    });
    byId("retake").addEventListener("click", () => this.#show("photo"));
    byId("try-another").addEventListener("click", () => this.#show("photo"));
    byId("panel-consent").addEventListener("submit", (event) => {
      event.preventDefault();
      if (this.#consented()) this.#make();
    });
    for (const id of ["name", "consent"]) byId(id).addEventListener("input", () => problem(id));
    this.#listenForDrops();
  }

  #listenForDrops() {
    const welcome = () => this.#current === "photo" || this.#current === "consent" || this.#current === "refused";
    this.element.addEventListener("dragover", (event) => {
      event.preventDefault();
      this.#frame.classList.toggle("over", welcome());
    });
    this.element.addEventListener("dragleave", () => this.#frame.classList.remove("over"));
    this.element.addEventListener("drop", (event) => {
      event.preventDefault();
      this.#frame.classList.remove("over");
      const file = event.dataTransfer.files[0];
      if (file && welcome()) this.#use(file);
    });
    document.addEventListener("paste", (event) => {
      const file = [...(event.clipboardData?.files ?? [])].find(({ type }) => type.startsWith("image/"));
      if (file && !this.element.hidden && welcome()) this.#use(file);
    });
  }

  get #current() {
    return PANELS.find((name) => !byId(`panel-${name}`).hidden);
  }

  #show(panel, { focus = true } = {}) {
    this.element.dataset.panel = panel;
    if (panel !== "progress") this.#frame.classList.remove("busy");
    if (panel === "photo") {
      this.#camera.close();
      this.#frame.dataset.shows = "empty";
      this.#cameraButtons(false);
      notice(byId("photo-problem"));
    }
    showOnly(byId(`panel-${panel}`), PANELS.map((name) => byId(`panel-${name}`)));
    const step = panel === "refused" ? "photo" : panel;
    for (const item of byId("steps").children) {
      if (item.dataset.step === step) item.setAttribute("aria-current", "step");
      else item.removeAttribute("aria-current");
    }
    if (focus) byId(`panel-${panel}`).querySelector("h1").focus();
  }

  #cameraButtons(on) {
    byId("photo-actions").hidden = on;
    byId("camera-actions").hidden = !on;
    byId("take-photo").disabled = false;
  }

  async #openCamera() {
    notice(byId("photo-problem"));
    try {
      await this.#camera.open();
    } catch (error) {
      notice(byId("photo-problem"), `${error.message} Or upload a photo.`);
      return;
    }
    if (this.element.hidden) return this.#camera.close();
    this.#frame.dataset.shows = "camera";
    this.#cameraButtons(true);
    byId("take-photo").focus();
    announce("The camera is on. Place your face inside the oval.");
  }

  async #takePhoto() {
    byId("take-photo").disabled = true;
    const photo = await this.#camera.shoot();
    if (photo) await this.#use(photo);
  }

  async #use(photo) {
    if (photo.size > LARGEST_PHOTO) {
      this.#show("photo");
      return notice(byId("photo-problem"), "This file is larger than 10 MB. Use a smaller version of the photo.");
    }
    let picture;
    try {
      picture = await createImageBitmap(photo);
    } catch {
      this.#show("photo");
      return notice(byId("photo-problem"), "This file is not a picture that can be opened. Use a JPEG, PNG or WEBP photo.");
    }
    this.#camera.close();
    this.#photo = photo;
    const canvas = byId("photo");
    canvas.width = canvas.height = 720;
    paint(canvas, picture);
    picture.close();
    this.#frame.dataset.shows = "photo";
    byId("consent").checked = false; // every photo needs its own agreement
    problem("name");
    problem("consent");
    this.#show("consent");
  }

  #consented() {
    const name = byId("name").value.trim();
    const agreed = byId("consent").checked;
    problem("consent", agreed ? "" : "Without this agreement no avatar can be made.");
    problem("name", name ? "" : "Give the avatar a name.");
    if (!agreed) byId("consent").focus();
    if (!name) byId("name").focus();
    return Boolean(name && agreed);
  }

  async #make() {
    const making = (this.#making = new AbortController());
    progress({ progress: 0, stage: "Sending the photo" });
    this.#show("progress");
    this.#frame.classList.add("busy");
    try {
      const record = await this.#library.create({
        photo: this.#photo,
        name: byId("name").value.trim(),
        consent: true,
        statement: byId("consent-statement").textContent,
        onprogress: progress,
        signal: making.signal,
      });
      announce(`${record.name} is ready.`);
      byId("name").value = "";
      this.#open(record);
    } catch (error) {
      if (making.signal.aborted) return;
      this.#show("refused");
      const refused = error.code === "refused";
      byId("refused-reason").textContent = error.message;
      byId("panel-refused").querySelector("h1").textContent = refused ? "This photo will not work" : "The avatar was not made";
      byId("refused-tip").textContent = refused ? (TIPS[error.reason] ?? USUAL_TIP) : "";
    }
  }
}

function progress({ progress: done, stage, status }) {
  const percent = status === "ready" ? 100 : Math.round(done * 100);
  byId("progress").setAttribute("aria-valuenow", String(percent));
  byId("progress").firstElementChild.style.transform = `scaleX(${percent / 100})`;
  if (!stage) return;
  const words = stage[0].toUpperCase() + stage.slice(1);
  byId("progress-stage").textContent = words;
  announce(words);
}

function problem(id, sentence = "") {
  byId(`${id}-problem`).textContent = sentence;
  byId(id).setAttribute("aria-invalid", String(Boolean(sentence)));
}
