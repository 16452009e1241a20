"""Renderer: one coefficient vector and an Identity become a picture."""

from __future__ import annotations

from dataclasses import replace
from functools import cached_property
from typing import NamedTuple

import cv2
import numpy as np
from numpy.typing import NDArray

from visavis.models.appearance.face.basis import FaceBasis, load_basis
from visavis.models.appearance.identity import Identity, IdentityError
from visavis.models.arrays import Floats, Image, held_within
from visavis.models.coefficients import COUNT, INDEX, neutral
from visavis.models.renderer.chin import Chin
from visavis.models.renderer.eyes.eyes import EyePainter
from visavis.models.renderer.eyes.frames import FramePainter
from visavis.models.renderer.frame import FacePatch, Frame, Opening
from visavis.models.renderer.geometry.geometry import Rig
from visavis.models.renderer.geometry.pose import HeadPose, head_pose
from visavis.models.renderer.mouth.mouth import MouthPainter, vertex_normals
from visavis.models.renderer.patches import lay_alone
from visavis.models.renderer.pictures import IdentityPictures, pictures_at
from visavis.models.renderer.raster.edges import EDGE_REACH, soften_steps
from visavis.models.renderer.raster.warp import (
    FAR,
    FULL,
    close_edges,
    count_bits,
    cover,
    extents,
    lay_over,
    place,
    rasterise,
)
from visavis.models.renderer.refiner import (
    Drawn,
    Refiner,
    refine_frame,
)
from visavis.models.renderer.shell import STEP, THROAT, Shell, face_blend, hidden_in_photo


class _RendererTuning(NamedTuple):
    """Where the warp ends and the inside of the mouth begins.

    Centimetres are those of the fitted head. Set by eye on rendered portraits, not fitted.
    """

    hole_reach: float = 5.5  # cm around a hole whose skin triangles can cover it
    # pixels of a 512 picture: a larger jump of the flow is an edge, not a stretch
    step: float = 4.5
    band: int = 32  # rows that are warped at a time, over the columns where the person is
    open: float = 0.012  # cm of gap from which the inside of the mouth is drawn


_TUNING = _RendererTuning()


def _seen_in_photo(
    tris: NDArray[np.int32], source: Floats, throat: NDArray[np.bool_]
) -> NDArray[np.bool_]:
    """Say which triangles face the viewer in the photo; the others have no texture of their own.

    Lips, lids and nostrils keep theirs: small folds there turn over without harm. So does the
    throat, which a falling jaw turns over: a hole there would show through.
    """
    a, b, c = (source[tris[:, i]] for i in range(3))
    ab, ac = b - a, c - a
    area = ab[:, 0] * ac[:, 1] - ab[:, 1] * ac[:, 0]
    middle = np.linalg.norm(tris_centre(tris, source) - source[tris].mean((0, 1)), axis=1)
    inner = middle < 0.55 * np.percentile(middle, 95)
    # y points down, so facing triangles turn clockwise
    return (area < 0) | inner | throat[tris].all(1)


