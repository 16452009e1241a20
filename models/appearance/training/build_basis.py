"""Compute the shipped face basis from ICT-FaceKit light.

    python -m visavis.models.appearance.training.build_basis FOLDER

``FOLDER`` holds ``ict_facekit.npz``, ``mediapipe_to_ict.npz`` and ``inner_lip_rings.npz``. The
result keeps the parts a talking portrait shows (face without ears, lips, teeth, gums, tongue,
mouth socket) on a thinned mesh whose vertices are original ones, so that every linear shape of
the kit stays exact on them.
"""

from __future__ import annotations

import argparse
import hashlib
import json
from collections.abc import Mapping
from pathlib import Path

import numpy as np
from numpy.typing import NDArray
from scipy.spatial import Delaunay, cKDTree

from visavis.models.appearance.face.basis import BASIS_PATH, BASIS_VERSION, PARTS

IDENTITY_MODES = 60
_FACE = slice(0, 9409)
_HEAD = slice(9409, 11248)
_SOCKET = (11248, 13294)
_GUMS = (14062, 17039)
_UPPER_TEETH = (17230, 19056)
_LOWER_TEETH = (19426, 21272)
_LICENCE = """Computed from ICT-FaceKit light, https://github.com/ICT-VGL/ICT-FaceKit

MIT License. Copyright (c) 2020 USC Institute for Creative Technologies.
Permission is hereby granted, free of charge, to any person obtaining a copy of this software and
associated documentation files (the "Software"), to deal in the Software without restriction,
including without limitation the rights to use, copy, modify, merge, publish, distribute,
sublicense, and/or sell copies of the Software, and to permit persons to whom the Software is
furnished to do so, subject to the following conditions: The above copyright notice and this
permission notice shall be included in all copies or substantial portions of the Software. THE
SOFTWARE IS PROVIDED "AS IS", WITHOUT WARRANTY OF ANY KIND, EXPRESS OR IMPLIED, INCLUDING BUT NOT
LIMITED TO THE WARRANTIES OF MERCHANTABILITY, FITNESS FOR A PARTICULAR PURPOSE AND
NONINFRINGEMENT. IN NO EVENT SHALL THE AUTHORS OR COPYRIGHT HOLDERS BE LIABLE FOR ANY CLAIM,
DAMAGES OR OTHER LIABILITY, WHETHER IN AN ACTION OF CONTRACT, TORT OR OTHERWISE, ARISING FROM,
OUT OF OR IN CONNECTION WITH THE SOFTWARE OR THE USE OR OTHER DEALINGS IN THE SOFTWARE.
"""

# MediaPipe landmarks of the lower lip between its two contours.
_LOWER_LIP = (77, 90, 180, 85, 16, 315, 404, 320, 307, 96, 89, 179, 86, 15, 316, 403, 319, 325)

Arrays = Mapping[str, NDArray[np.generic]]


def vertex_uvs(kit: Arrays) -> NDArray[np.float64]:
    """Return one UV per vertex of the face part, which is a single chart without seams."""
    uv = np.zeros((len(kit["neutral"]), 2))
    # Sockets share vertices with the face but have charts of their own.
    own = (kit["faces"] < _FACE.stop).all(1)
    for corner in range(4):
        vertex, coordinate = kit["faces"][own, corner], kit["face_uvs"][own, corner]
        good = vertex >= 0
        uv[vertex[good]] = kit["uv"][coordinate[good]]
    return uv


def triangles(kit: Arrays, lo: int, hi: int) -> NDArray[np.int64]:
    """Return the triangles whose vertices all lie in ``[lo, hi)``; quads are split."""
    faces = kit["faces"].astype(np.int64)
    inside = ((faces < hi) & ((faces >= lo) | (faces == -1))).all(1)
    faces = faces[inside]
    quads = faces[faces[:, 3] >= 0]
    return np.concatenate([faces[:, :3], quads[:, [0, 2, 3]]])


def boundary_loops(tris: NDArray[np.int64]) -> list[list[int]]:
    """Return the open boundary of a triangle mesh as vertex loops."""
    edges = {(int(t[i]), int(t[(i + 1) % 3])) for t in tris for i in range(3)}
    after = {a: b for a, b in edges if (b, a) not in edges}
    loops, seen = [], set()
    for start in after:
        loop, at = [], start
        while at not in seen and at in after:
            seen.add(at)
            loop.append(at)
            at = after[at]
        if loop:
            loops.append(loop)
    return loops


