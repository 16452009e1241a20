"""The teacher of the flow: a generative model of head, brows, smile and torso in conversation.

Nobody's head motion is among the data, so the distribution that the flow learns is this one,
built from published statistics and driven by the corpus' own speech:

* sigma of pitch, yaw and roll 3, 5 and 2 degrees in lively free talk, below 2.5 Hz, about half
  of it in a calm call and 0.3-1.5 degrees in reading (Hadar et al., 1983; Busso et al., 2007);
* head nods and raised brows on prominent syllables (Munhall et al., 2004; Graf et al., 2002),
  the head's pitch following loudness a little in between;
* posture shifts at turn and phrase boundaries (Cassell et al., 2001);
* listeners' nods, in trains of one to three at about 2.5 Hz, 0.2-0.6 s after the other's phrase
  ends and now and then within it (Hadar et al., 1985; Ward and Tsukahara, 2000).

Moods shift means and rates, style scales everything. All in units of ``flow.UNITS``.
"""

from __future__ import annotations

from dataclasses import dataclass
from pathlib import Path

import numpy as np
from numpy.typing import NDArray
from scipy.ndimage import gaussian_filter1d, maximum_filter1d

from visavis.models.motion.features import MELS, follow_level, loudness_of
from visavis.models.motion.flow import CHANNELS, CONDITIONS, INDEX_OF, LIMIT, MOODS, RATE

Array = NDArray[np.float32]
_HOPS = 100 // RATE  # feature hops per tick
_SILENT_ENERGY = float(np.log(1e-9))


@dataclass(frozen=True)
class Mood:
    """How a mood moves.

    Attributes:
        size: factor of head motion.
        nods: probability of a nod on an accent.
        brows: probability that the brows go up on an accent.
        smile_rest, smile_talk: mean smile in units (0.12 of the coefficient).
        frown: mean of browDown in units.
        smiles: spontaneous smiles per second.
        lean: towards the viewer, degrees.
    """

    size: float = 1.0
    nods: float = 0.40
    brows: float = 0.28
    smile_rest: float = 0.7
    smile_talk: float = 0.35
    frown: float = 0.0
    smiles: float = 0.015
    lean: float = 0.3


_MOODS = {
    "neutral": Mood(1.15),
    "warm": Mood(1.1, 0.50, 0.34, 1.9, 1.3, 0.0, 0.04, 0.7),
    "serious": Mood(0.65, 0.30, 0.14, 0.0, 0.0, 0.7, 0.0, 0.1),
    "lively": Mood(2.2, 0.55, 0.45, 1.3, 1.0, 0.0, 0.06, 0.9),
}
# Sigma of posture while a neutral person talks, in units (2, 3 and 1.5 degrees, ...).
_POSTURE = np.zeros(CHANNELS, np.float32)
for _name, _sigma in (
    ("headPitch", 0.60), ("headYaw", 0.80), ("headRoll", 0.70), ("headX", 0.45), ("headY", 0.4),
    ("headZ", 0.6), ("torsoLean", 0.6), ("torsoSway", 0.7), ("browInnerUp", 0.10),
    ("mouthSmileLeft", 0.10), ("mouthSmileRight", 0.10),
):  # fmt: skip
    _POSTURE[INDEX_OF[_name]] = _sigma


class SpeechBank:
    """Loudness, voicing, voice and jaw of the corpus' utterances at 100 Hz.

    Raises:
        FileNotFoundError: the folder holds no shard.
    """

    def __init__(self, folder: Path, shards: int = 4) -> None:
        paths = sorted(folder.glob("shard-????.npz"))[:shards]
        if not paths:
            raise FileNotFoundError(f"There are no shards in {folder}.")
        self._said: list[tuple[Array, Array, Array, Array]] = []
        for path in paths:
            with np.load(path, allow_pickle=False) as data:
                raw = data["raw"][:, MELS : MELS + 2].astype(np.float32)
                voice = (data["phone"] > 0).astype(np.float32)
                jaw = data["channels"][:, 0].astype(np.float32)
                at = 0
                for count, name in zip(data["hops"], data["voice"], strict=True):
                    part = slice(at, at + int(count))
                    at += int(count)
                    if str(name) != "negative":
                        self._said.append((raw[part, 0], raw[part, 1], voice[part], jaw[part]))

    def pick(self, rng: np.random.Generator) -> tuple[Array, Array, Array, Array]:
        """Return energy, voicing, voice and jaw of a random utterance."""
        return self._said[int(rng.integers(len(self._said)))]


