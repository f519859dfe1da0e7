"""One turn, from the prompt's way to the agent to its outcome: which messages are its own, and how it ended."""

from enum import Enum, auto
from typing import final

from triologue.errors import AgentCrashed, TriologueError, TurnCancelled, TurnFailed, TurnInterrupted, TurnTimeout
from triologue.messages import Outcome, ResultMessage, UserMessage
from triologue.session.watch import FIRST_EVENT, SILENCE


class Phase(Enum):
    """How far a turn is."""

    PENDING = auto()
    """It waits for the link."""
    SENT = auto()
    """The agent has the prompt, and may still be busy with a turn of its own."""
    STARTED = auto()
    """What the agent says belongs to this turn."""
    ENDED = auto()

    __hash__ = object.__hash__  # by identity, as they are equal; an enum's own hash is a call of Python


# By these names in what follows, as for `LinkState`.
PENDING, SENT, STARTED, ENDED = Phase

TRANSITIONS: dict[Phase, frozenset[Phase]] = {
    Phase.PENDING: frozenset({Phase.SENT, Phase.ENDED}),
    # Back to PENDING: the agent left without having taken the prompt up.
    Phase.SENT: frozenset({Phase.STARTED, Phase.ENDED, Phase.PENDING}),
    Phase.STARTED: frozenset({Phase.ENDED}),
    Phase.ENDED: frozenset(),
}

DRAIN = "drain"
"""What a turn is stopped for when the manager drains, and its time for that is over."""

_ABORTED = ("aborted_streaming", "aborted_tools")


@final
class Run:
    """The turn that runs. Its prompt's uuid is how the agent names it."""

    __slots__ = (
        "account_error",
        "collects",
        "folded",
        "is_begun",
        "is_exposed",
        "is_noticed",
        "is_repeated",
        "is_retried",
        "is_stopping",
        "is_unwanted",
        "phase",
        "prompt",
        "put_aside",
        "retries",
        "stop_tickets",
        "stopped_for",
        "timeout",
        "turn_id",
    )

    def __init__(self, turn_id: str, prompt: UserMessage) -> None:
        self.turn_id = turn_id
        self.prompt = prompt
        self.phase = PENDING
        self.is_stopping = False
        """An interrupt was asked for."""
        self.stop_tickets: list[int] = []
        """Who waits for the interrupt to take effect."""
        self.is_noticed = False
        """The agent has shown that it has the prompt."""
        self.is_begun = False
        """It was told that it began."""
        self.is_repeated = False
        """An agent left alone with the prompt; it goes out once more at most for that."""
        self.is_retried = False
        """An agent died with it, which may have done a part of it; it is to run again (`RestartPolicy.retry_turn`)."""
        self.retries = 0
        """How often it was to run again so far."""
        self.is_unwanted = False
        """Somebody wants it stopped, perhaps before anybody can tell what the agent makes of it."""
        self.is_exposed = False
        """It began while an interrupt was under way that was meant for the turn before."""
        self.collects = False
        """Prompts that wait right behind it go into it when it begins (`collect`)."""
        self.folded: tuple[str, ...] = ()
        """The uuids of other prompts that were merged into it."""
        self.timeout: TurnTimeout | None = None
        """The deadline that it is being stopped for."""
        self.stopped_for: str | None = None
        """Why it is being stopped, where neither a caller nor a deadline of its own wants that."""
        self.put_aside: TriologueError | None = None
        """The agent said that it dropped the prompt; what the turn ends with, unless a result tells more."""
        self.account_error: str | None = None
        """What the agent said when its account was refused."""

    def move(self, phase: Phase) -> None:
        """Go on.

        Raises:
            ValueError: the turn cannot get there; that is a bug in the session.
        """
        if phase not in TRANSITIONS[self.phase]:
            raise ValueError(f"a turn cannot go from {self.phase.name} to {phase.name}")
        self.phase = phase

    def was_left_alone_by(self, error: TriologueError) -> bool:
        """Did the agent go away in good order, and certainly without having taken the prompt up?

        It may then go out again, once: the next agent may leave at once too.
        """
        is_in_order = isinstance(error, AgentCrashed) and error.exit_code == 0
        untouched = self.phase is SENT and not self.is_noticed and not self.is_stopping
        return is_in_order and untouched and not self.is_repeated

    @property
    def may_run_again(self) -> bool:
        """Is it still wanted? Not where somebody stopped it, and not where its own time is over: so it would be again."""
        is_stall = self.timeout is not None and self.timeout.phase in (FIRST_EVENT, SILENCE)
        return not self.is_unwanted and (is_stall or not self.is_stopping)

    @property
    def owns_messages(self) -> bool:
        """Does what the agent says now belong to this turn? Of one that it dropped only the result does, which says why."""
        return self.phase is STARTED and self.put_aside is None

    def is_answered_by(self, result: ResultMessage) -> bool:
        """Is this the result of this turn, and not of one that the agent began by itself?"""
        if self.phase not in (SENT, STARTED):
            return False
        if result.user_message_uuids:
            return self.prompt.uuid in result.user_message_uuids
        if self.phase is not STARTED:
            return False
        kind = result.origin.get("kind") if result.origin else None
        return kind is None or kind == "human"

    def was_hit_by_mistake(self, result: ResultMessage) -> bool:
        """Did that interrupt stop this turn?"""
        return self.is_exposed and not self.is_stopping and result.is_error and result.terminal_reason in _ABORTED

    def again(self, prompt: UserMessage) -> "Run":
        """The same turn from its beginning, with nothing of what was learned of the agent that died with it."""
        run = Run(self.turn_id, prompt)
        run.is_begun, run.collects, run.is_repeated = self.is_begun, self.collects, self.is_repeated
        run.is_retried, run.retries = self.is_retried or self.phase is not PENDING, self.retries + 1
        return run

    def withdrawn(self) -> Outcome:
        """The outcome of a turn that nobody wants any more while it waits for an agent."""
        return interrupted("before it ran again") if self.is_retried else cancelled("withdrawn")

    def stopped(self, reason: str) -> Outcome:
        """The outcome of a turn that was stopped and gave no result: for the deadline that passed, if one did."""
        return failed_by(self.timeout) if self.timeout is not None else interrupted(reason, self.stopped_for)

    def unanswered(self, error: TriologueError) -> Outcome:
        """The outcome of a turn that the agent is done with, and gave no result of: it was stopped, or failed for this."""
        return self.stopped("without a result") if self.is_stopping else failed_by(error)


