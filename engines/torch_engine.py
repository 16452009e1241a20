"""A shipped graph on torch: one CUDA graph per batch size on fixed buffers, or eagerly on the CPU.

For GPUs that neither TensorRT nor ONNX Runtime's CUDA provider serves but torch does.
"""

# Types are checked in part: torch: without types for most operators.
# pyright: basic, reportMissingImports=false, reportOptionalMemberAccess=false
from __future__ import annotations

import threading
from collections.abc import Mapping, Sequence
from dataclasses import dataclass
from pathlib import Path
from typing import Any, Literal

import numpy as np
import onnx
import torch
from numpy.typing import NDArray
from onnx import helper, numpy_helper
from torch import Tensor

from visavis.engines.base import EngineError, InputError, OutOfMemory, Tensors
from visavis.engines.graphs.export import BATCH, BUCKETS, Signature, prepare, read, signature_of
from visavis.engines.graphs.samples import DIMS
from visavis.engines.torch_ops import HOST_INPUTS, OPS

_WARM_RUNS = 3  # libraries choose their kernels in the first ones, which cannot be recorded
_recording = threading.Lock()  # torch empties its cache to record, and never while it records


@dataclass(frozen=True)
class _Step:
    """One node, ready to be called."""

    run: Any
    attributes: Mapping[str, Any]
    inputs: tuple[str, ...]
    outputs: tuple[str, ...]


@dataclass
class _Recorded:
    """A CUDA graph of one batch size with the tensors it reads and writes."""

    graph: Any
    inputs: dict[str, Tensor]
    outputs: dict[str, Tensor]


class TorchEngine:
    """One graph on torch.

    Args:
        graph: the shipped ``.onnx``.
        device: ``"cuda"`` or ``"cpu"``; CUDA if there is one, by default. On ``"meta"`` tensors
            have shapes but no values: nothing runs, see ``shapes``.
        buckets: batch sizes that get a CUDA graph; others are padded.
        threads: of torch on the CPU, for the whole process.

    Raises:
        EngineError: an operator is not known, or the device cannot be used.
    """

    def __init__(
        self,
        graph: Path,
        *,
        device: Literal["cuda", "cpu", "meta"] | None = None,
        buckets: tuple[int, ...] = BUCKETS,
        threads: int = 1,
    ) -> None:
        wanted = device or ("cuda" if torch.cuda.is_available() else "cpu")
        if wanted == "cuda" and not torch.cuda.is_available():
            raise EngineError("This PyTorch finds no CUDA.")
        self.provider = f"torch {wanted if wanted == 'meta' else wanted.upper()}"
        if wanted == "cpu":
            torch.set_num_threads(threads)
        self._name = graph.name
        self._device = torch.device(wanted)
        model = prepare(read(graph), DIMS)
        self._signature: Signature | None = signature_of(model)
        self._batched = {
            t.name for t in (*self._signature.inputs, *self._signature.outputs)
            if t.shape and t.shape[0] == BATCH
        }  # fmt: skip
        self._buckets = buckets if self._batched else ()
        nodes = [n for n in model.graph.node if n.op_type != "Constant"]
        self._weights = self._place(_weights(model), _read_on_host(nodes))
        self._steps = [_step(node, self._device) for node in nodes]
        self._recorded: dict[int, _Recorded] = {}
        self._lock = threading.Lock()  # the buffers are one step's

    def warm_up(self) -> None:
        """Run once on zeros; on CUDA, record every batch size."""
        for batch in self._buckets if self._device.type == "cuda" else (1,):
            self.run(self._zeros(batch))

    def shapes(self, batch: int) -> dict[str, tuple[int, ...]]:
        """Return the shapes of the outputs for a batch.

        On the device ``meta`` a step that reads a value raises; what reads none can be recorded as
        a CUDA graph.
        """
        with torch.inference_mode():
            zeros = {n: torch.from_numpy(v).to(self._device) for n, v in self._zeros(batch).items()}
            return {n: tuple(v.shape) for n, v in self._forward(zeros).items()}

    def run(self, inputs: Tensors) -> dict[str, NDArray[np.generic]]:
        """Run the graph; on CUDA a batch is padded to the next size that was recorded."""
        batch = self._check(inputs)
        try:
            if self._device.type == "cpu":
                with torch.inference_mode():
                    out = self._forward(_tensors(inputs))
                    return {n: v.numpy().copy() for n, v in out.items()}
            with self._lock:
                return self._run_recorded(inputs, batch)
        except torch.OutOfMemoryError as error:
            raise OutOfMemory("The GPU is out of memory.") from error
        except RuntimeError as error:  # what CUDA and torch raise
            reason = str(error).splitlines()[0].rstrip(".")
            raise EngineError(f"torch failed to run {self._name}: {reason}.") from error

    def close(self) -> None:
        """Drop weights, buffers and CUDA graphs."""
        self._recorded.clear()
        self._weights.clear()
        self._signature = None
        if self._device.type == "cuda":
            with _recording:
                torch.cuda.empty_cache()

    def _run_recorded(self, inputs: Tensors, batch: int) -> dict[str, NDArray[np.generic]]:
        largest = max(self._buckets, default=batch)
        if self._batched and batch > largest:
            first = {n: v[:largest] if n in self._batched else v for n, v in inputs.items()}
            rest = {n: v[largest:] if n in self._batched else v for n, v in inputs.items()}
            one = self._run_recorded(first, largest)
            two = self._run_recorded(rest, batch - largest)
            return {
                n: np.concatenate([one[n], two[n]]) if n in self._batched else one[n] for n in one
            }
        size = next((b for b in sorted(self._buckets) if b >= batch), batch)
        if size not in self._recorded:
            with _recording:
                self._recorded[size] = self._record(size)
        recorded = self._recorded[size]
        for name, tensor in recorded.inputs.items():
            value = torch.from_numpy(np.ascontiguousarray(inputs[name]))
            if name in self._batched:
                tensor[:batch].copy_(value)
                tensor[batch:].zero_()
            else:
                tensor.copy_(value)
        recorded.graph.replay()
        return {
            n: (v[:batch] if n in self._batched else v).cpu().numpy()
            for n, v in recorded.outputs.items()
        }

    def _record(self, batch: int) -> _Recorded:
        """Record one step on buffers of its own, after runs on a side stream as torch asks for."""
        zeros = self._zeros(batch)
        buffers = {n: torch.from_numpy(v).to(self._device) for n, v in zeros.items()}
        with torch.inference_mode():
            side = torch.cuda.Stream()
            side.wait_stream(torch.cuda.current_stream())
            with torch.cuda.stream(side):
                for _ in range(_WARM_RUNS):
                    self._forward(buffers)
            torch.cuda.current_stream().wait_stream(side)
            graph = torch.cuda.CUDAGraph()
            # Other threads may allocate meanwhile.
            with torch.cuda.graph(graph, capture_error_mode="thread_local"):
                outputs = self._forward(buffers)
        return _Recorded(graph, buffers, outputs)

    def _forward(self, inputs: Mapping[str, Tensor]) -> dict[str, Tensor]:
        values: dict[str, Any] = {**self._weights, **inputs, "": None}
        for step in self._steps:
            out = step.run(step.attributes, *(values[n] for n in step.inputs))
            if isinstance(out, tuple):
                values.update(zip(step.outputs, out, strict=True))
            else:
                values[step.outputs[0]] = out
        assert self._signature is not None
        return {t.name: values[t.name].contiguous() for t in self._signature.outputs}

    def _place(self, weights: Mapping[str, Tensor], host: set[str]) -> dict[str, Tensor]:
        """Numbers go to the device; sizes, indices, limits and scalars stay on the CPU."""
        return {
            name: value.to(self._device)
            if value.is_floating_point() and value.ndim and name not in host
            else value
            for name, value in weights.items()
        }

    def _zeros(self, batch: int) -> dict[str, NDArray[np.generic]]:
        assert self._signature is not None
        return {
            t.name: np.zeros(t.concrete({BATCH: batch}), t.dtype) for t in self._signature.inputs
        }

    def _check(self, inputs: Tensors) -> int:
        """Return the batch; refuses names, dtypes and shapes that do not fit."""
        if self._signature is None:
            raise EngineError("The engine is closed.")
        first = next((t.name for t in self._signature.inputs if t.name in self._batched), "")
        batch = len(inputs[first]) if first in inputs and inputs[first].ndim else 1
        for spec in self._signature.inputs:
            value = inputs.get(spec.name)
            if value is None:
                raise InputError(f"The input {spec.name} of {self._name} is missing.")
            if value.shape != spec.concrete({BATCH: batch}) or value.dtype != spec.dtype:
                raise InputError(
                    f"The input {spec.name} of {self._name} must be {spec.dtype} "
                    f"{list(spec.shape)}, not {value.dtype} {list(value.shape)}."
                )
        return batch


