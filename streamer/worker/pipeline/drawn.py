"""Whom a worker draws: avatars by their bundles, and the drawn person that it warms up with.

The latter is kept between starts, so that a worker starts sooner.
"""

from __future__ import annotations

import contextlib
import logging
import os
from pathlib import Path
from typing import TYPE_CHECKING

from visavis.models.appearance.photo.errors import IdentityError
from visavis.models.files import atomic_write
from visavis.streamer import __version__

if TYPE_CHECKING:
    from visavis.models.appearance.identity import Identity

logger = logging.getLogger(__name__)


def load_identity(bundle: str) -> Identity:
    """Return the identity that a bundle's reference names; a sealed one is opened in memory.

    Raises:
        IdentityError: it is missing, damaged, foreign or of a newer version.
        Conflict: it is sealed, and was changed.
    """
    from visavis.models.appearance.identity import Identity
    from visavis.streamer.trust.sealed import read_bundle

    try:
        return Identity.from_bytes(read_bundle(bundle))
    except OSError as error:
        raise IdentityError("The file of this avatar cannot be read.") from error


def drawn_person(size: int, folder: Path | None = None) -> Identity:
    """Return the drawn person's identity, from the user's cache if it is there and whole.

    Args:
        size: pixels of the square picture.
        folder: where it is kept; the user's cache by default.
    """
    from visavis.models.appearance.identity import IDENTITY_VERSION, Identity

    base = Path(os.environ.get("XDG_CACHE_HOME") or Path.home() / ".cache") / "visavis"
    kept = (folder or base) / f"drawn-{size}-{__version__}-{IDENTITY_VERSION}.vav"
    with contextlib.suppress(IdentityError):
        return Identity.load(kept)
    from visavis.models.appearance.drawn import drawn_identity

    identity = drawn_identity(size)
    try:
        kept.parent.mkdir(parents=True, exist_ok=True, mode=0o700)
        atomic_write(kept, identity.to_bytes())
    except OSError as error:  # nothing is lost but two seconds at the next start
        logger.info("the drawn person is not kept: %s", error)
    return identity
