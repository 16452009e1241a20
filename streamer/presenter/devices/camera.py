"""Virtual cameras: v4l2loopback and OBS by pyvirtualcam, PipeWire by GStreamer.

Pictures are sent from a thread of their own; a camera that is slow or gone costs its own pictures
and nothing else, and is opened again when it is back.
"""

from __future__ import annotations

import contextlib
import os
import select
import shutil
import subprocess
import sys
import threading
import time
from collections.abc import Callable
from typing import Any, Literal, Protocol

import numpy as np
from numpy.typing import NDArray

from visavis.streamer.presenter.devices.errors import DeviceError, MissingPart

CameraKind = Literal["auto", "v4l2", "obs", "pipewire", "none"]
KINDS: tuple[CameraKind, ...] = ("auto", "v4l2", "obs", "pipewire", "none")
CAMERA_NAME, CAMERA_LABEL = "visavis_cam", "VisavisCamera"
_RETRY_S = 2.0
_PIPE_BYTES = 1 << 20
_IN_FLIGHT = 15  # pictures that GStreamer and the pipe take though nobody watches
_LEFT_S = 0.7  # that no picture was taken, after which who watched has gone
_SETTLE_S = 1.0  # within which a GStreamer that cannot start has ended
_END_S = 2.0
_LOOPBACK = (
    "There is no free v4l2loopback camera: sudo modprobe v4l2loopback exclusive_caps=1 "
    "card_label=VisavisCamera, or use --camera pipewire."
)
_OBS = {
    "win32": "There is no OBS virtual camera: install OBS 26 or newer and start its virtual camera "
    "once.",
    "darwin": "There is no OBS virtual camera: install OBS 30 or newer, start its virtual camera "
    "once and allow it in the system settings.",
}


class Camera(Protocol):
    """Takes pictures at the frame rate it was opened with."""

    name: str

    def send(self, picture: NDArray[np.uint8]) -> None:
        """Show an I420 picture ``(H * 3 // 2, W)``.

        Raises:
            DeviceError: the camera is gone.
        """
        ...

    def close(self) -> None:
        """Give it back."""
        ...


class LoopbackCamera:
    """A camera of pyvirtualcam.

    Args:
        width: in pixels, even.
        height: likewise.
        fps: frames per second.
        device: ``/dev/videoN`` and the like; empty takes the first that is free.
        platform: as ``sys.platform`` has it.

    Raises:
        MissingPart: the package is not installed.
        DeviceError: there is no such camera, or it is taken.
    """

    def __init__(
        self, width: int, height: int, fps: int, device: str = "", platform: str = sys.platform
    ) -> None:
        try:
            import pyvirtualcam
        except ImportError as error:
            raise MissingPart(
                "The camera needs the package pyvirtualcam: pip install 'visavis[presenter]'."
            ) from error
        try:
            module: Any = pyvirtualcam
            self._camera: Any = module.Camera(
                width, height, fps, fmt=module.PixelFormat.I420, device=device or None
            )
        except (RuntimeError, ValueError, OSError) as error:
            raise DeviceError(_refusal(str(error), device, platform)) from error
        self.name = str(self._camera.device)

    def send(self, picture: NDArray[np.uint8]) -> None:
        """Show an I420 picture."""
        try:
            self._camera.send(picture.reshape(-1))
        except (RuntimeError, OSError) as error:
            raise DeviceError(f"The camera {self.name} was lost: {error}.") from error

    def close(self) -> None:
        """Give it back."""
        with contextlib.suppress(RuntimeError, OSError):
            self._camera.close()


def _refusal(said: str, device: str, platform: str) -> str:
    """Return our own sentence for one of pyvirtualcam's."""
    text = said.lower()
    if device and any(word in text for word in ("not found", "no such", "not a", "does not exist")):
        return f"There is no virtual camera {device}."
    if any(word in text for word in ("busy", "in use", "resource", "output is running", "already")):
        return f"The virtual camera {device or ''} is used by another program.".replace("  ", " ")
    if "permission" in text:
        return f"The virtual camera {device or ''} may not be written; are you in the group video?"
    return _OBS.get(platform, _LOOPBACK)


