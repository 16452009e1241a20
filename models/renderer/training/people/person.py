"""A synthetic person: a portrait's skin on a full head, with eyes, teeth, light and camera."""

from __future__ import annotations

from dataclasses import dataclass

import cv2
import numpy as np
from numpy.typing import NDArray

from visavis.models.appearance.face.basis import FaceBasis
from visavis.models.appearance.face.fit import OVAL
from visavis.models.appearance.layers.layers import (
    background_behind,
    foreground_colour,
    refine_matte,
)
from visavis.models.appearance.layers.shapes import polygon_mask
from visavis.models.arrays import Floats
from visavis.models.renderer.training.people.drawing.gl import COLUMNS, WIDTH, Groups, Look
from visavis.models.renderer.training.people.drawing.light import Light, random_light, to_linear
from visavis.models.renderer.training.people.head.head import Head, View, make_head, make_view
from visavis.models.renderer.training.people.head.interior import aperture_light, lamp_through
from visavis.models.renderer.training.people.head.kit import (
    EYE,
    EYEBALLS,
    GUM,
    INNER,
    LASH,
    SHEET,
    SKIN,
    TONGUE,
    TOOTH,
    TOOTH_STARTS,
    HeadKit,
    normals,
)
from visavis.models.renderer.training.people.head.pose import Manner, Puppet, move
from visavis.models.renderer.training.people.portrait.eyes import measure_eyes
from visavis.models.renderer.training.people.portrait.portrait import WORK, Portrait
from visavis.models.renderer.training.people.portrait.sheet import (
    Cutout,
    Sheet,
    make_sheet,
    random_background,
)
from visavis.models.renderer.training.people.portrait.skin import (
    Charts,
    Skin,
    bake_skin,
    bend,
    hand_over,
)

_NEAR_FAR = 45.0  # cm before and behind the eyes' plane
_IRIS_CM = (0.60, 0.72)
_TRACE = 0.12  # opacity below which the segmentation only guesses
_WHITE = 0.33  # linear, of the whites of well exposed eyes
_CREVICE = 0.5  # darkening where teeth meet
_MOLARS = 0.16  # of the light that incisors have
_LASH_LIFT = 0.1  # cm towards the viewer, off the lid
_LID_REACH, _LID_DARK = (0.34, 0.16), (0.35, 0.62)  # cm and brightness at upper and lower rim


@dataclass(frozen=True)
class Makeup:
    """Drawn at random for a person: all that no portrait says.

    Attributes:
        change: ``(100,)`` identity added to the fit.
        teeth_place: cm of upper incisors below and lower ones above the closed lip line.
        enamel: ``(3,)`` linear colour of the teeth.
        gum: ``(3,)`` linear.
        tongue: ``(3,)`` linear.
        tooth_gain: ``(32,)`` brightness of each tooth.
        lashes: opacity of the upper lashes.
        distance: cm from camera to face.
        zoom: >= 1 into the portrait.
        hair_back: cm behind the eyes' plane.
    """

    change: Floats
    teeth_place: tuple[float, float]
    enamel: Floats
    gum: Floats
    tongue: Floats
    tooth_gain: Floats
    lashes: float
    distance: float
    zoom: float
    hair_back: float


def random_makeup(rng: np.random.Generator) -> Makeup:
    """Draw a person's chances."""
    modes = np.arange(100)
    change = rng.normal(0, 0.22, 100) * np.exp(-modes / 30.0)
    white, worn = np.array([236, 231, 222.0]), np.array([214, 197, 166.0])
    stain = rng.beta(1.6, 2.2)
    pigment = rng.uniform(0.0, 1.0) ** 3
    gum = np.array([196, 112, 108.0]) * (1 - pigment) + np.array([128, 74, 76.0]) * pigment
    return Makeup(
        change.astype(np.float32),
        (float(rng.normal(0.46, 0.07)), float(rng.normal(0.12, 0.05))),
        to_linear(white * (1 - stain) + worn * stain) * np.float32(rng.uniform(0.62, 0.85)),
        to_linear(np.clip(gum * rng.normal(1, 0.05, 3), 40, 240)),
        to_linear(np.clip(np.array([212, 124, 120.0]) * rng.normal(1, 0.05, 3), 40, 240)),
        np.clip(rng.normal(1, 0.03, 32), 0.88, 1.08).astype(np.float32),
        float(rng.uniform(0.12, 0.6)),
        float(rng.uniform(70, 170)),
        float(rng.uniform(1.03, 1.10)),
        float(rng.uniform(-13.0, -8.5)),
    )


