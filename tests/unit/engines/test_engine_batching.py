from __future__ import annotations

import threading
from collections.abc import Callable
from concurrent.futures import Future, ThreadPoolExecutor

import numpy as np
import pytest
from numpy.typing import NDArray

from visavis.engines.base import EngineError, InputError, Tensors
from visavis.engines.batching import BatchingEngine
from visavis.engines.onnx_engine import OnnxEngine
from visavis.models.motion.features import FEATURES
from visavis.models.motion.layout import NetConfig
from visavis.models.motion.stream import load_motion_engine_path
from visavis.streamer.worker.pipeline.motion_models import load_motion


class Doubler:
    """Doubles rows; the first run waits until it is let go."""

    provider = "fake"

    def __init__(self) -> None:
        self.batches: list[int] = []
        self.entered, self.go = threading.Event(), threading.Event()
        self.room = 1000
        self.fault: type[BaseException] | None = None

    def run(self, inputs: Tensors) -> dict[str, NDArray[np.generic]]:
        x = np.asarray(inputs["x"])
        self.batches.append(len(x))
        self.entered.set()
        assert self.go.wait(10)
        if self.fault is not None:
            raise self.fault("on purpose")
        if (x < 0).any():
            raise InputError("A number is negative.")
        if len(x) > self.room:
            raise EngineError("There is no room.")
        return {"y": 2 * x, "z": x[:, :1]}

    def warm_up(self) -> None:
        pass

    def close(self) -> None:
        pass


Answer = Future[dict[str, NDArray[np.generic]]]


class Queue:
    """Requests that pile up behind a first one."""

    def __init__(self, most: int = 8) -> None:
        self.engine = Doubler()
        self.batching = BatchingEngine(self.engine, most=most)
        self.pool = ThreadPoolExecutor(8)

    def submit(self, inputs: list[NDArray[np.generic]]) -> tuple[Answer, list[Answer]]:
        first = self.pool.submit(self.batching.run, {"x": np.zeros((1, 3), np.float32)})
        assert self.engine.entered.wait(10)
        rest = []
        for count, x in enumerate(inputs, 1):
            rest.append(self.pool.submit(self.batching.run, {"x": x}))
            _until(lambda count=count: self.batching.waiting == count)
        return first, rest


def _until(holds: Callable[[], bool]) -> None:
    for _ in range(10_000):
        if holds():
            return
        threading.Event().wait(0.001)
    raise AssertionError("it never came to that")


def rows(*values: float, width: int = 3) -> NDArray[np.float32]:
    return np.repeat(np.array(values, np.float32)[:, None], width, axis=1)


def test_what_waits_goes_together_and_everybody_gets_their_own() -> None:
    queue = Queue()
    first, rest = queue.submit([rows(1), rows(2, 3), rows(4)])
    queue.engine.go.set()
    assert first.result(10)["y"].shape == (1, 3)
    found = [answer.result(10) for answer in rest]
    assert queue.engine.batches == [1, 4], "nobody waits for company, and then all go at once"
    for got, sent in zip(found, ([1], [2, 3], [4]), strict=True):
        np.testing.assert_array_equal(got["y"][:, 0], 2 * np.array(sent))
        np.testing.assert_array_equal(got["z"], np.array(sent)[:, None])


def test_a_run_has_at_most_so_many_rows_and_nobody_is_forgotten() -> None:
    queue = Queue(most=3)
    _, rest = queue.submit([rows(1, 1), rows(2, 2), rows(3), rows(4)])
    queue.engine.go.set()
    for answer, sent in zip(rest, (1, 2, 3, 4), strict=True):
        assert answer.result(10)["y"][0, 0] == 2 * sent
    assert max(queue.engine.batches) <= 3 and sum(queue.engine.batches) == 7


def test_other_shapes_and_dtypes_go_alone() -> None:
    queue = Queue()
    odd = [rows(1, width=5), rows(2).astype(np.float64), np.float32(3)]
    _, rest = queue.submit([rows(1), *odd[:2], rows(4)])  # type: ignore[list-item]
    queue.engine.go.set()
    assert [a.result(10)["y"].dtype.name for a in rest] == ["float32"] * 2 + ["float64", "float32"]
    assert sorted(queue.engine.batches[1:]) == [1, 1, 2]


def test_one_bad_request_costs_only_itself() -> None:
    queue = Queue()
    _, rest = queue.submit([rows(1), rows(-1), rows(3)])
    queue.engine.go.set()
    with pytest.raises(InputError, match="negative"):
        rest[1].result(10)
    assert rest[0].result(10)["y"][0, 0] == 2 and rest[2].result(10)["y"][0, 0] == 6


def test_a_batch_without_room_is_run_one_by_one() -> None:
    queue = Queue()
    queue.engine.room = 1
    _, rest = queue.submit([rows(1), rows(2)])
    queue.engine.go.set()
    assert [a.result(10)["y"][0, 0] for a in rest] == [2, 4]


def test_nobody_waits_for_ever_behind_a_run_that_broke_off() -> None:
    queue = Queue()
    first, rest = queue.submit([rows(1), rows(2)])
    queue.engine.fault = MemoryError
    queue.engine.go.set()
    with pytest.raises(MemoryError):
        first.result(10)
    ends = [answer.exception(10) for answer in rest]
    assert {type(e) for e in ends} == {MemoryError, EngineError}
    queue.engine.fault = None
    assert queue.batching.run({"x": rows(5)})["y"][0, 0] == 10, "and the next one runs"


def test_a_run_has_a_row() -> None:
    with pytest.raises(ValueError, match="at least one row"):
        BatchingEngine(Doubler(), most=0)


def test_motion_says_the_same_in_company() -> None:
    engine = OnnxEngine(load_motion_engine_path())
    batching = BatchingEngine(engine)
    rng = np.random.default_rng(0)
    states = NetConfig().states()
    requests = []
    for _ in range(6):
        signature = {n: rng.normal(0, 0.3, (1, *s)).astype(np.float32) for n, s in states.items()}
        features = rng.normal(0, 1, (1, 4, FEATURES)).astype(np.float32)
        look_ahead = np.eye(4, dtype=np.float32)[rng.integers(4)][None]
        requests.append({"features": features, "look_ahead": look_ahead, **signature})
    alone = [engine.run(request) for request in requests]
    with ThreadPoolExecutor(6) as pool:
        together = list(pool.map(batching.run, requests))
    for one, many in zip(alone, together, strict=True):
        for name, value in one.items():
            np.testing.assert_allclose(many[name], value, atol=2e-5)


def test_sessions_that_are_drawn_side_by_side_share_runs() -> None:
    assert isinstance(load_motion("cpu", callers=2).lips, BatchingEngine)
    assert not isinstance(load_motion("cpu").lips, BatchingEngine), "alone there is no company"
