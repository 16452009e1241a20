"""``visavis bench presenter``: how late camera and virtual microphone are, and how much they part.

Words that begin with a click are spoken into a microphone; the presenter runs in a process of its
own as ``visavis present`` joins it, and stamps the frame a click belongs to (see
``visavis.streamer.worker.probe``). A camera notes when each picture is sent to it.

``--devices pulse`` (the default) is the real thing: a PulseAudio of the benchmark's own, PortAudio,
the virtual microphone. When a click went in and came out is read by two recorders, whose own delay
is the same. ``--devices fake`` delivers blocks of 10 ms at exactly known moments, so it leaves out
what sound devices cost.
"""

from __future__ import annotations

import argparse
import json
import os
import subprocess
import sys
import tempfile
from pathlib import Path
from typing import Any

import numpy as np
import psutil

from visavis.benchmarks.common import BenchmarkError, astronaut_jpeg, guarded
from visavis.benchmarks.latency.main import speech
from visavis.benchmarks.latency.sound import words
from visavis.benchmarks.presenter.drawing import drawing_cpu_ms
from visavis.benchmarks.presenter.lasting import simulate
from visavis.benchmarks.presenter.sound import MICROPHONE, Ear, SoundServer, speaking, wait_for
from visavis.benchmarks.presenter.summary import against, summarise
from visavis.benchmarks.reporting import add_report_options, check_report_options, report

_OURS = "visavis_mic"
# As ``visavis present`` does it, see ``cli.entry``.
_POOLS = {f"{pool}_NUM_THREADS": "1" for pool in ("OMP", "OPENBLAS", "MKL", "NUMBA")}
_LOAD_S = 90.0  # that the avatar may take to be loaded


def main(argv: list[str] | None = None) -> int:
    """Run the benchmark; returns the exit code."""
    parser = argparse.ArgumentParser(
        prog="visavis bench presenter",
        description=__doc__,
        formatter_class=argparse.RawDescriptionHelpFormatter,
    )
    parser.add_argument("--seconds", type=float, default=60.0)
    parser.add_argument("--settle", type=float, default=10.0, help="seconds not counted")
    parser.add_argument("--devices", choices=("pulse", "fake"), default="pulse")
    parser.add_argument("--canvas", default="1280x720")
    parser.add_argument("--background", default="own")
    parser.add_argument("--look-ahead-ms", type=int, default=40)
    parser.add_argument("--avatar", type=Path, help="a bundle; default: the astronaut, enrolled")
    parser.add_argument("--speech", type=Path, help="a recording instead of synthetic vowels")
    parser.add_argument(
        "--simulated-hours", type=float, help="only this: so long on a simulated clock"
    )
    add_report_options(parser)
    args = parser.parse_args(argv)
    return guarded(lambda: _run(args))


def _run(args: argparse.Namespace) -> int:
    check_report_options(args)
    with tempfile.TemporaryDirectory(prefix="visavis-bench-") as name:
        folder = Path(name)
        if args.simulated_hours is not None:
            report(args, {"benchmark": "presenter_simulated", **simulate(args, folder)})
            return 0
        if args.seconds < args.settle + 15:
            raise BenchmarkError("At least 15 seconds must be left after --settle.")
        result = _measure(args, _bundle(args, folder), folder)
    report(args, {"benchmark": "presenter", **result})
    return 0


def _bundle(args: argparse.Namespace, folder: Path) -> Path:
    if args.avatar is not None:
        if not args.avatar.is_file():
            raise BenchmarkError(f"There is no bundle {args.avatar}.")
        return Path(args.avatar)
    from visavis.models.appearance.enrol import enrol
    from visavis.models.appearance.photo.photo import sanitise
    from visavis.models.appearance.tracker.provider import open_tracker

    tracker = open_tracker()
    try:
        identity = enrol(sanitise(astronaut_jpeg()), tracker=tracker)
    finally:
        tracker.close()
    path = folder / "astronaut.vav"
    path.write_bytes(identity.to_bytes())
    return path


def _measure(args: argparse.Namespace, bundle: Path, folder: Path) -> dict[str, Any]:
    said, out = folder / "speech.npy", folder / "run.npz"
    voice = speech(args.speech)
    np.save(said, voice)
    command = [
        sys.executable, "-P", "-m", "visavis.benchmarks.presenter.child",
        "--bundle", str(bundle), "--out", str(out), "--seconds", str(args.seconds),
        "--settle", str(args.settle), "--devices", args.devices, "--canvas", args.canvas,
        "--background", args.background, "--look-ahead-ms", str(args.look_ahead_ms),
        "--speech", str(said),
    ]  # fmt: skip
    load = os.getloadavg()[0]
    psutil.cpu_percent(percpu=True)
    if args.devices == "fake":
        child = subprocess.Popen(command, env={**os.environ, **_POOLS}, stderr=subprocess.PIPE)
        _wait(child, args.seconds)
        busy = psutil.cpu_percent(percpu=True)
        run = np.load(out)
        into, heard = run["into"], run["heard"]
    else:
        run, into, heard, busy = _with_pulse(args, command, words(voice, args.seconds + 30), out)
    counts = json.loads(str(run["said"]))
    result = summarise(run, into, heard, args.settle)
    result["late_share"] = round(counts["late"] / max(1, counts["shown"]), 4)
    result["frames"] = counts["shown"]
    result["draw_cpu_ms"] = drawing_cpu_ms(bundle, args.canvas, args.background)
    return {
        "settings": {
            "devices": args.devices, "canvas": args.canvas, "background": args.background,
            "look_ahead_ms": args.look_ahead_ms, "fps": 25, "seconds": args.seconds,
            "settle_s": args.settle, "load_before": round(load, 2),
            "machine_busy_percent": busy,
        },
        "asked": against(result, args.look_ahead_ms, args.canvas),
        **result,
        "problems": counts["problems"],
        "sound_cuts": counts["cuts"],
    }  # fmt: skip


def _with_pulse(
    args: argparse.Namespace, command: list[str], sound: Any, out: Path
) -> tuple[Any, Any, Any, list[float]]:
    server = SoundServer(out.parent)
    try:
        environment = {**server.environment, **_POOLS}
        child = subprocess.Popen(command, env=environment, stderr=subprocess.PIPE)
        try:
            wait_for(
                lambda: (
                    _OURS in server.pactl("list", "short", "sources") or child.poll() is not None
                ),
                "The presenter did not come up.",
                _LOAD_S,
            )
            before, after = Ear(server, f"{MICROPHONE}.monitor"), Ear(server, _OURS)
            psutil.cpu_percent(percpu=True)
            with speaking(server, sound):
                _wait(child, args.seconds)
            busy = psutil.cpu_percent(percpu=True)
            before.close()
            after.close()
        finally:
            if child.poll() is None:
                child.kill()
                child.wait()
        return np.load(out), np.array(before.clicks), np.array(after.clicks), busy
    finally:
        server.close()


def _wait(child: subprocess.Popen[bytes], seconds: float) -> None:
    try:
        said = child.communicate(timeout=seconds + _LOAD_S)[1]
    except subprocess.TimeoutExpired as error:
        child.kill()
        child.communicate()
        raise BenchmarkError("The presenter did not end.") from error
    if child.returncode:
        last = said.decode("utf-8", "replace").strip().splitlines()
        raise BenchmarkError(f"The presenter failed: {last[-1] if last else child.returncode}")


if __name__ == "__main__":
    sys.exit(main())
