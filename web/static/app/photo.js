/** Any picture that this browser can open, made into one to send: upright, small enough, of a known kind. */

const LONGEST_SIDE = 2048; // px; the server would scale it down to this anyway
const PANORAMA_ASPECT = 2.5; // longer ones keep their pixels, or their face would be gone
const PANORAMA_PIXELS = 12_000_000;
const AS_IT_IS = [/^\xff\xd8\xff/, /^\x89PNG\r\n\x1a\n/, /^RIFF[^]{4}WEBP/]; // what every server takes
const AS_IT_IS_BYTES = 10_000_000;
const QUALITY = 0.95;
const PHONE_FORMATS = { heic: "HEIC", heix: "HEIC", heim: "HEIC", heis: "HEIC", hevc: "HEIC", mif1: "HEIC", avif: "AVIF", avis: "AVIF" };

/** What a file is called that holds no photo but an avatar made of one. */
export const BUNDLE = "avatar";

/** Why a file cannot be used, as a sentence. */
export class PhotoProblem extends Error {}

/**
 * Open a file as a photo.
 *
 * @param {Blob} file
 * @param {() => Promise<{formats: string[], max_bytes: number}>} server what the server can open itself
 * @returns {Promise<{photo: Blob, picture: HTMLCanvasElement|null, kind: string}>} what to send, and what
 *   to show of it: nothing where only the server can open it
 * @throws {PhotoProblem}
 */
export async function openPhoto(file, server) {
  if (!file.size) throw new PhotoProblem("This file is empty. Choose another photo.");
  const [head, image] = await Promise.all([beginning(file), load(file)]);
  if (/^PK\x03\x04/.test(head)) return { photo: file, picture: null, kind: BUNDLE }; // an avatar that was saved
  if (!image) return leaveToServer(file, head, server);
  try {
    const { naturalWidth: width, naturalHeight: height } = image;
    const picture = draw(image, width, height, scaleOf(width, height));
    const known = AS_IT_IS.some((magic) => magic.test(head)); // a name can say anything
    const same = known && picture.width === width && file.size <= AS_IT_IS_BYTES;
    const photo = same ? file : await encode(picture, !AS_IT_IS[0].test(head) && hasHoles(picture));
    return { photo, picture, kind: "" };
  } finally {
    URL.revokeObjectURL(image.src);
  }
}

/** An <img> turns the photo upright, shows an animation's first frame and opens all that the browser can. */
async function load(file) {
  const image = new Image();
  image.src = URL.createObjectURL(file);
  try {
    await image.decode();
    if (image.naturalWidth && image.naturalHeight) return image;
  } catch {
    // not a picture, or not one for this browser
  }
  URL.revokeObjectURL(image.src);
  return null;
}

/** The first bytes, a character each. */
async function beginning(file) {
  return String.fromCharCode(...new Uint8Array(await file.slice(0, 64).arrayBuffer()));
}

async function leaveToServer(file, head, server) {
  const kind = phoneFormat(head);
  const unopened = new PhotoProblem("This file is not a picture that can be opened. Use a JPEG, PNG, WEBP, HEIC or AVIF photo.");
  if (!kind) throw unopened;
  let can;
  try {
    can = await server();
  } catch (error) {
    throw new PhotoProblem(error.message);
  }
  if (!can?.formats?.includes(kind)) {
    throw new PhotoProblem(`Neither this browser nor the server can open ${kind} photos. Save it as JPEG and try again.`);
  }
  if (file.size > can.max_bytes) {
    throw new PhotoProblem(`This file is larger than ${Math.floor(can.max_bytes / 1e6)} MB. Use a smaller version of the photo.`);
  }
  return { photo: file, picture: null, kind };
}

/** HEIC and AVIF by the brands of their first box; browsers give such files no type. */
function phoneFormat(head) {
  if (head.slice(4, 8) !== "ftyp") return "";
  const brands = [head.slice(8, 12)];
  for (let at = 16; at + 4 <= Math.min(head.length, head.charCodeAt(3)); at += 4) brands.push(head.slice(at, at + 4));
  const kinds = brands.map((brand) => PHONE_FORMATS[brand]).filter(Boolean);
  return kinds.includes("AVIF") ? "AVIF" : (kinds[0] ?? "");
}

function scaleOf(width, height) {
  const [long, short] = width > height ? [width, height] : [height, width];
  if (long <= PANORAMA_ASPECT * short) return Math.min(1, LONGEST_SIDE / long);
  return Math.min(1, LONGEST_SIDE / short, Math.sqrt(PANORAMA_PIXELS / (long * short)));
}

/** Draw in steps of at most a half: browsers that scale in one step leave pixels out. */
function draw(image, width, height, scale) {
  const [endWidth, endHeight] = [Math.max(1, Math.round(width * scale)), Math.max(1, Math.round(height * scale))];
  let [source, w, h] = [image, width, height];
  for (;;) {
    w = Math.max(endWidth, Math.ceil(w / 2));
    h = Math.max(endHeight, Math.ceil(h / 2));
    const canvas = document.createElement("canvas");
    canvas.width = w;
    canvas.height = h;
    const context = canvas.getContext("2d");
    if (!context) throw new PhotoProblem("This photo is too large for this browser. Use a smaller version of it.");
    context.imageSmoothingQuality = "high";
    context.drawImage(source, 0, 0, w, h);
    if (source instanceof HTMLCanvasElement) source.width = source.height = 0; // phones have few pixels to give
    source = canvas;
    if (w === endWidth && h === endHeight) return canvas;
  }
}

/** Whether parts are transparent; JPEG would make them black. */
function hasHoles(picture) {
  const side = 128;
  const probe = document.createElement("canvas");
  probe.width = probe.height = side;
  const context = probe.getContext("2d", { willReadFrequently: true });
  context.drawImage(picture, 0, 0, side, side);
  const { data } = context.getImageData(0, 0, side, side);
  for (let at = 3; at < data.length; at += 4) if (data[at] < 250) return true;
  return false;
}

async function encode(picture, keepsHoles) {
  const type = keepsHoles ? "image/png" : "image/jpeg";
  const photo = await new Promise((resolve) => picture.toBlob(resolve, type, QUALITY));
  if (!photo) throw new PhotoProblem("This photo is too large for this browser. Use a smaller version of it.");
  return photo;
}
