"""However the host ends, nothing of it is alive afterwards: agents, their tools, background tasks, the warden."""

import os
import signal
import subprocess
import sys
from collections.abc import AsyncGenerator
from contextlib import asynccontextmanager
from pathlib import Path

import pytest
import trio

import triologue as tri
from tests.support.leftovers import descendants
from tests.support.live import bash, open_live_manager
from tests.support.processes import processes_with, wait_none_with
from tests.support.real_cli import CleanPlace, find_claude
from tests.support.signpost import open_signpost, sleepers, wait_no_sleepers
from triologue.agents.runtime import VARIABLE

pytestmark = pytest.mark.real_cli

HOST = Path(__file__).parent / "host_program.py"
BUSY_HOST = Path(__file__).parent / "busy_host_program.py"

SOON = 2.0
"""Seconds in which everything is gone when the host was killed."""


@asynccontextmanager
async def open_host(place: CleanPlace, ending: str = "leave") -> AsyncGenerator[trio.Process]:
    """A host with an idle session, one in the middle of a Bash tool, and one with a background task."""
    env = {**place.env, "PYTHONPATH": str(Path(tri.__file__).parent.parent)}
    (place.home / "tool").mkdir()
    (place.home / "background").mkdir()
    async with open_signpost(place.home / "tool") as tool, open_signpost(place.home / "background") as background:
        prompts = [bash(tool.sleeper), bash(background.sleeper, run_in_background=True) + "[[say started]]"]
        host = await trio.lowlevel.open_process(
            [sys.executable, str(HOST), str(find_claude()), str(place.cwd), *prompts, ending],
            env=env,
            stdin=subprocess.PIPE,
            stdout=subprocess.PIPE,
            stderr=subprocess.DEVNULL,
            start_new_session=True,
        )
        assert host.stdin is not None
        assert host.stdout is not None
        async with host.stdin, host.stdout:
            try:
                with trio.fail_after(60):
                    assert await host.stdout.receive_some() == b"ready\n"
                    await tool.wait_reached()
                    await background.wait_reached()
                assert_all_alive(place)
                yield host
            finally:
                host.kill()
                await host.wait()


def assert_all_alive(place: CleanPlace) -> None:
    commands = [found.command for found in processes_with(place.marker)]
    assert sum(str(HOST) in command for command in commands) == 1
    assert sum("warden_process.py" in command for command in commands) == 1
    assert sum(command.startswith(str(find_claude())) for command in commands) >= 3
    assert len(sleepers(place.marker)) == 2


async def test_killed(place: CleanPlace) -> None:
    async with open_host(place) as host:
        host.kill()
        assert await host.wait() == -signal.SIGKILL
        await wait_none_with(place.marker, patience=SOON)
    assert (await next_run(place)).runs == 1


@pytest.mark.slow
async def test_killed_with_its_warden(place: CleanPlace) -> None:
    async with open_host(place) as host:
        (warden,) = [pid for pid, command in descendants(host.pid).items() if "warden_process.py" in command]
        for number in (signal.SIGSTOP, signal.SIGKILL):  # so that neither sees the other end
            for pid in (host.pid, warden):
                os.kill(pid, number)
        assert await host.wait() == -signal.SIGKILL
        assert sleepers(place.marker) != []
        found = await next_run(place)
        assert (found.runs, found.left) == (1, ())
        assert found.processes >= 2
        await wait_none_with(place.marker)
        assert await next_run(place) == tri.Leftovers()


@pytest.mark.slow
async def test_killed_while_many_are_at_work(place: CleanPlace) -> None:
    """Turns that run, agents that start and stop, a `python3 -c` that a Bash tool has started and that never ends."""
    env = {**place.env, "PYTHONPATH": str(Path(tri.__file__).parent.parent)}
    async with open_signpost(place.home) as post:
        argv = [str(BUSY_HOST), str(find_claude()), str(place.cwd), "6", bash(post.sleeper)]
        host = await trio.lowlevel.open_process(
            [sys.executable, *argv], env=env, stdout=subprocess.PIPE, stderr=subprocess.DEVNULL
        )
        assert host.stdout is not None
        async with host.stdout:
            with trio.fail_after(240):
                assert await host.stdout.receive_some() == b"ready\n"
                await post.wait_reached()
            assert len(sleepers(place.marker)) == 1
            host.kill()
            assert await host.wait() == -signal.SIGKILL
            await wait_none_with(place.marker, patience=SOON)
    assert (await next_run(place)).runs == 1


async def next_run(place: CleanPlace) -> tri.Leftovers:
    """What a manager of the same user finds when it is opened next."""
    with pytest.MonkeyPatch.context() as patch:
        patch.setenv(VARIABLE, place.env[VARIABLE])
        async with tri.open_manager(tri.Embedded()) as manager:
            return manager.statistics().leftovers


@pytest.mark.slow
@pytest.mark.parametrize("number", [signal.SIGTERM, signal.SIGINT, signal.SIGHUP])
async def test_its_process_group_is_signalled(place: CleanPlace, number: signal.Signals) -> None:
    async with open_host(place) as host:
        os.killpg(host.pid, number)
        with trio.fail_after(30):
            assert await host.wait() != 0
        await wait_none_with(place.marker)


@pytest.mark.slow
@pytest.mark.parametrize(("ending", "exit_code"), [("leave", 0), ("raise", 1)])
async def test_it_leaves_the_block(place: CleanPlace, ending: str, exit_code: int) -> None:
    async with open_host(place, ending) as host:
        assert host.stdin is not None
        await host.stdin.send_all(b"end\n")
        with trio.fail_after(30):
            assert await host.wait() == exit_code
        # Not soon, but before it ended.
        assert processes_with(place.marker) == []


@pytest.mark.slow
async def test_it_exits_without_a_word(place: CleanPlace) -> None:
    async with open_host(place, "exit") as host:
        assert host.stdin is not None
        await host.stdin.send_all(b"end\n")
        with trio.fail_after(30):
            assert await host.wait() == 7
        await wait_none_with(place.marker)


@pytest.mark.slow
async def test_one_that_hangs_keeps_its_agents_until_it_is_killed(place: CleanPlace) -> None:
    async with open_host(place) as host:
        os.kill(host.pid, signal.SIGSTOP)
        assert_all_alive(place)
        host.kill()
        assert await host.wait() == -signal.SIGKILL
        await wait_none_with(place.marker)


@pytest.mark.slow
async def test_the_warden_alone_is_killed_and_the_conversations_go_on_under_another(place: CleanPlace) -> None:
    async with (
        open_signpost(place.home) as post,
        open_live_manager(place, tri.Options(allowed_tools=["Bash"])) as manager,
    ):
        idle, busy = manager.session("idle"), manager.session("busy")
        await idle.ask("first")
        await busy.ask("second")
        turn = await busy.send(bash(post.sleeper))
        await post.wait_reached()
        (warden,) = [pid for pid, command in descendants().items() if "warden_process.py" in command]
        os.kill(warden, signal.SIGKILL)
        outcome = await turn.wait()
        assert (outcome.kind, outcome.reason) == ("failed", "AgentCrashed")
        await wait_no_sleepers(place.marker)
        assert (await idle.ask("third")).result == "echo[2]: first | third"
        assert (await busy.ask("[[say on]]")).result == "on"
