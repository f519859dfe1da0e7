"""What a turn may be called: its id is in each of its events, and its meta in its first."""

from contextlib import suppress

import pytest
from trio.testing import MockClock, wait_all_tasks_blocked

import triologue as tri
from triologue.messages import TurnEnded, UserBody, UserMessage, user_message
from triologue.stores import MemoryStore
from triologue.testing import ScriptedAgent, Wait


@pytest.mark.parametrize(
    ("more", "message"),
    [
        ({"id": "x" * 257}, "has 257 characters; a turn's id has at most 256"),
        ({"meta": {str(n): "x" for n in range(65)}}, "at most 64 entries, of 16384 characters in all"),
        ({"meta": {"name": "x" * 16_384}}, "at most 64 entries, of 16384 characters in all"),
    ],
    ids=["id", "many", "long"],
)
async def test_labels_that_are_too_long_are_refused(
    more: dict[str, object], message: str, autojump_clock: MockClock
) -> None:
    async with tri.open_manager(ScriptedAgent()) as manager:
        with pytest.raises(tri.InvalidOption, match=message):
            await manager.session("k").send("hi", **more)  # type: ignore[arg-type]  # one of two kinds
        assert manager.sessions() == []


async def test_the_uuid_of_a_prompt_is_an_id_too(autojump_clock: MockClock) -> None:
    prompt = user_message("hi")
    prompt.uuid = "x" * 257
    async with tri.open_manager(ScriptedAgent()) as manager:
        with pytest.raises(tri.InvalidOption, match="has 257 characters"):
            await manager.session("k").send(prompt)


async def test_labels_as_long_as_may_be_are_taken(autojump_clock: MockClock) -> None:
    async with tri.open_manager(ScriptedAgent()) as manager:
        turn = await manager.session("k").send("hi", id="x" * 256, meta={"name": "x" * 16_380})
        assert (await turn.wait()).kind == "answered"


@pytest.mark.parametrize("is_kept", [False, True], ids=["memory", "store"])
@pytest.mark.parametrize("state", ["waiting", "running"])
async def test_the_id_of_a_turn_that_got_it_by_itself_gives_that_turn_too(
    state: str, is_kept: bool, autojump_clock: MockClock
) -> None:
    agent = ScriptedAgent()
    agent.on("long", Wait(300))
    async with tri.open_manager(agent, store=MemoryStore() if is_kept else None) as manager:
        session = manager.session("k")
        if state == "waiting":
            await session.send("long", id="1")
        turn = await session.send("long")
        await wait_all_tasks_blocked()
        assert turn.state == state
        assert await session.send("long", id=turn.id) is turn
        with pytest.raises(tri.InvalidOption, match="belongs to another prompt"):
            await session.send("short", id=turn.id)
        assert (await turn.wait()).kind == "answered"
        ends = [event.turn_id for event in await session.read() if isinstance(event.message, TurnEnded)]
        assert ends.count(turn.id) == 1
        assert len(agent.prompts) == len(ends)


async def test_a_prompt_that_is_refused_where_it_is_sent_does_not_run_under_its_id(autojump_clock: MockClock) -> None:
    agent, turns = ScriptedAgent(), list[tri.Turn]()
    async with tri.open_manager(agent) as manager:
        with suppress(UnicodeEncodeError, tri.InvalidOption):
            turns.append(await manager.session("k").send(UserMessage(message=UserBody(content="\ud800")), id="1"))
        await wait_all_tasks_blocked()
        assert len(agent.prompts) == len(turns)
