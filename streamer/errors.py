"""One base error; every message is one plain sentence that a user can act on.

Beside the sentence every error has a ``code`` for programs. The sentence may change and may be
translated; a code stays.
"""

from __future__ import annotations

from typing import ClassVar


class VisavisError(Exception):
    """Base of everything this product raises on purpose.

    Args:
        message: one sentence for a person.
        code: what kind of error it is, for programs; the class's own if left out.

    Attributes:
        status: the HTTP status the sentence is served with.
        code: for programs, words joined by hyphens.
    """

    status: ClassVar[int] = 500
    usual_code: ClassVar[str] = "internal"

    def __init__(self, message: str, *, code: str = "") -> None:
        super().__init__(message)
        self.code = code or self.usual_code


def message_of(error: VisavisError) -> dict[str, str]:
    """Return an error as channels and sockets tell it."""
    return {"type": "error", "code": error.code, "message": str(error)}


class BadRequest(VisavisError):
    """What was sent cannot be used; the sentence says what is wrong with it."""

    status = 400
    usual_code = "bad-request"


class Unauthorized(VisavisError):
    """The token is missing or wrong."""

    status = 401
    usual_code = "token"


class Forbidden(VisavisError):
    """The origin or the host name is not allowed."""

    status = 403
    usual_code = "forbidden"


class NotFound(VisavisError):
    """The avatar or session does not exist."""

    status = 404
    usual_code = "not-found"


class TooSlow(VisavisError):
    """The body did not come within the time that it may take."""

    status = 408
    usual_code = "too-slow"


class Conflict(VisavisError):
    """The thing exists but is not in a state that allows this."""

    status = 409
    usual_code = "conflict"


class PreconditionFailed(VisavisError):
    """The client speaks of a state that is over."""

    status = 412
    usual_code = "precondition-failed"


class TooLarge(VisavisError):
    """The upload exceeds a stated limit."""

    status = 413
    usual_code = "too-large"


class UnsupportedMedia(VisavisError):
    """The body is of another kind than this address takes."""

    status = 415
    usual_code = "unsupported-media-type"


class Unprocessable(VisavisError):
    """The content was read and refused, with the reason (a photo without a face, say)."""

    status = 422
    usual_code = "refused"


class OverQuota(VisavisError):
    """Somebody has had as much as they may have."""

    status = 429
    usual_code = "quota"


class TooManyTries(VisavisError):
    """Wrong tokens came too fast; try again after ``retry_after_s``."""

    status = 429
    usual_code = "too-many-tries"

    def __init__(self, retry_after_s: int) -> None:
        unit = "second" if retry_after_s == 1 else "seconds"
        super().__init__(
            f"Too many wrong tokens came from your address; try again in {retry_after_s} {unit}."
        )
        self.retry_after_s = retry_after_s


class BadGateway(VisavisError):
    """Another server, which somebody asked to have spoken to, did not do its part."""

    status = 502
    usual_code = "bad-gateway"


class AtCapacity(VisavisError):
    """No slot is free; try again after ``retry_after_s``."""

    status = 503
    usual_code = "server-full"

    def __init__(self, message: str, retry_after_s: int = 5, *, code: str = "") -> None:
        super().__init__(message, code=code)
        self.retry_after_s = retry_after_s
