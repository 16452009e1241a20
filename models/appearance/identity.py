"""The Identity bundle: everything the renderer needs of one person, in one file."""

from __future__ import annotations

import io
import json
import zipfile
from dataclasses import asdict, dataclass, field, fields
from pathlib import Path

import numpy as np
from numpy.typing import NDArray

from visavis.models.appearance.face.basis import BASIS_VERSION
from visavis.models.appearance.identity_check import check_identity
from visavis.models.appearance.photo.errors import IdentityError
from visavis.models.files import atomic_write

IDENTITY_VERSION = 1
_MAGIC = "visavis-identity"
_LARGEST_ARRAY = 32 << 20  # bytes
_LARGEST_FILE = 64 << 20
_LARGEST_META = 1 << 20
_LATER = ("frames", "kept")  # arrays that older bundles of this version lack


@dataclass(frozen=True)
class EyePatch:
    """Where one eye is in the picture.

    Attributes:
        left: first column of the patch.
        top: first row.
        iris: centre ``(x, y)`` in pixels.
        iris_radius: pixels.
    """

    left: int
    top: int
    iris: tuple[float, float]
    iris_radius: float


@dataclass(frozen=True)
class Colours:
    """Colours measured in the photo, RGB 0-255.

    Attributes:
        skin: mean of the cheeks.
        lip: mean of the lips.
        teeth: of the photo's teeth, or white in the photo's light.
        lash: of the upper lash line.
        light: brightness of the face, 0-1.
        grey: 1 for a monochrome photo, 0 for a coloured one.
    """

    skin: tuple[float, float, float]
    lip: tuple[float, float, float]
    teeth: tuple[float, float, float]
    lash: tuple[float, float, float]
    light: float
    grey: float


