"""The vault's key in the system's keyring: a real Secret Service, and keyrings that fail."""

from __future__ import annotations

import shutil
import subprocess
import sys
from pathlib import Path

import keyring
import keyring.backend
import keyring.errors
import pytest

from visavis.streamer.errors import BadRequest
from visavis.streamer.trust import vault_keys
from visavis.streamer.trust.vault import Vault
from visavis.streamer.trust.vault_keys import KeyMissing

KEYS = [bytes(range(32)), bytes(32)]
# A session bus of its own, and a home of its own: nobody's keyring is touched.
SESSION = """
set -eu
export HOME="$1/home" XDG_DATA_HOME="$1/home/share" XDG_CONFIG_HOME="$1/home/config"
export XDG_RUNTIME_DIR="$1/run" PYTHON_KEYRING_BACKEND=keyring.backends.SecretService.Keyring
mkdir -p "$XDG_RUNTIME_DIR" "$XDG_DATA_HOME" && chmod 700 "$XDG_RUNTIME_DIR"
printf secret | gnome-keyring-daemon --unlock --components=secrets >/dev/null 2>&1
run() { "$PY" -m visavis.streamer vault "$@" --data "$DATA"; }
PY="$2" DATA="$1/data"
run init --key keyring
cp "$DATA/../home/share/keyrings/login.keyring" "$1/before"
run rotate
run lock
run unlock
run status
"""


@pytest.mark.skipif(
    not (shutil.which("gnome-keyring-daemon") and shutil.which("dbus-run-session")),
    reason="gnome-keyring is not installed",
)
@pytest.mark.timeout(240)
def test_a_real_secret_service_keeps_the_key(tmp_path: Path) -> None:
    bus = ["dbus-run-session", "--", "sh", "-c", SESSION, "sh", str(tmp_path), sys.executable]
    done = subprocess.run(bus, capture_output=True, text=True, timeout=200)
    assert done.returncode == 0, done.stdout + done.stderr
    assert '"open": true' in done.stdout and "the system's keyring" in done.stdout
    kept = tmp_path / "home" / "share" / "keyrings" / "login.keyring"
    assert kept.stat().st_size > 0 and kept.read_bytes() != (tmp_path / "before").read_bytes()
    assert not [p for p in tmp_path.rglob("vault-*.key")], "and no file does"
    # In another process, without that bus, the same vault says that its key is out of reach.
    vault = Vault(tmp_path / "data")
    assert "keyring" in vault.refusal()


class Kept(keyring.backend.KeyringBackend):
    """Keeps what it is given, or fails as it is told to."""

    priority = 1  # type: ignore[assignment]

    def __init__(self, fails: Exception | None = None) -> None:
        super().__init__()
        self.fails = fails
        self.known: dict[tuple[str, str], str] = {}

    def get_password(self, service: str, username: str) -> str | None:
        if self.fails is not None:
            raise self.fails
        return self.known.get((service, username))

    def set_password(self, service: str, username: str, password: str) -> None:
        if self.fails is not None:
            raise self.fails
        self.known[service, username] = password


@pytest.fixture
def backend(monkeypatch: pytest.MonkeyPatch) -> Kept:
    kept = Kept()
    monkeypatch.setattr(keyring, "get_password", kept.get_password)
    monkeypatch.setattr(keyring, "set_password", kept.set_password)
    return kept


def test_both_keys_of_a_rotation_are_kept_and_each_vault_has_its_own(backend: Kept) -> None:
    vault_keys.save("keyring", "one", KEYS)
    assert vault_keys.load("keyring", "one") == KEYS
    with pytest.raises(KeyMissing, match="not in the system's keyring"):
        vault_keys.load("keyring", "other")
    backend.known["visavis vault", "one"] = "no key at all"
    with pytest.raises(KeyMissing, match="is no key"):
        vault_keys.load("keyring", "one")


@pytest.mark.parametrize(
    ("error", "said"),
    [
        (keyring.errors.NoKeyringError("No recommended backend.\nLong."), "there is none here"),
        (keyring.errors.KeyringLocked("Failed to unlock the collection!"), "Failed to unlock"),
        (keyring.errors.InitError(""), "InitError"),
        (keyring.errors.PasswordSetError("quota"), "quota"),
    ],
)
def test_a_keyring_that_fails_is_one_sentence_and_nothing_is_begun(
    error: Exception, said: str, backend: Kept, tmp_path: Path
) -> None:
    backend.fails = error
    with pytest.raises(KeyMissing, match=said):
        vault_keys.load("keyring", "one")
    with pytest.raises(BadRequest, match=said):
        vault_keys.save("keyring", "one", KEYS)
    vault = Vault(tmp_path / "data")
    with pytest.raises(BadRequest, match=said):
        vault.init("keyring")
    assert vault.state is None, "no vault without its key"
