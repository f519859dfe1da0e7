"""What a gateway does not do, and tells so."""

from typing import Any, final

from triologue.protocol.codes import NOT_FOUND
from triologue.protocol.told import Failed


@final
class Refusal(Exception):
    """A request that is not done, for a reason that only a gateway has.

    Args:
        code: one of `protocol.codes`.
        message: why, for people.
        data: what a program may want to know besides.
    """

    def __init__(self, code: str, message: str, **data: Any) -> None:
        self.code, self.data = code, data
        super().__init__(message)

    def told(self, re: int) -> Failed:
        """As the reply to a request."""
        return Failed(re=re, code=self.code, message=str(self), data=self.data)


def no_session(key: str) -> Refusal:
    """The same for a key that there is not and for one that the token must not know of."""
    return Refusal(NOT_FOUND, "there is no such session, or not for this token", key=key[:512])


def no_turn() -> Refusal:
    """The same for an id that there is not and for one of another's turn."""
    return Refusal(NOT_FOUND, "there is no such turn, or it is remembered no more, or not for this token")


def no_permission() -> Refusal:
    """The same for an id that there is not and for one of another's session."""
    return Refusal(NOT_FOUND, "there is no such permission request, or not for this token")
