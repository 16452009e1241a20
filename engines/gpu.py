"""Which NVIDIA GPU is here, asked of the driver itself; needs no package."""

from __future__ import annotations

import ctypes
from dataclasses import dataclass
from typing import Any

from visavis.engines.base import EngineError

_MAJOR, _MINOR = 75, 76  # CU_DEVICE_ATTRIBUTE_COMPUTE_CAPABILITY_MAJOR and _MINOR
_NO_DEVICE = 100
_OLD_LIBRARY = (34, 803)  # stub library, and a driver older than the library


@dataclass(frozen=True)
class Gpu:
    """One GPU.

    Attributes:
        name: as the driver says.
        capability: compute capability, ``(8, 9)``.
        memory: bytes on it.
        driver: CUDA version the driver supports, 13000 for 13.0.
    """

    name: str
    capability: tuple[int, int]
    memory: int
    driver: int

    @property
    def target(self) -> str:
        """Return ``sm89``."""
        return f"sm{self.capability[0]}{self.capability[1]}"

    def __str__(self) -> str:
        """Return name, target, memory and driver in one clause."""
        driver = f"{self.driver // 1000}.{self.driver % 1000 // 10}"
        return f"{self.name} ({self.target}, {self.memory / 2**30:.0f} GiB, CUDA {driver})"


def find_gpu(library: Any = None) -> Gpu:
    """Return the first GPU.

    Args:
        library: the driver's library, ``libcuda.so.1`` if not given.

    Raises:
        EngineError: there is no driver or no GPU; one sentence.
    """
    cuda = library or _driver()
    status = cuda.cuInit(0)
    if status == _NO_DEVICE:
        raise EngineError("There is an NVIDIA driver but no GPU that it can use.")
    if status:
        old = " It is older than its library." if status in _OLD_LIBRARY else ""
        raise EngineError(f"The NVIDIA driver does not start (error {status}).{old}")
    count, device = ctypes.c_int(), ctypes.c_int()
    _ask(cuda.cuDeviceGetCount(ctypes.byref(count)))
    if count.value == 0:
        raise EngineError("There is an NVIDIA driver but no GPU that it can use.")
    _ask(cuda.cuDeviceGet(ctypes.byref(device), 0))
    name = ctypes.create_string_buffer(256)
    _ask(cuda.cuDeviceGetName(name, len(name), device))
    memory = ctypes.c_size_t()
    _ask(cuda.cuDeviceTotalMem_v2(ctypes.byref(memory), device))
    driver = ctypes.c_int()
    _ask(cuda.cuDriverGetVersion(ctypes.byref(driver)))
    capability: list[int] = []
    for attribute in (_MAJOR, _MINOR):
        value = ctypes.c_int()
        _ask(cuda.cuDeviceGetAttribute(ctypes.byref(value), attribute, device))
        capability.append(value.value)
    return Gpu(
        name.value.decode(errors="replace"),
        (capability[0], capability[1]),
        memory.value,
        driver.value,
    )


def _driver() -> Any:
    try:
        return ctypes.CDLL("libcuda.so.1")
    except OSError as error:
        raise EngineError("There is no NVIDIA driver on this machine.") from error


def _ask(status: int) -> None:
    if status:
        raise EngineError(f"The NVIDIA driver answers with error {status}.")
