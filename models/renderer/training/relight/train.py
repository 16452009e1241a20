"""Train the mouth's networks: ``visavis train renderer --help``.

The *shade*, which ships, learns by what to multiply a mouth's light (``shade_network.py``). The
*regression* learns warp in, picture out; the *light*, which ships too, is the regression after it
learned to do the same by light alone (``network.light_factor``). Beside them, what they were
compared with: the *finish* is the regression with a critic's opinion; the *teacher* learns the
bridge at every t and walks it in twelve steps; the *student* starts as the teacher and learns to
jump, from the teacher's endpoints, from the truth, and from its own half steps (shortcut
consistency), so that one network serves one, two and four steps. The regression, with as many
samples as teacher and student together, is its control.
"""

from __future__ import annotations

import argparse
import logging
from dataclasses import replace
from pathlib import Path

import torch

from visavis.models.renderer.training.relight.config import KINDS, STAGES, TrainConfig
from visavis.models.renderer.training.relight.data import PairSet
from visavis.models.renderer.training.relight.export import export_stages
from visavis.models.renderer.training.relight.pairs import read_pairs
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
    parser.add_argument("--kind", choices=KINDS, default="mouth", help="what the network is for")
    parser.add_argument("--widths", type=int, nargs="+", help="channels of every level")
    parser.add_argument(
        "--free-tone", action="store_true", help="light inside the mouth is the network's as well"
    )
    parser.add_argument(
        "--stages", nargs="+", choices=STAGES, default=["shade"],
        help="shade and light are what ships, the latter after regression; the others are the "
        "experiment they were compared with",
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
        read = read_pairs([path for f in folders for path in f.glob("*.npz")], args.threads)
    except (FileNotFoundError, ValueError) as error:
        parser.error(str(error))
    held = read["person"] < 0
    pairs, held_out = (
        PairSet({name: a[chosen] for name, a in read.items()}, args.kind, args.device)
        for chosen in (~held, held)
    )
    log.info("%d pairs, %d held out", len(pairs), len(held_out))
    config = TrainConfig(
        args.samples, args.minutes, args.batch, args.rate,
        stage_minutes=args.stage_minutes, device=args.device,
    )  # fmt: skip
    kind = KINDS[args.kind]
    network = replace(
        kind.network, widths=tuple(args.widths or kind.network.widths),
        keep_tone=kind.network.keep_tone and not args.free_tone,
    )  # fmt: skip
    trainer = Trainer(pairs, held_out, args.out, config, replace(kind, network=network))
    finished = all([trainer.run(stage) for stage in args.stages])
    for name, difference in export_stages(args.out, args.out / "graphs").items():
        log.info("%s.onnx: %.1g from torch", name, difference)
    log.info("finished" if finished else "the time is over; --resume goes on")
    return 0


def _make_pairs(args: argparse.Namespace, folder: Path) -> None:
    """Make the pairs of a kind from portraits and people; eyes know people only."""
    faces = None if args.kind == "eyes" else args.faces
    sources = [("--faces", faces), ("--people", args.people)]
    words = [*(str(v) for s in sources if s[1] for v in s), "--out", str(folder)]
    if args.kind == "frame":
        from visavis.models.renderer.training.relight.make_frames import main as make
    elif args.kind == "eyes":
        from visavis.models.renderer.training.relight.eye_pairs import main as make
    else:
        from visavis.models.renderer.training.relight.make_pairs import main as make
    make(words)


if __name__ == "__main__":
    raise SystemExit(main())
