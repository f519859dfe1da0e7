"""Interrupting the real Claude Code: in every state, within the deadline, and the conversation goes on."""

import pytest
import trio

import triologue as tri
from tests.support.live import bash, open_live_manager, read_story
from tests.support.real_cli import CleanPlace
from tests.support.signpost import open_signpost, wait_no_sleepers
from triologue.actors import Turn

pytestmark = pytest.mark.real_cli


async def stopped(session: tri.Session, turn: Turn) -> tri.Outcome:
    """The outcome of a running turn that is interrupted."""
    assert await session.interrupt() == "stopped"
    assert turn.outcome is not None, "interrupt() settles behind the outcome"
    assert session.state == "idle"
    return turn.outcome


def kind_of(outcome: tri.Outcome) -> tuple[str, str | None]:
    with pytest.raises(tri.TurnInterrupted):
        outcome.unwrap()
    return outcome.kind, outcome.reason


async def test_mid_stream(place: CleanPlace) -> None:
    async with open_live_manager(place, tri.Options(include_partial_messages=True)) as manager:
        session = manager.session("a")
        prompt = "[[say half]] [[wait gate]] [[say never]]"
        turn = await session.send(prompt)
        async for message in turn:
            if tri.text(message) == "half":
                break
        pid = session.pid
        assert kind_of(await stopped(session, turn)) == ("interrupted", "aborted_streaming")
        story = await read_story(turn)
        assert story.said == "half"
        assert (await session.ask("and now?")).result == f"echo[2]: {prompt} | and now?"
        assert session.pid == pid


async def test_mid_tool_and_its_processes_are_gone(place: CleanPlace) -> None:
    async with (
        open_signpost(place.cwd) as post,
        open_live_manager(place, tri.Options(allowed_tools=["Bash"])) as manager,
    ):
        session = manager.session("a")
        prompt = bash(post.sleeper)
        turn = await session.send(prompt)
        await post.wait_reached()
        assert kind_of(await stopped(session, turn)) == ("interrupted", "aborted_tools")
        story = await read_story(turn)
        assert [(name, is_error) for name, _, is_error in story.results] == [("Bash", True)]
        assert (await session.ask("and now?")).result == f"echo[2]: {prompt} | and now?"
        await wait_no_sleepers(place.marker)


@pytest.mark.slow
@pytest.mark.parametrize("where", ["before headers", "after headers", "mid"])
async def test_in_a_request_that_hangs(place: CleanPlace, where: str) -> None:
    async with open_live_manager(place) as manager:
        session = manager.session("a")
        prompt = f"[[hang {where}]]"
        turn = await session.send(prompt)
        request = await place.api.wait_request(lambda request: request.is_turn)
        assert kind_of(await stopped(session, turn)) == ("interrupted", "aborted_streaming")
        await place.api.wait_request(lambda other: other is request and other.ending == "client left")
        assert (await session.ask("and now?")).result == f"echo[2]: {prompt} | and now?"


@pytest.mark.slow
async def test_while_the_agent_starts_the_turn_never_reaches_it(place: CleanPlace) -> None:
    async with open_live_manager(place) as manager:
        session = manager.session("a")
        turn = await session.send("never said")
        assert session.state == "starting"
        assert await session.interrupt() == "stopped"
        assert kind_of(await turn.wait()) == ("interrupted", "before it began")
        assert (await session.ask("and now?")).result == "echo[1]: and now?"


@pytest.mark.slow
async def test_right_behind_a_prompt(place: CleanPlace) -> None:
    async with open_live_manager(place) as manager:
        session = manager.session("a")
        await session.ask("first")
        for number in range(10):
            turn = await session.send(f"[[wait gate]] [[say never {number}]]")
            kind, _ = kind_of(await stopped(session, turn))
            assert kind == "interrupted"
            # It hit this turn, and not the next one.
            assert (await session.ask("[[say fine]]")).result == "fine"


@pytest.mark.slow
async def test_when_nothing_runs(place: CleanPlace) -> None:
    async with open_live_manager(place) as manager:
        session = manager.session("a")
        assert await session.interrupt() == "nothing_running"
        assert session.state == "new"
        turn = await session.send("first")
        assert (await turn.wait()).kind == "answered"
        assert await session.interrupt() == "nothing_running"
        assert await session.interrupt() == "nothing_running"
        assert (await session.ask("second")).result == "echo[2]: first | second"
        await session.hibernate()
        assert await session.interrupt() == "nothing_running"
        assert (session.state, session.pid) == ("hibernated", None)
        assert (await session.ask("third")).result == "echo[3]: first | second | third"


