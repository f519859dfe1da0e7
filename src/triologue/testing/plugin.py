"""Fixtures for pytest. Ask for them in your `conftest.py`: `pytest_plugins = ["triologue.testing.plugin"]`.

There is no entry point, on purpose: triologue is often installed for another package's sake, and then each run of
pytest would import it, and have its fixtures, unasked.
"""

from collections.abc import AsyncGenerator, Awaitable, Callable, Sequence
from typing import Any

import pytest
import trio

from triologue.manager import SessionManager, open_manager
from triologue.testing.scripted_agent import ScriptedAgent
from triologue.testing.virtual import run_virtual


@pytest.fixture
def scripted_agent() -> ScriptedAgent:
    """An agent that echoes, until the test tells it otherwise."""
    return ScriptedAgent()


@pytest.fixture
def manager_options() -> dict[str, Any]:
    """What `virtual_manager` is opened with; override it: `{"limits": Limits(max_live=2)}`."""
    return {}


@pytest.fixture
async def virtual_manager(
    scripted_agent: ScriptedAgent, manager_options: dict[str, Any]
) -> AsyncGenerator[SessionManager]:
    """A manager of the scripted agent. An async test that asks for it runs under `run_virtual`, by pytest-trio."""
    async with open_manager(scripted_agent, **manager_options) as manager:
        yield manager


@pytest.hookimpl(trylast=True)
def pytest_collection_modifyitems(config: pytest.Config, items: list[pytest.Item]) -> None:
    """Let tests of virtual managers run on a virtual clock, whatever marks of `trio` they have besides."""
    virtual = [item for item in items if "virtual_manager" in getattr(item, "fixturenames", ())]
    if virtual and not config.pluginmanager.has_plugin("trio"):
        raise pytest.UsageError(
            f"{virtual[0].nodeid} asks for virtual_manager, which needs pytest-trio: pip install 'triologue[testing]'"
        )
    for item in virtual:
        item.add_marker(pytest.mark.trio(run=_run), append=False)


def _run(
    fn: Callable[[], Awaitable[None]], *, clock: trio.abc.Clock | None, instruments: Sequence[trio.abc.Instrument]
) -> None:
    if clock is not None:
        trio.run(fn, clock=clock, instruments=instruments)
    else:
        run_virtual(fn, instruments=instruments)
