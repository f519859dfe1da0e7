"""Why is this session stuck? What it waits for, in words, and what else one asks at night."""

from collections.abc import Callable
from math import inf
from typing import NamedTuple, TypeAlias

import trio
from msgspec import Struct

from triologue.actors import Actor, Conversation, Turn
from triologue.agents import measure_trees
from triologue.manager.directory import Directory
from triologue.messages import CanUseTool, HookCallback, McpMessage, McpToolCall, SessionState, subtype_of
from triologue.session import FIRST_EVENT, SILENCE, Session
from triologue.session.link import Asking, LinkState
from triologue.session.run import Phase


class TurnAge(Struct, frozen=True, kw_only=True):
    """A turn without an outcome."""

    id: str
    seconds: float
    """Since it was accepted."""
    meta: dict[str, str]


class SessionExplanation(Struct, frozen=True, kw_only=True):
    """One conversation, explained; `str()` of it is for people."""

    key: str
    agent: str
    session_id: str | None
    state: SessionState
    waits_for: str | None
    """What has to happen next, in words; None: nothing is waited for."""
    deadline: str | None
    """The name of the deadline that passes next."""
    deadline_seconds: float | None
    """Seconds until then."""
    turn: TurnAge | None
    """The turn that runs, or is the next to run and waits for its agent."""
    queue: list[TurnAge]
    """The turns behind it, the next one first."""
    pid: int | None
    rss_bytes: int | None
    """Of the agent's process and all below it, shared pages in parts (PSS); None where none runs, or nobody tells or looks."""
    cost_usd: float | None
    """So far, where the agent tells."""
    turns: int
    """Turns that have ended."""
    last_error: str | None
    """Why the session is `failed`; or why its agent went away by itself the last time, until another one works."""

    def __str__(self) -> str:
        state = f"{self.state}, waits for {self.waits_for or 'nothing'}"
        facts = [
            ("turn", _shown_turn(self.turn) if self.turn else ""),
            ("deadline", f"{self.deadline} in {self.deadline_seconds or 0:.1f} s" if self.deadline else ""),
            ("queue", "; ".join(map(_shown_turn, self.queue))),
            ("agent", self._shown_agent()),
            ("cost", f"${self.cost_usd:.4f}" if self.cost_usd is not None else ""),
            ("turns", str(self.turns)),
            ("last error", self.last_error or ""),
        ]
        return "\n".join([f"{self.key}: {state}", *(f"  {name:10}  {said}" for name, said in facts if said)])

    def _shown_agent(self) -> str:
        parts = [self.agent]
        if self.session_id is not None:
            parts.append(f"session {self.session_id}")
        if self.pid is not None:
            parts.append(f"pid {self.pid}")
        if self.rss_bytes is not None:
            parts.append(f"{self.rss_bytes / 1e6:.1f} MB")
        return ", ".join(parts)


def _shown_turn(turn: TurnAge) -> str:
    meta = "".join(f" {name}={value!r}" for name, value in turn.meta.items())
    return f"{turn.id}, accepted {turn.seconds:.1f} s ago{meta}"


def explain(directory: Directory, key: str, conversation: Conversation | None, *, rss: bool) -> SessionExplanation:
    """Look at one conversation, and at /proc if that is wanted and an agent runs."""
    if conversation is None:
        return _unknown(directory, key)
    actor = directory.registry.awake(key)
    session = actor.session if actor is not None else None
    statistics = directory.statistics_of(conversation)
    deadline = _next_deadline(directory, actor) if actor is not None else None
    running = session.run.turn_id if session is not None and session.run is not None else None
    sizes = measure_trees([statistics.pid]) if rss and statistics.pid is not None else None
    error = conversation.failure_at(trio.current_time()) or conversation.last_error
    return SessionExplanation(
        key=key,
        agent=conversation.agent.name,
        session_id=conversation.session_id,
        state=statistics.state,
        waits_for=waits_for(directory, conversation),
        deadline=deadline[0] if deadline is not None else None,
        deadline_seconds=deadline[2] if deadline is not None else None,
        turn=_age(conversation.turns[running]) if running in conversation.turns else None,
        queue=_queue(conversation, running),
        pid=statistics.pid,
        rss_bytes=sizes.get(statistics.pid) if sizes is not None and statistics.pid is not None else None,
        cost_usd=statistics.total_cost_usd,
        turns=conversation.ended,
        last_error=str(error) if error is not None else None,
    )


def _next_deadline(directory: Directory, actor: Actor) -> tuple[str, str, float] | None:
    """Time that a tool or a person takes is no silence of the model; and what runs may go on for a while in a drain."""
    is_busy_elsewhere = bool(actor.session.watch.tools) or len(actor.session.duties) > 0
    deadline = actor.clock.next(but=(FIRST_EVENT, SILENCE) if is_busy_elsewhere else ())
    left = directory.drains_until - trio.current_time()
    is_drained_first = left != inf and (deadline is None or left < deadline[2])
    if is_drained_first and actor.session.run is not None and not actor.session.is_stopping:
        return "drain", "", max(left, 0.0)
    return deadline


def _unknown(directory: Directory, key: str) -> SessionExplanation:
    return SessionExplanation(
        key=key,
        agent=directory.agent.name,
        session_id=None,
        state="new",
        waits_for=None,
        deadline=None,
        deadline_seconds=None,
        turn=None,
        queue=[],
        pid=None,
        rss_bytes=None,
        cost_usd=None,
        turns=0,
        last_error=None,
    )


