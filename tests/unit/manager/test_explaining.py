"""What an operator asks at night: why is this session stuck, and how is the manager."""

import os
import signal
import subprocess

import msgspec
import pytest
import trio
from trio.testing import MockClock, wait_all_tasks_blocked

from tests.support.scripted_agent import ScriptedAgent
from tests.unit.manager.stage import scripted
from triologue.agents import Embedded
from triologue.errors import InvalidOption
from triologue.manager import SessionExplanation, SessionManager, TurnAge, open_manager
from triologue.messages import AssistantBody, AssistantMessage, McpStatus, ToolUseBlock
from triologue.options import Deadlines, Limits, RestartPolicy

NIGHT = Deadlines(start=60, interrupt=10, permission=3600, control=60)


def waits_for(manager: SessionManager) -> tuple[str, str | None, str | None]:
    said = manager.explain("k")
    return said.state, said.waits_for, said.deadline


async def test_a_session_that_is_stuck_in_a_permission_says_so(autojump_clock: MockClock) -> None:
    async with scripted(deadlines=NIGHT, on_permission=lambda _: None) as (session, agent, manager):
        await session.send("use Bash", id="t1", meta={"user": "U1"})
        await trio.sleep(10)
        await session.send("next", id="t2")
        await trio.sleep(20)
        [request] = manager.permissions()
        said = manager.explain("k")
        assert said == SessionExplanation(
            key="k",
            agent="scripted",
            session_id=session.session_id,
            state="running",
            waits_for=f"permission for the tool Bash (request {request.id})",
            deadline="permission",
            deadline_seconds=3570,
            turn=TurnAge(id="t1", seconds=30, meta={"user": "U1"}),
            queue=[TurnAge(id="t2", seconds=20, meta={})],
            pid=None,
            rss_bytes=None,
            cost_usd=0.0,
            turns=0,
            last_error=None,
        )
        assert str(said).splitlines() == [
            f"k: running, waits for permission for the tool Bash (request {request.id})",
            "  turn        t1, accepted 30.0 s ago user='U1'",
            "  deadline    permission in 3570.0 s",
            "  queue       t2, accepted 20.0 s ago",
            f"  agent       scripted, session {session.session_id}",
            "  cost        $0.0000",
            "  turns       0",
        ]
        assert agent.links


async def test_what_a_session_waits_for_from_its_start_to_its_end(autojump_clock: MockClock) -> None:
    async with scripted(deadlines=NIGHT) as (session, agent, manager):
        agent.handshake = None
        assert waits_for(manager) == ("new", None, None)
        assert manager.sessions() == []
        turn = await session.send("first")
        await wait_all_tasks_blocked()
        assert waits_for(manager) == ("starting", "the agent to answer the handshake", "start")
        agent.handshake = "answers"
        await session.interrupt()
        assert (await turn.wait()).kind == "interrupted"
        await session.close()
        silent = await session.send("silent")
        await wait_all_tasks_blocked()
        assert waits_for(manager) == ("running", "output of the model", "first_event")
        await silent.cancel()
        assert waits_for(manager) == ("idle", None, "idle")
        deaf = await session.send("deaf")
        await wait_all_tasks_blocked()
        deaf.withdraw()
        await wait_all_tasks_blocked()
        assert waits_for(manager) == ("interrupting", "the interrupt to take effect", "interrupt")
        await deaf.wait()
        await session.ask("and on")
        await session.hibernate()
        assert waits_for(manager) == ("hibernated", None, None)


async def test_a_request_that_the_agent_does_not_answer(autojump_clock: MockClock) -> None:
    async with scripted(deadlines=NIGHT) as (session, agent, manager), trio.open_nursery() as nursery:
        agent.ignores = {McpStatus}
        await session.ask("one")
        nursery.start_soon(session.get_mcp_status)
        await wait_all_tasks_blocked()
        assert waits_for(manager) == ("idle", "the agent to answer mcp_status", "control")
        nursery.cancel_scope.cancel()


async def test_a_tool_that_runs_is_named(autojump_clock: MockClock) -> None:
    async with scripted(deadlines=Deadlines(tool=100)) as (session, agent, manager):
        await session.send("silent")
        await wait_all_tasks_blocked()
        uses = [ToolUseBlock(id=f"toolu_{number}", name=name, input={}) for number, name in enumerate(("Bash", "Read"))]
        agent.link.say(AssistantMessage(message=AssistantBody(model="m", content=list(uses))))
        await trio.sleep(30)
        said = manager.explain("k")
        assert said.waits_for == "the tools Bash (toolu_0), Read (toolu_1)"
        assert (said.deadline, said.deadline_seconds) == ("tool", 70)


