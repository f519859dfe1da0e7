"""What holds on every line between a host and an agent, whatever is said on it."""

from typing import Any

from msgspec import Struct, field

from tests.support.dialect_pair import Line
from triologue.messages import (
    ControlCancel,
    ControlRequest,
    ControlResponse,
    Interrupt,
    Message,
    ResultMessage,
    UserMessage,
)
from triologue.session.duties import Duty


class Seen(Struct):
    """What is open on a line at one moment, as the host sees it."""

    theirs: dict[str, Any] = field(default_factory=dict[str, Any])
    """Requests of the agent that may be answered."""
    waiting: set[str] = field(default_factory=set[str])
    """The agent's requests for the turn, neither answered nor taken back, whether an answer may still come or not."""
    ours: dict[str, Any] = field(default_factory=dict[str, Any])
    """Our requests by id; None for those that are answered or taken back."""
    asked: set[str] = field(default_factory=set[str])
    """Every id of the agent."""
    withdrawn: set[str] = field(default_factory=set[str])
    prompts: set[str | None] = field(default_factory=set[str | None])
    answered: set[str | None] = field(default_factory=set[str | None])
    is_closed: bool = False
    is_gone: bool = False


def check_line(line: Line) -> None:
    """What is said on one connection, in the order in which the host said and heard it."""
    seen = Seen()
    for who, message in line.passed:
        if who == "host":
            assert not seen.is_closed, f"{message} after the close"
            check_host(seen, message)
        elif who == "agent":
            assert not seen.is_gone, f"{message} after its end"
            check_agent(seen, message)
        elif who == "close":
            seen.is_closed = True
        else:
            seen.is_closed = seen.is_gone = True
    assert line.passed[-1][0] == "left", "a connection was not left"


def check_host(seen: Seen, message: Message | None) -> None:
    match message:
        case UserMessage(uuid=uuid):
            assert uuid is not None
            assert uuid not in seen.prompts, "a prompt was sent twice"
            seen.prompts.add(uuid)
        case ControlRequest(request_id=request_id, request=request):
            assert request_id not in seen.ours
            seen.ours[request_id] = request
            if isinstance(request, Interrupt):  # what was asked for the turn is pointless, and is not answered any more
                seen.theirs = {
                    id: theirs for id, theirs in seen.theirs.items() if not Duty(id, theirs, None).ends_with_turn
                }
        case ControlResponse(response=response):
            assert seen.theirs.pop(response.request_id, None) is not None, (
                f"{response} answers twice, or what was taken back"
            )
            seen.waiting.discard(response.request_id)
        case ControlCancel(request_id=request_id):
            assert seen.ours.get(request_id) is not None, "takes back what was answered, or was never asked"
            seen.ours[request_id] = None
        case _:
            raise AssertionError(f"a host has no business with {message}")


def check_agent(seen: Seen, message: Message | None) -> None:
    match message:
        case ControlRequest(request_id=request_id, request=request):
            assert request_id not in seen.asked, "asked twice"
            seen.asked.add(request_id)
            seen.theirs[request_id] = request
            if Duty(request_id, request, None).ends_with_turn:
                seen.waiting.add(request_id)
        case ControlCancel(request_id=request_id):
            assert request_id in seen.asked
            assert request_id not in seen.withdrawn, "taken back twice"
            seen.withdrawn.add(request_id)
            seen.theirs.pop(request_id, None)  # the answer may be on its way
            seen.waiting.discard(request_id)
        case ControlResponse(response=response):
            assert response.request_id in seen.ours, "answers what was never asked, or twice"
            seen.ours[response.request_id] = None
        case ResultMessage(user_message_uuid=uuid) if uuid is not None:
            assert uuid in seen.prompts
            assert uuid not in seen.answered, "two results"
            assert not seen.waiting, "the turn is over, and the host is left to do something for it"
            seen.answered.add(uuid)
        case _:
            pass
