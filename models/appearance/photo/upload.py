"""What may be sent to become an avatar: a photo, or the bundle that another server made of one."""

from __future__ import annotations

from visavis.models.appearance.photo.photo import MAX_BYTES, PhotoRefused, check_upload

BUNDLE_MAGIC = b"PK\x03\x04"  # a bundle is a zip; pictures begin otherwise


def is_bundle(data: bytes) -> bool:
    """Whether the bytes look like an avatar's bundle; only reading it can tell."""
    return data[: len(BUNDLE_MAGIC)] == BUNDLE_MAGIC


def check_sent(data: bytes, max_bytes: int = MAX_BYTES) -> None:
    """Check what can be checked without reading it.

    Raises:
        PhotoRefused: it is too large, or neither a photo nor a bundle.
    """
    if not is_bundle(data):
        check_upload(data, max_bytes)
    elif len(data) > max_bytes:
        limit = f"{max_bytes / 1e6:g} MB"
        raise PhotoRefused("too-large", f"The avatar's file is larger than {limit}.")
