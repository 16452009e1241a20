"""Draws people with OpenGL through EGL: Mesa's processor driver or a GPU, the same code."""

from __future__ import annotations

from dataclasses import dataclass
from typing import Any, Protocol

import cv2
import numpy as np
from numpy.typing import NDArray

from visavis.models.arrays import Floats
from visavis.models.renderer.training.people.drawing.light import Light
from visavis.models.renderer.training.people.drawing.shaders import SURFACES, sources

Groups = list[tuple[str, NDArray[np.int32]]]  # a surface and its triangles

LAYOUT = (
    ("place", 4), ("normal", 3), ("uv", 2), ("tint", 3), ("kind", 1), ("gate", 2), ("lamp", 3),
    ("local", 3), ("photo", 4), ("back", 3),
)  # fmt: skip
WIDTH = sum(n for _, n in LAYOUT)
COLUMNS: dict[str, slice] = {}
_at = 0
for _name, _count in LAYOUT:
    COLUMNS[_name] = slice(_at, _at + _count)
    _at += _count


@dataclass(frozen=True)
class Look:
    """What stays the same over a person's pictures.

    Attributes:
        atlas: ``(H, W, 4)`` uint8 skin.
        lips: ``(H, W)`` uint8 mask of the lips in the atlas.
        sheet: ``(S, S, 4)`` uint8.
        background: ``(S, S, 3)`` uint8.
        light: of the scene.
        iris: ``(3,)`` linear colour.
        sclera: ``(3,)`` linear colour.
        eye: iris and pupil radius, width of the limbus (radians), and a seed.
        gloss: of skin, lips, teeth and wet flesh.
    """

    atlas: NDArray[np.uint8]
    lips: NDArray[np.uint8]
    sheet: NDArray[np.uint8]
    background: NDArray[np.uint8]
    light: Light
    iris: Floats
    sclera: Floats
    eye: tuple[float, float, float, float]
    gloss: tuple[float, float, float, float]


@dataclass(frozen=True)
class Drawn:
    """One frame.

    Attributes:
        picture: ``(S, S, 3)`` uint8 RGB.
        photo: ``(S, S, 3)`` float32: place in the photo (sides, 0-1, y down) and its depth, cm.
        depth: ``(S, S)`` float32 cm, larger is nearer; NaN on the background.
        uv: ``(S, S, 2)`` float32.
        semantics: ``(S, S)`` uint8, see ``kit.SEMANTICS``.
    """

    picture: NDArray[np.uint8]
    photo: Floats
    depth: Floats
    uv: Floats
    semantics: NDArray[np.uint8]


class Canvas(Protocol):
    """Draws frames of one size."""

    def dress(self, look: Look) -> None:
        """Take a person's textures and light."""
        ...

    def draw(self, corners: Floats, groups: Groups) -> Drawn:
        """Draw ``(N, WIDTH)`` corners; surfaces and triangles in painting order."""
        ...


class CanvasUnavailableError(RuntimeError):
    """There is no OpenGL here."""


def _program(gl: Any, surface: str, truth: bool) -> Any:
    vertex, fragment = sources(surface, truth=truth)
    return gl.program(vertex_shader=vertex, fragment_shader=fragment)


