"""Devices that are missing, taken, unplugged and back, and platforms that are not here."""

from __future__ import annotations

import io
import subprocess
import sys
import threading
import types
from typing import Any

import numpy as np
import pytest
from rich.console import Console

from visavis.streamer.presenter.devices import camera as cameras
from visavis.streamer.presenter.devices import pulse, sounddevices
from visavis.streamer.presenter.devices.camera import CameraFeed, LoopbackCamera, open_camera, ways
from visavis.streamer.presenter.devices.errors import DeviceError, MissingPart
from visavis.streamer.presenter.devices.keys import Keys
from visavis.streamer.presenter.devices.microphone import Microphone
from visavis.streamer.presenter.devices.speaker import NamedOutput, Speaker
from visavis.streamer.presenter.face import Choices, Face

SILENCE = np.zeros(480, np.int16)


class PortAudioError(Exception): ...


class FakeStream:
    """An input whose callback a test calls, an output that remembers."""

    def __init__(self, audio: FakeAudio, **options: Any) -> None:
        if audio.refuses is not None:
            raise PortAudioError(*audio.refuses)
        self.audio, self.options, self.active = audio, options, False
        self.write_available, self.latency = 960, 0.012
        self.written: list[bytes] = []
        audio.streams.append(self)

    def start(self) -> None:
        self.active = True

    def abort(self, ignore_errors: bool = True) -> None:
        self.active = False

    close = abort

    def write(self, data: bytes) -> None:
        if self.audio.refuses is not None:
            raise PortAudioError(*self.audio.refuses)
        self.written.append(data)

    def says(self, samples: np.ndarray) -> None:
        status = types.SimpleNamespace(input_overflow=False)
        self.options["callback"](samples.tobytes(), len(samples), None, status)


class FakeAudio(types.ModuleType):
    """The surface of ``sounddevice`` that is used."""

    def __init__(self) -> None:
        super().__init__("sounddevice")
        self.PortAudioError = PortAudioError
        self.devices: list[dict[str, Any]] = []
        self.add("Built-in Microphone", 2, 0)
        self.add("BlackHole 2ch", 2, 2)
        self.default = types.SimpleNamespace(device=[0, 1])
        self.refuses: tuple[Any, ...] | None = None
        self.streams: list[FakeStream] = []
        self.refreshed = 0

    def add(self, name: str, inputs: int, outputs: int) -> None:
        made = {"name": name, "max_input_channels": inputs, "max_output_channels": outputs}
        self.devices.append(made)

    def query_devices(self, index: int | None = None) -> Any:
        return self.devices if index is None else self.devices[index]

    def RawInputStream(self, **options: Any) -> FakeStream:
        return FakeStream(self, **options)

    RawOutputStream = RawInputStream

    def _terminate(self) -> None: ...

    def _initialize(self) -> None:
        self.refreshed += 1


@pytest.fixture
def audio(monkeypatch: pytest.MonkeyPatch) -> FakeAudio:
    fake = FakeAudio()
    monkeypatch.setitem(sys.modules, "sounddevice", fake)
    return fake


# ---------------------------------------------------------------------- microphone


def test_a_microphone_that_is_unplugged_comes_back(audio: FakeAudio) -> None:
    arrived = threading.Event()
    microphone = Microphone("built-in", arrived)
    assert microphone.take(0.0) == []
    audio.streams[-1].says(SILENCE + 7)
    assert arrived.is_set()
    assert [b.samples[0] for b in microphone.take(0.01)] == [7]
    assert microphone.take(1.0) == [] and microphone.problem == ""
    microphone.take(1.6)
    assert "unplugged" in microphone.problem and not audio.streams[-1].active
    audio.refuses = ("Device unavailable", -9985)
    microphone.take(2.0)
    assert len(audio.streams) == 1, "not tried before its time"
    microphone.take(3.7)
    assert "another program" in microphone.problem and audio.refreshed == 1
    audio.refuses = None
    microphone.take(5.8)
    audio.streams[-1].says(SILENCE + 9)
    assert [b.samples[0] for b in microphone.take(5.9)] == [9] and microphone.problem == ""
    microphone.close()


