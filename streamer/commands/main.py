"""The ``visavis`` command: exit code 0, or another with one plain sentence on stderr."""

from __future__ import annotations

import json
import logging
import os
import sys
import time
from collections.abc import Generator
from contextlib import contextmanager
from pathlib import Path
from typing import TYPE_CHECKING, Annotated

import typer
from rich.console import Console
from rich.progress import BarColumn, Progress, TaskID, TextColumn, TimeElapsedColumn
from rich.table import Table

from visavis.engines.base import EngineError
from visavis.models.appearance.errors import EnrolmentRefused, IdentityError
from visavis.models.shipped import WeightsError
from visavis.streamer import __version__
from visavis.streamer.commands.present_cli import Background, Canvas, Framing, add_presenter
from visavis.streamer.config import Config, load_config
from visavis.streamer.errors import BadRequest, VisavisError

if TYPE_CHECKING:
    from visavis.models.appearance.identity import Identity

app = typer.Typer(
    help="One photo and a live microphone become a person who speaks, on your own machine.",
    no_args_is_help=True,
    add_completion=False,
    pretty_exceptions_enable=False,
)
# typer carries its own copy of click in some versions and imports it in others; this is the base of
# every usage error in both.
_UsageError: type[Exception] = typer.BadParameter.__mro__[2]
# What ends in its own sentence; each of these is raised with one.
_SENTENCES = (VisavisError, EngineError, EnrolmentRefused, IdentityError, WeightsError)
_DataOption = Annotated[Path | None, typer.Option("--data", help="Where avatars live.")]
_ConsentOption = Annotated[
    bool, typer.Option("--consent", help="The person in the photo agrees to this avatar.")
]
_HeardOption = Annotated[
    Path | None, typer.Option("--heard", help="What the other side says meanwhile.")
]
_MoodOption = Annotated[
    str, typer.Option("--mood", help="neutral|warm|serious|lively|conversational")
]
_StyleOption = Annotated[float, typer.Option("--style", help="0 still to 2 animated.")]
_TrackOption = Annotated[
    int | None, typer.Option("--track", help="Which sound track, from 1; the default one else.")
]
_ForceOption = Annotated[
    bool, typer.Option("--force", help="Replace another file that is there already.")
]
_ConfigOption = Annotated[Path | None, typer.Option("--config", help="A TOML file.")]
FILE_LOOK_AHEAD_MS = 80  # a file waits for nobody; beyond it nothing is gained


def main() -> None:
    """Run the command line; anything foreseen ends in one sentence, never a traceback."""
    try:
        sys.exit(app(standalone_mode=False, prog_name="visavis") or 0)
    except _UsageError as error:
        sys.stderr.write(f"visavis: {error.format_message()}\n")  # type: ignore[attr-defined]
        sys.exit(2)
    except _SENTENCES as error:
        sys.stderr.write(f"visavis: {error}\n")
        sys.exit(1)
    except (KeyboardInterrupt, typer.Abort):
        sys.exit(130)
    except BrokenPipeError:
        sys.exit(141)
    except OSError as error:  # a disk, a permission, a name that is too long
        if os.environ.get("VISAVIS_DEBUG"):
            raise
        what = f"{error.filename}: " if error.filename else ""
        sys.stderr.write(f"visavis: {what}{error.strerror or error}.\n")
        sys.exit(1)
    except Exception as error:
        if os.environ.get("VISAVIS_DEBUG"):
            raise
        sys.stderr.write(
            f"visavis: Something went wrong that should not ({type(error).__name__}: {error}); "
            "set VISAVIS_DEBUG=1 to see where.\n"
        )
        sys.exit(70)


def _version(wanted: bool) -> None:
    if wanted:
        typer.echo(f"visavis {__version__}")
        raise typer.Exit


@app.callback()
def _root(
    version: Annotated[
        bool, typer.Option("--version", callback=_version, is_eager=True, help="Print it and exit.")
    ] = False,
) -> None: ...


def _config(path: Path | None, data: Path | None, **overrides: object) -> Config:
    return load_config(
        path,
        overrides={"data_dir": data, **{k.replace("__", "."): v for k, v in overrides.items()}},
    )


