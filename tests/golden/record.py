"""Measurements as files, and what differs between two of them, in words.

A measurement holds a hash of everything and a small copy of what is worth comparing by size. On
the processor and with the libraries that made the goldens every bit has to be the same; elsewhere
other instructions round otherwise, and the small copies have to be alike.
"""

from __future__ import annotations

import io
import json
import platform
from dataclasses import dataclass, field
from importlib.metadata import PackageNotFoundError, version
from pathlib import Path
from typing import Any

import numpy as np
from numpy.typing import NDArray

DATA = Path(__file__).resolve().parent / "data"
LARGEST_MEAN = 1.0
"""Of 255: the mean absolute difference of a small picture, on another processor."""
SMALLEST_PSNR = 38.0
"""Decibels of a small picture, on another processor.

Without OpenCV's vector code and IPP, with other kernels of OpenBLAS and numpy, or compiled by numba
for a plain x86-64, the worst picture was 0.69 and 41.0 dB away and curves 0.0001; half a blink is
30 to 34 dB, a jaw opened by .15 is 1.2 to 1.6 of 255.
"""
CURVE_TOLERANCE = 1e-3
"""Of a coefficient, on another processor."""
CURVE_UNIT = 1e-4
"""Curves are kept as whole numbers of this."""

_LIBRARIES = (
    "llvmlite", "mediapipe", "numba", "numpy", "onnxruntime", "opencv-contrib-python", "pillow",
    "scikit-image", "scipy",
)  # fmt: skip
_COMPUTING = ("amx", "avx", "bmi", "f16c", "fma", "gfni", "popcnt", "sse", "ssse", "asimd", "sve")
_NAMES_SHOWN = 4


@dataclass
class Measurement:
    """What one run gave.

    Attributes:
        hashes: ``kind/…`` to the hash of its bytes; kinds are photos, identities, frames, motion.
        small: names of motion and of some frames to their small copies: ``(pixels, 3)`` uint8 and
            ``(frames, COUNT)`` int16.
        sheets: contact sheets by identity.
    """

    hashes: dict[str, str]
    small: dict[str, NDArray[Any]]
    sheets: dict[str, NDArray[np.uint8]] = field(default_factory=dict)

    def save(self, path: Path) -> None:
        """Write everything to one file."""
        arrays = {f"small:{k}": v for k, v in self.small.items()}
        arrays |= {f"sheet:{k}": v for k, v in self.sheets.items()}
        np.savez(path, hashes=np.array(json.dumps(self.hashes)), **arrays)

    @staticmethod
    def load(path: Path) -> Measurement:
        """Read what ``save`` wrote."""
        with np.load(path) as file:
            parts: dict[str, dict[str, NDArray[Any]]] = {"small": {}, "sheet": {}}
            for key in file.files:
                if key != "hashes":
                    kind, name = key.split(":", 1)
                    parts[kind][name] = file[key]
            return Measurement(json.loads(str(file["hashes"])), parts["small"], parts["sheet"])


@dataclass(frozen=True)
class Goldens:
    """What is in the repository.

    Attributes:
        records: hashes, each with the machine they are of.
        small: the small copies, of the first machine.
        exact: False compares by likeness also where there are hashes of a machine like this one.
    """

    records: list[dict[str, dict[str, str]]]
    small: dict[str, NDArray[Any]]
    exact: bool = True

    def hashes_here(self) -> dict[str, str] | None:
        """Return the hashes of a machine like this one, if there are any."""
        if not self.exact:
            return None
        here = machine()
        return next((r["hashes"] for r in self.records if r["machine"] == here), None)


def machine() -> dict[str, str]:
    """Return what decides about bits: the processor and the libraries."""
    found = {"system": f"{platform.system()} {platform.machine()}", "processor": "", "sets": ""}
    info = Path("/proc/cpuinfo")
    lines = info.read_text("utf-8").split("\n\n")[0].splitlines() if info.is_file() else []
    cpu = {k.strip(): v.strip() for k, _, v in (line.partition(":") for line in lines)}
    names = ("model name", "cpu family", "model", "stepping")
    found["processor"] = ", ".join(f"{n} {cpu[n]}" for n in names if n in cpu)
    flags = cpu.get("flags", cpu.get("Features", "")).split()
    found["sets"] = " ".join(sorted(f for f in flags if f.startswith(_COMPUTING)))
    found["python"] = ".".join(platform.python_version_tuple()[:2])
    for name in _LIBRARIES:
        try:
            found[name] = version(name)
        except PackageNotFoundError:
            found[name] = "none"
    return found


def read_goldens() -> Goldens:
    """Read the goldens of the repository."""
    records = json.loads((DATA / "hashes.json").read_text("utf-8"))
    with np.load(DATA / "small.npz") as file:
        names = json.loads(str(file["names"]))
        small = {n: _whole(file[n]) for n in file.files if n != "names" and n not in names}
        for group, members in names.items():
            small |= dict(zip(members, _whole(file[group]), strict=True))
    return Goldens(records, small)