class Person:
    """Everything that is fixed for one person's pictures."""

    def __init__(
        self, kit: HeadKit, basis: FaceBasis, charts: Charts, portrait: Portrait,
        probability: Floats, rng: np.random.Generator, makeup: Makeup | None = None,
        light: Light | None = None,
    ) -> None:  # fmt: skip
        """Build a person.

        Args:
            kit: the head.
            basis: the shipped basis.
            charts: of the kit.
            portrait: lends skin, hair, clothes.
            probability: ``(WORK, WORK)`` of a person, from the segmentation.
            rng: randomness of this person.
            makeup: None draws one.
            light: None draws one.
        """
        self.kit, self.portrait = kit, portrait
        makeup = makeup or random_makeup(rng)
        self.makeup = makeup
        matte = refine_matte(portrait.picture, probability, _oval(portrait))
        # Traces of background beside hair would tear off when the head turns.
        matte = np.clip((matte - _TRACE) / (1 - 2 * _TRACE), 0, 1).astype(np.float32)
        behind = background_behind(portrait.picture, matte)
        foreground = foreground_colour(portrait.picture, matte, behind)
        fit = portrait.fit
        self.head: Head = make_head(kit, basis, fit, makeup.change, makeup.teeth_place)
        eyes = self.head.eye_centres
        unit = float(np.linalg.norm(eyes[0] - eyes[1]))
        self.view: View = make_view(fit, WORK, makeup.distance, makeup.zoom, unit)
        self.skin: Skin = bake_skin(kit, charts, self.head, portrait, matte)
        self.light = light or random_light(rng, self.skin.own)
        self.sheet: Sheet = make_sheet(
            kit, charts, self.head, portrait, self.view, Cutout(foreground, matte),
            self.skin.own, makeup.hair_back,
        )  # fmt: skip
        gains = np.clip(rng.normal(1, 0.06, len(kit.names)), 0.85, 1.15).astype(np.float32)
        self.puppet = Puppet(
            kit, self.head, self.view, Manner(gains, float(rng.uniform(-0.15, 0.15)))
        )
        self.look = self._make_look(rng, charts, behind)
        self._static, self.groups = self._corners(charts)
        self._rim = np.flatnonzero((kit.material == SKIN) & (kit.border < 4.0))
        self._balls = [
            np.flatnonzero((kit.corner >= lo) & (kit.corner < hi)) for lo, hi in EYEBALLS
        ]
        self._photo: Floats | None = None

    def _make_look(
        self, rng: np.random.Generator, charts: Charts, behind: NDArray[np.uint8]
    ) -> Look:
        radius, colour, white = measure_eyes(self.portrait)
        # The eye's white says how bright the portrait shows what is white.
        self._exposure = float(np.clip(white.mean() / _WHITE, 0.5, 1.15))
        cm = float(np.clip(radius / self.portrait.fit.scale, *_IRIS_CM))
        zoom = self.makeup.zoom
        edge = 0.5 * WORK * (1 - 1 / zoom)
        grid = np.linspace(edge, WORK - edge, WORK, dtype=np.float32) - 0.5
        x, y = np.meshgrid(grid, grid)
        background = cv2.remap(
            random_background(rng, behind), x, y, cv2.INTER_LINEAR, borderMode=cv2.BORDER_REFLECT
        )
        white = white * rng.uniform(0.95, 1.1)
        return Look(
            self.skin.atlas, charts.lips, self.sheet.picture, background, self.light, colour,
            white.astype(np.float32),
            (float(np.arctan2(cm, 1.45)), float(rng.uniform(0.13, 0.21)),
             float(rng.uniform(0.025, 0.05)), float(rng.uniform(0, 50))),
            (float(rng.uniform(0.5, 1.1)), float(rng.uniform(0.7, 1.8)),
             float(rng.uniform(0.9, 1.5)), float(rng.uniform(0.8, 1.6))),
        )  # fmt: skip

    def _corners(self, charts: Charts) -> tuple[Floats, Groups]:
        """Return the unchanging columns of all corners, and the triangles in painting order."""
        kit, sheet, n = self.kit, self.sheet, len(self.kit.corner)
        out = np.zeros((n + len(sheet.points), WIDTH), np.float32)
        kind = kit.material
        out[:n, COLUMNS["uv"]] = kit.uv
        skin = kind == SKIN
        out[:n, COLUMNS["kind"].start] = kind
        out[:n, COLUMNS["tint"]] = self._tints()
        out[:n, COLUMNS["gate"]] = 1.0
        out[:n, COLUMNS["gate"].stop - 1] = np.where(skin, hand_over(kit.border), 1.0)
        self._lash_columns(out)
        out[:n, COLUMNS["lamp"]] = 1.0
        out[:n, COLUMNS["local"]] = self._locals()
        out[n:, COLUMNS["uv"]] = np.column_stack([sheet.uv[:, 0], 1.0 - sheet.uv[:, 1]])
        out[n:, COLUMNS["kind"].start] = SHEET
        out[n:, COLUMNS["gate"]] = 1.0
        out[n:, COLUMNS["lamp"]] = 1.0
        out[n:, COLUMNS["local"].start] = sheet.cloth
        of = kind[kit.tris[:, 0]]
        inside = np.isin(of, (INNER, TOOTH, GUM, TONGUE))
        parts = {"skin": of == SKIN, "inside": inside, "eye": of == EYE, "lash": of == LASH}
        groups = [("sheet", np.ascontiguousarray(sheet.tris + np.int32(n), np.int32))]
        for name, mine in parts.items():
            groups.append((name, np.ascontiguousarray(kit.tris[mine], np.int32)))
        return out, groups

    def _tints(self) -> Floats:
        kit, makeup = self.kit, self.makeup
        tint = np.zeros((len(kit.corner), 3), np.float32)
        kind, vertex = kit.material, kit.corner
        lip = to_linear(self.skin.lip)
        tint[kind == INNER] = 0.45 * self._exposure * makeup.gum + 0.1 * lip
        tint[kind == GUM] = 0.65 * self._exposure * makeup.gum + 0.35 * lip * (1.0, 0.8, 0.8)
        place = kit.neutral[vertex[kind == TONGUE]]
        groove = 1 - 0.25 * np.exp(-((place[:, 0] / 0.25) ** 2))
        root = 0.6 + 0.4 * np.clip((place[:, 2] - 5.0) / 4.0, 0, 1)
        tint[kind == TONGUE] = self._exposure * makeup.tongue * (groove * root)[:, None]
        tint[kind == LASH] = (0.012, 0.008, 0.006)
        teeth = np.flatnonzero(kind == TOOTH)
        number = np.searchsorted(TOOTH_STARTS, vertex[teeth], side="right") - 1
        y = kit.neutral[vertex[teeth], 1]
        for tooth in range(32):
            mine = teeth[number == tooth]
            if len(mine) == 0:
                continue
            span = y[number == tooth]
            t = (span - span.min()) / max(float(np.ptp(span)), 1e-3)
            root = t if tooth < 16 else 1 - t
            fade = (1 - 0.22 * root**2)[:, None] * np.array([1, 0.985, 0.955]) ** (
                1 + root[:, None]
            )
            edge = np.clip((0.16 - root) / 0.16, 0, 1)[:, None]
            colour = self._exposure * makeup.enamel * makeup.tooth_gain[tooth] * fade
            x = kit.neutral[vertex[mine]] - kit.neutral[vertex[mine]].mean(0)
            along = x[:, [0, 2]] @ _tangent(x[:, [0, 2]])
            side = np.abs(along) / max(float(np.abs(along).max()), 1e-3)
            # Cheeks lie against the molars: what light the formula lets in there is too much.
            front = 1 - np.clip((np.abs(kit.neutral[vertex[mine], 0]).mean() - 1.5) / 0.8, 0, 1)
            crevice = (1 - _CREVICE * front * side**5)[:, None] ** np.array([0.85, 1.0, 1.1])
            hidden = (_MOLARS + (1 - _MOLARS) * front) ** np.array([0.9, 1.05, 1.1])
            tint[mine] = colour * (1 - edge * np.array([0.13, 0.09, 0.05])) * crevice * hidden
        for side in (0, 1):
            ball = (kind == EYE) & (vertex >= EYEBALLS[side][0]) & (vertex < EYEBALLS[side][1])
            upper = kit.lids[side][0]
            ends = self.head.rest[upper[[0, -1]]]
            inner = ends[np.abs(ends[:, 0]).argmin()]
            gap = np.linalg.norm(self.head.rest[vertex[ball]] - inner, axis=1)
            tint[ball, 0] = np.exp(-((gap / 0.55) ** 2))
        return tint

    def _lash_columns(self, out: Floats) -> None:
        """Set v of the lashes to 0 at the root and 1 at the tip, and their opacity."""
        kit = self.kit
        rows = np.flatnonzero(kit.material == LASH)
        v = kit.uv[rows, 1]
        # Bands of .14 in v, one per strip, with the root at the upper end.
        tops = np.array([0.98767, 0.82164, 0.6555, 0.4895, 0.3235, 0.1575])
        band = np.abs(v[:, None] - (tops - 0.07)[None]).argmin(1)
        out[rows, COLUMNS["uv"].stop - 1] = np.clip((tops[band] - v) / 0.14, 0, 1)
        upper = kit.neutral[kit.corner[rows], 1] > 3.2
        opacity = np.where(upper, self.makeup.lashes, 0.35 * self.makeup.lashes)
        out[rows, COLUMNS["gate"].stop - 1] = opacity

    def _locals(self) -> Floats:
        kit = self.kit
        local = kit.neutral[kit.corner].copy()
        for side in (0, 1):
            rows = slice(*EYEBALLS[side])
            direction = self.head.rest[rows] - self.head.eye_centres[side]
            full = np.zeros_like(kit.neutral)
            full[rows] = direction / np.linalg.norm(direction, axis=1, keepdims=True)
            mine = (kit.corner >= rows.start) & (kit.corner < rows.stop)
            local[mine] = full[kit.corner[mine]]
        return local

    def take_photo(self, coefficients: Floats) -> Floats:
        """Fix the photo that ground truth refers to; return its corners."""
        self._photo = None
        corners = self.corners(coefficients)
        at = self.view.project(self._points)
        self._photo = at
        corners[:, COLUMNS["photo"]][:, :3] = at
        return corners

    def corners(self, coefficients: Floats) -> Floats:
        """Return the ``(N, WIDTH)`` corners of one frame."""
        kit, view = self.kit, self.view
        points, _, pose, _ = self.puppet.pose(coefficients)
        sheet = move(self.sheet.points, self.sheet.weight, view, pose)
        head_n = normals(points, kit.solid)
        out = self._static.copy()
        n = len(kit.corner)
        everything = np.concatenate([points[kit.corner], sheet])
        everything[:n][kit.material == LASH, 2] += _LASH_LIFT
        self._points = everything
        at = view.project(everything)
        w = view.distance - everything[:, 2]
        near, far = view.distance - _NEAR_FAR, view.distance + _NEAR_FAR
        z = (far + near) / (far - near) * w - 2 * far * near / (far - near)
        out[:, COLUMNS["place"]] = np.column_stack(
            [(2 * at[:, 0] - 1) * w, (1 - 2 * at[:, 1]) * w, z, w]
        )
        out[:n, COLUMNS["normal"]] = head_n[kit.corner]
        rim = self._rim
        out[rim, COLUMNS["normal"]] = bend(head_n[kit.corner[rim]], kit.border[rim])
        turned = self.sheet.normals @ (pose.matrix * np.outer([1, -1, 1], [1, -1, 1])).T
        mix = self.sheet.weight[:, None]
        out[n:, COLUMNS["normal"]] = mix * turned + (1 - mix) * self.sheet.normals
        camera = np.array([*view.centre, view.distance], np.float32)
        out[:, COLUMNS["back"]] = (camera - everything) / view.distance
        self._inside(points, head_n, out)
        photo = at if self._photo is None else self._photo
        out[:, COLUMNS["photo"]] = np.column_stack([photo[:, :3], at[:, 2]])
        return out

    def _inside(self, points: Floats, unit: Floats, out: Floats) -> None:
        """Write how much light reaches the mouth's inside and the eyeballs."""
        kit = self.kit
        kind = kit.material
        mouth = kit.inner_lip.copy()
        mouth[kit.corner[(kind == TOOTH) | (kind == GUM) | (kind == TONGUE)]] = True
        ring = np.concatenate([points[kit.ring_lower], points[kit.ring_upper][::-1]])[::2]
        self._open(points, unit, np.flatnonzero(mouth), ring, out)
        for side in (0, 1):
            upper, lower = kit.lids[side]
            ring = np.concatenate([points[lower], points[upper][::-1]])
            self._open(points, unit, np.arange(*EYEBALLS[side]), ring, out)
            self._lid_shadow(points, side, out)

    def _lid_shadow(self, points: Floats, side: int, out: Floats) -> None:
        """Darken the eyeball under the lids' rims, most under the upper one with its lashes."""
        mine = self._balls[side]
        at = points[self.kit.corner[mine]]
        shade = np.ones(len(mine), np.float32)
        for rim, sign, reach, dark in zip(
            self.kit.lids[side], (1, -1), _LID_REACH, _LID_DARK, strict=True
        ):
            line = points[rim]
            order = np.argsort(line[:, 0])
            below = sign * (np.interp(at[:, 0], line[order, 0], line[order, 1]) - at[:, 1])
            t = np.clip(below / reach, 0, 1)
            shade *= dark + (1 - dark) * t * t * (3 - 2 * t)
        out[mine, COLUMNS["gate"].start] *= shade

    def _open(
        self, points: Floats, unit: Floats, rows: NDArray[np.int64], ring: Floats, out: Floats
    ) -> None:
        ring = np.ascontiguousarray(ring, np.float32)
        middle = ring.mean(0)
        area = np.cross(ring - middle, np.roll(ring, -1, 0) - middle).sum(0)
        length = float(np.linalg.norm(area))
        ahead = (area / length if length > 1e-3 else np.array([0, 0, 1.0])).astype(np.float32)
        if ahead[2] < 0.3:
            ahead = np.array([0, 0, 1], np.float32)
        mine, normal = np.ascontiguousarray(points[rows]), np.ascontiguousarray(unit[rows])
        share = np.zeros(len(rows), np.float32)
        aperture_light(mine, normal, ring, ahead, share)
        lamps = np.ones((len(rows), 3), np.float32)
        for k in (0, 1):
            through = np.zeros(len(rows), np.float32)
            size = np.float32(self.light.lamp_sizes[k])
            lamp_through(mine, ring, self.light.lamps[k].astype(np.float32), size, through)
            lamps[:, k] = through
        place = np.full(len(points), -1)
        place[rows] = np.arange(len(rows))
        index = place[self.kit.corner]
        corners = np.flatnonzero(index >= 0)
        out[corners, COLUMNS["gate"].start] = share[index[corners]]
        out[corners, COLUMNS["lamp"]] = lamps[index[corners]]


def _tangent(xz: Floats) -> Floats:
    """Return the direction along the arch of one tooth's horizontal offsets ``(N, 2)``."""
    _, vectors = np.linalg.eigh(xz.T @ xz)
    return vectors[:, -1].astype(np.float32)


def _oval(portrait: Portrait) -> NDArray[np.bool_]:
    outline = portrait.points[list(OVAL), :2]
    centre = outline.mean(0)
    return polygon_mask(centre + (outline - centre) * 0.97, (WORK, WORK))
