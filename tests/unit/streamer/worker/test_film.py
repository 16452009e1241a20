"""A film is drawn on several cores and comes out as if on one."""

from __future__ import annotations

import threading
from collections.abc import Iterator

import numpy as np
import pytest

from visavis.models.appearance.identity import Identity
from visavis.models.coefficients import COUNT
from visavis.streamer.worker.pipeline.film import draw_film
from visavis.streamer.worker.pipeline.picture_models import load_pictures

LIMIT_S = 20.0


def vectors(count: int) -> Iterator[np.ndarray]:
    for number in range(count):
        yield np.full(COUNT, number, np.float32)


class Meeting:
    """A drawer that goes on only when all the others draw as well; it reuses its picture."""

    def __init__(self, together: threading.Barrier) -> None:
        self._together = together
        self._out = np.zeros((4, 4, 3), np.uint8)
        self._busy = threading.Lock()

    def render(self, values: np.ndarray) -> np.ndarray:
        assert self._busy.acquire(blocking=False), "one thread at a time"
        self._together.wait(LIMIT_S)
        self._out[:] = int(values[0])
        self._busy.release()
        return self._out


@pytest.mark.parametrize("drawers", [1, 2, 4])
def test_all_draw_at_once_and_the_film_is_in_order(drawers: int) -> None:
    together = threading.Barrier(drawers)
    film = list(draw_film(vectors(48), [Meeting(together) for _ in range(drawers)]))
    if drawers == 1:  # the one buffer, again and again
        assert len(film) == 48
    else:
        assert [int(picture[0, 0, 0]) for picture in film] == list(range(48))


def test_no_more_is_begun_than_somebody_will_soon_see() -> None:
    taken: list[int] = []

    def values() -> Iterator[np.ndarray]:
        for number in range(1000):
            taken.append(number)
            yield np.zeros(COUNT, np.float32)

    class Quick:
        def render(self, values: np.ndarray) -> np.ndarray:
            return np.zeros((2, 2, 3), np.uint8)

    film = draw_film(values(), [Quick(), Quick()])
    next(film)
    assert len(taken) < 10
    film.close()  # type: ignore[attr-defined]
    assert len(taken) < 10
    assert not [t for t in threading.enumerate() if t.name.startswith("draw_")]


def test_a_picture_that_fails_is_told_in_its_place() -> None:
    class Fails:
        def render(self, values: np.ndarray) -> np.ndarray:
            if values[0] == 5:
                raise RuntimeError("no picture")
            return np.zeros((2, 2, 3), np.uint8)

    seen = 0
    with pytest.raises(RuntimeError, match="no picture"):
        for _ in draw_film(vectors(50), [Fails(), Fails()]):
            seen += 1
    assert seen == 5


def test_two_real_drawers_make_the_film_of_one_bit_by_bit(astronaut_identity: Identity) -> None:
    pictures = load_pictures("cpu")
    speech = np.abs(np.sin(np.arange(24)[:, None] * np.linspace(0.1, 1.3, COUNT))) * 0.4
    one = [
        picture.copy()
        for picture in draw_film(
            iter(speech.astype(np.float32)), [pictures.renderer(astronaut_identity, 384)]
        )
    ]
    two = draw_film(
        iter(speech.astype(np.float32)),
        [pictures.renderer(astronaut_identity, 384) for _ in range(2)],
    )
    assert all(np.array_equal(a, b) for a, b in zip(one, two, strict=True))
    assert any(not np.array_equal(one[0], other) for other in one[1:])