async def test_one_that_was_not_let_in_yet(autojump_clock: MockClock) -> None:
    async with scripted(limits=Limits(max_live=1)) as (session, _, manager):
        other = manager.session("other")
        await other.send("silent")
        await wait_all_tasks_blocked()
        await session.send("one")
        await wait_all_tasks_blocked()
        await manager.session("behind").send("one")
        await wait_all_tasks_blocked()
        assert waits_for(manager) == ("starting", "room for one more live agent: 1 of 1 agents live, all busy", None)
        assert str(manager.explain("behind")).splitlines()[0] == (
            "behind: starting, waits for room for one more live agent: 1 of 1 agents live, all busy; 1 waits before it"
        )
        now = manager.statistics()
        assert (now.running, now.waiting, now.live, now.starts_waiting) == (3, 0, 1, 2)


async def test_one_that_waits_for_a_usage_limit_says_until_when(autojump_clock: MockClock) -> None:
    async with scripted() as (session, _, manager):
        await (await session.send("exceed 3600")).wait()
        await session.send("one")
        await manager.session("behind").send("one")
        await wait_all_tasks_blocked()
        limit = "the end of a usage limit: the limit 'five_hour' is reached; waits until "
        for key, others in (("k", ""), ("behind", "; 1 waits before it")):
            said = manager.explain(key).waits_for
            assert said is not None
            assert (said.startswith(limit), said.endswith(others)) == (True, True)


async def test_one_that_has_to_wait_for_others_of_its_group(autojump_clock: MockClock) -> None:
    limits = Limits(max_live=4, max_live_per_group=1, group=lambda key: key[0])
    async with scripted(limits=limits) as (session, _, manager):
        await manager.session("k2").send("silent")
        await manager.session("k3").send("one")
        await wait_all_tasks_blocked()
        await session.send("one", id="t1")
        await session.send("two", id="t2")
        await wait_all_tasks_blocked()
        said = manager.explain("k")
        assert said.waits_for == (
            "room for one more live agent: 1 of 1 agents live in its group, all busy; 1 waits before it"
        )
        assert said.turn is not None
        assert (said.turn.id, [each.id for each in said.queue]) == ("t1", ["t2"]), "each of them once"
        assert [(each.key, each.waiting) for each in manager.sessions()] == [("k2", 0), ("k3", 0), ("k", 1)]


async def test_one_whose_agents_die(autojump_clock: MockClock) -> None:
    policy = RestartPolicy(max_restarts=2, within=60, backoff=8)
    async with scripted(restart=policy) as (session, _, manager):
        for _ in range(2):
            await (await session.send("die")).wait()
        turn = await session.send("die")
        await trio.sleep(1)
        said = manager.explain("k")
        assert said.state == "restarting"
        assert said.waits_for is not None
        assert said.waits_for.startswith("the end of the back-off after a crash, in ")
        assert said.last_error == "the scripted agent died"
        await turn.wait()
        await trio.sleep(1)
        said = manager.explain("k")
        assert said.state == "failed"
        assert said.waits_for is not None
        assert said.waits_for.startswith("the time when it may be tried again, in 5")
        assert said.last_error is not None
        assert said.last_error.startswith("its agent died more than 2 times within 60 s (RestartPolicy)")
        assert manager.statistics().restarts == 2


async def test_why_an_agent_that_had_nothing_to_do_went_away_is_told_until_another_one_works(
    autojump_clock: MockClock,
) -> None:
    async with scripted() as (session, agent, manager):
        await session.ask("one")
        agent.link.die(9)
        await trio.sleep(1)
        agent.connecting = lambda: seen.append((session.state, manager.explain("k").last_error))
        seen: list[tuple[str, str | None]] = [(session.state, session.statistics().last_error)]
        assert "last error  the scripted agent died" in str(manager.explain("k"))
        await session.ask("two")
        assert seen == [("hibernated", "the scripted agent died"), ("restarting", "the scripted agent died")]
        assert manager.statistics().restarts == 1
        assert (manager.explain("k").last_error, session.statistics().last_error) == (None, None)


