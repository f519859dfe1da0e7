"""What holds in every history: a law is a function that is given one and yields what breaks it."""

from collections import Counter
from collections.abc import Callable, Iterator, Sequence
from typing import TypeAlias

from triologue.errors import AlreadyAnswered, TriologueError
from triologue.messages import (
    AssistantMessage,
    Gap,
    PermissionAnswered,
    PermissionAsked,
    ResultMessage,
    StateChanged,
    StreamEvent,
    TurnAccepted,
    TurnEnded,
    TurnStarted,
    UserMessage,
)
from triologue.testing.faults import InjectedCrash
from triologue.testing.history import Call, Complaint, History, LawBroken, describe
from triologue.testing.operations import (
    AnswerPermission,
    CancelTurn,
    ChangeMode,
    ChangeModel,
    CloseSession,
    InterruptSession,
    Operation,
    Reset,
    Send,
    Stream,
)

Law: TypeAlias = Callable[[History], Iterator[str]]
"""Yields one text for each thing that is wrong. Its name and docstring say what should be."""

GRACE = 0.001
"""Seconds that a deadline may be passed by, for numbers that are no exact sums."""


def one_outcome(history: History) -> Iterator[str]:
    """Every accepted turn reaches exactly one outcome, and every turn that a caller was given is in a log."""
    for key in history.events:
        accepted = Counter(id for id, message in history.messages(key) if isinstance(message, TurnAccepted))
        ended = Counter(id for id, message in history.messages(key) if isinstance(message, TurnEnded))
        for turn_id in accepted | ended:
            if (accepted[turn_id], ended[turn_id]) != (1, 1):
                counts = f"accepted {accepted[turn_id]} times and ended {ended[turn_id]} times"
                yield f"{key}: the turn {turn_id} was {counts}"
    for call in history.calls_of(Send):
        if call.turn_id != call.value and call.error is None and not call.was_cancelled:
            yield f"call {call.number} gave the turn {call.value}, and the log has {call.turn_id}"


def order(history: History) -> Iterator[str]:
    """Turns of a session start in the order in which they were accepted; only what interrupts goes before others."""
    # Not of those who cancel a turn that another call has sent.
    sent = [call for call in history.calls if hasattr(call.operation.inner, "overlap")]
    overlaps = {call.turn_id: getattr(call.operation.inner, "overlap", None) for call in sent}
    for key in history.events:
        place: dict[str | None, int] = {}
        last: str | None = None
        for turn_id, message in history.messages(key):
            if isinstance(message, TurnAccepted):
                place[turn_id] = len(place)
            elif isinstance(message, TurnStarted) and overlaps.get(turn_id) != "interrupt":
                if last is not None and place.get(turn_id, -1) < place[last]:
                    yield f"{key}: the turn {turn_id} started after {last}, which was accepted later"
                last = turn_id


TALK = (AssistantMessage, UserMessage, ResultMessage, StreamEvent)
"""What belongs to a turn. What an agent tells of itself (`system`) is shown with whatever runs."""


def attribution(history: History) -> Iterator[str]:
    """A message is attributed to the turn that caused it, or to none; what nobody asked for belongs to no turn."""
    for key in history.events:
        ended: set[str | None] = set()
        for turn_id, message in history.messages(key):
            if isinstance(message, TurnEnded):
                ended.add(turn_id)
            uuid = getattr(message, "uuid", None) if isinstance(message, TALK) else None
            if turn_id is None or uuid not in history.agent.causes:
                continue
            # Of an agent that tells nothing of its turns it cannot be known that it began one by itself.
            is_untold = not history.agent.causes[uuid] and not history.agent.tells_lifecycle
            if not is_untold and not history.is_caused(uuid, turn_id):
                yield f"{key}: {describe(message)} was attributed to {turn_id}, which is not its reason"
            if turn_id in ended:
                yield f"{key}: {describe(message)} follows the end of its turn {turn_id}"


