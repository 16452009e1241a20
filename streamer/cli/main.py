"""The ``visavis`` command: exit code 0, or another with one plain sentence on stderr."""

from __future__ import annotations

import os
import sys
from typing import Annotated

import typer

from visavis.engines.base import EngineError
from visavis.models.appearance.photo.errors import EnrolmentRefused, IdentityError
from visavis.models.shipped import WeightsError
from visavis.streamer import __version__
from visavis.streamer.cli.apart import LIVEKIT_WORKER, livekit_worker
from visavis.streamer.cli.avatars import avatars, enroll
from visavis.streamer.cli.build import build
from visavis.streamer.cli.doctor import doctor, settings
from visavis.streamer.cli.motion import motion
from visavis.streamer.cli.present import add_presenter
from visavis.streamer.cli.programs import PASSED_ON, bench, train
from visavis.streamer.cli.push import push
from visavis.streamer.cli.render import render
from visavis.streamer.cli.serve import certificate, serve
from visavis.streamer.cli.trust import audit, consent, tokens, vault, verify
from visavis.streamer.cost.command import tco
from visavis.streamer.errors import VisavisError

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


def main() -> None:
    """Run the command line; anything foreseen ends in one sentence, never a traceback."""
    try:
        sys.exit(app(standalone_mode=False, prog_name="visavis") or 0)
    except _UsageError as error:
        if words := error.format_message():  # type: ignore[attr-defined]
            sys.stderr.write(f"visavis: {words}\n")  # none where the help was the answer
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


for _command in (
    serve,
    enroll,
    avatars,
    consent,
    vault,
    tokens,
    audit,
    verify,
    render,
    motion,
    push,
    doctor,
    settings,
    certificate,
    build,
    tco,
):
    app.command()(_command)
add_presenter(app)
for _program in (bench, train):
    app.command(context_settings=PASSED_ON, add_help_option=False)(_program)


@app.command(LIVEKIT_WORKER, context_settings=PASSED_ON, add_help_option=False)
def _livekit_worker(context: typer.Context) -> None:
    """Join LiveKit rooms as an avatar, on behalf of agents elsewhere."""
    livekit_worker(context.args)


if __name__ == "__main__":
    main()
