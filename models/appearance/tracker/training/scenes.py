"""Batches for the finder and the matte: scenes with people of many sizes, and with nobody."""

from __future__ import annotations

import json
from dataclasses import dataclass
from pathlib import Path

import cv2
import numpy as np
from numpy.typing import NDArray
from PIL import Image as Files

from visavis.models.appearance.tracker.training.augment import occlude, relight, texture, wear
from visavis.models.appearance.tracker.training.nets import SIZES, STRIDE

Floats = NDArray[np.float32]
Picture = NDArray[np.uint8]
_NOBODY = 0.2


@dataclass(frozen=True)
class Portraits:
    """Whole portraits.

    Attributes:
        pictures: ``(N, 256, 256, 3)`` uint8; mattes: ``(N, 256, 256)`` uint8.
        boxes: ``(N, 3)`` middle and side of the face mesh in pixels of the picture.
    """

    pictures: Picture
    mattes: Picture
    boxes: Floats

    @staticmethod
    def load(folder: Path, faces: Path) -> Portraits:
        """Open what ``label`` wrote of the portraits in ``faces``."""
        names = json.loads((folder / "names.json").read_text())
        pictures = np.load(folder / "pictures.npy", mmap_mode="r")[: len(names)]
        mattes = np.load(folder / "mattes.npy", mmap_mode="r")[: len(names)]
        boxes = np.zeros((len(names), 3), np.float32)
        for at, row in enumerate(names):
            with Files.open(faces / row["name"]) as file:
                size = np.array(file.size, np.float32)
            points = np.array(row["points"], np.float32)[:468] * (pictures.shape[1] / size)
            low, high = points.min(0), points.max(0)
            boxes[at] = (*((low + high) / 2), float((high - low).mean()))
        return Portraits(pictures, mattes, boxes)