class PipeWireCamera:
    """A camera node of PipeWire, fed through GStreamer's ``pipewiresink``.

    While nobody watches, the sink takes no pictures. After somebody has left, the sink of PipeWire
    0.3 serves nobody else, so it is started anew then: a meeting program opens a camera twice, for
    its preview and for the call.

    Args:
        width: in pixels, even.
        height: likewise.
        fps: frames per second.
        now: monotonic seconds.

    Raises:
        MissingPart: GStreamer or its PipeWire plugin is not installed.
        DeviceError: PipeWire does not run.
    """

    def __init__(
        self, width: int, height: int, fps: int, now: Callable[[], float] = time.monotonic
    ) -> None:
        self._size = (width, height, fps)
        self._now = now
        self.name = f"{CAMERA_LABEL} (PipeWire)"
        self._start()

    def _start(self) -> None:
        program = shutil.which("gst-launch-1.0")
        if program is None:
            raise MissingPart(
                "A PipeWire camera needs GStreamer: apt-get install gstreamer1.0-tools "
                "gstreamer1.0-plugins-base gstreamer1.0-pipewire."
            )
        self._process = subprocess.Popen(
            [program, "-q", *_pipeline(*self._size)],
            stdin=subprocess.PIPE,
            stdout=subprocess.DEVNULL,
            stderr=subprocess.PIPE,
        )
        self._rest = memoryview(b"")  # of a picture that is half written
        self._pictures = 0  # that were taken since the start
        self._moved_at = self._now()
        assert self._process.stdin is not None
        _widen(self._process.stdin.fileno())
        try:
            self._process.wait(_SETTLE_S)
        except subprocess.TimeoutExpired:
            return  # it runs
        raise self._ended()

    def _ended(self) -> DeviceError | MissingPart:
        stderr = self._process.stderr
        said = stderr.read().decode("utf-8", "replace") if stderr is not None else ""
        self.close()
        if "no element" in said:
            return MissingPart(
                "A PipeWire camera needs GStreamer's plugins: apt-get install "
                "gstreamer1.0-plugins-base gstreamer1.0-pipewire."
            )
        return DeviceError("PipeWire does not run in this session, or has gone.")

    def send(self, picture: NDArray[np.uint8]) -> None:
        """Show an I420 picture; it is left out while nobody watches.

        Raises:
            DeviceError: PipeWire is gone.
        """
        if not len(self._rest):
            self._rest = memoryview(np.ascontiguousarray(picture).reshape(-1).data)
        try:
            self._write()
        except (OSError, ValueError) as error:
            with contextlib.suppress(subprocess.TimeoutExpired):
                self._process.wait(_END_S)
            raise DeviceError("The PipeWire camera was lost.") from error
        still_s = self._now() - self._moved_at
        if len(self._rest) and self._pictures > _IN_FLIGHT and still_s > _LEFT_S:
            self.close()
            self._start()

    def _write(self) -> None:
        """Write what the pipe takes within a frame."""
        pipe = self._process.stdin
        assert pipe is not None
        end = time.monotonic() + 1 / self._size[2]
        while len(self._rest):
            left = end - time.monotonic()
            if left <= 0 or not select.select([], [pipe], [], left)[1]:
                return
            self._rest = self._rest[os.write(pipe.fileno(), self._rest) :]
            self._moved_at = self._now()
        self._pictures += 1

    def close(self) -> None:
        """Take the camera away."""
        process = self._process
        for pipe in (process.stdin, process.stderr):
            if pipe is not None:
                with contextlib.suppress(OSError):
                    pipe.close()
        if process.poll() is None:
            process.terminate()
            try:
                process.wait(_END_S)
            except subprocess.TimeoutExpired:
                process.kill()
                process.wait()


def _pipeline(width: int, height: int, fps: int) -> list[str]:
    """Return GStreamer's words for I420 pictures on standard input to a camera node."""
    properties = (
        f"props,media.class=Video/Source,media.role=Camera,node.name={CAMERA_NAME},"
        f"node.description={CAMERA_LABEL}"
    )
    return [
        "fdsrc", "fd=0", f"blocksize={width * height * 3 // 2}", "do-timestamp=true", "!",
        "rawvideoparse", "use-sink-caps=false", "format=i420", f"width={width}",
        f"height={height}", f"framerate={fps}/1", "!", "videoconvert", "!",
        "video/x-raw,format=YUY2", "!", "pipewiresink", "mode=provide", "sync=false",
        f"stream-properties={properties}",
    ]  # fmt: skip


def _widen(pipe: int) -> None:
    """A picture is a megabyte; through the usual pipe it would take twenty turns."""
    os.set_blocking(pipe, False)
    with contextlib.suppress(ImportError, OSError, AttributeError):
        import fcntl

        fcntl.fcntl(pipe, fcntl.F_SETPIPE_SZ, _PIPE_BYTES)


