/** One WHEP connection that only watches. */

const GATHER_LIMIT_MS = 1000;
const ANSWER_LIMIT_MS = 10_000;
const CONNECT_LIMIT_MS = 10_000;
const DISCONNECTED_LIMIT_MS = 3000; // ICE often heals by itself within this

/**
 * @param {string} id a view id or the name of a stage
 * @param {Record<string, string>} headers
 * @param {RTCIceServer[]} iceServers whom the connection may ask for a way to the server
 * @returns {Promise<{stream: MediaStream, alive: () => boolean, stop: () => void}>}
 */
export async function watch(id, headers, iceServers = []) {
  const pc = new RTCPeerConnection({ iceServers, bundlePolicy: "max-bundle" });
  let where = "";
  const stop = () => {
    pc.close();
    if (where) fetch(where, { method: "DELETE", headers, keepalive: true }).catch(() => {});
    where = "";
    removeEventListener("pagehide", stop);
  };
  addEventListener("pagehide", stop);
  try {
    const receivers = ["audio", "video"].map((kind) => pc.addTransceiver(kind, { direction: "recvonly" }).receiver);
    await pc.setLocalDescription(await pc.createOffer());
    await until(pc, "icegatheringstatechange", () => pc.iceGatheringState === "complete", GATHER_LIMIT_MS);
    const address = new URL(`../api/whep/${encodeURIComponent(id)}`, location.href); // below a prefix too
    const answer = await fetch(address, {
      method: "POST",
      headers: { ...headers, "content-type": "application/sdp" },
      body: pc.localDescription.sdp,
      signal: AbortSignal.timeout(ANSWER_LIMIT_MS),
    });
    if (!answer.ok) throw new Error(`refused: ${answer.status}`);
    where = new URL(answer.headers.get("location"), address).href;
    await pc.setRemoteDescription({ type: "answer", sdp: await answer.text() });
    await until(pc, "connectionstatechange", () => pc.connectionState === "connected", CONNECT_LIMIT_MS);
    if (pc.connectionState !== "connected") throw new Error("not connected");
    return { stream: new MediaStream(receivers.map((r) => r.track)), alive: alive(pc), stop };
  } catch (error) {
    stop();
    throw error;
  }
}

function alive(pc) {
  let brokenAt = 0;
  return () => {
    if (["failed", "closed"].includes(pc.connectionState)) return false;
    if (pc.connectionState !== "disconnected") brokenAt = 0;
    else brokenAt ||= performance.now();
    return !brokenAt || performance.now() - brokenAt < DISCONNECTED_LIMIT_MS;
  };
}

function until(target, event, done, limitMs) {
  return new Promise((resolve) => {
    if (done()) return resolve();
    const timer = setTimeout(resolve, limitMs);
    target.addEventListener(event, () => done() && (clearTimeout(timer), resolve()));
  });
}