@dataclass(frozen=True)
class Identity:
    """One enrolled person.

    Attributes:
        size: side of the square pictures in pixels.
        inter_ocular_px: distance between the eye centres in pixels.
        scale: pixels per model cm.
        smile: strength of the photo's own mouth expression, 0-1.
        opening: inner-lip gap in the photo, cm.
        colours: measured colours.
        eyes: the left and right eye patches (subject's sides).
        notes: sentences about what could be better in the photo.
        photo: ``(S, S, 3)`` uint8, the framed photo.
        foreground: ``(S, S, 3)`` uint8, the person's colour, teeth filled.
        alpha: ``(S, S)`` uint8, the person's opacity.
        background: ``(S, S, 3)`` uint8, the picture without the person.
        lids: ``(2, P, P, 3)`` uint8, closed-eye skin of the eye patches.
        eyeballs: ``(2, P, P, 3)`` uint8, the eyes without lids.
        teeth: ``(S, S, 4)`` uint8 crop of the photo's teeth with opacity, or empty.
        rotation: ``(3, 3)`` model to view.
        offset: ``(2,)`` pixels of the model's origin.
        source: ``(V, 2)`` pixels where the photo shows each vertex.
        rest: ``(V, 3)`` neutral face in model cm.
        expression: ``(57,)`` what of the photo's expression ``rest`` lacks, in the basis's order.
        kept: ``(57,)`` what of the photo's smile ``rest`` has; empty in bundles of before any
            of it was kept.
        frames: ``(S, S)`` uint8, how far each pixel of the photo is the frame of glasses; empty
            without any (and in bundles of before frames were looked for).
        basis_version: of the face basis that ``rest`` belongs to.
        version: of this format.
    """

    size: int
    inter_ocular_px: float
    scale: float
    smile: float
    opening: float
    colours: Colours
    eyes: tuple[EyePatch, EyePatch]
    notes: tuple[str, ...]
    photo: NDArray[np.uint8]
    foreground: NDArray[np.uint8]
    alpha: NDArray[np.uint8]
    background: NDArray[np.uint8]
    lids: NDArray[np.uint8]
    eyeballs: NDArray[np.uint8]
    teeth: NDArray[np.uint8]
    rotation: NDArray[np.float32]
    offset: NDArray[np.float32]
    source: NDArray[np.float32]
    rest: NDArray[np.float32]
    expression: NDArray[np.float32]
    kept: NDArray[np.float32] = field(default_factory=lambda: np.zeros(0, np.float32))
    frames: NDArray[np.uint8] = field(default_factory=lambda: np.zeros((0, 0), np.uint8))
    basis_version: int = BASIS_VERSION
    version: int = IDENTITY_VERSION

    def save(self, path: Path) -> None:
        """Write one file; it appears only when it is complete."""
        atomic_write(Path(path), self.to_bytes())

    @staticmethod
    def load(path: Path) -> Identity:
        """Read a bundle.

        Raises:
            IdentityError: the file is missing, damaged, foreign or of a newer version.
        """
        try:
            with Path(path).open("rb") as file:
                return Identity.from_bytes(file.read(_LARGEST_FILE))
        except OSError as error:
            raise IdentityError(f"The identity {path} cannot be read.") from error

    def to_bytes(self) -> bytes:
        """Return the bundle: a zip of one JSON and one ``.npy`` per array."""
        meta = {"magic": _MAGIC, "colours": asdict(self.colours)}
        meta["eyes"] = [asdict(eye) for eye in self.eyes]
        out = io.BytesIO()
        with zipfile.ZipFile(out, "w", zipfile.ZIP_DEFLATED, compresslevel=1) as bundle:
            for entry in fields(self):
                value = getattr(self, entry.name)
                if isinstance(value, np.ndarray):
                    buffer = io.BytesIO()
                    np.save(buffer, value, allow_pickle=False)
                    bundle.writestr(f"{entry.name}.npy", buffer.getvalue())
                elif entry.name not in ("colours", "eyes"):
                    meta[entry.name] = value
            bundle.writestr("identity.json", json.dumps(meta))
        return out.getvalue()

    @staticmethod
    def from_bytes(data: bytes) -> Identity:
        """Read a bundle from memory.

        Raises:
            IdentityError: the bytes are damaged, foreign or of a newer version.
        """
        try:
            with zipfile.ZipFile(io.BytesIO(data)) as bundle:
                meta = _read_meta(bundle)
                arrays = {
                    entry.name: _read_array(bundle, entry.name)
                    for entry in fields(Identity)
                    if entry.type.startswith("NDArray")
                    and (entry.name not in _LATER or f"{entry.name}.npy" in bundle.namelist())
                }
            colours = Colours(
                **{
                    k: tuple(v) if isinstance(v, list) else v
                    for k, v in meta.pop("colours").items()
                }
            )
            eyes = tuple(
                EyePatch(e["left"], e["top"], tuple(e["iris"]), e["iris_radius"])
                for e in meta.pop("eyes")
            )
            meta["notes"] = tuple(meta["notes"])
            meta.pop("magic")
            identity = Identity(**meta, **arrays, colours=colours, eyes=eyes)
            check_identity(identity)
            return identity
        except IdentityError:
            raise
        except Exception as error:  # zip, JSON and NumPy raise what they like on damaged bytes
            raise IdentityError("The file is no identity, or it is damaged.") from error


def _read_meta(bundle: zipfile.ZipFile) -> dict:
    if bundle.getinfo("identity.json").file_size > _LARGEST_META:
        raise IdentityError("The file is no identity, or it is damaged.")
    meta = json.loads(bundle.read("identity.json"))
    if meta.get("magic") != _MAGIC:
        raise IdentityError("The file is no identity, or it is damaged.")
    if meta["version"] > IDENTITY_VERSION or meta["basis_version"] > BASIS_VERSION:
        raise IdentityError("The identity was made by a newer version of this program.")
    if meta["version"] != IDENTITY_VERSION or meta["basis_version"] != BASIS_VERSION:
        raise IdentityError("The identity is of an older version: please enrol the photo again.")
    return meta


def _read_array(bundle: zipfile.ZipFile, name: str) -> NDArray:
    info = bundle.getinfo(f"{name}.npy")
    if info.file_size > _LARGEST_ARRAY:
        raise IdentityError("The file is no identity, or it is damaged.")
    return np.load(io.BytesIO(bundle.read(info)), allow_pickle=False)
