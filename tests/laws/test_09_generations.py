"""Law 9: an action aimed at generation n of a connection never hits n+1."""

from collections.abc import Callable, Iterator
from typing import Any

import pytest
import trio
from hypothesis import strategies as st

from tests.support.laws import Law, Wild, actor_of, programs_of
from triologue.actors import Actor
from triologue.errors import AgentCrashed, TurnTimeout
from triologue.messages import (
    AssistantBody,
    AssistantMessage,
    CanUseTool,
    Initialize,
    TextBlock,
    TurnEnded,
    TurnStarted,
)
from triologue.session import Session, inputs as on
from triologue.session.duties import Duty
from triologue.session.link import Link
from triologue.supervision import Overseer
from triologue.supervision.housing import Housing
from triologue.supervision.residency import Residency
from triologue.testing import (
    AnswerPermission,
    CrashAgent,
    Hibernate,
    History,
    Operation,
    Pause,
    Program,
    Say,
    Send,
    Stage,
    UseTool,
    Wait,
    check_history,
    laws,
    run_program,
)

LAW = Law(
    9,
    "An action aimed at generation n of a connection never hits n+1.",
    Wild(
        "avibe#1086",
        "a reaper that was to end one connection ended the next",
        "https://github.com/avibe-bot/avibe/issues/1086",
    ),
)

SPEECH = AssistantMessage(message=AssistantBody(content=[TextBlock(text="from beyond")], model="m"))
CRASH = AgentCrashed("long ago", exit_code=1, stderr_tail="")
NOTHING = Duty("r1", CanUseTool(tool_name="Bash", input={}), None)
# Of the connection that there is: what it waits for, under the id that the last one's request may have had too.
INPUTS: dict[str, Callable[[int, Duty], on.Input]] = {
    "evict": lambda generation, _: on.Evict(generation),
    "admitted": lambda generation, _: on.Admitted(generation),
    "linked": lambda generation, _: on.Linked(generation, Initialize()),
    "heard": lambda generation, _: on.Heard(generation, [SPEECH]),
    "served": lambda generation, duty: on.Served(generation, duty.request_id, {}),
    "failed": lambda generation, duty: on.Failed(generation, duty.request_id, "long ago"),
    "permission": lambda generation, duty: on.Expired("permission", generation, duty.permission_id or ""),
    "lost": lambda generation, _: on.Lost(generation, CRASH, trio.current_time()),
    "unlinked": lambda generation, _: on.Unlinked(generation, CRASH, trio.current_time()),
    "closed": lambda generation, _: on.Unlinked(generation, None, trio.current_time()),
    **{
        timer: lambda generation, _, timer=timer: on.Expired(timer, generation)  # type: ignore[misc]
        for timer in ("start", "interrupt", "idle", "max_age", "first_event", "silence", "turn")
    },
}
PLACES = ("closes", "stays", "leave", "works", "rests")


class Stale(Operation, frozen=True):
    """Something comes that was meant for an earlier connection of the session."""

    what: str
    session: int = 0

    async def run(self, stage: Stage) -> list[str]:
        """Gives what has changed by it; None is to be expected."""
        from trio.testing import wait_all_tasks_blocked

        actor = actor_of(stage, self.session)
        if actor is None or actor.session.link.generation < 2:
            await trio.lowlevel.checkpoint()
            return []
        stale, key = actor.session.link.generation - 1, stage.key(self.session)
        before = _standing(stage, self.session)
        if self.what in INPUTS:
            actor.post(INPUTS[self.what](stale, next(iter(actor.session.duties), NOTHING)))
        else:
            act = {"works": "rests"}.get(self.what, self.what)
            more: dict[str, Any] = {"is_idle": self.what == "rests"} if act == "rests" else {}
            getattr(_housing(actor), act)(key, stale, **more)
        await wait_all_tasks_blocked()
        after = _standing(stage, self.session)
        return [f"{name}: {before[name]!r}, then {after[name]!r}" for name in before if before[name] != after[name]]


def _standing(stage: Stage, number: int) -> dict[str, object]:
    """All that a stale action could change."""
    actor = actor_of(stage, number)
    assert actor is not None
    run = actor.session.run
    return {
        "state": actor.session.state,
        "generation": actor.session.link.generation,
        "turn": run.turn_id if run is not None else None,
        "stopping": actor.session.is_stopping,
        "old": actor.session.link.is_old,
        "asked": [duty.request_id for duty in actor.session.duties],
        "log": len(stage.history.events[stage.key(number)]),
        "agents": [each.number for each in stage.agent.connections if not each.is_gone],
        "stops": len(stage.agent.stops),
        "places": _housing(actor).residency.statistics(),
        "places at rest": [sorted(pool.idle) for pool in _housing(actor).residency._kinds.values()],
    }


