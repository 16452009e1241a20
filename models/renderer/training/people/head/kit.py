"""The full head of ICT-FaceKit light, prepared for drawing: parts, charts, rims and seams."""

from __future__ import annotations

from collections.abc import Mapping
from dataclasses import dataclass
from pathlib import Path

import numpy as np
from numba import njit
from numpy.typing import NDArray
from scipy.spatial import cKDTree

from visavis.models.appearance.face.basis import FaceBasis
from visavis.models.appearance.face.neutral import lid_seam
from visavis.models.appearance.face.seam import Seam, make_seam
from visavis.models.appearance.training.build_basis import split_gums, triangles
from visavis.models.arrays import Floats, ease

Ints = NDArray[np.int64]

# Vertex ranges of the kit (its README).
FACE = (0, 9409)
HEAD = (9409, 11248)
SOCKET = (11248, 13294)
EYE_SOCKETS = (13294, 14062)
GUMS = (14062, 17039)
UPPER_TEETH = (17039, 19247)
LOWER_TEETH = (19247, 21451)
EYEBALLS = ((21451, 23021), (23021, 24591))
LASHES = ((25351, 26035), (26035, 26719))
TOOTH_STARTS = (
    17039, 17230, 17416, 17607, 17730, 17895, 17991, 18067, 18143, 18219, 18295, 18391, 18556,
    18679, 18870, 19056, 19247, 19426, 19602, 19814, 19952, 20079, 20169, 20263, 20349, 20435,
    20529, 20619, 20746, 20884, 21096, 21272, 21451,
)  # fmt: skip

# Materials of drawn vertices.
SKIN, BACK, INNER, TOOTH, GUM, TONGUE, EYE, LASH, SHEET = range(9)
# Ground-truth classes.
SEMANTICS = (
    "background", "skin", "lips", "mouth interior", "teeth", "tongue", "eye", "hair", "cloth",
)  # fmt: skip
_LIP_COLUMNS, _LID_COLUMNS = 31, 21
_GUM_REACH = (0.15, 0.6)  # cm from the lower teeth over which gum becomes tongue
_EAR_U, _EAR_V = 0.085, (0.43, 0.70)  # of the face's chart


@dataclass(frozen=True)
class HeadKit:
    """The kit in one numbering of drawn corners; lengths in cm, axes as in ``FaceBasis``.

    Attributes:
        neutral: ``(V, 3)`` mean head.
        identity: ``(100, V, 3)`` offsets per standard deviation.
        expression: ``(57, V, 3)`` offsets at full expression.
        names: expression names, ``_L``/``_R``.
        corner: ``(N,)`` kit vertex of each drawn corner (charts cut vertices in two).
        uv: ``(N, 2)`` in its chart; the back of the head has u in 1-2.
        material: ``(N,)`` uint8, see the constants.
        border: ``(N,)`` cm to the outer border of the drawn skin.
        tris: ``(T, 3)`` int32 corners, counter-clockwise from outside.
        solid: ``(M, 3)`` int32 kit vertices, all triangles, for normals.
        basis_to_kit: ``(B,)`` kit vertex of every vertex of the shipped basis.
        ring_upper: inner edge of the upper lip, right to left; ``ring_lower`` the same.
        lids: upper and lower rim of the left and right eye.
        inner_lip: ``(V,)`` true inside the lips' ring on the skin.
        upper_gum: vertices that do not follow the jaw.
        lower_gum: vertices on the jaw, tongue left out.
        tongue: vertices of the tongue.
        tongue_core: of the tongue, 0 at the root and 1 at the tip, ``(len(tongue),)``.
        tongue_free: of the tongue, 0 where it is the gum behind the teeth.
    """

    neutral: Floats
    identity: Floats
    expression: Floats
    names: tuple[str, ...]
    corner: Ints
    uv: Floats
    material: NDArray[np.uint8]
    border: Floats
    tris: NDArray[np.int32]
    solid: NDArray[np.int32]
    basis_to_kit: Ints
    ring_upper: Ints
    ring_lower: Ints
    lids: tuple[tuple[Ints, Ints], tuple[Ints, Ints]]
    inner_lip: NDArray[np.bool_]
    upper_gum: Ints
    lower_gum: Ints
    tongue: Ints
    tongue_core: Floats
    tongue_free: Floats

    def shape(self, weights: Mapping[str, float]) -> Floats:
        """Return the offsets ``(V, 3)`` of named expressions."""
        total = np.zeros_like(self.neutral)
        for name, value in weights.items():
            total += np.float32(value) * self.expression[self.names.index(name)]
        return total

    def opened(self, base: Floats) -> Floats:
        """Return ``base`` with mouth and eyes open, where edges that touch lie apart."""
        return base + self.shape({"jawOpen": 0.6, "eyeWide_L": 0.5, "eyeWide_R": 0.5})

    def seams(self, rest: Floats) -> tuple[Seam, Seam, Seam]:
        """Return the seams of the lips, of the left and of the right lids."""
        opened = self.opened(rest)
        skin = np.concatenate([np.arange(*FACE), np.arange(*SOCKET)])
        near = skin[np.abs(rest[skin, 1] - rest[self.ring_upper, 1].mean()) < 4.0]
        lips = make_seam(
            rest, opened, self.ring_upper, self.ring_lower, near,
            columns=_LIP_COLUMNS, reach=1.1, upper_share=0.45,
        )  # fmt: skip
        lids = []
        for eye in (0, 1):
            upper, lower = self.lids[eye]
            centre = rest[upper].mean(0)
            rows = np.concatenate([np.arange(*FACE), np.arange(*LASHES[eye])])
            close = rows[np.linalg.norm(rest[rows] - centre, axis=1) < 3.5]
            lids.append(
                make_seam(
                    rest,
                    opened,
                    upper,
                    lower,
                    close,
                    columns=_LID_COLUMNS,
                    reach=0.8,
                    upper_share=0.80,
                )
            )
        return lips, lids[0], lids[1]


