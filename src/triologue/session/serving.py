"""What the agent asks of us: who does it, what is answered, and when it is pointless."""

from typing import final

from triologue.errors import AlreadyAnswered, InvalidOption, TriologueError
from triologue.messages import (
    AnyRequest,
    CallbackFailed,
    CanUseTool,
    ControlResponse,
    ControlSuccess,
    PermissionAsked,
    PermissionResult,
    PermissionResultDeny,
    subtype_of,
)
from triologue.session import effects as do, inputs as on
from triologue.session.duties import Duty
from triologue.session.ground import PERMISSION, Ground
from triologue.session.link import READY, STARTING
from triologue.session.peer import UNSUPPORTED
from triologue.wire import encode

EXPIRED = "Nobody answered this permission request within Deadlines.permission, so it is denied."

# What JSON cannot say, and what a dialect cannot.
_UNSAYABLE = (TypeError, ValueError, OverflowError, RecursionError, TriologueError)


@final
class Serving:
    """The answering half of the control dialogue: one answer for each request, and none for what was taken back."""

    __slots__ = ("_session",)

    def __init__(self, session: Ground) -> None:
        self._session = session

    def asked(self, request_id: str, request: AnyRequest) -> None:
        """The agent asks."""
        session = self._session
        link = session.link
        if session.duties.is_full:
            self._refuse_one_too_many(request_id, request)
            return
        duty = session.duties.add(request_id, request, session.owner)
        if session.run is not None and duty.ends_with_turn:
            session.run.is_noticed = True  # it may be the prompt that this is about
        is_leaving = link.state not in (STARTING, READY)
        if is_leaving or (session.is_stopping and duty.ends_with_turn):
            session.duties.remove(duty)
            link.dialogue.forget(request_id)
            session.note_oddity("a request came too late to be answered", subtype_of(request))
        elif duty.permission_id is not None and isinstance(request, CanUseTool):
            session.publish(duty.turn_id, [PermissionAsked(id=duty.permission_id, request=request)])
            session.effect(do.SetTimer(PERMISSION, link.generation, duty.permission_id))
            session.watch.permission_asked(duty.permission_id, request.tool_use_id)
            session.effect(
                do.AskPermission(link.generation, request_id, duty.permission_id, duty.turn_id, request),
            )
        else:
            session.effect(do.Serve(link.generation, request_id, request, duty.turn_id))

    def _refuse_one_too_many(self, request_id: str, request: AnyRequest) -> None:
        session = self._session
        error = f"{len(session.duties)} requests of the agent are open already; this one is refused"
        reply = session.link.dialogue.refuse(request_id, error, code="too_many_requests")
        if reply is not None and session.link.state in (STARTING, READY):
            session.effect(do.Send(session.link.generation, reply))
        session.publish(session.owner, [CallbackFailed(request=subtype_of(request), error=error)])

    def withdrawn(self, request_id: str) -> None:
        """The agent takes a request back."""
        duty = self._session.duties.get(request_id)
        if duty is not None:
            self._session.drop_duty(duty, "the agent took the request back")

    def decide(self, event: on.Decide) -> None:
        """A permission request is answered, by its callback or by anyone else."""
        session = self._session
        duty = session.duties.permission(event.permission_id)
        if duty is None:
            self._refuse_late(event)
            return
        try:
            reply = self._reply(duty, event.result)
        except _UNSAYABLE as error:
            if event.ticket is not None:
                wrong = InvalidOption(f"this cannot be an answer to the permission request: {error}")
                session.effect(do.Answer(event.ticket, error=wrong))
            else:
                self.failed(duty.request_id, str(error), None)
            return
        message = event.result.message if isinstance(event.result, PermissionResultDeny) else None
        self._settle(duty, reply)
        session.settle_permission(duty, event.result.behavior, by=event.by, reason=message)
        if event.ticket is not None:
            session.effect(do.Answer(event.ticket))

    def served(self, event: on.Served) -> None:
        """What was asked for is done."""
        session = self._session
        duty = session.duties.get(event.request_id)
        if duty is not None:
            self._settle(duty, session.link.dialogue.answer(event.request_id, event.response))

    def failed(self, request_id: str, error: str, code: str | None) -> None:
        """It could not be done: the agent hears why, and so does who listens, unless there is nobody to do it."""
        session = self._session
        duty = session.duties.get(request_id)
        if duty is None:
            return
        self._settle(duty, session.link.dialogue.refuse(request_id, error, code=code))
        if code != UNSUPPORTED:
            session.publish(session.turn_of(duty), [CallbackFailed(request=subtype_of(duty.request), error=error)])
        if duty.permission_id is not None:
            session.settle_permission(duty, "failed", reason=error)

    def expired(self, permission_id: str) -> None:
        """Nobody answered a permission request in time."""
        session = self._session
        duty = session.duties.permission(permission_id)
        if duty is None:
            return
        try:
            reply = self._reply(duty, PermissionResultDeny(message=EXPIRED))
        except _UNSAYABLE as error:
            reply = session.link.dialogue.refuse(duty.request_id, f"{EXPIRED} ({error})")
        self._settle(duty, reply)
        session.effect(do.Drop(session.link.generation, duty.request_id))
        session.settle_permission(duty, "expired", reason=EXPIRED)

    def interrupted(self) -> None:
        """The turn is being stopped, and what it asked for is pointless."""
        for duty in self._session.duties:
            if duty.ends_with_turn:
                self._session.drop_duty(duty, "the turn was interrupted")

    def _reply(self, duty: Duty, result: PermissionResult) -> ControlResponse | None:
        """The answer in this agent's words.

        Raises:
            Exception: there are none for it; nothing was changed.
        """
        if not isinstance(duty.request, CanUseTool):
            raise TypeError(f"{subtype_of(duty.request)} is no permission request")
        response = self._session.peer.permission_reply(duty.request, result)
        encode(ControlResponse(response=ControlSuccess(request_id=duty.request_id, response=response)))
        return self._session.link.dialogue.answer(duty.request_id, response)

    def _settle(self, duty: Duty, reply: ControlResponse | None) -> None:
        session = self._session
        session.duties.remove(duty)
        if duty.ends_with_turn and duty.permission_id is None:
            session.watch.served()
        if reply is not None:
            session.effect(do.Send(session.link.generation, reply))

    def _refuse_late(self, event: on.Decide) -> None:
        if event.ticket is None:
            return
        answered = self._session.duties.answer_of(event.permission_id)
        by, answer = (answered.by, answered.answer) if answered is not None else (None, "cancelled")
        self._session.effect(do.Answer(event.ticket, error=AlreadyAnswered(by, answer)))
