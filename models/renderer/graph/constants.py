"""What of one identity the graph takes in beside a frame's own numbers."""

from __future__ import annotations

from typing import Any

import cv2
import numpy as np
from numpy.typing import NDArray

from visavis.models.appearance.face.basis import load_basis
from visavis.models.appearance.identity import IdentityError
from visavis.models.arrays import Floats
from visavis.models.renderer.eyes.eyes import EyeNow
from visavis.models.renderer.geometry.pose import CAMERA, HeadPose
from visavis.models.renderer.graph.eyes import patch_room
from visavis.models.renderer.graph.glasses import NODES as NODES_OF_GLASSES
from visavis.models.renderer.graph.mouth import LINE
from visavis.models.renderer.renderer import Renderer
from visavis.models.renderer.shell import NODES

Arrays = dict[str, NDArray[Any]]

CONTOUR = 120  # points of the face's outline at most
HOLE = 1536  # skin triangles beside a hole at most
EYE_NAMES = ("left_eye", "right_eye")
TEETH_SIDE = 512  # of the photo's picture of teeth


def mouth_sides(size: int) -> tuple[int, int]:
    """Return width and height of the mouth's box: measured 90 and 38 at 512."""
    return size // 4, size // 8


def eye_sides(size: int) -> tuple[int, int]:
    """Return width and height of an eye's box: measured 70 and 69 at 512."""
    return size * 3 // 16, size * 3 // 16


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

    Raises:
        IdentityError: eyes or glasses are larger in the picture than the graph has room for.
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
        **_mouth_constants(renderer),
        **_glasses_constants(renderer),
        "texture": pictures.texture.transpose(2, 0, 1),
        "background": pictures.background.transpose(2, 0, 1),
    }
    for side in (0, 1):
        found |= _eye_constants(renderer, side)
    return {
        k: np.ascontiguousarray(v, np.int64 if v.dtype.kind == "i" else np.float32)
        for k, v in found.items()
    }


def _blur(count: int, sigma: float) -> Floats:
    """Return the matrix ``(count, count)`` that blurs a line, mirrored at its ends."""
    reach = round(3 * sigma)
    taps = cv2.getGaussianKernel(2 * reach + 1, sigma).ravel()
    padded = np.pad(np.eye(count), ((reach, reach), (0, 0)), mode="reflect")
    return np.stack([taps @ padded[k : k + len(taps)] for k in range(count)]).astype(np.float32)


def _mouth_constants(renderer: Renderer) -> Arrays:
    mouth, size = renderer._mouth, renderer.size
    lips = _padded(renderer._hole_tris[0], HOLE).reshape(-1, 1)
    teeth = np.zeros((4, TEETH_SIDE, TEETH_SIDE), np.float32)
    colour = np.ones(3, np.float32)
    if mouth._teeth is not None:
        teeth[:] = mouth._teeth.texture.transpose(2, 0, 1)
        colour = mouth._teeth.colour
    return {
        "lip_triangles": lips,
        "mouth_triangles": mouth._local.reshape(-1, 1),
        "mouth_dark": mouth._dark,
        "mouth_rim": mouth._rim,
        "rim_down": _blur(mouth_sides(size)[1], mouth.rim_sigma),
        "rim_across": _blur(mouth_sides(size)[0], mouth.rim_sigma).T,
        "teeth": teeth,
        "teeth_colour": colour,
        "seam_half": np.array([mouth.seam_half]),
    }


def _eye_constants(renderer: Renderer, side: int) -> Arrays:
    name, photo = EYE_NAMES[side], renderer._eyes[side].photo
    patch = photo.ball.shape[0] // 2
    room = patch_room(renderer.size)
    if patch > room:
        raise IdentityError("The eyes are too large in the picture to be drawn on a GPU.")
    spare = ((0, 2 * (room - patch)),) * 2 + ((0, 0),)
    ball, lid = (np.pad(v, spare, mode="edge").transpose(2, 0, 1) for v in (photo.ball, photo.lid))
    found: Arrays = {
        "triangles": _padded(renderer._hole_tris[1 + side], HOLE).reshape(-1, 1),
        "ball": ball,
        "lid": lid,
        "limit": np.array([patch]),
        "row": photo.patch[1:],
        "centre": photo.centre - photo.patch,
        "radius": np.array([photo.radius]),
        "fringe": photo.fringe,
        "lash": photo.lash,
        "lashes": photo.lashes.reshape(-1, 1),
    }
    found["limit"] = found["limit"].astype(np.float32)
    return {f"{name}_{k}": v for k, v in found.items()}


