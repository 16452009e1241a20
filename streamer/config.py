"""Settings: one TOML file and ``VISAVIS_*`` variables into frozen models.

Precedence: command line > environment > file > default. A name that does not exist is an error,
since a misspelt setting that is silently ignored costs an afternoon. A new setting is one line
here and one that describes it; its range, its variable, the sentence about a wrong value and its
row in docs/settings.md come from those.
"""

from __future__ import annotations

import difflib
import os
import tomllib
from collections.abc import Mapping
from pathlib import Path
from typing import Any, Final, Literal, cast

from pydantic import (
    BaseModel,
    ConfigDict,
    Field,
    ValidationError,
    model_validator,
)
from pydantic_settings import BaseSettings, EnvSettingsSource, SettingsConfigDict
from pydantic_settings import TomlConfigSettingsSource as TomlSource

from visavis.streamer.errors import BadRequest
from visavis.streamer.sentences import first_sentence
from visavis.streamer.values import (
    Addresses,
    Credential,
    FilePath,
    Fps,
    IceServers,
    Int,
    Milliseconds,
    Networks,
    Origins,
    Pixels,
    Prefix,
    Seconds,
    Texts,
    Token,
    WebAddresses,
)

PREFIX: Final = "VISAVIS_"
# Short names that people type; the long ones (VISAVIS_SERVER_PORT) work too.
SHORT: Final = {
    "VISAVIS_DATA": "VISAVIS_DATA_DIR",
    "VISAVIS_HOST": "VISAVIS_SERVER_HOST",
    "VISAVIS_PORT": "VISAVIS_SERVER_PORT",
    "VISAVIS_TOKEN": "VISAVIS_SERVER_TOKEN",
    "VISAVIS_ENGINE": "VISAVIS_ENGINE_ENGINE",
}
# Read elsewhere, before or without a configuration.
OTHER_VARIABLES: Final = (
    "VISAVIS_CONFIG",
    "VISAVIS_DEBUG",
    "VISAVIS_PLANS",
    "VISAVIS_VAULT_KEY",
    "VISAVIS_WORKER_LOG",
)


class _Section(BaseModel):
    """The text below a setting is what ``visavis settings`` and docs/settings.md say about it."""

    model_config = ConfigDict(frozen=True, extra="forbid", use_attribute_docstrings=True)


class ServerConfig(_Section):
    """Where and for whom the HTTP server listens."""

    host: str = Field(default="127.0.0.1", min_length=1, max_length=255)
    """Address to listen on; any but a loopback one needs a token."""
    port: Int = Field(default=8080, ge=0, le=65_535)
    """Port to listen on; 0 picks a free one."""
    token: Token = Field(default="", repr=False)
    """What every request but those for the page must bring; 16 characters or more."""
    allowed_origins: Origins = ()
    """Web pages' origins, besides the server's own, that may use it."""
    host_names: Texts = ()
    """Host names it answers to besides localhost, this machine's name and addresses."""
    push_to: WebAddresses = ()
    """Beginnings of WHIP addresses that sessions may be pushed to, besides this machine's own."""
    trusted_proxies: Networks = ("127.0.0.1", "::1")
    """Whose X-Forwarded-For and X-Forwarded-Proto are believed."""
    root_path: Prefix = ""
    """Path below which a proxy shows the server, whether or not the proxy takes it off."""
    tls_cert: FilePath | None = None
    """Certificate (PEM, with its chain) for HTTPS; may be replaced while it serves."""
    tls_key: FilePath | None = None
    """The certificate's key (PEM, without a passphrase)."""
    tls_self_signed: bool = False
    """HTTPS by an authority of its own; `visavis certificate` says how to trust it."""
    max_connections: Int = Field(default=512, ge=8, le=65_536)
    """HTTP connections at a time; fewer where the process may open few files."""
    header_timeout_s: Seconds = Field(default=10.0, ge=0.1, le=600)
    """Within which a request's header must have come, TLS included."""
    body_timeout_s: Seconds = Field(default=120.0, ge=0.1, le=3600)
    """Within which a request's body must have come."""
    keep_alive_s: Int = Field(default=15, ge=1, le=600)
    """For which a connection may rest between two requests."""

    @model_validator(mode="after")
    def _one_kind_of_tls(self) -> ServerConfig:
        if (self.tls_cert is None) != (self.tls_key is None):
            raise ValueError("needs tls_cert and tls_key together")
        if self.tls_self_signed and self.tls_cert is not None:
            raise ValueError("needs either tls_self_signed or a tls_cert, not both")
        return self

    @property
    def tls(self) -> bool:
        """Whether it speaks HTTPS."""
        return self.tls_self_signed or self.tls_cert is not None


