"""The few calls of the CUDA runtime that a plan needs, from NVIDIA's own ``cuda-bindings``.

Device memory comes from there and not from torch, so that TensorRT runs without the 2 GB that
torch brings.
"""

# Types are checked in part: the CUDA bindings have no types.
# pyright: basic, reportMissingImports=false, reportOptionalMemberAccess=false
from __future__ import annotations

import ctypes
from typing import Any

import numpy as np
from numpy.typing import NDArray

from visavis.engines.base import EngineError, OutOfMemory


class Cuda:
    """The CUDA runtime on one device.

    Args:
        index: of the device.

    Raises:
        EngineError: the bindings, the driver or the device are missing.
    """

    def __init__(self, index: int = 0) -> None:
        try:
            from cuda.bindings import runtime
        except ModuleNotFoundError as error:
            raise EngineError(
                "The package cuda-bindings is missing: pip install 'visavis[tensorrt]'."
            ) from error
        self._rt: Any = runtime
        count = self._count()
        if index >= count:
            raise EngineError("There is no NVIDIA GPU in this machine.")
        self._call(runtime.cudaSetDevice(index))
        self.index = index

    def _count(self) -> int:
        status, count = self._rt.cudaGetDeviceCount()
        error = self._rt.cudaError_t
        if status == error.cudaErrorInsufficientDriver:
            raise EngineError("There is no NVIDIA driver here, or it is too old for this CUDA.")
        if status == error.cudaErrorNoDevice:
            raise EngineError("There is no NVIDIA GPU in this machine.")
        return int(self._call((status, count)))

    def use(self) -> None:
        """Make the device the calling thread's; runtime calls are per thread."""
        self._call(self._rt.cudaSetDevice(self.index))

    def allocate(self, size: int) -> int:
        """Return the address of ``size`` bytes of device memory."""
        return int(self._call(self._rt.cudaMalloc(max(1, size))))

    def free(self, address: int) -> None:
        """Give device memory back."""
        self._call(self._rt.cudaFree(address))

    def pinned(self, size: int) -> NDArray[np.uint8]:
        """Return ``size`` bytes of page-locked memory, which copies need to be asynchronous."""
        address = int(self._call(self._rt.cudaMallocHost(max(1, size))))
        return np.ctypeslib.as_array((ctypes.c_uint8 * max(1, size)).from_address(address))

    def free_pinned(self, array: NDArray[np.uint8]) -> None:
        """Give page-locked memory back; the array must not be used afterwards."""
        self._call(self._rt.cudaFreeHost(array.ctypes.data))

    def stream(self) -> int:
        """Return a new stream."""
        flags = self._rt.cudaStreamNonBlocking
        return int(self._call(self._rt.cudaStreamCreateWithFlags(flags)))

    def end_stream(self, stream: int) -> None:
        """Destroy a stream."""
        self._call(self._rt.cudaStreamDestroy(stream))

    def upload(self, address: int, array: NDArray[np.uint8], size: int, stream: int) -> None:
        """Copy ``size`` bytes of page-locked memory to the device, asynchronously."""
        kind = self._rt.cudaMemcpyKind.cudaMemcpyHostToDevice
        self._call(self._rt.cudaMemcpyAsync(address, array.ctypes.data, size, kind, stream))

    def download(self, array: NDArray[np.uint8], address: int, size: int, stream: int) -> None:
        """Copy ``size`` bytes from the device to page-locked memory, asynchronously."""
        kind = self._rt.cudaMemcpyKind.cudaMemcpyDeviceToHost
        self._call(self._rt.cudaMemcpyAsync(array.ctypes.data, address, size, kind, stream))

    def wait(self, stream: int) -> None:
        """Wait until everything on a stream is done."""
        self._call(self._rt.cudaStreamSynchronize(stream))

    def begin_capture(self, stream: int) -> None:
        """Record what follows on the stream instead of running it."""
        mode = self._rt.cudaStreamCaptureMode.cudaStreamCaptureModeThreadLocal
        self._call(self._rt.cudaStreamBeginCapture(stream, mode))

    def end_capture(self, stream: int) -> Any:
        """Return what was recorded, ready to be launched."""
        graph = self._call(self._rt.cudaStreamEndCapture(stream))
        try:
            return self._call(self._rt.cudaGraphInstantiate(graph, 0))
        finally:
            self._call(self._rt.cudaGraphDestroy(graph))

    def launch(self, recorded: Any, stream: int) -> None:
        """Run what was recorded."""
        self._call(self._rt.cudaGraphLaunch(recorded, stream))

    def end_recorded(self, recorded: Any) -> None:
        """Destroy what was recorded."""
        self._call(self._rt.cudaGraphExecDestroy(recorded))

    def _call(self, result: tuple[Any, ...]) -> Any:
        """Return a call's value, or raise what its status says."""
        status, *values = result
        error = self._rt.cudaError_t
        if status == error.cudaErrorMemoryAllocation:
            raise OutOfMemory("The GPU is out of memory.")
        if status != error.cudaSuccess:
            _, text = self._rt.cudaGetErrorString(status)
            words = text.decode() if isinstance(text, bytes) else str(text)
            raise EngineError(f"CUDA failed: {words}.")
        return values[0] if values else None
