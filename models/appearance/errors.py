"""Why a photo cannot serve, in one sentence for its owner."""

from __future__ import annotations


class EnrolmentRefused(ValueError):
    """The photo cannot become an avatar; the message is the reason, in one sentence."""
