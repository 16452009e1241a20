"""When a picture answers a sound, and when it is still, on pictures whose answer is known."""

from __future__ import annotations

import numpy as np

from visavis.benchmarks.detect import Movement, answering_cells, responses, still_after

SIDE = 32
MOUTH = np.array([r * SIDE + c for r in range(17, 21) for c in range(12, 20)])
SOUNDS = [3000.0 + 1836.7 * k for k in range(20)]


def pictures(
    openness: np.ndarray, wall: np.ndarray, seed: int = 0, sway: float = 3.0, blinks: bool = True
) -> Movement:
    """A head that sways and blinks, with a mouth opened by ``openness`` (frames,)."""
    rng = np.random.default_rng(seed)
    down, across = np.divmod(np.arange(SIDE * SIDE), SIDE)
    slope = np.sin(across / 3) + np.cos(down / 4)
    swing = sway * np.sin(2 * np.pi * wall / 4300)
    grids = 120 + 20 * slope[None] + swing[:, None] * slope[None]
    grids[:, MOUTH] += 40 * openness[:, None]
    if blinks:
        eyes = [10 * SIDE + 11, 10 * SIDE + 20]
        grids[:, eyes] -= 50 * (rng.uniform(size=len(wall)) < 0.02)[:, None]
    grids += rng.normal(0, 0.4, grids.shape)
    return Movement(wall, np.clip(np.rint(grids), 0, 255).astype(np.float32))


def spoken(wall: np.ndarray, delay: float, sounds: list[float], lasts: float = 600) -> np.ndarray:
    """Openness that follows each sound after a delay."""
    out = np.zeros(len(wall))
    for sound in sounds:
        since = wall - sound - delay
        out = np.maximum(out, np.where((since > 0) & (since < lasts), 0.75, 0))
    return out


def test_known_delay_is_found_within_a_frame() -> None:
    wall = np.arange(0, 42_000, 40.0)
    for delay in (90.0, 210.0, 350.0):
        movement = pictures(spoken(wall, delay, SOUNDS), wall)
        answers = responses(movement, SOUNDS)
        late = answers.onsets - np.array(SOUNDS) - delay
        assert np.isfinite(late).mean() > 0.9
        assert 0 <= np.nanmedian(late) <= 40
        assert answers.false_rate < 0.1
        assert set(answers.cells) <= set(MOUTH)


def test_a_picture_that_only_idles_answers_nothing() -> None:
    wall = np.arange(0, 42_000, 40.0)
    answers = responses(pictures(np.zeros(len(wall)), wall), SOUNDS)
    assert np.isfinite(answers.onsets).mean() < 0.2


def test_sounds_without_pictures_are_no_answer() -> None:
    empty = Movement(np.zeros(0), np.zeros((0, SIDE * SIDE), np.float32))
    assert not np.isfinite(responses(empty, SOUNDS).onsets).any()
    assert not len(answering_cells(empty, SOUNDS))


def test_stillness_is_found_although_the_head_sways_on() -> None:
    wall = np.arange(0, 9000, 40.0)
    stop = 5000.0
    for more in (120.0, 240.0, 400.0):
        chatter = 0.5 + 0.5 * np.sin(2 * np.pi * wall / 230)
        movement = pictures(np.where(wall < stop + more, chatter, 0.0), wall, blinks=False)
        still = still_after(movement, stop, MOUTH)
        assert abs(still - stop - more) <= 80


def test_a_mouth_that_never_moved_has_no_moment_of_rest() -> None:
    wall = np.arange(0, 9000, 40.0)
    assert np.isnan(still_after(pictures(np.zeros(len(wall)), wall), 5000.0, MOUTH))
    assert np.isnan(still_after(pictures(np.zeros(len(wall)), wall), 8900.0, MOUTH))
