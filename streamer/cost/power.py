"""What the machine draws: RAPL counts the processor, NVML the GPU, a watt at a time.

Neither sees power supply, memory modules, disks and fans, so what those take is stated and added.
RAPL's counters (Linux, ``/sys/class/powercap``) are in microjoules and wrap; ``psys``, where a
machine has it, counts the whole board. NVML is asked through ``nvidia-smi``, which every NVIDIA
driver brings, once a second.
"""

from __future__ import annotations

import contextlib
import math
import shutil
import subprocess
import time
from collections.abc import Callable
from dataclasses import dataclass
from pathlib import Path
from typing import Final

from visavis.streamer.errors import BadRequest

LEAST_S: Final = 60.0
_MOST_S: Final = 3600.0
_PERIOD_S: Final = 1.0
_POWERCAP: Final = Path("/sys/class/powercap")
_ASK_S: Final = 10.0


@dataclass(frozen=True)
class Reading:
    """Mean draw over a while.

    Attributes:
        watts: of everything that was counted.
        seconds: how long was read.
        counters: what was counted, in words.
    """

    watts: float
    seconds: float
    counters: str


@dataclass(frozen=True)
class _Domain:
    folder: Path
    name: str
    wrap_uj: int

    def energy_uj(self) -> int:
        return int((self.folder / "energy_uj").read_text("ascii"))


@dataclass(frozen=True)
class Meters:
    """The counters of this machine.

    Attributes:
        domains: of RAPL that are added up.
        gpu_watts: asks for the draw of all GPUs; None where there is none.
        words: what there is, in words; empty where there is nothing.
    """

    domains: tuple[_Domain, ...]
    gpu_watts: Callable[[], float] | None
    words: str


def find_meters(powercap: Path = _POWERCAP, smi: str | None = None) -> Meters:
    """Find what can be read here.

    Args:
        powercap: where Linux shows RAPL.
        smi: path of ``nvidia-smi``; searched for if left out.
    """
    domains = _domains(powercap)
    program = smi or shutil.which("nvidia-smi")
    gpu = _gpu(program) if program else None
    words = [f"RAPL {' + '.join(d.name for d in domains)}"] if domains else []
    words += ["NVML"] if gpu else []
    return Meters(domains, gpu, " and ".join(words))


def read_power(
    meters: Meters,
    seconds: float,
    clock: Callable[[], float] = time.monotonic,
    sleep: Callable[[float], None] = time.sleep,
) -> Reading:
    """Read the mean draw over a while.

    Args:
        meters: what there is to read.
        seconds: how long; at least a minute, as draw wanders with temperature and clock.
        clock: seconds.
        sleep: waits.

    Raises:
        BadRequest: too short a time, nothing to read, or a counter that stopped answering.
    """
    if not LEAST_S <= seconds <= _MOST_S:
        raise BadRequest(f"Power is read over {LEAST_S:.0f} to {_MOST_S:.0f} seconds.")
    if not meters.words:
        raise BadRequest(
            "This machine shows neither RAPL nor NVML; state what a meter says with "
            "--idle-watts and --busy-watts."
        )
    try:
        return _watched(meters, seconds, clock, sleep)
    except (OSError, ValueError, subprocess.SubprocessError) as error:
        raise BadRequest(f"A power counter stopped answering: {error}.") from error


def _watched(
    meters: Meters, seconds: float, clock: Callable[[], float], sleep: Callable[[float], None]
) -> Reading:
    last = [domain.energy_uj() for domain in meters.domains]
    spent_uj, gpu = 0.0, list[float]()
    began = now = clock()
    while now - began < seconds:
        sleep(min(_PERIOD_S, seconds - (now - began)))
        if meters.gpu_watts:
            gpu.append(meters.gpu_watts())
        for number, domain in enumerate(meters.domains):
            at = domain.energy_uj()
            spent_uj += (
                at - last[number] if at >= last[number] else at - last[number] + domain.wrap_uj
            )
            last[number] = at
        now = clock()
    mean = spent_uj / 1e6 / (now - began) + (sum(gpu) / len(gpu) if gpu else 0.0)
    return Reading(mean, now - began, meters.words)


def _domains(powercap: Path) -> tuple[_Domain, ...]:
    """Return the packages, or the whole board where it is counted; what is readable of it."""
    found: list[_Domain] = []
    for folder in sorted(powercap.glob("intel-rapl:*")):
        if folder.name.count(":") != 1:  # parts of a package are in it already
            continue
        with contextlib.suppress(OSError, ValueError):  # counters are root's alone on most systems
            name = (folder / "name").read_text("ascii").strip()
            wrap = int((folder / "max_energy_range_uj").read_text("ascii"))
            domain = _Domain(folder, name, wrap)
            domain.energy_uj()
            found.append(domain)
    board = [d for d in found if d.name.startswith("psys")]
    return tuple(board or found)


def _gpu(program: str) -> Callable[[], float] | None:
    def watts() -> float:
        command = (program, "--query-gpu=power.draw", "--format=csv,noheader,nounits")
        said = subprocess.run(command, capture_output=True, text=True, timeout=_ASK_S, check=True)
        values = [float(line) for line in said.stdout.split()]
        if not values or not all(math.isfinite(value) for value in values):
            raise ValueError("nvidia-smi names no draw")
        return sum(values)

    try:
        watts()
    except (OSError, ValueError, subprocess.SubprocessError):  # no driver, or a GPU that tells none
        return None
    return watts
