"""The measuring page in a headless Chromium, in a call with whatever server."""

from __future__ import annotations

import contextlib
import tempfile
from collections.abc import Awaitable, Callable, Sequence
from dataclasses import dataclass
from pathlib import Path
from typing import Any

import numpy as np
from numpy.typing import NDArray

from visavis.benchmarks.common import CHROMIUM_ARGS, BenchmarkError, find_chromium
from visavis.benchmarks.latency.sound import babble, words, write_wav
from visavis.benchmarks.relay import Relay
from visavis.benchmarks.signalling import Answer, Signaller, Target

_PAGE = Path(__file__).parent / "latency" / "page"
_ORIGIN = "http://localhost"  # counts as secure; every request is answered by the harness
_TYPES = {".html": "text/html", ".js": "text/javascript", ".wav": "audio/wav"}
_WORDS_S, _BABBLE_S = 31.0, 20.0
_SLACK_S = 60.0


@dataclass(frozen=True)
class Run:
    """What a page does.

    Attributes:
        seconds: length of the call that is measured.
        connects: calls in all; those before the measured one only until their first frame.
        stops: how often speech is stopped in its midst at the end, every second time with a
            barge-in.
        grids: keep coarse pictures of "all" frames, of "some" (the first ``grid_seconds`` and the
            stops) or "none".
        grid_seconds: see ``grids``.
        control: open the data channel ``control`` (Vis-à-vis).
        wants_sound: fail early when no click comes back as sound.
        within_ms: how late an answer may come.
        apart: read answers as if picture and sound were streams of their own, as our pages do.
    """

    seconds: float
    connects: int = 1
    stops: int = 0
    grids: str = "all"
    grid_seconds: float = 30.0
    control: bool = True
    wants_sound: bool = True
    within_ms: float = 700.0
    apart: bool = False

    def options(self, split: bool) -> dict[str, Any]:
        """Return what the page is told."""
        return {
            "seconds": self.seconds,
            "connects": self.connects,
            "stops": self.stops,
            "grids": self.grids,
            "gridSeconds": self.grid_seconds,
            "control": self.control,
            "wantsSound": self.wants_sound,
            "soundWithinS": 10 + 3 * self.within_ms / 1000,
            "heardThreshold": 0.25,
            "split": split,
            "apart": self.apart,
            "words": "words.wav",
            "babble": "babble.wav",
        }


class _Calls:
    """Answers the page: offers go to the servers, through a relay where there is one."""

    def __init__(
        self, targets: Sequence[Target | Signaller], relay: Callable[[], Relay] | None
    ) -> None:
        self.failure: BenchmarkError | None = None
        self._signallers = [Signaller(t) if isinstance(t, Target) else t for t in targets]
        self._make_relay = relay
        self._relays: list[Relay] = []
        self._open: dict[str, tuple[Signaller, Answer]] = {}

    async def signal(self, request: dict[str, Any]) -> dict[str, str]:
        signaller = self._signallers[int(request["leg"])]
        try:
            offer = str(request["sdp"])
            relay = self._make_relay() if self._make_relay else None
            if relay is not None:
                self._relays.append(relay)
                offer = await relay.offer(offer)
            answer = await signaller.offer(offer)
            name = str(len(self._open))
            self._open[name] = (signaller, answer)
            return {"sdp": relay.answer(answer.sdp) if relay else answer.sdp, "session": name}
        except BenchmarkError as error:
            self.failure = error
            raise

    async def hang_up(self, name: str) -> None:
        signaller, answer = self._open.pop(name, (None, None))
        if signaller is not None and answer is not None:
            await signaller.hang_up(answer)
        if self._relays:
            self._relays.pop(0).close()

    async def close(self) -> None:
        for name in list(self._open):
            await self.hang_up(name)
        for relay in self._relays:
            relay.close()
        for signaller in self._signallers:
            await signaller.close()


async def run_page(
    targets: Sequence[Target | Signaller],
    run: Run,
    speech: NDArray[np.float32],
    *,
    relay: Callable[[], Relay] | None = None,
    began: Callable[[], Awaitable[None]] | None = None,
) -> dict[str, Any]:
    """Run the page and return its notes.

    Args:
        targets: one server, or where to send and where to receive; a signaller speaks as it does.
        run: what to do.
        speech: mono float32 at 48 kHz.
        relay: makes the network of each call.
        began: told when the measured call shows its first frame.

    Raises:
        BenchmarkError: there is no Chromium, or the call could not be made or measured.
    """
    from playwright.async_api import Error, async_playwright

    calls = _Calls(targets, relay)
    with tempfile.TemporaryDirectory(prefix="visavis-bench-page-") as scratch:
        files = _files(Path(scratch), speech, run)
        executable = find_chromium()
        async with async_playwright() as playwright:
            browser = await playwright.chromium.launch(
                executable_path=executable, args=list(CHROMIUM_ARGS)
            )
            try:
                page = await browser.new_page()
                await _equip(page, files, calls, began)
                await page.goto(f"{_ORIGIN}/bench.html")
                await page.wait_for_function("window.benchReady === true")
                options = run.options(split=len(targets) > 1)
                raw = await page.evaluate("options => window.runBench(options)", options)
                raw["browser"] = f"Chromium {browser.version}"
            except Error as error:
                raise calls.failure or BenchmarkError(_sentence(error)) from error
            finally:
                with contextlib.suppress(Error):
                    await browser.close()
                await calls.close()
    return raw


def _files(folder: Path, speech: NDArray[np.float32], run: Run) -> dict[str, Path]:
    write_wav(folder / "words.wav", words(speech, _WORDS_S, run.within_ms / 1000))
    write_wav(folder / "babble.wav", babble(_BABBLE_S))
    return {path.name: path for path in [*_PAGE.iterdir(), *folder.iterdir()]}


async def _equip(
    page: Any, files: dict[str, Path], calls: _Calls, began: Callable[[], Awaitable[None]] | None
) -> None:
    async def serve(route: Any) -> None:
        path = files.get(route.request.url.rsplit("/", 1)[-1])
        if path is None:
            await route.fulfill(status=404, body="")
        else:
            await route.fulfill(body=path.read_bytes(), content_type=_TYPES[path.suffix])

    async def tell() -> None:
        if began is not None:
            await began()

    page.set_default_timeout(_SLACK_S * 1000)
    await page.route("**/*", serve)
    await page.expose_function("signal", calls.signal)
    await page.expose_function("hangUp", calls.hang_up)
    await page.expose_function("began", tell)


def _sentence(error: Exception) -> str:
    """Return the page's own sentence out of a wrapped error."""
    text = str(error).split("\n", 1)[0]
    return text.rsplit("Error: ", 1)[-1].strip() or "The measuring page failed."


def movement_of(raw: dict[str, Any], *, stamped: bool) -> Any:
    """Return the coarse pictures of a run as :class:`visavis.benchmarks.detect.Movement`.

    A stamp's rows, and the one below that coding lets it bleed into, are made black.
    """
    import base64

    from visavis.benchmarks.detect import Movement

    cells = 32 * 32
    flat = np.frombuffer(base64.b64decode(raw["grids"]), np.uint8).reshape(-1, cells)
    frames = sorted((f for f in raw["frames"] if "grid" in f), key=lambda f: f["wall"])
    wall = np.array([f["wall"] for f in frames], float)
    grids = flat[[f["grid"] for f in frames]].astype(np.float32).reshape(-1, cells)
    if stamped:
        grids[:, : 3 * 32] = 0
    return Movement(wall, grids)
