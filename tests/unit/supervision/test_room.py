"""`Limits.max_live` on real actors: who is live, who makes room, who waits, and that no place is lost."""

import pytest
import trio
from trio.testing import MockClock

import triologue as tri
from tests.support.scripted_agent import ScriptedAgent
from tests.unit.supervision.stage import ask_all, link_of, live, settled, sharing, states
from triologue.errors import AgentStartError, InvalidOption, ManagerClosed, TurnFailed
from triologue.messages import BackgroundTasksMessage, SessionStateMessage
from triologue.options import Deadlines, Limits, RestartPolicy

# Who makes room.


async def test_the_one_that_was_idle_for_longest_makes_room(autojump_clock: MockClock) -> None:
    async with sharing(2) as (manager, agent):
        for key in ("a", "b", "a", "c"):
            await manager.session(key).ask("hi")
        assert states(manager) == {"a": "idle", "b": "hibernated", "c": "idle"}
        assert (await manager.session("b").ask("again")).result == "2. again"
        assert states(manager) == {"a": "hibernated", "b": "idle", "c": "idle"}
        assert agent.most_live == 2


async def test_callers_of_others_wait_in_order(autojump_clock: MockClock) -> None:
    async with sharing(1) as (manager, agent):
        running = await manager.session("a").send("wait 5")
        turns = [await manager.session(key).send(f"of {key}") for key in "dbec"]
        await settled()
        assert live(manager) == {"a"}
        assert (await running.wait()).kind == "answered"
        assert [(await turn.wait()).kind for turn in turns] == ["answered"] * 4
        assert [said for _, said in agent.begun] == ["wait 5", "of d", "of b", "of e", "of c"]
        assert agent.most_live == 1


async def test_a_cap_holds_while_agents_take_long_to_come_and_to_go(autojump_clock: MockClock) -> None:
    agent = ScriptedAgent()
    agent.closing = 3.0
    async with sharing(3, agent) as (manager, _):
        for round in range(3):
            await ask_all(manager, [f"k{number}" for number in range(12)], f"round {round}")
        assert agent.most_live == 3
        assert len(agent.begun) == 36


# Who never does.


async def test_one_that_works_never_makes_room(autojump_clock: MockClock) -> None:
    async with sharing(1) as (manager, agent):
        running = await manager.session("a").send("wait 400")
        waiting = await manager.session("b").send("hi")
        await trio.sleep(399)
        assert (live(manager), len(agent.links)) == ({"a"}, 1)
        assert (await waiting.wait()).kind == "answered"
        assert running.outcome is not None
        assert running.outcome.kind == "answered"


async def test_one_that_waits_for_a_permission_never_makes_room(autojump_clock: MockClock) -> None:
    async with sharing(1, on_permission=lambda request: None) as (manager, agent):
        asking = await manager.session("a").send("use Bash")
        waiting = await manager.session("b").send("hi")
        await trio.sleep(500)
        assert (live(manager), len(agent.links)) == ({"a"}, 1)
        await manager.permissions()[0].allow()
        assert (await asking.wait()).kind == (await waiting.wait()).kind == "answered"


@pytest.mark.parametrize(
    ("busy", "free"),
    [
        (
            BackgroundTasksMessage(subtype="background_tasks_changed", tasks=[{"task_id": "t"}]),
            BackgroundTasksMessage(subtype="background_tasks_changed", tasks=[]),
        ),
        (
            SessionStateMessage(subtype="session_state_changed", state="running"),
            SessionStateMessage(subtype="session_state_changed", state="idle"),
        ),
    ],
)
async def test_one_with_background_work_makes_room_when_that_is_done(
    autojump_clock: MockClock, busy: tri.Message, free: tri.Message
) -> None:
    async with sharing(1) as (manager, agent):
        await manager.session("a").ask("hi")
        agent.link.say(busy)
        turn = await manager.session("b").send("ho")
        await trio.sleep(5000)
        assert (live(manager), turn.outcome) == ({"a"}, None)
        agent.link.say(free)
        assert (await turn.wait()).kind == "answered"


async def test_a_message_that_comes_with_the_eviction_is_answered_first(autojump_clock: MockClock) -> None:
    for _ in range(20):  # the order of tasks is random
        async with sharing(1) as (manager, agent):
            await manager.session("a").ask("hi")
            async with trio.open_nursery() as nursery:
                nursery.start_soon(manager.session("b").ask, "to b")
                nursery.start_soon(manager.session("a").ask, "to a")
            assert sorted(said for _, said in agent.begun) == ["hi", "to a", "to b"]
            assert agent.most_live == 1


