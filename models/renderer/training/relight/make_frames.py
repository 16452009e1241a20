"""Write pairs of whole frames: ``visavis train renderer --make-pairs --kind frame``."""

from __future__ import annotations

import argparse
import logging
from collections.abc import Iterator, Mapping
from pathlib import Path

import cv2
from numpy.typing import NDArray

from visavis.models.appearance.tracker import MediaPipeTracker
from visavis.models.renderer.relight.shade import MouthShade, shade_graph
from visavis.models.renderer.training.relight.coded import write_coded
from visavis.models.renderer.training.relight.frame_pairs import (
    FramePair,
    cuts,
    from_people,
    from_portraits,
)
from visavis.models.renderer.training.relight.pairs import in_shards

log = logging.getLogger(__name__)
_SHARD = 40  # pairs; 7 MB


class _Graph:
    """The mouth's light by ONNX Runtime; training knows nothing of engines."""

    def __init__(self, path: Path) -> None:
        import onnxruntime

        self._session = onnxruntime.InferenceSession(str(path), providers=["CPUExecutionProvider"])

    def run(self, inputs: Mapping[str, NDArray]) -> dict[str, NDArray]:
        return {"factor": self._session.run(["factor"], dict(inputs))[0]}


def main(argv: list[str] | None = None) -> int:
    """Write pairs of portraits, of people, or of both."""
    parser = argparse.ArgumentParser(description=__doc__)
    parser.add_argument("--faces", type=Path, help="folder with train/ of portraits")
    parser.add_argument("--people", type=Path, help="folder of shards of synthetic people")
    parser.add_argument("--out", type=Path, required=True)
    parser.add_argument("--frames", type=int, default=3, help="frames per synthetic person")
    parser.add_argument("--most", type=int, default=400, help="portraits")
    parser.add_argument("--side", type=int, default=320, help="pixels of cuts: people's pictures")
    parser.add_argument("--seed", type=int, default=0)
    args = parser.parse_args(argv)
    logging.basicConfig(level=logging.INFO, format="%(asctime)s %(message)s")
    cv2.setNumThreads(1)
    graph = _Graph(shade_graph())

    def refiner() -> MouthShade:
        return MouthShade(graph)

    tracker = MediaPipeTracker() if args.faces is not None else None
    sources: list[tuple[str, Iterator[FramePair]]] = []
    if args.people is not None:
        people = from_people(args.people, args.frames, refiner, args.seed)
        sources.append(("people", people))
    if tracker is not None:
        found = from_portraits(args.faces, tracker, refiner, args.seed, args.most)
        sources.append(("portraits", (cut for pair in found for cut in cuts(pair, args.side))))
    for name, pairs in sources:
        for index, group in enumerate(in_shards(pairs, _SHARD)):
            path = args.out / f"{name}-{args.seed:02d}-{index:04d}.npz"
            write_coded(path, [vars(pair) for pair in group])
            log.info("%s: shard %d, %d pairs", name, index, len(group))
    if tracker is not None:
        tracker.close()
    return 0


if __name__ == "__main__":
    raise SystemExit(main())
