"""Tools and callbacks that wait for sessions: what could never end is refused, and nothing else is."""

from collections.abc import AsyncGenerator, Awaitable, Callable
from contextlib import asynccontextmanager
from functools import partial

import pytest
import trio
import trio.testing
from trio.testing import MockClock

import triologue as tri
from tests.unit.engine.stage import said
from triologue.engine import Transcripts
from triologue.messages import ToolUseBlock


@asynccontextmanager
async def acting(
    limits: tri.Limits | None = None, **acts: Callable[[tri.SessionManager], Awaitable[str]]
) -> AsyncGenerator[tri.SessionManager]:
    """Sessions by these names, whose prompts call a tool that does this; every other one answers at once."""
    opened: list[tri.SessionManager] = []

    async def do(name: str) -> str:
        """Do it."""
        try:
            return await acts[name](opened[0])
        except tri.WouldDeadlock as error:
            return f"WouldDeadlock: {error}"

    class Model:
        name = "acting"

        async def reply(self, request: tri.ModelRequest, emit: Callable[[str], None]) -> tri.ModelReply:
            await trio.lowlevel.checkpoint()
            last = request.messages[-1]
            if "tool_result" in str(last):
                return said(str(last))
            name = next((each for each in acts if f"be {each}" in str(last)), None)
            return said(ToolUseBlock(id=f"t{name}", name="do", input={"name": name})) if name else said("hello")

    agent = tri.Embedded(model=Model(), transcripts=Transcripts(), tools=[do])
    async with tri.open_manager(agent, limits=limits) as manager:
        opened.append(manager)
        yield manager


async def ask(key: str, prompt: str, manager: tri.SessionManager) -> str:
    return (await manager.session(key).ask(prompt)).result or ""


async def said_by(manager: tri.SessionManager, key: str) -> str:
    with trio.fail_after(60):
        said = await ask(key, f"be {key}", manager)
        return said.replace("\\", "")  # a text in a text in a text


async def iterate(manager: tri.SessionManager) -> str:
    turn = await manager.session("a").send("hello")
    return "".join([tri.text(message) async for message in turn])


async def scoped(manager: tri.SessionManager) -> str:
    async with manager.session("a").turn("hello") as turn:
        return str(await turn.wait())


async def hibernate(manager: tri.SessionManager) -> str:
    await manager.session("a").hibernate()
    return "hibernated"


async def wait(manager: tri.SessionManager) -> str:
    return str(await (await manager.session("a").send("hello")).wait())


@pytest.mark.parametrize("act", [partial(ask, "a", "hello"), iterate, scoped, hibernate, wait])
async def test_a_tool_that_waits_for_its_own_session_is_told_so(
    autojump_clock: MockClock, act: Callable[[tri.SessionManager], Awaitable[str]]
) -> None:
    async with acting(a=act) as manager:
        assert "callback of the session 'a' waits for a turn of that session" in await said_by(manager, "a")
        assert await ask("a", "hello", manager) == "hello"


async def test_a_command_that_is_refused_leaves_nothing_behind(autojump_clock: MockClock) -> None:
    async def command(manager: tri.SessionManager) -> str:
        return str(await manager.session("a").command("/cost"))

    async def work(manager: tri.SessionManager) -> str:
        await trio.sleep(5)
        return "done"

    async with acting(tri.Limits(mailbox=1), a=command, work=work) as manager:
        assert "WouldDeadlock" in await said_by(manager, "a")
        session = manager.session("a")
        for text in ("be work", "hello"):
            await session.send(text)
            await trio.testing.wait_all_tasks_blocked()
        with pytest.raises(tri.MailboxFull):
            await session.command("/cost")
        conversation = manager._directory.registry.get("a")
        assert conversation is not None
        assert (conversation.commands, len(conversation.turns)) == ((), 2)


async def test_so_is_one_that_does_it_through_another_session(autojump_clock: MockClock) -> None:
    async with acting(a=partial(ask, "b", "be b"), b=partial(ask, "a", "hello")) as manager:
        assert "by way of the session 'b'" not in await said_by(manager, "other")
        assert "WouldDeadlock" in await said_by(manager, "a")


async def test_two_that_ask_each_other_do_not_both_hang(autojump_clock: MockClock) -> None:
    async with acting(a=partial(ask, "b", "hello"), b=partial(ask, "a", "hello")) as manager:
        answers: list[str] = []

        async def say(key: str) -> None:
            answers.append(await said_by(manager, key))

        async with trio.open_nursery() as nursery:
            nursery.start_soon(say, "a")
            nursery.start_soon(say, "b")
        assert sum("WouldDeadlock" in each for each in answers) == 1, answers


