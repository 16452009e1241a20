"""``visavis doctor``: everything that is needed here, each with a verdict and what to do.

Nothing is taken from a version number that can be tried instead: a frame is encoded, a drawn
person is enrolled in the real child process, rendered and timed. Nothing leaves the machine.
"""

from __future__ import annotations

import asyncio
import errno
import hashlib
import json
import platform
import shutil
import socket
import sys
import tempfile
import time
from collections.abc import Callable, Iterator
from fractions import Fraction
from pathlib import Path
from typing import Any

import numpy as np

from visavis.models.offline import VARIABLES as OFF
from visavis.models.offline import silenced
from visavis.streamer import cpu
from visavis.streamer.avatars.sandbox import WORDS
from visavis.streamer.commands import devices, reach
from visavis.streamer.commands.checks import Check, Verdict
from visavis.streamer.config import Config
from visavis.streamer.session.admission import USABLE, lanes
from visavis.streamer.worker.pipeline.cores import usable_cores

WEIGHTS = Path(__file__).resolve().parents[2] / "models" / "weights"
_ENROL_S, _FRAMES = 120.0, 50


def run_checks(config: Config, *, air_gap_s: float | None = None) -> list[Check]:
    """Return every finding, in the order of a session's path; takes a few seconds.

    Args:
        config: what the server would run with.
        air_gap_s: prove that nothing is contacted, idling that many seconds of it; takes minutes.
    """
    checks: list[tuple[str, Callable[[], Iterator[Check]]]] = [
        ("Python", _python),
        ("system", system),
        ("processor", processor),
        ("engines", lambda: engines(config)),
        ("models", models),
        ("codecs", _codecs),
        ("enrolment", lambda: _enrolment(config)),
        ("air gap", lambda: air_gap(air_gap_s)),
        ("network", lambda: network(config)),
        ("other devices", lambda: reach.other_devices(config)),
        ("event loop", reach.event_loop),
        ("data folder", lambda: data_folder(config)),
        ("port", lambda: port(config)),
        ("devices", devices.checks),
    ]
    found: list[Check] = []
    for name, check in checks:
        try:
            found += check()
        except Exception as error:  # one broken part must not hide the others
            detail = f"The check broke off: {type(error).__name__}: {error}."
            found.append(Check(name, "fail", detail, "Reinstall with: pip install -e ."))
    return found


def _python() -> Iterator[Check]:
    version = ".".join(map(str, sys.version_info[:3]))
    if (3, 11) <= sys.version_info[:2] < (3, 15):
        yield Check("Python", "ok", f"Python {version}.")
    else:
        yield Check("Python", "fail", f"Python {version}.", "Use Python 3.11 to 3.14.")


def processor() -> Iterator[Check]:
    """Say whether the processor can do what the wheels were built for."""
    lacking = ", ".join(name.upper() for name in cpu.missing())
    if not lacking:
        yield Check("processor", "ok", f"{platform.machine()}, with what the models need.")
        return
    detail = f"This processor lacks {lacking}, which parts of the models are built for."
    advice = "In a virtual machine choose the processor type 'host'; else they may stop at once."
    yield Check("processor", "warn", detail, advice)


def system() -> Iterator[Check]:
    """Say what this system lacks."""
    system = platform.system()
    if system == "Linux":
        return
    if system == "Darwin":
        detail = "On macOS photos are read in a process with limits, but without a sandbox."
        yield Check("system", "warn", detail, "Enrol only photos that you trust.")
        return
    detail = f"{system} has neither the sockets nor the locks that a server needs."
    yield Check("system", "fail", detail, "Use Linux, macOS, or WSL 2 on Windows.")


