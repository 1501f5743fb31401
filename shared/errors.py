"""AppError and its children: expected failures with a status. A class's docstring is its message to the user.

The handler that shows them as page, fragment or JSON (spec: D9) is in web.py.
"""

from collections.abc import Mapping
from typing import Any, ClassVar


class AppError(Exception):
    """Something about this request was not right."""

    status: ClassVar[int] = 400
    code: ClassVar[str] = "BAD_REQUEST"

    def __init__(
        self,
        message: str | None = None,
        *,
        details: Mapping[str, Any] | None = None,
        field: str | None = None,
    ) -> None:
        self.message = message or (self.__doc__ or "").strip()
        self.details: dict[str, Any] = dict(details or {})
        if field:
            self.details["field"] = field
        super().__init__(self.message)

    @property
    def for_office(self) -> str:
        """What happened, for those who sell or run it; the message is for whoever has just pressed something."""
        return self.message


class NotFound(AppError):
    """We could not find that. It may have moved, or it belongs to somebody else."""

    status = 404
    code = "NOT_FOUND"


class Invalid(AppError):
    """Please check what you entered."""

    status = 422
    code = "INVALID"


class Conflict(AppError):
    """That has changed in the meantime. Please look again."""

    status = 409
    code = "CONFLICT"


class SignInRequired(AppError):
    """Please sign in first."""

    status = 401
    code = "SIGN_IN_REQUIRED"


class Forbidden(AppError):
    """That is not allowed."""

    status = 403
    code = "FORBIDDEN"


class TooMany(AppError):
    """That was a lot of tries in a short time. Please wait a little and try again."""

    status = 429
    code = "TOO_MANY_REQUESTS"
