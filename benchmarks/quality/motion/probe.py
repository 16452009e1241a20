"""How much of what was said can be read off the curves: a linear probe for visemes.

Multinomial logistic regression on the curves of a hop and of two hops on either side of it, 50 ms
apart; trained and tested on different recordings. The share of audible hops that it names right
says how much the curves tell apart, whatever shapes they use for it.
"""

from __future__ import annotations

from collections.abc import Sequence

import numpy as np
from numpy.typing import NDArray
from scipy.optimize import minimize

Floats = NDArray[np.float64]

# ARPAbet and class names to fifteen visemes (the usual Oculus set).
_GROUPS: dict[str, str] = {
    "PP": "P B M BH", "FF": "F V", "TH": "TH DH", "DD": "T D", "kk": "K G NG X Q HH",
    "CH": "CH JH SH ZH", "SS": "S Z", "nn": "N L NY", "RR": "R ER RR",
    "aa": "AA AE AH AW AY", "E": "EH EY EE AX", "ih": "IH IY IX Y", "oh": "AO OW OY OO OE",
    "ou": "UW UH W YY",
}  # fmt: skip
VISEMES: tuple[str, ...] = ("sil", *_GROUPS)
VISEME_OF = {
    phone: VISEMES.index(viseme) for viseme, phones in _GROUPS.items() for phone in phones.split()
}
_AROUND = (-10, -5, 0, 5, 10)  # hops
_RIDGE = 1e-4
FOLDS = 4


def visemes(labels: Sequence[tuple[float, float, str]], hops: int) -> NDArray[np.int64]:
    """Return the viseme of each 10 ms hop; silence where nothing is said."""
    out = np.zeros(hops, np.int64)
    for start, end, name in labels:
        out[round(start * 100) : round(end * 100)] = VISEME_OF.get(name, 0)
    return out


def surrounded(curves: NDArray[np.floating]) -> Floats:
    """Return ``(hops, channels * 5)``: each hop with what is 50 and 100 ms around it."""
    places = np.clip(np.arange(len(curves))[:, None] + np.array(_AROUND), 0, len(curves) - 1)
    return np.asarray(curves, float)[places].reshape(len(curves), -1)


def accuracy(
    curves: Sequence[NDArray[np.floating]], said: Sequence[NDArray[np.int64]], most: int = 12_000
) -> float:
    """Return the share of spoken hops whose viseme a probe names right.

    Args:
        curves: ``(hops, channels)`` per recording.
        said: ``(hops,)`` visemes per recording; silence is not scored.
        most: about so many hops are used, evenly spread.
    """
    stride = max(2, round(sum(len(v) for v in said) / most))
    inputs = [surrounded(c)[::stride] for c in curves]
    wanted = [v[::stride] for v in said]
    fold = np.concatenate([np.full(len(v), i % FOLDS) for i, v in enumerate(wanted)])
    x, y = np.concatenate(inputs), np.concatenate(wanted)
    spoken = y > 0
    x, y, fold = x[spoken], y[spoken], fold[spoken]
    if len(y) < 100:
        return float("nan")
    right = 0
    for k in range(FOLDS):
        train = fold != k
        mean, scale = x[train].mean(0), x[train].std(0) + 1e-6
        weights = _fit((x[train] - mean) / scale, y[train])
        right += int((_scores((x[~train] - mean) / scale, weights).argmax(1) == y[~train]).sum())
    return right / len(y)


def _scores(x: Floats, weights: Floats) -> Floats:
    return np.asarray(x @ weights[:-1] + weights[-1])


def _fit(x: Floats, y: NDArray[np.int64]) -> Floats:
    """Return ``(features + 1, visemes)`` of a multinomial logistic regression."""
    shape = (x.shape[1] + 1, len(VISEMES))
    target = np.eye(len(VISEMES))[y]

    def loss(flat: Floats) -> tuple[float, Floats]:
        weights = flat.reshape(shape)
        scores = _scores(x, weights)
        scores -= scores.max(1, keepdims=True)
        odds = np.exp(scores)
        odds /= odds.sum(1, keepdims=True)
        error = (odds - target) / len(y)
        cost = -np.log(np.maximum(odds[np.arange(len(y)), y], 1e-12)).mean()
        slope = np.vstack([x.T @ error, error.sum(0)]) + _RIDGE * weights
        return float(cost + 0.5 * _RIDGE * np.sum(weights**2)), slope.ravel()

    start = np.zeros(shape).ravel()
    found = minimize(loss, start, jac=True, method="L-BFGS-B", options={"maxiter": 60})
    return np.asarray(found.x).reshape(shape)
