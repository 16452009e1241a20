"""A program that reads a camera as any does, through Video4Linux: brightness to a file."""

from __future__ import annotations

import sys

import av
import numpy as np


def main(frames: int, out: str) -> None:
    with av.open("/dev/video0", format="v4l2") as camera:
        seen = []
        for frame in camera.decode(video=0):
            seen.append(frame.to_ndarray(format="gray"))
            if len(seen) == frames:
                break
    np.save(out, np.stack(seen))


if __name__ == "__main__":
    main(int(sys.argv[1]), sys.argv[2])
