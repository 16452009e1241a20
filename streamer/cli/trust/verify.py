"""``visavis verify``."""

from __future__ import annotations

import json
import sys
from pathlib import Path
from typing import Annotated

import typer

from visavis.streamer.cli.options import ConfigOption, DataOption, load
from visavis.streamer.errors import BadRequest

_UNREADABLE, _UNMARKED = 2, 3


def verify(
    files: Annotated[list[Path], typer.Argument(help="Videos, in any format FFmpeg reads.")],
    as_json: Annotated[bool, typer.Option("--json", help="One JSON object a file.")] = False,
    data: DataOption = None,
    config: ConfigOption = None,
) -> None:
    """Say whether videos were made by such a server: watermark, label, C2PA manifest.

    Exit code 0: every file is marked; 3: one is not; 2: one cannot be read.
    """
    from visavis.streamer.trust.marks.verdict import verify_file

    data_dir = load(config, data).data_dir
    key_file = data_dir / "trust" / "watermark.key"
    key = key_file.read_bytes() if key_file.is_file() else None
    code = 0
    for path in files:
        try:
            verdict = verify_file(path, key, data_dir)
        except BadRequest as error:
            sys.stderr.write(f"visavis: {error}\n")
            code = _UNREADABLE
            continue
        typer.echo(json.dumps(verdict.describe()) if as_json else f"{path}: {verdict.words}")
        if not verdict.is_marked:
            code = code or _UNMARKED
    if code:
        raise typer.Exit(code)
