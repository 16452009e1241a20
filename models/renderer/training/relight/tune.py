"""Tuning the shade's last layers on one person's own photo; an experiment, see the README.

A photo with open lips is a truth of its own: closed and opened again by our renderer (see
``portraits``), it says how light it is in this person's mouth. A photo with closed lips says
nothing.
"""

from __future__ import annotations

import copy
from pathlib import Path

import numpy as np
import torch

from visavis.models.renderer.training.relight.data import PairSet, assemble
from visavis.models.renderer.training.relight.losses import charbonnier, coarse
from visavis.models.renderer.training.relight.pairs import Pair, arrays_of
from visavis.models.renderer.training.relight.shade_network import ShadeNetwork, shaded

LAYERS = ("head", "fine_out")  # what learns
_WINDOW = (48, 72)  # rows, columns of a cut
_BATCH = 8


def load_shade(graph: Path) -> ShadeNetwork:
    """Read the network back from its graph, in which its weights keep their names.

    Raises:
        RuntimeError: the graph is another.
    """
    import onnx
    from onnx import numpy_helper

    kept = onnx.load(str(graph)).graph.initializer
    network = ShadeNetwork()
    weights = {i.name: torch.from_numpy(numpy_helper.to_array(i).copy()) for i in kept}
    network.load_state_dict({k: v for k, v in weights.items() if k in network.state_dict()})
    return network.eval()


def tuned(
    network: ShadeNetwork, pairs: list[Pair], steps: int, rng: np.random.Generator,
    rate: float = 5e-4,
) -> ShadeNetwork:  # fmt: skip
    """Return a copy whose last layers have learned from one person's pairs.

    Args:
        network: what ships.
        pairs: of one photo.
        steps: of AdamW, each on eight cuts.
        rng: chooses the cuts and changes their colours.
        rate: of learning; it falls to nothing.
    """
    mine = copy.deepcopy(network)
    learning = [p for n, p in mine.named_parameters() if n.split(".")[0] in LAYERS]
    optimiser = torch.optim.AdamW(learning, lr=rate, weight_decay=1e-3)
    own = PairSet(arrays_of(pairs), "mouth")
    for step in range(steps):
        for group in optimiser.param_groups:
            group["lr"] = rate * (1 - step / steps)
        batch = assemble(own, rng.integers(0, len(own), _BATCH), rng, _WINDOW)
        picture = shaded(mine, batch.x)
        near = charbonnier(picture, batch.target, batch.weight)
        loss = near + 0.5 * coarse(picture, batch.target, batch.weight)
        optimiser.zero_grad()
        loss.backward()
        optimiser.step()
    return mine
