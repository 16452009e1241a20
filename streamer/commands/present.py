"""``visavis present`` and ``visavis record``: what they are told, and how the parts are joined."""

from __future__ import annotations

import contextlib
import signal
import sys
import threading
import uuid
from collections.abc import Callable, Generator
from dataclasses import dataclass, field
from pathlib import Path
from types import FrameType
from typing import TYPE_CHECKING

from visavis.models.motion.flow import MANNERS
from visavis.streamer.config import Config
from visavis.streamer.errors import BadRequest, Forbidden
from visavis.streamer.presenter.permission import PRESENTS, RECORDS, Permission, id_of

if TYPE_CHECKING:
    import numpy as np
    from numpy.typing import NDArray

    from visavis.streamer.avatars.store import AvatarStore
    from visavis.streamer.media.files.recorder import Recorder
    from visavis.streamer.presenter.engine import LiveAvatar
    from visavis.streamer.presenter.presenter import Presenter
    from visavis.streamer.presenter.script.captions import Captions
    from visavis.streamer.presenter.script.sources import Source
    from visavis.streamer.worker.pipeline.view import View

FPS = (25, 30)
_SESSION = "presenter"  # as the audit log names it
_SWITCH_INTERVAL_S = 0.0005  # so that the loop need not wait 5 ms for the interpreter lock


@dataclass(frozen=True)
class Options:
    """What a presentation is made of, as the command line says it."""

    avatar: str = ""
    canvas: str = "1280x720"
    framing: str = "bust"
    background: str = "own"
    fps: int = 25
    mood: str = "neutral"
    style: float = 1.0
    microphone: str = ""
    camera: str = "auto"
    camera_device: str = ""
    speaker: str = "auto"
    script: Path | None = None
    voice: str = "espeak-ng --stdout"
    voice_rate: int = 22_050
    audio: Path | None = None
    agent: int = 0
    captions: Path | None = None
    force: bool = False
    record: Path | None = None
    slides: int = 0
    slide_command: str = ""
    seconds: float = 0.0


@dataclass
class Parts:
    """What has been made so far and has to be given back."""

    stack: contextlib.ExitStack = field(default_factory=contextlib.ExitStack)
    arrived: threading.Event = field(default_factory=threading.Event)
    where: list[str] = field(default_factory=list[str])


def present(config: Config, options: Options) -> None:
    """Present until the script ends, ``q`` is pressed or the process is told to end.

    Raises:
        BadRequest: an option cannot be used.
        MissingPart: a package or program is not installed.
    """
    from visavis.streamer.presenter.devices.keys import keys_of_terminal
    from visavis.streamer.presenter.face import Choices, Face
    from visavis.streamer.presenter.presenter import Presenter, Waiting
    from visavis.streamer.presenter.script.slides import Slides
    from visavis.streamer.trust.marks.provenance import sign_video
    from visavis.streamer.worker.pipeline.view import FRAMINGS

    view = _checked(options)
    sys.setswitchinterval(_SWITCH_INTERVAL_S)
    store, shown, bundles = _avatars(config, options.avatar)
    chosen = next(i for i, (_, bundle) in enumerate(bundles) if bundle == shown)
    if options.record is not None:
        store.bundle_path(id_of(shown), RECORDS)  # another purpose, which may be missing
    parts = Parts()
    with parts.stack as stack:
        slides = Slides(options.slides, options.slide_command)
        stack.callback(slides.close)
        source, captions = _source(options, parts)
        stack.callback(source.close)
        permission = Permission(store.refusal)
        drawn = parts.arrived.set
        avatar = _load(config, options, bundles[chosen][1], drawn, permission.ends)
        stack.callback(avatar.close)
        permission.recorder = recorder = _recorder(options, view)
        media = config.media.model_copy(update={"fps": options.fps})
        presenter = Presenter(
            avatar,
            media,
            source,
            clock=Waiting(),
            arrived=parts.arrived,
            slide=slides.next,
            captions=captions,
            recorder=recorder,
        )
        stack.callback(presenter.close)
        _caption_by(source, presenter)
        where = _open(presenter, options, view) + parts.where
        if slides.address:
            where.append(f"Slides: {slides.address}")
        store.note("session-start", id_of(shown), session=_SESSION)
        stack.callback(store.note, "session-end", id_of(shown), session=_SESSION)
        moods, framings = MANNERS.index(options.mood), FRAMINGS.index(options.framing)
        choices = Choices(bundles, chosen, moods, framings, permission.refuses)
        face = Face(presenter, choices, where, slides.next)
        with _running(presenter, options.seconds) as going, keys_of_terminal() as keys:
            face.run(going, keys)
    if options.record is not None:
        worn = [id_of(bundles[i][1]) for i in sorted(choices.worn)]
        sign_video(options.record, config.data_dir, photos=[*map(store.photo_sha256, worn)])
    for failure in (presenter.avatar.failure, recorder.problem if recorder is not None else ""):
        if failure:
            raise BadRequest(failure)


