"""Which requests may be said twice: their connection was lost before the reply, so they may have arrived or not."""

from typing import Final

from triologue.errors import AlreadyAnswered
from triologue.protocol.asked import (
    Answer,
    Attach,
    Cancel,
    Change,
    Explain,
    Hibernate,
    ListSessions,
    Permissions,
    Ping,
    Prompt,
    Request,
    TurnOf,
)

# A prompt has an id, and is one turn however often it comes. A cancel names its turn, an answer its request, which is
# answered once. A setting is what its caller still waits for. To rest twice, or to look twice, changes nothing.
#
# The others could hit what came meanwhile, such as a later turn (an interrupt, a close), or be done twice (a command, a
# fork, a reset). Their callers get `GatewayLost`, and decide.
_MAY_REPEAT: Final = (
    Answer,
    Attach,
    Cancel,
    Change,
    Explain,
    Hibernate,
    ListSessions,
    Permissions,
    Ping,
    Prompt,
    TurnOf,
)


def may_repeat(request: Request) -> bool:
    """May it be said again?"""
    return isinstance(request, _MAY_REPEAT)


def is_own_answer(request: Request, error: Exception) -> bool:
    """Is this error, for an answer that was said twice, only the echo of the first time?"""
    return (
        isinstance(request, Answer)
        and isinstance(error, AlreadyAnswered)
        and error.answer == ("allow" if request.allow else "deny")
    )