def _is_ear(uv: NDArray[np.float64]) -> NDArray[np.bool_]:
    return ((uv[:, 0] < 0.085) | (uv[:, 0] > 0.915)) & (uv[:, 1] > 0.43) & (uv[:, 1] < 0.70)


def thin_face(
    kit: Arrays, uv: NDArray[np.float64], keep: NDArray[np.int64]
) -> tuple[NDArray[np.int64], NDArray[np.int64]]:
    """Choose face vertices, dense at eyes and lips, and triangulate them in UV.

    Args:
        kit: the face kit.
        uv: ``(V, 2)`` texture coordinates.
        keep: vertices that must stay.

    Returns:
        Chosen vertices and ``(F, 3)`` triangles, both in the kit's numbering.
    """
    neutral = kit["neutral"][_FACE].astype(np.float64)
    tris = triangles(kit, 0, _FACE.stop)
    loops = boundary_loops(tris)
    holes = [loop for loop in loops if len(loop) < 100]
    outer = np.array([v for loop in loops if len(loop) >= 100 for v in loop])
    hole_vertices = np.concatenate([np.array(h) for h in holes])
    near = cKDTree(neutral[np.concatenate([hole_vertices, keep[keep < _FACE.stop]])])
    mouth = cKDTree(neutral[keep[:78]])
    eyes = np.concatenate([np.array(h) for h in holes if neutral[h][:, 1].mean() > 0])
    eye = cKDTree(neutral[eyes])
    d_eye, d_mouth = eye.query(neutral)[0], mouth.query(neutral)[0]
    radius = np.clip(0.05 + 0.22 * np.minimum(d_eye, d_mouth), 0.06, 0.62)
    usable = ~_is_ear(uv[_FACE])
    chosen = {int(v) for v in keep if usable[v]} | {int(v) for v in hole_vertices}
    chosen |= {int(v) for v in outer[::2] if usable[v]}
    order = np.argsort(near.query(neutral)[0], kind="stable")
    taken = np.zeros(len(neutral), bool)
    taken[list(chosen)] = True
    everyone = cKDTree(neutral)
    for v in order:
        if (
            usable[v]
            and not taken[v]
            and not taken[everyone.query_ball_point(neutral[v], radius[v])].any()
        ):
            taken[v] = True
    vertices = np.flatnonzero(taken)
    delaunay = Delaunay(uv[vertices])
    simplices = delaunay.simplices
    # A triangle belongs to the face if its centre does; the kit's own triangles tell.
    centres = uv[vertices][simplices].mean(1)
    inside = _covered(centres, uv[tris])
    inside &= ~_is_ear(centres)
    hole_sets = [set(h) for h in holes]
    bridging = np.array([any(set(vertices[s]) <= h for h in hole_sets) for s in simplices])
    simplices = simplices[inside & ~bridging]
    area = np.cross(*(np.diff(uv[vertices][simplices], axis=1).transpose(1, 0, 2)))
    simplices[area < 0] = simplices[area < 0][:, ::-1]
    return vertices, vertices[simplices]


def _covered(points: NDArray[np.float64], tris: NDArray[np.float64]) -> NDArray[np.bool_]:
    """Say which 2-D points lie in any triangle of ``(T, 3, 2)``."""
    tree = cKDTree(tris.mean(1))
    reach = np.linalg.norm(tris - tris.mean(1, keepdims=True), axis=2).max()
    result = np.zeros(len(points), bool)
    for i, near in enumerate(tree.query_ball_point(points, reach)):
        if near:
            t = tris[near]
            a, b, c = (np.cross(t[:, (k + 1) % 3] - t[:, k], points[i] - t[:, k]) for k in range(3))
            result[i] = (((a >= 0) & (b >= 0) & (c >= 0)) | ((a <= 0) & (b <= 0) & (c <= 0))).any()
    return result