def _open(presenter: Presenter, options: Options, view: View) -> list[str]:
    """Open the devices; return sentences about where picture and sound go."""
    where = _outputs(presenter, options, view)
    presenter.open()
    if presenter.camera is not None and presenter.camera.name:
        where.insert(0, f"Picture: {presenter.camera.name}, {view.width}x{view.height}.")
    return where


def _checked(options: Options) -> View:
    from visavis.streamer.commands.outputs import check_output
    from visavis.streamer.presenter.devices.camera import KINDS
    from visavis.streamer.presenter.script.captions import made_by_us
    from visavis.streamer.worker.pipeline.view import read_view

    view = read_view(options.canvas, options.framing, options.background)
    outside = options.camera != "none" or options.record is not None
    if view.transparent and outside:
        raise BadRequest(
            "Cameras and recordings have no transparency; use a colour such as green, or the "
            "stage page of the server."
        )
    if options.fps not in FPS:
        raise BadRequest("The fps must be 25 or 30.")
    if options.camera not in KINDS:
        raise BadRequest(f"The camera must be one of {', '.join(KINDS)}.")
    if options.mood not in MANNERS:
        raise BadRequest(f"The mood must be one of {', '.join(MANNERS)}.")
    if not 0 <= options.style <= 2:
        raise BadRequest("The style must be a number from 0 to 2.")
    made_from = (options.script, options.audio, _file(options.background))
    for output, endings in (
        (options.record, (".mp4", ".m4v")),
        (_captions(options), (".vtt",)),
    ):
        if output is not None:
            force = options.force or (endings == (".vtt",) and made_by_us(output))
            check_output(output, made_from, force=force, suffixes=endings)
    if options.audio is not None and (options.script is not None or options.agent):
        raise BadRequest("Give either --audio, or --script, or --agent, or the last two.")
    if not -1 <= options.agent <= 65_535:
        raise BadRequest("The port for an agent must be between 1 and 65535, or -1 for any.")
    return view


def _file(background: str) -> Path | None:
    return Path(background) if Path(background).is_file() else None


def _captions(options: Options) -> Path | None:
    """Return where captions go; only a script and an agent have words for them."""
    if options.script is None:
        return options.captions if options.agent else None
    return options.captions or options.script.with_suffix(".vtt")


def _avatars(config: Config, wanted: str) -> tuple[AvatarStore, str, list[tuple[str, str]]]:
    """Return the store, the bundle wanted, the newest by default, and name and bundle of all."""
    from visavis.streamer.avatars.store import AvatarStore

    store = AvatarStore(config.data_dir, config.limits, config.media.size)
    if wanted:
        store.bundle_path(wanted, PRESENTS)  # says why it cannot be used
    made = [record for record in store.list() if record.status == "ready"]
    ready = [record for record in made if not store.refusal(record.id, PRESENTS)]
    if made and not ready:
        raise Forbidden(store.refusal(made[0].id, PRESENTS), code="consent")
    if not ready:
        raise BadRequest(
            "There is no avatar yet; make one first: visavis enroll PHOTO --name NAME."
        )
    found = [(record.name, store.bundle(record.id, PRESENTS)) for record in ready]
    return store, store.bundle(wanted or ready[0].id, PRESENTS), found


def _source(options: Options, parts: Parts) -> tuple[Source, Captions | None]:
    from visavis.streamer.presenter.devices.microphone import Microphone
    from visavis.streamer.presenter.script.captions import Captions
    from visavis.streamer.presenter.script.script import read_script
    from visavis.streamer.presenter.script.sources import FileSource, ScriptSource

    if options.audio is not None:
        return FileSource(options.audio), None
    if options.script is None and options.agent:
        from visavis.streamer.presenter.agent import AgentSource

        listening = AgentSource(max(0, options.agent))
        parts.where.append(f"An agent may speak: {listening.socket.address}")
        path = _captions(options)
        return listening, None if path is None else Captions(path)
    if options.script is None:
        from visavis.streamer.presenter.devices.sounddevices import portaudio

        portaudio()  # says what is missing before anything is loaded
        return Microphone(options.microphone, parts.arrived), None
    try:
        text = options.script.read_text("utf-8")
    except (OSError, UnicodeDecodeError) as error:
        raise BadRequest(f"The script {options.script} cannot be read.") from error
    source = ScriptSource(read_script(text), _voice(options, parts))
    captions = None if (path := _captions(options)) is None else Captions(path)
    if not options.agent:  # who may come much later
        source.check()
    return source, captions


def _voice(options: Options, parts: Parts) -> Callable[[str], NDArray[np.int16]]:
    """Return what speaks a script: a program that comes to the agent socket, or a command."""
    if not options.agent:
        from visavis.streamer.presenter.script.voice import Voice

        return Voice(options.voice, options.voice_rate).speak
    from visavis.streamer.presenter.agent import ScriptAgent

    agent = ScriptAgent(max(0, options.agent))
    parts.stack.callback(agent.close)
    parts.where.append(f"Speak the script: {agent.socket.address}")
    return agent.speak


