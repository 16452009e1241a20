"""The house's own certificate authority: made once, renewed in time, good for nothing else."""

from __future__ import annotations

import datetime
import ipaddress
import socket
import ssl
import stat
import threading
from pathlib import Path

import pytest
from cryptography import x509
from cryptography.hazmat.primitives import hashes, serialization
from cryptography.hazmat.primitives.asymmetric import ec

from visavis.streamer.config import Config, ServerConfig
from visavis.streamer.errors import BadRequest
from visavis.streamer.http.security.authority import _begin, _load_key, issue
from visavis.streamer.http.security.tls import LOOK_S, Certificate, own_certificate

NOW = datetime.datetime.now(datetime.UTC)
DAY = datetime.timedelta(days=1)
NAMES, ADDRESSES = ["localhost", "kiosk.local"], ["127.0.0.1", "192.168.7.9", "fe80::1"]


def cert_of(path: Path) -> x509.Certificate:
    return x509.load_pem_x509_certificate(path.read_bytes())


def test_made_once_and_for_its_owner_only(tmp_path: Path) -> None:
    first = issue(tmp_path / "tls", NAMES, ADDRESSES, NOW)
    assert first.new_authority
    bytes_before = {p.name: p.read_bytes() for p in (tmp_path / "tls").iterdir()}
    again = issue(tmp_path / "tls", reversed(NAMES), ADDRESSES, NOW + DAY)
    assert not again.new_authority and again.fingerprint == first.fingerprint
    assert bytes_before == {p.name: p.read_bytes() for p in (tmp_path / "tls").iterdir()}
    for path in (tmp_path / "tls").glob("*.key"):
        assert stat.S_IMODE(path.stat().st_mode) == 0o600
    assert stat.S_IMODE((tmp_path / "tls").stat().st_mode) == 0o700


def test_a_new_address_needs_no_new_trust(tmp_path: Path) -> None:
    first = issue(tmp_path, NAMES, ADDRESSES, NOW)
    later = issue(tmp_path, [*NAMES, "desk.lan"], [*ADDRESSES, "10.1.2.3"], NOW)
    assert later.fingerprint == first.fingerprint
    has = cert_of(later.cert).extensions.get_extension_for_class(x509.SubjectAlternativeName)
    assert ipaddress.ip_address("10.1.2.3") in has.value.get_values_for_type(x509.IPAddress)
    assert "desk.lan" in has.value.get_values_for_type(x509.DNSName)


def test_renewed_before_it_ends(tmp_path: Path) -> None:
    first = issue(tmp_path, NAMES, ADDRESSES, NOW)
    serial = cert_of(first.cert).serial_number
    assert cert_of(issue(tmp_path, NAMES, ADDRESSES, NOW + 300 * DAY).cert).serial_number == serial
    late = issue(tmp_path, NAMES, ADDRESSES, NOW + 380 * DAY)
    assert cert_of(late.cert).serial_number != serial and late.fingerprint == first.fingerprint
    assert issue(tmp_path, NAMES, ADDRESSES, NOW + 3640 * DAY).new_authority


@pytest.mark.parametrize("name", ["authority.key", "authority.crt", "server.key", "server.crt"])
def test_damaged_files_are_made_anew(tmp_path: Path, name: str) -> None:
    issue(tmp_path, NAMES, ADDRESSES, NOW)
    (tmp_path / name).write_bytes(b"-----BEGIN nothing")
    made = issue(tmp_path, NAMES, ADDRESSES, NOW)
    assert made.new_authority == name.startswith("authority")
    Certificate(made.cert, made.key, lambda: 0.0, lambda: None)


def handshake(made_by: Path, cert: Path, key: Path, name: str) -> None:
    """Meet a server as a device does that trusts the authority."""
    served = ssl.SSLContext(ssl.PROTOCOL_TLS_SERVER)
    served.load_cert_chain(cert, key)
    ours, theirs = socket.socketpair()

    def serve() -> None:
        try:
            served.wrap_socket(theirs, server_side=True).close()
        except (ssl.SSLError, OSError):
            theirs.close()

    thread = threading.Thread(target=serve)
    thread.start()
    try:
        ours.settimeout(10)
        context = ssl.create_default_context(cafile=str(made_by))
        context.wrap_socket(ours, server_hostname=name).close()
    finally:
        ours.close()
        thread.join(10)