@pytest.mark.parametrize(("turn", "told"), [(None, "drain in 59.0 s"), (50, "turn in 48.0 s")])
async def test_how_long_a_turn_may_go_on_while_the_manager_drains(
    autojump_clock: MockClock, turn: float | None, told: str
) -> None:
    deadlines = Deadlines(first_event=None, turn=turn, drain=60, interrupt=10)
    async with scripted(deadlines=deadlines) as (session, _, manager):
        await session.send("silent")
        await trio.sleep(1)
        manager.drain()
        await trio.sleep(1)
        assert f"  deadline    {told}\n" in str(manager.explain("k"))
        manager.drain()
        await wait_all_tasks_blocked()
        assert manager.explain("k").state == "hibernated"


async def test_an_unread_prompt(autojump_clock: MockClock) -> None:
    async with scripted(deadlines=NIGHT) as (session, _, manager):
        await session.send("unread")
        await wait_all_tasks_blocked()
        assert manager.explain("k").waits_for == "the agent to take up the prompt"


async def test_the_memory_of_an_agents_processes(autojump_clock: MockClock) -> None:
    agent = ScriptedAgent()
    command = ["sh", "-c", "echo there; sleep 1000 & wait"]
    with subprocess.Popen(command, stdout=subprocess.PIPE, start_new_session=True) as process:
        try:
            assert process.stdout is not None
            assert process.stdout.readline() == b"there\n"  # and not about to become this program
            agent.pid = process.pid
            async with scripted(agent) as (session, _, manager):
                await session.ask("one")
                said = manager.explain("k")
                assert said.pid == process.pid
                assert said.rss_bytes is not None
                assert 10_000 < said.rss_bytes < 100_000_000
                assert f"pid {process.pid}, " in str(said)
                assert manager.explain("k", rss=False).rss_bytes is None
                assert manager.statistics().rss_bytes is None
                of_all = manager.statistics(rss=True).rss_bytes
                assert of_all is not None
                assert 10_000 < of_all < 100_000_000  # not the same: with whom its pages are shared changes
        finally:
            os.killpg(process.pid, signal.SIGKILL)


async def test_a_manager_in_numbers(autojump_clock: MockClock) -> None:
    async with scripted() as (session, _, manager):
        await session.ask("one")
        await manager.session("other").ask("one")
        await manager.session("other").hibernate()
        await session.send("silent")
        await session.send("next")
        failed = await manager.session("third").send("fail")
        await failed.wait()
        said = manager.statistics()
        assert (said.states, said.turns, said.running, said.waiting) == (
            {"running": 1, "hibernated": 1, "idle": 1},
            {"answered": 2, "failed": 1},
            1,
            1,
        )
        assert (said.cost_usd, said.restarts, said.is_draining) == (0.0, 0, False)
        assert [manager.explain(key).turns for key in ("k", "other", "third")] == [1, 1, 1]


async def test_a_key_that_cannot_be(autojump_clock: MockClock) -> None:
    async with open_manager(ScriptedAgent(), limits=Limits()) as manager:
        with pytest.raises(InvalidOption):
            manager.explain("")
        assert msgspec.to_builtins(manager.explain("unknown"))["state"] == "new"
        assert manager.sessions() == []


async def test_a_session_whose_account_is_used_up_says_until_when(autojump_clock: MockClock) -> None:
    async with open_manager(Embedded()) as manager:
        await (await manager.session("k").send("Fail with 429: slow down")).wait()
        for key in ("k", "late"):
            await manager.session(key).send("Say hi")
        await wait_all_tasks_blocked()
        for key, rest in (("k", ""), ("late", "; 1 waits before it")):
            said = manager.explain(key).waits_for
            assert said is not None
            assert said.startswith(
                "the end of a usage limit: the API answered 429: API Error: 429 slow down; waits until 2"
            )
            assert said.endswith(rest)


async def test_a_session_without_money_says_so_awake_and_asleep(autojump_clock: MockClock) -> None:
    async with open_manager(Embedded(), limits=Limits(max_cost_usd_per_session=1e-9)) as manager:
        session = manager.session("k")
        await session.ask("Say hi")
        said = manager.explain("k").waits_for
        assert said is not None
        assert said.startswith("money: Limits.max_cost_usd_per_session is 1e-09 US dollars, and ")
        await session.hibernate()
        assert manager.explain("k").waits_for == said
