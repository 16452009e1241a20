"""``visavis bench latency``: real Chromium against a real server, click to lip and click to sound.

A click leaves the page's microphone; the server burns a mark into the frame whose sound holds it;
the page notes when that frame is shown and when the click is heard again. So the figure holds
everything between: capture, Opus, network, look-ahead, motion, drawing, encoding, the jitter
buffers of both ends, decoding.
"""

from __future__ import annotations

import argparse
import asyncio
import sys
import tempfile
from pathlib import Path
from typing import Any

import numpy as np
from scipy.ndimage import median_filter

from benchmarks.common import (
    CHROMIUM_ARGS,
    BenchmarkError,
    astronaut_jpeg,
    enrol,
    find_chromium,
    percentiles,
    running_server,
    write_json,
)
from benchmarks.latency.sound import RATE, synthetic_speech, with_clicks, write_wav

_PAGE = Path(__file__).parent / "page"
_MATCH_MS = 700.0  # a click not answered within this is lost
_WARM_UP_MS = 3000.0
_TYPES = {".html": "text/html", ".js": "text/javascript", ".wav": "audio/wav"}


def main(argv: list[str] | None = None) -> int:
    """Run the benchmark; returns the exit code."""
    parser = argparse.ArgumentParser(prog="visavis bench latency", description=__doc__)
    parser.add_argument("--seconds", type=float, default=60, help="length of the call")
    parser.add_argument("--size", type=int, default=512, choices=(256, 384, 512))
    parser.add_argument("--photo", type=Path, help="default: the astronaut of scikit-image")
    parser.add_argument("--speech", type=Path, help="a recording to speak; default: synthetic")
    parser.add_argument("--look-ahead-ms", type=int, default=80)
    parser.add_argument("--json", type=Path, help="where the result goes; default: stdout")
    args = parser.parse_args(argv)
    try:
        result = asyncio.run(_measure(args))
    except BenchmarkError as error:
        sys.stderr.write(f"visavis bench: {error}\n")
        return 1
    write_json(args.json, result)
    return 0


async def _measure(args: argparse.Namespace) -> dict[str, Any]:
    photo = args.photo.read_bytes() if args.photo else astronaut_jpeg()
    settings = {"MEDIA_SIZE": str(args.size), "MEDIA_LOOK_AHEAD_MS": str(args.look_ahead_ms)}
    with tempfile.TemporaryDirectory() as scratch, running_server(**settings) as server:
        sound = Path(scratch) / "sound.wav"
        write_wav(sound, with_clicks(_speech(args.speech), 31.0))
        avatar, enrolment_s = await asyncio.to_thread(enrol, server.url, photo)
        raw = await run_page(server.url, avatar, args.seconds, sound)
    return {
        "benchmark": "latency",
        "settings": {"size": args.size, "fps": 25, "look_ahead_ms": args.look_ahead_ms,
                     "seconds": args.seconds, "browser": raw.pop("browser")},
        "enrolment_s": round(enrolment_s, 2),
        **summarise(raw),
    }  # fmt: skip


def _speech(path: Path | None) -> np.ndarray:
    if path is None:
        return synthetic_speech(20)
    from streamer.audio_file import read_all

    return read_all(path, RATE)