@contextmanager
def _progress_bar(title: str, total: float) -> Generator[tuple[Progress, TaskID], None, None]:
    columns = (
        TextColumn("{task.description}"),
        BarColumn(),
        TextColumn("{task.percentage:>3.0f} %"),
        TimeElapsedColumn(),
    )
    with Progress(*columns, console=Console(stderr=True), transient=False) as progress:
        yield progress, progress.add_task(title, total=total)


@app.command()
def serve(
    host: Annotated[str | None, typer.Option(help="Address to listen on.")] = None,
    port: Annotated[int | None, typer.Option(help="Port to listen on; 0 picks one.")] = None,
    data: _DataOption = None,
    config: _ConfigOption = None,
    engine: Annotated[str | None, typer.Option(help="auto|cpu|cuda|tensorrt|torch")] = None,
    tls_cert: Annotated[Path | None, typer.Option(help="A certificate (PEM), for HTTPS.")] = None,
    tls_key: Annotated[Path | None, typer.Option(help="Its key (PEM).")] = None,
    tls_self_signed: Annotated[
        bool, typer.Option("--tls-self-signed", help="HTTPS by an authority of one's own.")
    ] = False,
    verbose: Annotated[bool, typer.Option("--verbose", help="Log more.")] = False,
) -> None:
    """Serve the pages and the live avatars."""
    from visavis.streamer import logs
    from visavis.streamer.http.serve import run_server

    logs.configure(logging.INFO if verbose else logging.WARNING, time.monotonic)
    run_server(
        _config(
            config,
            data,
            server__host=host,
            server__port=port,
            server__tls_cert=tls_cert,
            server__tls_key=tls_key,
            server__tls_self_signed=tls_self_signed or None,
            engine__engine=engine,
        )
    )


@app.command()
def certificate(data: _DataOption = None, config: _ConfigOption = None) -> None:
    """Make the authority of ``--tls-self-signed`` and say how devices come to trust it."""
    from visavis.streamer.http.serve import public_addresses
    from visavis.streamer.http.tls import how_to_trust, own_certificate

    settings = _config(config, data, server__tls_self_signed=True)
    address = public_addresses(settings, settings.server.port)[0]
    typer.echo(how_to_trust(own_certificate(settings), address), nl=False)


@app.command()
def enroll(
    photo: Annotated[Path, typer.Argument(help="One face: JPEG, PNG, WEBP, HEIC, AVIF.")],
    name: Annotated[str, typer.Option(help="What to call the avatar.")],
    consent: _ConsentOption = False,
    data: _DataOption = None,
    config: _ConfigOption = None,
) -> None:
    """Make an avatar from one photo and print its id."""
    from visavis.streamer.commands.enroll import enrol_into_store

    settings = _config(config, data)
    consent = consent or _agreed()
    with _progress_bar("Enrolling", 1.0) as (bar, task):
        record = enrol_into_store(
            settings,
            _read_photo(photo, settings),
            name,
            consent,
            lambda done, stage: bar.update(task, completed=done, description=stage),
        )
    for note in record.notes:
        sys.stderr.write(f"note: {note}\n")
    typer.echo(record.id)


def _agreed() -> bool:
    """Ask for the consent, if somebody is there to be asked."""
    question = "Does the person in the photo agree to this avatar?"
    return sys.stdin.isatty() and typer.confirm(question, err=True)


def _read_photo(path: Path, config: Config) -> bytes:
    try:
        with path.open("rb") as file:
            data = file.read(config.limits.photo_bytes + 1)
    except OSError as error:
        raise BadRequest(f"The photo {path} cannot be read: {error.strerror}.") from error
    if len(data) > config.limits.photo_bytes:
        raise BadRequest(f"The photo is larger than {config.limits.photo_bytes // 1_000_000} MB.")
    return data


