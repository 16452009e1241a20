"""``visavis render``."""

from __future__ import annotations

import hashlib
import sys
import time
import uuid
from collections.abc import Callable
from pathlib import Path
from typing import TYPE_CHECKING, Annotated

import typer

from visavis.streamer.cli.options import (
    FILE_LOOK_AHEAD_MS,
    ConfigOption,
    ConsentOption,
    DataOption,
    ForceOption,
    HeardOption,
    MoodOption,
    StyleOption,
    TrackOption,
    agreed,
    from_zero,
    load,
    progress_bar,
    read_photo,
    say_notes,
    sound_notes,
)
from visavis.streamer.cli.present import Background, Canvas, Framing
from visavis.streamer.config import Config
from visavis.streamer.errors import BadRequest, Forbidden

if TYPE_CHECKING:
    from visavis.models.appearance.identity import Identity

_ASK_EVERY_S = 0.5


def render(
    audio: Annotated[Path, typer.Option(help="Any sound file.")],
    output: Annotated[Path, typer.Option("-o", "--output", help="The .mp4 to write.")],
    photo: Annotated[Path | None, typer.Option(help="One photo, used for this file only.")] = None,
    avatar: Annotated[str | None, typer.Option(help="The id of an enrolled avatar.")] = None,
    size: Annotated[int, typer.Option(help="256, 384 or 512.")] = 512,
    fps: Annotated[int, typer.Option(help="20, 25 or 30.")] = 25,
    engine: Annotated[str | None, typer.Option(help="auto|cpu|cuda|tensorrt|torch")] = None,
    seed: Annotated[int, typer.Option(min=0, help="Same seed, same head, blinks and gaze.")] = 0,
    heard: HeardOption = None,
    mood: MoodOption = "neutral",
    style: StyleOption = 1.0,
    canvas: Canvas = "",
    framing: Framing = "bust",
    background: Background = "own",
    track: TrackOption = None,
    force: ForceOption = False,
    consent: ConsentOption = False,
    data: DataOption = None,
    config: ConfigOption = None,
) -> None:
    """Render a sound file to a video with the same models as live."""
    from visavis.streamer.commands.motion import MotionSettings, open_motion
    from visavis.streamer.commands.outputs import check_output
    from visavis.streamer.commands.render import render_file, suffixes_of
    from visavis.streamer.media.files.audio_file import duration_s
    from visavis.streamer.trust.marks.mark import decide, marked_as
    from visavis.streamer.trust.marks.provenance import sign_video
    from visavis.streamer.worker.pipeline.cores import usable_cores
    from visavis.streamer.worker.pipeline.film import MOST
    from visavis.streamer.worker.pipeline.picture_models import load_pictures
    from visavis.streamer.worker.pipeline.view import read_view

    settings = load(config, data, media__size=size, media__fps=fps, engine__engine=engine)
    if not canvas and (framing, background) != ("bust", "own"):
        raise BadRequest("--framing and --background need a --canvas, such as 1280x720.")
    view = read_view(canvas, framing, background) if canvas else None
    if (photo is None) == (avatar is None):
        raise BadRequest("Give either --photo or --avatar.")
    made_from = (audio, heard, photo, config)
    check_output(output, made_from, force=force, suffixes=suffixes_of(view))
    # A bad sound file is refused before the photo's work.
    known = sound_notes(audio, track, heard)
    made = MotionSettings(fps, FILE_LOOK_AHEAD_MS, seed, mood, style)
    marking = decide(settings.trust, settings.data_dir, "render")
    marking = marked_as(marking, settings.trust, settings.data_dir, uuid.uuid4().hex, fps)
    motion = open_motion(made, settings.engine.engine)
    pictures = load_pictures(settings.engine.engine, refine=settings.media.refine)
    identity, held, origin = _identity(settings, photo, avatar, consent)
    drawers = [
        pictures.canvas(identity, view) if view else pictures.renderer(identity, size)
        for _ in range(min(usable_cores(), MOST))
    ]
    with progress_bar("Rendering", duration_s(audio) or 0.0) as (bar, task):

        def told(seconds: float) -> None:
            held()
            bar.update(task, completed=seconds)

        report = render_file(
            motion,
            drawers,
            audio,
            output,
            size=size,
            fps=fps,
            view=view,
            heard=heard,
            track=from_zero(track),
            force=force,
            marking=marking,
            sign=lambda path: sign_video(path, settings.data_dir, photos=[origin]),
            progress=told,
        )
        bar.update(task, completed=report.seconds, total=report.seconds)
    say_notes([note for note in report.notes if note not in known])
    if report.silent:
        sys.stderr.write(f"note: nobody is heard in {audio.name}, so the mouth stays shut.\n")


def _identity(
    settings: Config, photo: Path | None, avatar: str | None, consent: bool
) -> tuple[Identity, Callable[[], None], str]:
    """Load an avatar, or make one of a photo in memory, for this command only.

    Returns:
        It, what raises within half a second after its consent has ended, and the photo's hash.
    """
    from visavis.models.appearance.identity import Identity
    from visavis.streamer.avatars.enrolment import read_photo_sync
    from visavis.streamer.avatars.sandbox import demanded
    from visavis.streamer.avatars.store import AvatarStore

    if avatar is not None:
        from visavis.streamer.worker.pipeline.drawn import load_identity

        store = AvatarStore(settings.data_dir, settings.limits, settings.media.size)
        identity = load_identity(store.bundle(avatar, "record"))
        held = _holding(lambda: store.refusal(avatar, "record"))
        return identity, held, store.photo_sha256(avatar)
    assert photo is not None
    data = read_photo(photo, settings)
    if not (consent or agreed()):
        raise BadRequest("An avatar needs the consent of the person in the photo: --consent.")
    with progress_bar("Enrolling", 1.0) as (bar, task):

        def told(done: float, stage: str) -> None:
            bar.update(task, completed=done, description=stage)

        read = read_photo_sync(
            data,
            size=settings.media.size,
            timeout_s=60.0,
            demand=demanded(settings.limits.photo_sandbox),
            tracker=settings.limits.face_tracker,
            progress=told,
        )
        bar.update(task, completed=1.0)
    for note in read.result.notes:
        sys.stderr.write(f"note: {note}\n")
    return Identity.from_bytes(read.bundle), lambda: None, hashlib.sha256(data).hexdigest()


def _holding(refusal: Callable[[], str]) -> Callable[[], None]:
    """Return what asks, at most twice a second, whether a consent still holds."""
    asked = time.monotonic()

    def held() -> None:
        nonlocal asked
        if time.monotonic() - asked >= _ASK_EVERY_S:
            asked = time.monotonic()
            if why := refusal():
                raise Forbidden(why, code="consent")

    return held
