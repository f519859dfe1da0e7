"""The model and the permission mode that were asked for are those that the real Claude Code works with, whatever happens to it."""

import os
import signal

import pytest

import triologue as tri
from tests.support.live import bash, call, open_live_manager, read_story
from tests.support.real_cli import CleanPlace

pytestmark = [pytest.mark.real_cli, pytest.mark.slow]


def models(place: CleanPlace) -> list[str]:
    """What the model's API was asked for, turn by turn."""
    return [request.body["model"] for request in place.api.turns]


async def mode_of(session: tri.Session) -> str | None:
    """The permission mode of a turn, as the agent tells."""
    turn = await session.send("[[say hi]]")
    modes = [message.permission_mode async for message in turn if isinstance(message, tri.InitMessage)]
    return modes[-1]


def kill(session: tri.Session) -> None:
    assert session.pid is not None
    os.kill(session.pid, signal.SIGKILL)


async def crash(place: CleanPlace, session: tri.Session, gate: str) -> None:
    """Kills the agent in the middle of a turn."""
    turn = await session.send(f"[[wait {gate}]]")
    await place.api.wait_reached(gate)
    kill(session)
    assert (await turn.wait()).kind == "failed"


async def test_a_model_is_kept_over_everything(place: CleanPlace) -> None:
    async with open_live_manager(place, tri.Options(model="model-a")) as manager:
        session = manager.session("a")
        await session.ask("options")
        await session.set_model("model-b")
        await session.ask("live")
        await session.hibernate()
        await session.ask("woken")
        await crash(place, session, "gate")
        await session.ask("after a crash")
        await session.hibernate()
        await session.set_model("model-c")
        await session.ask("asked for in its sleep")
        await session.close()
        await session.ask("closed")
        await session.reset()
        await session.ask("begun anew")
    assert models(place) == ["model-a"] + ["model-b"] * 4 + ["model-c"] * 3


async def test_a_model_asked_for_before_the_first_prompt_or_while_it_starts(place: CleanPlace) -> None:
    async with open_live_manager(place) as manager:
        early = manager.session("early")
        await early.set_model("model-e")
        await early.ask("hi")
        starting = manager.session("starting")
        turn = await starting.send("hi")
        assert starting.state == "starting"
        await starting.set_model("model-s")
        await turn.wait()
    assert models(place) == ["model-e", "model-s"]


async def test_the_default_model_comes_back(place: CleanPlace) -> None:
    async with open_live_manager(place) as manager:
        session = manager.session("a")
        await session.ask("default")
        await session.set_model("model-b")
        await session.ask("other")
        await session.set_model(None)
        await session.ask("default")
        await session.hibernate()
        await session.ask("default")
    default = models(place)[0]
    assert models(place) == [default, "model-b", default, default]


async def test_a_change_in_the_middle_of_a_turn_holds_from_its_next_request_on(place: CleanPlace) -> None:
    async with open_live_manager(place, tri.Options(model="model-a", allowed_tools=["Bash"])) as manager:
        session = manager.session("a")
        turn = await session.send("[[wait gate]] " + bash("true") + " [[say done]]")
        await place.api.wait_reached("gate")
        await session.set_model("model-b")
        place.api.release("gate")
        assert (await turn.wait()).unwrap().result == "done"
        await session.ask("next")
    assert models(place)[0] == "model-a"
    assert models(place)[-1] == "model-b"


async def test_a_permission_mode_is_kept_over_everything(place: CleanPlace) -> None:
    async with open_live_manager(place) as manager:
        session = manager.session("a")
        modes = [await mode_of(session)]
        await session.set_permission_mode("acceptEdits")
        modes.append(await mode_of(session))
        await session.hibernate()
        modes.append(await mode_of(session))
        await crash(place, session, "gate")
        modes.append(await mode_of(session))
        await session.set_permission_mode("plan")
        modes.append(await mode_of(session))
        await session.set_permission_mode(None)
        modes.append(await mode_of(session))
    assert modes == ["default", "acceptEdits", "acceptEdits", "acceptEdits", "plan", "default"]


async def test_a_mode_that_is_refused_changes_nothing(place: CleanPlace) -> None:
    async with open_live_manager(place, tri.Options(permission_mode="acceptEdits")) as manager:
        session = manager.session("a")
        assert await mode_of(session) == "acceptEdits"
        with pytest.raises(tri.AgentProtocolError) as refusal:
            await session.set_permission_mode("bogus")
        assert refusal.value.code == "invalid_mode"
        assert await mode_of(session) == "acceptEdits"
        await session.hibernate()
        assert await mode_of(session) == "acceptEdits"


async def test_a_mode_that_needs_another_start_is_refused_live_and_taken_asleep(place: CleanPlace) -> None:
    async with open_live_manager(place) as manager:
        session = manager.session("a")
        assert await mode_of(session) == "default"
        with pytest.raises(tri.AgentProtocolError) as refusal:
            await session.set_permission_mode("bypassPermissions")
        assert refusal.value.code == "bypass_not_launched"
        assert await mode_of(session) == "default"
        await session.hibernate()
        await session.set_permission_mode("bypassPermissions")
        assert await mode_of(session) == "bypassPermissions"


async def test_a_mode_decides_what_tools_may_do(place: CleanPlace) -> None:
    def write(name: str) -> str:
        return call("Write", file_path=str(place.cwd / name), content="") + "[[say on]]"

    async with open_live_manager(place) as manager:
        session = manager.session("a")
        refused = await read_story(await session.send(write("one")))
        await session.set_permission_mode("acceptEdits")
        allowed = await read_story(await session.send(write("two")))
    assert [is_error for _, _, is_error in refused.results + allowed.results] == [True, False]
    assert [path.name for path in place.cwd.iterdir()] == ["two"]


async def test_a_value_that_no_start_could_have_is_refused_also_asleep(place: CleanPlace) -> None:
    async with open_live_manager(place) as manager:
        session = manager.session("a")
        with pytest.raises(tri.InvalidOption):
            await session.set_permission_mode("bogus")
        assert await mode_of(session) == "default"
