// werift (WebRTC in TypeScript): picture first, H.264 or VP8, a data channel; prints what came.
import { MediaStreamTrack, RTCPeerConnection, RTCRtpCodecParameters, RtpHeader, RtpPacket } from "werift";

const [base, codec, first] = process.argv.slice(2);
const video = {
  H264: new RTCRtpCodecParameters({
    mimeType: "video/H264", clockRate: 90000, payloadType: 97,
    rtcpFeedback: [{ type: "nack" }, { type: "nack", parameter: "pli" }],
    parameters: "packetization-mode=1;profile-level-id=42e01f;level-asymmetry-allowed=1",
  }),
  VP8: new RTCRtpCodecParameters({
    mimeType: "video/VP8", clockRate: 90000, payloadType: 97,
    rtcpFeedback: [{ type: "nack" }, { type: "nack", parameter: "pli" }],
  }),
}[codec];
const audio = new RTCRtpCodecParameters({ mimeType: "audio/opus", clockRate: 48000, channels: 2, payloadType: 96 });
const pc = new RTCPeerConnection({ codecs: { audio: [audio], video: [video] }, iceServers: [], bundlePolicy: "max-bundle" });
const seen = { video: 0, audio: 0, pong: false, codec: "" };
const voice = new MediaStreamTrack({ kind: "audio" });
for (const kind of first === "video" ? ["video", "audio"] : ["audio", "video"]) {
  const transceiver = pc.addTransceiver(kind === "audio" ? voice : "video", {
    direction: kind === "audio" ? "sendrecv" : "recvonly",
  });
  transceiver.onTrack.subscribe((track) => track.onReceiveRtp.subscribe(() => (seen[kind] += 1)));
}
const control = pc.createDataChannel("control");
control.onMessage.subscribe((data) => (seen.pong ||= JSON.parse(String(data)).type === "pong"));

await pc.setLocalDescription(await pc.createOffer());
const answer = await fetch(new URL("api/offer", base), {
  method: "POST",
  headers: { "Content-Type": "application/json" },
  body: JSON.stringify({ sdp: pc.localDescription.sdp, type: "offer", request_data: { size: 256 } }),
});
const body = await answer.json();
if (!answer.ok) throw new Error(body.error);
await pc.setRemoteDescription({ type: "answer", sdp: body.sdp });
seen.codec = /a=rtpmap:\d+ (H264|VP8)/.exec(body.sdp)?.[1] ?? "";

let number = 0;
const silence = Buffer.from([0xf8, 0xff, 0xfe]); // an Opus frame of 20 ms
setInterval(() => {
  number += 1;
  const header = new RtpHeader({ payloadType: 96, sequenceNumber: number & 0xffff, timestamp: number * 960, ssrc: 77 });
  voice.writeRtp(new RtpPacket(header, silence));
  if (control.readyState === "open" && number % 10 === 0) control.send('{"type":"ping","t":1}');
}, 20);

const deadline = Date.now() + 12_000;
while (Date.now() < deadline && !(seen.video > 30 && seen.audio > 30 && seen.pong)) await new Promise((r) => setTimeout(r, 50));
console.log(JSON.stringify(seen));
await fetch(new URL(`api/sessions/${body.pc_id}`, base), { method: "DELETE" });
process.exit(0);
