"""One base error; every message is one plain sentence that a user can act on."""

from __future__ import annotations


class VisavisError(Exception):
    """Base of everything this product raises on purpose.

    Attributes:
        status: the HTTP status the sentence is served with.
    """

    status = 500


class BadRequest(VisavisError):
    """What was sent cannot be used; the sentence says what is wrong with it."""

    status = 400


class Forbidden(VisavisError):
    """The origin or the token is not allowed."""

    status = 403


class NotFound(VisavisError):
    """The avatar or session does not exist."""

    status = 404


class Conflict(VisavisError):
    """The thing exists but is not in a state that allows this."""

    status = 409


class TooLarge(VisavisError):
    """The upload exceeds a stated limit."""

    status = 413


class Unprocessable(VisavisError):
    """The content was read and refused, with the reason (a photo without a face, say)."""

    status = 422


class AtCapacity(VisavisError):
    """No slot is free; try again after ``retry_after_s``."""

    status = 503

    def __init__(self, message: str, retry_after_s: int = 5) -> None:
        super().__init__(message)
        self.retry_after_s = retry_after_s
