"""``visavis serve`` and ``visavis certificate``."""

from __future__ import annotations

import logging
import time
from pathlib import Path
from typing import Annotated

import typer

from visavis.streamer.cli.options import ConfigOption, DataOption, load


def serve(
    host: Annotated[str | None, typer.Option(help="Address to listen on.")] = None,
    port: Annotated[int | None, typer.Option(help="Port to listen on; 0 picks one.")] = None,
    data: DataOption = None,
    config: ConfigOption = None,
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
        load(
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


def certificate(data: DataOption = None, config: ConfigOption = None) -> None:
    """Make the authority of ``--tls-self-signed`` and say how devices come to trust it."""
    from visavis.streamer.http.security.tls import how_to_trust, own_certificate
    from visavis.streamer.http.serve import public_addresses

    settings = load(config, data, server__tls_self_signed=True)
    address = public_addresses(settings, settings.server.port)[0]
    typer.echo(how_to_trust(own_certificate(settings), address), nl=False)