@app.command()
def avatars(
    action: Annotated[str, typer.Argument(help="list, show or erase")] = "list",
    avatar_id: Annotated[str, typer.Argument(metavar="[ID]")] = "",
    data: _DataOption = None,
    config: _ConfigOption = None,
) -> None:
    """List the avatars, show one, or erase one and everything kept of it."""
    from dataclasses import asdict

    from visavis.streamer.avatars.store import AvatarStore

    settings = _config(config, data)
    store = AvatarStore(settings.data_dir, settings.limits, settings.media.size)
    if action == "list":
        table = Table()
        table.add_column("id", no_wrap=True, min_width=32)  # to be copied whole
        for column in ("name", "status", "created"):
            table.add_column(column)
        for record in store.list():
            table.add_row(record.id, record.name, record.status, (record.created or "")[:10])
        Console().print(table)
    elif action == "show" and avatar_id:
        typer.echo(json.dumps(asdict(store.get(avatar_id)), indent=2, ensure_ascii=False))
    elif action == "erase" and avatar_id:
        store.erase(avatar_id)
        typer.echo(f"Erased {avatar_id}.")
    else:
        raise BadRequest("Use: visavis avatars, visavis avatars show ID or avatars erase ID.")


@app.command()
def render(
    audio: Annotated[Path, typer.Option(help="Any sound file.")],
    output: Annotated[Path, typer.Option("-o", "--output", help="The .mp4 to write.")],
    photo: Annotated[Path | None, typer.Option(help="One photo, used for this file only.")] = None,
    avatar: Annotated[str | None, typer.Option(help="The id of an enrolled avatar.")] = None,
    size: Annotated[int, typer.Option(help="256, 384 or 512.")] = 512,
    fps: Annotated[int, typer.Option(help="20, 25 or 30.")] = 25,
    engine: Annotated[str | None, typer.Option(help="auto|cpu|cuda|tensorrt|torch")] = None,
    seed: Annotated[int, typer.Option(help="Same seed, same head, blinks and gaze.")] = 0,
    heard: _HeardOption = None,
    mood: _MoodOption = "neutral",
    style: _StyleOption = 1.0,
    canvas: Canvas = "",
    framing: Framing = "bust",
    background: Background = "own",
    track: _TrackOption = None,
    force: _ForceOption = False,
    consent: _ConsentOption = False,
    data: _DataOption = None,
    config: _ConfigOption = None,
) -> None:
    """Render a sound file to a video with the same models as live."""
    from visavis.streamer.commands.motion import MotionSettings, open_motion
    from visavis.streamer.commands.outputs import check_output
    from visavis.streamer.commands.render import render_file, suffixes_of
    from visavis.streamer.media.audio_file import duration_s
    from visavis.streamer.worker.picture_models import load_pictures
    from visavis.streamer.worker.view import read_view

    settings = _config(config, data, media__size=size, media__fps=fps, engine__engine=engine)
    view = read_view(canvas, framing, background) if canvas else None
    if (photo is None) == (avatar is None):
        raise BadRequest("Give either --photo or --avatar.")
    made_from = (audio, heard, photo, config)
    check_output(output, made_from, force=force, suffixes=suffixes_of(view))
    # A bad sound file is refused before the photo's work.
    known = _sound_notes(audio, track, heard)
    made = MotionSettings(fps, FILE_LOOK_AHEAD_MS, seed, mood, style)
    motion = open_motion(made, settings.engine.engine)
    pictures = load_pictures(settings.engine.engine, refine=settings.media.refine)
    identity = _identity(settings, photo, avatar, consent)
    renderer = pictures.canvas(identity, view) if view else pictures.renderer(identity, size)
    with _progress_bar("Rendering", duration_s(audio) or 0.0) as (bar, task):
        report = render_file(
            motion,
            renderer,
            audio,
            output,
            size=size,
            fps=fps,
            view=view,
            heard=heard,
            track=_from_zero(track),
            force=force,
            progress=lambda seconds: bar.update(task, completed=seconds),
        )
        bar.update(task, completed=report.seconds, total=report.seconds)
    _say_notes([note for note in report.notes if note not in known])
    if report.silent:
        sys.stderr.write(f"note: nobody is heard in {audio.name}, so the mouth stays shut.\n")


