"""Steering the real Claude Code: into the turn that runs, or a turn of its own where it is too late for that."""

import pytest

import triologue as tri
from tests.support.live import bash, open_live_manager
from tests.support.real_cli import CleanPlace
from tests.support.signpost import open_signpost

pytestmark = pytest.mark.real_cli


async def test_a_steer_while_a_tool_runs_goes_into_its_turn(place: CleanPlace) -> None:
    async with (
        open_signpost(place.cwd) as post,
        open_live_manager(place, tri.Options(allowed_tools=["Bash"])) as manager,
    ):
        session = manager.session("a")
        turn = await session.send(bash(post.sleeper.replace("time.sleep(1000)", "time.sleep(1)")) + " [[then done]]")
        await post.wait_reached()
        steers = [await session.send(text, overlap="steer") for text in ("be brief", "and kind")]
        outcomes = [await steer.wait() for steer in steers]
        assert [(each.kind, each.into) for each in outcomes] == [("merged", turn.id)] * 2
        result = (await turn.wait()).unwrap()
        assert result.user_message_uuids == [turn.id, *(steer.id for steer in steers)]
        assert all(text in str(place.api.requests[-1].body) for text in ("be brief", "and kind"))
        assert (await session.ask("[[say next]]")).result == "next"


@pytest.mark.slow
async def test_a_steer_while_the_model_speaks_is_a_turn_of_its_own(place: CleanPlace) -> None:
    async with open_live_manager(place, tri.Options(include_partial_messages=True)) as manager:
        session = manager.session("a")
        turn = await session.send("[[say half]] [[wait gate]] [[say whole]]")
        async for message in turn:
            if tri.text(message) == "half":
                break
        steer = await session.send("[[say steered]]", overlap="steer")
        queued = await session.send("[[say queued]]")
        place.api.release("gate")
        outcomes = [await each.wait() for each in (turn, steer, queued)]
        assert [(each.kind, each.unwrap().result) for each in outcomes] == [
            ("answered", "halfwhole"),
            ("answered", "steered"),
            ("answered", "queued"),
        ]


@pytest.mark.slow
async def test_a_steer_that_an_interrupt_drops_is_answered_all_the_same(place: CleanPlace) -> None:
    async with open_live_manager(place, tri.Options(include_partial_messages=True)) as manager:
        session = manager.session("a")
        turn = await session.send("[[say half]] [[wait gate]] [[say never]]")
        async for message in turn:
            if tri.text(message) == "half":
                break
        steer = await session.send("[[say steered]]", overlap="steer")
        assert await session.interrupt() == "stopped"
        assert (await turn.wait()).kind == "interrupted"
        assert (await steer.wait()).unwrap().result == "steered"


@pytest.mark.slow
async def test_a_steer_that_is_withdrawn_never_runs(place: CleanPlace) -> None:
    async with open_live_manager(place, tri.Options(include_partial_messages=True)) as manager:
        session = manager.session("a")
        turn = await session.send("[[say half]] [[wait gate]] [[say whole]]")
        async for message in turn:
            if tri.text(message) == "half":
                break
        steer = await session.send("[[say steered]]", overlap="steer")
        assert (await steer.cancel()).kind == "cancelled"
        place.api.release("gate")
        assert (await turn.wait()).unwrap().result == "halfwhole"
