/** From a photo to an avatar: photo → consent → progress → the stage, or the reason why not. */

import { Advice } from "./camera/advice.js";
import { Camera } from "./camera/camera.js";
import { announce, byId, notice, paint, showOnly } from "./dom.js";
import { BUNDLE, openPhoto, PhotoProblem } from "./photo.js";

const PANELS = ["photo", "consent", "progress", "refused"];
const CLOSER = "Go closer to the camera, or use a larger version of the photo.";
const FRONTAL = "Look straight into the camera, with the head upright.";
const ANOTHER_FILE = "Use another copy of the photo, saved as JPEG.";
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
  #advice = new Advice(
    byId("camera"),
    (sentence) => (byId("advice").textContent = sentence),
    (pixels) => this.#library.guidance(pixels),
  );
  #photo = null;
  #making = null;
  #opening = null; // the file that is being opened; a later one takes its place
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
    this.#photo = this.#opening = null;
    this.#show("photo", { focus: false });
  }

  leave() {
    this.#opening = null;
    this.#advice.stop();
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
      if (welcome()) this.#useDropped(event.dataTransfer);
    });
    document.addEventListener("paste", (event) => {
      const [file] = event.clipboardData?.files ?? []; // text goes where it is pasted
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
      this.#opening = null;
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
    this.#advice.start();
    announce("The camera is on. Place your face inside the oval.");
  }

  async #takePhoto() {
    byId("take-photo").disabled = true;
    try {
      const photo = await this.#camera.shoot();
      if (photo) await this.#use(photo);
    } catch (error) {
      this.#show("photo");
      notice(byId("photo-problem"), error.message);
    }
  }

  #useDropped({ files }) {
    if (files.length) return this.#use(pictureAmong(files));
    this.#show("photo");
    notice(byId("photo-problem"), "That was not a file. Save the picture first, then drop it here.");
  }

  async #use(file) {
    this.#opening = file;
    this.#frame.classList.add("busy");
    let opened;
    try {
      opened = await openPhoto(file, { can: () => this.#library.photos(), open: (photo) => this.#library.openPhoto(photo) });
    } catch (error) {
      if (this.#opening !== file) return;
      this.#show("photo");
      const known = error instanceof PhotoProblem;
      return notice(byId("photo-problem"), known ? error.message : "This photo could not be opened. Try another one.");
    } finally {
      if (this.#opening === file) this.#frame.classList.remove("busy");
    }
    if (this.#opening !== file) return;
    this.#opening = null;
    this.#camera.close();
    this.#photo = opened.photo;
    this.#showPhoto(opened, file.name);
    byId("consent").checked = false; // every photo needs its own agreement
    problem("name");
    problem("consent");
    this.#show("consent");
  }

  #showPhoto({ picture }, name) {
    this.#frame.dataset.shows = picture ? "photo" : "unseen";
    if (picture) {
      const canvas = byId("photo");
      canvas.width = canvas.height = 720;
      paint(canvas, picture);
    } else {
      byId("unseen-name").textContent = name || "Saved avatar";
      byId("unseen-why").textContent = "An avatar that was saved as a file. You see it when the server has read it.";
    }
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

/** The first picture of what was dropped at once, or else the first file, which then says what is wrong. */
function pictureAmong(files) {
  const pictures = [...files].filter(({ type, name }) => type.startsWith("image/") || /\.(heic|heif|avif)$/i.test(name));
  return pictures[0] ?? files[0];
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
