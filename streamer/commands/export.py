"""Everything that is kept of an avatar, for the person it shows (GDPR, articles 15 and 20)."""

from __future__ import annotations

import dataclasses
import json
import zipfile
from pathlib import Path
from typing import Final

from visavis.streamer.avatars.store import AvatarStore
from visavis.streamer.commands.outputs import check_output, whole_file
from visavis.streamer.trust.audit import entries_about

_ABOUT: Final = """Everything this server keeps of one avatar.

record.json   what is written about it
consent.json  what was agreed to, and the server's signature on it as it is kept
avatar.vav    the avatar: a zip of arrays; any server of the same kind makes an avatar of it again
preview.jpg   the avatar at rest
audit.json    what was done with it, and when; without names

The photo is not here: it was never kept. Recordings of calls are fetched in the call itself.
"""


def export_subject(
    store: AvatarStore, avatar_id: str, output: Path, *, force: bool = False
) -> None:
    """Write one zip with all of it.

    Raises:
        VisavisError: there is no such avatar, the vault is closed, or the file cannot be written.
    """
    check_output(output, force=force, suffixes=(".zip",))
    record = store.get(avatar_id)
    contents = store.contents(avatar_id)
    about = list(entries_about(store.audit.path, avatar_id))
    with whole_file(output, force=force) as partial:
        partial.chmod(0o600)
        with zipfile.ZipFile(partial, "w", zipfile.ZIP_DEFLATED) as file:
            file.writestr("README.txt", _ABOUT)
            file.writestr("record.json", _text(dataclasses.asdict(record)))
            file.writestr("audit.json", _text(about))
            for name, data in contents.items():
                file.writestr(name, data)
    store.note("export", avatar_id)


def _text(values: object) -> str:
    return json.dumps(values, indent=2, ensure_ascii=False)
