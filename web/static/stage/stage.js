/** A browser source: shows a session for as long as the page is open, whatever happens to it.
 *
 * /stage/ID?background=transparent|RRGGBB&fit=contain|cover&sound=on|off#token=…
 */

import { Matte } from "./matte.js";
import { watch } from "./watch.js";

const FIRST_WAIT_MS = 500;
const LONGEST_WAIT_MS = 5000;
const LOOK_MS = 1000;
const STILL_LIMIT_MS = 5000; // without a new picture the connection counts as lost

const root = document.documentElement;
const video = document.getElementById("video");
const canvas = document.getElementById("canvas");
const wanted = new URLSearchParams(location.search);
const id = decodeURIComponent(location.pathname.split("/").pop());
const token = new URLSearchParams(location.hash.slice(1)).get("token") ?? "";

dress();
stay();

/** What the address says about the page itself. */
function dress() {
  const background = wanted.get("background") ?? "transparent";
  if (/^[0-9a-f]{6}$/i.test(background)) root.style.background = `#${background}`;
  root.classList.toggle("cover", wanted.get("fit") === "cover");
  video.muted = wanted.get("sound") === "off";
}

/** Connect, and again, for days; the wait grows to a few seconds and starts over after a picture. */
async function stay() {
  let waitMs = FIRST_WAIT_MS;
  for (;;) {
    const seen = await once().catch(() => false);
    root.classList.remove("showing");
    waitMs = seen ? FIRST_WAIT_MS : Math.min(LONGEST_WAIT_MS, waitMs * 1.6);
    await new Promise((resolve) => setTimeout(resolve, waitMs * (0.75 + 0.5 * Math.random())));
  }
}

/** Show the session until it is lost. @returns {Promise<boolean>} whether there was a picture */
async function once() {
  const headers = token ? { authorization: `Bearer ${token}` } : {};
  const answer = await fetch(`../api/views/${encodeURIComponent(id)}`, { headers });
  if (!answer.ok) return false;
  const { transparent, iceServers } = await answer.json();
  const watching = await watch(id, headers, iceServers);
  const matte = transparent ? new Matte(video, canvas) : null;
  root.classList.toggle("transparent", transparent);
  canvas.hidden = !transparent;
  video.srcObject = watching.stream;
  try {
    await play();
    return await shown(watching);
  } finally {
    matte?.stop();
    watching.stop();
    video.srcObject = null;
  }
}

/** A browser source plays sound; a browser wants a click first and shows the picture meanwhile. */
async function play() {
  await video.play().catch(async () => {
    video.muted = true;
    await video.play();
    addEventListener("pointerdown", () => (video.muted = wanted.get("sound") === "off"), { once: true });
  });
}

/** Resolves once the picture stands still for too long or the connection is gone. */
async function shown(watching) {
  let last = -1;
  let changedAt = performance.now();
  let any = false;
  while (watching.alive() && performance.now() - changedAt < STILL_LIMIT_MS) {
    const count = video.getVideoPlaybackQuality().totalVideoFrames;
    if (count > 0 && count !== last) {
      any = true;
      root.classList.add("showing");
      changedAt = performance.now();
    }
    last = count;
    await new Promise((resolve) => setTimeout(resolve, LOOK_MS));
  }
  return any;
}
