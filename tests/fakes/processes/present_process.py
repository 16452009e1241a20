"""``visavis present`` on real devices around a pipeline that costs nothing.

Ends after ``--seconds`` and says on standard output, as JSON, what it measured of itself.
"""

from __future__ import annotations

import argparse
import json
import sys
import threading
from pathlib import Path
from typing import Any

from tests.fakes.fake_pipeline import FakePipelines
from visavis.streamer.config import MediaConfig
from visavis.streamer.media.files.recorder import Recorder
from visavis.streamer.presenter.devices.camera import CameraFeed, open_camera
from visavis.streamer.presenter.devices.microphone import Microphone
from visavis.streamer.presenter.devices.speaker import PulseMicrophone
from visavis.streamer.presenter.engine import LiveAvatar
from visavis.streamer.presenter.presenter import Presenter, Waiting
from visavis.streamer.worker.pipeline.pipeline import SlotSpec


def main() -> None:
    parser = argparse.ArgumentParser()
    parser.add_argument("--bundle", required=True)
    parser.add_argument("--seconds", type=float, required=True)
    parser.add_argument("--camera", default="none")
    parser.add_argument("--record", default="")
    parser.add_argument("--canvas", default="512x512")
    args = parser.parse_args()
    sys.setswitchinterval(0.0005)
    arrived = threading.Event()
    spec = SlotSpec(args.bundle, look_ahead_ms=40, canvas=args.canvas)
    width, height = spec.picture_size
    presenter = Presenter(
        LiveAvatar(spec, FakePipelines(), drawn=arrived.set),  # type: ignore[arg-type]
        MediaConfig(look_ahead_ms=40),
        Microphone("", arrived),
        clock=Waiting(),
        arrived=arrived,
        recorder=Recorder(Path(args.record), width, height, spec.fps) if args.record else None,
    )
    if args.camera != "none":
        kind: Any = args.camera
        presenter.feed_camera(CameraFeed(lambda: open_camera(kind, width, height, spec.fps)))
    presenter.feed_speaker(PulseMicrophone)
    presenter.open()
    threading.Timer(args.seconds, presenter.stop).start()
    problems: set[str] = set()
    watching = threading.Event()

    def watch() -> None:
        while not watching.wait(0.1):
            problems.update(presenter.problems())

    threading.Thread(target=watch, daemon=True).start()
    presenter.run()
    watching.set()
    assert presenter.speaker is not None
    figures = presenter.figures
    said = {
        "delay_ms": presenter.delay_ms,
        "shown": figures.shown,
        "late": figures.late,
        "cuts": presenter.speaker.cutter.cuts,
        "skew_ms": list(presenter.speaker.skew_ms),
        "problems": sorted(problems),
    }
    presenter.close()
    sys.stdout.write(json.dumps(said) + "\n")


if __name__ == "__main__":
    main()
