"""The face basis: a thinned ICT-FaceKit head with identity and expression shapes."""

from __future__ import annotations

from dataclasses import dataclass
from functools import lru_cache
from pathlib import Path

import numpy as np
from numpy.typing import NDArray

from visavis.models.arrays import Floats, Ints
from visavis.models.shipped import checked

BASIS_PATH = Path(__file__).parents[2] / "weights" / "face" / "basis.npz"
BASIS_VERSION = 1
_TRAINING = "python -m visavis.models.appearance.training.build_basis FOLDER"
PARTS = ("face", "upper_teeth", "lower_teeth", "upper_gum", "lower_gum", "tongue", "socket")


@dataclass(frozen=True)
class FaceBasis:
    """Linear face model; lengths in cm, x to the subject's left, y up, z out of the face.

    Attributes:
        neutral: ``(V, 3)`` mean head.
        identity: ``(60, V, 3)`` offsets of unit standard deviation.
        expression: ``(57, V, 3)`` offsets at full expression.
        expression_names: ARKit names with ``_L``/``_R``.
        triangles: ``(F, 3)`` counter-clockwise seen from outside.
        triangle_part: ``(F,)`` index into ``PARTS``.
        uv: ``(V, 2)`` texture coordinates (face part only).
        landmarks: ``(468,)`` vertex of each MediaPipe landmark, -1 where it has none.
        landmark_distance: ``(468,)`` cm between the landmark and its vertex.
        ring_upper: inner edge of the visible upper lip, right corner to left corner.
        ring_lower: the same for the lower lip.
        mouth_loop: boundary of the face mesh inside the mouth.
        eye_loops: boundary of the face mesh at the lids, left and right.
        eye_centre: ``(2, 3)`` eyeball centres, left and right.
        skull: ``(N, 3)`` points of the back of the head and the neck, for depth only.
        inner_lip: ``(V,)`` true between the mouth's boundary and the inner-lip ring.
    """

    neutral: Floats
    identity: Floats
    expression: Floats
    expression_names: tuple[str, ...]
    triangles: Ints
    triangle_part: NDArray[np.uint8]
    uv: Floats
    landmarks: Ints
    landmark_distance: Floats
    ring_upper: Ints
    ring_lower: Ints
    mouth_loop: Ints
    eye_loops: tuple[Ints, Ints]
    eye_centre: Floats
    skull: Floats
    inner_lip: NDArray[np.bool_]

    def part(self, name: str) -> Ints:
        """Return the triangles of one part."""
        return self.triangles[self.triangle_part == PARTS.index(name)]

    def part_vertices(self, name: str) -> NDArray[np.int64]:
        """Return the vertices of one part."""
        return np.unique(self.part(name)).astype(np.int64)


def inner_lip_vertices(tris: Ints, mouth_loop: Ints, ring: Ints, count: int) -> NDArray[np.bool_]:
    """Return which vertices lie between the mouth's boundary and the inner-lip ring.

    Grown from the boundary over edges that do not pass the ring; ring vertices are excluded.
    """
    wall = np.zeros(count, bool)
    wall[ring] = True
    inside = np.zeros(count, bool)
    inside[mouth_loop] = True
    inside &= ~wall
    while True:
        touched = tris[inside[tris].any(1)]
        grown = inside.copy()
        grown[touched] = True
        grown &= ~wall
        if (grown == inside).all():
            return inside
        inside = grown


@lru_cache(maxsize=1)
def load_basis(path: Path = BASIS_PATH) -> FaceBasis:
    """Read the shipped basis; it is shared and must not be written to.

    Raises:
        FileNotFoundError: the parameter file is not installed.
        ValueError: it is another than its manifest describes, or of another version.
    """
    with np.load(checked(path, "face", _TRAINING), allow_pickle=False) as data:
        if int(data["version"]) != BASIS_VERSION:
            raise ValueError(f"{path.name} is of version {int(data['version'])}.")
        tris = data["triangles"].astype(np.int32)
        face = tris[data["triangle_part"] == 0]
        ring = np.concatenate([data["ring_upper"], data["ring_lower"]])
        neutral = data["neutral"].astype(np.float32)
        return FaceBasis(
            neutral=neutral,
            identity=data["identity"].astype(np.float32),
            expression=data["expression"].astype(np.float32),
            expression_names=tuple(str(n) for n in data["expression_names"]),
            triangles=tris,
            triangle_part=data["triangle_part"],
            uv=data["uv"],
            landmarks=data["landmarks"],
            landmark_distance=data["landmark_distance"],
            ring_upper=data["ring_upper"],
            ring_lower=data["ring_lower"],
            mouth_loop=data["mouth_loop"],
            eye_loops=(data["eye_loop_left"], data["eye_loop_right"]),
            eye_centre=data["eye_centre"],
            skull=data["skull"],
            inner_lip=inner_lip_vertices(face, data["mouth_loop"], ring, len(neutral)),
        )