@pytest.mark.parametrize(
    ("refuses", "says"),
    [
        (("Invalid device", -9996), "gone"),
        (("Invalid number of channels", -9998), "no usable channel"),
        (("Device unavailable", -9985), "another program"),
        (("Unanticipated host error", -9999), "cannot be opened: Unanticipated"),
        (("something",), "cannot be opened: something"),
    ],
)
def test_why_a_microphone_does_not_open(
    audio: FakeAudio, refuses: tuple[Any, ...], says: str
) -> None:
    audio.refuses = refuses
    microphone = Microphone("", threading.Event())
    microphone.take(0.0)
    assert says in microphone.problem and "Trying again" in microphone.problem


def test_the_avatar_does_not_listen_to_itself(audio: FakeAudio) -> None:
    audio.add("VisavisMicrophone", 1, 0)
    microphone = Microphone("visavis", threading.Event())
    microphone.take(0.0)
    assert "own" in microphone.problem and not audio.streams


def test_the_avatar_is_not_the_system_s_default_microphone(
    audio: FakeAudio, monkeypatch: pytest.MonkeyPatch
) -> None:
    audio.devices[0]["name"] = "default"
    said = ["visavis_mic"]
    monkeypatch.setattr(pulse, "pactl", lambda *words: said[0])
    microphone = Microphone("", threading.Event())
    microphone.take(0.0)
    assert "own" in microphone.problem and not audio.streams
    said[0] = "alsa_input.pci"
    microphone.take(3.0)
    assert len(audio.streams) == 1
    microphone.close()


def test_a_name_that_is_none_and_no_device_at_all(audio: FakeAudio) -> None:
    microphone = Microphone("Yeti", threading.Event())
    microphone.take(0.0)
    assert "no microphone named 'Yeti'" in microphone.problem
    audio.default.device = [-1, -1]
    with pytest.raises(DeviceError, match="There is no sound output"):
        sounddevices.find(audio, "output", "")


def test_nobody_takes_what_is_said(audio: FakeAudio) -> None:
    microphone = Microphone("", threading.Event())
    microphone.take(0.0)
    for _ in range(500):
        audio.streams[-1].says(SILENCE)
    assert len(microphone.take(0.1)) == 100


