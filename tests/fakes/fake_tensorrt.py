"""TensorRT and the CUDA runtime in main memory: plans hold the graph, ONNX Runtime is the GPU.

Only what the engine calls, with the same order of calls required: memory has to be allocated,
shapes set and addresses given before a step runs, and what is recorded runs only when launched.
"""

from __future__ import annotations

import base64
import ctypes
import enum
import json
from collections.abc import Callable
from dataclasses import dataclass, field
from typing import Any

import numpy as np
import onnxruntime as ort
from numpy.typing import NDArray
from onnx import ModelProto

from visavis.engines.base import EngineError, OutOfMemory
from visavis.engines.graphs.export import signature_of

MAGIC = b"FAKEPLAN"


class FakeCuda:
    """Device memory is a buffer per allocation; a stream runs at once unless it records."""

    def __init__(self, memory: int = 1 << 30) -> None:
        self.left = memory
        self.blocks: dict[int, ctypes.Array[ctypes.c_uint8]] = {}
        self.pinned_blocks: dict[int, NDArray[np.uint8]] = {}
        self.streams = 0
        self.launches = 0
        self.eager_steps = 0
        self.fail_with: EngineError | None = None
        self._capturing: list[Callable[[], None]] | None = None

    def use(self) -> None: ...

    def allocate(self, size: int) -> int:
        if size > self.left:
            raise OutOfMemory("The GPU is out of memory.")
        self.left -= size
        block = (ctypes.c_uint8 * max(1, size))()
        self.blocks[ctypes.addressof(block)] = block
        return ctypes.addressof(block)

    def free(self, address: int) -> None:
        self.left += len(self.blocks.pop(address))

    def pinned(self, size: int) -> NDArray[np.uint8]:
        array = np.full(max(1, size), 255, np.uint8)
        self.pinned_blocks[array.ctypes.data] = array
        return array

    def free_pinned(self, array: NDArray[np.uint8]) -> None:
        del self.pinned_blocks[array.ctypes.data]

    def stream(self) -> int:
        self.streams += 1
        return self.streams

    def end_stream(self, stream: int) -> None:
        self.streams -= 1

    def enqueue(self, work: Callable[[], None]) -> None:
        if self._capturing is None:
            work()
        else:
            self._capturing.append(work)

    def upload(self, address: int, array: NDArray[np.uint8], size: int, stream: int) -> None:
        block = self.blocks[address]
        self.enqueue(lambda: ctypes.memmove(block, array.ctypes.data, size) and None)

    def download(self, array: NDArray[np.uint8], address: int, size: int, stream: int) -> None:
        block = self.blocks[address]
        self.enqueue(lambda: ctypes.memmove(array.ctypes.data, block, size) and None)

    def wait(self, stream: int) -> None:
        if self.fail_with is not None:
            raise self.fail_with

    def begin_capture(self, stream: int) -> None:
        assert self._capturing is None
        self._capturing = []

    def end_capture(self, stream: int) -> list[Callable[[], None]]:
        assert self._capturing is not None
        recorded, self._capturing = self._capturing, None
        return recorded

    def launch(self, recorded: list[Callable[[], None]], stream: int) -> None:
        self.launches += 1
        for work in recorded:
            work()

    def end_recorded(self, recorded: list[Callable[[], None]]) -> None:
        recorded.clear()


class _Named(enum.IntEnum):
    @property
    def label(self) -> str:
        return self.name


class TensorIOMode(_Named):
    INPUT = 1
    OUTPUT = 2


class EngineValidity(_Named):
    VALID = 0
    SUBOPTIMAL = 1
    INVALID = 2


class EngineInvalidityDiagnostics(enum.IntFlag):
    VERSION_MISMATCH = 1
    UNSUPPORTED_CC = 2
    OLD_CUDA_DRIVER = 4
    MALFORMED_ENGINE = 32


class NetworkDefinitionCreationFlag(_Named):
    STRONGLY_TYPED = 0


class MemoryPoolType(_Named):
    WORKSPACE = 0


class ComputeCapability(_Named):
    SM86 = 86
    SM89 = 89
    SM120 = 120


class DynamicShapesKernelSpecializationStrategy(_Named):
    LAZY = 0
    EAGER = 1


class ILogger:
    ERROR = 1

    def __init__(self) -> None: ...


class Logger(ILogger):
    def __init__(self, severity: int) -> None: ...


class IProgressMonitor:
    def __init__(self) -> None: ...


class _Profile:
    def __init__(self) -> None:
        self.shapes: dict[str, tuple[int, ...]] = {}

    def set_shape(self, name: str, low: Any, best: Any, high: Any) -> None:
        assert low == best == high
        self.shapes[name] = tuple(best)


