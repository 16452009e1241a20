"""A certificate authority for one house, so that phones in it may use the microphone.

Browsers give microphone and camera to secure pages only, and a name of one's own network gets no
public certificate. So the server makes a small authority, once, and a certificate by it for its
present names and addresses; who trusts the authority on a device has a secure page there. It can
sign for private addresses and local names only (RFC 5280, 4.2.1.10), so that nobody who steals its
key can stand in for a public site.
"""

from __future__ import annotations

import contextlib
import datetime
import ipaddress
from collections.abc import Iterable, Sequence
from dataclasses import dataclass
from pathlib import Path
from typing import Final

from cryptography import x509
from cryptography.exceptions import InvalidSignature
from cryptography.hazmat.primitives import hashes, serialization
from cryptography.hazmat.primitives.asymmetric import ec
from cryptography.x509.oid import ExtendedKeyUsageOID, NameOID

from visavis.models.files import atomic_write
from visavis.streamer.errors import BadRequest

_AUTHORITY_DAYS: Final = 3650
_LEAF_DAYS: Final = 397  # browsers refuse more than 398 from public authorities
_RENEW_DAYS: Final = 30
_EARLIER: Final = datetime.timedelta(days=1)  # clocks of phones differ
_LOCAL_NAMES: Final = ("localhost", "local", "lan", "internal", "home.arpa")
_PRIVATE: Final = (
    "127.0.0.0/8", "10.0.0.0/8", "172.16.0.0/12", "192.168.0.0/16", "169.254.0.0/16",
    "100.64.0.0/10", "::1/128", "fc00::/7", "fe80::/10",
)  # fmt: skip
# What reading and comparing files of ours raises that are missing, damaged or another's.
_UNUSABLE: Final = (OSError, ValueError, TypeError, InvalidSignature, x509.ExtensionNotFound)
Address = ipaddress.IPv4Address | ipaddress.IPv6Address
Network = ipaddress.IPv4Network | ipaddress.IPv6Network


@dataclass(frozen=True)
class Issued:
    """Where the files of the authority lie.

    Attributes:
        authority: the authority's certificate, for devices to trust.
        cert: the server's certificate.
        key: the server's key.
        fingerprint: SHA-256 of the authority's certificate, as devices show it.
        new_authority: it was made just now, so devices have to trust it first.
    """

    authority: Path
    cert: Path
    key: Path
    fingerprint: str
    new_authority: bool


def issue(
    folder: Path,
    names: Iterable[str],
    addresses: Iterable[str],
    now: datetime.datetime,
) -> Issued:
    """Make what is missing, outdated or for other names; return where it lies.

    Args:
        folder: of the four files; made if needed, for its owner only.
        names: host names that the server answers to.
        addresses: IP addresses of this machine.
        now: with a time zone.

    Raises:
        BadRequest: the folder cannot be written.
    """
    wanted_names = sorted({name.lower() for name in names if _is_name(name)})
    wanted_addresses = sorted({ipaddress.ip_address(a) for a in addresses}, key=str)
    try:
        folder.mkdir(parents=True, exist_ok=True, mode=0o700)
        made = _authority(folder, wanted_names, wanted_addresses, now)
        authority, key, new = made
        _leaf(folder, authority, key, wanted_names, wanted_addresses, now)
    except OSError as error:
        raise BadRequest(f"{folder} cannot be written: {error.strerror}.") from error
    fingerprint = authority.fingerprint(hashes.SHA256()).hex(":").upper()
    return Issued(
        folder / "authority.crt", folder / "server.crt", folder / "server.key", fingerprint, new
    )


def _authority(
    folder: Path, names: Sequence[str], addresses: Sequence[Address], now: datetime.datetime
) -> tuple[x509.Certificate, ec.EllipticCurvePrivateKey, bool]:
    with contextlib.suppress(*_UNUSABLE):
        cert = x509.load_pem_x509_certificate((folder / "authority.crt").read_bytes())
        key = _load_key(folder / "authority.key")
        ours = cert.public_key() == key.public_key()
        if ours and _lasts(cert, now) and _permits(cert, names, addresses):
            return cert, key, False
    key = ec.generate_private_key(ec.SECP256R1())
    title = x509.Name([x509.NameAttribute(NameOID.COMMON_NAME, f"Vis-à-vis, {now:%d %B %Y}")])
    permitted = [x509.DNSName(name) for name in dict.fromkeys((*_LOCAL_NAMES, *names))]
    ranges: list[Network] = [ipaddress.ip_network(text) for text in _PRIVATE]
    ranges += [ipaddress.ip_network(a) for a in addresses if not _within(a, ranges)]
    cert = (
        _begin(title, title, key.public_key(), now, _AUTHORITY_DAYS)
        .add_extension(x509.BasicConstraints(ca=True, path_length=0), critical=True)
        .add_extension(_usage(signs=True), critical=True)
        .add_extension(x509.SubjectKeyIdentifier.from_public_key(key.public_key()), critical=False)
        .add_extension(
            x509.NameConstraints([*permitted, *(x509.IPAddress(r) for r in ranges)], None),
            critical=True,
        )
        .sign(key, hashes.SHA256())
    )
    atomic_write(folder / "authority.key", _key_bytes(key))
    atomic_write(folder / "authority.crt", cert.public_bytes(serialization.Encoding.PEM))
    return cert, key, True