def answers(history: History) -> Iterator[str]:
    """A turn's result is one that the agent gave to its prompt, and no two turns share one unless they merged."""
    given: dict[str, str] = {}
    for turn_id, message in history.outcomes().items():
        outcome = message.outcome
        if outcome.kind == "merged" or outcome.result is None:
            continue
        uuid = outcome.result.uuid or ""
        if not history.is_caused(uuid, turn_id):
            yield f"the turn {turn_id} was {outcome.kind} with a result that is not its own: {describe(outcome.result)}"
        if uuid in given:
            yield f"the turns {given[uuid]} and {turn_id} have the same result"
        given[uuid] = turn_id


def gapless(history: History) -> Iterator[str]:
    """A session's log counts from 1 without gaps, and without anything twice."""
    for key, events in history.events.items():
        numbers = [seen.event.seq for seen in events if seen.event.seq is not None]
        if any(isinstance(seen.event.message, Gap) for seen in events):
            continue  # a reader that is told of a gap is told the truth
        if numbers != list(range(1, len(numbers) + 1)):
            yield f"{key}: its seq are {numbers}"


def interrupts_settle(history: History) -> Iterator[str]:
    """An interrupt settles within its deadline, in every state."""
    patience = history.deadlines.interrupt + GRACE
    for call in history.calls_of(InterruptSession):
        if call.ended is not None and call.ended - call.began > patience:
            yield f"call {call.number} {call.operation!r} took {call.ended - call.began:.3f} s and not {patience:.3f}"
        if call.error is None and not call.was_cancelled and call.value not in _INTERRUPTED:
            yield f"call {call.number} {call.operation!r} gave {call.value!r}"


_INTERRUPTED = ("stopped", "nothing_running", "already_done", "killed")


def permissions(history: History) -> Iterator[str]:
    """A permission request is settled once; an answer that was taken is the one that it was settled with."""
    settled: dict[str, PermissionAnswered] = {}
    for key in history.events:
        asked: set[str] = set()
        for _, message in history.messages(key):
            if isinstance(message, PermissionAsked):
                asked.add(message.id)
            elif isinstance(message, PermissionAnswered):
                if message.id not in asked or message.id in settled:
                    yield f"{key}: the permission {message.id} was settled twice, or never asked for"
                settled[message.id] = message
        for id in sorted(asked - settled.keys()):
            yield f"{key}: the permission {id} was never settled"
    for call in history.calls_of(AnswerPermission):
        yield from _check_answer(call, settled)


def _check_answer(call: Call, settled: dict[str, PermissionAnswered]) -> Iterator[str]:
    operation = call.operation.inner
    if not isinstance(operation, AnswerPermission) or call.was_cancelled:
        return
    if call.error is None and isinstance(call.value, str):
        answer = settled.get(call.value)
        wanted = "allow" if operation.allow else "deny"
        if answer is None or (answer.answer, answer.by) != (wanted, operation.by):
            yield f"call {call.number} was told that its answer counts, and the log has {answer!r}"
    elif call.error is not None and not isinstance(call.error, AlreadyAnswered | TriologueError):
        yield f"call {call.number} {call.describe()}"


def nothing_remains(history: History) -> Iterator[str]:
    """After the manager's block no agent, no timer and no session is alive."""
    if history.agents_left:
        yield f"{history.agents_left} agents are alive"
    remains = history.remains
    if remains is not None and (remains.live or remains.timers or remains.starting or remains.permissions):
        yield f"the manager still has {remains!r}"


def cap(history: History) -> Iterator[str]:
    """Never more agents live than `Limits.max_live` says, also while they restart."""
    limit = history.limits.max_live
    if limit is not None and history.agent.max_live > limit:
        yield f"{history.agent.max_live} agents lived at once, and {limit} may"


