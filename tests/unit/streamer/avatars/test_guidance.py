"""Guidance before the photo: the sentence, the child that looks, and what it keeps: nothing."""

from __future__ import annotations

import asyncio
import os
import signal
import tempfile
from collections.abc import AsyncIterator
from pathlib import Path

import cv2
import numpy as np
import pytest
from numpy.typing import NDArray

from visavis.streamer.avatars import guidance
from visavis.streamer.avatars.guidance import GOOD, Guide, advise
from visavis.streamer.avatars.look_child import FRAME_BYTES, SIDE
from visavis.streamer.errors import AtCapacity, BadRequest

FINE = {"x": 0.5, "y": 0.46, "height": 0.5, "turned": 0.0, "roll": 1.0, "eyes": 0.3, "mouth": 0.0}


@pytest.mark.parametrize(
    ("change", "code", "words"),
    [
        ({}, "good", GOOD),
        ({"height": 0.2}, "far", "Come closer."),
        ({"height": 0.9}, "near", "Go back"),
        ({"x": 0.7}, "aside", "to your right"),
        ({"x": 0.3}, "aside", "to your left"),
        ({"y": 0.7}, "below", "Move up"),
        ({"y": 0.2}, "above", "Move down"),
        ({"turned": -0.4}, "turned", "straight into the camera"),
        ({"roll": -20.0}, "roll", "upright"),
        ({"eyes": 0.05}, "eyes", "Open your eyes"),
        ({"mouth": 0.3}, "mouth", "Close your mouth"),
    ],
)
def test_one_thing_at_a_time(change: dict[str, float], code: str, words: str) -> None:
    found = advise(FINE | change)
    assert found.code == code and words in found.sentence and found.sentence.endswith(".")


def test_no_face_is_told() -> None:
    assert advise({}).code == "no-face"


@pytest.fixture
async def guide() -> AsyncIterator[Guide]:
    made = Guide()
    yield made
    await made.close()


def small(picture: NDArray[np.uint8], side: int, middle: tuple[int, int]) -> bytes:
    """Cut a square out, its face where the page's oval has it."""
    x, y = middle[0] - side // 2, max(0, middle[1] - round(0.45 * side))
    cut = picture[y : y + side, x : x + side]
    return cv2.resize(cut, (SIDE, SIDE), interpolation=cv2.INTER_AREA).tobytes()


async def test_a_real_face_is_found_and_placed(guide: Guide) -> None:
    from skimage.data import astronaut

    photo, face = astronaut(), (224, 115)
    assert (await guide.look(small(photo, 240, face))).code == "mouth", "she smiles"
    assert (await guide.look(small(photo, 130, face))).code == "near"
    right = await guide.look(small(photo, 240, (face[0] - 40, face[1])))
    left = await guide.look(small(photo, 240, (face[0] + 40, face[1])))
    assert "right" in right.sentence and "left" in left.sentence
    grey = bytes([90]) * FRAME_BYTES
    assert (await guide.look(grey)).code == "no-face"


async def test_only_one_picture_of_one_size_is_looked_at(guide: Guide) -> None:
    for wrong in (b"", b"x" * (FRAME_BYTES - 1), b"\xff\xd8\xff" + b"x" * FRAME_BYTES):
        with pytest.raises(BadRequest, match="144 by 144"):
            await guide.look(wrong)
    first = asyncio.create_task(guide.look(bytes(FRAME_BYTES)))
    await asyncio.sleep(0)
    with pytest.raises(AtCapacity, match="Somebody else"):
        await guide.look(bytes(FRAME_BYTES))
    assert (await first).code == "no-face"


async def test_a_child_that_dies_is_replaced_and_leaves_nothing(
    guide: Guide, monkeypatch: pytest.MonkeyPatch, tmp_path: Path
) -> None:
    monkeypatch.setattr(tempfile, "tempdir", str(tmp_path))
    await guide.look(bytes(FRAME_BYTES))
    first, folders = guide.pid, os.listdir(tmp_path)
    assert first is not None and len(folders) == 1
    os.kill(first, signal.SIGKILL)
    async with asyncio.timeout(10):
        while guide.pid is not None:  # noqa: ASYNC110
            await asyncio.sleep(0.01)
    assert (await guide.look(bytes(FRAME_BYTES))).code == "no-face"
    assert guide.pid not in (first, None)
    assert len(os.listdir(tmp_path)) == 1 and os.listdir(tmp_path) != folders
    await guide.close()
    assert guide.pid is None and not os.listdir(tmp_path)


async def test_a_child_that_talks_nonsense_is_not_believed(
    guide: Guide, monkeypatch: pytest.MonkeyPatch
) -> None:
    await guide.look(bytes(FRAME_BYTES))
    for said in ({"x": 1.0}, {"x": "soon"}, dict.fromkeys(FINE, float("nan"))):

        async def line(child: object, within_s: float, said: object = said) -> object:
            return said if within_s < 10 else {"ready": True}

        monkeypatch.setattr(guidance, "_line", line)
        with pytest.raises(AtCapacity, match="not available"):
            await guide.look(bytes(FRAME_BYTES))
        assert guide.pid is None


async def test_it_ends_when_nobody_holds_a_camera_up(
    guide: Guide, monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.setattr(guidance, "_IDLE_S", 0.0)
    await guide.look(bytes(FRAME_BYTES))
    async with asyncio.timeout(10):
        while guide.pid is not None:  # noqa: ASYNC110
            await asyncio.sleep(0.01)
