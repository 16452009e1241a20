"""Train the networks that light the mouth: ``visavis train renderer --help``.

The *shade* learns by what to multiply a mouth's light (``shade_network.py``). The *light* is a
*regression* (warp in, picture out) that then learned to do the same by light alone
(``network.light_factor``). What they were compared with stands in docs/experiments.
"""

from __future__ import annotations

import argparse
import logging
from dataclasses import replace
from pathlib import Path

import torch

from visavis.models.renderer.training.relight.config import STAGES, TrainConfig
from visavis.models.renderer.training.relight.data import PairSet
from visavis.models.renderer.training.relight.graphs.export import export_stages
from visavis.models.renderer.training.relight.graphs.network import NetworkConfig
from visavis.models.renderer.training.relight.pairs.make_pairs import main as make_pairs
from visavis.models.renderer.training.relight.pairs.pairs import read_pairs
from visavis.models.renderer.training.relight.trainer import Trainer

log = logging.getLogger(__name__)


def main(argv: list[str] | None = None) -> int:
    """Make pairs where there are none, then train."""
    parser = argparse.ArgumentParser(prog="visavis train renderer", description=__doc__)
    parser.add_argument("--pairs", type=Path, nargs="+", help="folders of pairs made before")
    parser.add_argument("--people", type=Path, help="folder of synthetic people")
    parser.add_argument("--faces", type=Path, help="folder of portraits with landmarks")
    parser.add_argument("--out", type=Path, required=True)
    parser.add_argument("--minutes", type=float, default=60.0)
    parser.add_argument("--samples", type=int, default=TrainConfig.samples)
    parser.add_argument(
        "--stage-minutes", type=float, help="of a whole stage, in place of its samples"
    )
    parser.add_argument("--batch", type=int, default=TrainConfig.batch, help="crops per step")
    parser.add_argument("--rate", type=float, default=TrainConfig.rate, help="of learning")
    parser.add_argument("--widths", type=int, nargs="+", help="channels of every level")
    parser.add_argument(
        "--free-tone", action="store_true", help="light inside the mouth is the network's as well"
    )
    parser.add_argument(
        "--stages", nargs="+", choices=STAGES, default=["shade"],
        help="shade and light are what ships, the latter after regression",
    )  # fmt: skip
    parser.add_argument("--resume", action="store_true", help="go on with what is in --out")
    parser.add_argument("--threads", type=int, default=1)
    parser.add_argument("--device", default="cpu", help="cpu or cuda")
    args = parser.parse_args(argv)
    logging.basicConfig(level=logging.INFO, format="%(asctime)s %(message)s")
    torch.set_num_threads(args.threads)
    args.out.mkdir(parents=True, exist_ok=True)
    if not args.resume and any(args.out.glob("*.state.pt")):
        parser.error(f"{args.out} holds a training already; add --resume to go on with it.")
    folders = args.pairs or [args.out / "pairs"]
    if args.pairs is None and not any(folders[0].glob("*.npz")):
        _make_pairs(args, folders[0])
    try:
        read = read_pairs([path for f in folders for path in f.glob("*.npz")])
    except (FileNotFoundError, ValueError) as error:
        parser.error(str(error))
    held = read["person"] < 0
    pairs, held_out = (
        PairSet({name: a[chosen] for name, a in read.items()}, args.device)
        for chosen in (~held, held)
    )
    log.info("%d pairs, %d held out", len(pairs), len(held_out))
    config = TrainConfig(
        args.samples, args.minutes, args.batch, args.rate,
        stage_minutes=args.stage_minutes, device=args.device,
    )  # fmt: skip
    network = NetworkConfig(keep_tone=not args.free_tone)
    if args.widths:
        network = replace(network, widths=tuple(args.widths))
    trainer = Trainer(pairs, held_out, args.out, config, network)
    finished = all([trainer.run(stage) for stage in args.stages])
    for name, difference in export_stages(args.out, args.out / "graphs").items():
        log.info("%s.onnx: %.1g from torch", name, difference)
    log.info("finished" if finished else "the time is over; --resume goes on")
    return 0


def _make_pairs(args: argparse.Namespace, folder: Path) -> None:
    """Make pairs from portraits and people."""
    sources = [("--faces", args.faces), ("--people", args.people)]
    make_pairs([*(str(v) for s in sources if s[1] for v in s), "--out", str(folder)])


if __name__ == "__main__":
    raise SystemExit(main())
