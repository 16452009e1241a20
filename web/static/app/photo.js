/** Any picture that this browser can open, made into one to send: upright, small enough, of a known kind. */

const LONGEST_SIDE = 2048; // px; the server would scale it down to this anyway
const PANORAMA_ASPECT = 2.5; // longer ones keep their pixels, or their face would be gone
const PANORAMA_PIXELS = 12_000_000;
const AS_IT_IS = [/^\xff\xd8\xff/, /^\x89PNG\r\n\x1a\n/, /^RIFF[^]{4}WEBP/]; // what every server takes
const AS_IT_IS_BYTES = 10_000_000;
const QUALITY = 0.95;
const CUT = "This photo is incomplete: a part of its file is missing. Choose another copy of it.";
const PHONE_FORMATS = { heic: "HEIC", heix: "HEIC", heim: "HEIC", heis: "HEIC", hevc: "HEIC", mif1: "HEIC", avif: "AVIF", avis: "AVIF" };

/** What a file is called that holds no photo but an avatar made of one. */
export const BUNDLE = "avatar";

/** Why a file cannot be used, as a sentence. */
export class PhotoProblem extends Error {}

/**
 * Open a file as a photo.
 *
 * @param {Blob} file
 * @param {{can: () => Promise<{formats: string[], max_bytes: number}>, open?: (photo: Blob) => Promise<Blob>}}
 *   server what the server can open itself, and how it does; nobody agrees to what they have not seen
 * @returns {Promise<{photo: Blob, picture: HTMLCanvasElement|null, kind: string}>} what to send, and what
 *   to show of it: nothing of an avatar that was saved
 * @throws {PhotoProblem}
 */
export async function openPhoto(file, server) {
  if (!file.size) throw new PhotoProblem("This file is empty. Choose another photo.");
  const [head, image] = await Promise.all([beginning(file), load(file)]);
  if (/^PK\x03\x04/.test(head)) return { photo: file, picture: null, kind: BUNDLE }; // an avatar that was saved
  if (!image) return openPhoto(await openedBy(server, file, head), { can: async () => null });
  try {
    if (await isCut(file, head)) throw new PhotoProblem(CUT);
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
  return text(new Uint8Array(await file.slice(0, 64).arrayBuffer()));
}

/** Browsers show the part that is there; the server refuses it, and by then somebody has agreed. */
async function isCut(file, head) {
  const bytes = new Uint8Array(await file.arrayBuffer());
  const size = new DataView(bytes.buffer);
  if (AS_IT_IS[0].test(head)) return !endsAsJpeg(bytes, size);
  if (AS_IT_IS[1].test(head)) return !hasEnd(bytes);
  if (AS_IT_IS[2].test(head)) return size.getUint32(4, true) + 8 > bytes.length;
  return false;
}

/** Whether an end comes after the picture's own data; a small picture in its header has one too. */
function endsAsJpeg(bytes, size) {
  let at = 2;
  while (at + 4 <= bytes.length && bytes[at] === 0xff && bytes[at + 1] !== 0xda) at += 2 + size.getUint16(at + 2);
  for (at = bytes.indexOf(0xff, at); at >= 0 && at + 1 < bytes.length; at = bytes.indexOf(0xff, at + 1)) {
    if (bytes[at + 1] === 0xd9) return true; // within the data, 0xff is followed by 0
  }
  return false;
}

/** Whether a PNG's last chunk is there, whatever follows it. */
function hasEnd(bytes) {
  for (let at = bytes.lastIndexOf(0x49); at > 0; at = bytes.lastIndexOf(0x49, at - 1)) {
    if (text(bytes.subarray(at, at + 4)) === "IEND") return true;
  }
  return false;
}

function text(bytes) {
  return String.fromCharCode(...bytes);
}

/** @returns {Promise<Blob>} a JPEG of it */
async function openedBy(server, file, head) {
  const kind = phoneFormat(head);
  const unopened = new PhotoProblem("This file is not a picture that can be opened. Use a JPEG, PNG, WEBP, HEIC or AVIF photo.");
  if (!kind) throw unopened;
  let can;
  try {
    can = await server.can();
  } catch (error) {
    throw new PhotoProblem(error.message);
  }
  if (!can?.formats?.includes(kind)) {
    throw new PhotoProblem(`Neither this browser nor the server can open ${kind} photos. Save it as JPEG and try again.`);
  }
  if (file.size > can.max_bytes) {
    throw new PhotoProblem(`This file is larger than ${Math.floor(can.max_bytes / 1e6)} MB. Use a smaller version of the photo.`);
  }
  try {
    return await server.open(file);
  } catch (error) {
    throw new PhotoProblem(error.message);
  }
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