def outcome_of(
    result: ResultMessage, *, is_stopping: bool, cause: TriologueError | None = None, stopped_for: str | None = None
) -> Outcome:
    """The outcome that a result means. `is_error` decides, whatever the subtype says.

    `cause` is why it failed, and `stopped_for` why it was stopped, if one knows.
    """
    if not result.is_error:
        # Claude gives a turn that a newer prompt pushed aside a result without an error; that is not our doing.
        return Outcome(kind="answered", result=result, reason=result.terminal_reason, cost_usd=result.cost_usd)
    reason, said = result.terminal_reason or result.subtype, describe(result)
    if is_stopping and (result.terminal_reason is None or result.terminal_reason in _ABORTED):
        if not isinstance(cause, TurnTimeout):
            why = f" ({stopped_for})" if stopped_for is not None else ""
            stopped = TurnInterrupted(f"the turn was interrupted{why}", result=result)
            reason = stopped_for or reason
            return Outcome(kind="interrupted", result=result, error=stopped, reason=reason, cost_usd=result.cost_usd)
        reason, said = cause.phase, str(cause)
    error = TurnFailed(f"the turn failed ({reason}): {said}", result=result)
    error.__cause__ = cause
    return Outcome(kind="failed", result=result, error=error, reason=reason, cost_usd=result.cost_usd)


def describe(result: ResultMessage) -> str:
    """What an error result says, in one line."""
    text = result.result or "; ".join(result.errors or []) or result.subtype
    return text if len(text) <= 500 else f"{text[:499]}…"


def failed_by(cause: TriologueError) -> Outcome:
    """The outcome of a turn that lost its agent."""
    error = TurnFailed(str(cause))
    error.__cause__ = cause
    reason = cause.phase if isinstance(cause, TurnTimeout) else type(cause).__name__
    return Outcome(kind="failed", error=error, reason=reason)


def interrupted(how: str, stopped_for: str | None = None) -> Outcome:
    """The outcome of a turn that was stopped and gave no result."""
    error = TurnInterrupted(f"the turn was interrupted ({how})")
    return Outcome(kind="interrupted", error=error, reason=stopped_for or how)


def never_ran(error: Exception | None) -> Outcome:
    """The outcome of a turn that waits while its session is closed, or takes nothing in for this reason."""
    return cancelled("the session was closed" if error is None else str(error), error)


def cancelled(reason: str, error: Exception | None = None) -> Outcome:
    """The outcome of a turn that never ran."""
    return Outcome(kind="cancelled", error=error or TurnCancelled(f"the turn never ran ({reason})"), reason=reason)
