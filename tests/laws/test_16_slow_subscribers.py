"""Law 16: a slow subscriber slows no one; its gap is marked."""

from collections.abc import Iterator

import pytest
import trio
from hypothesis import example, strategies as st
from msgspec import Struct

import triologue as tri
from tests.support.laws import Law, Wild, play
from triologue.actors.late import Late
from triologue.actors.records import Batch, Records
from triologue.messages import AssistantMessage, Event, Gap, StreamEvent, TurnEnded, text
from triologue.testing import AgentTurn, ScriptedAgent, Step, Wait, speech

LAW = Law(
    16,
    "A slow subscriber slows no one; its gap is marked.",
    Wild("CowAgent#3014", "events for a slow subscriber were dropped without a word"),
)

APART = 1.0
"""Seconds between two bursts."""


class Burst(Struct, frozen=True):
    """What the agent says at once: so many texts in so many partials each; the second half of them whole too, or not."""

    reads: int
    partials: int
    is_whole: bool
    size: int


class Slow(Struct, frozen=True):
    """A subscriber that begins at one burst, and reads so many events whenever so many bursts have passed."""

    since: int
    every: int
    events: int
    after: int | None


class Case(Struct, frozen=True):
    """A run."""

    bursts: tuple[Burst, ...]
    slow: tuple[Slow, ...]
    log: int
    log_bytes: int
    held_bytes: int
    seed: int


BURSTS = st.builds(
    Burst, st.integers(1, 14), st.sampled_from([0, 1, 3, 3]), st.booleans(), st.sampled_from([1, 100, 2000])
)
SLOW = st.builds(
    Slow, st.integers(0, 4), st.integers(1, 9), st.sampled_from([0, 1, 10, 1000, 1000]), st.none() | st.integers(0, 60)
)
CASES = st.builds(
    Case,
    st.lists(BURSTS, min_size=1, max_size=8).map(tuple),
    st.lists(SLOW, min_size=1, max_size=3).map(tuple),
    log=st.sampled_from([1, 5, 50, 1000]),
    log_bytes=st.sampled_from([500, 5_000, 10**6]),
    held_bytes=st.sampled_from([1, 1_000, 10_000, 10**6]),
    seed=st.integers(0, 2**16),
)


def say(burst: Burst) -> Step:
    async def write(turn: AgentTurn) -> None:
        for number in range(burst.reads):
            words = [f"{number} {part} {'x' * burst.size} " for part in range(burst.partials)]
            for word in words:
                turn.say(speech.partial(word))
            if burst.is_whole or number < burst.reads // 2 or not words:
                turn.say(speech.said("".join(words) or f"{number} {'y' * burst.size}"))

    return write


class Reader:
    """What a subscriber saw, and the text in pieces that a screen shows which is fed with it."""

    def __init__(self, begin: int, *, sure_after: int = 0) -> None:
        self.begin = begin
        self.sure_after = sure_after
        """The `seq` of the last record before it began, where text in pieces was open then, which nobody gives again."""
        self.events: list[Event] = []
        self.open = ""
        """Text in pieces whose whole has not come."""
        self.is_sure = not sure_after
        """Nothing is missing of the text that is open."""

    def saw(self, event: Event) -> None:
        self.events.append(event)
        match event.message:
            case StreamEvent() as partial:
                self.open += text(partial)
            case AssistantMessage() | TurnEnded():
                self.open, self.is_sure = "", (event.seq or 0) > self.sure_after
            case Gap():
                self.open, self.is_sure = "", False
            case _:
                pass

    def complaints(self, log: list[Event]) -> Iterator[str]:
        """Each record is in its place, or there is a gap where it is missing; nothing comes twice, and nothing else."""
        expected = self.begin + 1
        for event in self.events:
            if isinstance(event.message, Gap):
                if not event.message.last >= event.message.first == expected:
                    yield f"{event.message} where {expected} is next"
                expected = event.message.last + 1
            elif event.seq is not None:
                if event.seq != expected or event != log[event.seq - 1]:
                    yield f"{event} where {expected} is next"
                expected = event.seq + 1
        if expected != len(log) + 1:
            yield f"it ended before {expected}, and the log has {len(log)}"


