// Notes every frame that is shown: when, its stamp, and (where asked) its picture as a coarse grid.
const SIDE = 32; // cells across; the same number as the stamp has blocks

export class FrameLog {
  constructor(video) {
    this.video = video;
    this.frames = [];
    this.grids = []; // Uint8Array(SIDE * SIDE) each
    this.wantGrids = false;
    this.canvas = new OffscreenCanvas(SIDE, SIDE).getContext("2d", { willReadFrequently: true });
    this.running = true;
    const shown = (now, metadata) => {
      if (!this.running) return;
      this.note(performance.timeOrigin + now, metadata);
      video.requestVideoFrameCallback(shown);
    };
    video.requestVideoFrameCallback(shown);
  }

  note(wall, metadata) {
    const { video, canvas } = this;
    const height = this.wantGrids ? video.videoHeight : (video.videoWidth * 2) / SIDE;
    const rows = this.wantGrids ? SIDE : 2;
    canvas.imageSmoothingQuality = this.wantGrids ? "medium" : "low"; // mipmaps: cell averages
    canvas.drawImage(video, 0, 0, video.videoWidth, height, 0, 0, SIDE, rows);
    const { data } = canvas.getImageData(0, 0, SIDE, rows);
    const frame = { wall, rtp: metadata.rtpTimestamp ?? null, ...readStamp(data) };
    if (this.wantGrids) {
      const grid = new Uint8Array(SIDE * SIDE);
      for (let i = 0; i < grid.length; i++) grid[i] = data[4 * i + 1];
      frame.grid = this.grids.push(grid) - 1;
    }
    this.frames.push(frame);
  }

  /** Everything, as what can leave the page. */
  take() {
    this.running = false;
    const all = new Uint8Array(this.grids.length * SIDE * SIDE);
    this.grids.forEach((grid, k) => all.set(grid, k * SIDE * SIDE));
    const parts = [];
    for (let at = 0; at < all.length; at += 0x8000) {
      parts.push(String.fromCharCode(...all.subarray(at, at + 0x8000)));
    }
    return { frames: this.frames, grids: btoa(parts.join("")) };
  }
}

const readStamp = (pixels) => {
  const bit = (row, column) => (pixels[(row * SIDE + column) * 4 + 1] > 127 ? 1 : 0);
  let mediaMs = 0;
  let parity = 0;
  for (let column = 0; column < SIDE; column++) {
    mediaMs = mediaMs * 2 + bit(0, column);
    parity ^= bit(0, column);
  }
  let offsetMs = 0;
  for (let column = 1; column < 9; column++) offsetMs = offsetMs * 2 + bit(1, column);
  return { mediaMs, click: bit(1, 0) === 1, offsetMs, valid: parity === bit(1, 9) };
};
