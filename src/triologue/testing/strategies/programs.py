"""Hypothesis strategies for what an agent does with a prompt, and for programs."""

from collections.abc import Sequence
from functools import cache
from typing import get_args

from hypothesis import strategies as st

from triologue.options import Overlap
from triologue.testing.faults import Fault, ReadFails, StartFails, StartHangs, WriteFails
from triologue.testing.operations import (
    AnswerPermission,
    Ask,
    BeginOwnTurn,
    Cancelling,
    CancelTurn,
    ChangeMode,
    ChangeModel,
    CloseSession,
    CrashAgent,
    Fork,
    Hibernate,
    InterruptSession,
    Operation,
    Pause,
    Reset,
    Send,
    Stream,
)
from triologue.testing.programs import Program
from triologue.testing.script import (
    ApiError,
    Background,
    Crash,
    Deaf,
    Fail,
    Line,
    Oversize,
    RateLimit,
    Say,
    Stall,
    Step,
    Unread,
    UseTool,
    Wait,
)
from triologue.testing.store_faults import StoreFails

OVERLAPS: tuple[Overlap | None, ...] = (None, *get_args(Overlap))
"""The overlap policies that programs are made with; None: the manager's."""

CAPS: tuple[int | None, ...] = (None, 1, 2)
"""`Limits.max_live` of programs."""

SECONDS = (0.0, 0.0, 0.5, 1.0, 3.0, 10.0, 35.0, 150.0)
"""Pauses, and how long the agent takes: below and above each of the deadlines of a program."""


@st.composite
def scripts(draw: st.DrawFn) -> tuple[Step, ...]:
    """What an agent does with a prompt: mostly it answers, now and then it does not."""
    # Composite, like those below, so that hypothesis calls it by its name and not in full.
    return draw(_scripts())


@cache
def _scripts() -> st.SearchStrategy[tuple[Step, ...]]:
    seconds = st.sampled_from(SECONDS)
    usual: list[st.SearchStrategy[Step]] = [
        st.builds(Say, st.sampled_from(["yes", "one two three"]), st.sampled_from([0.0, 0.5])),
        st.builds(Wait, seconds),
        st.builds(UseTool, st.just("Bash"), seconds=seconds, asks=st.booleans()),
        st.builds(Background, st.just((Say("by myself"),)), seconds),
        st.builds(RateLimit, st.just("allowed_warning")),
        st.sampled_from([Line(b"no frame"), Line(b'{"type":"x_new"}'), Line(b'{"type":'), Oversize(100_000)]),
    ]
    last: list[Step] = [Stall(), Crash(), Crash(0), Fail(), ApiError(529)]
    body = st.lists(st.one_of(usual), max_size=3).map(tuple)
    return st.one_of(
        st.just(()),
        body,
        st.builds(lambda steps, end: (*steps, end), body, st.sampled_from(last)),
        st.just((Unread(),)),
        st.builds(lambda steps: (Deaf(), *steps, Stall()), body),
    )


@st.composite
def operations(draw: st.DrawFn, sessions: int = 2, overlaps: Sequence[Overlap | None] = OVERLAPS) -> Operation:
    """One operation on one of so many sessions; the one after the last of them is what forks go to."""
    return draw(_operations(sessions, tuple(overlaps)))


@cache
def _operations(sessions: int, overlaps: tuple[Overlap | None, ...]) -> st.SearchStrategy[Operation]:
    session = st.integers(0, sessions - 1)
    overlap = st.sampled_from(overlaps)
    sends: list[st.SearchStrategy[Operation]] = [
        st.builds(Send, session, scripts(), overlap),
        st.builds(Ask, session, scripts(), overlap),
        st.builds(Stream, session, scripts(), overlap, st.sampled_from([None, 0, 1])),
    ]
    controls: list[st.SearchStrategy[Operation]] = [
        st.builds(CancelTurn, session, st.integers(0, 2)),
        st.builds(InterruptSession, session),
        st.builds(CloseSession, session),
        st.builds(Hibernate, session),
        st.builds(Reset, session),
        st.builds(ChangeModel, session, st.sampled_from(["a", "b"])),
        st.builds(ChangeMode, session, st.sampled_from(["plan", "acceptEdits"])),
        st.builds(CrashAgent, session),
        st.builds(BeginOwnTurn, session, scripts()),
        st.builds(AnswerPermission, st.integers(0, 1), st.booleans(), st.sampled_from(["ada", "bob"])),
        st.builds(Fork, session, st.just(sessions)),
    ]
    sent, controlled = st.one_of(sends), st.one_of(controls)
    cancelled = st.one_of(
        st.builds(Cancelling, sent | controlled, after=st.sampled_from(SECONDS)),
        st.builds(Cancelling, sent | controlled, at=st.integers(1, 6)),
    )
    # Half of what happens is a prompt or a pause; else little would be under way when something is done to it.
    return st.one_of(sent, st.builds(Pause, st.sampled_from(SECONDS)), sent, controlled, controlled, cancelled)


@st.composite
def programs(
    draw: st.DrawFn,
    sessions: int = 2,
    max_operations: int = 12,
    overlaps: Sequence[Overlap | None] = OVERLAPS,
    more: st.SearchStrategy[Operation] | None = None,
) -> Program:
    """Programs on so many sessions and one that they may be forked to.

    Args:
        draw: hypothesis gives it.
        sessions: how many there are from the beginning.
        max_operations: of one program.
        overlaps: the policies that prompts are sent with.
        more: your own operations, which are drawn as often as all others.
    """
    return draw(_programs(sessions, max_operations, tuple(overlaps), more))


@cache
def _programs(
    sessions: int, max_operations: int, overlaps: tuple[Overlap | None, ...], more: st.SearchStrategy[Operation] | None
) -> st.SearchStrategy[Program]:
    kits = operations(sessions, overlaps) if sessions else st.builds(Pause, st.sampled_from(SECONDS))
    one = kits if more is None else kits | more
    return st.builds(
        Program,
        operations=st.lists(one, min_size=1, max_size=max_operations).map(tuple),
        sessions=st.just(sessions),
        seed=st.integers(0, 2**16),
        leave=st.sampled_from(["normally", "normally", "by an error", "cancelled"]),
        folds=st.booleans(),
        tells_lifecycle=st.booleans(),
        partials=st.booleans(),
        retries=st.booleans(),
        max_live=st.sampled_from(CAPS),
    )


@cache
def faults() -> st.SearchStrategy[tuple[Fault, ...]]:
    """A few things that go wrong with an agent, early enough that they happen."""
    at = st.integers(1, 12)
    start = st.integers(1, 3)
    return st.lists(
        st.one_of(
            st.builds(StartFails, start),
            st.builds(StartHangs, start),
            st.builds(WriteFails, at),
            st.builds(ReadFails, at),
        ),
        max_size=2,
    ).map(tuple)


@cache
def store_faults() -> st.SearchStrategy[tuple[StoreFails, ...]]:
    """A few calls of a store that fail, early enough that they happen."""
    call = st.sampled_from([None, "acquire", "append", "get_session", "read", "release", "renew"])
    return st.lists(st.builds(StoreFails, st.integers(1, 12), call, st.booleans()), max_size=2).map(tuple)