def engines(config: Config) -> Iterator[Check]:
    """Say which providers run graphs here, and which would be taken."""
    from visavis.engines import select
    from visavis.engines.base import EngineError

    for provider in select.providers():
        wanted = config.engine.engine == provider.name
        worst: Verdict = "fail" if wanted else "warn"
        yield Check(
            f"engine {provider.name}",
            "ok" if provider.available else worst,
            provider.reason[:1].upper() + provider.reason[1:],
            "" if provider.available else "Optional; the CPU serves without it.",
        )
    try:
        name = select.choose(config.engine.engine)
    except EngineError as error:
        yield Check("engine in use", "fail", str(error), "Set engine.engine to auto.")
        return
    asked = config.engine.engine != "auto"
    why = "as engine.engine asks" if asked else "the best of those that can be used"
    yield Check("engine in use", "ok", f"Graphs run on {name}, {why}.")
    yield from _graphs(name, config.engine.threads)


def _graphs(name: str, threads: int) -> Iterator[Check]:
    """Run every shipped graph on the chosen provider: agreement with the CPU, and cost."""
    from visavis.engines import examine
    from visavis.engines.base import EngineError

    for graph in examine.shipped():
        title = f"graph {graph.stem}"
        try:
            found = examine.examine(graph, name, threads=threads)
            yield Check(title, "ok", f"On {name}: {found}")
        except EngineError as error:
            advice = "The next provider serves; --engine cpu leaves this one out."
            yield Check(title, "warn" if name != "cpu" else "fail", str(error), advice)


def models() -> Iterator[Check]:
    """Check the sums of everything that is shipped."""
    manifests = sorted(WEIGHTS.glob("*/manifest.json"))
    if not manifests:
        yield Check("models", "fail", f"There are none in {WEIGHTS}.", "Reinstall the package.")
    for path in manifests:
        manifest = json.loads(path.read_text("utf-8"))
        # A manifest names one file or several: "file" and "sha256", "flow_file" and "flow_sha256".
        parts = [key.removesuffix("sha256") for key in manifest if key.endswith("sha256")]
        sums = {path.parent / manifest[f"{p}file"]: manifest[f"{p}sha256"] for p in parts}
        yield _model(f"model {path.parent.name}", sums)


def _model(name: str, sums: dict[Path, str]) -> Check:
    """Compare files with their checksums."""
    for file, wanted in sums.items():
        wrong = "is missing" if not file.is_file() else ""
        if not wrong and hashlib.sha256(file.read_bytes()).hexdigest() != wanted:
            wrong = "is not the file its manifest describes"
        if wrong:
            return Check(name, "fail", f"{file} {wrong}.", "Reinstall the package.")
    files = " and ".join(file.name for file in sums)
    size = sum(file.stat().st_size for file in sums) / 1e6
    return Check(name, "ok", f"{files}, {size:.1f} MB, checksum right.")


def _codecs() -> Iterator[Check]:
    from visavis.streamer.media.encoder import VideoEncoder, to_yuv

    picture = np.zeros((256, 256, 3), np.uint8)
    for codec, library in (("H264", "libx264"), ("VP8", "libvpx")):
        try:
            encoder = VideoEncoder(codec, size=256, fps=25, bitrate_kbps=500)  # type: ignore[arg-type]
            packets, keyframe = encoder.encode(to_yuv(picture))
            fine = bool(packets) and keyframe
        except Exception as error:  # PyAV raises what its ffmpeg makes of it
            yield Check(f"codec {codec}", "fail", f"{library}: {error}.", "Reinstall av>=17.1.")
            continue
        verdict: Verdict = "ok" if fine else "fail"
        yield Check(f"codec {codec}", verdict, f"{library} encoded {len(packets)} bytes.")
    yield _opus()


def _opus() -> Check:
    import av

    try:
        context = av.CodecContext.create("libopus", "w")
        assert isinstance(context, av.AudioCodecContext)
        context.sample_rate, context.layout, context.format = 48_000, "stereo", "s16"
        context.time_base = Fraction(1, 48_000)
        context.open()
        frame = av.AudioFrame.from_ndarray(np.zeros((1, 1920), np.int16), "s16", "stereo")
        frame.sample_rate, frame.pts = 48_000, 0
        encoder: Any = context
        made = [*encoder.encode(frame), *encoder.encode(None)]
        size = sum(p.size for p in made)
    except Exception as error:
        return Check("codec Opus", "fail", f"libopus: {error}.", "Reinstall av>=17.1.")
    return Check("codec Opus", "ok" if size else "fail", f"libopus encoded {size} bytes.")