def _queue(conversation: Conversation, running: str | None) -> list[TurnAge]:
    """The turns that wait, the next one first; without the one that has its place and waits for its agent."""
    placed = [(turn.position, turn) for turn in conversation.turns.values() if turn.id != running]
    waiting = sorted(((place, turn) for place, turn in placed if place is not None), key=lambda each: each[0])
    return [_age(turn) for _, turn in waiting]


def oldest_turn(conversation: Conversation) -> float | None:
    """Seconds since the oldest turn without an outcome was accepted; None when there is none."""
    first = next(iter(conversation.turns.values()), None)
    return None if first is None else trio.current_time() - first.accepted_at


def _age(turn: Turn) -> TurnAge:
    return TurnAge(id=turn.id, seconds=trio.current_time() - turn.accepted_at, meta=turn.meta)


# What a session waits for. Of these the first that has something to say is right; a new reason is one more of them.


_KEPT = "the store to keep what was said"


class _Look(NamedTuple):
    session: Session
    actor: Actor
    directory: Directory


_Reason: TypeAlias = Callable[[_Look], str | None]


def waits_for(directory: Directory, conversation: Conversation) -> str | None:
    """What has to happen next in a conversation, in words; None for nothing."""
    now = trio.current_time()
    failure = conversation.failure_at(now)
    if failure is not None and failure.retry_at is not None:
        return f"the time when it may be tried again, in {failure.retry_at - now:.0f} s"
    actor = directory.registry.awake(conversation.key)
    if actor is None:
        is_kept = conversation.journal is None or not conversation.journal.is_writing
        return directory.world.oversight.held_up_by(conversation) if is_kept or not conversation.turns else _KEPT
    look = _Look(actor.session, actor, directory)
    return next((said for reason in _REASONS if (said := reason(look)) is not None), None)


def _start(look: _Look) -> str | None:
    if look.session.link.state is not LinkState.STARTING:
        return None
    holding = look.actor.holding
    if holding is not None and holding.waits_for == "back-off":
        left = look.actor.conversation.start_after - trio.current_time()
        return f"the end of the back-off after a crash, in {max(0.0, left):.1f} s"
    if holding is not None and holding.waits_for in ("room", "log-in"):
        return _held_up(look) or "room for one more live agent"
    if holding is not None and holding.waits_for == "history":
        return "the history that the agent goes on with to be found"
    line = look.directory.world.starting.statistics()
    # A start has its deadline once it has its place.
    is_in_line = line.tasks_waiting > 0 and look.actor.clock.next() is None
    if is_in_line and look.directory.world.deadlines.start is not None:
        return f"its place in line to start: {line.borrowed_tokens:g} start now, {line.tasks_waiting} are in line"
    return "the agent to answer the handshake" if look.actor.is_live else "the agent to start"


def _leave(look: _Look) -> str | None:
    return "the agent to leave" if look.session.link.state is LinkState.CLOSING else None


def _interrupt(look: _Look) -> str | None:
    return "the interrupt to take effect" if look.session.is_stopping else None


def _permission(look: _Look) -> str | None:
    for duty in look.session.duties:
        if duty.permission_id is not None and isinstance(duty.request, CanUseTool):
            return f"permission for the tool {duty.request.tool_name} (request {duty.permission_id})"
    return None


def _callback(look: _Look) -> str | None:
    """What this program is to do for the agent."""
    for duty in look.session.duties:
        match duty.request:
            case McpToolCall(tool_name=name):
                return f"the tool {name} in this program"
            case McpMessage(message={"method": "tools/call", "params": {"name": str(name)}}):
                return f"the tool {name} in this program"
            case HookCallback():
                return "a hook in this program"
            case _:
                return f"an answer of this program to {subtype_of(duty.request)}"
    return None


def _tool(look: _Look) -> str | None:
    tools = [f"{call.name} ({id})" for id, call in look.session.watch.tools.items()]
    if not tools:
        return None
    return f"the tool{'s' * (len(tools) > 1)} {', '.join(tools)}"


def _held_up(look: _Look) -> str | None:
    return look.directory.world.oversight.held_up_by(look.actor.conversation)


def _own_work(look: _Look) -> str | None:
    """What the agent does without a turn of ours."""
    link = look.session.link
    if look.session.run is None and link.background:
        return f"{len(link.background)} tasks that the agent has in the background"
    return "the agent to end a turn of its own" if look.session.run is None and link.is_working else None


def _prompt(look: _Look) -> str | None:
    return "the store to keep the prompt" if look.actor.holds_prompt else None


def _kept(look: _Look) -> str | None:
    """What was said last, above all how a turn ended, which nobody hears before."""
    is_held_up = look.session.run is None and look.actor.is_writing
    return _KEPT if is_held_up and look.actor.conversation.turns else None


def _output(look: _Look) -> str | None:
    run = look.session.run
    if run is None:
        return None
    return {
        Phase.PENDING: "an agent",
        Phase.SENT: "the agent to take up the prompt",
        Phase.STARTED: "output of the model",
        Phase.ENDED: None,
    }[run.phase]


def _answer(look: _Look) -> str | None:
    for purpose in look.session.link.purposes():
        if isinstance(purpose, Asking):
            return f"the agent to answer {subtype_of(purpose.request)}"
    return None


_REASONS: tuple[_Reason, ...] = (
    _start,
    _leave,
    _interrupt,
    _permission,
    _callback,
    _tool,
    _prompt,
    _output,
    _kept,
    _answer,
    _held_up,
    _own_work,
)