class MediaConfig(_Section):
    """Picture, sound and latency."""

    fps: Fps = 25
    """Frames per second."""
    size: Pixels = 512
    """Width and height of the picture in pixels."""
    look_ahead_ms: Milliseconds = 40
    """Sound that the lips wait for, in milliseconds."""
    ring_ms: Int = Field(default=120, ge=40, le=1000)
    """Capacity of the frame ring in milliseconds."""
    bitrate_kbps: Int = Field(default=1200, ge=100, le=8000)
    """Video bitrate where the network allows it."""
    refine: bool = True
    """Whether a small network lights the open mouth."""
    video_codec: Literal["H264", "VP8"] = "H264"
    """Preferred codec; the other one is for viewers without this one."""
    playout_delay_max_ms: Int = Field(default=0, ge=0, le=1000)
    """Upper bound asked of the viewer's jitter buffer; 0 is as little as it can."""
    sound_lead_ms: Int = Field(default=50, ge=0, le=80)
    """How much earlier sound leaves than its picture: a browser's way to the ear is longer."""


class LimitsConfig(_Section):
    """What one client may cost."""

    max_sessions: Int = Field(default=0, ge=0, le=1000)
    """Sessions at a time; 0 measures at start what this machine holds."""
    max_viewers: Int = Field(default=8, ge=0, le=1000)
    """Viewers that may watch one session."""
    offer_bytes: Int = Field(default=65_536, ge=4096, le=1_048_576)
    """Size of an offer."""
    candidates: Int = Field(default=20, ge=1, le=1000)
    """ICE candidates of an offer's section, and again those that come later."""
    photo_bytes: Int = Field(default=40_000_000, ge=1, le=100_000_000)
    """Size of a photo's file."""
    photo_pixels: Int = Field(default=64_000_000, ge=4096, le=200_000_000)
    """Width times height of a photo."""
    photo_sandbox: Literal["best", "required"] = "best"
    """Whether a photo is read where the system lacks a part of the sandbox: required refuses."""
    face_tracker: Literal["auto", "mediapipe", "own"] = "auto"
    """What finds faces in photos; auto takes MediaPipe where it is installed."""
    verify_bytes: Int = Field(default=64_000_000, ge=1_000_000, le=1_000_000_000)
    """Size of a video that the page /verify takes; it is held in memory."""
    connect_timeout_s: Seconds = Field(default=15.0, ge=1, le=600)
    """Within which a session must be connected."""
    idle_timeout_s: Seconds = Field(default=30.0, ge=1, le=86_400)
    """Silence on the control channel after which a session ends."""
    session_max_s: Seconds = Field(default=4 * 3600.0, ge=0, le=30 * 86_400)
    """After which a session ends in any case; 0 is never."""


