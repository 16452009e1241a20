"""ONNX Runtime on the CPU or CUDA: the embedded default, and the reference of parity checks."""

# Types are checked in part: onnxruntime has no types.
# pyright: basic, reportMissingImports=false, reportOptionalMemberAccess=false
from __future__ import annotations

import contextlib
import io
import threading
from pathlib import Path
from typing import Any, Literal

import numpy as np
import onnxruntime as ort
from numpy.typing import NDArray

from visavis.engines.base import EngineError, InputError, OutOfMemory, Tensors

_DTYPES = {
    "tensor(float)": np.dtype(np.float32),
    "tensor(float16)": np.dtype(np.float16),
    "tensor(int64)": np.dtype(np.int64),
    "tensor(int32)": np.dtype(np.int32),
    "tensor(bool)": np.dtype(np.bool_),
    "tensor(uint8)": np.dtype(np.uint8),
}
ort.disable_telemetry_events()  # the second lock; visavis.models.offline has the first
_PROVIDERS = {"cpu": "CPUExecutionProvider", "cuda": "CUDAExecutionProvider"}
# Exhaustive search times every convolution at the first call of every shape, for seconds.
_CUDA_OPTIONS = {"cudnn_conv_algo_search": "HEURISTIC", "do_copy_in_default_stream": "1"}
_BINDINGS_MOST = 8  # shapes whose buffers are kept; the buckets and a stray one