@pytest.mark.parametrize("name", ["localhost", "kiosk.local", "192.168.7.9", "127.0.0.1"])
def test_a_device_that_trusts_it_gets_in(tmp_path: Path, name: str) -> None:
    made = issue(tmp_path, NAMES, ADDRESSES, NOW)
    handshake(made.authority, made.cert, made.key, name)


@pytest.mark.parametrize("name", ["bank.example", "203.0.113.5"])
def test_a_stolen_key_is_good_for_nothing_else(tmp_path: Path, name: str) -> None:
    made = issue(tmp_path, NAMES, ADDRESSES, NOW)
    signer, authority = _load_key(tmp_path / "authority.key"), cert_of(made.authority)
    key = ec.generate_private_key(ec.SECP256R1())
    try:
        subject: x509.GeneralName = x509.IPAddress(ipaddress.ip_address(name))
    except ValueError:
        subject = x509.DNSName(name)
    forged = (
        _begin(x509.Name([]), authority.subject, key.public_key(), NOW, 30)
        .add_extension(x509.SubjectAlternativeName([subject]), critical=False)
        .sign(signer, hashes.SHA256())
    )
    (tmp_path / "forged.crt").write_bytes(forged.public_bytes(serialization.Encoding.PEM))
    pem = key.private_bytes(
        serialization.Encoding.PEM,
        serialization.PrivateFormat.PKCS8,
        serialization.NoEncryption(),
    )
    (tmp_path / "forged.key").write_bytes(pem)
    with pytest.raises(ssl.SSLCertVerificationError, match="permitted subtree"):
        handshake(made.authority, tmp_path / "forged.crt", tmp_path / "forged.key", name)


def test_files_may_be_exchanged_while_it_serves(
    tmp_path: Path, caplog: pytest.LogCaptureFixture
) -> None:
    first = issue(tmp_path / "a", NAMES, ADDRESSES, NOW)
    second = issue(tmp_path / "b", NAMES, ADDRESSES, NOW)
    now = 0.0
    certificate = Certificate(first.cert, first.key, lambda: now, lambda: None)
    first.cert.write_bytes(second.cert.read_bytes())  # half of it: another's key is still there
    now += LOOK_S
    certificate.context()
    assert "was not exchanged" in caplog.text, "the old one serves until the next look"
    caplog.clear()
    first.key.write_bytes(second.key.read_bytes())
    now += LOOK_S
    certificate.context()
    assert not caplog.records


@pytest.mark.parametrize(
    ("cert", "key", "words"),
    [
        ("missing", "server.key", "missing cannot be read"),
        ("server.crt", "missing", "missing cannot be read"),
        ("server.crt", "authority.key", "do not belong together"),
        ("server.key", "server.key", "cannot be used"),
        ("server.crt", "locked.key", "has a passphrase"),
    ],
)
def test_files_that_cannot_serve_are_named(tmp_path: Path, cert: str, key: str, words: str) -> None:
    issue(tmp_path, NAMES, ADDRESSES, NOW)
    locked = _load_key(tmp_path / "server.key").private_bytes(
        serialization.Encoding.PEM,
        serialization.PrivateFormat.PKCS8,
        serialization.BestAvailableEncryption(b"secret"),
    )
    (tmp_path / "locked.key").write_bytes(locked)
    with pytest.raises(BadRequest, match=words) as caught:
        Certificate(tmp_path / cert, tmp_path / key, lambda: 0.0, lambda: None)
    assert str(caught.value).count("\n") == 0


def test_a_folder_that_cannot_be_written_is_a_sentence(tmp_path: Path) -> None:
    (tmp_path / "file").write_text("")
    config = Config(data_dir=tmp_path / "file", server=ServerConfig(tls_self_signed=True))
    with pytest.raises(BadRequest, match="cannot be written"):
        own_certificate(config)
