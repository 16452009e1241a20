"""The vault: every avatar's files encrypted under a key of its own, wrapped by the owner's key.

``trust/vault.json`` says that there is one and where its master key is; ``key.json`` in an avatar's
folder holds that avatar's key, wrapped, and ``01.key`` in a recording's that of its first film.
Without a vault files lie as they are. Nothing is cached beyond the keys of this process, and the
key file decides at every use: a vault that is locked, by whatever process, opens nothing.
"""

from __future__ import annotations

import json
import os
import secrets
from collections.abc import Callable, Iterator
from dataclasses import dataclass
from pathlib import Path
from typing import Any, Final

from visavis.models.files import atomic_write
from visavis.streamer.errors import BadRequest, Conflict
from visavis.streamer.trust import sealed, vault_keys
from visavis.streamer.trust.sealed import Unsealable
from visavis.streamer.trust.vault_keys import KeyMissing, key_id

KEY_FILE: Final = "key.json"
SEALED: Final = ("record.json", "consent.json", "identity.vav", "preview.jpg")
"""What of an avatar is encrypted; the wrapped key and the empty lock are not."""
_STATE: Final = "vault.json"
_LOCKED: Final = "locked"
_VERSION: Final = 1


def _noun(path: Path) -> str:
    return "this avatar" if path.name == KEY_FILE else "this recording"


@dataclass(frozen=True)
class State:
    """What ``vault.json`` says.

    Attributes:
        id: names the vault in its key's place.
        source: where the master key is.
        sealing: files that are not encrypted yet may still be there.
    """

    id: str
    source: str
    sealing: bool


