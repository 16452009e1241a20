"""What can go wrong with a device, as one sentence that says what to do."""

from __future__ import annotations

from visavis.streamer.errors import VisavisError


class DeviceError(VisavisError):
    """A microphone, camera or sound output cannot be used now; it may come back."""


class MissingPart(VisavisError):
    """A package or program that this way needs is not installed; it will not come by itself."""