def conversations(
    bank: SpeechBank, rng: np.random.Generator, batch: int, seconds: float
) -> tuple[Array, Array]:
    """Return what both sides do: own ``(batch, ticks, 4)`` and heard ``(batch, ticks, 2)``.

    Own: voice, loudness, loudness ahead, jaw. Heard: loudness, voicing. Turns alternate with
    pauses; in some conversations one side never speaks, and in some nobody does.
    """
    hops = int(seconds * 100)
    energy = np.full((2, batch, hops), _SILENT_ENERGY, np.float32)
    voicing = np.full((2, batch, hops), 0.2, np.float32)
    voice = np.zeros((batch, hops), np.float32)
    jaw = np.zeros((batch, hops), np.float32)
    for row in range(batch):
        kind = rng.choice(["talk", "listen", "both", "idle"], p=[0.35, 0.15, 0.42, 0.08])
        at, side = int(rng.integers(0, 200)), int(rng.integers(2))
        while at < hops and kind != "idle":
            side = {"talk": 0, "listen": 1}.get(kind, side)
            for _ in range(int(rng.integers(1, 5))):
                said = bank.pick(rng)
                count = min(len(said[0]), hops - at)
                if count <= 0:
                    break
                energy[side, row, at : at + count] = said[0][:count]
                voicing[side, row, at : at + count] = said[1][:count]
                if side == 0:
                    voice[row, at : at + count] = said[2][:count]
                    jaw[row, at : at + count] = said[3][:count]
                at += count
            at += int(rng.exponential(120)) + 20
            side = 1 - side
    relative = [e - follow_level(e)[0] for e in energy]
    loud, heard = loudness_of(relative[0]), loudness_of(relative[1])
    ahead_hops = int(rng.choice([0, 4, 8]))
    ahead = np.pad(loud[:, ahead_hops:], ((0, 0), (0, ahead_hops)), mode="edge")
    own = np.stack([gaussian_filter1d(voice, 2.0, axis=1), loud, ahead, jaw], axis=-1)
    other = np.stack([heard, voicing[1] * (heard > 0.15)], axis=-1)
    return ticks(own), ticks(other)


def ticks(hops: Array) -> Array:
    """Average ``(batch, hops, n)`` at 100 Hz to ticks."""
    count = hops.shape[1] // _HOPS
    shaped = hops[:, : count * _HOPS].reshape(len(hops), count, _HOPS, -1)
    return np.asarray(shaped.mean(axis=2), np.float32)


@dataclass(frozen=True)
class Cues:
    """What happens when, ``(batch, ticks)`` each.

    Attributes:
        talking: smoothed own voice, 0-1.
        listening: smoothed voice of the other while we are quiet, 0-1.
        accent: a prominent syllable of ours begins to peak.
        onset, offset: our phrase begins, ends.
        heard_accent, heard_end: the same of the other.
        rhythm: own loudness less its mean over two seconds.
    """

    talking: Array
    listening: Array
    accent: NDArray[np.bool_]
    onset: NDArray[np.bool_]
    offset: NDArray[np.bool_]
    heard_accent: NDArray[np.bool_]
    heard_end: NDArray[np.bool_]
    rhythm: Array


