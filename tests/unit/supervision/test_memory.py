"""`Limits.max_rss_bytes` with real processes: the built-in agent as a program, three times."""

import sys
from pathlib import Path

import pytest
import trio

import triologue as tri
from tests.support.standin_program import agent_program
from tests.support.threads import no_threads
from tests.unit.supervision.stage import live
from triologue.supervision import Overseer

pytestmark = pytest.mark.skipif(sys.platform != "linux", reason="memory is measured by Linux's /proc")

MIB = 2**20


def overseer_of(manager: tri.SessionManager) -> Overseer:
    oversight = manager._world.oversight
    assert isinstance(oversight, Overseer)
    return oversight


async def weigh(manager: tri.SessionManager) -> int:
    """Look once, and return what all weigh."""
    overseer = overseer_of(manager)
    assert await overseer.weigh()
    return overseer.housing.residency.statistics().rss_bytes


async def wait_places(manager: tri.SessionManager, count: int) -> None:
    """Returns when so many are live, also of those that leave."""
    with trio.fail_after(20):
        while sum(overseer_of(manager).housing.residency.statistics().live.values()) != count:
            await trio.sleep(0.01)


def program(folder: Path) -> tuple[tri.ClaudeCode, tri.Options]:
    """The built-in agent as a process."""
    options = tri.Options(cli_path=str(agent_program(folder)), cwd=folder)
    return tri.ClaudeCode(environ={"HOME": str(folder), "PATH": "/usr/bin:/bin"}), options


async def test_over_the_bound_those_that_are_idle_hibernate_but_for_the_last(tmp_path: Path) -> None:
    agent, options = program(tmp_path)
    async with tri.open_manager(agent, options=options, limits=tri.Limits(max_live=5)) as manager:
        await manager.session("a").ask("Hello")
        alone = await weigh(manager)
    assert alone > 5 * MIB
    limits = tri.Limits(max_live=5, max_rss_bytes=int(1.5 * alone))
    async with tri.open_manager(agent, options=options, limits=limits) as manager:
        for key in "abc":
            await manager.session(key).ask("Hello")
        assert await weigh(manager) > limits.max_rss_bytes  # type: ignore[operator]
        await wait_places(manager, 1)
        assert live(manager) == {"c"}
        assert await weigh(manager) < limits.max_rss_bytes  # type: ignore[operator]
        assert "2nd message" in ((await manager.session("a").ask("How many messages?")).result or "")


async def test_without_a_thread_it_is_looked_at_again_later(tmp_path: Path) -> None:
    agent, options = program(tmp_path)
    async with tri.open_manager(agent, options=options) as manager:
        await manager.session("a").ask("Hello")
        weight = await weigh(manager)
        with no_threads():
            assert await weigh(manager) == weight > 0


async def test_one_may_live_however_much_it_weighs(tmp_path: Path) -> None:
    agent, options = program(tmp_path)
    limits = tri.Limits(max_live=5, max_rss_bytes=1)
    async with tri.open_manager(agent, options=options, limits=limits) as manager:
        await manager.session("a").ask("Hello")
        assert await weigh(manager) > 1
        assert live(manager) == {"a"}
        # The next one waits for the memory, and gets it from the one that has nothing to do.
        assert (await manager.session("b").ask("Hello")).result is not None
        assert live(manager) == {"b"}
