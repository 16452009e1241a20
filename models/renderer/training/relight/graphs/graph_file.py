"""Write a module as ONNX and compare what both answer."""

from __future__ import annotations

from collections.abc import Mapping, Sequence
from pathlib import Path

import numpy as np
import torch
from torch import Tensor, nn

OPSET = 17


def write_graph(
    module: nn.Module, inputs: Mapping[str, Tensor], outputs: Sequence[str], path: Path
) -> float:
    """Write a graph whose batch is free and everything else fixed.

    Args:
        module: takes the inputs in their order.
        inputs: by name, any values of the right shapes; batch first.
        outputs: names of what it returns.
        path: of the file.

    Returns:
        The largest difference between torch and ONNX Runtime on these inputs.
    """
    import onnxruntime

    path.parent.mkdir(parents=True, exist_ok=True)
    torch.onnx.export(
        module, tuple(inputs.values()), str(path), input_names=list(inputs),
        output_names=list(outputs), dynamic_axes={n: {0: "batch"} for n in (*inputs, *outputs)},
        opset_version=OPSET, dynamo=False,
    )  # fmt: skip
    session = onnxruntime.InferenceSession(str(path), providers=["CPUExecutionProvider"])
    found = session.run(list(outputs), {n: v.numpy() for n, v in inputs.items()})
    with torch.no_grad():
        ours = module(*inputs.values())
    wanted = [ours] if isinstance(ours, Tensor) else ours
    return max(float(np.abs(a - b.numpy()).max()) for a, b in zip(found, wanted, strict=True))


def some(*shape: int, low: float = -1.0, high: float = 1.0) -> Tensor:
    """Return seeded noise of a shape."""
    generator = torch.Generator().manual_seed(0)
    return low + (high - low) * torch.rand(*shape, generator=generator)
