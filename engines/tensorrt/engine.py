"""A compiled plan on an NVIDIA GPU, in either edition of TensorRT.

One optimisation profile, execution context and set of buffers for each batch size; uploads, network
and downloads of a step are recorded once as a CUDA graph and launched as one.
"""

# Types are checked in part: TensorRT and the CUDA bindings have no types.
# pyright: basic, reportMissingImports=false, reportOptionalMemberAccess=false
from __future__ import annotations

import contextlib
import logging
import threading
from dataclasses import dataclass, field
from pathlib import Path
from typing import Any

import numpy as np
from numpy.typing import NDArray

from visavis.engines.base import EngineError, InputError, OutOfMemory, Tensors
from visavis.engines.cache import PlanError
from visavis.engines.tensorrt.compiler import RTX, load_edition
from visavis.engines.tensorrt.cuda import Cuda
from visavis.models.files import atomic_write

_log = logging.getLogger(__name__)

# What the runtime says about a plan it would refuse, in our words; in the order of usefulness.
_INVALID = {
    "UNSUPPORTED_CC": "was built for another GPU",
    "VERSION_MISMATCH": "was built by another TensorRT version",
    "OLD_CUDA_DRIVER": "needs a newer NVIDIA driver",
    "OLD_CUDA_RUNTIME": "needs a newer CUDA runtime",
    "INSUFFICIENT_GPU_MEMORY": "needs more memory than this GPU has",
    "MALFORMED_ENGINE": "is damaged",
    "CUDA_ERROR": "cannot be checked because CUDA fails",
}


@dataclass
class _Tensor:
    """One input or output at one batch size: page-locked and device buffers."""

    name: str
    shape: tuple[int, ...]
    dtype: np.dtype[Any]
    host: NDArray[np.uint8]
    device: int
    batched: bool

    @property
    def size(self) -> int:
        """Return the bytes that are copied."""
        return int(np.prod(self.shape, dtype=np.int64)) * self.dtype.itemsize

    @property
    def view(self) -> NDArray[Any]:
        """Return the page-locked buffer as what it holds."""
        return self.host[: self.size].view(self.dtype).reshape(self.shape)


@dataclass
class _Bucket:
    """Everything of one batch size."""

    batch: int
    context: Any
    inputs: list[_Tensor] = field(default_factory=list)
    outputs: list[_Tensor] = field(default_factory=list)
    recorded: Any = None