async def run_page(url: str, avatar: str, seconds: float, sound: Path) -> dict[str, Any]:
    """Run the measuring page in headless Chromium and return what it noted.

    The page is injected into the server's own origin, so that the server needs no test routes and
    its origin checks stay in force.
    """
    from playwright.async_api import Route, async_playwright

    files = {path.name: path for path in [*_PAGE.iterdir(), sound]}

    async def serve(route: Route) -> None:
        path = files[route.request.url.rsplit("/", 1)[-1]]
        await route.fulfill(body=path.read_bytes(), content_type=_TYPES[path.suffix])

    async with async_playwright() as playwright:
        browser = await playwright.chromium.launch(
            executable_path=find_chromium(), args=list(CHROMIUM_ARGS)
        )
        try:
            page = await browser.new_page()
            page.set_default_timeout((seconds + 60) * 1000)
            page.on("console", lambda m: m.type == "error" and sys.stderr.write(f"{m.text}\n"))
            await page.route("**/__bench/**", serve)
            await page.goto(f"{url}/__bench/bench.html")
            await page.wait_for_function("window.benchReady === true")
            raw = await page.evaluate(
                "options => window.runBench(options)",
                {"avatarId": avatar, "seconds": seconds, "soundUrl": f"/__bench/{sound.name}"},
            )
            raw["browser"] = f"Chromium {browser.version}"
        finally:
            await browser.close()
    if not raw["frames"]:
        raise BenchmarkError(f"No frame arrived: {raw['errors'] or raw['states']}.")
    return raw


def summarise(raw: dict[str, Any]) -> dict[str, Any]:
    """Turn what the page noted into figures.

    Args:
        raw: ``sent`` and ``heard`` (wall-clock ms of clicks), ``frames`` with ``wall``,
            ``mediaMs``, ``click``, ``offsetMs`` and ``valid``, ``stopped`` and ``firstFrameMs``.

    Returns:
        ``mouth_to_lip_ms``, ``mic_to_sound_ms``, ``av_skew_ms`` (sound later than picture is
        positive), each as percentiles, and how steadily frames came.
    """
    frames = [f for f in raw["frames"] if f["valid"]]
    start = frames[0]["wall"] + _WARM_UP_MS if frames else 0.0
    sent = [s for s in raw["sent"] if start < s < raw["stopped"] - _MATCH_MS]
    marked = {f["mediaMs"]: f for f in reversed(frames) if f["click"]}  # first showing wins
    lips, sounds, skews = [], [], []
    for click in sent:
        lip = next((f for f in sorted(marked.values(), key=lambda f: f["wall"])
                    if click < f["wall"] < click + _MATCH_MS), None)  # fmt: skip
        heard = next((h for h in raw["heard"] if click < h < click + _MATCH_MS), None)
        if lip:
            lips.append(lip["wall"] - click)
        if heard:
            sounds.append(heard - click)
        if lip and heard:
            # The frame is due when its first sample is heard, the click's offset before the click.
            skews.append(heard - lip["offsetMs"] - lip["wall"])
    return {
        "first_frame_ms": round(raw["firstFrameMs"]),
        "mouth_to_lip_ms": percentiles(lips),
        "mic_to_sound_ms": percentiles(sounds),
        "av_skew_ms": percentiles(skews),
        "clicks_sent": len(sent),
        "frames": _steadiness(frames, start, raw["stopped"]),
        "errors": raw["errors"],
        "last_stats": raw["stats"][-1] if raw["stats"] else None,
    }


def _steadiness(frames: list[dict[str, Any]], start: float, stop: float) -> dict[str, Any]:
    """Count by media time what was shown, what never was, and how even the intervals were."""
    steady = [f for f in frames if f["wall"] >= start]
    times = sorted({f["mediaMs"] for f in steady})
    if len(times) < 2:
        return {"shown": len(times)}
    expected = (times[-1] - times[0]) // 40 + 1
    walls = np.array([f["wall"] for f in steady])
    # A frame is late if it trails the pace of the ten seconds around it by more than a period;
    # the release delay may move over minutes, and that is in the latency, not here.
    lateness = walls - np.array([f["mediaMs"] for f in steady])
    pace = median_filter(lateness, size=250, mode="nearest")
    late = int((lateness - pace > 40).sum())
    return {
        "fps": round(len(times) / ((stop - start) / 1000), 2),
        "shown": len(times),
        "expected": int(expected),
        "missing_percent": round(100 * (1 - len(times) / expected), 3),
        "late_percent": round(100 * late / len(steady), 3),
        "interval_ms": percentiles(np.diff(walls)),
    }


if __name__ == "__main__":
    sys.exit(main())