def cues(own: Array, heard: Array) -> Cues:
    """Find accents and phrase boundaries in both sides' tracks."""
    voice, loud, jaw = own[..., 0], own[..., 1], own[..., 3]
    other = gaussian_filter1d((heard[..., 0] > 0.35).astype(np.float32), 3.0, axis=1)
    talking = gaussian_filter1d(voice, 6.0, axis=1)
    speaking = maximum_filter1d((voice > 0.5).astype(np.float32), 7, axis=1) > 0
    hearing = maximum_filter1d((other > 0.5).astype(np.float32), 9, axis=1) > 0
    force = voice * loud * (0.3 + jaw)
    rhythm = np.where(speaking, loud - gaussian_filter1d(loud, 25, axis=1), 0.0)
    onset, offset = _edges(speaking)
    _, heard_end = _edges(hearing)
    return Cues(
        talking,
        gaussian_filter1d(hearing & ~speaking, 6.0, axis=1, output=np.float32),
        _peaks(force) & speaking,
        onset,
        offset,
        _peaks(heard[..., 0] * (0.3 + heard[..., 1])) & hearing & ~speaking,
        heard_end & ~speaking,
        gaussian_filter1d(rhythm, 1.5, axis=1),
    )


def _edges(on: NDArray[np.bool_]) -> tuple[NDArray[np.bool_], NDArray[np.bool_]]:
    step = np.diff(on.astype(np.int8), axis=1, prepend=0)
    return step > 0, step < 0


def _peaks(force: Array) -> NDArray[np.bool_]:
    """Mark prominent maxima, two ticks early: a nod is under way when the syllable peaks."""
    smooth = gaussian_filter1d(force, 1.5, axis=1)
    level = gaussian_filter1d(force, 30.0, axis=1)
    peak = (smooth == maximum_filter1d(smooth, 17, axis=1)) & (smooth > 1.3 * level + 0.02)
    peak &= np.diff(smooth, axis=1, prepend=0) > 0  # a plateau counts once
    return np.concatenate([peak[:, 2:], np.zeros((len(peak), 2), bool)], axis=1)


class _Events:
    """Commands that are scheduled into the future, ``(batch, ticks + room, CHANNELS)``."""

    def __init__(self, batch: int, count: int) -> None:
        self.plan = np.zeros((batch, count + 200, CHANNELS), np.float32)

    def hold(
        self, rows: NDArray[np.intp], start: NDArray[np.intp], length: NDArray[np.intp],
        channel: str, size: Array,
    ) -> None:  # fmt: skip
        """Add a held command of its own length per row, eased in and out over two ticks."""
        for row, first, count, amount in zip(rows, start, length, size, strict=True):
            ramp = np.minimum(np.arange(1, count + 1), np.arange(count, 0, -1)) / 2.0
            self.plan[row, first : first + count, INDEX_OF[channel]] += amount * np.minimum(ramp, 1)


def commands(
    found: Cues, mood: NDArray[np.intp], style: Array, rng: np.random.Generator
) -> Array:  # fmt: skip
    """Draw the commands of a batch of conversations.

    Args:
        found: cues of both sides.
        mood: ``(batch,)`` index into ``MOODS``.
        style: ``(batch,)`` 0-2.
        rng: decides everything.

    Returns:
        ``(batch, ticks, CHANNELS)`` in units.
    """
    batch, count = found.talking.shape
    moods = [_MOODS[MOODS[int(m)]] for m in mood]
    events = _Events(batch, count)
    _talk_events(events, found, moods, style, rng)
    _listen_events(events, found, moods, rng)
    _smile_events(events, found, moods, rng)
    size = np.array([m.size for m in moods], np.float32)[:, None]
    out = events.plan[:, :count]
    out += _posture(found, size, style, rng)
    out[..., INDEX_OF["headPitch"]] += (
        rng.normal(0.9, 0.4, (batch, 1)).astype(np.float32) * size * found.rhythm
    )
    _means(out, found, moods, rng)
    out *= (0.08 + 0.92 * style)[:, None, None]
    return np.clip(out, -LIMIT, LIMIT)


def _where(mask: NDArray[np.bool_], chance: Array, rng: np.random.Generator) -> tuple[
    NDArray[np.intp], NDArray[np.intp]
]:  # fmt: skip
    """Return rows and ticks of the cues that are taken, each with its row's probability."""
    taken = mask & (rng.random(mask.shape) < chance[:, None])
    rows, at = np.nonzero(taken)
    return rows, at


def _draw(rng: np.random.Generator, low: int, high: int, count: int) -> NDArray[np.intp]:
    return np.asarray(rng.integers(low, high + 1, count), np.intp)


