"""``visavis motion``."""

from __future__ import annotations

import sys
from pathlib import Path
from typing import Annotated

import typer

from visavis.streamer.cli.options import (
    FILE_LOOK_AHEAD_MS,
    ForceOption,
    HeardOption,
    MoodOption,
    StyleOption,
    TrackOption,
    from_zero,
    progress_bar,
    say_notes,
    sound_notes,
)


def motion(
    audio: Annotated[Path, typer.Option(help="Any sound file.")],
    output: Annotated[Path, typer.Option("-o", "--output", help="The .json or .csv to write.")],
    fps: Annotated[int, typer.Option(help="1-100; Live Link Face takes have 60.")] = 60,
    look_ahead: Annotated[int, typer.Option(help="0-120 ms.")] = FILE_LOOK_AHEAD_MS,
    seed: Annotated[int, typer.Option(min=0, help="Same seed, same head, blinks and gaze.")] = 0,
    heard: HeardOption = None,
    mood: MoodOption = "neutral",
    style: StyleOption = 1.0,
    track: TrackOption = None,
    force: ForceOption = False,
    engine: Annotated[str, typer.Option(help="auto|cpu|cuda|tensorrt|torch")] = "cpu",
) -> None:
    """Write the motion of a sound file: JSON, or CSV as Live Link Face writes it."""
    from visavis.streamer.commands.motion import (
        MotionSettings,
        check_output,
        open_motion,
        write_motion,
    )
    from visavis.streamer.media.files.audio_file import duration_s

    check_output(output, (audio, heard), force=force)
    known = sound_notes(audio, track, heard)
    made = MotionSettings(fps, look_ahead, seed, mood, style)
    stream = open_motion(made, engine)
    with progress_bar("Motion", duration_s(audio) or 0.0) as (bar, task):
        report = write_motion(
            stream,
            audio,
            output,
            made,
            heard=heard,
            track=from_zero(track),
            force=force,
            progress=lambda seconds: bar.update(task, completed=seconds),
        )
        bar.update(task, completed=report.seconds, total=report.seconds)
    say_notes([note for note in report.notes if note not in known])
    if report.silent:
        sys.stderr.write(f"note: nobody is heard in {audio.name}, so the mouth stays shut.\n")
