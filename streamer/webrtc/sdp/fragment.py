"""SDP fragments, by which WHIP and WHEP add candidates and restart ICE (RFC 8840, RFC 9725)."""

from __future__ import annotations

import re
from collections.abc import Sequence
from dataclasses import dataclass
from typing import Any, Final

from visavis.streamer.errors import BadRequest

MEDIA_TYPE: Final = "application/trickle-ice-sdpfrag"
_LINE = re.compile(r"^[a-z]=[^\x00\r\n]*$")
_WORD = re.compile(r"^[A-Za-z0-9+/]{4,256}$")


@dataclass(frozen=True)
class Fragment:
    """What a client says after its offer.

    Attributes:
        username: ICE user name fragment; "" if none is named.
        password: ICE password; "" if none is named.
        candidates: ``{"candidate": …, "sdpMid": …}`` each, as browsers write them.
    """

    username: str
    password: str
    candidates: tuple[dict[str, Any], ...]

    @classmethod
    def parse(cls, text: str) -> Fragment:
        """Read a fragment.

        Raises:
            BadRequest: it is none.
        """
        values, mid = {"ice-ufrag": "", "ice-pwd": ""}, ""
        candidates: list[dict[str, str | None]] = []
        for line in text.splitlines():
            if line and not _LINE.match(line):
                raise BadRequest("The SDP fragment cannot be read.")
            name, _, value = line[2:].strip().partition(":")
            if line.startswith("m="):
                mid = ""
            elif name == "mid":
                mid = value
            elif name == "candidate":
                candidates.append({"candidate": f"candidate:{value}", "sdpMid": mid or None})
            elif name in values:
                values[name] = value
        for value in values.values():
            if value and not _WORD.match(value):
                raise BadRequest("The SDP fragment's ICE credentials cannot be read.")
        return cls(values["ice-ufrag"], values["ice-pwd"], tuple(candidates))


def write(username: str, password: str, mid: str, candidates: Sequence[str]) -> str:
    """Return the answer to a restart."""
    lines = [
        f"a=ice-ufrag:{username}",
        f"a=ice-pwd:{password}",
        "m=audio 9 UDP/TLS/RTP/SAVPF 0",
        f"a=mid:{mid}",
        *candidates,
        "a=end-of-candidates",
    ]
    return "\r\n".join(lines) + "\r\n"
