"""Random programs of calls to a session store."""

import itertools
from collections.abc import Callable, Sequence
from contextlib import AbstractAsyncContextManager

import trio
from hypothesis import HealthCheck, given, settings, strategies as st
from msgspec import UNSET

from triologue.ports import SessionStore
from triologue.testing.store_model import Acquire, Call, Delete, Name, Release, Renew, StoreModel, Write

KEYS = st.sampled_from(["a", "ab", "b"])
RECENT = st.integers(0, 2)
"""How many leases ago."""


def store_calls() -> st.SearchStrategy[Call]:
    """One call: few keys, owners and ids, so that they meet."""
    turn = st.sampled_from(["t1", "t2", None])
    write = st.builds(
        Write,
        lease=RECENT,
        skip=st.sampled_from([0, 0, 0, 0, -1, -2, 1]),
        turns=st.lists(turn, max_size=4).map(tuple),
        session_id=st.sampled_from(["id", "other", None]),
        entry=st.sampled_from([None, None, "1", "2"]),
        is_other=st.sampled_from([False, False, False, True]),
    )
    acquire = st.builds(Acquire, key=KEYS, owner=st.sampled_from(["me", "you"]), is_held=st.booleans())
    return st.one_of(
        write,
        write,
        acquire,
        st.builds(Renew, count=st.integers(1, 4), is_held=st.booleans()),
        st.builds(Release, lease=RECENT),
        st.builds(
            Name, key=KEYS, title=st.sampled_from(["title", None, UNSET]), tags=st.sampled_from([(), ("x", "y"), UNSET])
        ),
        st.builds(Delete, key=KEYS),
    )


@st.composite
def store_programs(draw: st.DrawFn) -> list[Call]:
    """A program that begins with a session that is held."""
    return [Acquire(key="a", owner="me", is_held=True), *draw(st.lists(store_calls(), min_size=1, max_size=25))]


def check_programs(open_store: Callable[[str], AbstractAsyncContextManager[SessionStore]], examples: int) -> None:
    """Run so many programs, each on an empty store of its own.

    Raises:
        AssertionError: the store did something else than the model.
    """
    places = itertools.count()

    async def run(program: Sequence[Call]) -> None:
        async with open_store(f"program-{next(places)}") as store:
            model = StoreModel(store)
            for call in program:
                await model.make(call)
            await model.compare()

    @settings(max_examples=examples, deadline=None, suppress_health_check=[HealthCheck.too_slow])
    @given(store_programs())
    def check(program: list[Call]) -> None:
        trio.run(run, program)

    check()