@dataclass
class _Config:
    num_compute_capabilities: int = 0
    progress_monitor: Any = None
    target: str = ""
    profiles: list[_Profile] = field(default_factory=list)
    timings: Any = None

    def set_memory_pool_limit(self, pool: MemoryPoolType, size: int) -> None: ...

    def set_compute_capability(self, capability: ComputeCapability, index: int) -> None:
        self.target = capability.name.lower()

    def add_optimization_profile(self, profile: _Profile) -> None:
        self.profiles.append(profile)

    def create_timing_cache(self, old: bytes) -> Any:
        self.timings = _Timings(old)
        return self.timings

    def set_timing_cache(self, timings: Any, ignore_mismatch: bool) -> None:
        assert timings is self.timings


@dataclass
class _Timings:
    held: bytes

    def serialize(self) -> bytes:
        return self.held + b"+"


class _Parser:
    def __init__(self, network: dict[str, bytes], log: Any) -> None:
        self._network = network
        self.num_errors = 0

    def parse(self, model: bytes) -> bool:
        self._network["model"] = model
        self.num_errors = int(any(n.op_type == "Unknown" for n in _proto(model).graph.node))
        return not self.num_errors

    def get_error(self, index: int) -> Any:
        return _ParserError()


class _ParserError:
    def desc(self) -> str:
        return "No importer registered for op: Unknown."

    def node_operator(self) -> str:
        return "Unknown"

    def node_name(self) -> str:
        return "last"


class _Builder:
    def __init__(self, log: Any) -> None: ...

    def create_network(self, flags: int) -> dict[str, bytes]:
        assert flags == 1
        return {}

    def create_builder_config(self) -> _Config:
        return _Config()

    def create_optimization_profile(self) -> _Profile:
        return _Profile()

    def build_serialized_network(self, network: dict[str, bytes], config: _Config) -> bytes:
        if config.progress_monitor is not None:
            config.progress_monitor.phase_start("building", None, 2)
            for step in range(2):
                config.progress_monitor.phase_start("half", "building", 4)
                for part in range(4):
                    assert config.progress_monitor.step_complete("half", part)
                config.progress_monitor.phase_finish("half")
                assert config.progress_monitor.step_complete("building", step)
            config.progress_monitor.phase_finish("building")
        return make_plan(network["model"], [p.shapes for p in config.profiles], config.target)


class FakeTensorRt:
    """Stands in for the module ``tensorrt_rtx`` on one GPU.

    Args:
        cuda: whose memory it uses.
        target: of the GPU.
        distort: multiplies every output, to compute something wrong on purpose.
    """

    __version__ = "1.0.fake"
    TensorIOMode = TensorIOMode
    EngineValidity = EngineValidity
    EngineInvalidityDiagnostics = EngineInvalidityDiagnostics
    NetworkDefinitionCreationFlag = NetworkDefinitionCreationFlag
    MemoryPoolType = MemoryPoolType
    ComputeCapability = ComputeCapability
    DynamicShapesKernelSpecializationStrategy = DynamicShapesKernelSpecializationStrategy
    ILogger = ILogger
    Logger = Logger
    IProgressMonitor = IProgressMonitor
    Builder = _Builder
    OnnxParser = _Parser

    def __init__(self, cuda: FakeCuda, target: str = "sm89", distort: float = 1.0) -> None:
        self.cuda, self.target, self.distort = cuda, target, distort
        self.capturable = True
        self.kernels: list[bytes] = []

    def Runtime(self, log: Any) -> _Runtime:
        return _Runtime(self)

    def nptype(self, dtype: str) -> np.dtype[Any]:
        return np.dtype(dtype)


class _Runtime:
    def __init__(self, trt: FakeTensorRt) -> None:
        self._trt = trt

    def get_engine_validity(self, plan: bytes) -> tuple[EngineValidity, int]:
        if not plan.startswith(MAGIC):
            return EngineValidity.INVALID, int(EngineInvalidityDiagnostics.MALFORMED_ENGINE)
        if json.loads(plan[len(MAGIC) :])["target"] not in ("", self._trt.target):
            return EngineValidity.INVALID, int(EngineInvalidityDiagnostics.UNSUPPORTED_CC)
        return EngineValidity.VALID, 0

    def deserialize_cuda_engine(self, plan: bytes) -> _Engine | None:
        held = json.loads(plan[len(MAGIC) :])
        return _Engine(self._trt, base64.b64decode(held["model"]), held["profiles"])


