"""``visavis bench`` and ``visavis train``: programs with command lines of their own."""

from __future__ import annotations

from typing import Annotated

import typer

from visavis.streamer.errors import BadRequest

# Options, --help among them, belong to the program that is handed over to.
PASSED_ON = {"allow_extra_args": True, "ignore_unknown_options": True}
_BENCHES = (
    *("latency", "network", "quality", "capacity", "room", "soak", "engines", "trust"),
    *("agent", "whip", "push", "presenter", "offline", "scale", "compare"),
)


def bench(
    context: typer.Context,
    which: Annotated[str, typer.Argument(help=", ".join(_BENCHES))] = "--help",
) -> None:
    """Measure one of these; ``bench WHICH --help`` lists options."""
    if which == "--help":
        typer.echo(context.get_help())
        return
    modules = {name: f"visavis.benchmarks.{name}.main" for name in _BENCHES}
    modules["push"] = "visavis.benchmarks.whip.push"
    modules["offline"] = "visavis.benchmarks.capacity.offline"
    modules["compare"] = "visavis.benchmarks.figures.compare"
    _delegate("benchmarks", modules, which.removeprefix("--"), context.args)


def train(
    context: typer.Context,
    which: Annotated[str, typer.Argument(help="motion, renderer, tracker or basis")] = "--help",
) -> None:
    """Train what ships; ``train WHICH --help`` lists options. Needs the extra train."""
    if which == "--help":
        typer.echo(context.get_help())
        return
    modules = {
        "motion": "visavis.models.motion.training.train",
        "basis": "visavis.models.appearance.training.build_basis",
        "renderer": "visavis.models.renderer.training.relight.command",
        "tracker": "visavis.models.appearance.tracker.training.command",
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
        extra = "bench" if what == "benchmarks" else "train"
        raise BadRequest(
            f"The package {error.name} is missing: install visavis with the extra {extra}."
        ) from error
    if code := module.main(args):
        raise typer.Exit(code)