def open_camera(
    kind: CameraKind,
    width: int,
    height: int,
    fps: int,
    device: str = "",
    platform: str = sys.platform,
) -> Camera:
    """Open a virtual camera; ``auto`` takes v4l2loopback or OBS, else PipeWire on Linux.

    Raises:
        MissingPart: what this way needs is not installed.
        DeviceError: there is no such camera now.
    """
    if kind == "pipewire":
        if platform in ("win32", "darwin"):
            raise MissingPart("PipeWire cameras are for Linux; use --camera obs here.")
        return PipeWireCamera(width, height, fps)
    if kind != "auto" or platform in ("win32", "darwin"):
        return LoopbackCamera(width, height, fps, device, platform)
    try:
        return LoopbackCamera(width, height, fps, device, platform)
    except (DeviceError, MissingPart) as first:
        try:
            return PipeWireCamera(width, height, fps)
        except (DeviceError, MissingPart) as second:
            raise DeviceError(f"{first} ({second})") from second


class CameraFeed:
    """The thread that sends pictures, the newest one only.

    Args:
        open_it: opens the camera.
        now: monotonic seconds.
    """

    def __init__(
        self, open_it: Callable[[], Camera], now: Callable[[], float] = time.monotonic
    ) -> None:
        self.problem = ""
        self.name = ""
        self.sent = self.dropped = 0
        self._open_it = open_it
        self._now = now
        self._camera: Camera | None = None
        self._next: NDArray[np.uint8] | None = None
        self._wake = threading.Condition()
        self._ending = False
        self._thread = threading.Thread(target=self._run, name="camera", daemon=True)

    def open(self) -> None:
        """Open the camera now, so that what is missing is said before anything begins.

        Raises:
            MissingPart: something is not installed.
        """
        try:
            self._use(self._open_it())
        except DeviceError as error:
            self._lost(error)
        self._thread.start()

    def show(self, picture: NDArray[np.uint8]) -> None:
        """Send a picture as soon as the camera is free."""
        with self._wake:
            if self._next is not None:
                self.dropped += 1
            self._next = picture
            self._wake.notify()

    def _use(self, camera: Camera) -> None:
        self._camera, self.name, self.problem = camera, camera.name, ""

    def _lost(self, error: Exception) -> None:
        self.problem = f"{error} Trying again every {_RETRY_S:.0f} s."

    def _run(self) -> None:
        retry_at = self._now() + _RETRY_S
        while True:
            with self._wake:
                while self._next is None and not self._ending:
                    self._wake.wait(0.5)
                if self._ending:
                    break
                picture, self._next = self._next, None
            assert picture is not None
            if self._camera is None and self._now() < retry_at:
                continue
            try:
                if self._camera is None:
                    self._use(self._open_it())
                camera: Any = self._camera
                camera.send(picture)
                self.sent += 1
            except (DeviceError, MissingPart) as error:
                self._lost(error)
                self._drop()
                retry_at = self._now() + _RETRY_S
        self._drop()

    def _drop(self) -> None:
        camera, self._camera = self._camera, None
        if camera is not None:
            camera.close()

    def close(self) -> None:
        """Stop and take the camera away."""
        with self._wake:
            self._ending = True
            self._wake.notify()
        if self._thread.is_alive():
            self._thread.join(5)
        else:
            self._drop()


def ways(platform: str = sys.platform) -> list[str]:
    """Return a line for every way to a virtual camera here, and what is missing for it."""
    if platform == "win32" or platform == "darwin":
        return [f"obs: {_OBS[platform]}"]
    found = _loopbacks()
    lines = [f"v4l2: {', '.join(found)}" if found else f"v4l2: {_LOOPBACK}"]
    has = shutil.which("gst-launch-1.0") is not None
    lines.append("pipewire: " + ("by GStreamer" if has else "needs gstreamer1.0-tools"))
    return lines


def _loopbacks(root: str = "/sys/class/video4linux") -> list[str]:
    """Return the video devices that v4l2loopback made, with their labels."""
    found: list[str] = []
    with contextlib.suppress(OSError):
        for name in sorted(os.listdir(root)):
            folder = os.path.realpath(os.path.join(root, name))
            if "/virtual/" in folder:
                with contextlib.suppress(OSError), open(os.path.join(folder, "name")) as file:
                    found.append(f"/dev/{name} ({file.read().strip()})")
    return found
