"""What the agent says: whose it is, and what follows from it."""

import math
from typing import Any, ClassVar, final

from triologue.errors import AgentProtocolError, NotLoggedIn, TriologueError
from triologue.messages import (
    ApiRetryMessage,
    AssistantMessage,
    BackgroundTasksMessage,
    CanUseTool,
    CommandLifecycle,
    ControlCancel,
    ControlRequest,
    ControlResponse,
    ConversationReset,
    InitMessage,
    KeepAlive,
    MalformedMessage,
    Message,
    OversizeMessage,
    RateLimitEvent,
    ResultMessage,
    SessionStateMessage,
    StreamEvent,
    UserMessage,
    text,
)
from triologue.session import effects as do
from triologue.session.control import Control
from triologue.session.ground import INTERRUPT, Ground
from triologue.session.run import SENT, STARTED, failed_by, outcome_of
from triologue.session.steering import Steering
from triologue.session.usage_limits import limit_of

_NO_ACCOUNT = "authentication_failed"

_SAID = frozenset((AssistantMessage, UserMessage))

_SIGNS_OF_A_TURN = frozenset((InitMessage, AssistantMessage, UserMessage, StreamEvent, ResultMessage))


@final
class Hearing:
    """The agent's half of a session's inputs."""

    __slots__ = ("_chunk", "_dialogue", "_session", "_steering")

    def __init__(self, session: Ground, control: Control, steering: Steering) -> None:
        self._session = session
        self._dialogue = control
        self._steering = steering
        self._chunk: list[Message] = []

    def is_plain(self, batch: list[Message]) -> bool:
        """Does nothing in this batch need a decision? Then it is published as it came, and not given to `take_in`."""
        session, watch = self._session, self._session.watch
        if not self.is_settled or type(batch[-1]) in self._NOTABLE:  # as at the end of a turn that came at once
            return False
        types = set(map(type, batch))
        if not self._NOTABLE.keys().isdisjoint(types):
            return False
        if _SAID.isdisjoint(types):
            return True
        said: list[Any] = batch if types <= _SAID else [message for message in batch if type(message) in _SAID]
        if watch.times_tools or [
            message for message in said if type(message) is AssistantMessage and message.error is not None
        ]:
            return False
        if session.owner is not None:
            watch.note_tools(said)
        return True

    @property
    def is_settled(self) -> bool:
        """Is it known whose the text is that comes, and does nothing wait for the next piece of it?"""
        watch = self._session.watch
        return not (watch.waits_for_output or watch.retry or self._is_unsure())

    def take_in(self, batch: list[Message]) -> None:
        """Go through what one read gave. Most messages need no decision: they are published as they came."""
        if self._is_unsure():
            for message in batch:
                self._look_for_a_sign(message)
                self._hear([message])
        else:
            self._hear(batch)
        self._flush()

    def _hear(self, batch: list[Message]) -> None:
        """What lies between two messages that need a decision is passed on at once."""
        done, said = 0, list[Any]()
        message: Any
        for place, message in enumerate(batch):
            kind = type(message)
            if kind is StreamEvent:  # most are, and to compare with one class costs less than to look into a table
                continue
            if kind in _SAID:
                said.append(message)
            elif kind in self._NOTABLE:
                if done < place:
                    self._pass_on(batch[done:place], said)
                    said = []
                self._NOTABLE[kind](self, message)
                done = place + 1
        self._pass_on(batch[done:] if done else batch, said)

    def _pass_on(self, messages: list[Message], said: list[AssistantMessage | UserMessage]) -> None:
        """Nothing is to be decided about these, but how long the next may take; what was said in them tells of the turn."""
        session = self._session
        if said and session.run is not None:
            for message in said:
                if type(message) is AssistantMessage and message.error == _NO_ACCOUNT:
                    session.run.account_error = text(message) or _NO_ACCOUNT
            if session.run.owns_messages:
                session.watch.note_tools(said)
        if session.watch.waits_for_output or session.watch.retry:
            session.watch.heard(messages, in_turn=session.owner is not None)
        self._chunk += messages

    def _is_unsure(self) -> bool:
        """Has the prompt gone out to an agent that has not shown yet that it tells when it takes one up?"""
        run = self._session.run
        return run is not None and run.phase is SENT and not self._session.link.tells_lifecycle

    def _look_for_a_sign(self, message: Message) -> None:
        """Let the first message that only a turn has begin it, unless the agent tells that itself.

        Claude Code says that it tells (`msg_lifecycle_v1`) only when the first turn has begun.
        """
        if type(message) in _SIGNS_OF_A_TURN and self._is_unsure():
            self._flush()
            self._begin_turn()

    def _begin_turn(self) -> None:
        if self._session.run is not None:
            self._session.run.move(STARTED)
            self._session.watch.taken_up()

    def _flush(self) -> None:
        """Publish what has gathered, before its owner changes."""
        if self._chunk:
            self._session.publish(self._session.owner, self._chunk)
            self._chunk = []

    def _init(self, message: InitMessage) -> None:
        self._learn(message.session_id)
        self._session.link.introduced(message)
        self._chunk.append(message)

    def _background(self, message: BackgroundTasksMessage) -> None:
        self._session.link.background = frozenset(_task_ids(message.tasks))
        self._chunk.append(message)

    def _limits(self, message: RateLimitEvent) -> None:
        self._account(message)
        self._chunk.append(message)

    def _retried(self, message: ApiRetryMessage) -> None:
        self._session.watch.retried(message)
        self._chunk.append(message)

    def _unread(self, message: OversizeMessage | MalformedMessage) -> None:
        if self._session.owner is not None:
            self._session.watch.missed((message.head if isinstance(message, OversizeMessage) else message.line)[:1024])
        self._chunk.append(message)

    def _reset(self, message: ConversationReset) -> None:
        session = self._session
        session.session_id, session.is_confirmed, session.total_cost_usd = message.new_conversation_id, False, 0.0
        self._chunk.append(message)

    def _learn(self, session_id: str | None) -> None:
        """Only what the agent says about the conversation it has; a refusal names one that it has not."""
        if session_id and not self._session.link.is_untried:
            self._session.session_id = session_id

    def _result(self, message: ResultMessage) -> None:
        session = self._session
        if session.link.is_untried:
            # A refusal instead of an answer to the handshake; the connection ends next, and tells why.
            session.refusal = message
            return
        self._learn(message.session_id)
        session.is_confirmed = True
        self._count_cost(message)
        self._account(message)
        session.is_accounting = session.is_metered
        run = session.run
        if run is None or not run.is_answered_by(message):
            self._flush()
            session.publish(None, [message])  # of a turn of the agent's own, whichever runs now
            return
        if run.was_hit_by_mistake(message) and session.watch.waits_for_output and not run.folded:
            self._flush()
            session.publish(None, [message])
            self._steering.again(run)
            return
        self._flush()
        if run.phase is SENT:
            run.move(STARTED)
        session.publish(run.turn_id, [message])
        self._steering.answered_with(run, message.user_message_uuids or [])
        cause: TriologueError | None = run.timeout
        if run.account_error is not None:
            cause = NotLoggedIn(f"{session.peer.name}: {run.account_error}")
        is_stopped = run.is_stopping or run.was_hit_by_mistake(message)
        session.end_run(outcome_of(message, is_stopping=is_stopped, cause=cause, stopped_for=run.stopped_for))

    def _account(self, message: ResultMessage | RateLimitEvent) -> None:
        limit = limit_of(message)
        if limit is not None:
            self._session.gate = limit.reason  # at once, before the next turn begins
        self._session.effect(do.Account(message))

    def _count_cost(self, message: ResultMessage) -> None:
        """Work out what this turn cost from the agent's running total, which goes on over resume and fork."""
        session, total = self._session, message.total_cost_usd
        if total is None:
            return
        before = session.total_cost_usd
        if not _is_cost(total):
            message.cost_usd = since = _cost_since_last_result(message)
            # The next total tells what this one did not.
            session.total_cost_usd = before + since if before is not None and since is not None else before
            session.note_oddity("the agent told a cost that cannot be", f"{total!r} US dollars", is_trouble=True)
            return
        if before is None:
            message.cost_usd = _cost_since_last_result(message)
        else:
            message.cost_usd = total - before if total >= before else total  # a total that shrank began anew
        session.total_cost_usd = total

    def _control(self, message: ControlRequest | ControlResponse | ControlCancel | KeepAlive) -> None:
        self._flush()
        if isinstance(message, ControlRequest) and isinstance(message.request, CanUseTool) and self._is_unsure():
            self._begin_turn()  # only a turn uses tools
        self._dialogue.take_in(message)

    def _lifecycle(self, message: CommandLifecycle) -> None:
        session = self._session
        session.link.tells_lifecycle = True
        self._flush()
        session.publish(None, [message])
        if self._became_of_steer(message.command_uuid, message.state):
            return
        run = session.run
        if run is None or message.command_uuid != run.prompt.uuid or run.phase is not SENT:
            return
        run.is_noticed = True
        match message.state:
            case "started":
                self._begin_turn()
            case "cancelled" | "discarded" if run.is_stopping:
                session.end_run(run.stopped("before it began"))
            case "cancelled" | "discarded":
                # Qoder says so before the result that tells why; where none comes, `idle` or the deadline ends it.
                run.move(STARTED)
                run.put_aside = _put_aside(message.state)
                session.effect(do.SetTimer(INTERRUPT, session.link.generation))
            case "completed":
                session.end_run(failed_by(_put_aside(message.state)))
            case _:
                pass

    def _became_of_steer(self, uuid: str, state: str) -> bool:
        """Was this about a prompt that the agent was handed while it worked?"""
        match state:
            case "started" | "completed":
                return self._steering.take_up(uuid)
            case "cancelled" | "discarded":
                return self._steering.dropped(uuid)
            case _:
                return False

    def _agent_state(self, message: SessionStateMessage) -> None:
        session, run = self._session, self._session.run
        session.link.is_working = message.state != "idle"
        self._chunk.append(message)
        if message.state != "idle" or run is None or run.phase is not STARTED or not session.link.tells_lifecycle:
            return
        # A result comes before `idle`, so the one of this turn was a line that could not be read.
        self._flush()
        error = run.put_aside or AgentProtocolError(
            "the agent ended the turn, and its result could not be read; was it longer than Limits.max_message_bytes?"
        )
        session.end_run(run.unanswered(error))

    # What needs a decision, and who takes it; of the class, for in each session the table would weigh 1 KiB.
    _NOTABLE: ClassVar[dict[type[Message], Any]] = {
        ResultMessage: _result,
        CommandLifecycle: _lifecycle,
        SessionStateMessage: _agent_state,
        BackgroundTasksMessage: _background,
        RateLimitEvent: _limits,
        ApiRetryMessage: _retried,
        InitMessage: _init,
        ConversationReset: _reset,
        OversizeMessage: _unread,
        MalformedMessage: _unread,
        ControlRequest: _control,
        ControlResponse: _control,
        ControlCancel: _control,
        KeepAlive: _control,
    }


def _task_ids(tasks: object) -> list[str]:
    """Of what an agent says is in its background; it may be anything."""
    found = [task.get("task_id") for task in tasks if isinstance(task, dict)] if isinstance(tasks, list) else []
    return [id for id in found if isinstance(id, str)]


def _put_aside(state: str) -> AgentProtocolError:
    return AgentProtocolError(f"the agent put the prompt aside unanswered ({state})")


def _cost_since_last_result(message: ResultMessage) -> float | None:
    """What the agent says is new, where the total before is not known (a conversation that was resumed)."""
    since = message.model_usage_since_last_result
    if since is None:
        return None
    costs = [usage.get("costUSD") for usage in since.values() if isinstance(usage, dict)]
    return float(sum(cost for cost in costs if isinstance(cost, int | float) and _is_cost(cost)))


def _is_cost(dollars: float) -> bool:
    """Can this be counted? Any other number would be in all sums from then on, and NaN is beyond no bound."""
    return 0 <= dollars < math.inf