async def test_a_session_that_closes_by_itself_counts_as_room_that_comes(autojump_clock: MockClock) -> None:
    agent = ScriptedAgent()
    async with sharing(2, agent) as (manager, _):
        await ask_all(manager, "ab")
        agent.closing = 1.0
        async with trio.open_nursery() as nursery:
            nursery.start_soon(manager.session("a").hibernate)
            nursery.start_soon(manager.session("c").ask, "hi")
        assert states(manager) == {"a": "hibernated", "b": "idle", "c": "idle"}


# Those that wait.


async def test_interrupt_and_cancel_of_turns_that_wait_for_room(autojump_clock: MockClock) -> None:
    async with sharing(1) as (manager, agent):
        await manager.session("a").send("wait 100")
        interrupted, cancelled = manager.session("b"), manager.session("c")
        turns = [await session.send("never") for session in (interrupted, cancelled)]
        last = await manager.session("d").send("hi")
        await settled()
        assert await interrupted.interrupt() == "stopped"
        assert (await turns[0].wait()).kind == "interrupted"
        assert (await turns[1].cancel()).kind == "cancelled"
        assert (await last.wait()).kind == "answered"
        # Nobody made room for those two, nor started.
        assert [said for _, said in agent.begun] == ["wait 100", "hi"]
        assert len(agent.links) == 2
        assert (await interrupted.ask("now")).result == "1. now"


async def test_nobody_makes_room_for_a_turn_that_was_given_up(autojump_clock: MockClock) -> None:
    async with sharing(1) as (manager, agent):
        running = await manager.session("a").send("wait 100")
        with trio.move_on_after(10):
            await manager.session("b").ask("never")
        assert (await running.wait()).kind == "answered"
        await trio.sleep(100)
        assert (states(manager), len(agent.links)) == ({"a": "idle", "b": "new"}, 1)


async def test_close_of_one_that_waits_for_room(autojump_clock: MockClock) -> None:
    async with sharing(1) as (manager, _):
        await manager.session("a").send("wait 100")
        waiting = [await manager.session("b").send(f"never {number}") for number in range(2)]
        await settled()
        with trio.fail_after(1):
            await manager.session("b").close()
        assert [(await turn.wait()).kind for turn in waiting] == ["cancelled", "cancelled"]
        assert (await manager.session("b").ask("hi")).result == "1. hi"


async def test_a_turn_that_waits_for_room_is_cancelled_when_the_manager_is_left(autojump_clock: MockClock) -> None:
    async with sharing(1, deadlines=Deadlines(drain=20)) as (manager, agent):
        running = await manager.session("a").send("wait 15")
        waiting = [await manager.session("b").send("never"), await manager.session("c").send("never")]
        await settled()
    assert (await running.wait()).kind == "answered"
    assert [said for _, said in agent.begun] == ["wait 15"]
    for turn in waiting:
        outcome = await turn.wait()
        assert (outcome.kind, type(outcome.error)) == ("cancelled", ManagerClosed)
    assert trio.current_time() < 20


async def test_a_manager_that_is_left_by_an_error_leaves_nobody_waiting(autojump_clock: MockClock) -> None:
    agent = ScriptedAgent()
    waiting = None
    with pytest.raises(ZeroDivisionError):
        async with sharing(1, agent) as (manager, _):
            await manager.session("a").send("wait 400")
            waiting = await manager.session("b").send("never")
            await settled()
            raise ZeroDivisionError
    assert waiting is not None
    assert (await waiting.wait()).kind in ("cancelled", "interrupted")
    assert agent.live == 0


# Places come back.


async def test_a_crash_loop_loses_no_place(autojump_clock: MockClock) -> None:
    restart = RestartPolicy(max_restarts=50)
    async with sharing(2, restart=restart) as (manager, agent):
        for _ in range(20):
            for key in "abc":
                with pytest.raises(TurnFailed):
                    await manager.session(key).ask("die")
        await ask_all(manager, "abcdef")
        assert agent.most_live == 2
        assert live(manager) <= set("abcdef")


async def test_one_that_dies_is_started_again_within_the_cap(autojump_clock: MockClock) -> None:
    agent = ScriptedAgent()
    agent.closing = 2.0
    async with sharing(1, agent, restart=RestartPolicy(retry_turn=True)) as (manager, _):
        turn = await manager.session("a").send("wait 10")
        other = await manager.session("b").send("hi")
        await trio.sleep(1)
        agent.link.die(9)
        assert (await turn.wait()).kind == (await other.wait()).kind == "answered"
        assert agent.most_live == 1


