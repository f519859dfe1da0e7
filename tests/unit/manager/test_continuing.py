"""`continue_conversation`: what an agent would go on with is known before it starts."""

from collections.abc import Callable, Sequence
from contextlib import AbstractAsyncContextManager
from typing import Any
from uuid import uuid4

import pytest
import trio
from trio.testing import MockClock, wait_all_tasks_blocked

import triologue as tri
from tests.support.other_agent import OtherAgent
from triologue.engine import Transcripts
from triologue.options import IDENTITY


class Choosing(OtherAgent):
    """It says in a way of its own what it would go on with."""

    def __init__(self, *answers: Any, tools: Sequence[Callable[..., Any]] = ()) -> None:
        super().__init__(tri.Embedded(transcripts=Transcripts(), tools=tools))
        self.answers = list(answers)
        """What it says, in turn; then it is silent."""
        self.started: list[dict[str, Any]] = []

    async def latest(self, options: tri.Options) -> Any:
        await trio.lowlevel.checkpoint()
        return self.answers.pop(0) if self.answers else await trio.sleep_forever()

    def connect(
        self, options: tri.Options, *, sink: tri.Sink, carrier: tri.Carrier
    ) -> AbstractAsyncContextManager[tri.Connection]:
        self.started.append({name: value for name, value in options.named().items() if name in IDENTITY})
        return self._agent.connect(options, sink=sink, carrier=carrier)


CONTINUE = tri.Options(continue_conversation=True)


async def test_what_an_agent_is_to_continue_is_resumed_by_its_id() -> None:
    agent = Choosing(None)
    async with tri.open_manager(agent) as manager:
        first, second = manager.session("first", options=CONTINUE), manager.session("second", options=CONTINUE)
        await first.ask("Remember: I like tea")
        agent.answers += [first.session_id] * 2
        with pytest.raises(tri.TurnFailed) as failed:
            await second.ask("What do I like?")
        assert isinstance(failed.value.__cause__, tri.SessionIdInUse)  # two agents would tear it
        await first.close()
        assert (await second.ask("What do I like?")).result == "You like tea."
        assert [first.resume_outcome, second.resume_outcome] == ["fresh", "resumed"]
        assert agent.started == [{}, {"resume": first.session_id}]


async def test_sessions_that_begin_together_with_nothing_to_continue_do_not_meet_in_one_conversation() -> None:
    agent = Choosing(None, None, None)
    chosen = str(uuid4())
    options = [CONTINUE, CONTINUE, tri.Options(continue_conversation=True, fork_session=True, session_id=chosen)]
    async with tri.open_manager(agent, limits=tri.Limits(max_starting=1)) as manager:
        sessions = [manager.session(f"s{number}", options=given) for number, given in enumerate(options)]
        turns = [await session.send("How many messages?") for session in sessions]
        answers = {(await turn.wait()).kind for turn in turns}
        assert (answers, {session.resume_outcome for session in sessions}) == ({"answered"}, {"fresh"})
        assert len({session.session_id for session in sessions}) == 3
        assert agent.started == [{}, {}, {"session_id": chosen}]


async def test_a_session_that_waits_for_room_asks_then_what_is_the_latest() -> None:
    go_on = trio.Event()

    async def hold() -> str:
        await go_on.wait()
        return "held"

    agent = Choosing(None, tools=[hold])
    async with tri.open_manager(agent, limits=tri.Limits(max_live=1)) as manager:
        await manager.session("busy").send("Call hold()")
        await wait_all_tasks_blocked()
        late = await manager.session("late", options=CONTINUE).send("hello")
        await wait_all_tasks_blocked()
        assert agent.answers == [None]
        go_on.set()
        assert (await late.wait()).kind == "answered"
        assert agent.answers == []


@pytest.mark.parametrize("answer", [7, ""])
async def test_what_is_no_id_is_not_continued(answer: Any) -> None:
    agent = Choosing(answer)
    async with tri.open_manager(agent) as manager:
        with pytest.raises(tri.TurnFailed) as failed:
            await manager.session("k", options=CONTINUE).ask("hello")
    assert str(failed.value.__cause__) == f"the agent's latest() gave {answer!r}, which is no session id"
    assert agent.started == []


async def test_an_agent_that_cannot_resume_is_not_given_what_it_would_continue() -> None:
    class NoResume(Choosing):
        def check(self, options: tri.Options) -> None:
            if options.resume is not None:
                raise tri.UnsupportedOption(self.name, "resume", options.resume)

    agent = NoResume(str(uuid4()))
    async with tri.open_manager(agent) as manager:
        session = manager.session("k", options=CONTINUE)
        with pytest.raises(tri.TurnFailed) as failed:
            await session.ask("hello")
        assert isinstance(failed.value.__cause__, tri.SessionNotFound)
        assert (session.resume_outcome, agent.started) == ("missing", [])


async def test_an_agent_that_does_not_say_what_it_is_to_continue_holds_up_no_session_for_ever(
    autojump_clock: MockClock,
) -> None:
    agent = Choosing()
    async with tri.open_manager(agent) as manager:
        session = manager.session("k", options=CONTINUE)
        turn = await session.send("hello")
        await wait_all_tasks_blocked()
        assert manager.explain("k").waits_for == "the history that the agent goes on with to be found"
        outcome = await turn.wait()
        assert outcome.error is not None
        assert (
            str(outcome.error.__cause__) == "the agent did not say within 30 s which conversation it would go on with"
        )
        assert (session.resume_outcome, agent.started) == ("transient", [])


async def test_a_drain_lets_a_turn_end_whose_history_is_still_looked_for(autojump_clock: MockClock) -> None:
    class Slow(Choosing):
        async def latest(self, options: tri.Options) -> Any:
            await trio.sleep(5)
            return await super().latest(options)

    async with tri.open_manager(Slow(None)) as manager:
        turn = await manager.session("k", options=CONTINUE).send("Remember: I like tea")
        await wait_all_tasks_blocked()
    assert turn.outcome is not None
    assert (turn.outcome.kind, trio.current_time()) == ("answered", 5)
