/** What is measured about the call, in words and figures. */

import { byId, figure } from "./dom.js";

/** @param {object} stats as AvatarCall gives them */
export function showStats(stats) {
  const { server } = stats;
  byId("latency").textContent = figure(stats.mouthToLipMs?.p50);
  byId("latency").parentElement.dataset.known = String(Boolean(stats.mouthToLipMs));
  byId("part-server").textContent = figure(server?.mouth_to_lip_ms?.p50, "ms");
  byId("part-network").textContent = figure(stats.networkMs, "ms");
  byId("part-buffer").textContent = figure(stats.bufferMs, "ms");
  const late = [server?.late, server?.repeated, server?.dropped].map((count) => figure(count)).join(" / ");
  const rows = {
    "Mouth to lip, 95 of 100 frames": figure(stats.mouthToLipMs?.p95, "ms"),
    "Frames per second, sent": figure(server?.fps, "", 1),
    "Frames per second, shown": figure(stats.fps, "", 1),
    "Late / repeated / dropped": late,
    "Sound against picture": figure(server?.av_skew_ms, "ms"),
    "Look-ahead": figure(server?.look_ahead_ms, "ms"),
    "First picture after": figure(stats.firstFrameMs ?? NaN, "ms"),
    "Packets lost": figure(stats.packetsLost),
    "Picture": stats.width ? `${stats.width} × ${stats.height} ${stats.codec}` : "–",
    "Data rate": figure(stats.kbps, "kbit/s"),
  };
  byId("numbers").replaceChildren(...Object.entries(rows).map(row));
}

/** Before the first figures, and after the last. */
export function clearStats() {
  showStats({});
}

function row([name, value]) {
  const line = document.createElement("div");
  const term = document.createElement("dt");
  const detail = document.createElement("dd");
  term.textContent = name;
  detail.textContent = value;
  line.append(term, detail);
  return line;
}