def _glasses_constants(renderer: Renderer) -> Arrays:
    size, frames = renderer.size, renderer._frames
    found: Arrays = {
        "glasses_nodes": np.zeros((NODES_OF_GLASSES, 3), np.float32),
        "glasses_weight": np.ones(NODES_OF_GLASSES, np.float32),
        "glasses_places": np.zeros((NODES_OF_GLASSES, 2), np.float32),
        "glasses_triangles": np.zeros((60, 1), np.int64),
        "glasses_last": np.full(2, -1, np.float32),
        "glasses": np.zeros((4, size, 2 * size), np.float32),
    }
    if frames.worn is None:
        return found
    high, wide = frames.worn.shape[:2]
    if high > size:
        raise IdentityError("The glasses are too large in the picture to be drawn on a GPU.")
    found["glasses"][:, :high, :wide] = frames.worn.transpose(2, 0, 1)
    last = np.array([wide // 2 - 1, high // 2 - 1], np.float32)
    mesh: Arrays = {
        "glasses_nodes": frames._nodes,
        "glasses_places": frames._values,
        "glasses_triangles": frames._triangles.reshape(-1, 1),
        "glasses_last": last,
    }
    return found | mesh


def frame_arrays(renderer: Renderer, coefficients: Floats) -> Arrays:
    """Return what of one frame the graph takes, without the batch.

    Args:
        renderer: the identity's own; its rig says where the vertices are.
        coefficients: ``(COUNT,)``.
    """
    rig, vector = renderer.rig, renderer._vector(coefficients)
    pose, expression = renderer._pose(vector), rig.map(vector)
    model = rig.express(expression).copy()
    points = rig.pose(model, pose)
    mouth = renderer._mouth
    lit = mouth.lit(points, model, pose, expression)
    values = np.zeros((len(lit.values), 6), np.float32)
    values[:, : lit.values.shape[1]] = lit.values
    line = np.zeros((LINE, 3), np.float32)
    if (found := mouth.seam_line(points, model, expression)) is not None:
        line = np.column_stack(found)
    eyes: Arrays = {}
    for side in (0, 1):
        now = renderer._eyes[side].now(points, expression.eyes[side], pose)
        eyes |= _eye_now(renderer, side, now)
        box = np.array(renderer._eyes[side].box(points), np.float32)
        eyes[f"{EYE_NAMES[side]}_box"] = box
    return {
        "model": model,
        **_held(pose),
        **eyes,
        "mouth_box": np.array(mouth.box(points), np.float32),
        "mouth_open": np.array([renderer.is_open(model)], np.float32),
        "mouth_vertices": lit.vertices.copy(),
        "mouth_values": values,
        "mouth_thin": lit.thin,
        "seam": line,
    }


def _eye_now(renderer: Renderer, side: int, now: EyeNow) -> Arrays:
    """Return one eye of a frame, its places relative to its patch of the photo."""
    patch = renderer._eyes[side].photo.patch
    inverse = now.inverse.copy()
    inverse[:, 2] -= patch
    spare = patch_room(renderer.size) + 1 - now.rims.shape[1]
    line, half = now.line, now.half_width
    below = max(9 * half, now.lash_size[0] * now.lash_size[1])
    lashes = [
        line[0, 0] - 2 * half,
        line[:, 1].min() - 5 * half,
        line[-1, 0] + 2 * half,
        line[:, 1].max() + below,
    ]
    found: Arrays = {
        "inverse": inverse.ravel(),
        "shift": now.shift,
        "closing": np.array([now.closing]),
        "rims": np.pad(now.rims, ((0, 0), (0, spare)), mode="edge"),
        "line": line,
        "half": np.array([half]),
        "lash_size": now.lash_size,
        "lash_box": np.array(lashes, np.float32),
        "shades": now.shades,
        "hole": now.hole,
    }
    return {f"{EYE_NAMES[side]}_{k}": v for k, v in found.items()}


def _held(pose: HeadPose) -> Arrays:
    near = 1.0 / (1.0 - np.sin(pose.lean) * 3.0 / CAMERA)
    return {
        "matrix": pose.matrix,
        "shift": pose.shift,
        "torso": np.array([pose.breath, pose.shrug, near, np.tan(pose.sway)], np.float32),
        "pitch": np.array([pose.pitch], np.float32),
    }