def typed_errors(history: History) -> Iterator[str]:
    """What a call raises is one of triologue's own errors."""
    for call in history.calls:
        # An assertion is a finding of its own.
        if isinstance(call.error, Exception) and not isinstance(call.error, TriologueError | AssertionError):
            yield call.blame()


def endings_have_reasons(history: History) -> Iterator[str]:
    """A turn is cancelled or interrupted only where somebody asked for that: no turn suffers from another's end."""
    for key, events in history.events.items():
        calls = [call for call in history.calls if history.key_of(call) == key]
        for seen in events:
            turn_id, message = seen.event.turn_id, seen.event.message
            if (
                isinstance(message, TurnEnded)
                and message.outcome.kind in ("cancelled", "interrupted")
                and (history.left is None or seen.time < history.left)
                and not any(_may_end(call, turn_id) for call in calls if call.began <= seen.time)
            ):
                yield f"{key}: nobody asked that the turn {turn_id} ends as {message.outcome.kind}"


_STOPPERS: tuple[type[Operation], ...] = (InterruptSession, CloseSession, Reset)


def _may_end(call: Call, turn_id: str | None) -> bool:
    """May this call be why that turn ended?"""
    operation = call.operation.inner
    ends_its_own = call.was_cancelled or isinstance(operation, CancelTurn | Stream)
    return (
        (ends_its_own and call.turn_id in (turn_id, None))
        or isinstance(operation, _STOPPERS)
        or getattr(operation, "overlap", None) == "interrupt"
    )


def settings(history: History) -> Iterator[str]:
    """An agent is started with the settings that were asked for last, and each prompt meets them."""
    for name, kind in (("model", ChangeModel), ("mode", ChangeMode)):
        yield from _check_setting(history, name, kind)


def _check_setting(history: History, name: str, kind: type[Operation]) -> Iterator[str]:
    for prompt in history.agent.prompts:
        key = history.key_of_session(prompt.session_id)
        calls = [call for call in history.calls_of(kind) if history.key_of(call) == key and call.began <= prompt.time]
        done = [call for call in calls if call.ended is not None and call.ended < prompt.time and call.error is None]
        if key is None or not done:
            continue
        last = max(done, key=lambda call: call.began)
        # Those that overlap with it, or are not done yet, may have come before or after it.
        possible = {
            getattr(call.operation.inner, name)
            for call in calls
            if call is last or call.ended is None or call.ended >= last.began
        }
        seen = prompt.model if name == "model" else prompt.permission_mode
        if seen not in possible:
            yield f"{key}: the prompt {prompt.text!r} met the {name} {seen!r}, and {sorted(map(str, possible))} was set"


def nothing_breaks(history: History) -> Iterator[str]:
    """No session breaks by a bug; only an injected crash may do that."""
    for key in history.events:
        for _, message in history.messages(key):
            reason = message.reason if isinstance(message, StateChanged) else None
            if reason is not None and " broke: " in reason and InjectedCrash.__name__ not in reason:
                yield f"{key}: {reason}"


def host_behaves(history: History) -> Iterator[str]:
    """The host does nothing to an agent that no host may do."""
    yield from history.agent.complaints


LAWS: tuple[Law, ...] = (
    one_outcome,
    order,
    attribution,
    answers,
    gapless,
    interrupts_settle,
    permissions,
    nothing_remains,
    cap,
    typed_errors,
    endings_have_reasons,
    settings,
    nothing_breaks,
    host_behaves,
)
"""The laws that `check_history` checks."""


def check_history(history: History, laws: Sequence[Law] = LAWS) -> None:
    """Check laws on what happened.

    Args:
        history: what `run_program` gave.
        laws: which; add your own with `(*LAWS, my_law)`.

    Raises:
        LawBroken: with every complaint, the seed, the program and the end of the history.
    """
    complaints = [Complaint(law.__name__.replace("_", " "), what) for law in laws for what in law(history)]
    if complaints:
        raise LawBroken(complaints, history)