async def test_a_tool_may_ask_another_session_and_send_to_its_own(autojump_clock: MockClock) -> None:
    async def send(manager: tri.SessionManager) -> str:
        await manager.session("b").send("hello")
        return await ask("c", "hello", manager)

    async with acting(b=send) as manager:
        assert "hello" in await said_by(manager, "b")


async def status(key: str, manager: tri.SessionManager) -> str:
    return str(await manager.session(key).get_mcp_status())


@pytest.mark.parametrize("act", [partial(ask, "b", "hello"), partial(status, "b")])
async def test_a_tool_that_waits_for_a_session_for_which_there_is_no_room_before_it_returns_is_told_so(
    autojump_clock: MockClock, act: Callable[[tri.SessionManager], Awaitable[str]]
) -> None:
    begun = trio.current_time()
    async with acting(tri.Limits(max_live=1), a=act) as manager:
        said = await said_by(manager, "a")
        assert "of the session 'a' waits for the session 'b', for whose agent there is no room before" in said
        assert "(1 of 1 agents live, all busy)" in said
        assert await ask("b", "hello", manager) == "hello"
        assert [each.waiting for each in manager.sessions()] == [0, 0]
    assert trio.current_time() == begun


async def test_a_setting_that_cannot_be_waited_for_counts_all_the_same(autojump_clock: MockClock) -> None:
    async def change(manager: tri.SessionManager) -> str:
        session = manager.session("b")
        await session.send("hello")
        await session.set_model("big")
        return "changed"

    async with acting(tri.Limits(max_live=1), a=change) as manager:
        assert "WouldDeadlock" in await said_by(manager, "a")
        assert await ask("b", "hello", manager) == "hello"
        conversation = manager._directory.registry.get("b")
        assert conversation is not None
        assert conversation.settings["model"] == "big"


async def leave_early(manager: tri.SessionManager) -> str:
    async with manager.session("b").turn("hello") as turn:
        pass
    return f"{turn.outcome}"


async def cancel(manager: tri.SessionManager) -> str:
    return str(await (await manager.session("b").send("hello")).cancel())


@pytest.mark.parametrize("act", [leave_early, cancel])
async def test_who_wants_the_turn_no_more_needs_no_room_for_that(
    autojump_clock: MockClock, act: Callable[[tri.SessionManager], Awaitable[str]]
) -> None:
    async with acting(tri.Limits(max_live=1), a=act) as manager:
        assert "kind='cancelled'" in await said_by(manager, "a")


async def test_it_is_who_waits_for_the_one_without_room_that_is_told(autojump_clock: MockClock) -> None:
    async with acting(tri.Limits(max_live=2), a=partial(ask, "b", "be b"), b=partial(ask, "c", "hello")) as manager:
        said = await said_by(manager, "a")
        assert "callback of the session 'b' waits for the session 'c'" in said
        assert "callback of the session 'a'" not in said


async def test_room_that_others_will_leave_is_waited_for(autojump_clock: MockClock) -> None:
    async def rest(manager: tri.SessionManager) -> str:
        await trio.sleep(5)
        return "rested"

    async with acting(tri.Limits(max_live=2), a=partial(ask, "b", "hello"), c=rest) as manager:
        async with trio.open_nursery() as nursery:
            nursery.start_soon(said_by, manager, "c")
            await trio.testing.wait_all_tasks_blocked()
            assert "hello" in await said_by(manager, "a")


async def test_a_circle_that_closes_while_one_waits_in_line_is_seen(autojump_clock: MockClock) -> None:
    async def later(manager: tri.SessionManager) -> str:
        await trio.sleep(5)
        return await ask("b", "hello", manager)

    async with acting(tri.Limits(max_live=1), a=later) as manager, trio.open_nursery() as nursery:
        nursery.start_soon(ask, "b", "hello", manager)  # from outside, and is answered once there is room
        assert "for whose agent there is no room" in await said_by(manager, "a")


async def test_each_group_has_room_of_its_own(autojump_clock: MockClock) -> None:
    limits = tri.Limits(max_live=5, max_live_per_group=1, group=lambda key: key[0])
    async with acting(limits, a1=partial(ask, "a2", "hello"), b1=partial(ask, "a3", "hello")) as manager:
        assert "no room" in await said_by(manager, "a1")
        assert "hello" in await said_by(manager, "b1")


async def test_a_task_of_the_programs_own_may_wait(autojump_clock: MockClock) -> None:
    async with trio.open_nursery() as nursery:
        later: list[str] = []

        async def follow_up(manager: tri.SessionManager) -> None:
            later.append(await ask("a", "hello", manager))

        async def act(manager: tri.SessionManager) -> str:
            nursery.start_soon(follow_up, manager)
            return "begun"

        async with acting(a=act) as manager:
            assert "begun" in await said_by(manager, "a")
            while not later:
                await trio.sleep(1)
    assert later == ["hello"]