@app.command()
def motion(
    audio: Annotated[Path, typer.Option(help="Any sound file.")],
    output: Annotated[Path, typer.Option("-o", "--output", help="The .json or .csv to write.")],
    fps: Annotated[int, typer.Option(help="1-100; Live Link Face takes have 60.")] = 60,
    look_ahead: Annotated[int, typer.Option(help="0-120 ms.")] = FILE_LOOK_AHEAD_MS,
    seed: Annotated[int, typer.Option(help="Same seed, same head, blinks and gaze.")] = 0,
    heard: _HeardOption = None,
    mood: _MoodOption = "neutral",
    style: _StyleOption = 1.0,
    track: _TrackOption = None,
    force: _ForceOption = False,
    engine: Annotated[str, typer.Option(help="auto|cpu|cuda|tensorrt|torch")] = "cpu",
) -> None:
    """Write the motion of a sound file: JSON, or CSV as Live Link Face writes it."""
    from visavis.streamer.commands.motion import (
        MotionSettings,
        check_output,
        open_motion,
        write_motion,
    )
    from visavis.streamer.media.audio_file import duration_s

    check_output(output, (audio, heard), force=force)
    known = _sound_notes(audio, track, heard)
    made = MotionSettings(fps, look_ahead, seed, mood, style)
    stream = open_motion(made, engine)
    with _progress_bar("Motion", duration_s(audio) or 0.0) as (bar, task):
        report = write_motion(
            stream,
            audio,
            output,
            made,
            heard=heard,
            track=_from_zero(track),
            force=force,
            progress=lambda seconds: bar.update(task, completed=seconds),
        )
        bar.update(task, completed=report.seconds, total=report.seconds)
    _say_notes([note for note in report.notes if note not in known])
    if report.silent:
        sys.stderr.write(f"note: nobody is heard in {audio.name}, so the mouth stays shut.\n")


def _sound_notes(audio: Path, track: int | None, heard: Path | None) -> list[str]:
    """Refuse a bad sound file; say and return what there is to say of a good one."""
    from visavis.streamer.media.audio_file import check_sound

    notes = check_sound(audio, _from_zero(track))
    if heard is not None:
        notes += check_sound(heard)
    _say_notes(notes)
    return notes


def _from_zero(track: int | None) -> int | None:
    return None if track is None else track - 1


def _say_notes(notes: list[str]) -> None:
    for note in notes:
        sys.stderr.write(f"note: {note}\n")


def _identity(settings: Config, photo: Path | None, avatar: str | None, consent: bool) -> Identity:
    """Load an avatar, or make one of a photo in memory, for this command only."""
    from visavis.models.appearance.identity import Identity
    from visavis.streamer.avatars.enrolment import read_photo_sync
    from visavis.streamer.avatars.sandbox import demanded
    from visavis.streamer.avatars.store import AvatarStore

    if avatar is not None:
        store = AvatarStore(settings.data_dir, settings.limits, settings.media.size)
        return Identity.load(store.bundle_path(avatar))
    assert photo is not None
    data = _read_photo(photo, settings)
    if not (consent or _agreed()):
        raise BadRequest("An avatar needs the consent of the person in the photo: --consent.")
    with _progress_bar("Enrolling", 1.0) as (bar, task):
        read = read_photo_sync(
            data,
            size=settings.media.size,
            timeout_s=60.0,
            demand=demanded(settings.limits.photo_sandbox),
            progress=lambda done, stage: bar.update(task, completed=done, description=stage),
        )
        bar.update(task, completed=1.0)
    for note in read.result.notes:
        sys.stderr.write(f"note: {note}\n")
    return Identity.from_bytes(read.bundle)


