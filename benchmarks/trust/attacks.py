"""What videos go through: scaling, cropping, bars, another encoding, being filmed off a screen."""

from __future__ import annotations

from collections.abc import Callable, Iterable

import av
import cv2
import numpy as np
from numpy.typing import NDArray

from visavis.streamer.media.encoder import Codec, VideoEncoder, as_frame

Luma = NDArray[np.uint8]
Timed = list[tuple[float, Luma]]
FPS = 25
KBPS = 500
_SCREEN_FPS, _LOST, _SCREEN_SCALE, _SCREEN_KBPS = 30, 0.1, 0.83, 800


def coded(pictures: Iterable[NDArray[np.uint8]], codec: Codec, kbps: int = KBPS) -> list[Luma]:
    """Return the luma a viewer decodes of I420 pictures, by the encoder that is used live."""
    frames: list[av.VideoFrame] = []
    encoder, decoder = None, av.CodecContext.create({"H264": "h264", "VP8": "vp8"}[codec], "r")
    for picture in pictures:
        if encoder is None:
            height, width = picture.shape[0] * 2 // 3, picture.shape[1]
            encoder = VideoEncoder(codec, size=width, height=height, fps=FPS, bitrate_kbps=kbps)
        frames += decoder.decode(av.Packet(encoder.encode(as_frame(picture))[0]))
    frames += decoder.decode(None)
    return [frame.reformat(format="gray").to_ndarray() for frame in frames]


def timed(frames: list[Luma]) -> Timed:
    """Return frames with their times, which begin anywhere."""
    return [(0.13 + n / FPS, np.ascontiguousarray(frame)) for n, frame in enumerate(frames)]


def again(frames: list[Luma], kbps: int = KBPS) -> list[Luma]:
    """Return frames encoded once more, as H.264."""
    height, width = (side // 2 * 2 for side in frames[0].shape)
    grey = np.full((height // 2, width), 128, np.uint8)
    return coded((np.concatenate([f[:height, :width], grey]) for f in frames), "H264", kbps)


def scaled(ratio: float) -> Callable[[list[Luma], np.random.Generator], Timed]:
    """Return scaling by a ratio, encoded again."""
    how = cv2.INTER_AREA if ratio < 1 else cv2.INTER_CUBIC

    def attack(frames: list[Luma], rng: np.random.Generator) -> Timed:
        return timed(
            again([cv2.resize(f, None, fx=ratio, fy=ratio, interpolation=how) for f in frames])
        )

    return attack


def cropped(frames: list[Luma], rng: np.random.Generator) -> Timed:
    """A fifth of each side is cut off, somewhere; encoded again."""
    height, width = frames[0].shape
    top, left = int(rng.integers(0, height // 5)), int(rng.integers(0, width // 5))
    rows, columns = slice(top, top + height * 4 // 5), slice(left, left + width * 4 // 5)
    return timed(again([np.ascontiguousarray(f[rows, columns]) for f in frames]))


def letterboxed(frames: list[Luma], rng: np.random.Generator) -> Timed:
    """Black bars left and right, to 16 : 9; encoded again."""
    bar = (frames[0].shape[0] * 16 // 9 - frames[0].shape[1]) // 2
    black = cv2.BORDER_CONSTANT
    barred = [cv2.copyMakeBorder(f, 0, 0, bar, bar, black, value=(16,)) for f in frames]
    return timed(again(barred))


def twice(frames: list[Luma], rng: np.random.Generator) -> Timed:
    """Encoded a second time."""
    return timed(again(frames))


def filmed(frames: list[Luma], rng: np.random.Generator) -> Timed:
    """A screen recording: another size, 30 frames per second, one in ten lost, encoded again."""
    times = np.arange(0, len(frames) / FPS, 1 / _SCREEN_FPS)
    times = times[rng.random(len(times)) > _LOST]
    shown = [
        cv2.resize(
            frames[int(t * FPS)], None, fx=_SCREEN_SCALE, fy=_SCREEN_SCALE,
            interpolation=cv2.INTER_LINEAR,
        )
        for t in times
    ]  # fmt: skip
    return list(zip(times.tolist(), again(shown, _SCREEN_KBPS), strict=True))


def nothing(frames: list[Luma], rng: np.random.Generator) -> Timed:
    """As a viewer sees it."""
    return timed(frames)


ATTACKS: dict[str, Callable[[list[Luma], np.random.Generator], Timed]] = {
    "none": nothing,
    "second encoding": twice,
    "scaled by 0.5": scaled(0.5),
    "scaled by 0.75": scaled(0.75),
    "scaled by 1.5": scaled(1.5),
    "scaled by 2": scaled(2.0),
    "cropped by 20 %": cropped,
    "letterboxed": letterboxed,
    "screen recording": filmed,
}