@example(
    Case(
        bursts=(Burst(2, 1, is_whole=False, size=1), Burst(1, 1, is_whole=False, size=1)),
        slow=(Slow(since=0, every=1, events=10, after=0),),
        log=1,
        log_bytes=500,
        held_bytes=1,
        seed=0,
    )
)
@LAW.holds(CASES)
def test_a_slow_subscriber_slows_no_one(case: Case) -> None:
    """Subscribers that read late, seldom or not at all, under small limits: turns take as long as the agent does, and each
    subscriber has seen the whole log, or a `Gap` exactly where it has not; its open text is what was said."""
    play(Audience(case), seed=case.seed)


@LAW.broken_by
def what_is_gone_is_not_told(patch: pytest.MonkeyPatch) -> None:
    """A reader is given what is kept, without a word about what is not."""

    def after(self: Records, seq: int, turn_id: str | None = None) -> list[Batch]:
        return [run.since(seq + 1) for run in self._runs if run.last > seq and turn_id in (None, run.turn_id)]

    patch.setattr(Records, "after", after)


@LAW.broken_by
def partials_of_a_slow_reader_are_lost(patch: pytest.MonkeyPatch) -> None:
    """Text in pieces that came while a reader was behind is not added up."""
    patch.setattr(Late, "take", lambda _: [])


class Audience:
    """A session with one quick reader, and slow ones."""

    def __init__(self, case: Case) -> None:
        self.case = case
        self.quick = Reader(0)
        self.readers: list[Reader] = []
        self.is_over = trio.Event()
        self.wrong: list[str] = []

    async def main(self) -> None:
        case = self.case
        agent = ScriptedAgent()
        agent.on("talk", *(step for burst in case.bursts for step in (say(burst), Wait(APART))))
        limits = tri.Limits(log=case.log, log_bytes=case.log_bytes, held_bytes=case.held_bytes)
        options = tri.Options(include_partial_messages=True)
        async with (
            trio.open_nursery() as nursery,
            tri.open_manager(agent, options=options, limits=limits) as manager,
        ):
            session = manager.session("s")
            await nursery.start(self.listen, session)
            for slow in case.slow:
                nursery.start_soon(self.dawdle, session, slow)
            begun = trio.current_time()
            await session.ask("talk")
            late = trio.current_time() - begun - APART * len(case.bursts)
            if late:
                self.wrong.append(f"the turn ended {late:g} s late")
            self.is_over.set()
        log = [event for event in self.quick.events if event.seq is not None]
        for reader in (self.quick, *self.readers):
            self.wrong += reader.complaints(log)

    async def listen(self, session: tri.Session, task_status: trio.TaskStatus[None]) -> None:
        """It is never behind, so it sees all."""
        async with session.subscribe(after=0) as events:
            task_status.started()
            async for event in events:
                self.quick.saw(event)

    async def dawdle(self, session: tri.Session, slow: Slow) -> None:
        """Read now and then, and the rest at the end."""
        await trio.sleep(APART * (slow.since + 0.5))
        quick = self.quick
        last = max((event.seq or 0 for event in quick.events), default=0)
        reader = Reader(last if slow.after is None else min(slow.after, last), sure_after=last if quick.open else 0)
        self.readers.append(reader)
        async with session.subscribe(after=slow.after) as events:
            while not self.is_over.is_set():
                with trio.move_on_after(APART * slow.every):
                    await self.is_over.wait()
                for _ in range(slow.events):
                    with trio.move_on_after(APART / 4) as patience:
                        async for event in events:
                            reader.saw(event)
                            break
                    if patience.cancelled_caught:
                        if reader.is_sure and reader.open != quick.open:
                            self.wrong.append(f"{reader.open!r} is open, and {quick.open!r} was said")
                        break
            async for event in events:
                reader.saw(event)
