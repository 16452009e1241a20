"""Read a trained network's weights back from its graph, to train on from what ships."""

from __future__ import annotations

from pathlib import Path

import numpy as np
from numpy.typing import NDArray

from visavis.models.motion.layout import LOOK_AHEADS_MS, OUTPUTS

_GRU = ("weight_ih", "weight_hh", "bias_ih", "bias_hh")


def weights_of(graph: Path) -> dict[str, NDArray[np.float32]]:
    """Return the weights in a graph that ``network.export_onnx`` wrote, named as ``MotionNet``'s.

    ONNX has a GRU's gates in the order update, reset, new; torch begins with reset.

    Raises:
        ValueError: the graph is another.
    """
    import onnx
    from onnx import numpy_helper

    model = onnx.load(str(graph)).graph
    kept = {i.name: numpy_helper.to_array(i) for i in model.initializer}
    found = {k.removeprefix("net."): v for k, v in kept.items() if k.startswith("net.")}
    for node in (n for n in model.node if n.op_type == "GRU"):
        layer = node.name.split("/")[2]
        weights = (kept[node.input[1]][0], kept[node.input[2]][0])
        for name, value in zip(_GRU, (*weights, *np.split(kept[node.input[3]][0], 2)), strict=True):
            update, reset, new = np.split(value, 3)
            found[f"{layer}.{name}_l0"] = np.concatenate([reset, update, new])
    columns = len(LOOK_AHEADS_MS) * OUTPUTS
    factors = [kept[i] for n in model.node if n.op_type == "MatMul" for i in n.input if i in kept]
    heads = [m for m in factors if m.shape[1] == columns]
    if len(heads) != 1 or "head.bias" not in found:
        raise ValueError(f"{graph} is no motion graph that was exported here.")
    found["head.weight"] = heads[0].T
    return {k: np.array(v, np.float32) for k, v in found.items()}
