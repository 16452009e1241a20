"""Make pairs small enough to be carried: run this module with IN and OUT."""

from __future__ import annotations

import argparse
from pathlib import Path

from visavis.models.renderer.training.relight.coded import write_coded
from visavis.models.renderer.training.relight.pairs import read_pairs

_SHARD = 160


def main(argv: list[str] | None = None) -> int:
    """Write the pairs of some shards as coded pictures."""
    parser = argparse.ArgumentParser(description=__doc__)
    parser.add_argument("shards", type=Path, nargs="+")
    parser.add_argument("out", type=Path)
    parser.add_argument("--quality", type=int, default=88, help="of the JPEGs")
    args = parser.parse_args(argv)
    for index, path in enumerate(args.shards):
        arrays = read_pairs([path])
        rows = [
            {n: a[k] if a.ndim > 1 else a[k].item() for n, a in arrays.items()}
            for k in range(len(arrays["person"]))
        ]
        for low in range(0, len(rows), _SHARD):
            write_coded(
                args.out / f"{path.stem}-{index:03d}-{low // _SHARD}.npz",
                rows[low : low + _SHARD],
                args.quality,
            )
    return 0


if __name__ == "__main__":
    raise SystemExit(main())
