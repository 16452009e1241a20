// @roamhq/wrtc (libwebrtc in Node): decoded pictures and sound; prints what came.
const { RTCPeerConnection, nonstandard } = require("@roamhq/wrtc");

(async () => {
  const [base] = process.argv.slice(2);
  const pc = new RTCPeerConnection({ iceServers: [] });
  const seen = { video: 0, audio: 0, pong: false, width: 0, state: "" };
  const source = new nonstandard.RTCAudioSource();
  const audio = pc.addTransceiver(source.createTrack(), { direction: "sendrecv" });
  const video = pc.addTransceiver("video", { direction: "recvonly" });
  const control = pc.createDataChannel("control");
  control.onmessage = ({ data }) => (seen.pong ||= JSON.parse(data).type === "pong");
  const pictures = new nonstandard.RTCVideoSink(video.receiver.track);
  pictures.onframe = ({ frame }) => ((seen.video += 1), (seen.width = frame.width));
  const sounds = new nonstandard.RTCAudioSink(audio.receiver.track);
  sounds.ondata = () => (seen.audio += 1);

  await pc.setLocalDescription(await pc.createOffer());
  while (pc.iceGatheringState !== "complete") await new Promise((r) => setTimeout(r, 20));
  const answer = await fetch(new URL("api/offer", base), {
    method: "POST",
    headers: { "Content-Type": "application/json" },
    body: JSON.stringify({ sdp: pc.localDescription.sdp, type: "offer", request_data: { size: 256 } }),
  });
  const body = await answer.json();
  if (!answer.ok) throw new Error(body.error);
  await pc.setRemoteDescription({ type: "answer", sdp: body.sdp });
  const samples = new Int16Array(480);
  let block = 0;
  setInterval(() => {
    source.onData({ samples, sampleRate: 48000, bitsPerSample: 16, channelCount: 1, numberOfFrames: 480 });
    block += 1;
    if (control.readyState === "open" && block % 20 === 0) control.send('{"type":"ping","t":1}');
  }, 10);
  const deadline = Date.now() + 12_000;
  while (Date.now() < deadline && !(seen.video > 30 && seen.audio > 30 && seen.pong)) await new Promise((r) => setTimeout(r, 50));
  seen.state = pc.connectionState;
  console.log(JSON.stringify(seen));
  await fetch(new URL(`api/sessions/${body.pc_id}`, base), { method: "DELETE" });
  process.exit(0);
})().catch((error) => {
  console.error(String(error));
  process.exit(1);
});