class TensorRtEngine:
    """One plan, ready to run.

    Args:
        plan: from :func:`visavis.engines.tensorrt.compiler.compile_plan`.
        edition: which made it.
        name: of the graph, for messages.
        cuda: the CUDA runtime; the first GPU if not given.
        trt: the edition's module, imported if not given.
        runtime_cache: where the RTX edition keeps the kernels it finishes on this GPU.

    Raises:
        PlanError: the plan is not for this GPU or version, or damaged.
        EngineError: no GPU, no driver, or no memory.
    """

    def __init__(
        self,
        plan: bytes,
        *,
        edition: str = RTX,
        name: str = "graph",
        cuda: Cuda | None = None,
        trt: Any = None,
        runtime_cache: Path | None = None,
    ) -> None:
        self.provider = "TensorRT-RTX" if edition == RTX else "TensorRT"
        self._name = name
        self._cuda = cuda or Cuda()
        self._trt = trt or load_edition(edition)
        self._runtime = self._trt.Runtime(self._trt.Logger(self._trt.Logger.ERROR))
        self._buckets: list[_Bucket] = []
        self._stream: int | None = None
        self._closed = False
        self._lock = threading.Lock()  # the buffers are one step's
        self._engine = self._deserialise(plan)
        self._runtime_cache = runtime_cache
        self._config = self._runtime_config()
        try:
            self._stream = self._cuda.stream()
            for profile in range(self._engine.num_optimization_profiles):
                self._add_bucket(profile)
        except BaseException:
            self.close()
            raise
        self._buckets.sort(key=lambda b: b.batch)

    @property
    def buckets(self) -> tuple[int, ...]:
        """Batch sizes that run without padding."""
        return tuple(b.batch for b in self._buckets)

    def warm_up(self) -> None:
        """Run each batch size on zeros, then record it as a CUDA graph."""
        self._cuda.use()
        for bucket in self._buckets:
            for tensor in bucket.inputs:
                tensor.view[...] = 0
            self._enqueue(bucket)
            self._cuda.wait(self._require_stream())
            self._record(bucket)
        self._keep_runtime_cache()

    def run(self, inputs: Tensors) -> dict[str, NDArray[np.generic]]:
        """Run the plan; a batch that fits no bucket is padded, a larger one is cut in pieces."""
        with self._lock:
            return self._run(inputs)

    def _run(self, inputs: Tensors) -> dict[str, NDArray[np.generic]]:
        if self._closed:
            raise EngineError("The engine is closed.")
        batch = self._check(inputs)
        largest = self._buckets[-1].batch
        if batch is None or batch <= largest:
            return self._step(inputs, batch)
        pieces = []
        for start in range(0, batch, largest):
            rows = slice(start, min(start + largest, batch))
            part = {
                t.name: inputs[t.name][rows] if t.batched else inputs[t.name]
                for t in self._buckets[-1].inputs
            }
            pieces.append(self._step(part, rows.stop - rows.start))
        return {
            t.name: np.concatenate([p[t.name] for p in pieces]) if t.batched else pieces[0][t.name]
            for t in self._buckets[-1].outputs
        }

    def close(self) -> None:
        """Give back device and page-locked memory."""
        with self._lock:
            if not self._closed:
                self._closed = True
                self._release()

    def _release(self) -> None:
        for bucket in self._buckets:
            with contextlib.suppress(EngineError):  # a lost device has nothing to give back
                if bucket.recorded is not None:
                    self._cuda.end_recorded(bucket.recorded)
                for tensor in [*bucket.inputs, *bucket.outputs]:
                    self._cuda.free(tensor.device)
                    self._cuda.free_pinned(tensor.host)
            bucket.context = None
        self._buckets.clear()
        if self._stream is not None:
            with contextlib.suppress(EngineError):
                self._cuda.end_stream(self._stream)
        self._engine = None
        self._runtime = None

    def _deserialise(self, plan: bytes) -> Any:
        check = getattr(self._runtime, "get_engine_validity", None)
        if check is not None:
            validity, problems = check(plan)
            if validity == self._trt.EngineValidity.INVALID:
                raise PlanError(f"The plan of {self._name} {self._words(int(problems))}.")
        engine = self._runtime.deserialize_cuda_engine(plan)
        if engine is None:
            raise PlanError(
                f"The plan of {self._name} is not for this GPU and TensorRT version, or is damaged."
            )
        return engine

    def _words(self, problems: int) -> str:
        kinds = self._trt.EngineInvalidityDiagnostics
        for name, words in _INVALID.items():
            kind = getattr(kinds, name, None)
            if kind is not None and problems & int(kind):
                return words
        return "is refused by the TensorRT runtime"

    def _runtime_config(self) -> Any:
        """The RTX edition finishes its kernels on the GPU: all before the first call, and kept."""
        kinds = getattr(self._trt, "DynamicShapesKernelSpecializationStrategy", None)
        if kinds is None or not hasattr(self._engine, "create_runtime_config"):
            return None
        config = self._engine.create_runtime_config()
        config.dynamic_shapes_kernel_specialization_strategy = kinds.EAGER
        if self._runtime_cache is not None:
            cache = config.create_runtime_cache()
            with contextlib.suppress(OSError):
                cache.deserialize(self._runtime_cache.read_bytes())
            config.set_runtime_cache(cache)
        return config

    def _keep_runtime_cache(self) -> None:
        if self._config is None or self._runtime_cache is None:
            return
        kept = self._config.get_runtime_cache().serialize()
        with contextlib.suppress(OSError):  # without it the next start is slower, no more
            atomic_write(self._runtime_cache, bytes(kept))

    def _add_bucket(self, profile: int) -> None:
        """Make context and buffers of one profile."""
        engine, cuda = self._engine, self._cuda
        context = (
            engine.create_execution_context(self._config)
            if self._config is not None
            else engine.create_execution_context()
        )
        if context is None:
            raise OutOfMemory(f"The GPU has no memory left for {self._name}.")
        stream = self._require_stream()
        context.set_optimization_profile_async(profile, stream)
        cuda.wait(stream)
        names = [engine.get_tensor_name(i) for i in range(engine.num_io_tensors)]
        wanted = self._trt.TensorIOMode.INPUT
        ins = [n for n in names if engine.get_tensor_mode(n) == wanted]
        bucket = _Bucket(0, context)
        self._buckets.append(bucket)  # already, so that what fails half-way is given back
        for name in ins:
            # A profile is one point: its smallest, best and largest shapes agree.
            shape = tuple(engine.get_tensor_profile_shape(name, profile)[0])
            context.set_input_shape(name, shape)
            bucket.inputs.append(self._tensor(name, shape))
        for name in (n for n in names if n not in ins):
            bucket.outputs.append(self._tensor(name, tuple(context.get_tensor_shape(name))))
        for tensor in [*bucket.inputs, *bucket.outputs]:
            context.set_tensor_address(tensor.name, tensor.device)
        bucket.batch = next((t.shape[0] for t in bucket.inputs if t.batched), 1)

    def _tensor(self, name: str, shape: tuple[int, ...]) -> _Tensor:
        dtype = np.dtype(self._trt.nptype(self._engine.get_tensor_dtype(name)))
        size = int(np.prod(shape, dtype=np.int64)) * dtype.itemsize
        declared = tuple(self._engine.get_tensor_shape(name))
        batched = bool(declared) and declared[0] == -1
        device = self._cuda.allocate(size)
        try:
            host = self._cuda.pinned(size)
        except EngineError:
            self._cuda.free(device)
            raise
        return _Tensor(name, shape, dtype, host, device, batched)

    def _record(self, bucket: _Bucket) -> None:
        """Record a step; where the network cannot be recorded, it runs call by call."""
        stream = self._require_stream()
        capturable = getattr(bucket.context, "is_stream_capturable", None)
        if capturable is not None and not capturable(stream):
            _log.info("%s is run without a CUDA graph at batch %d.", self._name, bucket.batch)
            return
        self._cuda.begin_capture(stream)
        try:
            try:
                self._enqueue(bucket)
            finally:
                recorded = self._cuda.end_capture(stream)
        except EngineError as error:
            why = f"{self._name} is run without a CUDA graph at batch {bucket.batch}: {error}"
            _log.info("%s", why)
            return
        bucket.recorded = recorded

    def _enqueue(self, bucket: _Bucket) -> None:
        stream = self._require_stream()
        for tensor in bucket.inputs:
            self._cuda.upload(tensor.device, tensor.host, tensor.size, stream)
        if not bucket.context.execute_async_v3(stream):
            raise EngineError(f"TensorRT failed to run {self._name}.")
        for tensor in bucket.outputs:
            self._cuda.download(tensor.host, tensor.device, tensor.size, stream)

    def _step(self, inputs: Tensors, batch: int | None) -> dict[str, NDArray[np.generic]]:
        rows = 1 if batch is None else batch
        bucket = next(b for b in self._buckets if b.batch >= rows)
        self._cuda.use()
        for tensor in bucket.inputs:
            if tensor.batched:
                tensor.view[:rows] = inputs[tensor.name]
                tensor.view[rows:] = 0
            else:
                tensor.view[...] = inputs[tensor.name]
        if bucket.recorded is not None:
            self._cuda.launch(bucket.recorded, self._require_stream())
        else:
            self._enqueue(bucket)
        self._cuda.wait(self._require_stream())
        return {
            t.name: t.view[:rows].copy() if t.batched else t.view.copy() for t in bucket.outputs
        }

    def _check(self, inputs: Tensors) -> int | None:
        """Return the batch after comparing names, sizes and dtypes; None if nothing is batched."""
        batch = None
        for tensor in self._buckets[-1].inputs:
            value = inputs.get(tensor.name)
            if value is None:
                raise InputError(f"The input {tensor.name} of {self._name} is missing.")
            rest = value.shape[1:] if tensor.batched else value.shape
            fits = rest == (tensor.shape[1:] if tensor.batched else tensor.shape)
            if not fits or value.dtype != tensor.dtype or (tensor.batched and value.ndim == 0):
                raise InputError(
                    f"The input {tensor.name} of {self._name} must be {tensor.dtype} "
                    f"{tensor.shape}, not {value.dtype} {value.shape}."
                )
            if tensor.batched:
                if batch is not None and len(value) != batch:
                    raise InputError(f"The inputs of {self._name} have different batches.")
                batch = len(value)
        if batch == 0:
            raise InputError(f"The batch of {self._name} is empty.")
        return batch

    def _require_stream(self) -> int:
        assert self._stream is not None
        return self._stream
