"""Messages that come while another one is worked on, as a bot's author meets them."""

import pytest
import trio
from trio.testing import MockClock, wait_all_tasks_blocked

import triologue as tri
from tests.unit.engine.stage import Scripted, said
from tests.unit.manager.stage import answer, scripted
from triologue.engine import Transcripts
from triologue.messages import ToolUseBlock
from triologue.options import Limits


async def test_the_policy_of_a_message_goes_before_the_sessions_and_that_before_the_managers(
    autojump_clock: MockClock,
) -> None:
    async with scripted(overlap="reject") as (_, _, manager):
        strict, patient = manager.session("a"), manager.session("b", overlap="queue")
        for session in (strict, patient):
            await session.send("wait 5")
        with pytest.raises(tri.TurnRejected) as caught:
            await strict.send("more")
        assert (caught.value.reason, caught.value.key) == ("busy", "a")
        assert str(caught.value).startswith("a turn runs or waits in the session 'a', and overlap='reject' takes no")
        assert (await patient.ask("more")).result == "2. more"
        await patient.send("wait 5")
        with pytest.raises(tri.TurnRejected):
            await patient.send("more", overlap="reject")


async def test_what_is_no_policy_is_refused_where_it_is_named() -> None:
    with pytest.raises(tri.InvalidOption, match="overlap='later' is none of queue, reject, interrupt, steer, collect"):
        async with scripted(overlap="later"):
            pass
    async with scripted() as (session, _, manager):
        with pytest.raises(tri.InvalidOption):
            manager.session("a", overlap="later")  # type: ignore[arg-type]
        with pytest.raises(tri.InvalidOption):
            await session.send("x", overlap="later")  # type: ignore[arg-type]
        assert manager.sessions() == []


async def test_interrupt_stops_what_runs_and_goes_first(autojump_clock: MockClock) -> None:
    async with scripted() as (session, _, _):
        running, waiting = await session.send("silent"), await session.send("b")
        await wait_all_tasks_blocked()
        assert (await session.ask("c", overlap="interrupt")).result == "2. c"
        assert ((await running.wait()).kind, (await waiting.wait()).unwrap().result) == ("interrupted", "3. b")


async def test_collect_asks_once_and_every_caller_has_the_answer(autojump_clock: MockClock) -> None:
    async with scripted(overlap="collect") as (session, agent, _):
        answers: dict[str, str | None] = {}

        async def ask(text: str) -> None:
            answers[text] = await answer(session, text)

        async with trio.open_nursery() as nursery:
            for text in ("wait 5", "one", "two", "three"):
                nursery.start_soon(ask, text)
                await wait_all_tasks_blocked()
        assert answers == {
            "wait 5": "1. wait 5",
            "one": "2. one\n\ntwo\n\nthree",
            "two": "2. one\n\ntwo\n\nthree",
            "three": "2. one\n\ntwo\n\nthree",
        }
        assert len(agent.links) == 1


async def test_who_asked_for_a_merged_turn_can_be_cancelled_until_it_is_merged(autojump_clock: MockClock) -> None:
    async with scripted(overlap="collect") as (session, _, _):
        await session.send("wait 5", overlap="queue")
        oldest = await session.send("one")
        with trio.move_on_after(1) as scope:
            await session.ask("two")
        assert scope.cancelled_caught
        assert (await oldest.wait()).unwrap().result == "2. one"


async def test_the_others_are_answered_where_the_oldest_of_them_is_cancelled(autojump_clock: MockClock) -> None:
    async with scripted(overlap="collect") as (session, _, _):
        await session.send("wait 5")
        await wait_all_tasks_blocked()
        oldest, second, third = [await session.send(text) for text in ("one", "two", "three")]
        assert [turn.position for turn in (oldest, second, third)] == [0, 1, 2]
        assert (await oldest.cancel()).kind == "cancelled"
        assert (await second.wait()).unwrap().result == "2. two\n\nthree"
        assert ((await third.wait()).kind, (await third.wait()).into) == ("merged", second.id)


async def test_a_full_mailbox_tells_its_numbers_and_counts_what_was_merged(autojump_clock: MockClock) -> None:
    async with scripted(limits=Limits(mailbox=2)) as (session, _, _):
        await session.send("wait 5")
        await wait_all_tasks_blocked()
        for text in ("one", "two"):
            await session.send(text, overlap="collect")
        with pytest.raises(tri.MailboxFull, match="2 prompts wait in the session 'k' already, and its limit is 2"):
            await session.send("three")


async def work() -> str:
    """Work for a while."""
    await trio.sleep(10)
    return "done"


async def test_a_steer_goes_into_the_turn_that_runs_and_who_asks_has_its_result(autojump_clock: MockClock) -> None:
    agent = tri.Embedded(
        model=Scripted(said(ToolUseBlock(id="t1", name="work", input={})), said("as you like")),
        transcripts=Transcripts(),
        tools=[work],
    )
    async with tri.open_manager(agent, overlap="steer") as manager:
        session = manager.session("k")
        turn = await session.send("begin")
        await trio.sleep(5)
        steer = await session.send("and be brief")
        result = await session.ask("please")
        assert result is (await turn.wait()).unwrap()
        assert (await steer.wait()).kind == "merged"
        assert (await steer.wait()).into == turn.id