def visible_part(
    kit: Arrays, lo: int, hi: int, facing: float, radius: float
) -> tuple[NDArray[np.int64], NDArray[np.int64]]:
    """Return the part's vertices and triangles that can face the viewer, clustered to ``radius``.

    Args:
        kit: the face kit.
        lo: first vertex of the part.
        hi: one past the last vertex.
        facing: least z of the triangle's unit normal.
        radius: vertices nearer than this (cm) fall onto one of them; 0 keeps all.
    """
    tris = triangles(kit, lo, hi)
    neutral = kit["neutral"].astype(np.float64)
    normal = np.cross(
        neutral[tris[:, 1]] - neutral[tris[:, 0]], neutral[tris[:, 2]] - neutral[tris[:, 0]]
    )
    normal /= np.linalg.norm(normal, axis=1, keepdims=True) + 1e-12
    tris = tris[normal[:, 2] > facing]
    used = np.unique(tris)
    if radius > 0:
        tree, target = cKDTree(neutral[used]), np.arange(len(used))
        free = np.ones(len(used), bool)
        for i in range(len(used)):
            if free[i]:
                group = [j for j in tree.query_ball_point(neutral[used[i]], radius) if free[j]]
                target[group], free[group] = i, False
        lookup = np.zeros(hi, np.int64)
        lookup[used] = used[target]
        tris = lookup[tris]
        distinct = (tris[:, 0] != tris[:, 1]) & (tris[:, 1] != tris[:, 2])
        tris = np.unique(tris[distinct & (tris[:, 0] != tris[:, 2])], axis=0)
        used = np.unique(tris)
    return used, tris


def split_gums(kit: Arrays) -> tuple[NDArray[np.int64], NDArray[np.int64], NDArray[np.int64]]:
    """Split the kit's single gum-and-tongue surface; return members of (upper, lower, tongue).

    The upper gum does not follow the jaw; the tongue is what lies inside the lower arch.
    """
    neutral = kit["neutral"].astype(np.float64)
    jaw_open = list(kit["expression_names"]).index("jawOpen")
    follows = np.abs(kit["expression"][jaw_open].astype(np.float32)).max(1) > 0.05
    member = np.zeros(len(neutral), bool)
    member[slice(*_GUMS)] = True
    to_teeth = cKDTree(neutral[slice(*_LOWER_TEETH)]).query(neutral)[0]
    inside = (np.abs(neutral[:, 0]) < 2.05) & (neutral[:, 2] < 10.1) & (neutral[:, 1] > -5.0)
    tongue = member & follows & inside & (to_teeth > 0.12)
    lower = member & follows & (to_teeth < 0.6) & (neutral[:, 2] > 7.0)
    upper = member & ~follows & (neutral[:, 2] > 7.0)
    return np.flatnonzero(upper), np.flatnonzero(lower), np.flatnonzero(tongue)


def build(folder: Path) -> dict[str, NDArray[np.generic]]:
    """Compute every array of the basis; see ``FaceBasis`` for their meaning."""
    kit: Arrays = dict(np.load(folder / "ict_facekit.npz", allow_pickle=False))
    marks = np.load(folder / "mediapipe_to_ict.npz", allow_pickle=False)
    rings = np.load(folder / "inner_lip_rings.npz", allow_pickle=False)
    uv = vertex_uvs(kit)
    keep = np.concatenate([rings["up"], rings["lo"], marks["idx"]]).astype(np.int64)
    vertices, tris = thin_face(kit, uv, keep)
    parts = [("face", vertices, tris)]
    upper, lower, tongue = split_gums(kit)
    parts.append(("upper_teeth", *visible_part(kit, *_UPPER_TEETH, 0.0, 0.06)))
    parts.append(("lower_teeth", *visible_part(kit, *_LOWER_TEETH, 0.0, 0.06)))
    for name, members in (("upper_gum", upper), ("lower_gum", lower), ("tongue", tongue)):
        part = visible_part(kit, *_GUMS, -0.3 if name == "tongue" else 0.1, 0.2)
        inside = np.isin(part[1], members).all(1)
        parts.append((name, np.unique(part[1][inside]), part[1][inside]))
    parts.append(("socket", *visible_part(kit, *_SOCKET, -1.1, 0.35)))
    return _assemble(kit, uv, parts, marks, rings)


