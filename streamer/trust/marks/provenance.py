"""C2PA manifests on files: what made a video, signed by the deployment's own key.

The certificate is this deployment's own, below an authority of its own: whoever trusts it reads
"trusted", everybody else that the file is unchanged since somebody signed it. There is no trusted
time without a time-stamping authority, which would have to be asked over a network; none is.
"""

# c2pa has no types.
# pyright: reportUnknownMemberType=false, reportUnknownVariableType=false, reportUnknownArgumentType=false, reportUnknownParameterType=false
from __future__ import annotations

import base64
import datetime
import json
from collections.abc import Sequence
from pathlib import Path
from typing import Any, Final

from cryptography import x509
from cryptography.hazmat.primitives import hashes
from cryptography.hazmat.primitives.asymmetric import ec
from cryptography.hazmat.primitives.serialization import (
    Encoding,
    NoEncryption,
    PrivateFormat,
    load_pem_private_key,
)
from cryptography.x509.oid import ExtendedKeyUsageOID, NameOID

from visavis.models.files import atomic_write
from visavis.streamer import __version__

_GENERATED: Final = "http://cv.iptc.org/newscodes/digitalsourcetype/trainedAlgorithmicMedia"
_FORMATS: Final = {".mp4": "video/mp4", ".mov": "video/quicktime"}
_YEARS: Final = 10
_BY_HASH: Final = "ni:///sha-256;"
# Nothing is fetched: neither manifests that lie elsewhere, nor lists of revoked certificates.
_OFFLINE: Final[dict[str, Any]] = {"verify": {"remote_manifest_fetch": False, "ocsp_fetch": False}}


def available() -> bool:
    """Whether the library that writes manifests is installed."""
    try:
        import c2pa  # noqa: F401
    except (ImportError, OSError):
        return False
    return True


def sign_video(
    path: Path, data_dir: Path, *, avatar_sha256: str = "", photos: Sequence[str] = ()
) -> bool:
    """Put a signed manifest into a finished video, in place; False where that is not possible.

    Args:
        path: ``.mp4`` or ``.mov``; whole or as it was, whatever happens.
        data_dir: where the deployment's certificate lies; made if needed.
        avatar_sha256: hash of the bundle that was drawn.
        photos: SHA-256 of the photos that the avatars seen were made of, hexadecimal; empty ones
            are left out. The photos themselves go nowhere.

    Raises:
        OSError: the disk does not take it.
    """
    form = _FORMATS.get(path.suffix.lower())
    if form is None or not available():
        return False
    signed = path.with_name(f"{path.stem}.signed{path.suffix}")
    try:
        with path.open("rb") as source, signed.open("w+b") as out:
            sign_stream(form, source, out, data_dir, avatar_sha256=avatar_sha256, photos=photos)
        signed.replace(path)
    finally:
        signed.unlink(missing_ok=True)
    return True


def sign_stream(
    form: str,
    source: Any,
    out: Any,
    data_dir: Path,
    *,
    avatar_sha256: str = "",
    photos: Sequence[str] = (),
    embed: bool = True,
) -> bytes:
    """Copy a video with a signed manifest in it, or make one to lie beside it; return that.

    Args:
        form: media type, such as ``video/mp4``; WebM has no place for a manifest.
        source: binary file to be read.
        out: binary file, to be written and read anywhere.
        data_dir: where the deployment's certificate lies; made if needed.
        avatar_sha256: hash of the bundle that was drawn.
        photos: as for ``sign_video``.
        embed: whether the manifest goes into the copy; else the copy is as it was.

    Raises:
        OSError: it cannot be written.
    """
    import c2pa

    key, chain = credentials(data_dir)
    info = c2pa.C2paSignerInfo(c2pa.C2paSigningAlg.ES256, chain, key, None)
    try:
        with (
            c2pa.Context.from_dict(_OFFLINE) as context,
            c2pa.Signer.from_info(info) as signer,
            c2pa.Builder(_manifest(avatar_sha256, photos), context) as builder,
        ):
            if not embed:
                builder.set_no_embed()
            manifest: bytes = builder.sign(signer, form, source, out)
    except c2pa.C2paError as error:
        raise OSError(f"the manifest could not be written: {error}") from error
    return bytes(manifest)


def read_manifest(path: Path, data_dir: Path | None = None) -> dict[str, Any]:
    """Return what a file's manifest says; empty where there is none.

    Args:
        path: the file.
        data_dir: the deployment whose authority is trusted.
    """
    if not available():
        return {"note": "manifests are not read here: pip install c2pa-python"}
    import c2pa

    settings: dict[str, Any] = dict(_OFFLINE)
    authority = None if data_dir is None else _folder(data_dir) / "authority.pem"
    if authority is not None and authority.is_file():
        settings = {**settings, "trust": {"trust_anchors": authority.read_text()}}
    form = _FORMATS.get(path.suffix.lower(), "video/mp4")
    beside = path.with_name(f"{path.name}.c2pa")  # for a form that has no place for a manifest
    try:
        apart = beside.read_bytes() if beside.is_file() else None
        form = "video/webm" if apart and path.suffix.lower() == ".webm" else form
        with (
            c2pa.Context.from_dict(settings) as context,
            path.open("rb") as file,
            c2pa.Reader(form, file, apart, context=context) as reader,
        ):
            known = json.loads(reader.json())
            state = str(reader.get_validation_state() or "")
    except (c2pa.C2paError, OSError, ValueError):
        return {}
    manifest = known.get("manifests", {}).get(known.get("active_manifest"), {})
    text = json.dumps(manifest)
    return {
        "state": state,
        "generated": _GENERATED in text and state in ("Valid", "Trusted"),
        "photos": [
            digest
            for ingredient in manifest.get("ingredients", []) or []
            if (digest := _named(str(ingredient.get("instance_id", ""))))
        ],
        "signed_by": str(manifest.get("signature_info", {}).get("issuer", "")),
        "problems": [
            str(problem.get("code", "")) for problem in known.get("validation_status", []) or []
        ],
    }