def _leaf(
    folder: Path,
    authority: x509.Certificate,
    signer: ec.EllipticCurvePrivateKey,
    names: Sequence[str],
    addresses: Sequence[Address],
    now: datetime.datetime,
) -> None:
    wanted = [*(x509.DNSName(n) for n in names), *(x509.IPAddress(a) for a in addresses)]
    with contextlib.suppress(*_UNUSABLE):
        cert = x509.load_pem_x509_certificate((folder / "server.crt").read_bytes())
        key = _load_key(folder / "server.key")
        cert.verify_directly_issued_by(authority)
        has = cert.extensions.get_extension_for_class(x509.SubjectAlternativeName).value
        ours = cert.public_key() == key.public_key()
        if ours and _lasts(cert, now) and set(has) == set(wanted):
            return
    key = ec.generate_private_key(ec.SECP256R1())
    title = x509.Name([x509.NameAttribute(NameOID.COMMON_NAME, "Vis-à-vis")])
    cert = (
        _begin(title, authority.subject, key.public_key(), now, _LEAF_DAYS)
        .add_extension(x509.BasicConstraints(ca=False, path_length=None), critical=True)
        .add_extension(_usage(signs=False), critical=True)
        .add_extension(x509.ExtendedKeyUsage([ExtendedKeyUsageOID.SERVER_AUTH]), critical=False)
        .add_extension(x509.SubjectAlternativeName(wanted), critical=False)
        .add_extension(
            x509.AuthorityKeyIdentifier.from_issuer_public_key(signer.public_key()), critical=False
        )
        .sign(signer, hashes.SHA256())
    )
    # The key first: whoever dies between the two leaves a pair that does not match, and no harm.
    atomic_write(folder / "server.key", _key_bytes(key))
    atomic_write(folder / "server.crt", cert.public_bytes(serialization.Encoding.PEM))


def _begin(
    subject: x509.Name,
    issuer: x509.Name,
    key: ec.EllipticCurvePublicKey,
    now: datetime.datetime,
    days: int,
) -> x509.CertificateBuilder:
    return (
        x509.CertificateBuilder()
        .subject_name(subject)
        .issuer_name(issuer)
        .public_key(key)
        .serial_number(x509.random_serial_number())
        .not_valid_before(now - _EARLIER)
        .not_valid_after(now + datetime.timedelta(days=days))
    )


def _usage(*, signs: bool) -> x509.KeyUsage:
    return x509.KeyUsage(
        digital_signature=not signs,
        key_cert_sign=signs,
        crl_sign=signs,
        content_commitment=False,
        key_encipherment=False,
        data_encipherment=False,
        key_agreement=False,
        encipher_only=False,
        decipher_only=False,
    )


def _lasts(cert: x509.Certificate, now: datetime.datetime) -> bool:
    renew_at = cert.not_valid_after_utc - datetime.timedelta(days=_RENEW_DAYS)
    return cert.not_valid_before_utc <= now < renew_at


def _permits(cert: x509.Certificate, names: Sequence[str], addresses: Sequence[Address]) -> bool:
    """Whether an authority may sign for all of these."""
    constraints = cert.extensions.get_extension_for_class(x509.NameConstraints).value
    permitted = constraints.permitted_subtrees or []
    trees = [tree.value for tree in permitted if isinstance(tree, x509.DNSName)]
    ranges = [tree.value for tree in permitted if isinstance(tree, x509.IPAddress)]
    named = all(any(n == t or n.endswith(f".{t}") for t in trees) for n in names)
    return named and all(_within(a, ranges) for a in addresses)


def _within(address: Address, ranges: Sequence[object]) -> bool:
    networks = (r for r in ranges if isinstance(r, ipaddress.IPv4Network | ipaddress.IPv6Network))
    return any(address in network for network in networks if network.version == address.version)


def _is_name(text: str) -> bool:
    try:
        ipaddress.ip_address(text)
    except ValueError:
        return text.isascii() and bool(text) and "_" not in text
    return False


def _load_key(path: Path) -> ec.EllipticCurvePrivateKey:
    key = serialization.load_pem_private_key(path.read_bytes(), None)
    if not isinstance(key, ec.EllipticCurvePrivateKey):
        raise ValueError("it is a key of another kind")
    return key


def _key_bytes(key: ec.EllipticCurvePrivateKey) -> bytes:
    return key.private_bytes(
        serialization.Encoding.PEM,
        serialization.PrivateFormat.PKCS8,
        serialization.NoEncryption(),
    )
