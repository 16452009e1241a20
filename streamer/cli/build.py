"""``visavis build``."""

from __future__ import annotations

from pathlib import Path
from typing import Annotated

import typer

from visavis.streamer.cli.options import progress_bar


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

    with progress_bar("Building", 1.0) as (bar, task):
        paths = build_plans(
            engine,
            target,
            graph or [],
            output,
            lambda share, words: bar.update(task, completed=share, description=words),
        )
    for path in paths:
        typer.echo(path)