def load_kit(folder: Path, basis: FaceBasis) -> HeadKit:
    """Read ``ict_facekit.npz`` and ``inner_lip_rings.npz`` of a folder.

    Args:
        folder: the face kit.
        basis: the shipped basis, whose vertices are among the kit's.

    Raises:
        OSError: the folder has no kit.
        ValueError: basis and kit do not belong together.
    """
    with np.load(folder / "ict_facekit.npz", allow_pickle=False) as data:
        kit = {name: data[name] for name in data.files}
    neutral = kit["neutral"].astype(np.float32)
    gap, basis_to_kit = cKDTree(neutral).query(basis.neutral)
    if gap.max() > 1e-3:
        raise ValueError("The installed face basis was not made from this face kit.")
    corner, uv, material, tris = _corners(kit)
    upper, lower, tongue = split_gums(kit)
    near = cKDTree(neutral[slice(*LOWER_TEETH)]).query(neutral[tongue])[0]
    free = np.clip((near - _GUM_REACH[0]) / (_GUM_REACH[1] - _GUM_REACH[0]), 0, 1)
    free = ease(free)
    material[np.isin(corner, tongue[free > 0.4]) & (material == GUM)] = TONGUE
    lids = tuple(_rims(basis, basis_to_kit, eye) for eye in (0, 1))
    inner = np.zeros(len(neutral), bool)
    inner[slice(*SOCKET)] = True
    inner |= _inside_lips(kit, basis, basis_to_kit)
    z = neutral[tongue, 2]
    core = np.clip((z - np.percentile(z, 30)) / (z.max() - np.percentile(z, 30)), 0, 1)
    solid = _solid(kit)
    border = _border(tris[material[tris[:, 0]] == SKIN], neutral, corner)
    return HeadKit(
        neutral, kit["identity"].astype(np.float32), kit["expression"].astype(np.float32),
        tuple(str(n) for n in kit["expression_names"]), corner, uv, material, border, tris, solid,
        basis_to_kit.astype(np.int64), basis_to_kit[basis.ring_upper].astype(np.int64),
        basis_to_kit[basis.ring_lower].astype(np.int64), (lids[0], lids[1]), inner,
        upper, lower, tongue, core.astype(np.float32), free.astype(np.float32),
    )  # fmt: skip


def _rims(basis: FaceBasis, to_kit: Ints, eye: int) -> tuple[Ints, Ints]:
    seam = lid_seam(basis, basis.neutral, eye)
    return to_kit[seam.upper].astype(np.int64), to_kit[seam.lower].astype(np.int64)


def _inside_lips(kit: Mapping[str, NDArray], basis: FaceBasis, to_kit: Ints) -> NDArray[np.bool_]:
    """Grow from the face's boundary in the mouth to the rings; see ``inner_lip_vertices``."""
    from visavis.models.appearance.face.basis import inner_lip_vertices

    face = triangles(kit, *FACE)
    ring = np.concatenate([to_kit[basis.ring_upper], to_kit[basis.ring_lower]])
    loop = to_kit[basis.mouth_loop]
    return inner_lip_vertices(face.astype(np.int32), loop, ring, len(kit["neutral"]))


