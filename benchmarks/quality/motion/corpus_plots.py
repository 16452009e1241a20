"""The pictures of CORPUS.md.

``python -m visavis.benchmarks.quality.motion.corpus_plots --corpus DIR``
"""

from __future__ import annotations

import argparse
import sys
from collections import Counter
from pathlib import Path

import numpy as np
from numpy.typing import NDArray

from visavis.benchmarks.common import BenchmarkError
from visavis.benchmarks.quality.motion.motion_plots import draw_phones, figure, save
from visavis.models.motion.curves import CHANNEL, RATE, build
from visavis.models.motion.features import MELS, RawFeatures
from visavis.models.motion.training.corpus import augment, voices
from visavis.models.motion.training.evaluate import disturbed, from_channels

_OUT = Path(__file__).parents[3] / "models" / "motion" / "plots"
_SENTENCE = "Bob moved five moons above my map."
_VOICE = "slt"
_BARS = (("flite", "#b5322b"), ("festival", "#d9a441"), ("espeak", "#5b8db8"), ("", "#999999"))


def main(argv: list[str] | None = None) -> int:
    """Draw them; returns the exit code."""
    parser = argparse.ArgumentParser(description=__doc__)
    parser.add_argument("--corpus", type=Path, help="folder of shards, for the minutes by voice")
    parser.add_argument("-o", "--output", type=Path, default=_OUT)
    args = parser.parse_args(argv)
    args.output.mkdir(parents=True, exist_ok=True)
    try:
        if not voices.installed()["flite"]:
            raise BenchmarkError("The pictures show flite's voice: apt-get install flite.")
        said = voices.flite(_SENTENCE, _VOICE)
        draw_curves(args.output / "curves.png", said)
        draw_changes(args.output / "augmentation.png", said)
        if args.corpus is not None:
            draw_minutes(args.output / "corpus.png", args.corpus)
    except BenchmarkError as error:
        sys.stderr.write(f"visavis bench: {error}\n")
        return 1
    return 0


def draw_curves(path: Path, said: voices.Utterance) -> None:
    """Draw what the rules make of one sentence."""
    hops = len(said.pcm) * RATE // 16_000
    curves, closure = build(said.phones, hops)
    track = from_channels(curves)
    times = (np.arange(hops) + 0.5) / RATE
    made, axes = figure(11, 5.0, 2, 1)
    labels = [(p.start, p.end, p.name) for p in said.phones]
    for axis in axes:
        draw_phones(axis, said.pcm, labels)
    upper, lower = axes
    upper.plot(times, track.jaw, color="#7a7a7a", lw=1.2, label="jawOpen")
    upper.plot(times, track.aperture, color="#b5322b", lw=2, label="opening of the lips")
    upper.plot(times, 0.5 * closure, color="#5b8db8", lw=1, ls="--", label="bilabial contact / 2")
    upper.set_title(
        "bilabials (red) bring the opening to zero whatever the jaw does; labiodentals (yellow) "
        "tuck the lower lip",
        fontsize=9,
    )
    for name, colour in (
        ("mouthRollLower", "#d9a441"), ("mouthPucker", "#4a8f5c"), ("mouthFunnel", "#8f5ca3"),
        ("mouthStretch", "#5b8db8"), ("mouthLowerDown", "#7a7a7a"),
    ):  # fmt: skip
        lower.plot(times, curves[:, CHANNEL[name]], color=colour, lw=1.4, label=name)
    lower.set_title("rounding begins before its phone and outlasts it", fontsize=9)
    for axis in axes:
        axis.legend(fontsize=7, frameon=False, ncols=5, loc="upper right")
    save(made, path)


def draw_changes(path: Path, said: voices.Utterance) -> None:
    """Draw the log-mel spectrum of one sentence as the augmentations leave it."""
    rng = np.random.default_rng(4)
    versions = {
        "clean": said.pcm,
        "another throat (formants × 1.2)": augment.warp_formants(said.pcm, 1.2),
        "another source": augment.reexcite(said.pcm, said.phones, np.random.default_rng(8)),
        "whispered": augment.whisper(said.pcm, rng),
        "room": augment.room(said.pcm, rng),
        "noise at 10 dB": disturbed(said.pcm, "noise10", rng),
        "telephone": disturbed(said.pcm, "telephone", rng),
        "Opus at 10 kbit/s": augment.opus(said.pcm, 10_000),
    }
    made, axes = figure(11, 4.2, 2, 4)
    for axis, (name, pcm) in zip(np.ravel(axes), versions.items(), strict=True):
        axis.imshow(_mel(pcm).T, origin="lower", aspect="auto", cmap="magma", vmin=-15, vmax=-1)
        axis.set_title(name, fontsize=9)
        axis.set_xticks([])
        axis.set_yticks([])
    save(made, path)


def _mel(pcm: NDArray[np.float32]) -> NDArray[np.float32]:
    level = np.float32(0.4) / (np.abs(pcm).max() + np.float32(1e-9))
    return RawFeatures().whole(np.asarray(pcm * level, np.float32))[:, :MELS]


def draw_minutes(path: Path, corpus: Path) -> None:
    """Draw minutes by synthesiser and language of the shards that are there."""
    minutes: Counter[str] = Counter()
    shards = sorted(corpus.glob("shard-????.npz"))
    if not shards:
        raise BenchmarkError(f"There are no shards in {corpus}.")
    for shard in shards:
        with np.load(shard, allow_pickle=False) as data:
            for voice, hops in zip(data["voice"], data["hops"], strict=True):
                minutes[_group(str(voice))] += hops / 6000
    found = minutes.most_common()
    made, axis = figure(11, 0.6 + 0.17 * len(found))
    places = np.arange(len(found))[::-1]
    colours = [next(c for head, c in _BARS if n.startswith(head)) for n, _ in found]
    axis.barh(places, [m for _, m in found], color=colours)
    axis.set_yticks(places, [n for n, _ in found], fontsize=7)
    axis.set_ylim(-0.6, len(found) - 0.4)
    hours = sum(minutes.values()) / 60
    axis.set_title(
        f"minutes in {len(shards)} shards ({hours:.1f} h, every utterance in three versions)",
        fontsize=9,
    )
    save(made, path)


def _group(voice: str) -> str:
    engine, _, name = voice.partition("/")
    if engine == "espeak":
        return f"espeak-ng {name.split('+')[0]}"
    if engine == "negative":
        return "no voice: silence, noise, music, breath ..."
    return f"{engine} {name.removeprefix('voice_')}"


if __name__ == "__main__":
    sys.exit(main())
