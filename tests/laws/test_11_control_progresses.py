"""Law 11: control traffic progresses with no one reading data."""

from contextlib import AsyncExitStack
from typing import Any

import pytest
import trio
from hypothesis import strategies as st
from msgspec import Struct

import triologue as tri
from tests.support.laws import Law, Wild, play
from triologue.actors import Actor
from triologue.actors.log import CURSOR_BATCHES, Cursor
from triologue.messages import Message
from triologue.testing import DEADLINES, AgentTurn, ScriptedAgent, UseTool, Wait, speech
from triologue.wire import encode

LAW = Law(
    11,
    "Control traffic progresses with no one reading data.",
    Wild(
        "claude-agent-sdk-python#425",
        "the reader blocked on a full buffer of messages, so that no control reply came through any more",
        "https://github.com/anthropics/claude-agent-sdk-python/issues/425",
    ),
)

PARTIAL = encode(speech.partial("word "))
APART = 10.0
"""Seconds between two floods."""


class Flood(Struct, frozen=True):
    """So many partials in reads of so many each; then these controls."""

    partials: int
    per_read: int
    controls: tuple[str, ...]


class Case(Struct, frozen=True):
    """What the agent says, which readers there are that do not read, and whether the turn is stopped at the end."""

    floods: tuple[Flood, ...]
    unread: frozenset[str]
    is_stopped: bool
    seed: int


FLOODS = st.builds(
    Flood,
    st.sampled_from([100, 100, 300, 300, 1_000, 1_000, 1_000, 1_000, 10_000]),
    st.sampled_from([3, 50, 1_000]),
    st.lists(st.sampled_from(["model", "mode", "status", "permission"]), min_size=1, max_size=3).map(tuple),
)
CASES = st.builds(
    Case,
    st.lists(FLOODS, min_size=1, max_size=2).map(tuple),
    st.frozensets(st.sampled_from(["subscription", "turn"])),
    is_stopped=st.booleans(),
    seed=st.integers(0, 2**16),
)


@LAW.holds(CASES)
def test_control_progresses_with_no_one_reading(case: Case) -> None:
    """Up to 20,000 partials that nobody reads: settings, status, permissions and an interrupt settle at once all the same."""
    play(Unread(case), seed=case.seed)


@LAW.broken_by
def a_reader_that_does_not_read_is_waited_for(patch: pytest.MonkeyPatch) -> None:
    """What the agent says is kept back while a subscriber is far behind, as by a queue that is full."""
    hear = Actor.hear

    def hear_when_there_is_room(self: Actor, generation: int, batch: list[Message]) -> None:
        if all(
            len(each._came) < CURSOR_BATCHES for each in self.conversation.log._listeners if isinstance(each, Cursor)
        ):
            hear(self, generation, batch)

    patch.setattr(Actor, "hear", hear_when_there_is_room)


def flood(partials: int, per_read: int) -> Any:
    """The step of a script that says so much."""

    async def write(turn: AgentTurn) -> None:
        for _ in range(partials // per_read + 1):
            turn.voice.write(PARTIAL * per_read)

    return write


class Unread:
    """A session whose agent talks, and nobody listens."""

    def __init__(self, case: Case) -> None:
        self.case = case
        self.agent = ScriptedAgent()
        self.agent.on("talk", *self.script())
        self.asked: list[float] = []
        self.wrong: list[str] = []

    def script(self) -> list[Any]:
        script: list[Any] = []
        for each in self.case.floods:
            script.append(flood(each.partials, each.per_read))
            if "permission" in each.controls:
                script.append(UseTool("Bash", asks=True))
            script.append(Wait(APART))
        return script

    async def allow(self, request: tri.PermissionRequest) -> None:
        self.asked.append(trio.current_time())
        await request.allow()

    async def main(self) -> None:
        options, case = tri.Options(include_partial_messages=True), self.case
        async with (
            tri.open_manager(self.agent, options=options, deadlines=DEADLINES, on_permission=self.allow) as manager,
            AsyncExitStack() as unread,
        ):
            session = manager.session("s")
            if "subscription" in case.unread:
                await unread.enter_async_context(session.subscribe())
            if "turn" in case.unread:
                turn = await unread.enter_async_context(session.turn("talk"))
            else:
                turn = await session.send("talk")
            begun = trio.current_time()
            for number, each in enumerate(case.floods):
                await trio.sleep_until(begun + APART * (number + 0.5))
                for control in each.controls:
                    await self.control(session, control)
            if case.is_stopped:
                await self.control(session, "stop")
            outcome = await turn.wait()
        took = trio.current_time() - begun - APART * (len(case.floods) - 0.5 * case.is_stopped)
        asks = [begun + APART * number for number, each in enumerate(case.floods) if "permission" in each.controls]
        if self.asked != asks or took or outcome.kind != ("interrupted" if case.is_stopped else "answered"):
            self.wrong.append(f"asked at {self.asked} and not {asks}; {outcome.kind}, {took:g} s late")

    async def control(self, session: tri.Session, control: str) -> None:
        """It is answered before any time has passed."""
        begun = trio.current_time()
        try:
            match control:
                case "model":
                    await session.set_model("m")
                case "mode":
                    await session.set_permission_mode("plan")
                case "status":
                    await session.get_mcp_status()
                case "stop":
                    await session.interrupt()
                case _:
                    pass
        except tri.TriologueError as error:
            self.wrong.append(f"{control}: {error!r}")
        if trio.current_time() != begun:
            self.wrong.append(f"{control} took {trio.current_time() - begun:g} s")