@app.command()
def build(
    engine: Annotated[str, typer.Option(help="tensorrt")] = "tensorrt",
    target: Annotated[
        str | None, typer.Option(help="GPU to build for: sm75|sm80|sm86|sm89|sm120|sm121")
    ] = None,
    graph: Annotated[
        list[Path] | None, typer.Option(help="An .onnx; everything that ships by default.")
    ] = None,
    output: Annotated[
        Path | None, typer.Option("-o", "--output", help="Where plans go; the server's by default.")
    ] = None,
) -> None:
    """Compile the graphs for a GPU, here or for another machine; no GPU is needed for it."""
    from visavis.streamer.commands.build import build_plans

    with _progress_bar("Building", 1.0) as (bar, task):
        paths = build_plans(
            engine,
            target,
            graph or [],
            output,
            lambda share, words: bar.update(task, completed=share, description=words),
        )
    for path in paths:
        typer.echo(path)


@app.command()
def doctor(
    data: _DataOption = None,
    config: _ConfigOption = None,
    air_gap: Annotated[
        bool, typer.Option("--air-gap", help="Prove below Python that nothing calls out: minutes.")
    ] = False,
) -> None:
    """Check everything this product needs here, each with a verdict and what to do."""
    from visavis.streamer.commands.doctor import run_checks

    settings = _config(config, data)
    table = Table("check", "verdict", "detail", "what to do")
    styles = {"ok": "green", "warn": "yellow", "fail": "red"}
    checks = run_checks(settings, air_gap_s=_AIR_GAP_S if air_gap else None)
    for check in checks:
        verdict = f"[{styles[check.verdict]}]{check.verdict}[/]"
        table.add_row(check.name, verdict, check.detail, check.advice)
    Console().print(table)
    if failed := [check.name for check in checks if check.verdict == "fail"]:
        raise BadRequest(f"Something needs your attention: {', '.join(failed)}.")


@app.command()
def settings(
    data: _DataOption = None,
    config: _ConfigOption = None,
    markdown: Annotated[bool, typer.Option("--markdown", help="As docs/settings.md.")] = False,
) -> None:
    """Show every setting: what it is now, what it may be and what it does."""
    from visavis.streamer.commands.settings import as_markdown, as_table

    if markdown:
        typer.echo(as_markdown(), nl=False)
    else:
        Console().print(as_table(_config(config, data)))


# Options, --help among them, belong to the program that is handed over to.
_PASSED_ON = {"allow_extra_args": True, "ignore_unknown_options": True}
_AIR_GAP_S = 60.0  # of idling in the proof
_BENCHES = ("latency", "network", "quality", "capacity", "soak", "engines", "compare")


@app.command(context_settings=_PASSED_ON, add_help_option=False)
def bench(
    context: typer.Context,
    which: Annotated[str, typer.Argument(help=", ".join(_BENCHES))] = "--help",
) -> None:
    """Measure one of these; ``bench WHICH --help`` lists options."""
    if which == "--help":
        typer.echo(context.get_help())
        return
    modules = {name: f"visavis.benchmarks.{name}.main" for name in _BENCHES}
    modules["compare"] = "visavis.benchmarks.compare"
    _delegate("benchmarks", modules, which.removeprefix("--"), context.args)


@app.command(context_settings=_PASSED_ON, add_help_option=False)
def train(
    context: typer.Context,
    which: Annotated[str, typer.Argument(help="motion, renderer or basis")] = "--help",
) -> None:
    """Train what ships; ``train WHICH --help`` lists options. Needs ``visavis[train]``."""
    if which == "--help":
        typer.echo(context.get_help())
        return
    modules = {
        "motion": "visavis.models.motion.training.train",
        "basis": "visavis.models.appearance.training.build_basis",
        "renderer": "visavis.models.renderer.training.relight.command",
    }
    _delegate("training", modules, which, context.args)


def _delegate(what: str, modules: dict[str, str], which: str, args: list[str]) -> None:
    """Hand over to a module's ``main(argv)``; these bring dependencies the server has not."""
    import importlib

    if which not in modules:
        raise BadRequest(f"There are no {what} named {which}; choose {', '.join(modules)}.")
    try:
        module = importlib.import_module(modules[which])
    except ModuleNotFoundError as error:
        raise BadRequest(
            f"The package {error.name} is missing: install visavis with the extras bench and train."
        ) from error
    if code := module.main(args):
        raise typer.Exit(code)


add_presenter(app)

if __name__ == "__main__":
    main()