def _caption_by(source: Source, presenter: Presenter) -> None:
    """Let an agent's captions be written at their time."""
    from visavis.streamer.presenter.agent import AgentSource

    if isinstance(source, AgentSource):
        source.caption = presenter.caption


def _load(
    config: Config,
    options: Options,
    bundle: str,
    drawn: Callable[[], None],
    refusal: Callable[[str], str],
) -> LiveAvatar:
    from visavis.streamer.presenter.engine import LiveAvatar
    from visavis.streamer.trust.marks.mark import decide, marked_as
    from visavis.streamer.worker.pipeline.pipeline import AvatarPipelines, SlotSpec, WorkerSettings

    marking = decide(config.trust, config.data_dir, "present")
    marked = marked_as(marking, config.trust, config.data_dir, uuid.uuid4().hex, options.fps)
    media, engine = config.media, config.engine
    pipelines = AvatarPipelines(
        WorkerSettings(engine=engine.engine, threads=engine.threads, compute=1, refine=media.refine)
    )
    spec = SlotSpec(
        bundle,
        fps=options.fps,
        look_ahead_ms=media.look_ahead_ms,
        ring_ms=media.ring_ms,
        mood=options.mood,
        style=options.style,
        canvas=options.canvas,
        framing=options.framing,
        background=options.background,
        payload=marked.payload.hex(),
    )
    return LiveAvatar(spec, pipelines, drawn=drawn, marking=marking, refusal=refusal)


def _recorder(options: Options, view: View) -> Recorder | None:
    if options.record is None:
        return None
    from visavis.streamer.media.files.recorder import Recorder

    return Recorder(options.record, view.width, view.height, options.fps)


def _outputs(presenter: Presenter, options: Options, view: View) -> list[str]:
    """Join camera and sound to the presenter; return sentences about where they go."""
    from visavis.streamer.presenter.devices.camera import CameraFeed, open_camera
    from visavis.streamer.presenter.devices.pulse import SOURCE_LABEL
    from visavis.streamer.presenter.devices.speaker import NamedOutput, PulseMicrophone

    where: list[str] = []
    if options.camera != "none":
        kind, device = options.camera, options.camera_device
        presenter.feed_camera(
            CameraFeed(
                lambda: open_camera(kind, view.width, view.height, options.fps, device)  # type: ignore[arg-type]
            )
        )
    if options.speaker == "auto" and sys.platform == "linux":
        presenter.feed_speaker(PulseMicrophone)
        where.append(f"Sound: choose the microphone {SOURCE_LABEL} in your meeting.")
    elif options.speaker == "auto":
        raise BadRequest(
            "Name a virtual sound device with --speaker, such as BlackHole or CABLE Input, or "
            "give --speaker none; docs/presenter.md says how to get one."
        )
    elif options.speaker != "none":
        name = options.speaker
        presenter.feed_speaker(lambda: NamedOutput(name))
        where.append(f"Sound: {name}.")
    if options.record is not None:
        where.append(f"Recording: {options.record}")
    return where


@contextlib.contextmanager
def _running(presenter: Presenter, seconds: float) -> Generator[Callable[[], bool]]:
    """Run the loop on a thread; yields a function that says whether it still runs."""
    broken: list[BaseException] = []

    def loop() -> None:
        try:
            presenter.run()
        except BaseException as error:  # told on the main thread
            broken.append(error)

    thread = threading.Thread(target=loop, name="media", daemon=True)

    def stop(number: int, frame: FrameType | None) -> None:
        presenter.stop()

    before = {number: signal.signal(number, stop) for number in (signal.SIGINT, signal.SIGTERM)}
    timer = threading.Timer(seconds, presenter.stop) if seconds else None
    thread.start()
    if timer is not None:
        timer.daemon = True
        timer.start()
    try:
        yield thread.is_alive
    finally:
        presenter.stop()
        thread.join(5)
        if timer is not None:
            timer.cancel()
        for number, handler in before.items():
            signal.signal(number, handler)
    if broken:
        raise broken[0]


def list_devices() -> list[str]:
    """Return lines that name every microphone, sound output and camera way there is."""
    from visavis.streamer.presenter.devices import pulse, sounddevices
    from visavis.streamer.presenter.devices.camera import ways
    from visavis.streamer.presenter.devices.errors import MissingPart

    lines: list[str] = []
    try:
        audio = sounddevices.portaudio()
        for kind, title in (("input", "Microphones"), ("output", "Sound outputs")):
            found = sounddevices.names(audio, kind)  # type: ignore[arg-type]
            lines += [f"{title}:"] + [f"  {name}" for name in found or ["none"]]
    except MissingPart as error:
        lines.append(str(error))
    if sys.platform == "linux":
        lines += ["Virtual microphone:", f"  {pulse.way()}"]
    return [*lines, "Cameras:", *(f"  {way}" for way in ways())]