class IceConfig(_Section):
    """How viewers reach the media. Nobody is asked for an address but whom `servers` names."""

    advertise: Addresses = ()
    """Addresses offered to viewers as well: what a router or container host passes on to here."""
    udp_port_min: Int = Field(default=0, ge=0, le=65_535)
    """Lowest UDP port for media; 0 is any."""
    udp_port_max: Int = Field(default=0, ge=0, le=65_535)
    """Highest UDP port for media."""
    servers: IceServers = ()
    """STUN and TURN servers of one's own, such as turn:turn.example.org:3478; told to clients."""
    relay: bool = True
    """Whether the server asks `servers` as well; not needed where its UDP ports can be reached."""
    secret: Credential = Field(default="", repr=False)
    """Shared with the TURN servers (coturn's static-auth-secret); passwords are made from it."""
    lasts_s: Int = Field(default=12 * 3600, ge=60, le=30 * 86_400)
    """How long a password that is made from the secret opens the TURN servers."""
    username: Credential = ""
    """User name at the TURN servers, where there is no secret."""
    password: Credential = Field(default="", repr=False)
    """Password at the TURN servers, where there is no secret; every client is told."""

    @model_validator(mode="after")
    def _whole_range(self) -> IceConfig:
        low, high = self.udp_port_min, self.udp_port_max
        if (low or high) and not 1024 <= low <= high:
            raise ValueError("needs udp_port_min of 1024 or more, and udp_port_max not below it")
        return self

    @model_validator(mode="after")
    def _credentials(self) -> IceConfig:
        if bool(self.username) != bool(self.password):
            raise ValueError("needs username and password together")
        if self.secret and self.username:
            raise ValueError("needs either a secret or a username and password, not both")
        turns = any(server.startswith("turn") for server in self.servers)
        if turns and not (self.secret or self.username):
            raise ValueError("needs a secret, or a username and password, for its TURN servers")
        return self


class RoomsConfig(_Section):
    """Calls of several people."""

    people: Int = Field(default=8, ge=2, le=15)
    """Seats in one call."""
    watchers: Int = Field(default=8, ge=0, le=1000)
    """People who may watch one call besides."""
    rooms: Int = Field(default=32, ge=1, le=1000)
    """Calls that are open at the same time."""
    invitation_s: Seconds = Field(default=3600.0, ge=60, le=30 * 86_400)
    """How long an invitation lasts where nothing else is said."""
    seat_s: Seconds = Field(default=12 * 3600.0, ge=60, le=30 * 86_400)
    """Within which somebody may come back to the seat they had."""
    away_s: Seconds = Field(default=20.0, ge=1, le=3600)
    """How long a seat is kept for somebody whose connection is gone."""


class EngineConfig(_Section):
    """How graphs run."""

    engine: Literal["auto", "cpu", "cuda", "tensorrt", "torch"] = "auto"
    """What graphs run on; auto takes the best that works here."""
    threads: Int = Field(default=1, ge=1, le=64)
    """Threads of one graph."""
    compute: Int = Field(default=0, ge=0, le=64)
    """Sessions drawn side by side; 0 goes by the number of cores."""


class TrustConfig(_Section):
    """What keeps viewers from being fooled and owners in control."""

    label: bool = True
    """Whether every picture carries the words "AI avatar"; switching it off is audited."""
    watermark: bool = True
    """Whether pictures carry an imperceptible watermark; switching it off is audited."""
    open_detector: bool = False
    """Whether /verify asks nobody for a token, as a service to the public should not."""


class QuotasConfig(_Section):
    """How much each token, each invitation, and the server's owner may have; 0 is any."""

    avatars: Int = Field(default=0, ge=0, le=500)
    """Avatars made by one holder, as long as they are kept; 0 is any number."""
    sessions: Int = Field(default=0, ge=0, le=1000)
    """Sessions of one holder at a time; 0 is any number."""
    minutes_a_day: Int = Field(default=0, ge=0, le=100_000)
    """Minutes of sessions of one holder in a day, UTC; 0 is any number."""
    recordings_mb: Int = Field(default=0, ge=0, le=100_000_000)
    """Megabytes of recordings that one holder may keep; 0 is any number."""


class Config(_Section):
    """Everything the server needs to know, decided once at start."""

    data_dir: FilePath = Field(default_factory=lambda: Path.home() / ".local/share/visavis")
    """Where avatars and the audit log live."""
    server: ServerConfig = Field(default_factory=ServerConfig)
    media: MediaConfig = Field(default_factory=MediaConfig)
    limits: LimitsConfig = Field(default_factory=LimitsConfig)
    ice: IceConfig = Field(default_factory=IceConfig)
    rooms: RoomsConfig = Field(default_factory=RoomsConfig)
    engine: EngineConfig = Field(default_factory=EngineConfig)
    trust: TrustConfig = Field(default_factory=TrustConfig)
    quotas: QuotasConfig = Field(default_factory=QuotasConfig)