def _enrolment(config: Config) -> Iterator[Check]:
    """Enrol the drawn person, then time drawing and encoding it."""
    from visavis.models.appearance.photo.errors import EnrolmentRefused
    from visavis.models.appearance.portrait import synthetic_portrait
    from visavis.streamer.avatars.enrolment import EnrolmentFailed, enrol_photo_sync

    size = config.media.size
    with tempfile.TemporaryDirectory(prefix="visavis-doctor-") as folder:
        bundle = Path(folder) / "identity.vav"
        began = time.perf_counter()
        try:
            result = enrol_photo_sync(synthetic_portrait(), bundle, size=size, timeout_s=_ENROL_S)
        except (EnrolmentFailed, EnrolmentRefused) as error:
            advice = "Run with VISAVIS_DEBUG=1; on a bare server: apt-get install libgl1."
            yield Check("face tracker", "fail", f"A drawn person was not enrolled: {error}", advice)
            return
        spent = time.perf_counter() - began
        verdict: Verdict = "ok" if spent <= 10 else "warn"
        advice = (
            "" if spent <= 10 else "Close other programs; the first start compiles for a while."
        )
        yield Check(
            "face tracker", verdict, f"A drawn person was enrolled in {spent:.1f} s.", advice
        )
        yield isolation(result.held)
        yield _capacity(config, bundle)


def isolation(held: tuple[str, ...]) -> Check:
    """Say what confines the process that reads photos."""
    missing = [words for measure, words in WORDS.items() if measure not in held]
    if not missing:
        return Check(
            "photo sandbox", "ok", "Photos are decoded without network, files or programs."
        )
    return Check(
        "photo sandbox",
        "warn",
        f"Photos are decoded in a limited process, but this kernel does not grant: "
        f"{', '.join(missing)}.",
        "Allow user namespaces and Landlock, or enrol only photos that you trust; "
        'limits.photo_sandbox = "required" refuses all photos here.',
    )


def _capacity(config: Config, bundle: Path) -> Check:
    from visavis.models.appearance.identity import Identity
    from visavis.models.coefficients import INDEX, neutral
    from visavis.streamer.media.encoder import VideoEncoder, to_yuv
    from visavis.streamer.worker.pipeline.picture_models import load_pictures

    size, fps = config.media.size, config.media.fps
    pictures = load_pictures(config.engine.engine, refine=config.media.refine, live=True)
    renderer = pictures.renderer(Identity.load(bundle), size)
    encoder = VideoEncoder("H264", size=size, fps=fps, bitrate_kbps=config.media.bitrate_kbps)
    spent: list[float] = []
    for n in range(_FRAMES):
        values = neutral()
        values[INDEX["jawOpen"]] = 0.25 + 0.2 * np.sin(n)
        values[INDEX["headYaw"]] = 0.08 * np.sin(n / 5)
        began = time.perf_counter()
        encoder.encode(to_yuv(renderer.render(values)))
        spent.append(time.perf_counter() - began)
    frame_ms = 1000 * float(np.median(spent))
    cores = usable_cores()
    width = lanes(cores, config.engine.compute)
    sessions = max(1, int(width * USABLE * 1000 / fps / frame_ms)) if frame_ms < 1000 / fps else 0
    room = f"{sessions} session{'' if sessions == 1 else 's'}"
    detail = (
        f"{cores} cores; {frame_ms:.1f} ms a frame at {size} px, "
        f"so room for about {room} at {fps} fps."
    )
    if sessions >= 1:
        return Check("speed", "ok", detail)
    return Check("speed", "warn", detail, "Set media.size to 256, or media.fps to 20.")


def air_gap(idle_s: float | None) -> Iterator[Check]:
    """Say whether what calls out by itself is off; with a time, prove that nothing does."""
    if not silenced():
        detail = "Something in this process has switched telemetry of ONNX Runtime on again."
        yield Check(
            "air gap", "fail", detail, f"Set {' '.join(f'{k}={v}' for k, v in OFF.items())}."
        )
    elif idle_s is None:
        detail = "Telemetry of ONNX Runtime is off; doctor --air-gap proves that nothing calls out."
        yield Check("air gap", "ok", detail)
    else:
        yield _proof(idle_s)


