// Plays a prepared file as the microphone and notes when each click left, when it was heard again
// and when the frame that carries its mark was shown. The call itself is the product's client.js.
import { AvatarCall } from "/client.js";

const BLOCKS = 32; // stamp blocks across the picture, as drawn by the server

const detector = (context, threshold, sink) => {
  const node = new AudioWorkletNode(context, "click-detector", {
    processorOptions: { threshold, restSeconds: 0.25 },
  });
  node.port.onmessage = (event) => sink.push(event.data.wall);
  return node;
};

const readStamp = (context2d, video) => {
  const width = video.videoWidth;
  const block = width / BLOCKS;
  context2d.canvas.width = BLOCKS;
  context2d.canvas.height = 2;
  context2d.drawImage(video, 0, 0, width, block * 2, 0, 0, BLOCKS, 2);
  const pixels = context2d.getImageData(0, 0, BLOCKS, 2).data;
  const bit = (row, column) => (pixels[(row * BLOCKS + column) * 4 + 1] > 127 ? 1 : 0);
  let mediaMs = 0;
  for (let column = 0; column < BLOCKS; column++) mediaMs = mediaMs * 2 + bit(0, column);
  let offsetMs = 0;
  let parity = 0;
  for (let column = 1; column < 9; column++) offsetMs = offsetMs * 2 + bit(1, column);
  for (let column = 0; column < BLOCKS; column++) parity ^= bit(0, column);
  return { mediaMs, click: bit(1, 0) === 1, offsetMs, valid: parity === bit(1, 9) };
};

window.runBench = async ({ avatarId, seconds, soundUrl }) => {
  const context = new AudioContext({ sampleRate: 48000, latencyHint: "interactive" });
  await context.resume();
  // A worklet's own request cannot be answered by the harness; a blob needs none.
  const worklet = await (await fetch("/__bench/detector.js")).blob();
  const module = URL.createObjectURL(new Blob([worklet], { type: "text/javascript" }));
  await context.audioWorklet.addModule(module);
  const data = await (await fetch(soundUrl)).arrayBuffer();
  const source = new AudioBufferSourceNode(context, {
    buffer: await context.decodeAudioData(data),
    loop: true,
  });
  const result = { sent: [], heard: [], frames: [], errors: [], states: [], stats: [] };
  const microphone = context.createMediaStreamDestination();
  source.connect(detector(context, 0.5, result.sent)).connect(microphone);

  const video = document.getElementById("video");
  const canvas = document.createElement("canvas").getContext("2d", { willReadFrequently: true });
  const onFrame = (now, metadata) => {
    const stamp = readStamp(canvas, video);
    result.frames.push({
      wall: performance.timeOrigin + now,
      shown: performance.timeOrigin + metadata.expectedDisplayTime,
      presented: metadata.presentedFrames,
      ...stamp,
    });
    video.requestVideoFrameCallback(onFrame);
  };
  video.requestVideoFrameCallback(onFrame);

  const call = new AvatarCall({
    baseUrl: "",
    avatarId,
    video,
    probe: true,
    onstate: (state) => result.states.push({ wall: Date.now(), state: String(state) }),
    onstats: (stats) => result.stats.push({ wall: Date.now(), ...stats }),
    onerror: (error) => result.errors.push(String(error.message ?? error)),
  });
  const began = performance.now();
  const first = new Promise((resolve) => {
    video.requestVideoFrameCallback((now) => resolve(now - began));
  });
  source.start();
  await call.start(microphone.stream);
  result.firstFrameMs = await first;
  const sound = new MediaStream(video.srcObject.getAudioTracks());
  context.createMediaStreamSource(sound).connect(detector(context, 0.25, result.heard));
  await new Promise((resolve) => setTimeout(resolve, seconds * 1000));
  result.stopped = Date.now();
  await call.stop();
  source.stop();
  await context.close();
  return result;
};
window.benchReady = true;