class _Engine:
    def __init__(
        self, trt: FakeTensorRt, model: bytes, profiles: list[dict[str, list[int]]]
    ) -> None:
        self.trt, self.profiles = trt, profiles
        options = ort.SessionOptions()
        options.log_severity_level = 3
        # The layout pass of 1.31 crashes on half-precision graphs.
        options.graph_optimization_level = ort.GraphOptimizationLevel.ORT_ENABLE_EXTENDED
        self.session = ort.InferenceSession(model, options, providers=["CPUExecutionProvider"])
        signature = signature_of(_proto(model))
        self.specs = {t.name: t for t in (*signature.inputs, *signature.outputs)}
        self.ins = [t.name for t in signature.inputs]
        self.num_optimization_profiles = len(profiles)
        self.num_io_tensors = len(self.specs)

    def get_tensor_name(self, index: int) -> str:
        return list(self.specs)[index]

    def get_tensor_mode(self, name: str) -> TensorIOMode:
        return TensorIOMode.INPUT if name in self.ins else TensorIOMode.OUTPUT

    def get_tensor_dtype(self, name: str) -> str:
        return self.specs[name].dtype

    def get_tensor_shape(self, name: str) -> tuple[int, ...]:
        return tuple(-1 if isinstance(d, str) else d for d in self.specs[name].shape)

    def get_tensor_profile_shape(self, name: str, profile: int) -> list[tuple[int, ...]]:
        return [tuple(self.profiles[profile][name])] * 3

    def create_runtime_config(self) -> _RuntimeConfig:
        return _RuntimeConfig(self.trt)

    def create_execution_context(self, config: _RuntimeConfig) -> _Context:
        assert config.dynamic_shapes_kernel_specialization_strategy is (
            DynamicShapesKernelSpecializationStrategy.EAGER
        )
        return _Context(self)


class _RuntimeConfig:
    def __init__(self, trt: FakeTensorRt) -> None:
        self._trt = trt
        self._cache: Any = None
        self.dynamic_shapes_kernel_specialization_strategy: Any = None

    def create_runtime_cache(self) -> _KernelCache:
        return _KernelCache(self._trt)

    def set_runtime_cache(self, cache: _KernelCache) -> bool:
        self._cache = cache
        return True

    def get_runtime_cache(self) -> _KernelCache:
        return self._cache


class _KernelCache:
    def __init__(self, trt: FakeTensorRt) -> None:
        self._trt = trt

    def deserialize(self, data: bytes) -> None:
        self._trt.kernels.append(data)

    def serialize(self) -> bytes:
        return b"kernels"


class _Context:
    def __init__(self, engine: _Engine) -> None:
        self._engine = engine
        self._shapes: dict[str, tuple[int, ...]] = {}
        self._addresses: dict[str, int] = {}
        self._profile: int | None = None

    def set_optimization_profile_async(self, profile: int, stream: int) -> bool:
        self._profile = profile
        return True

    def set_input_shape(self, name: str, shape: tuple[int, ...]) -> bool:
        assert self._profile is not None
        assert list(shape) == self._engine.profiles[self._profile][name]
        self._shapes[name] = shape
        return True

    def get_tensor_shape(self, name: str) -> tuple[int, ...]:
        batch = self._shapes[self._engine.ins[0]][0]
        return self._engine.specs[name].concrete({"batch": batch})

    def set_tensor_address(self, name: str, address: int) -> bool:
        self._addresses[name] = address
        return True

    def is_stream_capturable(self, stream: int) -> bool:
        return self._engine.trt.capturable

    def execute_async_v3(self, stream: int) -> bool:
        cuda = self._engine.trt.cuda
        assert set(self._addresses) == set(self._engine.specs)
        cuda.eager_steps += 1
        cuda.enqueue(self._step)
        return True

    def _step(self) -> None:
        cuda, specs = self._engine.trt.cuda, self._engine.specs
        feeds = {}
        for name in self._engine.ins:
            block = cuda.blocks[self._addresses[name]]
            flat = np.frombuffer(block, np.uint8).view(specs[name].dtype)
            feeds[name] = flat.reshape(self._shapes[name]).copy()
        names = [n for n in specs if n not in self._engine.ins]
        for name, value in zip(names, self._engine.session.run(names, feeds), strict=True):
            held = np.ascontiguousarray(value * value.dtype.type(self._engine.trt.distort))
            ctypes.memmove(self._addresses[name], held.ctypes.data, held.nbytes)


def make_plan(model: bytes, profiles: list[dict[str, tuple[int, ...]]], target: str) -> bytes:
    """Return a plan that the fake runtime takes."""
    held = {
        "model": base64.b64encode(model).decode(),
        "profiles": profiles,
        "target": target,
    }
    return MAGIC + json.dumps(held).encode()


def _proto(model: bytes) -> ModelProto:
    proto = ModelProto()
    proto.ParseFromString(model)
    return proto