def _proof(idle_s: float) -> Check:
    from visavis.streamer.commands.air_gap import STEPS, prove
    from visavis.streamer.trust.air_gap import CannotProve

    with tempfile.TemporaryDirectory(prefix="visavis-air-gap-") as folder:
        try:
            traced, steps = prove(Path(folder), idle_s)
        except CannotProve as error:
            advice = "The rest of this check needs Linux with strace and network namespaces."
            return Check("air gap", "warn", str(error), advice)
    if traced.contacts:
        whom = ", ".join(str(contact) for contact in traced.contacts[:5])
        return Check("air gap", "fail", f"Something was asked for: {whom}.", "Please report it.")
    if steps != STEPS:
        last = traced.output.strip().splitlines()[-1:] or ["it ended"]
        missing = ", ".join(step for step in STEPS if step not in steps)
        detail = f"Without a network this did not work: {missing} ({last[0]})."
        return Check("air gap", "fail", detail, "Run the other checks first.")
    detail = f"{traced.calls} system calls during {', '.join(steps)}: none left this machine."
    return Check("air gap", "ok", detail)


def network(config: Config) -> Iterator[Check]:
    """Check what WebRTC stands on, and gather candidates as a session does."""
    from visavis.streamer.webrtc.connection import MADE_FOR, self_test

    if fault := self_test():
        yield Check("WebRTC", "fail", fault, "Reinstall with: pip install -e .")
    else:
        versions = " and ".join(f"{name} {version}" for name, version in MADE_FOR.items())
        yield Check("WebRTC", "ok", f"Made for {versions}, which are installed.")
    gathered = asyncio.run(reach.gather(config))
    yield from reach.offered(config, [host for kind, host in gathered if kind == "host"])
    yield from reach.ice_servers(config, gathered)


def data_folder(config: Config) -> Iterator[Check]:
    """Say whether avatars can be kept."""
    folder = config.data_dir
    try:
        folder.mkdir(parents=True, exist_ok=True, mode=0o700)
        with tempfile.TemporaryFile(dir=folder) as file:
            file.write(b"x" * 4096)
            file.flush()
        space = shutil.disk_usage(folder)
    except OSError as error:
        detail = f"{folder} cannot be written: {error.strerror}."
        yield Check("data folder", "fail", detail, "Choose another one with --data.")
        return
    free = space.free
    if free < 200e6:
        detail = f"{folder} has {free / 1e6:.0f} MB left."
        yield Check("data folder", "warn", detail, "Make room; an avatar takes a few MB.")
    else:
        yield Check("data folder", "ok", f"{folder}, {free / 1e9:.0f} GB free.")
    yield from _audit_log(folder / "audit.jsonl")


def _audit_log(path: Path) -> Iterator[Check]:
    from visavis.streamer.trust.audit import AuditError, verify

    if not path.is_file():
        return  # nothing has happened yet
    try:
        yield Check("audit log", "ok", f"{verify(path)} entries, each as it was written.")
    except AuditError as error:
        advice = "Keep a copy, find out who could write to the folder, and move the file away."
        yield Check("audit log", "fail", str(error), advice)


def port(config: Config) -> Iterator[Check]:
    """Say whether the port is free."""
    host, port = config.server.host, config.server.port
    family = socket.AF_INET6 if ":" in host else socket.AF_INET
    with socket.socket(family, socket.SOCK_STREAM) as probe:
        probe.setsockopt(socket.SOL_SOCKET, socket.SO_REUSEADDR, 1)
        try:
            probe.bind((host, port))
        except OSError as error:
            taken = error.errno == errno.EADDRINUSE
            why = "is taken, perhaps by this server" if taken else f"is refused: {error.strerror}"
            verdict: Verdict = "warn" if taken else "fail"
            yield Check("port", verdict, f"{host}:{port} {why}.", "Choose another with --port.")
            return
    yield Check("port", "ok", f"{host}:{port} is free.")