def _talk_events(
    events: _Events, found: Cues, moods: list[Mood], style: Array, rng: np.random.Generator
) -> None:
    """Nods and raised brows on accents, brows at phrase onsets, a rare shrug."""
    eager = 0.6 + 0.4 * np.minimum(style, 1.5)
    sizes = np.array([m.size for m in moods], np.float32)
    rows, at = _where(found.accent, np.array([m.nods for m in moods]) * eager, rng)
    size = rng.uniform(0.7, 2.0, len(rows)) * sizes[rows] ** 0.5
    length = _draw(rng, 4, 6, len(rows))
    events.hold(rows, at, length, "headPitch", size)
    events.hold(rows, at + length, _draw(rng, 3, 5, len(rows)), "headPitch", -0.35 * size)
    for cue, share in ((found.accent, 1.0), (found.onset, 0.9)):
        rows, at = _where(cue, share * np.array([m.brows for m in moods]) * eager, rng)
        size, length = rng.uniform(0.9, 2.4, len(rows)), _draw(rng, 6, 14, len(rows))
        skew = rng.normal(0.0, 0.12, len(rows))
        events.hold(rows, at, length, "browInnerUp", size)
        events.hold(rows, at, length, "browOuterUpLeft", size * (0.9 + skew))
        events.hold(rows, at, length, "browOuterUpRight", size * (0.9 - skew))
    rows, at = _where(found.accent, np.array([0.05 * m.size for m in moods]), rng)
    events.hold(rows, at, _draw(rng, 6, 12, len(rows)), "headRoll", rng.normal(0, 1.6, len(rows)))
    rows, at = _where(found.onset, np.array([0.05 * m.size for m in moods]), rng)
    size = rng.uniform(0.8, 2.0, len(rows))
    events.hold(rows, at, _draw(rng, 12, 22, len(rows)), "torsoShrug", size)


def _listen_events(
    events: _Events, found: Cues, moods: list[Mood], rng: np.random.Generator
) -> None:
    """Trains of nods after the other's phrases and at some of their accents; a smile, a brow."""
    sizes = np.array([m.size for m in moods], np.float32)
    for cue, chance in ((found.heard_end, 0.62), (found.heard_accent, 0.10)):
        rows, at = _where(cue, np.minimum(chance * sizes**0.5, 0.9), rng)
        at = at + _draw(rng, 2, 11, len(rows))
        period, first = _draw(rng, 9, 11, len(rows)), rng.uniform(1.2, 2.6, len(rows))
        nods = rng.choice([1, 2, 3], len(rows), p=[0.4, 0.4, 0.2])
        for n in range(3):
            more = nods > n
            size = (first * 0.75**n)[more] * sizes[rows[more]] ** 0.3
            start, half = (at + n * period)[more], period[more] // 2
            events.hold(rows[more], start, half, "headPitch", size)
            events.hold(rows[more], start + half, half, "headPitch", -0.35 * size)
        brow = rng.random(len(rows)) < 0.2
        up = rng.uniform(0.8, 1.8, int(brow.sum()))
        for name in ("browInnerUp", "browOuterUpLeft", "browOuterUpRight"):
            events.hold(rows[brow], at[brow], _draw(rng, 8, 15, len(up)), name, up)


def _smile_events(
    events: _Events, found: Cues, moods: list[Mood], rng: np.random.Generator
) -> None:
    """Smiles of a few seconds, cheeks and lids with them."""
    anywhere = np.ones(found.talking.shape, bool)
    rows, at = _where(anywhere, np.array([m.smiles / RATE for m in moods]), rng)
    size, length = rng.uniform(0.8, 1.8, len(rows)), _draw(rng, 35, 90, len(rows))
    for name, share in (
        ("mouthSmileLeft", 1.05), ("mouthSmileRight", 0.95), ("cheekSquint", 0.8),
        ("eyeSquint", 0.7),
    ):  # fmt: skip
        events.hold(rows, at, length, name, size * share)