def _tensors(arrays: Tensors) -> dict[str, Tensor]:
    return {name: torch.from_numpy(np.ascontiguousarray(v)) for name, v in arrays.items()}


def _weights(model: onnx.ModelProto) -> dict[str, Tensor]:
    """Return initialisers and constants by name."""
    found = list(model.graph.initializer)
    for node in model.graph.node:
        if node.op_type == "Constant":
            value = next((a.t for a in node.attribute if a.name == "value"), None)
            if value is None:
                raise EngineError(f"The constant {node.output[0]} is of a kind not known here.")
            copy = onnx.TensorProto()
            copy.CopyFrom(value)
            copy.name = node.output[0]
            found.append(copy)
    return {w.name: torch.from_numpy(numpy_helper.to_array(w).copy()) for w in found}


def _read_on_host(nodes: Sequence[onnx.NodeProto]) -> set[str]:
    """Return the names of weights whose values decide what is called."""
    return {
        node.input[i]
        for node in nodes
        for i in HOST_INPUTS.get(node.op_type, ())
        if i < len(node.input)
    }


def _step(node: onnx.NodeProto, device: torch.device) -> _Step:
    if node.op_type == "Cast":
        to = next(a.i for a in node.attribute if a.name == "to")
        dtype = torch.from_numpy(np.zeros(1, helper.tensor_dtype_to_np_dtype(to))).dtype
        run: Any = lambda a, x: x.to(dtype)  # noqa: E731
    elif node.op_type in OPS:
        run = OPS[node.op_type]
    else:
        raise EngineError(f"torch has no {node.op_type} here; this graph needs another engine.")
    attributes: dict[str, Any] = {"outputs": len(node.output), "device": device}
    for attribute in node.attribute:
        value = helper.get_attribute_value(attribute)
        if isinstance(value, onnx.TensorProto):
            value = torch.from_numpy(numpy_helper.to_array(value).copy())
        elif isinstance(value, bytes):
            value = value.decode()
        elif not isinstance(value, (int, float, str)):
            value = list(value)
        attributes[attribute.name] = value
    return _Step(run, attributes, tuple(node.input), tuple(node.output))