def _drawn(kit: Mapping[str, NDArray]) -> NDArray[np.uint8]:
    """Return the material of every face of the kit, 255 where it is not drawn."""
    names = [str(m) for m in kit["materials"]]
    faces, given = kit["faces"], kit["face_material"]
    first = np.where(faces >= 0, faces, 0).max(1)
    out = np.full(len(faces), 255, np.uint8)
    table = {
        "M_Face": SKIN, "M_BackHead": BACK, "M_GumsTongue": GUM, "M_Teeth": TOOTH,
        "M_ScleraLeft": EYE, "M_ScleraRight": EYE, "M_EyeLashes": LASH,
    }  # fmt: skip
    for name, material in table.items():
        out[given == names.index(name)] = material
    inside = (first >= SOCKET[0]) & (first < EYE_SOCKETS[1]) & (out == BACK)
    out[inside] = INNER
    return out


def _corners(
    kit: Mapping[str, NDArray],
) -> tuple[Ints, Floats, NDArray[np.uint8], NDArray[np.int32]]:
    material = _drawn(kit)
    keep = (material < 255) & (material != BACK) & ~_ear_faces(kit, material)
    faces, face_uv = kit["faces"][keep].astype(np.int64), kit["face_uvs"][keep].astype(np.int64)
    material = material[keep]
    quads = faces[:, 3] >= 0
    vertex = np.concatenate([faces[:, :3], faces[quads][:, [0, 2, 3]]])
    coordinate = np.concatenate([face_uv[:, :3], face_uv[quads][:, [0, 2, 3]]])
    kind = np.concatenate([material, material[quads]])
    key = (vertex * 100_000 + coordinate) * 16 + kind[:, None]
    unique, place = np.unique(key, return_inverse=True)
    tris = place.reshape(key.shape).astype(np.int32)
    corner = unique // 16 // 100_000
    uv = kit["uv"][unique // 16 % 100_000].astype(np.float32)
    return corner, uv, (unique % 16).astype(np.uint8), tris


def _ear_faces(kit: Mapping[str, NDArray], material: NDArray[np.uint8]) -> NDArray[np.bool_]:
    """Say which faces are ears: no landmark places them, so the portrait's own sheet shows them."""
    uv = kit["uv"][np.where(kit["face_uvs"] >= 0, kit["face_uvs"], kit["face_uvs"][:, :1])]
    u, v = uv[..., 0].mean(1), uv[..., 1].mean(1)
    side = (u < _EAR_U) | (u > 1 - _EAR_U)
    return (material == SKIN) & side & (v > _EAR_V[0]) & (v < _EAR_V[1])


def _border(tris: NDArray[np.int32], neutral: Floats, corner: Ints) -> Floats:
    """Return the distance of every corner to the outer border of the skin, cm."""
    edges = corner[tris][:, [0, 1, 1, 2, 2, 0]].reshape(-1, 2)
    key = np.sort(edges, 1)
    _, place, count = np.unique(
        key[:, 0] * 100_000 + key[:, 1], return_inverse=True, return_counts=True
    )
    rim = np.unique(edges[count[place] == 1])
    x, y, z = neutral[rim].T
    hole = (np.abs(x) < 5.0) & (y > -7.0) & (y < 6.5) & (z > 5.0)
    return cKDTree(neutral[rim[~hole]]).query(neutral[corner])[0].astype(np.float32)


def _solid(kit: Mapping[str, NDArray]) -> NDArray[np.int32]:
    keep = _drawn(kit) < 255
    faces = kit["faces"][keep]
    quads = faces[faces[:, 3] >= 0]
    return np.concatenate([faces[:, :3], quads[:, [0, 2, 3]]]).astype(np.int32)


@njit(cache=True, fastmath=True, nogil=True)
def normals(points: Floats, tris: NDArray[np.int32]) -> Floats:
    """Return unit vertex normals of ``(V, 3)`` points, area-weighted."""
    out = np.zeros_like(points)
    for t in range(tris.shape[0]):
        a, b, c = tris[t, 0], tris[t, 1], tris[t, 2]
        ux, uy, uz = (points[b, 0] - points[a, 0], points[b, 1] - points[a, 1],
                      points[b, 2] - points[a, 2])  # fmt: skip
        vx, vy, vz = (points[c, 0] - points[a, 0], points[c, 1] - points[a, 1],
                      points[c, 2] - points[a, 2])  # fmt: skip
        nx, ny, nz = uy * vz - uz * vy, uz * vx - ux * vz, ux * vy - uy * vx
        for v in (a, b, c):
            out[v, 0] += nx
            out[v, 1] += ny
            out[v, 2] += nz
    for v in range(points.shape[0]):
        length = np.sqrt(out[v, 0] ** 2 + out[v, 1] ** 2 + out[v, 2] ** 2) + 1e-9
        out[v, 0] /= length
        out[v, 1] /= length
        out[v, 2] /= length
    return out