def _from(pixel: int, first: int, every: int) -> int:
    """Return the index of the first of every so many pixels that is not before ``pixel``."""
    return max(0, -(-(pixel - first) // every))


def tris_centre(tris: NDArray[np.int32], points: Floats) -> Floats:
    """Return the triangles' centres."""
    return points[tris].mean(1)


class Renderer:
    """Draws one identity; runs on one core, holds no state.

    The picture that ``render`` returns is a buffer of the renderer: it is valid until the next
    call.

    Attributes:
        rig: moves the identity's vertices.
        refiner: repairs the warp; None where nothing does.
    """

    def __init__(
        self,
        identity: Identity,
        *,
        size: int = 512,
        refiner: Refiner | None = None,
        cutout: bool = False,
        held_sides: float = 0.0,
    ) -> None:
        """Prepare an identity for square pictures.

        Args:
            identity: the enrolled person.
            size: side of the picture in pixels, a multiple of 4.
            refiner: repairs the warp; None costs nothing.
            cutout: draw the person alone, over black, with their opacity in ``alpha``.
            held_sides: part of the side, at the left and the right, over which motion fades to
                none, so that what is laid beside the picture stays joined to it.

        Raises:
            IdentityError: the identity does not fit the installed face basis.
        """
        basis = load_basis()
        if len(identity.rest) != len(basis.neutral):
            raise IdentityError("The identity does not fit the installed face basis.")
        self.identity = identity
        self.size = size
        self.rig = Rig(basis, identity, size)
        self.rig.keep_clothes(identity.foreground, identity.alpha)
        blend = self._prepare_skin(basis)
        chin, hairline = (float(self.rig.source[basis.landmarks[n], 1]) for n in (152, 10))
        self._pictures: IdentityPictures = pictures_at(identity, size, chin=chin, hairline=hairline)
        self.alpha: Image | None = None
        if cutout:
            self.alpha = np.zeros((size, size), np.uint8)
            nothing = np.zeros_like(self._pictures.background)
            self._pictures = replace(self._pictures, background=nothing)
        self._lift = np.float32(self._pictures.lift)
        self._shell = Shell(self.rig, basis, self._skin, blend, held_sides)
        self._mouth = MouthPainter(self.rig, basis, identity)
        self._eyes = tuple(EyePainter(self.rig, identity, s, size) for s in (0, 1))
        self._frames = FramePainter(self.rig, basis, identity, size)
        self._hole_tris = self._near_holes(basis.neutral)
        self._out = self._pictures.background.copy()
        self._source = np.zeros((size, size, 2), np.float32)
        self._lookup = np.zeros((size, size, 2), np.float32)
        self._found = np.zeros((size * size // 8, 5), np.int16)
        self._person = self._person_box()
        self._solid = self._solid_cells()
        bands = -(-int(self._person[3] - self._person[1]) // _TUNING.band)
        self._spans = np.zeros((bands, 2), np.int64)
        self.refiner = refiner
        self.warm_up()

    def _prepare_skin(self, basis: FaceBasis) -> Floats:
        """Choose the triangles that have a texture; return how far each vertex's mesh shows."""
        size = self.size
        face = basis.part("face")
        self._skin = np.ascontiguousarray(face[~basis.inner_lip[face].any(1)])
        self.rig.pose(self.rig.express(self.rig.map(neutral())), self._pose(neutral()))
        facing = vertex_normals(self.rig.points * np.array([1, -1, 1], np.float32), face)[:, 2]
        hidden = hidden_in_photo(face, self.rig.points, size, self.rig.scale)
        blend = face_blend(basis, face, facing, hidden, self.rig.yaw)
        throat = (np.abs(basis.neutral[:, 0]) < THROAT[1]) & (basis.neutral[:, 1] < -6.5)
        self._skin = self._skin[_seen_in_photo(self._skin, self.rig.source, throat)]
        self._values = np.zeros((len(basis.neutral), 3), np.float32)
        self._values[:, :2] = self.rig.source
        self._values[:, 2] = blend
        rest = np.concatenate([self.rig.source, self.rig.points[:, 2:]], 1).astype(np.float32)
        self._chin = Chin(basis, self._skin, rest, self.rig.scale, size)
        return blend

    def _pose(self, coefficients: Floats) -> HeadPose:
        return head_pose(coefficients, self.rig.unit, self.rig.turning, self.rig.yaw)

    def _near_holes(self, points: Floats) -> list[NDArray[np.int32]]:
        """Return the skin triangles that can cover mouth, left and right eye."""
        centres = points[self._skin].mean(1)
        rings = [self.rig.lips.upper, self._eyes[0].loop, self._eyes[1].loop]
        reach = [_TUNING.hole_reach, 4.5, 4.5]
        return [
            np.ascontiguousarray(
                self._skin[np.linalg.norm(centres - points[r].mean(0), axis=1) < limit]
            )
            for r, limit in zip(rings, reach, strict=True)
        ]

    def _person_box(self) -> NDArray[np.int64]:
        """Return the box outside of which nothing ever moves."""
        edge = 2 * self._pictures.lift
        solid = self._pictures.texture[edge::2, edge:-edge:2, 3] > 0
        rows, columns = np.flatnonzero(solid.any(1)), np.flatnonzero(solid.any(0))
        if len(rows) == 0:
            return np.array([0, 0, self.size, self.size], np.int64)
        pad = int(0.75 * self.rig.unit)
        box = [columns[0] - pad, rows[0] - pad, columns[-1] + 1 + pad, rows[-1] + 1 + pad]
        box = np.clip(np.array(box), 0, self.size)
        return np.concatenate([box[:2] // STEP, -(-box[2:] // STEP)]).astype(np.int64) * STEP

    def _solid_cells(self) -> NDArray[np.uint8]:
        """Return which cells of the shell's flow have some of the person within two cells."""
        solid = (self._pictures.texture[::2, ::2, 3] > 0).astype(np.uint8)
        near = cv2.dilate(solid, np.ones((4 * STEP + 1, 4 * STEP + 1), np.uint8))
        return np.ascontiguousarray(near[STEP // 2 :: STEP, STEP // 2 :: STEP])

    def warm_up(self) -> None:
        """Compile (or load) every inner loop, so that the first frame is not the slow one."""
        self._mouth.warm_up()
        self._frames.warm_up()
        values = neutral()
        values[:52] = 0.3
        values[INDEX["headPitch"]] = -0.2
        refiner, self.refiner = self.refiner, None
        self.render(values)
        self.render(neutral())
        self.refiner = refiner

    def mouth_opening(self, coefficients: Floats) -> float:
        """Return the projected inner-lip gap over the inter-ocular distance."""
        vector = self._vector(coefficients)
        points = self.rig.pose(self.rig.express(self.rig.map(vector)), self._pose(vector))
        lips = self.rig.lips
        upper, lower = lips.read_upper @ points[lips.upper], lips.read_lower @ points[lips.lower]
        gap = np.linalg.norm(upper[:, :2] - lower[:, :2], axis=1)
        gap[(lips.gap(self.rig._model) <= 0)] = 0.0
        return float(gap.max()) / self.rig.unit

    @staticmethod
    def _vector(coefficients: Floats) -> Floats:
        vector = np.asarray(coefficients, np.float32).ravel()
        if vector.shape != (COUNT,):
            raise ValueError(f"Expected {COUNT} coefficients, got {vector.size}.")
        return np.nan_to_num(vector)

    def render(self, coefficients: Floats) -> Image:
        """Draw one frame.

        Args:
            coefficients: ``(COUNT,)`` in the order of ``visavis.models.coefficients``.

        Returns:
            ``(size, size, 3)`` uint8 RGB, valid until the next call.
        """
        vector = self._vector(coefficients)
        pose = self._pose(vector)
        expression = self.rig.map(vector)
        model = self.rig.express(expression)
        points = self.rig.pose(model, pose)
        self._shell.update(points, pose)
        face = self._draw_face(points, pose)
        frame = Frame(self._out, self._source, expression, pose, model, points, face)
        mouth, eyes = self._openings(frame)
        self._compose(face)
        step = np.float32(_TUNING.step * self.size / 512)
        soften_steps(frame.out, frame.source, face.depth, face.left, face.top, step, self._found)
        for painter, opening in zip(self._eyes, eyes, strict=True):
            if opening.coverage.size:
                painter.paint(frame, opening)
        self._frames.paint(frame.out, pose)
        interior = None if mouth is None else self._mouth.paint(frame, mouth)
        self._mouth.draw_seam(frame)
        if self.refiner is not None:
            photo, unit = self._pictures.photo, self.rig.unit
            drawn = Drawn(frame.out, photo, frame.source, mouth, interior, unit)
            refine_frame(self.refiner, drawn)
        return frame.out

    @cached_property
    def _opacity(self) -> Image:
        return np.ascontiguousarray(self._pictures.texture[..., 3])

    def shown(self, every: int = 1) -> Floats:
        """Return which pixel of the photo a pixel of the last frame shows.

        Args:
            every: of so many pixels in both directions one is looked at, in the middle of them.

        Returns:
            ``(size / every, size / every, 2)`` float32; the background shows itself. What is
            painted (eyeballs, the inside of the mouth, frames of glasses) has the place of the
            skin around it.
        """
        first = every // 2
        at = np.arange(first, self.size, every, dtype=np.float32)
        shown = np.stack(np.meshgrid(at, at), -1)
        top, bottom = int(self._person[1]), int(self._person[3])
        opacity = self._opacity
        for k, (low, high) in enumerate(self._spans.tolist()):
            rows = slice(*(_from(v, first, every) for v in (
                top + k * _TUNING.band, min(top + (k + 1) * _TUNING.band, bottom)
            )))  # fmt: skip
            columns = slice(*(_from(v, first, every) for v in (low, high)))
            if low < high and rows.start < rows.stop and columns.start < columns.stop:
                here, fine = (rows, columns), np.s_[first::every, first::every]
                lookup = np.ascontiguousarray(self._lookup[fine][here])
                seen = cv2.remap(opacity, lookup, None, cv2.INTER_LINEAR)
                source = self._source[fine][here]
                shown[here] = np.where(seen[..., None] > 127, source, shown[here])
        return shown

    def _compose(self, patch: FacePatch) -> None:
        """Warp the person over the background, by one flow for head, face and torso."""
        depth, flow, left, top = patch.depth, patch.flow, patch.left, patch.top
        x0, y0, x1, y1 = (int(v) for v in self._person)
        face = np.array([left, top, left + depth.shape[1], top + depth.shape[0]], np.int64)
        extents(
            self._shell.flow,
            STEP,
            self._solid,
            self._lift,
            self._person,
            _TUNING.band,
            face,
            self._spans,
        )
        background, out = self._pictures.background, self._out
        for k, (low, high) in enumerate(self._spans.tolist()):
            band = slice(y0 + k * _TUNING.band, min(y0 + (k + 1) * _TUNING.band, y1))
            out[band, x0:low] = background[band, x0:low]
            out[band, high:x1] = background[band, high:x1]
            if self.alpha is not None:
                self.alpha[band, x0:low] = self.alpha[band, high:x1] = 0
            box = self._looked_at(low, high, band, face)
            if box[0] >= box[2]:
                continue
            place(
                self._shell.flow, STEP, depth, flow, left, top, box, self._lift, self._source,
                self._lookup,
            )  # fmt: skip
            if low >= high:
                continue
            person = cv2.remap(
                self._pictures.texture,
                self._lookup[band, low:high],
                None,
                cv2.INTER_LINEAR,
                borderMode=cv2.BORDER_REFLECT_101,
            )
            if self.alpha is None:
                lay_over(person, background, low, band.start, out)
            else:
                lay_alone(person, low, band.start, out, self.alpha)

    def _looked_at(
        self, low: int, high: int, band: slice, face: NDArray[np.int64]
    ) -> NDArray[np.int64]:
        """Return the box of a band whose source pixels are needed.

        Edges are looked for in the box of the face and a few pixels around it. There also what lies
        beside the person must be this frame's: what an earlier one left would show in this.
        """
        x0, _, x1, _ = (int(v) for v in self._person)
        near = EDGE_REACH
        if face[1] - near < band.stop and face[3] + near > band.start:
            left = (int(face[0]) - near) // STEP * STEP
            right = -(-(int(face[2]) + near) // STEP) * STEP
            low, high = (left, right) if low >= high else (min(low, left), max(high, right))
            low, high = max(low, x0), min(high, x1)
        return np.array([low, band.start, high, band.stop], np.int64)

    def _draw_face(self, points: Floats, pose: HeadPose) -> FacePatch:
        face = points[: self.rig.face_count, :2]
        low, high = np.floor(face.min(0)).astype(int), np.ceil(face.max(0)).astype(int) + 1
        x0, y0 = (held_within(v, 0, self.size - 1) for v in low)
        x1, y1 = (held_within(v, 1, self.size) for v in high)
        depth = np.full((max(y1 - y0, 1), max(x1 - x0, 1)), FAR, np.float32)
        flow = np.empty((*depth.shape, 3), np.float32)
        rasterise(self._skin, points, self._values, depth, flow, x0, y0)
        self._chin.continue_neck(depth, flow, y0, points, pose.pitch)
        return FacePatch(depth, flow, x0, y0)

    def is_open(self, model: Floats) -> bool:
        """Say whether the inside of the mouth is seen, by vertices ``(V, 3)`` in model cm."""
        return float(self.rig.lips.gap(model).max()) > _TUNING.open

    def _openings(self, frame: Frame) -> tuple[Opening | None, list[Opening]]:
        """Measure how much skin each pixel at mouth and eyes has; complete the flow there.

        Returns:
            The mouth, None while it is closed, and both eyes.
        """
        face, found = frame.face, []
        boxes = [self._mouth.box(frame.points), *(eye.box(frame.points) for eye in self._eyes)]
        is_open = self.is_open(frame.model)
        for i, (box, tris) in enumerate(zip(boxes, self._hole_tris, strict=True)):
            x0, y0, x1, y1 = box
            coverage = np.zeros((max(0, y1 - y0), max(0, x1 - x0)), np.uint8)
            if coverage.size:
                masks = np.zeros(coverage.shape, np.uint16)
                cover(tris, frame.points, masks, x0, y0)
                count_bits(masks, coverage)
                if i == 0 and not is_open:
                    # Closed lips: what the samples miss along the seam is skin all the same.
                    coverage[:] = FULL
                close_edges(face.depth, face.flow, coverage, x0 - face.left, y0 - face.top)
            found.append(Opening(box, coverage))
        return (found[0] if is_open else None), found[1:]
