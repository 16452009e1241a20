// The stock players, bundled by esbuild for the page of players.html.
import { WebRTCPlayer } from "@eyevinn/webrtc-player";
import { WHEPClient } from "whip-whep/whep.js";
import { WHIPClient } from "whip-whep/whip.js";

const sleep = (ms) => new Promise((resolve) => setTimeout(resolve, ms));

async function frames(video, wanted, limitMs = 10_000) {
  let count = 0;
  const next = () => ((count += 1), video.requestVideoFrameCallback(next));
  video.requestVideoFrameCallback(next);
  for (const end = Date.now() + limitMs; Date.now() < end && count < wanted; ) await sleep(20);
  return count;
}

function element() {
  const video = document.createElement("video");
  Object.assign(video, { muted: true, autoplay: true, playsInline: true });
  document.body.append(video);
  return video;
}

window.whipWhep = {
  /** Watch by the npm package whip-whep. */
  async watch(address) {
    const pc = new RTCPeerConnection({ bundlePolicy: "max-bundle" });
    const video = element();
    const stream = (video.srcObject = new MediaStream());
    pc.ontrack = ({ track }) => stream.addTrack(track);
    pc.addTransceiver("audio", { direction: "recvonly" });
    pc.addTransceiver("video", { direction: "recvonly" });
    const client = new WHEPClient();
    await client.view(pc, address);
    const seen = await frames(video, 30);
    const resource = String(client.resourceURL);
    await client.stop();
    return { seen, resource };
  },

  /** Speak by it, with a camera that the server does not want; returns where it can be watched. */
  async publish(address, token) {
    const stream = await navigator.mediaDevices.getUserMedia({ audio: true, video: true });
    const pc = new RTCPeerConnection({ bundlePolicy: "max-bundle" });
    for (const track of stream.getTracks()) pc.addTransceiver(track, { direction: "sendonly", streams: [stream] });
    const client = new WHIPClient();
    window.published = client;
    await client.publish(pc, address, token);
    for (const end = Date.now() + 8000; Date.now() < end && pc.connectionState !== "connected"; ) await sleep(20);
    return { state: pc.connectionState, resource: String(client.resourceURL) };
  },
  stop: () => window.published.stop(),
};

window.eyevinn = {
  /** Watch by @eyevinn/webrtc-player, which offers the picture first. */
  async watch(address) {
    const video = element();
    const began = performance.now();
    const player = new WebRTCPlayer({ video, type: "whep" });
    let firstMs = null;
    video.requestVideoFrameCallback(() => (firstMs = performance.now() - began));
    await player.load(new URL(address));
    const seen = await frames(video, 30);
    player.destroy?.();
    return { seen, firstMs };
  },
};

/** Begin a call, restart ICE and add sections in the middle of it; returns what that did. */
window.renegotiate = async function (base) {
  const pc = new RTCPeerConnection();
  const video = element();
  const stream = (video.srcObject = new MediaStream());
  pc.ontrack = ({ track }) => stream.addTrack(track);
  pc.addTransceiver("audio", { direction: "recvonly" });
  pc.addTransceiver("video", { direction: "recvonly" });
  const control = pc.createDataChannel("control");
  let pc_id;
  const offer = async () => {
    await pc.setLocalDescription(await pc.createOffer());
    while (pc.iceGatheringState !== "complete") await sleep(5);
    const { sdp } = pc.localDescription;
    const body = JSON.stringify({ sdp, type: "offer", pc_id, request_data: { size: 256 } });
    const response = await fetch(`${base}api/offer`, { method: "POST", headers: { "Content-Type": "application/json" }, body });
    const answer = await response.json();
    if (!response.ok) throw new Error(answer.error);
    await pc.setRemoteDescription({ type: "answer", sdp: answer.sdp });
    return answer;
  };
  const pair = async () => {
    const stats = await pc.getStats();
    const id = [...stats.values()].find((s) => s.type === "transport").selectedCandidatePairId;
    return stats.get(stats.get(id).remoteCandidateId).port;
  };
  ({ pc_id } = await offer());
  await frames(video, 20);
  const shown = [];
  const note = (now, { mediaTime }) => (shown.push(mediaTime), video.requestVideoFrameCallback(note));
  video.requestVideoFrameCallback(note);
  const first = await pair();
  const ids = [pc_id];
  pc.restartIce();
  ids.push((await offer()).pc_id);
  await sleep(1500);
  const second = await pair();
  for (const kind of ["audio", "video", "video"]) pc.addTransceiver(kind, { direction: "recvonly" });
  ids.push((await offer()).pc_id);
  await sleep(800);
  const added = pc.getTransceivers().slice(2);
  added[1].stop(); // a section that is given back, and a line that is used again
  ids.push((await offer()).pc_id);
  pc.addTransceiver("video", { direction: "recvonly" });
  ids.push((await offer()).pc_id);
  await sleep(800);
  const steps = shown.slice(1).map((time, n) => time - shown[n]);
  const result = {
    ids, moved: first !== second, first, second, channel: control.readyState, state: pc.connectionState,
    frames: shown.length, longest: Math.max(...steps), sections: pc.localDescription.sdp.match(/^m=/gm).length,
  };
  pc.close();
  return result;
};

/** Connect by plain WebRTC, with sections in the order named and the offer's bundle kept or not. */
window.plain = async function (base, { order, view, bundle = true, always = false }) {
  const pc = new RTCPeerConnection({ alwaysNegotiateDataChannels: always });
  const video = element();
  const stream = (video.srcObject = new MediaStream());
  pc.ontrack = ({ track }) => stream.addTrack(track);
  let ponged = false;
  for (const kind of order) {
    if (kind !== "application") pc.addTransceiver(kind, { direction: "recvonly" });
    else pc.createDataChannel("control").onmessage = ({ data }) => (ponged ||= JSON.parse(data).type === "stats");
  }
  await pc.setLocalDescription(await pc.createOffer());
  while (pc.iceGatheringState !== "complete") await sleep(10);
  let { sdp } = pc.localDescription;
  if (!bundle) sdp = sdp.replace(/^a=group:BUNDLE.*\r\n/m, "");
  const request = view
    ? fetch(`${base}api/whep/${view}`, { method: "POST", headers: { "Content-Type": "application/sdp" }, body: sdp })
    : fetch(`${base}api/offer`, {
        method: "POST",
        headers: { "Content-Type": "application/json" },
        body: JSON.stringify({ sdp, type: "offer", request_data: { size: 256 } }),
      });
  const response = await request;
  if (!response.ok) return { error: await response.text() };
  const answer = view ? await response.text() : (await response.json()).sdp;
  await pc.setRemoteDescription({ type: "answer", sdp: answer });
  const kinds = [...sdp.matchAll(/^m=(\w+)/gm)].map((match) => match[1]);
  const seen = order.includes("video") ? await frames(video, 5, 8000) : 0;
  for (const end = Date.now() + 6000; order.includes("application") && !view && !ponged && Date.now() < end; ) await sleep(20);
  const state = pc.connectionState;
  pc.close();
  return { kinds, seen, ponged, state, bundled: /^a=group:BUNDLE/m.test(answer) };
};
