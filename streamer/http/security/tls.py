"""HTTPS: which certificate is shown, and a new one as soon as there is one."""

from __future__ import annotations

import datetime
import logging
import ssl
from collections.abc import Callable
from pathlib import Path
from typing import Final

from visavis.streamer.addresses import own_addresses
from visavis.streamer.config import Config
from visavis.streamer.errors import BadRequest
from visavis.streamer.http.security.authority import Issued, issue
from visavis.streamer.http.security.guard import own_names

logger = logging.getLogger(__name__)
LOOK_S: Final = 60.0  # how often the files are looked at
AUTHORITY_FOLDER: Final = "tls"


class Certificate:
    """The TLS context of a server; its files may be replaced while it runs.

    Args:
        cert: PEM, the server's certificate first.
        key: PEM, without a passphrase.
        now: monotonic seconds.
        renew: called before the files are looked at; makes new ones where it is time.

    Raises:
        BadRequest: the files cannot be used.
    """

    def __init__(
        self, cert: Path, key: Path, now: Callable[[], float], renew: Callable[[], object]
    ) -> None:
        self._cert, self._key = cert, key
        self._now = now
        self._renew = renew
        self._looked_at = now()
        self._seen = self._stamp()
        self._context = ssl.SSLContext(ssl.PROTOCOL_TLS_SERVER)
        self._context.minimum_version = ssl.TLSVersion.TLSv1_2
        self._load()

    def context(self) -> ssl.SSLContext:
        """Return the context for a new connection."""
        if self._now() - self._looked_at >= LOOK_S:
            self._looked_at = self._now()
            self._look()
        return self._context

    def _look(self) -> None:
        try:
            self._renew()
            stamp = self._stamp()
            if stamp != self._seen:
                self._load()
                self._seen = stamp
        except BadRequest as error:  # half-written, say; the old one serves until the next look
            logger.error("the certificate was not exchanged: %s", error)

    def _stamp(self) -> tuple[int, ...]:
        try:
            return tuple(path.stat().st_mtime_ns for path in (self._cert, self._key))
        except OSError as error:
            raise BadRequest(f"{error.filename} cannot be read: {error.strerror}.") from error

    def _load(self) -> None:
        def no_passphrase() -> str:
            raise BadRequest(f"{self._key} has a passphrase, which a server cannot type.")

        try:
            self._context.load_cert_chain(self._cert, self._key, no_passphrase)
        except ssl.SSLError as error:
            why = "do not belong together" if "MISMATCH" in str(error) else "cannot be used"
            raise BadRequest(
                f"The certificate {self._cert} and the key {self._key} {why}."
            ) from error
        except OSError as error:
            raise BadRequest(f"The key {self._key} cannot be read: {error.strerror}.") from error


def own_certificate(config: Config) -> Issued:
    """Return the self-signed certificate of a configuration, made anew where it is time.

    Raises:
        BadRequest: the data folder cannot be written.
    """
    return issue(
        config.data_dir / AUTHORITY_FOLDER,
        own_names(config.server),
        [*own_addresses(), *config.ice.advertise],
        datetime.datetime.now(datetime.UTC),
    )


def certificate(config: Config, now: Callable[[], float]) -> Certificate | None:
    """Return what to show to clients; None without TLS.

    Raises:
        BadRequest: the files cannot be used or made.
    """
    server = config.server
    if server.tls_self_signed:
        made = own_certificate(config)
        return Certificate(made.cert, made.key, now, lambda: own_certificate(config))
    if server.tls_cert is not None and server.tls_key is not None:
        return Certificate(server.tls_cert, server.tls_key, now, lambda: None)
    return None


def how_to_trust(made: Issued, address: str) -> str:
    """Return how a device comes to trust the authority.

    Args:
        made: by ``own_certificate``.
        address: of the server, as devices reach it.
    """
    return f"""\
Devices trust this server once they trust its authority, which can sign for private addresses and
names of your own network only:
  {made.authority}
  SHA-256 {made.fingerprint}
On a phone, open {address}/visavis-ca.crt and compare the fingerprint before you accept it.
  iPhone, iPad  install the profile, then Settings > General > About > Certificate Trust Settings
  Android       Settings > Security > Encryption & credentials > Install a certificate > CA
On this computer, or another one that you copied the file to:
  Debian, Ubuntu  sudo cp {made.authority} /usr/local/share/ca-certificates/visavis.crt && sudo update-ca-certificates
  Fedora          sudo trust anchor {made.authority}
  macOS           sudo security add-trusted-cert -d -r trustRoot -k /Library/Keychains/System.keychain {made.authority}
  Windows         certutil -addstore -f Root {made.authority.name}
  Chrome on Linux certutil -d sql:$HOME/.pki/nssdb -A -t C,, -n visavis -i {made.authority}
  Firefox         Settings > Privacy & Security > View Certificates > Authorities > Import
"""  # noqa: E501