def _housing(actor: Actor) -> Housing:
    oversight = actor._world.oversight
    assert isinstance(oversight, Overseer)
    return oversight.housing


SCRIPTS = st.sampled_from([(), (Wait(5),), (UseTool("Bash", asks=True, seconds=2), Say("x")), (Say("a b c", every=2),)])
# Each is over before the next comes, so that what changes is by the one that is looked at.
QUIET = (Pause(), Pause(0.25), Pause())
EVENTS: st.SearchStrategy[Operation] = st.one_of(
    st.builds(Stale, st.sampled_from([*INPUTS, *PLACES])),
    st.builds(Stale, st.sampled_from([*INPUTS, *PLACES])),
    st.builds(Stale, st.sampled_from(["served", "failed", "permission"])),
    st.builds(Send, st.just(0), SCRIPTS),
    st.builds(Pause, st.sampled_from([1.0, 3.0])),
    st.sampled_from([CrashAgent(0), Hibernate(0), AnswerPermission(), Send(1)]),
)
# The first agent dies with turns behind it, so that the second is its session's next generation.
FIRST = (
    Send(0, (Wait(5),)),
    Send(0, (Wait(5),)),
    Send(0, (UseTool("Bash", asks=True),)),
    Pause(),
    Pause(1),
    CrashAgent(0),
    Pause(4),
    Pause(),
)
PROGRAMS = programs_of(EVENTS, first=FIRST, most=8, retries=st.booleans(), max_live=st.sampled_from([None, 1, 2])).map(
    lambda program: Program(
        operations=tuple(one for operation in program.operations for one in (operation, *QUIET)),
        seed=program.seed,
        retries=program.retries,
        max_live=program.max_live,
    )
)


def stale_actions_change_nothing(history: History) -> Iterator[str]:
    """What was meant for an earlier connection has no effect on this one."""
    for call in history.calls_of(Stale):
        assert call.error is None, call.error
        if call.value:
            yield f"call {call.number} {call.operation!r} changed {call.value}"


def time_outs_are_their_own(history: History) -> Iterator[str]:
    """A turn that a deadline ends has had all of its time."""
    begun: dict[str | None, float] = {}
    for seen in history.events.get("s0", ()):
        if isinstance(seen.event.message, TurnStarted):
            begun[seen.event.turn_id] = seen.time
        elif isinstance(seen.event.message, TurnEnded) and seen.event.message.outcome.error is not None:
            cause = seen.event.message.outcome.error.__cause__
            if isinstance(cause, TurnTimeout):
                seconds, took = getattr(history.deadlines, cause.phase), seen.time - begun[seen.event.turn_id]
                if took < seconds:
                    yield f"the turn {seen.event.turn_id} ended after {took} s for the deadline {cause.phase}={seconds}"


@LAW.holds(PROGRAMS)
def test_what_is_meant_for_the_last_connection_does_not_hit_this_one(program: Program) -> None:
    """Agents that die and are restarted; then evictions, time-outs, losses, messages, answers and places of the one before."""
    check_history(run_program(program), (stale_actions_change_nothing, time_outs_are_their_own, laws.one_outcome))


@LAW.broken_by
def every_generation_is_this_one(patch: pytest.MonkeyPatch) -> None:
    """A session takes what it is told for what is about the connection that is there."""
    patch.setattr(Link, "is_current", lambda self, generation: True)


@LAW.broken_by
def an_answer_is_known_by_its_request(patch: pytest.MonkeyPatch) -> None:
    """What a callback gave goes to the agent that is there, if that has asked under the same id."""
    handle = Session._handle

    def answer(self: Session, event: on.Input) -> None:
        if isinstance(event, on.Served):
            self._serving.served(event)
        else:
            handle(self, event)

    patch.setattr(Session, "_handle", answer)


@LAW.broken_by
def a_place_is_known_by_its_key(patch: pytest.MonkeyPatch) -> None:
    """Residency asks which session a word is about, and not which of its connections."""
    patch.setattr(Residency, "_at", lambda self, key, generation: self._places.get(key))