@pytest.mark.slow
async def test_racing_the_result(place: CleanPlace) -> None:
    """Whoever wins, the turn has one outcome, what `interrupt` says agrees with it, and no later turn is hit."""
    agrees = {
        ("stopped", "interrupted"),
        ("already_done", "answered"),
        ("nothing_running", "answered"),
    }
    async with open_live_manager(place, tri.Options(include_partial_messages=True)) as manager:
        session = manager.session("a")
        for number in range(10):
            turn = await session.send(f"[[say {number}]]")
            async for message in turn:
                # Its last deltas, the whole message and the result come right behind.
                if isinstance(message, tri.StreamEvent) and tri.text(message):
                    break
            answer = await session.interrupt()
            assert (answer, (await turn.wait()).kind) in agrees
            assert (await session.ask("[[say fine]]")).result == "fine"


@pytest.mark.slow
async def test_many_at_once_hear_the_same(place: CleanPlace) -> None:
    async with open_live_manager(place) as manager:
        session = manager.session("a")
        turn = await session.send("[[wait gate]]")
        await place.api.wait_reached("gate")
        heard: list[str] = []

        async def interrupt() -> None:
            heard.append(await session.interrupt())

        async with trio.open_nursery() as nursery:
            for _ in range(5):
                nursery.start_soon(interrupt)
        assert heard == ["stopped"] * 5
        assert (await turn.wait()).kind == "interrupted"


@pytest.mark.slow
async def test_turns_that_wait_are_kept(place: CleanPlace) -> None:
    async with open_live_manager(place) as manager:
        session = manager.session("a")
        running = await session.send("[[wait gate]]")
        await place.api.wait_reached("gate")
        waiting = [await session.send(f"[[say {number}]]") for number in range(3)]
        assert [turn.position for turn in waiting] == [0, 1, 2]
        assert await session.interrupt() == "stopped"
        outcomes = [await turn.wait() for turn in (running, *waiting)]
        assert [outcome.kind for outcome in outcomes] == ["interrupted"] + ["answered"] * 3
        assert [outcome.unwrap().result for outcome in outcomes[1:]] == ["0", "1", "2"]


@pytest.mark.slow
async def test_an_abort_event_interrupts_and_leaves_the_session_alive(place: CleanPlace) -> None:
    abort = trio.Event()
    async with open_live_manager(place, tri.Options(abort_event=abort)) as manager:
        session = manager.session("a")
        turn = await session.send("[[wait gate]]")
        await place.api.wait_reached("gate")
        pid = session.pid
        abort.set()
        assert (await turn.wait()).kind == "interrupted"
        assert (await session.ask("[[say on]]")).result == "on"
        assert session.pid == pid


@pytest.mark.slow
@pytest.mark.parametrize("where", ["stream", "tool"])
async def test_leaving_the_block_of_a_turn_interrupts_it(place: CleanPlace, where: str) -> None:
    async with (
        open_signpost(place.cwd) as post,
        open_live_manager(place, tri.Options(allowed_tools=["Bash"])) as manager,
    ):
        session = manager.session("a")
        script = "[[say so]] [[wait gate]]" if where == "stream" else bash(post.sleeper)
        async with session.turn(script) as turn:
            await (place.api.wait_reached("gate") if where == "stream" else post.wait_reached())
        assert turn.outcome is not None
        assert turn.outcome.kind == "interrupted"
        await wait_no_sleepers(place.marker)


@pytest.mark.slow
async def test_cancelling_ask_interrupts_its_turn(place: CleanPlace) -> None:
    async with open_live_manager(place) as manager:
        session = manager.session("a")
        async with trio.open_nursery() as nursery:
            nursery.start_soon(session.ask, "[[wait gate]]")
            await place.api.wait_reached("gate")
            nursery.cancel_scope.cancel()
        assert (await session.ask("[[say on]]")).result == "on"
        assert [request.ending for request in place.api.turns] == ["client left", "answered"]