def write_goldens(measured: Measurement, *, keep: Goldens | None = None) -> None:
    """Write a measurement as the goldens.

    Args:
        measured: of this machine.
        keep: goldens of other machines, whose small copies stay and to whose hashes these come.
    """
    here = machine()
    records = [r for r in keep.records if r["machine"] != here] if keep else []
    records.append({"machine": here, "hashes": measured.hashes})
    text = json.dumps(records, indent=1, ensure_ascii=False)
    DATA.mkdir(exist_ok=True)
    (DATA / "hashes.json").write_text(text + "\n", "utf-8")
    if keep:
        return
    groups: dict[str, list[str]] = {}
    for name in measured.small:
        groups.setdefault(name.rpartition("/")[0], []).append(name)
    arrays = {
        group: _steps(np.stack([measured.small[n] for n in names]))
        for group, names in groups.items()
        if group.startswith("frames")
    }
    names = {group: groups[group] for group in arrays}
    arrays |= {n: _steps(v) for n, v in measured.small.items() if n.startswith("motion")}
    np.savez_compressed(DATA / "small.npz", names=np.array(json.dumps(names)), **arrays)
    for name, sheet in measured.sheets.items():
        (DATA / f"{name}.png").write_bytes(sheet_png(sheet))


def sheet_png(sheet: NDArray[np.uint8]) -> bytes:
    """Return a contact sheet as a PNG of 256 colours, which is a third of the size."""
    from PIL import Image

    out = io.BytesIO()
    picture = Image.fromarray(sheet).quantize(256, dither=Image.Dither.NONE)
    picture.save(out, "PNG", optimize=True)
    return out.getvalue()


def _steps(values: NDArray[Any]) -> NDArray[Any]:
    """Return the first entry and what the others differ by from it, which packs to a third."""
    out = values.copy()
    out[1:] -= values[0]
    return out


def _whole(values: NDArray[Any]) -> NDArray[Any]:
    out = values.copy()
    out[1:] += values[0]
    return out


def compare(golden: Goldens, measured: Measurement) -> dict[str, list[str]]:
    """Return what differs: sentences by kind, kinds without any left out."""
    exact = golden.hashes_here()
    found: dict[str, list[str]] = {}
    names: dict[str, list[str]] = {}
    for name in {**(exact or golden.records[0]["hashes"]), **measured.hashes}:
        names.setdefault(name.rpartition("/")[0], []).append(name)
    for group, members in names.items():
        sentence = _difference(group, members, exact, golden, measured)
        if sentence:
            found.setdefault(group.partition("/")[0], []).append(sentence)
    return found


def _difference(
    group: str,
    members: list[str],
    exact: dict[str, str] | None,
    golden: Goldens,
    measured: Measurement,
) -> str | None:
    wanted = exact if exact is not None else golden.records[0]["hashes"]
    lost = [n for n in members if n not in measured.hashes]
    new = [n for n in members if n not in wanted]
    both = [n for n in members if n in measured.hashes and n in wanted]
    if exact is not None:
        wrong = [n for n in both if measured.hashes[n] != exact[n]]
    else:
        wrong = [n for n in both if n in golden.small and not _alike(n, golden, measured)]
    said = [
        f"{len(some)} of {len(members)} {what} ({_listed(some)})"
        for some, what in ((lost, "are missing"), (new, "are new"), (wrong, "differ"))
        if some
    ]
    if not said:
        return None
    sizes = [n for n in wrong if n in golden.small]
    return f"{group}: {'; '.join(said)}{_sizes(sizes, golden, measured)}."


def _listed(names: list[str]) -> str:
    short = [n.rpartition("/")[2] for n in names[:_NAMES_SHOWN]]
    return ", ".join([*short, "…"] if len(names) > _NAMES_SHOWN else short)


def _sizes(names: list[str], golden: Goldens, measured: Measurement) -> str:
    """Say how large differences are; the small copies may not show any."""
    if not names:
        return ""
    pairs = [(golden.small[n], measured.small[n]) for n in names]
    if names[0].startswith("motion"):
        shapes = [f"{a.shape} → {b.shape}" for a, b in pairs if a.shape != b.shape]
        worst = max((curve_error(a, b) for a, b in pairs if a.shape == b.shape), default=0.0)
        return f", by {worst:.4f} at most" + "".join(f"; shape {s}" for s in shapes)
    mean, psnr = worst_of(pairs)
    return f", seen small by {mean:.3f} of 255 on average in the worst, {psnr:.1f} dB"


def worst_of(pairs: list[tuple[NDArray[Any], NDArray[Any]]]) -> tuple[float, float]:
    """Return the largest mean absolute difference and the smallest PSNR of pairs of pictures."""
    errors = [a.astype(np.float64) - b for a, b in pairs]
    mean = max(float(np.abs(e).mean()) for e in errors)
    square = max(float((e**2).mean()) for e in errors)
    return mean, 99.0 if square == 0 else 10 * float(np.log10(255**2 / square))


def curve_error(one: NDArray[np.int16], other: NDArray[np.int16]) -> float:
    """Return the largest difference of two curves, in units of a coefficient."""
    return float(np.abs(one.astype(np.int64) - other).max()) * CURVE_UNIT


def _alike(name: str, golden: Goldens, measured: Measurement) -> bool:
    one, other = golden.small[name], measured.small[name]
    if one.shape != other.shape:
        return False
    if name.startswith("motion"):
        return curve_error(one, other) <= CURVE_TOLERANCE + CURVE_UNIT  # both are rounded
    mean, psnr = worst_of([(one, other)])
    return mean <= LARGEST_MEAN and psnr >= SMALLEST_PSNR