def test_what_is_not_installed_is_said(monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setitem(sys.modules, "sounddevice", None)
    with pytest.raises(MissingPart, match=r"visavis\[presenter\]"):
        sounddevices.portaudio()
    monkeypatch.setitem(sys.modules, "pyvirtualcam", None)
    with pytest.raises(MissingPart, match="pyvirtualcam"):
        LoopbackCamera(1280, 720, 25)


# ---------------------------------------------------------------------- sound output


def test_a_named_output_is_found_lost_and_found_again(audio: FakeAudio) -> None:
    device = NamedOutput("blackhole")
    device.write(SILENCE + 3)
    assert audio.streams[-1].written == [(SILENCE + 3).tobytes()]
    assert device.latency_s == pytest.approx(0.012)
    audio.streams[-1].write_available = 480
    assert device.latency_s == pytest.approx(0.022)
    audio.refuses = ("Stream is stopped", -9983)
    with pytest.raises(DeviceError, match="lost"):
        device.write(SILENCE)
    with pytest.raises(DeviceError, match="no sound output named 'CABLE'"):
        NamedOutput("CABLE")


def test_a_speaker_says_what_is_wrong_and_tries_again() -> None:
    tries = []

    def open_device() -> Any:
        tries.append(1)
        raise DeviceError("There is no sound server that answers: refused.")

    speaker = Speaker(open_device, lambda now: None, lambda position, count: SILENCE)
    speaker.open()
    try:
        assert "Trying again" in speaker.problem
    finally:
        speaker.close()
    assert tries


@pytest.mark.parametrize(
    ("done", "says"),
    [
        (subprocess.CompletedProcess([], 1, "", "x\nConnection refused"), "Connection refused"),
        (subprocess.TimeoutExpired("pactl", 1), "does not answer"),
    ],
)
def test_a_sound_server_that_is_not_there(
    monkeypatch: pytest.MonkeyPatch, done: Any, says: str
) -> None:
    def run(*words: Any, **options: Any) -> Any:
        if isinstance(done, Exception):
            raise done
        return done

    monkeypatch.setattr(pulse.shutil, "which", lambda name: "/usr/bin/pactl")
    monkeypatch.setattr(pulse.subprocess, "run", run)
    with pytest.raises(DeviceError, match=says):
        pulse.pactl("info")
    monkeypatch.setattr(pulse.shutil, "which", lambda name: None)
    with pytest.raises(MissingPart, match="pulseaudio-utils"):
        pulse.pactl("info")


# ---------------------------------------------------------------------- camera


class FakeVirtualCamera:
    refuses: Exception | None = None

    def __init__(self, width: int, height: int, fps: int, **options: Any) -> None:
        if FakeVirtualCamera.refuses is not None:
            raise FakeVirtualCamera.refuses
        self.size, self.options = (width, height, fps), options
        self.device = options.get("device") or "/dev/video9"
        self.pictures: list[np.ndarray] = []

    def send(self, picture: np.ndarray) -> None:
        if FakeVirtualCamera.refuses is not None:
            raise FakeVirtualCamera.refuses
        self.pictures.append(picture)

    def close(self) -> None: ...


@pytest.fixture
def virtual(monkeypatch: pytest.MonkeyPatch) -> type[FakeVirtualCamera]:
    module = types.ModuleType("pyvirtualcam")
    module.Camera = FakeVirtualCamera  # type: ignore[attr-defined]
    module.PixelFormat = types.SimpleNamespace(I420="I420")  # type: ignore[attr-defined]
    monkeypatch.setitem(sys.modules, "pyvirtualcam", module)
    monkeypatch.setattr(FakeVirtualCamera, "refuses", None)
    return FakeVirtualCamera


@pytest.mark.parametrize(
    ("platform", "device", "said", "says"),
    [
        ("linux", "", "No v4l2 loopback device found at /dev/video[0-99]", "modprobe v4l2loopback"),
        ("linux", "/dev/video7", "Device /dev/video7 not found", "no virtual camera /dev/video7"),
        ("linux", "/dev/video7", "Device or resource busy", "used by another program"),
        ("linux", "", "Permission denied", "group video"),
        ("win32", "", "OBS Virtual Camera is not installed in your system", "OBS 26"),
        ("win32", "", "virtual camera output is running already", "used by another program"),
        ("darwin", "", "'obs' backend: OBS Virtual Camera is not installed", "OBS 30"),
    ],
)
def test_why_a_camera_does_not_open(
    virtual: type[FakeVirtualCamera], platform: str, device: str, said: str, says: str
) -> None:
    virtual.refuses = RuntimeError(said)
    with pytest.raises(DeviceError, match=says) as caught:
        LoopbackCamera(1280, 720, 25, device, platform)
    assert said not in str(caught.value)


@pytest.mark.parametrize("platform", ["linux", "win32", "darwin"])
def test_a_camera_takes_pictures_everywhere(
    virtual: type[FakeVirtualCamera], platform: str
) -> None:
    camera = open_camera("auto", 64, 32, 25, platform=platform)
    camera.send(np.zeros((48, 64), np.uint8))
    assert camera._camera.pictures[0].shape == (48 * 64,)  # type: ignore[attr-defined]
    camera.close()
    assert ways(platform)


@pytest.mark.parametrize("platform", ["win32", "darwin"])
def test_pipewire_is_for_linux(platform: str) -> None:
    with pytest.raises(MissingPart, match="Linux"):
        open_camera("pipewire", 64, 32, 25, platform=platform)


def test_without_loopback_and_pipewire_both_are_named(
    virtual: type[FakeVirtualCamera], monkeypatch: pytest.MonkeyPatch
) -> None:
    virtual.refuses = RuntimeError("No v4l2 loopback device found")
    monkeypatch.setattr(cameras.shutil, "which", lambda name: None)
    with pytest.raises(DeviceError, match=r"modprobe.*GStreamer"):
        open_camera("auto", 64, 32, 25, platform="linux")


def test_a_camera_that_is_lost_is_opened_again(virtual: type[FakeVirtualCamera]) -> None:
    now = [0.0]
    feed = CameraFeed(lambda: LoopbackCamera(64, 32, 25), lambda: now[0])
    picture = np.zeros((48, 64), np.uint8)

    def show_until(condition: Any) -> None:
        for _ in range(500):
            feed.show(picture)
            if condition():
                return
            threading.Event().wait(0.005)
        raise AssertionError("not within 2.5 s")

    feed.open()
    try:
        show_until(lambda: feed.sent >= 1)
        virtual.refuses = RuntimeError("device has gone")
        show_until(lambda: feed.problem)
        assert "lost" in feed.problem and "Trying again" in feed.problem
        virtual.refuses = None
        sent = feed.sent
        now[0] = 3.0
        show_until(lambda: feed.sent > sent)
        assert feed.problem == ""
    finally:
        feed.close()


# ---------------------------------------------------------------------- keys


def test_keys_where_there_is_no_terminal() -> None:
    with Keys(types.SimpleNamespace(isatty=lambda: False)) as keys:
        assert keys.wait(0.001) == ""


def test_keys_of_a_windows_console(monkeypatch: pytest.MonkeyPatch) -> None:
    console = types.ModuleType("msvcrt")
    console.kbhit = lambda: True  # type: ignore[attr-defined]
    console.getwch = lambda: "M"  # type: ignore[attr-defined]
    monkeypatch.setitem(sys.modules, "msvcrt", console)
    with Keys(types.SimpleNamespace(isatty=lambda: True), "win32") as keys:
        assert keys.wait(0.1) == "m"


def test_keys_of_a_unix_terminal() -> None:
    pty = pytest.importorskip("pty", reason="there are no pseudo terminals here")
    import os
    import termios

    ours, theirs = pty.openpty()
    with os.fdopen(theirs, "r", buffering=1) as terminal:
        before = termios.tcgetattr(terminal)
        with Keys(terminal) as keys:
            os.write(ours, b"F")
            assert keys.wait(1.0) == "f"
            assert keys.wait(0.01) == ""
        assert termios.tcgetattr(terminal) == before
    os.close(ours)


# ---------------------------------------------------------------------- import everywhere


@pytest.mark.parametrize("platform", ["win32", "darwin"])
def test_help_works_where_unix_modules_are_missing(platform: str) -> None:
    """In a process in which what only Unix has cannot be imported."""
    code = f"""
import sys
import asyncio, subprocess, tempfile  # what Python and packages need of Unix themselves
import numpy, pydantic, pydantic_settings, rich.progress, typer
sys.platform = {platform!r}
for name in ("fcntl", "termios", "tty", "pty", "resource", "grp", "pwd"):
    sys.modules[name] = None
sys.modules["sounddevice"] = sys.modules["pyvirtualcam"] = None
from visavis.streamer.cli.main import main
for words in (["present", "--help"], ["record", "--help"], ["present", "--list"]):
    sys.argv = ["visavis", *words]
    try:
        main()
    except SystemExit as end:
        assert not end.code, end.code
"""
    done = subprocess.run([sys.executable, "-c", code], capture_output=True, text=True, timeout=60)
    assert done.returncode == 0, done.stderr
    assert done.stdout.count("--background") == 2 and "OBS" in done.stdout


def test_what_is_missing_for_a_virtual_microphone_is_listed(
    monkeypatch: pytest.MonkeyPatch,
) -> None:
    monkeypatch.setattr(pulse, "_library", lambda: None)
    monkeypatch.setattr(pulse, "pactl", lambda *words: "Server Name: pulseaudio")
    assert "VisavisMicrophone" in pulse.way()

    def refused(*words: str) -> str:
        raise DeviceError("There is no sound server that answers: refused.")

    monkeypatch.setattr(pulse, "pactl", refused)
    assert pulse.way() == "There is no sound server that answers: refused."


def test_a_log_keeps_the_brackets_of_a_sentence() -> None:
    """Rich reads [presenter] as a style; a log must say how to install what is missing."""
    out = io.StringIO()
    said = "The camera needs the package pyvirtualcam: pip install 'visavis[presenter]'."
    going = iter([True, False])
    figures = types.SimpleNamespace(problems=lambda: [said])
    face = Face(figures, Choices([]), [], console=Console(file=out))  # type: ignore[arg-type]
    face._log(lambda: next(going), types.SimpleNamespace(wait=lambda s: ""))  # type: ignore[arg-type]
    assert out.getvalue() == said + "\n"
