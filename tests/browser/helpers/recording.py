"""What a viewer sees and hears, recorded in the page frame by frame."""

from __future__ import annotations

import base64
import io
from dataclasses import dataclass

import numpy as np
from numpy.typing import NDArray
from PIL import Image
from playwright.sync_api import Page

ACROSS, DOWN = 24, 16  # cells of the mouth's box

_GRAB = """() => {
  const video = document.getElementById("avatar-video");
  const canvas = new OffscreenCanvas(video.videoWidth, video.videoHeight);
  canvas.getContext("2d").drawImage(video, 0, 0);
  return canvas.convertToBlob({ type: "image/png" }).then((blob) => blob.arrayBuffer())
    .then((data) => btoa(
      Array.from(new Uint8Array(data), (byte) => String.fromCharCode(byte)).join("")));
}"""

_RECORD = """([box, across, down, seconds]) => new Promise((resolve) => {
  const video = document.getElementById("avatar-video");
  const sound = new AudioContext();
  const analyser = new AnalyserNode(sound, { fftSize: 2048 });
  const track = video.srcObject.getAudioTracks()[0];
  sound.createMediaStreamSource(new MediaStream([track])).connect(analyser);
  const heard = new Float32Array(analyser.fftSize);
  const canvas = new OffscreenCanvas(across, down);
  const context = canvas.getContext("2d", { willReadFrequently: true });
  const rows = [];
  const begin = performance.now();
  const look = (now, frame) => {
    context.drawImage(video, ...box, 0, 0, across, down);
    const { data } = context.getImageData(0, 0, across, down);
    const luma = [];
    for (let i = 0; i < data.length; i += 4)
      luma.push(0.299 * data[i] + 0.587 * data[i + 1] + 0.114 * data[i + 2]);
    analyser.getFloatTimeDomainData(heard);
    const level = Math.sqrt(heard.reduce((sum, value) => sum + value * value, 0) / heard.length);
    rows.push({ now, shown: frame.presentedFrames, level, luma });
    if (performance.now() - begin < seconds * 1000) video.requestVideoFrameCallback(look);
    else sound.close().then(() => resolve(rows));
  };
  video.requestVideoFrameCallback(look);
})"""


@dataclass(frozen=True)
class Recording:
    """One row per frame looked at.

    Attributes:
        seconds: ``(n,)`` when each was shown.
        shown: ``(n,)`` running count of frames presented.
        level: ``(n,)`` root mean square of the sound heard just then, full scale 1.
        mouth: ``(n, DOWN, ACROSS)`` luma 0-255 of the mouth's box.
    """

    seconds: NDArray[np.float64]
    shown: NDArray[np.int64]
    level: NDArray[np.float64]
    mouth: NDArray[np.float64]

    @property
    def fps(self) -> float:
        """Frames presented per second over the whole recording."""
        return float((self.shown[-1] - self.shown[0]) / (self.seconds[-1] - self.seconds[0]))


def grab(page: Page) -> NDArray[np.uint8]:
    """Return the frame on screen, (H, W, 3) RGB."""
    data = base64.b64decode(page.evaluate(_GRAB))
    return np.asarray(Image.open(io.BytesIO(data)).convert("RGB"))


def record(page: Page, box: tuple[float, float, float, float], seconds: float) -> Recording:
    """Watch a box (x, y, width, height in video pixels) for some seconds."""
    rows = page.evaluate(_RECORD, [list(box), ACROSS, DOWN, seconds])
    return Recording(
        seconds=np.array([row["now"] for row in rows]) / 1000,
        shown=np.array([row["shown"] for row in rows]),
        level=np.array([row["level"] for row in rows]),
        mouth=np.array([row["luma"] for row in rows]).reshape(-1, DOWN, ACROSS),
    )