class Vault:
    """The vault of one data folder, whether or not there is one.

    Args:
        data_dir: the data folder.
    """

    def __init__(self, data_dir: Path) -> None:
        self._trust = data_dir / "trust"
        self._avatars = data_dir / "avatars"
        self._recordings = data_dir / "recordings"
        self._stamp: tuple[int, int] | None = None
        self._state: State | None = None
        self._keys: dict[str, bytes] = {}

    # ------------------------------------------------------------------ state

    @property
    def state(self) -> State | None:
        """What is known of the vault; None where there is none.

        Raises:
            Conflict: it is damaged.
        """
        path = self._trust / _STATE
        try:
            found = path.stat()
        except OSError:
            return None
        stamp = (found.st_mtime_ns, found.st_ino)
        if stamp != self._stamp:
            try:
                values = json.loads(path.read_bytes())
                state = State(str(values["id"]), str(values["key"]), values["sealing"] is True)
            except (OSError, ValueError, KeyError, TypeError) as error:
                raise Conflict(f"The vault's {path} is damaged; put back a copy of it.") from error
            self._state, self._stamp, self._keys = state, stamp, {}
        return self._state

    @property
    def locked(self) -> bool:
        """Whether somebody has locked it."""
        return (self._trust / _LOCKED).exists()

    def lock(self) -> None:
        """Let no process open anything until :meth:`unlock`; what is live ends within a second."""
        self._need()
        atomic_write(self._trust / _LOCKED, b"")
        self._keys = {}

    def unlock(self) -> None:
        """Take the lock off; raises KeyMissing where the key is not there."""
        self._masters(self._need(), locked=False)
        (self._trust / _LOCKED).unlink(missing_ok=True)

    def refusal(self) -> str:
        """Return why nothing can be opened, in a sentence; empty if it can."""
        try:
            state = self.state
            if state is not None:
                self._masters(state)
        except (KeyMissing, Conflict, BadRequest) as error:
            return str(error)
        return ""

    def _need(self) -> State:
        state = self.state
        if state is None:
            raise BadRequest("There is no vault yet; make one: visavis vault init.")
        return state

    def _masters(self, state: State, *, locked: bool | None = None) -> dict[str, bytes]:
        """Return the master keys by their ids, the one for what is new first."""
        if self.locked if locked is None else locked:
            self._keys = {}
            raise KeyMissing("The vault is locked; open it: visavis vault unlock.")
        if not self._keys:
            keys = vault_keys.load(state.source, state.id)
            self._keys = {key_id(key): key for key in keys}
        return self._keys

    # ------------------------------------------------------------------ files

    def create(self, folder: Path) -> None:
        """Give a new avatar's folder its key; nothing where there is no vault.

        Raises:
            KeyMissing: the vault is locked.
            OSError: the disk does not take it.
        """
        state = self.state
        if state is not None:
            self._wrap(state, folder / KEY_FILE, folder.name, sealed.new_key())

    def write(self, path: Path, data: bytes) -> None:
        """Write a file of an avatar, whole or not at all, sealed where there is a vault."""
        key = self.key_of(path.parent)
        sealed_data = data if key is None else sealed.seal(key, data, sealed.place(path))
        atomic_write(path, sealed_data)

    def read(self, path: Path) -> bytes:
        """Return what a file of an avatar holds.

        Raises:
            OSError: it is not there.
            KeyMissing: the vault is locked.
            Unsealable: it was changed, or lies unsealed where nothing may.
        """
        data = path.read_bytes()
        state = self.state
        if state is None and not sealed.is_sealed(data):
            return data
        key = self.key_of(path.parent)
        if not sealed.is_sealed(data):
            if key is None or (state is not None and state.sealing):
                return data
            raise Unsealable("A file of this avatar is not sealed, as it must be in a vault.")
        if key is None:
            raise KeyMissing("This avatar is sealed, and no vault here could open it.")
        return sealed.unseal(key, data, sealed.place(path))

    def reference(self, path: Path) -> str:
        """Return how a worker is told of a bundle: with its key, which is never written down."""
        key, state = self.key_of(path.parent), self.state
        if state is not None and state.sealing:
            with path.open("rb") as file:
                key = key if sealed.is_sealed(file.read(len(sealed.MAGIC))) else None
        return sealed.reference(path, key)

    def key_of(self, folder: Path) -> bytes | None:
        """Return the key of an avatar; None where nothing is sealed; raises as ``file_key``."""
        state = self.state
        if state is None:
            return None
        try:
            return self._unwrap(state, folder / KEY_FILE, folder.name)
        except FileNotFoundError:
            if state.sealing:
                return None
            raise Unsealable("The key of this avatar is gone; nothing can be read.") from None

    def _unwrap(self, state: State, path: Path, owner: str) -> bytes:
        """Return the key that a file holds, wrapped; raises FileNotFoundError as well."""
        try:
            values = json.loads(path.read_bytes())
            master, wrapped = str(values["master"]), bytes.fromhex(values["wrapped"])
        except FileNotFoundError:
            raise
        except (OSError, ValueError, KeyError, TypeError) as error:
            raise Unsealable(f"The key of {_noun(path)} is damaged.") from error
        masters = self._masters(state)
        if master not in masters:
            raise KeyMissing(
                f"{_noun(path).capitalize()} was sealed with the master key {master}, which is "
                f"not in {vault_keys.describe(state.source)}; put it back to use it."
            )
        return sealed.unseal(masters[master], wrapped, f"{owner}/{master}")

    def _wrap(self, state: State, path: Path, owner: str, key: bytes) -> None:
        name, master = next(iter(self._masters(state).items()))
        wrapped = sealed.seal(master, key, f"{owner}/{name}").hex()
        values = {"version": _VERSION, "master": name, "wrapped": wrapped}
        atomic_write(path, json.dumps(values).encode())

    # ------------------------------------------------------------------ recordings

    def new_key(self, path: Path) -> bytes | None:
        """Return a key for one file of a recording, wrapped into ``path``; None without a vault.

        Raises:
            KeyMissing: the vault is locked.
            OSError: the disk does not take it.
        """
        if (state := self.state) is None:
            return None
        key = sealed.new_key()
        self._wrap(state, path, sealed.place(path), key)
        return key

    def file_key(self, path: Path) -> bytes | None:
        """Return the key that ``path`` wraps; None where there is no such file.

        Raises:
            KeyMissing: the vault is locked, gone, or its key is another.
            Unsealable: the wrapped key was changed.
        """
        try:
            if (state := self.state) is not None or not path.exists():
                return None if state is None else self._unwrap(state, path, sealed.place(path))
        except FileNotFoundError:
            return None
        raise KeyMissing("This recording is sealed, and no vault here could open it.")

    # ------------------------------------------------------------------ the whole of it

    def init(
        self,
        source: str = "",
        told: Callable[[str], None] = lambda _: None,
        beside: Callable[[], object] = lambda: None,
    ) -> State:
        """Make a vault, or go on making one, and seal every avatar that is there.

        Args:
            source: where the master key is kept; a file outside of the data folder by default.
            told: the id of every avatar that is sealed.
            beside: seals what is kept beside avatars; done again if it was broken off.

        Raises:
            BadRequest: there is a vault already, or the key cannot be kept there.
            OSError: the disk takes no more; nothing is lost, and this may be called again.
        """
        state = self.state
        if state is not None and not state.sealing:
            raise BadRequest("There is a vault already; visavis vault status says what is in it.")
        if state is None:
            state = self._begin(source)
        for folder in self._folders():
            if not (folder / KEY_FILE).exists():
                self._wrap(state, folder / KEY_FILE, folder.name, sealed.new_key())
            self._seal(folder)
            told(folder.name)
        beside()
        return self._keep(State(state.id, state.source, sealing=False))

    def _begin(self, source: str) -> State:
        self._trust.mkdir(parents=True, exist_ok=True, mode=0o700)
        name = secrets.token_hex(4)
        source = vault_keys.check_source(source) if source else vault_keys.default_source(name)
        try:
            vault_keys.load(source, name)
        except KeyMissing:
            vault_keys.save(source, name, [sealed.new_key()])
            vault_keys.load(source, name)
        return self._keep(State(name, source, sealing=True))

    def _keep(self, state: State) -> State:
        values = {"id": state.id, "key": state.source, "sealing": state.sealing}
        atomic_write(self._trust / _STATE, json.dumps(values).encode())
        self._stamp = None
        return state

    def _seal(self, folder: Path) -> None:
        key = self.key_of(folder)
        assert key is not None, "the folder has just been given one"
        for name in SEALED:
            path = folder / name
            if path.is_file() and not sealed.is_sealed(data := path.read_bytes()):
                sealed.replace_shredding(path, sealed.seal(key, data, sealed.place(path)))

    def rotate(self, told: Callable[[str], None] = lambda _: None) -> tuple[int, list[str]]:
        """Wrap every avatar's key by a new master key; safe to be broken off and called again.

        The new key is kept beside the old one first; the old one goes last, when nothing needs it.

        Returns:
            How many were wrapped anew, and the ids of those that no key here opens.

        Raises:
            KeyMissing: the vault is locked.
            BadRequest: the new key has to be put into the variable by hand.
            OSError: the disk takes no more; every avatar still opens with the keys kept.
        """
        state = self._need()
        keys = list(self._masters(state).values())
        if len(keys) == 1:
            keys = [sealed.new_key(), *keys]
            vault_keys.save(state.source, state.id, keys)
        self._keys = {key_id(key): key for key in keys}
        done = 0
        lost: list[str] = []
        for folder in self._folders():
            try:
                key = self.key_of(folder)
            except (KeyMissing, Unsealable):
                lost.append(folder.name)
                continue
            if key is not None:
                self._wrap(state, folder / KEY_FILE, folder.name, key)
                done += 1
                told(folder.name)
        lost += self._rewrap_recordings(state)
        if state.source != "env" and not lost:
            vault_keys.save(state.source, state.id, keys[:1])
            self._keys = {key_id(keys[0]): keys[0]}
        return done, lost

    def _rewrap_recordings(self, state: State) -> list[str]:
        """Wrap the keys of recordings anew; return the ids of those that no key here opens."""
        lost: set[str] = set()
        for path in sorted(self._recordings.glob("*/*.key")):
            try:
                if (key := self.file_key(path)) is not None:
                    self._wrap(state, path, sealed.place(path), key)
            except (KeyMissing, Unsealable):
                lost.add(path.parent.name)
        return sorted(lost)

    def survey(self) -> dict[str, str]:
        """Return why each avatar, and a recording, cannot be opened; empty where it can."""
        found: dict[str, str] = {}
        for folder in self._folders():
            try:
                self.key_of(folder)
                found[folder.name] = ""
            except (KeyMissing, Conflict) as error:
                found[folder.name] = str(error)
        for path in sorted(self._recordings.glob("*/*.key")):
            try:
                self.file_key(path)
            except (KeyMissing, Conflict) as error:
                found[path.parent.name] = str(error)
        return found

    def destroy(self, folder: Path) -> bool:
        """Destroy an avatar's key, before anything else of it goes; whether there was one."""
        try:
            sealed.shred(folder / KEY_FILE)
        except FileNotFoundError:
            return False
        descriptor = os.open(folder, os.O_RDONLY)
        try:
            os.fsync(descriptor)
        finally:
            os.close(descriptor)
        return True

    def _folders(self) -> Iterator[Path]:
        for folder in sorted(self._avatars.iterdir()) if self._avatars.is_dir() else ():
            if folder.is_dir() and not folder.is_symlink() and not folder.name.startswith("."):
                yield folder

    def describe(self) -> dict[str, Any]:
        """Return what ``visavis vault status`` shows."""
        state = self.state
        if state is None:
            return {"vault": "none"}
        why = self.refusal()
        lost = {name: reason for name, reason in self.survey().items() if reason}
        return {
            "vault": state.id,
            "key": vault_keys.describe(state.source),
            "open": not why,
            "reason": why,
            "half_sealed": state.sealing,
            "avatars": sum(1 for _ in self._folders()),
            "recordings": sum(1 for _ in self._recordings.glob("*/record.key")),
            "cannot_be_opened": lost,
        }
