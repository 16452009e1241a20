"""Self-reenactment: the coefficients tracked in a video drive the avatar of one of its frames.

What the renderer does to the same face's expression is measured without any sound: pictures
against the frames themselves.
"""

from __future__ import annotations

import numpy as np
from numpy.typing import NDArray

from visavis.benchmarks.quality.pictures import psnr, sharpness, ssim
from visavis.models.appearance.face.basis import FaceBasis
from visavis.models.appearance.face.fit import EYES, LIPS, OVAL, Fit, fit_expression
from visavis.models.appearance.face.neutral import Geometry
from visavis.models.appearance.layers.shapes import polygon_mask
from visavis.models.arrays import Floats, Image
from visavis.models.coefficients import ARKIT, COUNT, INDEX

_ROOM = {"mouth": 1.6, "eyes": 1.25, "face": 1.0}  # around the landmarks' hull


def drive(
    basis: FaceBasis, photo: Fit, geometry: Geometry, points: Floats
) -> tuple[Floats, NDArray[np.float64]]:
    """Return coefficients ``(T, COUNT)`` of landmarks, and the head's angles in degrees.

    Args:
        basis: the face basis.
        photo: the fit of the photo.
        geometry: of the same; coefficients count from its rest.
        points: ``(T, 478, 3)`` landmarks in the photo's picture.
    """
    calm = photo.expression - geometry.lost
    out = np.zeros((len(points), COUNT), np.float32)
    angles = np.zeros((len(points), 3))
    for row, landmarks in enumerate(points):
        found = fit_expression(basis, photo, landmarks)
        for name, value in zip(basis.expression_names, found.expression - calm, strict=True):
            plain = name.replace("_L", "Left").replace("_R", "Right")
            if plain in INDEX:
                out[row, INDEX[plain]] = value
            elif name[:-2] in INDEX:
                out[row, INDEX[name[:-2]]] += value / 2
        turned = Fit(
            found.rotation @ photo.rotation.T, found.scale, found.offset, found.identity,
            found.expression, found.residual, found.rms,
        )  # fmt: skip
        out[row, [INDEX[n] for n in ("headPitch", "headYaw", "headRoll")]] = turned.angles
        angles[row] = np.degrees(turned.angles)
    faces = out[:, : len(ARKIT)]
    np.clip(faces, 0.0, 1.0, out=faces)
    return out, angles


def regions(landmarks: Floats, size: int) -> dict[str, NDArray[np.float64]]:
    """Return weights ``(size, size)`` of mouth, eyes and face."""
    groups = {"mouth": LIPS, "eyes": EYES, "face": OVAL}
    found = {}
    for name, group in groups.items():
        hull = landmarks[list(group), :2]
        middle = hull.mean(0)
        if name == "eyes":
            low, high = hull.min(0), hull.max(0)
            hull = np.array([low, (high[0], low[1]), high, (low[0], high[1])])
        grown = middle + (hull - middle) * _ROOM[name]
        order = np.argsort(np.arctan2(*(grown - middle).T[::-1]))
        found[name] = polygon_mask(grown[order], (size, size)).astype(np.float64)
    return found


def compare(
    pictures: list[Image], truth: list[Image], seen: Floats, wanted: Floats
) -> dict[str, float]:
    """Compare drawn pictures with frames of the same framing.

    Args:
        pictures, truth: ``(S, S, 3)`` each.
        seen, wanted: ``(T, 478, 3)`` landmarks of both.
    """
    rows: dict[str, list[float]] = {}
    for picture, frame, mine, theirs in zip(pictures, truth, seen, wanted, strict=True):
        unit = float(np.linalg.norm(theirs[33, :2] - theirs[263, :2]))
        apart = np.linalg.norm(mine[:468, :2] - theirs[:468, :2], axis=1) / unit
        rows.setdefault("landmarks", []).append(float(apart.mean()))
        rows.setdefault("lip_landmarks", []).append(float(apart[list(LIPS)].mean()))
        for name, weight in regions(theirs, len(frame)).items():
            rows.setdefault(f"{name}_psnr", []).append(psnr(picture, frame, weight))
            rows.setdefault(f"{name}_ssim", []).append(ssim(picture, frame, weight))
            ratio = sharpness(picture, weight) / max(sharpness(frame, weight), 1e-6)
            rows.setdefault(f"{name}_sharpness", []).append(ratio)
    return {name: float(np.mean(values)) for name, values in rows.items()}
