"""The presenter in a process of its own, joined as ``visavis present`` joins it, with a stamp.

Writes what its camera saw to ``--out`` (npz) when it ends.
"""

from __future__ import annotations

import argparse
import json
import resource
import sys
import threading
import time
from pathlib import Path
from typing import Any

import numpy as np
import psutil

from visavis.benchmarks.latency.sound import words
from visavis.benchmarks.presenter.devices import ExactMicrophone, ExactOutput, SeeingCamera
from visavis.streamer.config import MediaConfig
from visavis.streamer.presenter.devices.camera import CameraFeed
from visavis.streamer.presenter.devices.microphone import Microphone
from visavis.streamer.presenter.devices.speaker import Device, PulseMicrophone
from visavis.streamer.presenter.engine import LiveAvatar
from visavis.streamer.presenter.presenter import Presenter, Waiting
from visavis.streamer.worker.pipeline.pipeline import AvatarPipelines, SlotSpec, WorkerSettings

_SWITCH_INTERVAL_S = 0.0005  # as ``visavis present`` sets it
_WATCH_S = 1.0
_SPARE_S = 60.0  # until the presenter has started and ended


def main() -> int:
    """Present for ``--seconds``."""
    parser = argparse.ArgumentParser()
    parser.add_argument("--bundle", required=True)
    parser.add_argument("--out", type=Path, required=True)
    parser.add_argument("--seconds", type=float, required=True)
    parser.add_argument("--settle", type=float, required=True)
    parser.add_argument("--devices", choices=("pulse", "fake"), required=True)
    parser.add_argument("--canvas", required=True)
    parser.add_argument("--background", default="own")
    parser.add_argument("--look-ahead-ms", type=int, required=True)
    parser.add_argument("--speech", type=Path, required=True, help="npy, mono float32 at 48 kHz")
    args = parser.parse_args()
    sys.setswitchinterval(_SWITCH_INTERVAL_S)
    arrived = threading.Event()
    spec = SlotSpec(
        args.bundle, look_ahead_ms=args.look_ahead_ms, canvas=args.canvas, probe=True,
        background=args.background,
    )  # fmt: skip
    avatar = LiveAvatar(spec, AvatarPipelines(WorkerSettings(compute=1)), drawn=arrived.set)
    source: Any = Microphone("", arrived)
    if args.devices == "fake":
        sound = words(np.load(args.speech), args.seconds + 5)
        source = ExactMicrophone((sound * 32_767).astype(np.int16), arrived)
    run = _Run(args, spec, avatar, source, arrived)
    run.present()
    run.save(args.out)
    return 0


class _Run:
    def __init__(
        self,
        args: argparse.Namespace,
        spec: SlotSpec,
        avatar: LiveAvatar,
        source: Any,
        arrived: threading.Event,
    ) -> None:
        self._args, self._source = args, source
        most = int((args.seconds + _SPARE_S) * spec.fps)
        self.camera = SeeingCamera(*spec.picture_size, most)
        self.presenter = Presenter(
            avatar,
            MediaConfig(look_ahead_ms=args.look_ahead_ms),
            source,
            clock=Waiting(),
            arrived=arrived,
        )
        self.presenter.feed_camera(CameraFeed(lambda: self.camera))
        self._output: ExactOutput | None = None
        self.presenter.feed_speaker(self._open_output)
        self._problems: set[str] = set()
        self._watched: list[tuple[float, float, float, float]] = []  # time, cpu s, rss MB, delay ms
        self._draw_ms: list[float] = []
        self._push_ms: list[float] = []
        self._counts = (0, 0)

    def _open_output(self) -> Device:
        if self._args.devices == "pulse":
            return PulseMicrophone()
        self._output = ExactOutput()
        return self._output

    def present(self) -> None:
        presenter, ending = self.presenter, threading.Event()
        began = time.monotonic()

        def watch() -> None:
            while not ending.wait(_WATCH_S):
                self._look(began)
                if time.monotonic() - began > self._args.seconds:
                    presenter.stop()

        presenter.open()
        watcher = threading.Thread(target=watch, daemon=True)
        watcher.start()
        presenter.run()
        ending.set()
        watcher.join(5)
        presenter.close()

    def _look(self, began: float) -> None:
        now, figures = time.monotonic(), self.presenter.figures
        self._problems.update(self.presenter.problems())
        if now - began < self._args.settle:
            figures.draw_ms.clear()
            self._counts = (figures.shown, figures.late)
            return
        self._draw_ms += list(figures.draw_ms)
        figures.draw_ms.clear()
        usage = resource.getrusage(resource.RUSAGE_SELF)
        resident = psutil.Process().memory_info().rss / 1e6
        spent = usage.ru_utime + usage.ru_stime
        self._watched.append((now, spent, resident, self.presenter.delay_ms))

    def save(self, out: Path) -> None:
        figures, speaker = self.presenter.figures, self.presenter.speaker
        assert speaker is not None
        said = {
            "shown": figures.shown - self._counts[0],
            "late": figures.late - self._counts[1],
            "cuts": speaker.cutter.cuts,
            "problems": sorted(self._problems),
        }
        np.savez(
            out,
            said=json.dumps(said),
            sent=self.camera.sent,
            stamps=self.camera.stamps,
            grids=self.camera.grids,
            watched=np.array(self._watched).reshape(-1, 4),
            draw_ms=self._draw_ms,
            into=getattr(self._source, "clicks", []),
            heard=[] if self._output is None else self._output.clicks,
        )


if __name__ == "__main__":
    sys.exit(main())
