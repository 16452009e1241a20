"""Configuration: one TOML file and ``VISAVIS_*`` variables into frozen dataclasses.

Precedence: command line > environment > file > default. A key that does not exist is an error,
since a misspelt setting that is silently ignored costs an afternoon.
"""

from __future__ import annotations

import dataclasses
import os
import tomllib
from collections.abc import Mapping
from dataclasses import dataclass, field
from pathlib import Path
from typing import Any, get_type_hints

from visavis.streamer.errors import BadRequest


@dataclass(frozen=True)
class ServerConfig:
    """Where and for whom the HTTP server listens."""

    host: str = "127.0.0.1"
    port: int = 8080
    allowed_origins: tuple[str, ...] = ()  # besides the server's own
    token: str = ""  # bearer token; required when host is not loopback


@dataclass(frozen=True)
class MediaConfig:
    """Picture, sound and latency."""

    fps: int = 25
    size: int = 512  # px, square
    look_ahead_ms: int = 80  # of sound the lips wait for; 0-120
    ring_ms: int = 120  # frame ring capacity
    bitrate_kbps: int = 1200
    refine: bool = True  # a small network lights the open mouth
    video_codec: str = "H264"  # or VP8; the other one is for viewers that have not this one
    playout_delay_max_ms: int = 0  # upper bound asked of the viewer's jitter buffer
    sound_lead_ms: int = 50  # sound leaves earlier: a browser's way to the ear is longer


@dataclass(frozen=True)
class LimitsConfig:
    """What one client may cost."""

    max_sessions: int = 0  # 0: measured at start-up
    max_viewers: int = 8
    offer_bytes: int = 65_536
    candidates: int = 20
    photo_bytes: int = 10_000_000
    photo_pixels: int = 25_000_000
    connect_timeout_s: float = 15.0
    idle_timeout_s: float = 30.0  # without a ping from the client
    session_max_s: float = 4 * 3600.0


@dataclass(frozen=True)
class EngineConfig:
    """How graphs run."""

    engine: str = "auto"  # auto | cpu | cuda | tensorrt | torch
    threads: int = 1  # of one graph
    compute: int = 0  # sessions drawn at the same time; 0: by the number of cores


@dataclass(frozen=True)
class Config:
    """Everything the server needs to know, decided once at start."""

    data_dir: Path = field(default_factory=lambda: Path.home() / ".local/share/visavis")
    server: ServerConfig = field(default_factory=ServerConfig)
    media: MediaConfig = field(default_factory=MediaConfig)
    limits: LimitsConfig = field(default_factory=LimitsConfig)
    engine: EngineConfig = field(default_factory=EngineConfig)


_SECTIONS = ("server", "media", "limits", "engine")
# Short names that people type; the long ones (VISAVIS_SERVER_PORT) work too.
_SHORT = {
    "VISAVIS_DATA": ("data_dir",),
    "VISAVIS_HOST": ("server", "host"),
    "VISAVIS_PORT": ("server", "port"),
    "VISAVIS_TOKEN": ("server", "token"),
    "VISAVIS_ENGINE": ("engine", "engine"),
    "VISAVIS_CONFIG": (),
}
_ENGINES = ("auto", "cpu", "cuda", "tensorrt", "torch")


def load_config(
    path: Path | None = None,
    environ: Mapping[str, str] | None = None,
    overrides: Mapping[str, Any] | None = None,
) -> Config:
    """Read the configuration.

    Args:
        path: a TOML file with the tables ``server``, ``media``, ``limits`` and ``engine``;
            ``VISAVIS_CONFIG`` names one otherwise.
        environ: variables, ``os.environ`` by default.
        overrides: dotted names (``"server.port"``) from the command line; None values are ignored.

    Raises:
        BadRequest: a file, key or value cannot be used.
    """
    environ = os.environ if environ is None else environ
    if path is None and environ.get("VISAVIS_CONFIG"):
        path = Path(environ["VISAVIS_CONFIG"])
    values: dict[tuple[str, ...], Any] = {}
    if path is not None:
        values.update(_from_file(path))
    values.update(_from_environment(environ))
    for name, value in (overrides or {}).items():
        if value is not None:
            values[tuple(name.split("."))] = value
    return _check(_apply(values))


