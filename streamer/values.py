"""Kinds of values that settings have, and what may stand in a file or a variable for them."""

from __future__ import annotations

import ipaddress
import re
from pathlib import Path
from typing import Annotated, Final, Literal

from pydantic import AfterValidator, BeforeValidator, Field

# RFC 7064 and 7065. Secure STUN hides nothing that matters and few servers speak it.
ICE_SERVER: Final = re.compile(
    r"(?P<scheme>stun|turns?):(?P<host>\[[0-9A-Fa-f:.]+\]|[A-Za-z0-9._-]{1,253})"
    r"(?::(?P<port>[1-9]\d{0,4}))?(?:\?transport=(?P<transport>udp|tcp))?"
)
TOKEN_LENGTH: Final = 16  # characters at least; 64 bits where they are hexadecimal
_ORIGIN: Final = re.compile(r"[a-z][a-z+.-]*://[^/\s*?#]+")


def _no_bool(value: object) -> object:
    """Python takes True for 1; a setting that is a number must not."""
    if isinstance(value, bool):
        raise ValueError("must not be true or false")
    return value


def _number(value: object) -> object:
    """Read a number that stands in a variable, for the choices that pydantic compares exactly."""
    if isinstance(value, str) and value.strip().isdigit():
        return int(value)
    return _no_bool(value)


def _split(value: object) -> object:
    """Read a list that stands in a variable as ``a, b``."""
    if isinstance(value, str):
        return [item.strip() for item in value.split(",") if item.strip()]
    return value


def _token(value: str) -> str:
    """Check a secret: long enough, and nothing that gets lost in a header or a shell."""
    if value and len(value) < TOKEN_LENGTH:
        raise ValueError(f"must have at least {TOKEN_LENGTH} characters")
    if not value.isascii() or not value.isprintable() or value != value.strip():
        raise ValueError("must be plain ASCII characters without a space at its ends")
    return value


def _network(value: str) -> str:
    try:
        ipaddress.ip_network(value, strict=False)
    except ValueError:
        raise ValueError("must be addresses or networks such as 172.16.0.0/12") from None
    return value


def _address(value: str) -> str:
    try:
        return str(ipaddress.ip_address(value))
    except ValueError:
        raise ValueError("must be addresses such as 203.0.113.7") from None


def _ice_server(value: str) -> str:
    if not ICE_SERVER.fullmatch(value):
        raise ValueError("must be addresses such as turn:turn.example.org:3478?transport=tcp")
    return value


def _origin(value: str) -> str:
    """Check what a browser calls an origin; they are compared letter by letter."""
    if not _ORIGIN.fullmatch(value):
        raise ValueError("must be origins such as https://app.example, without a path")
    return value


def _web_address(value: str) -> str:
    if not value.startswith(("https://", "http://")):
        raise ValueError("must be beginnings of addresses such as https://sfu.example/")
    return value


def _credential(value: str) -> str:
    if not value.isascii() or not value.isprintable() or set(value) & set('"\\ '):
        raise ValueError("must be plain ASCII characters without quotes, backslashes and spaces")
    return value


def _prefix(value: str) -> str:
    """Check a path that stands before every address; without a slash at its end."""
    if value and (not value.startswith("/") or "//" in value or set(value) & set("?#%\\ ")):
        raise ValueError("must be a path such as /avatars")
    return value.rstrip("/")


def _path(value: Path) -> Path:
    return value.expanduser().absolute()  # a child process may run in another folder


Size = Annotated[Literal[256, 384, 512], BeforeValidator(_no_bool)]  # px, square
LookAhead = Annotated[Literal[0, 40, 80, 120], BeforeValidator(_no_bool)]  # ms
Int = Annotated[int, BeforeValidator(_no_bool)]
Seconds = Annotated[float, BeforeValidator(_no_bool), Field(allow_inf_nan=False)]
Texts = Annotated[tuple[str, ...], BeforeValidator(_split)]
Origins = Annotated[tuple[Annotated[str, AfterValidator(_origin)], ...], BeforeValidator(_split)]
WebAddresses = Annotated[
    tuple[Annotated[str, AfterValidator(_web_address)], ...], BeforeValidator(_split)
]
Networks = Annotated[tuple[Annotated[str, AfterValidator(_network)], ...], BeforeValidator(_split)]
Addresses = Annotated[tuple[Annotated[str, AfterValidator(_address)], ...], BeforeValidator(_split)]
IceServers = Annotated[
    tuple[Annotated[str, AfterValidator(_ice_server)], ...], BeforeValidator(_split)
]
Credential = Annotated[str, AfterValidator(_credential), Field(max_length=512)]
FilePath = Annotated[Path, AfterValidator(_path)]
Token = Annotated[str, AfterValidator(_token)]
Prefix = Annotated[str, AfterValidator(_prefix)]  # of every address of the server
Fps = Annotated[Literal[20, 25, 30], BeforeValidator(_number)]
Pixels = Annotated[Size, BeforeValidator(_number)]
Milliseconds = Annotated[LookAhead, BeforeValidator(_number)]
