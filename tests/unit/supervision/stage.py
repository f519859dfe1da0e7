"""Sessions of a scripted agent that share room, an account or a purse."""

from collections.abc import AsyncGenerator, Iterable
from contextlib import asynccontextmanager
from typing import Any

import trio
from trio.testing import wait_all_tasks_blocked

from tests.support.other_agent import OtherAgent
from tests.support.scripted_agent import ScriptedAgent, ScriptedLink
from triologue.manager import SessionManager, open_manager
from triologue.options import Limits, Options
from triologue.ports import Carrier, Connection, Sink


@asynccontextmanager
async def sharing(
    max_live: int | None, agent: ScriptedAgent | None = None, *, limits: Limits | None = None, **more: Any
) -> AsyncGenerator[tuple[SessionManager, ScriptedAgent]]:
    """A manager with room for so many, and its agent."""
    agent = agent or ScriptedAgent()
    async with open_manager(agent, limits=limits or Limits(max_live=max_live), **more) as manager:
        yield manager, agent
    assert agent.live == 0


class Outside(OtherAgent):
    """A scripted agent that counts as a process, as far as room is concerned."""

    def __init__(self, agent: ScriptedAgent) -> None:
        super().__init__(agent)
        self.scripted = agent

    @asynccontextmanager
    async def connect(self, options: Options, *, sink: Sink, carrier: Carrier) -> AsyncGenerator[Connection]:
        async with self.scripted.connect(options, sink=sink, carrier=carrier) as connection:
            yield connection


def states(manager: SessionManager) -> dict[str, str]:
    """By key."""
    return {each.key: each.state for each in manager.sessions()}


def live(manager: SessionManager) -> set[str]:
    """The keys of those that have an agent, or are to have one."""
    return {key for key, state in states(manager).items() if state in ("idle", "running", "interrupting")}


async def ask_all(manager: SessionManager, keys: Iterable[str], prompt: str = "hi") -> None:
    """At the same time."""
    async with trio.open_nursery() as nursery:
        for key in keys:
            nursery.start_soon(manager.session(key).ask, prompt)


def link_of(agent: ScriptedAgent, prompt: str) -> ScriptedLink:
    """The newest connection that was told this."""
    return next(link for link in reversed(agent.links) if any(prompt in repr(each) for each in link.sent))


async def settled() -> None:
    """All that follows from what was done has happened."""
    await wait_all_tasks_blocked()