class OnnxEngine:
    """One graph in ONNX Runtime.

    Args:
        graph: the ``.onnx`` file, or its bytes.
        device: ``"cpu"`` or ``"cuda"``.
        threads: intra-op threads; the caller owns the budget of cores.
        bind: whether inputs and outputs keep buffers on the device from call to call; by default
            on CUDA.
        layout: whether the CPU may reorder channels; half-precision graphs crash with it
            (ONNX Runtime 1.31), which matters only to tests of such graphs.

    Raises:
        EngineError: the file cannot be read, or the provider is not there.
    """

    def __init__(
        self,
        graph: Path | bytes,
        *,
        device: Literal["cpu", "cuda"] = "cpu",
        threads: int = 1,
        bind: bool | None = None,
        layout: bool = True,
    ) -> None:
        self.provider = _PROVIDERS[device]
        if self.provider not in ort.get_available_providers():
            raise EngineError(f"ONNX Runtime has no {device.upper()} provider installed.")
        self._name = graph.name if isinstance(graph, Path) else "the graph"
        self._device = device
        self._session: Any = self._load(graph, _options(threads, layout))
        self._inputs = {i.name: i for i in self._session.get_inputs()}
        self._wanted = [
            (name, len(meta.shape), _fixed(meta), _DTYPES[meta.type])
            for name, meta in self._inputs.items()
        ]
        self._outputs = [o.name for o in self._session.get_outputs()]
        self._bind = device == "cuda" if bind is None else bind
        self._bindings: dict[tuple[tuple[int, ...], ...], Any] = {}
        self._lock = threading.Lock()  # bound buffers are one step's; plain calls need none

    def _load(self, graph: Path | bytes, options: ort.SessionOptions) -> Any:
        providers: list[Any] = [self.provider]
        if self._device == "cuda":
            _preload()
            providers = [(self.provider, _CUDA_OPTIONS), _PROVIDERS["cpu"]]
        source = str(graph) if isinstance(graph, Path) else graph
        try:
            session = ort.InferenceSession(source, options, providers=providers)
        except Exception as error:  # onnxruntime raises its own undocumented types
            kind = OutOfMemory if _is_memory(error) else EngineError
            raise kind(f"The graph {self._name} cannot be loaded: {error}.") from error
        if session.get_providers()[0] != self.provider:
            # It falls back to the CPU by itself, with no more than a warning in the log.
            raise EngineError(
                "ONNX Runtime could not start CUDA: its CUDA or cuDNN libraries are missing or of "
                "another version."
            )
        return session

    @property
    def input_shapes(self) -> dict[str, tuple[int | None, ...]]:
        """Shapes of the graph's inputs; None where a dimension is free."""
        return {
            name: tuple(d if isinstance(d, int) else None for d in meta.shape)
            for name, meta in self._inputs.items()
        }

    def warm_up(self) -> None:
        """Run once on zeros; symbolic dimensions count as one."""
        self.run(
            {
                name: np.zeros(
                    [d if isinstance(d, int) else 1 for d in meta.shape], _DTYPES[meta.type]
                )
                for name, meta in self._inputs.items()
            }
        )

    def run(self, inputs: Tensors) -> dict[str, NDArray[np.generic]]:
        """Run the graph on the given tensors and return its outputs by name."""
        if self._session is None:
            raise EngineError("The engine is closed.")
        self._check(inputs)
        try:
            values = (
                self._run_bound(inputs)
                if self._bind
                else self._session.run(self._outputs, dict(inputs))
            )
        except Exception as error:
            if _is_memory(error):
                raise OutOfMemory(f"There is no memory left to run {self._name}.") from error
            raise EngineError(f"The graph failed to run: {error}.") from error
        return dict(zip(self._outputs, values, strict=True))

    def close(self) -> None:
        """Release the session."""
        self._bindings.clear()
        self._session = None

    def _run_bound(self, inputs: Tensors) -> list[NDArray[np.generic]]:
        """Copy into buffers that stay on the device; outputs are copied back once."""
        shapes = tuple(inputs[name].shape for name in self._inputs)
        with self._lock:
            if shapes not in self._bindings:
                if len(self._bindings) == _BINDINGS_MOST:
                    self._bindings.pop(next(iter(self._bindings)))
                self._bindings[shapes] = self._binding(shapes)
            binding, values = self._bindings[shapes]
            for name, value in values.items():
                value.update_inplace(np.ascontiguousarray(inputs[name]))
            self._session.run_with_iobinding(binding)
            return list(binding.copy_outputs_to_cpu())

    def _binding(self, shapes: tuple[tuple[int, ...], ...]) -> tuple[Any, dict[str, Any]]:
        binding = self._session.io_binding()
        values = {}
        for (name, meta), shape in zip(self._inputs.items(), shapes, strict=True):
            zeros = np.zeros(shape, _DTYPES[meta.type])
            values[name] = ort.OrtValue.ortvalue_from_numpy(zeros, self._device, 0)
            binding.bind_ortvalue_input(name, values[name])
        for name in self._outputs:
            binding.bind_output(name, self._device)
        return binding, values

    def _check(self, inputs: Tensors) -> None:
        """Refuse what does not fit the graph's signature."""
        for name, axes, fixed, dtype in self._wanted:
            value = inputs.get(name)
            if value is None:
                raise InputError(f"The input {name} of {self._name} is missing.")
            shape = value.shape
            fits = len(shape) == axes and value.dtype == dtype
            if fits:
                for axis, size in fixed:
                    fits = fits and shape[axis] == size
            if not fits:
                raise InputError(
                    f"The input {name} of {self._name} must be {dtype.name} "
                    f"{list(self._inputs[name].shape)}, not {value.dtype} {list(shape)}."
                )
        if len(inputs) > len(self._inputs):
            extra = ", ".join(sorted(set(inputs) - set(self._inputs)))
            raise InputError(f"{self._name} has no input named {extra}.")


def _fixed(meta: Any) -> list[tuple[int, int]]:
    """Return the axes of an input that are not free, with their sizes."""
    return [(axis, size) for axis, size in enumerate(meta.shape) if isinstance(size, int)]


def _preload() -> None:
    """Load CUDA and cuDNN from NVIDIA's wheels, which no library path leads to; it prints a lot."""
    if hasattr(ort, "preload_dlls"):
        with contextlib.redirect_stdout(io.StringIO()):
            ort.preload_dlls()


def _options(threads: int, layout: bool) -> ort.SessionOptions:
    options = ort.SessionOptions()
    options.intra_op_num_threads = threads
    options.inter_op_num_threads = 1
    options.log_severity_level = 3
    # Spinning threads would steal the core that the encoder and the network need.
    options.add_session_config_entry("session.intra_op.allow_spinning", "0")
    if not layout:
        options.graph_optimization_level = ort.GraphOptimizationLevel.ORT_ENABLE_EXTENDED
    return options


def _is_memory(error: Exception) -> bool:
    text = str(error).lower()
    return "out of memory" in text or "failed to allocate" in text or "bad_alloc" in text
