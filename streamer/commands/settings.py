"""``visavis settings``: every setting, what it is now, what it may be and what it does."""

from __future__ import annotations

from collections.abc import Iterator
from dataclasses import dataclass
from typing import Final, cast

from pydantic import BaseModel
from rich.table import Table

from visavis.streamer.commands.outputs import plain
from visavis.streamer.config import PREFIX, SHORT, Config, variables
from visavis.streamer.sentences import allowed

_SECRET: Final = "(set)"
_HEAD: Final = """\
# Settings

From a TOML file (`--config FILE` or `VISAVIS_CONFIG`), from `VISAVIS_*` variables and from options
of the command line; the later ones win. A name that does not exist, or a value out of range, is an
error. A list is `["a", "b"]` in the file and `a, b` in a variable. `visavis settings` prints this
table with what is set now; `visavis settings --markdown` makes this page.

```toml
[server]
port = 8443
tls_self_signed = true
[media]
size = 256
```
"""


@dataclass(frozen=True)
class Setting:
    """One row.

    Attributes:
        name: as in the TOML file, with its table.
        variable: the shortest one.
        default: in words.
        value: what it is now; never a secret.
        allowed: what it may be, in words.
        about: what it does.
    """

    name: str
    variable: str
    default: str
    value: str
    allowed: str
    about: str


def settings(config: Config) -> Iterator[Setting]:
    """Yield every setting of a configuration."""
    shorter = {long: short for short, long in SHORT.items()}
    for variable, place in variables().items():
        name = place[-1]
        section: BaseModel = config if len(place) == 1 else getattr(config, place[0])
        field = type(section).model_fields[name]
        secret = field.repr is False
        default = field.get_default(call_default_factory=True, validated_data={})
        yield Setting(
            ".".join(place),
            shorter.get(variable, variable),
            "~/.local/share/visavis" if place == ("data_dir",) else _words(default, secret),
            _words(getattr(section, name), secret),
            allowed(Config, place),
            field.description or "",
        )


def _words(value: object, secret: bool) -> str:
    if secret and value:
        return _SECRET
    if isinstance(value, bool):
        return "true" if value else "false"
    if isinstance(value, tuple):
        items = cast(tuple[object, ...], value)
        return ", ".join(str(item) for item in items)
    if isinstance(value, float) and value.is_integer():
        return str(int(value))
    return "" if value is None else str(value)


def as_table(config: Config) -> Table:
    """Return the settings for a terminal; what differs from the default is bold."""
    table = Table()
    for column in ("setting", "value", "may be", "what it does"):
        table.add_column(column, overflow="fold")
    for row in settings(config):
        value = plain(row.value, "bold" if row.value != row.default else "")
        table.add_row(row.name, value, plain(row.allowed), plain(row.about))
    return table


def as_markdown() -> str:
    """Return docs/settings.md."""
    lines = [_HEAD]
    section = ""
    for row in settings(Config()):
        head, _, name = row.name.rpartition(".")
        if head != section or not lines[1:]:
            section = head
            about = Config.model_fields[head].annotation.__doc__ if head else ""
            lines.append(f"## {f'[{head}]' if head else 'Top level'}\n\n{about}".rstrip() + "\n")
            lines.append("| setting | default | may be | what it does |\n|---|---|---|---|")
        default = f"`{row.default}`" if row.default else ""
        lines.append(f"| `{name}`<br>`{row.variable}` | {default} | {row.allowed} | {row.about} |")
    text = "\n".join(lines).replace(" |\n## ", " |\n\n## ")
    others = (
        f"\n\nBesides: `{PREFIX}CONFIG` names the file, `{PREFIX}DEBUG=1` shows tracebacks, "
        f"`{PREFIX}PLANS` is where compiled graphs lie, `{PREFIX}WORKER_LOG` is the level of the "
        "worker's log.\n"
    )
    return text + others
