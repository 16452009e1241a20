"""What of one identity the graph takes in beside a frame's own numbers."""

from __future__ import annotations

from typing import Any

import numpy as np
from numpy.typing import NDArray

from visavis.models.appearance.face.basis import load_basis
from visavis.models.arrays import Floats
from visavis.models.renderer.geometry.pose import CAMERA, HeadPose
from visavis.models.renderer.renderer import Renderer
from visavis.models.renderer.shell import NODES

Arrays = dict[str, NDArray[Any]]

CONTOUR = 120  # points of the face's outline at most


def triangle_count() -> int:
    """Return how many triangles a face has at most; identities have a few less."""
    return len(load_basis().part("face"))


def grid_triangles() -> NDArray[np.int64]:
    """Return the sheet's triangles ``(T, 3)``, as ``raster.warp.invert_grid`` splits its cells."""
    j, i = (v.ravel() for v in np.mgrid[: NODES - 1, : NODES - 1])
    a, b, c, d = j * NODES + i, j * NODES + i + 1, (j + 1) * NODES + i, (j + 1) * NODES + i + 1
    return np.stack([np.stack([a, b, c], 1), np.stack([d, b, c], 1)], 1).reshape(-1, 3)


def _padded(array: NDArray[Any], count: int) -> NDArray[Any]:
    """Return the array with zeros behind it, ``count`` rows."""
    out = np.zeros((count, *array.shape[1:]), array.dtype)
    out[: len(array)] = array
    return out


def identity_arrays(renderer: Renderer) -> Arrays:
    """Return an identity's constants, without the batch.

    Args:
        renderer: the CPU's own of this identity at this size: it has prepared everything.
    """
    rig, shell, chin = renderer.rig, renderer._shell, renderer._chin
    skin = _padded(renderer._skin.astype(np.int64), triangle_count())
    values = _padded(renderer._values[renderer._skin].reshape(-1, 9), len(skin))
    pull = np.zeros((NODES * NODES, CONTOUR), np.float32)
    pull[shell._near, : len(shell._contour)] = shell._pull
    pictures = renderer._pictures
    found: Arrays = {
        "view": rig._view.T,
        "offset": np.append(rig._offset, 0),
        "weight": rig.weight,
        "pivot": rig._pivot,
        "neck": rig._neck,
        "unit": np.array([rig.unit]),
        "skin": skin.reshape(-1, 1),
        "skin_values": values,
        "nodes": shell._nodes,
        "node_weight": shell._weight,
        "contour": _padded(shell._contour[:, None], CONTOUR),
        "outward": _padded(shell._outward, CONTOUR),
        "rim": _padded(shell._rim_home, CONTOUR),
        "rim_weight": _padded(rig.weight[shell._contour], CONTOUR),
        "sheet": _padded(shell._sheet_home, CONTOUR),
        "sheet_weight": _padded(shell._sheet_weight, CONTOUR),
        "pull": pull,
        "chin": np.stack([chin._edge, chin._share, np.maximum(chin._front, -1e6)], 1),
        "texture": pictures.texture.transpose(2, 0, 1),
        "background": pictures.background.transpose(2, 0, 1),
    }
    return {
        k: np.ascontiguousarray(v, np.int64 if v.dtype.kind == "i" else np.float32)
        for k, v in found.items()
    }


def frame_arrays(renderer: Renderer, coefficients: Floats) -> Arrays:
    """Return what of one frame the graph takes, without the batch.

    Args:
        renderer: the identity's own; its rig says where the vertices are.
        coefficients: ``(COUNT,)``.
    """
    rig, vector = renderer.rig, renderer._vector(coefficients)
    pose = renderer._pose(vector)
    model = rig.express(rig.map(vector)).copy()
    return {"model": model, **_held(pose)}


def _held(pose: HeadPose) -> Arrays:
    near = 1.0 / (1.0 - np.sin(pose.lean) * 3.0 / CAMERA)
    return {
        "matrix": pose.matrix,
        "shift": pose.shift,
        "torso": np.array([pose.breath, pose.shrug, near, np.tan(pose.sway)], np.float32),
        "pitch": np.array([pose.pitch], np.float32),
    }
