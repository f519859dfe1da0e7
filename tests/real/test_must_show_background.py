"""Claude Code begins turns by itself when a background task of it ends: they are events of nobody's turn, and no prompt is lost to them."""

import pytest
import trio

import triologue as tri
from tests.support.live import bash, open_live_manager, read_story
from tests.support.processes import processes_with
from tests.support.real_cli import CleanPlace
from tests.support.signpost import Signpost, open_signpost
from triologue.manager import Subscription

pytestmark = pytest.mark.real_cli

BASH = tri.Options(allowed_tools=["Bash"], include_partial_messages=True)


def begins_a_task(post: Signpost, when_it_ends: str) -> str:
    """The script of a turn that starts a background task, and of the turn that its end causes."""
    return bash(post.waiter, run_in_background=True) + f" [[say started]] [[end]] {when_it_ends}"


def said(events: list[tri.Event]) -> list[tuple[str | None, str]]:
    """Whose it was, and the text, for each whole message of the assistant and each result."""
    found: list[tuple[str | None, str]] = []
    for event in events:
        if isinstance(event.message, tri.AssistantMessage) and (text := tri.text(event.message)):
            found.append((event.turn_id, text))
        if isinstance(event.message, tri.ResultMessage):
            found.append((event.turn_id, f"result: {event.message.result}"))
    return found


async def read_until_text(events: Subscription, wanted: str) -> list[tri.Event]:
    """What was told up to the first result with this text."""
    seen: list[tri.Event] = []
    async for event in events:
        seen.append(event)
        if isinstance(event.message, tri.ResultMessage) and event.message.result == wanted:
            break
    return seen


@pytest.mark.slow
async def test_its_messages_are_nobodys(place: CleanPlace) -> None:
    async with open_signpost(place.cwd) as post, open_live_manager(place, BASH) as manager:
        session = manager.session("a")
        async with session.subscribe() as events:
            turn = await session.send(begins_a_task(post, "[[say noticed]]"))
            assert (await turn.wait()).unwrap().result == "started"
            await post.go()
            seen = await read_until_text(events, "noticed")
        assert said(seen) == [
            (turn.id, "started"),
            (turn.id, "result: started"),
            (None, "noticed"),
            (None, "result: noticed"),
        ]
        unasked = seen[-1].message
        assert isinstance(unasked, tri.ResultMessage)
        assert (unasked.origin or {})["kind"] == "task-notification"
        partials = {event.turn_id for event in seen if tri.text(event.message) == "noticed"}
        assert partials == {None}
        # The turn's own messages end with its own result.
        assert (await read_story(turn)).said == "started"
        assert (await session.ask("and now?")).result == f"echo[2]: {turn_prompt(place)} | and now?"


def turn_prompt(place: CleanPlace) -> str:
    return place.api.turns[0].prompts[0]


async def test_a_prompt_sent_while_it_runs_gets_its_own_result(place: CleanPlace) -> None:
    async with open_signpost(place.cwd) as post, open_live_manager(place, BASH) as manager:
        session = manager.session("a")
        async with session.subscribe() as events:
            first = await session.send(begins_a_task(post, "[[say noticed]] [[wait gate]] [[then  it]]"))
            await first.wait()
            await post.go()
            await place.api.wait_reached("gate")
            second = await session.send("[[say mine]]")
            third = await session.send("[[say also mine]]")
            assert (session.state, second.state, third.state) == ("running", "running", "waiting")
            place.api.release("gate")
            seen = await read_until_text(events, "also mine")
        assert said(seen) == [
            (first.id, "started"),
            (first.id, "result: started"),
            (None, "noticed it"),
            (None, "result: noticed it"),
            (second.id, "mine"),
            (second.id, "result: mine"),
            (third.id, "also mine"),
            (third.id, "result: also mine"),
        ]
        assert [(await turn.wait()).unwrap().result for turn in (second, third)] == ["mine", "also mine"]
        assert (await read_story(second)).said == "mine"


@pytest.mark.slow
async def test_a_prompt_that_waits_behind_it_can_be_interrupted(place: CleanPlace) -> None:
    async with open_signpost(place.cwd) as post, open_live_manager(place, BASH) as manager:
        session = manager.session("a")
        await session.ask(begins_a_task(post, "[[say noticed]] [[wait gate]]"))
        await post.go()
        await place.api.wait_reached("gate")
        turn = await session.send("[[say never]]")
        assert await session.interrupt() == "stopped"
        assert (await turn.wait()).kind == "interrupted"
        assert (await read_story(turn)).said == ""
        assert (await session.ask("[[say on]]")).result == "on"


@pytest.mark.slow
async def test_asking_again_and_again_around_it_loses_nothing(place: CleanPlace) -> None:
    """The notification comes before, between and within turns, wherever it falls."""
    roomy = tri.Limits(log=10_000, log_bytes=100_000_000)
    async with open_live_manager(place, BASH, limits=roomy) as manager:
        session = manager.session("a")
        asked, turns = 0, 0
        async with session.subscribe() as events:
            for number in range(6):
                pause = f"python3 -c 'import time; time.sleep({number / 40})'"
                script = bash(pause, run_in_background=True) + f" [[say started {number}]] [[end]] [[say noticed]]"
                assert (await session.ask(script)).result == f"started {number}"
                for more in range(4):
                    assert (await session.ask(f"[[say {number}.{more}]]")).result == f"{number}.{more}"
                asked += 5
            await session.hibernate()
            async for event in events:
                turns += isinstance(event.message, tri.TurnEnded)
                if isinstance(event.message, tri.ResultMessage) and event.turn_id is not None:
                    assert event.message.user_message_uuids == [event.turn_id]
                if isinstance(event.message, tri.StateChanged) and event.message.state == "hibernated":
                    break
        assert turns == asked


@pytest.mark.slow
async def test_many_prompts_at_once_around_it(place: CleanPlace) -> None:
    async with open_signpost(place.cwd) as post, open_live_manager(place, BASH) as manager:
        session = manager.session("a")
        await session.ask(begins_a_task(post, "[[say noticed]]"))
        answers: dict[int, str | None] = {}

        async def ask(number: int) -> None:
            answers[number] = (await session.ask(f"[[say {number}]]")).result

        async with trio.open_nursery() as nursery:
            for number in range(10):
                nursery.start_soon(ask, number)
                if number == 3:
                    nursery.start_soon(post.go)
        assert answers == {number: str(number) for number in range(10)}


@pytest.mark.slow
async def test_hibernating_ends_the_background_task(place: CleanPlace) -> None:
    soon = tri.Deadlines(close=1)
    async with open_signpost(place.cwd) as post, open_live_manager(place, BASH, deadlines=soon) as manager:
        session = manager.session("a")
        await session.ask(bash(post.sleeper, run_in_background=True) + "[[say started]]")
        await post.wait_reached()
        await session.hibernate()
        assert processes_with(place.marker) == []
