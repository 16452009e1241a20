"""Does an engine compute what ONNX Runtime computes on the CPU?

The same seeded inputs run through both, each feeding its own states back, so a difference that
grows from step to step is found as well as one of a single step.
"""

from __future__ import annotations

from collections.abc import Mapping, Sequence
from dataclasses import dataclass

import numpy as np
from numpy.typing import NDArray

from visavis.engines.base import Engine, EngineError
from visavis.engines.graphs.export import BATCH, Signature
from visavis.engines.graphs.samples import Samples


@dataclass(frozen=True)
class Tolerance:
    """How far an output may be off, relative to the largest value the reference has there.

    Attributes:
        rms: root of the mean squared difference.
        peak: largest difference.
    """

    rms: float
    peak: float


TOLERANCES: Mapping[str, Tolerance] = {
    # Tensor cores round float32 products to 10 bits (TF32) unless told otherwise.
    "fp32": Tolerance(rms=5e-4, peak=5e-3),
    "fp16": Tolerance(rms=2e-3, peak=1.5e-2),
}


@dataclass(frozen=True)
class Parity:
    """What a comparison found.

    Attributes:
        rms: worst root mean squared difference of all outputs, relative.
        peak: worst difference, relative.
        output: name of the output with the worst peak.
        tolerance: what was allowed.
    """

    rms: float
    peak: float
    output: str
    tolerance: Tolerance

    @property
    def passed(self) -> bool:
        """Return whether the engine may be used; a NaN never passes."""
        return self.rms <= self.tolerance.rms and self.peak <= self.tolerance.peak

    def __str__(self) -> str:
        """Return the numbers in one clause."""
        return (
            f"RMS {self.rms:.1e} (allowed {self.tolerance.rms:.0e}), peak {self.peak:.1e} "
            f"(allowed {self.tolerance.peak:.1e}) at {self.output}"
        )


class ParityError(EngineError):
    """An engine computes something else than the reference."""


def compare(
    candidate: Engine,
    reference: Engine,
    signature: Signature,
    *,
    precision: str = "fp32",
    batches: Sequence[int] = (1, 3),
    steps: int = 8,
    seed: int = 0,
    ranges: Mapping[str, tuple[float, float]] | None = None,
) -> Parity:
    """Run both on the same inputs and return how far they are apart.

    Args:
        candidate: the engine to judge.
        reference: ONNX Runtime on the CPU with the shipped graph.
        signature: of the shipped graph.
        precision: of the candidate, which sets the tolerance.
        batches: numbers of slots; 3 fits no bucket, so padding is looked at too. A graph of one
            fixed batch is run at that.
        steps: consecutive steps per batch.
        seed: of the inputs.
        ranges: see :class:`visavis.engines.graphs.samples.Samples`.

    Raises:
        EngineError: one of them cannot run.
    """
    rms, peak, worst = 0.0, 0.0, "every output"
    if BATCH not in signature.free:
        batches = [signature.inputs[0].concrete({})[0]]
    for batch in batches:
        samples = Samples(signature, batch, seed=seed, ranges=ranges)
        held: dict[str, list[NDArray[np.generic]]] = {}
        states: list[dict[str, NDArray[np.generic]]] = [{}, {}]
        for _, step in zip(range(steps), samples, strict=False):
            wanted = reference.run({**step, **states[0]})
            got = candidate.run({**step, **states[1]})
            for i, out in enumerate((wanted, got)):
                states[i] = {name: out[f"{name}_out"] for name in samples.states}
            for name, value in wanted.items():
                held.setdefault(name, []).append(np.stack([value, got[name]]))
        for name, pairs in held.items():
            here = _relative(np.stack(pairs))
            rms = _worse(rms, here[0])
            if not here[1] <= peak:
                peak, worst = _worse(peak, here[1]), name
    return Parity(rms, peak, worst, TOLERANCES[precision])


def require(parity: Parity, engine: Engine, graph: str) -> None:
    """Refuse an engine that is too far off.

    Raises:
        ParityError: with the numbers.
    """
    if not parity.passed:
        raise ParityError(
            f"{engine.provider} is not used for {graph}: it differs from the CPU by {parity}."
        )


def _relative(pairs: NDArray[np.generic]) -> tuple[float, float]:
    """Return RMS and peak of (steps, 2, ...), relative to the reference's largest value."""
    wanted = np.asarray(pairs[:, 0], np.float64)
    difference = np.asarray(pairs[:, 1], np.float64) - wanted
    scale = max(float(np.abs(wanted).max()), 1e-6)
    return float(np.sqrt(np.mean(difference**2))) / scale, float(np.abs(difference).max()) / scale


def _worse(a: float, b: float) -> float:
    """Return the larger; NaN is worst."""
    return b if np.isnan(b) else max(a, b)