class _Settings(Config, BaseSettings):
    """The same, as pydantic-settings reads it."""

    model_config = SettingsConfigDict(
        frozen=True,
        extra="forbid",
        env_prefix=PREFIX,
        env_nested_delimiter="_",
        env_nested_max_split=1,
        enable_decoding=False,  # a list is written ``a, b``, not as JSON
    )


def variables() -> dict[str, tuple[str, ...]]:
    """Return every ``VISAVIS_*`` variable that is a setting, with where it stands."""
    found: dict[str, tuple[str, ...]] = {}
    for name, field in Config.model_fields.items():
        if isinstance(field.annotation, type) and issubclass(field.annotation, BaseModel):
            for inner in field.annotation.model_fields:
                found[f"{PREFIX}{name}_{inner}".upper()] = (name, inner)
        else:
            found[f"{PREFIX}{name}".upper()] = (name,)
    return found


def load_config(
    path: Path | None = None,
    environ: Mapping[str, str] | None = None,
    overrides: Mapping[str, Any] | None = None,
) -> Config:
    """Read the configuration.

    Args:
        path: a TOML file with a table for each section of ``Config``; ``VISAVIS_CONFIG`` names
            one otherwise.
        environ: variables, ``os.environ`` by default.
        overrides: dotted names (``"server.port"``) from the command line; None values are ignored.

    Raises:
        BadRequest: a file, name or value cannot be used.
    """
    environ = os.environ if environ is None else environ
    if path is None and environ.get("VISAVIS_CONFIG"):
        path = Path(environ["VISAVIS_CONFIG"])
    values: dict[str, Any] = {} if path is None else _from_file(path)
    _merge(values, _from_environment(environ))
    for name, value in (overrides or {}).items():
        if value is not None:
            _merge(values, _nested(name.split("."), value))
    try:
        return Config.model_validate(values)
    except ValidationError as error:
        raise BadRequest(first_sentence(error, Config, "setting")) from None


def _from_file(path: Path) -> dict[str, Any]:
    try:
        path.read_bytes()  # a missing file is nothing to pydantic-settings
        return TomlSource(_Settings, path)()
    except OSError as error:
        raise BadRequest(f"The configuration file {path} cannot be read.") from error
    except (tomllib.TOMLDecodeError, UnicodeDecodeError) as error:
        raise BadRequest(f"The configuration file {path} is not valid TOML: {error}.") from error


def _from_environment(environ: Mapping[str, str]) -> dict[str, Any]:
    known = variables()
    given: dict[str, str] = {}
    for name, value in environ.items():
        if not name.startswith(PREFIX) or name in OTHER_VARIABLES:
            continue
        long = SHORT.get(name, name)
        if long not in known:
            raise BadRequest(_unknown(name, [*known, *SHORT, *OTHER_VARIABLES]))
        if name in SHORT or long not in given:  # the short name is the one somebody typed
            given[long] = value
    source = EnvSettingsSource(_Settings)
    source.env_vars = {name.lower(): value for name, value in given.items()}
    return source()


def _unknown(name: str, known: list[str]) -> str:
    near = difflib.get_close_matches(name, known, 1, 0.75)
    hint = f"; did you mean {near[0]}?" if near else "."
    return f"There is no setting named {name}{hint}"


def _nested(names: list[str], value: Any) -> dict[str, Any]:
    for name in reversed(names):
        value = {name: value}
    return dict(value)


def _merge(into: dict[str, Any], more: Mapping[str, Any]) -> None:
    """Lay one tree of values over another; a table is merged, anything else is replaced."""
    for name, value in more.items():
        below = into.get(name)
        if isinstance(below, dict) and isinstance(value, Mapping):
            _merge(cast(dict[str, Any], below), cast(Mapping[str, Any], value))
        else:
            into[name] = value