def _assemble(
    kit: Arrays,
    uv: NDArray[np.float64],
    parts: list[tuple[str, NDArray[np.int64], NDArray[np.int64]]],
    marks: Arrays,
    rings: Arrays,
) -> dict[str, NDArray[np.generic]]:
    number = np.full(len(kit["neutral"]), -1, np.int64)
    chosen: list[NDArray[np.int64]] = []
    tri_list, labels, count = [], [], 0
    for name, vertices, tris in parts:
        number[vertices] = count + np.arange(len(vertices))
        count += len(vertices)
        chosen.append(vertices)
        tri_list.append(number[tris])
        labels.append(np.full(len(tris), PARTS.index(name)))
    kept = np.concatenate(chosen)
    loops = boundary_loops(tri_list[0])
    small = [lp for lp in loops if np.ptp(kit["neutral"][kept[lp]][:, 0]) < 6 and len(lp) > 30]
    by_height = sorted(small, key=lambda lp: kit["neutral"][kept[lp]][:, 1].mean())
    mouth_loop, eye_loops = by_height[0], by_height[1:]
    if len(eye_loops) != 2:
        raise ValueError("The thinned face must have three holes: mouth and eyes.")
    eye_loops.sort(key=lambda lp: -kit["neutral"][kept[lp]][:, 0].mean())
    modes = kit["identity"][:IDENTITY_MODES, kept].astype(np.float32)
    head = kit["neutral"][_HEAD].astype(np.float32)
    return {
        "version": np.array(BASIS_VERSION, np.int32),
        "neutral": kit["neutral"][kept].astype(np.float32),
        "identity": modes.astype(np.float16),
        "expression": kit["expression"][:, kept].astype(np.float16),
        "expression_names": np.array([str(n) for n in kit["expression_names"]]),
        "triangles": np.concatenate(tri_list).astype(np.int32),
        "triangle_part": np.concatenate(labels).astype(np.uint8),
        "uv": uv[kept].astype(np.float32),
        "landmarks": _landmarks(kit, number, marks["idx"]),
        "landmark_distance": marks["dist"].astype(np.float32),
        "ring_upper": number[rings["up"]].astype(np.int32),
        "ring_lower": number[rings["lo"]].astype(np.int32),
        "mouth_loop": np.array(mouth_loop, np.int32),
        "eye_loop_left": np.array(eye_loops[0], np.int32),
        "eye_loop_right": np.array(eye_loops[1], np.int32),
        "eye_centre": _eye_centres(kit),
        "skull": head[::3],
    }


def _landmarks(
    kit: Arrays, number: NDArray[np.int64], vertices: NDArray[np.int64]
) -> NDArray[np.int32]:
    """Number the landmarks' vertices; drop lower-lip ones that fell onto the upper lip.

    The correspondence was measured on a nearly closed mouth, where the lips touch: a lower lip
    that does not follow the jaw pulls fangs into every smile.
    """
    jaw_open = list(kit["expression_names"]).index("jawOpen")
    drop = kit["expression"][jaw_open].astype(np.float32)[:, 1]
    result = number[vertices].astype(np.int32)
    for landmark in _LOWER_LIP:
        if drop[vertices[landmark]] > -1.3:
            result[landmark] = -1
    return result


def _eye_centres(kit: Arrays) -> NDArray[np.float32]:
    """Return the neutral eyeball centres, left and right, ``(2, 3)`` cm."""
    balls = [kit["neutral"][21451:22221], kit["neutral"][23021:23791]]
    return np.stack([(b.min(0) + b.max(0)) / 2 for b in balls]).astype(np.float32)


def main() -> None:
    """Write ``basis.npz``, ``manifest.json`` and the licence beside it."""
    parser = argparse.ArgumentParser(description=__doc__)
    parser.add_argument("folder", type=Path)
    parser.add_argument("--output", type=Path, default=BASIS_PATH)
    options = parser.parse_args()
    arrays = build(options.folder)
    options.output.parent.mkdir(parents=True, exist_ok=True)
    np.savez_compressed(options.output, **arrays)
    data = options.output.read_bytes()
    part = arrays["triangle_part"]
    manifest = {
        "file": options.output.name,
        "version": BASIS_VERSION,
        "sha256": hashlib.sha256(data).hexdigest(),
        "bytes": len(data),
        "command": "python -m visavis.models.appearance.training.build_basis FOLDER",
        "data": "ICT-FaceKit light (USC ICT, MIT): neutral, 60 identity modes, 57 expressions; "
        "landmark correspondence and lip rings measured by us on renders of its neutral head",
        "licence": "MIT, see LICENSE-ICT-FaceKit.txt",
        "figures": {
            "vertices": len(arrays["neutral"]),
            "triangles": len(part),
            **{f"triangles_{n}": int((part == i).sum()) for i, n in enumerate(PARTS)},
            "landmarks": int((arrays["landmarks"] >= 0).sum()),
        },
    }
    text = json.dumps(manifest, indent=2) + "\n"
    (options.output.parent / "manifest.json").write_text(text)
    (options.output.parent / "LICENSE-ICT-FaceKit.txt").write_text(_LICENCE)
    print(text)


if __name__ == "__main__":
    main()
