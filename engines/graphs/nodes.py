"""The nodes of a graph: exchanged, and named so that others find them again."""

from __future__ import annotations

import onnx
from onnx import ModelProto, NodeProto

UNROLLED = "unrolled_gru"  # what nodes of an unrolled recurrence are called


def with_nodes(model: ModelProto, nodes: list[NodeProto]) -> ModelProto:
    """Replace the nodes and drop weights that nothing uses any more."""
    copies = [NodeProto() for _ in nodes]
    for copy, node in zip(copies, nodes, strict=True):
        copy.CopyFrom(node)
    del model.graph.node[:]
    model.graph.node.extend(copies)
    used = {name for node in copies for name in node.input} | {o.name for o in model.graph.output}
    kept = [w for w in model.graph.initializer if w.name in used]
    del model.graph.initializer[:]
    model.graph.initializer.extend(kept)
    del model.graph.value_info[:]
    return onnx.shape_inference.infer_shapes(model)
