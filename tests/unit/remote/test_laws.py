"""Whatever breaks and whenever: a prompt runs once, and a view is the log, or says `Gap`."""

from collections.abc import AsyncIterator, Sequence
from typing import NamedTuple

import trio
from hypothesis import given, strategies as st

from tests.unit.remote.model_gateway import ModelGateway, open_model, said
from triologue.errors import StoreError
from triologue.messages import Event, Gap, Message, StreamEvent
from triologue.remote.session import RemoteSession
from triologue.testing import run_virtual

KEYS = ("a", "b")
KEEPS_ALL, KEEPS_LITTLE = 10_000, 3


class Step(NamedTuple):
    """Somebody sends a prompt, and somebody begins to read; then time passes."""

    key: str
    after: int | None
    patience: float
    """The prompt's caller is cancelled after so many seconds."""
    pause: float


steps = st.builds(
    Step,
    key=st.sampled_from(KEYS),
    after=st.sampled_from([0, 0, None, 2]),
    patience=st.sampled_from([1e9, 1e9, 0.0, 0.05, 0.4]),
    pause=st.sampled_from([0.0, 0.05, 0.3, 2.0]),
)


class View:
    """What one reader saw."""

    def __init__(self, key: str, after: int | None) -> None:
        self.key, self.after = key, after
        self.events: list[Event] = []
        self.is_refused = False

    async def read(self, session: RemoteSession) -> None:
        try:
            async with session.subscribe(self.after) as events:
                await self._read_on(events)
        except StoreError:  # the log is not so long yet
            self.is_refused = True

    async def _read_on(self, events: AsyncIterator[Event]) -> None:
        async for event in events:
            self.events.append(event)

    def check(self, log: Sequence[Event]) -> None:
        """Each record once, in order and as the log has it; what is missing is in a gap."""
        records = [event for event in self.events if not isinstance(event.message, StreamEvent)]
        position = self.after
        for event in records:
            gap = event.message
            first = gap.first if isinstance(gap, Gap) else event.seq
            assert first is not None
            assert position is None or first == position + 1
            assert isinstance(gap, Gap) or event == log[first - 1]
            position = gap.last if isinstance(gap, Gap) else first
        assert position == (len(log) if records or self.after is not None else None)

    def has_gap(self) -> bool:
        return any(isinstance(event.message, Gap) for event in self.events)


class Caller:
    """One prompt, and what came of it."""

    def __init__(self, name: str, patience: float) -> None:
        self.name, self.patience = name, patience
        self.messages: list[Message] = []
        self.outcome: str | None = None

    async def run(self, session: RemoteSession) -> None:
        with trio.move_on_after(self.patience):
            async with session.turn(self.name, id=self.name) as turn:
                self.messages = [message async for message in turn if not isinstance(message, StreamEvent)]
                self.outcome = (await turn.wait()).kind

    def check(self, gateway: ModelGateway, *, is_whole: bool) -> None:
        expected = [message for message in said(self.name) if not isinstance(message, StreamEvent)]
        assert gateway.begun[self.name] <= 1
        if self.outcome is None:
            assert self.patience < 1e9
            return
        assert (self.outcome, gateway.begun[self.name]) == ("answered", 1)
        shown = [message for message in self.messages if not isinstance(message, Gap)]
        if len(shown) == len(self.messages):
            assert shown == expected
        else:
            assert not is_whole
            assert [message for message in expected if message in shown] == shown


@given(
    seed=st.integers(0, 2**16),
    breaks=st.lists(st.integers(0, 25), max_size=12),
    keep=st.sampled_from([KEEPS_LITTLE, KEEPS_ALL]),
    chunk=st.integers(1, 20),
    program=st.lists(steps, min_size=1, max_size=6),
)
def test_random_disconnects(seed: int, breaks: list[int], keep: int, chunk: int, program: list[Step]) -> None:
    gateway = ModelGateway(breaks, keep=keep, chunk=chunk)
    callers = [Caller(f"p{number}", step.patience) for number, step in enumerate(program)]
    views = [View(step.key, step.after) for step in program]

    async def story() -> None:
        async with open_model(gateway) as manager, trio.open_nursery() as readers:
            async with trio.open_nursery() as nursery:
                for caller, view, step in zip(callers, views, program, strict=True):
                    session = manager.session(step.key)
                    nursery.start_soon(caller.run, session)
                    readers.start_soon(view.read, session)
                    await trio.sleep(step.pause)
            await trio.sleep(600)  # longer than all attempts to connect take
            readers.cancel_scope.cancel()

    run_virtual(story, seed=seed, max_passes=50_000)
    assert not any(session.waiting for session in gateway.sessions.values())
    for caller in callers:
        caller.check(gateway, is_whole=keep == KEEPS_ALL)
    for view in views:
        if not view.is_refused:
            view.check(gateway.session(view.key).log)
            assert keep == KEEPS_LITTLE or not view.has_gap()
