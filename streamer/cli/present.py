"""The options of ``visavis present`` and ``visavis record``; nothing heavy is imported for them."""

from __future__ import annotations

import logging
from pathlib import Path
from typing import Annotated

import typer

from visavis.streamer.config import load_config
from visavis.streamer.errors import BadRequest

Canvas = Annotated[str, typer.Option(help="1280x720, 1920x1080, 720x1280 or 512x512.")]
Framing = Annotated[str, typer.Option(help="head, bust or photo (as in the photo).")]
Background = Annotated[
    str, typer.Option(help="own, blur, transparent, a colour (green, #3366aa) or a picture's path.")
]
_Avatar = Annotated[str, typer.Option(help="The id of an avatar; the newest by default.")]
_Fps = Annotated[int, typer.Option(help="25 or 30.")]
_Mood = Annotated[str, typer.Option(help="neutral|warm|serious|lively|conversational")]
_Style = Annotated[float, typer.Option(help="0 still to 2 animated.")]
_Microphone = Annotated[str, typer.Option(help="Part of a microphone's name; else the default.")]
_Script = Annotated[Path | None, typer.Option(help="A talk to speak instead of a microphone.")]
_Voice = Annotated[
    str, typer.Option(help="Speech command: text on stdin, WAV or 16-bit PCM on stdout.")
]
_VoiceRate = Annotated[int, typer.Option(help="Hz of the voice if it gives bare PCM.")]
_Audio = Annotated[Path | None, typer.Option(help="A sound file instead of a microphone.")]
_Agent = Annotated[
    int,
    typer.Option(
        help="Port on which a program may speak, alone or as the script's voice; -1 any, 0 none."
    ),
]
_Captions = Annotated[
    Path | None, typer.Option(help="Where captions go; beside the script by default.")
]
_Force = Annotated[bool, typer.Option("--force", help="Replace files that are there.")]
_Seconds = Annotated[float, typer.Option(min=0, help="End after so long; 0 goes on.")]
_Engine = Annotated[str | None, typer.Option(help="auto|cpu|cuda|tensorrt|torch")]
_LookAhead = Annotated[int | None, typer.Option(help="ms of sound the lips wait for: 0-120.")]
_Data = Annotated[Path | None, typer.Option(help="Where avatars live.")]
_Config = Annotated[Path | None, typer.Option(help="A TOML file.")]
_Verbose = Annotated[bool, typer.Option("--verbose", help="Log more.")]


def _log(verbose: bool) -> None:
    level = logging.INFO if verbose else logging.ERROR
    logging.basicConfig(level=level, format="%(asctime)s %(levelname)s %(name)s: %(message)s")


def present(
    avatar: _Avatar = "",
    list_: Annotated[bool, typer.Option("--list", help="Name the devices and end.")] = False,
    canvas: Canvas = "1280x720",
    framing: Framing = "bust",
    background: Background = "own",
    fps: _Fps = 25,
    mood: _Mood = "neutral",
    style: _Style = 1.0,
    microphone: _Microphone = "",
    camera: Annotated[str, typer.Option(help="auto, v4l2, obs, pipewire or none.")] = "auto",
    camera_device: Annotated[str, typer.Option(help="Such as /dev/video10.")] = "",
    speaker: Annotated[
        str, typer.Option(help="auto makes one (Linux), none, or part of a device's name.")
    ] = "auto",
    script: _Script = None,
    voice: _Voice = "espeak-ng --stdout",
    voice_rate: _VoiceRate = 22_050,
    audio: _Audio = None,
    agent: _Agent = 0,
    captions: _Captions = None,
    record: Annotated[Path | None, typer.Option(help="Also write this .mp4.")] = None,
    slides: Annotated[
        int, typer.Option(help="Port of a page that counts slide cues; -1 any, 0 none.")
    ] = 0,
    slide_command: Annotated[
        str, typer.Option(help="Run at a slide cue, such as 'xdotool key Next'.")
    ] = "",
    seconds: _Seconds = 0.0,
    force: _Force = False,
    look_ahead: _LookAhead = None,
    engine: _Engine = None,
    data: _Data = None,
    config: _Config = None,
    verbose: _Verbose = False,
) -> None:
    """Be the camera and the microphone of a meeting, live or from a script."""
    from visavis.streamer.commands import present as command

    _log(verbose)
    if list_:
        for line in command.list_devices():
            typer.echo(line)
        return
    settings = load_config(
        config,
        overrides={
            "data_dir": data,
            "engine.engine": engine,
            "media.look_ahead_ms": look_ahead,
        },
    )
    command.present(
        settings,
        command.Options(
            avatar=avatar,
            canvas=canvas,
            framing=framing,
            background=background,
            fps=fps,
            mood=mood,
            style=style,
            microphone=microphone,
            camera=camera,
            camera_device=camera_device,
            speaker=speaker,
            script=script,
            voice=voice,
            voice_rate=voice_rate,
            audio=audio,
            agent=agent,
            captions=captions,
            record=record,
            slides=slides,
            slide_command=slide_command,
            seconds=seconds,
            force=force,
        ),
    )


def record(
    output: Annotated[Path, typer.Option("-o", "--output", help="The .mp4 to write.")],
    avatar: _Avatar = "",
    canvas: Canvas = "1280x720",
    framing: Framing = "bust",
    background: Background = "own",
    fps: _Fps = 25,
    mood: _Mood = "neutral",
    style: _Style = 1.0,
    microphone: _Microphone = "",
    script: _Script = None,
    voice: _Voice = "espeak-ng --stdout",
    voice_rate: _VoiceRate = 22_050,
    audio: _Audio = None,
    agent: _Agent = 0,
    captions: _Captions = None,
    seconds: _Seconds = 0.0,
    force: _Force = False,
    look_ahead: _LookAhead = None,
    engine: _Engine = None,
    data: _Data = None,
    config: _Config = None,
    verbose: _Verbose = False,
) -> None:
    """Record a presentation from the microphone, a script or a sound file, while it happens."""
    if output.suffix.lower() not in (".mp4", ".m4v"):
        raise BadRequest(f"A recording must end in .mp4, not {output.suffix!r}.")
    present(
        avatar=avatar,
        canvas=canvas,
        framing=framing,
        background=background,
        fps=fps,
        mood=mood,
        style=style,
        microphone=microphone,
        camera="none",
        speaker="none",
        script=script,
        voice=voice,
        voice_rate=voice_rate,
        audio=audio,
        agent=agent,
        captions=captions,
        record=output,
        seconds=seconds,
        force=force,
        look_ahead=look_ahead,
        engine=engine,
        data=data,
        config=config,
        verbose=verbose,
    )


def add_presenter(app: typer.Typer) -> None:
    """Give the command line ``present`` and ``record``."""
    app.command()(present)
    app.command()(record)
