"""When each phone was said, where a synthesiser tells only what was said.

A trained network's own phone probabilities are walked through in the known order (Viterbi, every
phone at least ``LEAST_HOPS`` long, silences may be left out). The order comes from another
synthesiser that reads the same words. Utterances that do not fit are dropped, so a voice that
reads a number differently teaches nothing wrong.
"""

from __future__ import annotations

from collections.abc import Mapping, Sequence
from pathlib import Path

import numpy as np
import onnxruntime
from numpy.typing import NDArray

from visavis.models.motion.curves import RATE
from visavis.models.motion.features import HOP
from visavis.models.motion.phones import CLASS_INDEX, Phone
from visavis.models.motion.predictor import Graph, MotionPredictor

LEAST_HOPS = 2
LEAST_FIT = -1.9  # mean log probability of the best path below which an utterance is dropped
_LOOK_AHEAD_MS = 120
_NEVER = -1e9


class Timer:
    """An exported motion graph on one thread, for generating and nothing else."""

    def __init__(self, path: Path) -> None:
        options = onnxruntime.SessionOptions()
        options.intra_op_num_threads = 1
        self._session = onnxruntime.InferenceSession(
            str(path), options, providers=["CPUExecutionProvider"]
        )
        self._names = [o.name for o in self._session.get_outputs()]

    def run(self, inputs: Mapping[str, NDArray[np.generic]]) -> dict[str, NDArray[np.generic]]:
        """Run the graph once."""
        return dict(zip(self._names, self._session.run(None, dict(inputs)), strict=True))


def probabilities(graph: Graph, pcm: NDArray[np.float32]) -> NDArray[np.float32]:
    """Return the log probability of every class at every hop, ``(hops, CLASSES)``."""
    lag = _LOOK_AHEAD_MS // 10
    padded = np.concatenate([pcm, np.zeros(lag * HOP + (-len(pcm)) % HOP, np.float32)])
    predictor = MotionPredictor(graph)
    got = predictor.step(padded[None], predictor.init_state(1), _LOOK_AHEAD_MS)
    return np.log(got.phones[0, lag:] + 1e-4).astype(np.float32)


def align(
    log_probabilities: NDArray[np.float32], names: Sequence[str]
) -> tuple[tuple[Phone, ...], float]:
    """Find the times of known classes.

    Args:
        log_probabilities: ``(hops, CLASSES)``.
        names: classes in order; ``SIL`` may be skipped, and is put at both ends if missing.

    Returns:
        The phones, and the mean log probability of the path without its silences.

    Raises:
        ValueError: the sound is shorter than its phones.
    """
    order = _with_silent_ends(names)
    index = np.array([CLASS_INDEX[n] for n in order])
    least = [1 if n == "SIL" else LEAST_HOPS for n in order]
    owner = np.repeat(np.arange(len(order)), least)  # state -> phone
    first = np.flatnonzero(np.diff(owner, prepend=-1) > 0)
    last = np.flatnonzero(np.diff(owner, append=len(order)) > 0)
    states, hops = len(owner), len(log_probabilities)
    if hops < states:
        raise ValueError("The sound is too short for its phones.")
    score = log_probabilities[:, index[owner]].astype(np.float64)
    is_last = np.zeros(states, bool)
    is_last[last] = True
    skips = [(last[i - 1], first[i + 1]) for i in range(1, len(order) - 1) if order[i] == "SIL"]
    best = np.full(states, _NEVER)
    best[first[0]] = score[0, first[0]]
    came = np.zeros((hops, states), np.int32)
    for hop in range(1, hops):
        stay = np.where(is_last, best, _NEVER)
        move = np.concatenate([[_NEVER], best[:-1]])
        source = np.where(stay >= move, np.arange(states), np.arange(states) - 1)
        value = np.maximum(stay, move)
        for start, end in skips:
            if best[start] > value[end]:
                value[end], source[end] = best[start], start
        best = value + score[hop]
        came[hop] = source
    return _traced(came, owner, order, log_probabilities, index)


def _traced(
    came: NDArray[np.int32],
    owner: NDArray[np.int64],
    order: Sequence[str],
    log_probabilities: NDArray[np.float32],
    index: NDArray[np.int64],
) -> tuple[tuple[Phone, ...], float]:
    """Follow the best path back from the last state."""
    hops = len(came)
    path = np.zeros(hops, np.int64)
    state = came.shape[1] - 1
    for hop in range(hops - 1, -1, -1):
        path[hop] = owner[state]
        state = int(came[hop, state])
    edges = np.flatnonzero(np.diff(path, prepend=-1) != 0)
    ends = np.append(edges[1:], hops)
    phones = tuple(
        Phone(a / RATE, b / RATE, order[path[a]]) for a, b in zip(edges, ends, strict=True)
    )
    voiced = np.array([order[p] != "SIL" for p in path])
    fits = log_probabilities[np.arange(hops), index[path]]
    return phones, float(fits[voiced].mean()) if voiced.any() else _NEVER


def _with_silent_ends(names: Sequence[str]) -> list[str]:
    kept = [n for i, n in enumerate(names) if n != "SIL" or i == 0 or names[i - 1] != "SIL"]
    if not kept or kept[0] != "SIL":
        kept.insert(0, "SIL")
    if kept[-1] != "SIL" or len(kept) == 1:
        kept.append("SIL")
    return kept