class Scenes:
    """Pictures for the finder with the faces in them."""

    def __init__(self, portraits: Portraits) -> None:
        self.portraits, self.size = portraits, SIZES["find"]

    def sample(self, rng: np.random.Generator) -> tuple[Picture, Floats, Floats]:
        """Return a picture, its target and ``(1,)`` how many faces there are.

        The target is ``(5, G, G)``: heat, dx, dy, log side, known.
        """
        canvas, faces = self._background(rng), []
        if rng.random() > _NOBODY:
            if rng.random() < 0.45:  # one portrait that is the whole picture, near or far
                canvas, faces = self._whole(rng)
            else:
                for _ in range(int(rng.choice([1, 1, 1, 2, 3, 4]))):
                    self._paste(canvas, faces, rng)
        if rng.random() < 0.1:
            other = self.portraits.pictures[int(rng.integers(len(self.portraits.pictures)))]
            if not faces:
                canvas = occlude(canvas, other[:60, :60], rng)
        if rng.random() < 0.85:
            canvas = relight(canvas, rng)
        canvas = wear(canvas, rng)
        return canvas, self._target(faces), np.array([len(faces)], np.float32)

    def _draw(self, rng: np.random.Generator) -> tuple[Picture, Picture, Floats]:
        at = int(rng.integers(len(self.portraits.pictures)))
        picture, matte = self.portraits.pictures[at], self.portraits.mattes[at]
        box = self.portraits.boxes[at].copy()
        if rng.random() < 0.5:
            picture, matte = picture[:, ::-1], matte[:, ::-1]
            box[0] = picture.shape[1] - 1 - box[0]
        return picture, matte, box

    def _beheaded(self, rng: np.random.Generator) -> Picture:
        """Return a portrait whose face is a piece of something else: shoulders are no face."""
        picture, _, (x, y, side) = self._draw(rng)
        out = np.ascontiguousarray(picture).copy()
        mask = np.zeros(out.shape[:2], np.uint8)
        axes = (int(0.62 * side), int(0.8 * side))
        cv2.ellipse(mask, (int(x), int(y)), axes, 0, 0, 360, 255, -1)
        kind = rng.random()
        if kind < 0.4:
            cover = texture(rng, len(out))
        elif kind < 0.7:
            cover = cv2.resize(cv2.resize(out, (6, 6), interpolation=cv2.INTER_AREA), out.shape[:2])
        else:
            cover = np.empty_like(out)
            cover[:] = out[min(255, int(y + side)), int(x)]
        soft = cv2.GaussianBlur(mask, (0, 0), rng.uniform(0.5, 6))[..., None] / 255.0
        return (out * (1 - soft) + cover * soft).astype(np.uint8)

    def _background(self, rng: np.random.Generator) -> Picture:
        kind = rng.random()
        if kind < 0.35:
            return texture(rng, self.size)
        source = self._beheaded(rng)
        side = int(rng.integers(40, 256))
        x, y = rng.integers(0, 257 - side, 2)
        piece = cv2.resize(source[y : y + side, x : x + side], (self.size, self.size))
        if kind > 0.8:
            piece = np.ascontiguousarray(np.rot90(piece, int(rng.integers(4))))
        return piece

    def _whole(self, rng: np.random.Generator) -> tuple[Picture, list[Floats]]:
        picture, _, box = self._draw(rng)
        share = float(np.exp(rng.uniform(np.log(0.18), np.log(0.85))))  # the face's, of the side
        scale = share * self.size / box[2]
        lying = bool(rng.random() < 0.12)  # on its side: to be turned before it is a face
        turn = np.radians(rng.uniform(75, 285) if lying else rng.normal(0, 13))
        c, s = np.cos(turn), np.sin(turn)
        matrix = scale * np.array([[c, s], [-s, c]])
        room = max(0.0, 0.5 - 0.55 * share)
        place = self.size * (0.5 + rng.uniform(-room, room, 2))
        offset = place - matrix @ box[:2]
        shown = cv2.warpAffine(
            picture, np.hstack([matrix, offset[:, None]]), (self.size, self.size),
            flags=cv2.INTER_LINEAR,
            borderMode=cv2.BORDER_CONSTANT if rng.random() < 0.5 else cv2.BORDER_REPLICATE,
            borderValue=tuple(int(v) for v in rng.integers(0, 256, 3)),
        )  # fmt: skip
        return shown, [] if lying else [np.array([*place, share * self.size], np.float32)]

    def _paste(self, canvas: Picture, faces: list[Floats], rng: np.random.Generator) -> None:
        picture, matte, box = self._draw(rng)
        side = float(np.exp(rng.uniform(np.log(11), np.log(80))))
        place = rng.uniform(0.3 * side, self.size - 0.3 * side, 2)
        if any(np.abs(place - f[:2]).max() < 0.9 * (side + f[2]) for f in faces):
            return
        scale = side / box[2]
        c, s = np.cos(turn := np.radians(rng.normal(0, 13))), np.sin(turn)
        matrix = scale * np.array([[c, s], [-s, c]])
        onto = np.hstack([matrix, (place - matrix @ box[:2])[:, None]])
        if scale < 0.5:
            factor = max(12, round(1.4 * scale * len(picture))) / len(picture)
            picture, matte = (
                cv2.resize(p, None, fx=factor, fy=factor, interpolation=cv2.INTER_AREA)
                for p in (picture, matte)
            )
            onto[:, :2] /= factor
        size = (self.size, self.size)
        shown = cv2.warpAffine(picture, onto, size)
        if rng.random() < 0.5:
            matte = np.full_like(matte, 255)
        alpha = cv2.warpAffine(matte, onto, size)[..., None] / 255.0
        canvas[:] = (canvas * (1 - alpha) + shown * alpha).astype(np.uint8)
        faces.append(np.array([*place, side], np.float32))

    def _target(self, faces: list[Floats]) -> Floats:
        cells = self.size // STRIDE
        out = np.zeros((5, cells, cells), np.float32)
        ys, xs = np.mgrid[:cells, :cells]
        for x, y, side in faces:
            cx, cy = x / STRIDE - 0.5, y / STRIDE - 0.5
            ix, iy = (int(np.clip(round(v), 0, cells - 1)) for v in (cx, cy))
            sigma = max(0.6, 0.10 * side / STRIDE)
            heat = np.exp(-((xs - ix) ** 2 + (ys - iy) ** 2) / (2 * sigma**2))
            near = (heat > 0.3) & (heat > out[0])
            out[0] = np.maximum(out[0], heat)
            out[1][near], out[2][near] = (cx - xs)[near], (cy - ys)[near]
            out[3][near] = np.log(side / STRIDE)
            out[4][near] = 1.0
        return out


class Mattes:
    """Pictures and how surely each pixel is a person."""

    def __init__(self, portraits: Portraits) -> None:
        self.portraits, self.size = portraits, SIZES["matte"]

    def sample(self, rng: np.random.Generator) -> tuple[Picture, Floats, Floats]:
        """Return a picture, ``(1, S, S)`` of its matte and ``(1,)`` one."""
        at = int(rng.integers(len(self.portraits.pictures)))
        picture, matte = self.portraits.pictures[at], self.portraits.mattes[at]
        if rng.random() < 0.2:
            alpha = matte[..., None] / 255.0
            picture = (texture(rng, len(picture)) * (1 - alpha) + picture * alpha).astype(np.uint8)
        side = len(picture)
        scale = self.size / side * float(np.exp(rng.normal(0.08, 0.15)))
        c, s = np.cos(turn := np.radians(rng.normal(0, 4))), np.sin(turn)
        matrix = scale * np.array([[c, s], [-s, c]])
        if rng.random() < 0.5:
            matrix[:, 0] *= -1
        place = self.size / 2 + rng.normal(0, 0.05, 2) * self.size
        onto = np.hstack([matrix, (place - matrix @ np.full(2, side / 2))[:, None]])
        size = (self.size, self.size)
        shown = cv2.warpAffine(picture, onto, size, borderMode=cv2.BORDER_REPLICATE)
        truth = cv2.warpAffine(matte, onto, size, borderMode=cv2.BORDER_REPLICATE)
        if rng.random() < 0.7:
            shown = relight(shown, rng)
        if rng.random() < 0.5:
            shown = wear(shown, rng)
        return shown, truth[None].astype(np.float32) / 255, np.ones(1, np.float32)