class GlCanvas:
    """A canvas of ``size`` pixels with ``fine`` x ``fine`` samples per pixel."""

    def __init__(self, size: int, fine: int = 2) -> None:
        """Open a context.

        Raises:
            CanvasUnavailableError: moderngl or EGL is missing.
        """
        try:
            import moderngl

            self._gl = moderngl.create_context(standalone=True, backend="egl")
        except Exception as error:  # the binding raises bare exceptions
            raise CanvasUnavailableError(
                "OpenGL through EGL is not available: install visavis[train] and libegl1 "
                f"with a driver ({error})."
            ) from error
        gl = self._gl
        self.size, self.fine = size, fine
        big = size * fine
        self._picture, self._truth = (
            {name: _program(gl, name, truth) for name in SURFACES} for truth in (False, True)
        )
        self._colour = gl.texture((big, big), 4)
        self._wide = gl.framebuffer([self._colour], gl.depth_renderbuffer((big, big)))
        self._first = gl.texture((size, size), 4, dtype="f4")
        self._second = gl.texture((size, size), 4, dtype="f4")
        self._small = gl.framebuffer(
            [self._first, self._second], gl.depth_renderbuffer((size, size))
        )
        self._buffer: object | None = None
        self._groups: list[tuple] = []
        self._key: tuple = ()
        self._textures: list = []
        self._background = np.zeros((size, size, 3), np.uint8)

    def dress(self, look: Look) -> None:
        """Take a person's textures and light."""
        gl = self._gl
        for texture in self._textures:
            texture.release()
        self._textures = []
        for i, picture in enumerate((look.atlas, look.sheet, look.lips[..., None])):
            h, w, c = picture.shape
            texture = gl.texture((w, h), c, np.ascontiguousarray(picture[::-1]).tobytes())
            texture.filter = (gl.LINEAR, gl.LINEAR)
            texture.repeat_x = texture.repeat_y = False
            texture.use(i)
            self._textures.append(texture)
        big = self.size * self.fine
        self._background = cv2.resize(look.background, (big, big), interpolation=cv2.INTER_CUBIC)
        for program in (*self._picture.values(), *self._truth.values()):
            for i, name in enumerate(("atlas", "sheet", "lips")):
                if name in program:
                    program[name].value = i
        self._set("sh", look.light.sh)
        self._set("lamps", look.light.lamps)
        self._set("colours", look.light.lamp_colours)
        self._set("sizes", look.light.lamp_sizes)
        self._set("iris", look.iris)
        self._set("sclera", look.sclera)
        self._set("eye", np.array(look.eye))
        self._set("gloss", np.array(look.gloss))

    def _set(self, name: str, value: NDArray) -> None:
        for program in (*self._picture.values(), *self._truth.values()):
            if name in program:
                program[name].write(np.ascontiguousarray(value, np.float32).tobytes())

    def _prepare(self, corners: Floats, groups: Groups) -> None:
        key = (corners.shape, *((name, id(tris)) for name, tris in groups))
        if self._key == key:
            self._buffer.write(np.ascontiguousarray(corners, np.float32).tobytes())
            return
        gl = self._gl
        for pair in self._groups:
            for array in pair:
                array.release()
        self._buffer = gl.buffer(np.ascontiguousarray(corners, np.float32).tobytes())
        self._groups = []
        for surface, tris in groups:
            index = gl.buffer(np.ascontiguousarray(tris, np.int32).tobytes())
            pair = []
            for program in (self._picture[surface], self._truth[surface]):
                names = [(n if n in program else None, c) for n, c in LAYOUT]
                form = " ".join(f"{c}f" if n else f"{c}x4" for n, c in names)
                used = [n for n, _ in names if n]
                pair.append(gl.vertex_array(program, [(self._buffer, form, *used)], index))
            self._groups.append(tuple(pair))
        self._key = key

    def draw(self, corners: Floats, groups: Groups) -> Drawn:
        """Draw ``(N, WIDTH)`` corners; surfaces and triangles in painting order."""
        gl = self._gl
        self._prepare(corners, groups)
        gl.enable(gl.DEPTH_TEST)
        gl.enable(gl.BLEND)
        gl.blend_func = gl.SRC_ALPHA, gl.ONE_MINUS_SRC_ALPHA, gl.ONE, gl.ONE_MINUS_SRC_ALPHA
        self._wide.use()
        self._wide.clear(0, 0, 0, 1)
        big = self.size * self.fine
        behind = np.dstack([self._background, np.full((big, big), 255, np.uint8)])
        self._colour.write(np.ascontiguousarray(behind[::-1]).tobytes())
        for (surface, _), (picture, _) in zip(groups, self._groups, strict=True):
            self._wide.depth_mask = surface != "lash"  # soft cards, in no order
            picture.render()
        self._wide.depth_mask = True
        raw = np.frombuffer(self._wide.read(components=3), np.uint8).reshape(big, big, 3)[::-1]
        small = cv2.resize(raw, (self.size, self.size), interpolation=cv2.INTER_AREA)
        gl.disable(gl.BLEND)
        self._small.use()
        self._small.clear(0, 0, 0, 0)
        for _, truth in self._groups:
            truth.render()
        return self._read_truth(small)

    def _read_truth(self, picture: NDArray[np.uint8]) -> Drawn:
        n = self.size
        first = np.frombuffer(self._small.read(components=4, attachment=0, dtype="f4"), np.float32)
        second = np.frombuffer(self._small.read(components=4, attachment=1, dtype="f4"), np.float32)
        first, second = first.reshape(n, n, 4)[::-1], second.reshape(n, n, 4)[::-1]
        semantics = np.rint(first[..., 3]).astype(np.uint8)
        empty = semantics == 0
        photo = first[..., :3].copy()
        depth = np.where(empty, np.nan, second[..., 2]).astype(np.float32)
        uv = np.where(empty[..., None], 0, second[..., :2]).astype(np.float32)
        grid = (np.mgrid[0:n, 0:n][::-1].transpose(1, 2, 0) + 0.5) / n
        photo[empty, :2] = grid[empty]
        photo[empty, 2] = -1e3
        return Drawn(picture, photo, depth, uv, semantics)