def _posture(found: Cues, size: Array, style: Array, rng: np.random.Generator) -> Array:
    """Postures held for seconds and changed at boundaries, with slow wandering on top."""
    batch, count = found.talking.shape
    out = np.zeros((batch, count, CHANNELS), np.float32)
    held, slow = np.zeros((batch, CHANNELS)), np.zeros((batch, CHANNELS))
    keep = np.exp(-1.0 / (RATE * 0.9))
    hurry = (0.6 + 0.4 * style)[:, None]
    talking, listening = found.talking, found.listening
    rates = (0.10 + 0.35 * talking + 0.05 * listening) * hurry / RATE
    chance = rates + 0.5 * found.onset + 0.35 * found.offset
    share = 0.45 + 0.55 * talking + 0.15 * listening
    for t in range(count):
        moved = rng.random(batch) < chance[:, t]
        fresh = rng.standard_normal((batch, CHANNELS))
        _couple(fresh)
        held = np.where(moved[:, None], fresh * share[:, t, None], held)
        noise = rng.standard_normal((batch, CHANNELS))
        _couple(noise)
        slow = keep * slow + np.sqrt(1 - keep**2) * noise
        out[:, t] = (0.85 * held + 0.5 * share[:, t, None] * slow) * _POSTURE * size
    return out


def _couple(z: NDArray[np.float64]) -> None:
    """Let what moves together move together: a turn tilts and shifts the head, and so on."""
    i = INDEX_OF
    yaw, pitch = z[:, i["headYaw"]].copy(), z[:, i["headPitch"]].copy()
    z[:, i["headRoll"]] = 0.85 * z[:, i["headRoll"]] - 0.45 * yaw
    z[:, i["headX"]] = 0.75 * z[:, i["headX"]] + 0.6 * yaw
    z[:, i["headY"]] = 0.8 * z[:, i["headY"]] + 0.5 * pitch
    z[:, i["torsoSway"]] = 0.85 * z[:, i["torsoSway"]] + 0.4 * yaw
    z[:, i["headZ"]] = 0.6 * z[:, i["headZ"]] + 0.7 * z[:, i["torsoLean"]]
    z[:, i["mouthSmileRight"]] = z[:, i["mouthSmileLeft"]]


def _means(out: Array, found: Cues, moods: list[Mood], rng: np.random.Generator) -> None:
    """What a mood and a role look like on average."""
    rest = np.array([m.smile_rest for m in moods], np.float32)[:, None]
    talk = np.array([m.smile_talk for m in moods], np.float32)[:, None]
    lean = np.array([m.lean for m in moods], np.float32)[:, None]
    frown = np.array([m.frown for m in moods], np.float32)[:, None]
    talking, listening = found.talking, found.listening
    smile = rest + (talk - rest) * talking
    for name, share in (
        ("mouthSmileLeft", 1.05), ("mouthSmileRight", 0.95), ("cheekSquint", 0.6),
        ("eyeSquint", 0.5),
    ):  # fmt: skip
        out[..., INDEX_OF[name]] += share * smile
    for name in ("browDownLeft", "browDownRight"):
        out[..., INDEX_OF[name]] += frown * (0.7 + 0.3 * talking)
    out[..., INDEX_OF["torsoLean"]] += lean * talking + 0.7 * listening
    out[..., INDEX_OF["headZ"]] += 0.4 * lean * talking + 0.4 * listening
    side = np.where(rng.random((len(moods), 1)) < 0.5, -1.0, 1.0)
    out[..., INDEX_OF["headRoll"]] += 0.35 * side * listening


def episode(
    bank: SpeechBank, rng: np.random.Generator, batch: int, seconds: float
) -> tuple[Array, Array]:
    """Return conditions and commands, ``(batch, ticks, CONDITIONS)`` and ``(…, CHANNELS)``."""
    own, heard = conversations(bank, rng, batch, seconds)
    mood = rng.integers(0, len(MOODS), batch)
    style = np.clip(rng.choice([rng.uniform(0, 2, batch), np.ones(batch)]), 0, 2)
    style = np.asarray(style, np.float32)
    given = np.zeros((*own.shape[:2], CONDITIONS), np.float32)
    given[..., :4], given[..., 4:6] = own, heard
    given[np.arange(batch), :, 6 + mood] = 1.0
    given[..., -1] = style[:, None]
    return given, commands(cues(own, heard), mood, style, rng)