async def test_a_start_that_fails_gives_its_place_back(autojump_clock: MockClock) -> None:
    agent = ScriptedAgent()

    def fail() -> None:
        raise AgentStartError("no such luck")

    async with sharing(1, agent) as (manager, _):
        agent.connecting = fail
        for key in "abc":
            with pytest.raises(TurnFailed, match="no such luck"):
                await manager.session(key).ask("hi")
        agent.connecting = None
        for handshake in ("refuses", "dies"):
            agent.handshake = handshake
            with pytest.raises(TurnFailed):
                await manager.session(handshake).ask("hi")
        agent.handshake = "answers"
        assert (await manager.session("d").ask("hi")).result == "1. hi"
        assert agent.most_live == 1


async def test_an_agent_that_hangs_at_its_start_is_given_up_and_its_place_too(autojump_clock: MockClock) -> None:
    agent = ScriptedAgent()
    agent.handshake = None
    async with sharing(1, agent, deadlines=Deadlines(start=30)) as (manager, _):
        stuck = await manager.session("a").send("hi")
        other = await manager.session("b").send("hi")
        await trio.sleep(10)
        agent.handshake = "answers"
        assert (await stuck.wait()).kind == "failed"
        assert (await other.wait()).kind == "answered"


async def test_a_wait_for_room_is_no_late_start(autojump_clock: MockClock) -> None:
    async with sharing(1, deadlines=Deadlines(start=5, first_event=5, turn=200)) as (manager, _):
        await manager.session("a").send("wait 100")
        with pytest.raises(TurnFailed):  # it has its first event late
            await manager.session("a").ask("silent")
        assert (await manager.session("b").ask("hi")).result == "1. hi"


async def test_forks_resets_and_hibernations_keep_to_the_cap(autojump_clock: MockClock) -> None:
    async with sharing(2) as (manager, agent):
        await ask_all(manager, "ab")
        copy = await manager.session("a").fork("copy")
        async with trio.open_nursery() as nursery:
            nursery.start_soon(copy.ask, "in the copy")
            nursery.start_soon(manager.session("b").reset)
            nursery.start_soon(manager.session("a").hibernate)
            nursery.start_soon(manager.session("c").ask, "hi")
        assert (await manager.session("b").ask("anew")).result == "1. anew"
        assert agent.most_live == 2


# Groups.


def by_tenant(key: str) -> str:
    return key.partition(":")[0]


async def test_a_full_group_holds_up_nobody_else(autojump_clock: MockClock) -> None:
    limits = Limits(max_live=3, max_live_per_group=1, group=by_tenant)
    async with sharing(None, limits=limits) as (manager, agent):
        await manager.session("x:1").send("wait 100")
        waiting = await manager.session("x:2").send("hi")
        for key in ("y:1", "z:1", "y:2"):
            await manager.session(key).ask("hi")
        assert live(manager) == {"x:1", "z:1", "y:2"}
        assert waiting.outcome is None
        assert (await waiting.wait()).kind == "answered"
        assert (trio.current_time(), agent.most_live) == (100, 3)


@pytest.mark.parametrize(
    ("group", "said"),
    [
        (lambda key: None, "Limits.group gave None for the key 'k'"),
        (lambda key: ["a"], "Limits.group gave ['a'] for the key 'k'"),
        (lambda key: {}[key], "Limits.group failed for the key 'k': KeyError('k')"),
    ],
)
async def test_a_group_that_cannot_be_is_refused_at_the_send(
    autojump_clock: MockClock, group: object, said: str
) -> None:
    limits = Limits(max_live=1, max_live_per_group=1, group=group)  # type: ignore[arg-type]
    async with sharing(None, limits=limits) as (manager, agent):
        with pytest.raises(InvalidOption) as caught:
            await manager.session("k").send("hi")
        assert said in str(caught.value)
        assert (manager.sessions(), agent.links) == ([], [])


async def test_the_group_of_a_key_is_asked_for_once(autojump_clock: MockClock) -> None:
    asked: list[str] = []

    def group(key: str) -> str:
        asked.append(key)
        if asked.count(key) > 1:
            raise ZeroDivisionError
        return "all"

    limits = Limits(max_live=2, max_live_per_group=1, group=group)
    async with sharing(None, limits=limits) as (manager, agent):
        for key in ("a", "b", "a"):
            await manager.session(key).ask("hi")
        assert (asked, agent.most_live) == (["a", "b"], 1)


async def test_what_is_said_of_a_wait(autojump_clock: MockClock) -> None:
    async with sharing(1) as (manager, agent):
        await manager.session("a").send("wait 100")
        turn = await manager.session("b").send("hi")
        behind = await manager.session("b").send("ho")
        await settled()
        assert manager.session("b").state == "starting"
        assert [(each.state, each.position) for each in (turn, behind)] == [("waiting", 0), ("waiting", 1)]
        assert link_of(agent, "wait 100") is agent.link
        await turn.wait()