def _manifest(avatar_sha256: str, photos: Sequence[str] = ()) -> str:
    action = {"action": "c2pa.created", "digitalSourceType": _GENERATED}
    assertions: list[dict[str, Any]] = [{"label": "c2pa.actions.v2", "data": {"actions": [action]}}]
    if avatar_sha256:
        data = {"avatar_sha256": avatar_sha256}
        assertions.append({"label": "org.visavis.avatar", "data": data})
    made_by = {"name": "visavis", "version": __version__}
    ingredients = [
        {
            "title": "Photo of the person shown",
            "description": f"Not contained; SHA-256 of its file: {digest}",
            "format": "application/octet-stream",
            "relationship": "inputTo",
            "instance_id": _name_of(digest),
        }
        for digest in dict.fromkeys(filter(None, photos))
    ]
    return json.dumps(
        {
            "claim_generator_info": [made_by],
            "assertions": assertions,
            "ingredients": ingredients,
        }
    )


def _name_of(digest: str) -> str:
    """Return the name of a thing by its hash, after RFC 6920."""
    return _BY_HASH + base64.urlsafe_b64encode(bytes.fromhex(digest)).decode().rstrip("=")


def _named(name: str) -> str:
    """Return the hash in such a name, hexadecimal; empty if it is none."""
    if not name.startswith(_BY_HASH):
        return ""
    try:
        return base64.urlsafe_b64decode(name.removeprefix(_BY_HASH) + "=").hex()
    except ValueError:
        return ""


def _folder(data_dir: Path) -> Path:
    return data_dir.expanduser().absolute() / "trust" / "c2pa"


def credentials(data_dir: Path) -> tuple[bytes, bytes]:
    """Return the deployment's signing key and certificates (PEM), made where there are none."""
    folder = _folder(data_dir)
    key_file, chain_file = folder / "signer.key", folder / "signer.pem"
    if not (key_file.is_file() and chain_file.is_file()):
        folder.mkdir(parents=True, exist_ok=True, mode=0o700)
        key, chain, authority = _make()
        atomic_write(folder / "authority.pem", authority)
        atomic_write(chain_file, chain)
        atomic_write(key_file, key)
    key = key_file.read_bytes()
    load_pem_private_key(key, None)
    return key, chain_file.read_bytes()


def _make() -> tuple[bytes, bytes, bytes]:
    """Return a key, its certificate with its authority's behind it, and the authority's."""
    root, leaf = (ec.generate_private_key(ec.SECP256R1()) for _ in range(2))
    now = datetime.datetime.now(datetime.UTC) - datetime.timedelta(days=1)
    until = now + datetime.timedelta(days=365 * _YEARS)
    names = [
        x509.Name(
            [
                x509.NameAttribute(NameOID.ORGANIZATION_NAME, "Vis-a-vis deployment"),
                x509.NameAttribute(NameOID.COMMON_NAME, common),
            ]
        )
        for common in ("Authority of this deployment", "Signer of this deployment")
    ]

    def certificate(number: int, is_authority: bool) -> x509.CertificateBuilder:
        public = (root if is_authority else leaf).public_key()
        issuer = x509.AuthorityKeyIdentifier.from_issuer_public_key(root.public_key())
        return (
            x509.CertificateBuilder()
            .subject_name(names[number])
            .issuer_name(names[0])
            .public_key(public)
            .serial_number(x509.random_serial_number())
            .not_valid_before(now)
            .not_valid_after(until)
            .add_extension(x509.BasicConstraints(is_authority, None), critical=True)
            .add_extension(x509.SubjectKeyIdentifier.from_public_key(public), critical=False)
            .add_extension(issuer, critical=False)
            .add_extension(_usage(is_authority), critical=True)
        )

    authority = certificate(0, True).sign(root, hashes.SHA256())
    purpose = x509.ExtendedKeyUsage([ExtendedKeyUsageOID.EMAIL_PROTECTION])
    own = certificate(1, False).add_extension(purpose, critical=True).sign(root, hashes.SHA256())
    key = leaf.private_bytes(Encoding.PEM, PrivateFormat.PKCS8, NoEncryption())
    top = authority.public_bytes(Encoding.PEM)
    return key, own.public_bytes(Encoding.PEM) + top, top


def _usage(is_authority: bool) -> x509.KeyUsage:
    return x509.KeyUsage(
        digital_signature=not is_authority,
        content_commitment=False,
        key_encipherment=False,
        data_encipherment=False,
        key_agreement=False,
        key_cert_sign=is_authority,
        crl_sign=is_authority,
        encipher_only=False,
        decipher_only=False,
    )
