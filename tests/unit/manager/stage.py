"""A manager with a scripted agent."""

from collections.abc import AsyncGenerator
from contextlib import asynccontextmanager
from typing import Any

from tests.support.scripted_agent import ScriptedAgent
from triologue.manager import Session, SessionManager, open_manager
from triologue.options import Deadlines


@asynccontextmanager
async def scripted(
    agent: ScriptedAgent | None = None, *, deadlines: Deadlines | None = None, **more: Any
) -> AsyncGenerator[tuple[Session, ScriptedAgent, SessionManager]]:
    agent = agent or ScriptedAgent()
    async with open_manager(agent, deadlines=deadlines, **more) as manager:
        yield manager.session("k"), agent, manager


async def answer(session: Session, prompt: str) -> str | None:
    return (await session.ask(prompt)).result
