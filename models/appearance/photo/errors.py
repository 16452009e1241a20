"""Why a photo or a bundle cannot serve: one sentence for its owner, one code for programs."""

from __future__ import annotations

from typing import Literal

Code = Literal[
    "too-large", "too-small", "not-picture", "corrupt", "no-face", "several-faces",
    "face-too-small", "too-dark", "face-sideways", "face-turned", "face-covered", "drawing",
    "mouth-hidden", "eyes-closed", "eyes-hidden", "refused",
]  # fmt: skip


class EnrolmentRefused(ValueError):
    """The photo cannot become an avatar.

    Args:
        message: the reason, in one sentence.
        code: what kind of reason it is.
    """

    def __init__(self, message: str, code: Code = "refused") -> None:
        super().__init__(message)
        self.code: Code = code


class IdentityError(ValueError):
    """The file is no usable identity; the message is one sentence for the user."""
