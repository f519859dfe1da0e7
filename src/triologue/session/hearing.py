"""What the agent says: whose it is, and what follows from it."""

from typing import Any, assert_never, final

from triologue.errors import AgentProtocolError, AgentStartError, NotLoggedIn
from triologue.messages import (
    AssistantMessage,
    CanUseTool,
    CommandLifecycle,
    ControlCancel,
    ControlRequest,
    ControlResponse,
    ConversationReset,
    InitMessage,
    KeepAlive,
    Message,
    ResultMessage,
    SessionStateMessage,
    StreamEvent,
    UserMessage,
    text,
)
from triologue.session import effects as do
from triologue.session.ground import CONTROL, INTERRUPT, Ground
from triologue.session.link import Asking, Changing, Handshake, Interrupting, LinkState
from triologue.session.questions import Questions
from triologue.session.run import Phase, failed_by, interrupted, outcome_of
from triologue.session.serving import Serving
from triologue.wire import Answered, Asked, Ignored, Refused, Withdrawn

_SIGNS_OF_A_TURN = frozenset((InitMessage, AssistantMessage, UserMessage, StreamEvent, ResultMessage))


@final
class Hearing:
    """The agent's half of a session's inputs."""

    def __init__(self, session: Ground, questions: Questions, serving: Serving) -> None:
        self._session = session
        self._questions = questions
        self._serving = serving
        self._chunk: list[Message] = []
        self._notable: dict[type[Message], Any] = {
            ResultMessage: self._result,
            CommandLifecycle: self._lifecycle,
            SessionStateMessage: self._agent_state,
            InitMessage: self._init,
            ConversationReset: self._reset,
            ControlRequest: self._control,
            ControlResponse: self._control,
            ControlCancel: self._control,
            KeepAlive: self._control,
        }
        self._looked_at = frozenset({*self._notable, AssistantMessage})

    def is_plain(self, batch: list[Message]) -> bool:
        """Does nothing in this batch need a decision?"""
        if self._is_unsure():
            return False
        if self._looked_at.isdisjoint(map(type, batch)):
            return True
        return self._notable.keys().isdisjoint(map(type, batch)) and _refused_account(batch) is None

    def take_in(self, batch: list[Message]) -> None:
        """Go through what one read gave. Most messages need no decision: they are published as they came."""
        run = self._session.run
        if run is not None and (refused := _refused_account(batch)) is not None:
            run.account_error = text(refused) or "authentication_failed"
        if self._is_unsure():
            for message in batch:
                self._look_for_a_sign(message)
                self._hear(message)
        else:
            self._hear_sure(batch)
        self._flush()

    def _hear_sure(self, batch: list[Message]) -> None:
        """The quick way: what lies between two notable messages is taken at once."""
        notable, done = self._notable, 0
        for place in [place for place, message in enumerate(batch) if type(message) in notable]:
            self._chunk += batch[done:place]
            notable[type(batch[place])](batch[place])
            done = place + 1
        self._chunk += batch[done:]

    def _hear(self, message: Message) -> None:
        handle = self._notable.get(type(message))
        if handle is None:
            self._chunk.append(message)
        else:
            handle(message)

    def _is_unsure(self) -> bool:
        """Has the prompt gone out to an agent that has not shown yet that it tells when it takes one up?"""
        run = self._session.run
        return run is not None and run.phase is Phase.SENT and not self._session.link.tells_lifecycle

    def _look_for_a_sign(self, message: Message) -> None:
        """Let the first message that only a turn has begin it, unless the agent tells that itself.

        Claude Code says that it tells (`msg_lifecycle_v1`) only when the first turn has begun.
        """
        run = self._session.run
        if type(message) in _SIGNS_OF_A_TURN and run is not None and self._is_unsure():
            self._flush()
            run.move(Phase.STARTED)

    def _flush(self) -> None:
        """Publish what has gathered, before its owner changes."""
        if self._chunk:
            self._session.publish(self._session.owner, self._chunk)
            self._chunk = []

    def _init(self, message: InitMessage) -> None:
        self._learn(message.session_id)
        self._session.link.introduced(message)
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
        run = session.run
        if run is None or not run.is_answered_by(message):
            self._chunk.append(message)
            self._flush()
            return
        if run.phase is Phase.SENT:
            self._flush()
            run.move(Phase.STARTED)
        self._chunk.append(message)
        self._flush()
        cause = None if run.account_error is None else NotLoggedIn(f"{session.peer.name}: {run.account_error}")
        session.end_run(outcome_of(message, is_stopping=run.is_stopping, cause=cause))

    def _count_cost(self, message: ResultMessage) -> None:
        """Work out what this turn cost from the agent's running total, which goes on over resume and fork."""
        session, total = self._session, message.total_cost_usd
        if total is None:
            return
        before = session.total_cost_usd
        if before is None:
            message.cost_usd = _cost_since_last_result(message)
        else:
            message.cost_usd = total - before if total >= before else total  # a total that shrank began anew
        session.total_cost_usd = total

    def _lifecycle(self, message: CommandLifecycle) -> None:
        session, run = self._session, self._session.run
        session.link.tells_lifecycle = True
        self._flush()
        session.publish(None, [message])
        if run is None or message.command_uuid != run.prompt.uuid or run.phase is not Phase.SENT:
            return
        run.is_noticed = True
        match message.state:
            case "started":
                run.move(Phase.STARTED)
            case "cancelled" | "discarded" if run.is_stopping:
                session.end_run(interrupted("before it began"))
            case "cancelled" | "discarded":
                # Qoder says so before the result that tells why; where none comes, `idle` or the deadline ends it.
                run.move(Phase.STARTED)
                run.put_aside = _put_aside(message.state)
                session.effect(do.SetTimer(INTERRUPT, session.link.generation))
            case "completed":
                session.end_run(failed_by(_put_aside(message.state)))
            case _:
                pass

    def _agent_state(self, message: SessionStateMessage) -> None:
        session, run = self._session, self._session.run
        self._chunk.append(message)
        if message.state != "idle" or run is None or not run.owns_messages or not session.link.tells_lifecycle:
            return
        # A result comes before `idle`, so the one of this turn was a line that could not be read.
        self._flush()
        error = run.put_aside or AgentProtocolError(
            "the agent ended the turn, and its result could not be read; was it longer than Limits.max_message_bytes?"
        )
        session.end_run(interrupted("without a result") if run.is_stopping else failed_by(error))

    def _control(self, message: ControlRequest | ControlResponse | ControlCancel | KeepAlive) -> None:
        session = self._session
        heard = session.link.dialogue.hear(message)
        match heard:
            case Answered(request_id=request_id, response=response):
                self._answered(request_id, response)
            case Refused(request_id=request_id, error=error, code=code):
                self._refused(request_id, error, code)
            case Asked(request_id=request_id, request=request):
                self._flush()
                if self._is_unsure() and isinstance(request, CanUseTool) and session.run is not None:
                    session.run.move(Phase.STARTED)  # only a turn uses tools
                self._serving.asked(request_id, request)
            case Withdrawn(request_id=request_id):
                self._flush()
                self._serving.withdrawn(request_id)
            case Ignored(why=why) if not isinstance(message, KeepAlive):
                session.effect(do.Note(f"ignored a control frame: {why}"))
            case Ignored():  # a keep-alive
                pass
            case _:
                assert_never(heard)

    def _answered(self, request_id: str, response: dict[str, Any]) -> None:
        session = self._session
        match session.link.purpose_of(request_id):
            case Handshake():
                if session.link.state is LinkState.STARTING:
                    self._go_on_with_handshake(response)
            case Interrupting():
                session.interrupt_answered(_strings(response.get("cancelled")))
            case Asking(ticket=ticket):
                session.effect(do.ClearTimer(CONTROL, request_id))
                session.effect(do.Answer(ticket, response))
            case Changing() as change:
                session.effect(do.ClearTimer(CONTROL, request_id))
                session.link.applied[change.setting] = change.value
                session.agree(change)
                if change.ticket is not None:
                    session.effect(do.Answer(change.ticket, change.value))

    def _go_on_with_handshake(self, response: dict[str, Any]) -> None:
        """One more step of it was answered: the first is the greeting."""
        session, link = self._session, self._session.link
        if not link.was_greeted:
            link.greeted(response)
        if not link.preparations:
            session.link_ready()
            return
        step = link.preparations.pop(0)
        capability = session.peer.requests.get(type(step))
        if capability is None or capability in link.capabilities:
            session.send_request(step, Handshake())
        else:
            session.refuse_start(AgentStartError(str(session.unsupported(step, "it does not announce it"))))

    def _refused(self, request_id: str, error: str, code: str | None) -> None:
        session = self._session
        match session.link.purpose_of(request_id):
            case Handshake():
                self._flush()
                session.refuse_start(AgentStartError(f"the agent refused the handshake: {error}"))
            case Interrupting():
                session.effect(do.Note(f"the agent refused to be interrupted: {error}"))
                session.interrupt_answered([])
            case Asking() | Changing() as purpose:
                session.effect(do.ClearTimer(CONTROL, request_id))
                self._questions.refused(purpose, error, code)


def _refused_account(batch: list[Message]) -> AssistantMessage | None:
    """Where the agent says, in the place of an answer, that it has no account."""
    for message in batch:
        if type(message) is AssistantMessage and message.error == "authentication_failed":
            return message
    return None


def _put_aside(state: str) -> AgentProtocolError:
    return AgentProtocolError(f"the agent put the prompt aside unanswered ({state})")


def _strings(value: object) -> list[str]:
    return [item for item in value if isinstance(item, str)] if isinstance(value, list) else []


def _cost_since_last_result(message: ResultMessage) -> float | None:
    """What the agent says is new, where the total before is not known (a conversation that was resumed)."""
    since = message.model_usage_since_last_result
    if since is None:
        return None
    costs = [usage.get("costUSD") for usage in since.values() if isinstance(usage, dict)]
    return float(sum(cost for cost in costs if isinstance(cost, int | float)))
