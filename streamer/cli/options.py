"""What the command lines share: options, settings, progress, notes."""

from __future__ import annotations

import sys
from collections.abc import Generator
from contextlib import contextmanager
from pathlib import Path
from typing import Annotated

import typer
from rich.console import Console
from rich.progress import BarColumn, Progress, TaskID, TextColumn, TimeElapsedColumn

from visavis.streamer.config import Config, load_config
from visavis.streamer.errors import BadRequest

DataOption = Annotated[Path | None, typer.Option("--data", help="Where avatars live.")]
ConsentOption = Annotated[
    bool, typer.Option("--consent", help="The person in the photo agrees to this avatar.")
]
HeardOption = Annotated[
    Path | None, typer.Option("--heard", help="What the other side says meanwhile.")
]
MoodOption = Annotated[
    str, typer.Option("--mood", help="neutral|warm|serious|lively|conversational")
]
StyleOption = Annotated[float, typer.Option("--style", help="0 still to 2 animated.")]
TrackOption = Annotated[
    int | None, typer.Option("--track", help="Which sound track, from 1; the default one else.")
]
ForceOption = Annotated[
    bool, typer.Option("--force", help="Replace another file that is there already.")
]
ConfigOption = Annotated[Path | None, typer.Option("--config", help="A TOML file.")]
FILE_LOOK_AHEAD_MS = 80  # a file waits for nobody; beyond it nothing is gained


def load(path: Path | None, data: Path | None, **overrides: object) -> Config:
    """Read the configuration; ``server__port=…`` is the option of the setting ``server.port``."""
    return load_config(
        path,
        overrides={"data_dir": data, **{k.replace("__", "."): v for k, v in overrides.items()}},
    )


@contextmanager
def progress_bar(title: str, total: float) -> Generator[tuple[Progress, TaskID], None, None]:
    """Show on stderr how much of a total is done."""
    columns = (
        TextColumn("{task.description}"),
        BarColumn(),
        TextColumn("{task.percentage:>3.0f} %"),
        TimeElapsedColumn(),
    )
    with Progress(*columns, console=Console(stderr=True), transient=False) as progress:
        yield progress, progress.add_task(title, total=total)


def say_notes(notes: list[str]) -> None:
    """Write what its user should know of a result."""
    for note in notes:
        sys.stderr.write(f"note: {note}\n")


def agreed() -> bool:
    """Ask for the consent, if somebody is there to be asked."""
    question = "Does the person in the photo agree to this avatar?"
    return sys.stdin.isatty() and typer.confirm(question, err=True)


def read_photo(path: Path, config: Config) -> bytes:
    """Return a photo's bytes.

    Raises:
        BadRequest: it cannot be read, or is too large.
    """
    try:
        with path.open("rb") as file:
            data = file.read(config.limits.photo_bytes + 1)
    except OSError as error:
        raise BadRequest(f"The photo {path} cannot be read: {error.strerror}.") from error
    if len(data) > config.limits.photo_bytes:
        raise BadRequest(f"The photo is larger than {config.limits.photo_bytes // 1_000_000} MB.")
    return data


def from_zero(track: int | None) -> int | None:
    """Return a sound track's number as files count them."""
    return None if track is None else track - 1


def sound_notes(audio: Path, track: int | None, heard: Path | None) -> list[str]:
    """Refuse a bad sound file; say and return what there is to say of a good one."""
    from visavis.streamer.media.files.audio_file import check_sound

    notes = check_sound(audio, from_zero(track))
    if heard is not None:
        notes += check_sound(heard)
    say_notes(notes)
    return notes