def _from_file(path: Path) -> dict[tuple[str, ...], Any]:
    try:
        table = tomllib.loads(path.read_text("utf-8"))
    except OSError as error:
        raise BadRequest(f"The configuration file {path} cannot be read.") from error
    except (tomllib.TOMLDecodeError, UnicodeDecodeError) as error:
        raise BadRequest(f"The configuration file {path} is not valid TOML: {error}.") from error
    flat: dict[tuple[str, ...], Any] = {}
    for key, value in table.items():
        if key in _SECTIONS and isinstance(value, dict):
            flat.update({(key, name): item for name, item in value.items()})
        else:
            flat[(key,)] = value
    return flat


def _from_environment(environ: Mapping[str, str]) -> dict[tuple[str, ...], Any]:
    flat: dict[tuple[str, ...], Any] = {}
    for name, value in environ.items():
        if name in _SHORT:
            if _SHORT[name]:
                flat[_SHORT[name]] = value
            continue
        section, _, key = name.removeprefix("VISAVIS_").lower().partition("_")
        if name.startswith("VISAVIS_") and section in _SECTIONS:
            flat[(section, key)] = value
    return flat


def _apply(values: Mapping[tuple[str, ...], Any]) -> Config:
    config = Config()
    for key, value in values.items():
        if key == ("data_dir",):
            config = dataclasses.replace(config, data_dir=Path(str(value)).expanduser())
            continue
        dotted = ".".join(key)
        section = getattr(config, key[0], None) if len(key) == 2 and key[0] in _SECTIONS else None
        if section is None or key[1] not in {f.name for f in dataclasses.fields(section)}:
            raise BadRequest(f"There is no setting named {dotted}.")
        kind = get_type_hints(type(section))[key[1]]
        section = dataclasses.replace(section, **{key[1]: _convert(dotted, value, kind)})
        config = dataclasses.replace(config, **{key[0]: section})
    return config


def _convert(name: str, value: Any, kind: Any) -> Any:
    if kind == tuple[str, ...]:
        items = value.split(",") if isinstance(value, str) else value
        return tuple(str(item).strip() for item in items if str(item).strip())
    if isinstance(value, bool):
        raise BadRequest(f"The setting {name} must not be true or false.")
    try:
        return kind(value)
    except (TypeError, ValueError) as error:
        raise BadRequest(f"The setting {name} must be a {kind.__name__}, not {value!r}.") from error


def _check(config: Config) -> Config:
    media = config.media
    rules = (
        (0 <= config.server.port <= 65_535, "server.port must be between 0 and 65535"),
        (media.size in (256, 384, 512), "media.size must be 256, 384 or 512"),
        (media.fps in (20, 25), "media.fps must be 20 or 25"),
        (media.look_ahead_ms in (0, 40, 80, 120), "media.look_ahead_ms must be 0, 40, 80 or 120"),
        (0 <= media.sound_lead_ms <= 80, "media.sound_lead_ms must be between 0 and 80"),
        (40 <= media.ring_ms <= 1000, "media.ring_ms must be between 40 and 1000"),
        (100 <= media.bitrate_kbps <= 8000, "media.bitrate_kbps must be between 100 and 8000"),
        (media.video_codec in ("H264", "VP8"), "media.video_codec must be H264 or VP8"),
        (config.engine.engine in _ENGINES, f"engine.engine must be one of {', '.join(_ENGINES)}"),
        (1 <= config.engine.threads <= 64, "engine.threads must be between 1 and 64"),
        (0 <= config.engine.compute <= 64, "engine.compute must be between 0 and 64"),
    )
    for holds, sentence in rules:
        if not holds:
            raise BadRequest(f"The setting {sentence}.")
    return config
