const BAND_MS = 20; // above its target within which a jitter buffer leaves sound as it is

/**
 * Turn WebRTC's running totals into what happened in the last second.
 *
 * Mouth to lip = network, there and back + the server's own path (sound packet in → picture packet
 * out) + this browser's buffer and decoder. Sound card and screen add their own, unseen from here.
 */
export function statsCollector() {
  let last = null;
  return (report, server) => {
    let video = {};
    let audio = {};
    let pair = {};
    for (const entry of report.values()) {
      if (entry.type === "inbound-rtp" && entry.kind === "video") video = entry;
      if (entry.type === "inbound-rtp" && entry.kind === "audio") audio = entry;
      if (entry.type === "candidate-pair" && entry.nominated && entry.state === "succeeded") pair = entry;
    }
    const before = last?.video ?? video;
    const soundBefore = last?.audio ?? audio;
    last = { video, audio };
    const grown = (name) => (video[name] ?? 0) - (before[name] ?? 0);
    const seconds = Math.max(grown("timestamp") / 1000, 0.001);
    const decoded = grown("framesDecoded");
    const networkMs = pair.currentRoundTripTime === undefined ? null : pair.currentRoundTripTime * 1000;
    const bufferMs = decoded > 0 ? (grown("totalProcessingDelay") / decoded) * 1000 : null;
    const inServer = server?.mouth_to_lip_ms;
    const outside = (networkMs ?? 0) + (bufferMs ?? 0);
    const known = Number.isFinite(inServer?.p50) && bufferMs !== null;
    return {
      networkMs,
      bufferMs,
      soundHeldMs: soundHeld(soundBefore, audio),
      mouthToLipMs: known ? { p50: inServer.p50 + outside, p95: (inServer.p95 ?? inServer.p50) + outside } : null,
      fps: before === video ? null : decoded / seconds,
      kbps: before === video ? null : (grown("bytesReceived") * 8) / 1000 / seconds,
      width: video.frameWidth ?? 0,
      height: video.frameHeight ?? 0,
      framesDropped: video.framesDropped ?? 0,
      freezes: video.freezeCount ?? 0,
      packetsLost: video.packetsLost ?? 0,
      codec: report.get(video.codecId)?.mimeType?.replace("video/", "") ?? "",
    };
  };
}

/**
 * How long the jitter buffer held the sound of late, in ms; null when unknown. What is far beyond
 * its own target it is about to play a little faster and does not count.
 */
export function soundHeld(before, now) {
  const grown = (name) => (now[name] ?? 0) - (before[name] ?? 0);
  const samples = grown("jitterBufferEmittedCount");
  if (!(samples > 0)) return null;
  const held = (1000 * grown("jitterBufferDelay")) / samples;
  if (now.jitterBufferTargetDelay === undefined) return held;
  return Math.min(held, (1000 * grown("jitterBufferTargetDelay")) / samples + BAND_MS);
}
