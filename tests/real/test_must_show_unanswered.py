"""Permission requests of the real Claude Code that get no answer: they are cancelled, or denied, and nothing is sent late."""

import os
import signal
from typing import Any

import pytest
import trio

import triologue as tri
from tests.support.live import Endless, bash, open_live_manager, permissions_told, read_to_the_end, tap
from tests.support.real_cli import CleanPlace
from tests.support.wiretap import Wiretap

pytestmark = pytest.mark.real_cli


@pytest.mark.slow
async def test_an_interrupt_cancels_a_callback_that_never_returns(place: CleanPlace) -> None:
    endless, line = Endless(), tap(place)
    async with open_live_manager(place, tri.Options(can_use_tool=endless), agent=line) as manager:
        session = manager.session("a")
        async with session.subscribe() as events:
            turn = await session.send(bash("touch never"))
            await endless.begun.wait()
            (request,) = manager.permissions()
            assert await session.interrupt() == "stopped"
            seen = await read_to_the_end(events)
        assert ((await turn.wait()).kind, (await request.wait()).answer) == ("interrupted", "cancelled")
        await endless.cancelled.wait()
        assert permissions_told(seen) == [("asked", "touch never"), ("cancelled", "nobody", "the turn was interrupted")]
        assert manager.permissions() == []
        with pytest.raises(tri.AlreadyAnswered) as late:
            await request.allow(by="ada")
        assert (late.value.by, late.value.answer) == (None, "cancelled")
        assert (await session.ask("[[say alive]]")).result == "alive"
        never_answered(line)
    assert list(place.cwd.iterdir()) == []


def never_answered(line: Wiretap) -> None:
    """The permission request got no answer: neither when it was cancelled nor since."""
    assert line.unanswered() == ["can_use_tool"]


@pytest.mark.slow
@pytest.mark.parametrize("end", ["close", "hibernate", "leave", "cancel", "kill"])
async def test_the_end_cancels_a_callback_that_never_returns(place: CleanPlace, end: str) -> None:
    endless, line = Endless(), tap(place)
    soon = tri.Deadlines(drain=0.1)
    options = tri.Options(can_use_tool=endless)
    with trio.CancelScope() as everything:
        async with open_live_manager(place, options, agent=line, deadlines=soon) as manager:
            session = manager.session("a")
            turn = await session.send(bash("touch never"))
            await endless.begun.wait()
            (request,) = manager.permissions()
            match end:
                case "close":
                    await session.close()
                case "hibernate":
                    # It waits for the turn, which waits for an answer: somebody else gives one.
                    async with trio.open_nursery() as nursery:
                        nursery.start_soon(session.hibernate)
                        await request.deny("no", by="ada")
                case "cancel":
                    everything.cancel()
                case "kill":
                    assert session.pid is not None
                    os.kill(session.pid, signal.SIGKILL)
                    await turn.wait()
                case _:
                    pass
    outcome = await turn.wait()
    answered = await request.wait()
    await endless.cancelled.wait()
    if end == "hibernate":
        assert (outcome.kind, answered.answer, answered.by) == ("answered", "deny", "ada")
        assert line.unanswered() == []
    else:
        kind = "failed" if end == "kill" else "interrupted"
        assert (outcome.kind, answered.answer, request.answered) == (kind, "cancelled", answered)
        never_answered(line)
    assert list(place.cwd.iterdir()) == []


@pytest.mark.parametrize("hanging", ["can_use_tool", pytest.param("on_permission", marks=pytest.mark.slow)])
async def test_what_nobody_answers_is_denied_at_its_deadline(place: CleanPlace, hanging: str) -> None:
    endless = Endless()
    options = tri.Options(can_use_tool=endless) if hanging == "can_use_tool" else None
    on_permission = endless if hanging == "on_permission" else None
    soon = tri.Deadlines(permission=0.1)
    async with open_live_manager(place, options, deadlines=soon, on_permission=on_permission) as manager:
        session = manager.session("a")
        async with session.subscribe() as events:
            turn = await session.send(bash("touch late") + "[[results]][[say , on]]")
            seen = await read_to_the_end(events)
        result = (await turn.wait()).unwrap()
        await endless.cancelled.wait()
        reason = "Nobody answered this permission request within Deadlines.permission, so it is denied."
        assert permissions_told(seen) == [("asked", "touch late"), ("expired", "nobody", reason)]
        assert result.result == f"{reason}, on"
        assert [denial["tool_name"] for denial in result.permission_denials or []] == ["Bash"]
        assert (await session.ask("[[say alive]]")).result == "alive"
    assert list(place.cwd.iterdir()) == []


@pytest.mark.slow
async def test_an_answer_that_comes_after_its_cancellation_goes_nowhere(place: CleanPlace) -> None:
    begun, late = trio.Event(), trio.Event()

    async def stubborn(name: str, given: dict[str, Any], context: tri.ToolPermissionContext) -> tri.PermissionResult:
        begun.set()
        with trio.CancelScope(shield=True):
            await late.wait()
        return tri.PermissionResultAllow()

    line = tap(place)
    async with open_live_manager(place, tri.Options(can_use_tool=stubborn), agent=line) as manager:
        session = manager.session("a")
        turn = await session.send(bash("touch never"))
        await begun.wait()
        # It is not waited for.
        assert await session.interrupt() == "stopped"
        assert (await turn.wait()).kind == "interrupted"
        late.set()
        assert (await session.ask("[[say alive]]")).result == "alive"
        never_answered(line)
    assert list(place.cwd.iterdir()) == []
