"""Write the training's pairs: ``visavis train renderer --make-pairs``."""

from __future__ import annotations

import argparse
import logging
from collections.abc import Iterator
from pathlib import Path

import cv2
import numpy as np

from visavis.models.renderer.training.relight.pairs.pairs import Pair, in_shards, write_pairs
from visavis.models.renderer.training.relight.pairs.portraits import open_portraits, portrait_pairs

log = logging.getLogger(__name__)
_SHARD = 64  # pairs; 12 MB


def from_portraits(faces: Path, variants: int, seed: int, first: int = 0) -> Iterator[Pair]:
    """Yield pairs of every portrait with an open mouth, in a mixed order."""
    found = list(open_portraits(faces))
    order = np.random.default_rng(seed).permutation(len(found))
    for place in order[first:]:
        number, picture, points = found[place]
        try:
            yield from portrait_pairs(
                picture, points, number, np.random.default_rng([seed, abs(number)]), variants
            )
        except (ValueError, np.linalg.LinAlgError) as error:
            log.warning("Portrait %d was left out: %s", abs(number), error)


def main(argv: list[str] | None = None) -> int:
    """Write pairs; shards that are there already are kept."""
    parser = argparse.ArgumentParser(description=__doc__)
    parser.add_argument("--faces", type=Path, help="folder with train/ and train_landmarks.npz")
    parser.add_argument("--people", type=Path, help="folder of shards of synthetic people")
    parser.add_argument("--out", type=Path, required=True)
    parser.add_argument("--variants", type=int, default=4, help="pretended photos per portrait")
    parser.add_argument("--frames", type=int, default=24, help="frames per synthetic person")
    parser.add_argument("--seed", type=int, default=0)
    args = parser.parse_args(argv)
    logging.basicConfig(level=logging.INFO, format="%(asctime)s %(message)s")
    cv2.setNumThreads(1)
    sources: list[tuple[str, Iterator[Pair]]] = []
    if args.faces is not None:
        sources.append(("portraits", from_portraits(args.faces, args.variants, args.seed)))
    if args.people is not None:
        from visavis.models.renderer.training.relight.pairs.synthetic import from_people

        sources.append(("people", from_people(args.people, args.frames, args.seed)))
    for name, pairs in sources:
        for index, group in enumerate(in_shards(pairs, _SHARD)):
            write_pairs(args.out / f"{name}-{args.seed:02d}-{index:04d}.npz", group)
            log.info("%s: shard %d, %d pairs", name, index, len(group))
    return 0


if __name__ == "__main__":
    raise SystemExit(main())
