"""A contact sheet: what the mouth looked like at named phones, with the sound beneath."""

from __future__ import annotations

from collections.abc import Sequence
from dataclasses import dataclass

import cv2
import numpy as np
from numpy.typing import NDArray

from visavis.benchmarks.quality.measures import BILABIALS, VOWELS, Phone

_CROP = 132  # px
_COLUMNS = 12
_WAVE = 90
_LABEL = 18
_LEGEND = (
    "blue: sound; red line: inner-lip gap / eye distance, ticks at 0.1; below each mouth: phone, "
    "time, gap; shaded: P B M (red), F V (yellow), rounded (green)"
)
_INK, _PAPER = (40, 40, 40), 255
_SOUND, _MOUTH, _MARK = (170, 190, 215), (200, 60, 40), (150, 150, 150)
_GROUP_COLOURS = (
    (BILABIALS, (238, 200, 196)),
    (frozenset({"F", "V"}), (244, 228, 184)),
    (frozenset({"UW", "OW", "W", "UH"}), (205, 228, 208)),
)
_SHOWN_FIRST = (BILABIALS, frozenset({"F", "V"}), frozenset({"UW", "OW", "W", "AO"}))


@dataclass(frozen=True)
class Strip:
    """One clip on the sheet.

    Attributes:
        name: its title.
        pcm: mono samples.
        rate: samples per second.
        fps: frames per second.
        phones: what is said when.
        aperture: per frame.
        crops: mouth pictures per frame, RGB.
    """

    name: str
    pcm: NDArray[np.float32]
    rate: int
    fps: int
    phones: Sequence[Phone]
    aperture: NDArray[np.float64]
    crops: Sequence[NDArray[np.uint8]]


def choose(phones: Sequence[Phone], seconds: float, count: int = _COLUMNS) -> list[Phone]:
    """Return up to ``count`` phones in order of time: lips first, then vowels, then the rest."""
    usable = [p for p in phones if p[2] != "SIL" and p[1] <= seconds]
    groups = (*_SHOWN_FIRST, VOWELS)
    ranked = sorted(
        usable, key=lambda p: next((i for i, g in enumerate(groups) if p[2] in g), len(groups))
    )
    # Vowels fill at most what is left, and at least half, so that both kinds are seen.
    lips = [p for p in ranked if any(p[2] in g for g in _SHOWN_FIRST)][: count // 2]
    rest = [p for p in ranked if p not in lips]
    every = max(1, len(rest) // max(1, count - len(lips)))
    return sorted((lips + rest[::every])[:count])


def draw(strips: Sequence[Strip]) -> NDArray[np.uint8]:
    """Return the sheet, ``(H, W, 3)`` uint8 RGB."""
    return np.vstack([_strip(s) for s in strips])


def _strip(strip: Strip) -> NDArray[np.uint8]:
    width = _COLUMNS * _CROP
    sheet = np.full((_LABEL * 2 + _CROP + _WAVE + 12, width, 3), _PAPER, np.uint8)
    _text(sheet, f"{strip.name}   ({_LEGEND})", (4, 13))
    seconds = len(strip.aperture) / strip.fps
    shown = choose(strip.phones, seconds)
    top = _LABEL
    wave_top = top + _CROP + _LABEL
    area = sheet[wave_top : wave_top + _WAVE]
    _shade(area, strip.phones, seconds)
    _wave(area, strip, seconds)
    _name(sheet, strip.phones, seconds, wave_top + _WAVE - 3)
    for column, (start, end, phone) in enumerate(shown):
        middle = (start + end) / 2
        frame = min(len(strip.crops) - 1, int(middle * strip.fps))
        left = column * _CROP
        size = (_CROP - 4, _CROP - 4)
        crop = cv2.resize(strip.crops[frame], size, interpolation=cv2.INTER_AREA)
        sheet[top : top + _CROP - 4, left : left + _CROP - 4] = crop
        colour = _colour(phone)
        if colour is not None:
            below = sheet[top + _CROP - 2 : top + _CROP + 14, left : left + _CROP - 4]
            below[:] = colour
        label = f"{phone} {middle:.2f}s {strip.aperture[frame]:.2f}"
        _text(sheet, label, (left + 2, top + _CROP + 9))
        x = int(middle / seconds * (width - 1))
        cv2.line(
            sheet, (left + _CROP // 2, wave_top - 4), (x, wave_top + 12), _MARK, 1, cv2.LINE_AA
        )
        cv2.line(sheet, (x, wave_top + 12), (x, wave_top + _WAVE - 14), _MARK, 1, cv2.LINE_AA)
    return sheet


def _colour(phone: str) -> tuple[int, int, int] | None:
    return next((colour for group, colour in _GROUP_COLOURS if phone in group), None)


def _shade(area: NDArray[np.uint8], phones: Sequence[Phone], seconds: float) -> None:
    width = area.shape[1]
    for start, end, phone in phones:
        colour = _colour(phone)
        if colour is not None:
            area[:, int(start / seconds * width) : int(end / seconds * width) + 1] = colour


def _name(sheet: NDArray[np.uint8], phones: Sequence[Phone], seconds: float, y: int) -> None:
    """Write every phone under its place, alternately higher and lower so that they can be read."""
    width = sheet.shape[1]
    for place, (start, end, phone) in enumerate(p for p in phones if p[2] != "SIL"):
        x = int((start + end) / 2 / seconds * width) - 4 * len(phone)
        _text(sheet, phone, (max(0, x), y - 11 * (place % 2)))


def _wave(area: NDArray[np.uint8], strip: Strip, seconds: float) -> None:
    height, width = area.shape[:2]
    samples = strip.pcm[: int(seconds * strip.rate)]
    edges = np.linspace(0, len(samples), width + 1).astype(int)
    top = max(1e-6, float(np.abs(samples).max(initial=0.0)))
    for x in range(width):
        piece = samples[edges[x] : edges[x + 1]]
        if len(piece):
            low, high = (int(height / 2 * (1 - v / top)) for v in (piece.max(), piece.min()))
            area[low : high + 1, x] = _SOUND
    scale = max(0.15, float(strip.aperture.max(initial=0.0)))
    for tick in np.arange(0.0, scale, 0.1):
        y = int((height - 2) * (1 - tick / scale))
        area[y, ::6] = _MARK
    xs = (np.arange(len(strip.aperture)) + 0.5) / len(strip.aperture) * width
    ys = (height - 2) * (1 - strip.aperture / scale)
    line = np.stack([xs, ys], -1).round().astype(np.int32)
    cv2.polylines(area, [line], False, _MOUTH, 2, cv2.LINE_AA)


def _text(sheet: NDArray[np.uint8], text: str, place: tuple[int, int]) -> None:
    cv2.putText(sheet, text, place, cv2.FONT_HERSHEY_SIMPLEX, 0.38, _INK, 1, cv2.LINE_AA)
