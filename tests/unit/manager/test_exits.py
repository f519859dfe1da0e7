"""Functions that call `sys.exit()`, as every command line does that is wrapped as a tool: the program lives on."""

import sys
from typing import Any

import pytest
import trio
from mcp.server.fastmcp import FastMCP

import triologue as tri
from tests.unit.manager.stage import answer, scripted
from triologue.exits import no_exit
from triologue.messages import CallbackFailed, McpStatusChange
from triologue.options import Options

TOLD = "it called sys.exit(2), which ends nothing here"


def in_a_thread() -> str:
    """Leave."""
    sys.exit(2)


async def on_the_loop() -> str:
    """Leave."""
    sys.exit(2)


async def in_a_nursery() -> str:
    """Leave, while something else runs."""
    async with trio.open_nursery() as nursery:
        nursery.start_soon(trio.sleep_forever)
        nursery.start_soon(on_the_loop)
    return "never"


FUNCTIONS = pytest.mark.parametrize("leave", [in_a_thread, on_the_loop, in_a_nursery], ids=lambda leave: leave.__name__)


@FUNCTIONS
async def test_a_tool_that_exits_has_failed(leave: Any) -> None:
    async with tri.open_manager(tri.Embedded(tools=[leave])) as manager:
        session = manager.session("k")
        assert (await session.ask(f"Call {leave.__name__}()")).result == f"The tool {leave.__name__} failed: {TOLD}."
        assert (await session.ask("Say hello.")).is_error is False


@FUNCTIONS
async def test_so_has_one_of_a_server(leave: Any) -> None:
    options = Options(mcp_servers={"s": [leave]}, allowed_tools=["mcp__s"])
    name = f"mcp__s__{leave.__name__}"
    async with tri.open_manager(tri.Embedded(), options=options) as manager:
        session = manager.session("k")
        assert (await session.ask(f"Call {name}()")).result == f"The tool {name} failed: {TOLD}."
        assert (await session.ask("Say hello.")).is_error is False


@FUNCTIONS
async def test_so_has_a_callback(leave: Any) -> None:
    async def told(*_: Any) -> None:
        await trio.to_thread.run_sync(leave) if leave is in_a_thread else await leave()

    async with scripted(on_permission=told) as (session, _, _):
        assert await answer(session, "use Bash") == f"Bash: {TOLD}"
        async with session.subscribe(after=0) as events:
            said = [(await anext(events)).message for _ in range(12)]
        assert CallbackFailed(request="can_use_tool", error=TOLD) in said


async def test_so_has_who_is_told_of_servers(caplog: pytest.LogCaptureFixture) -> None:
    async def leave(change: McpStatusChange) -> None:
        sys.exit(2)

    async with scripted(options=Options(on_mcp_status_change=leave)) as (session, agent, _):
        await session.ask("hi")
        agent.link.say(McpStatusChange(server_name="s", status="failed"))
        assert await answer(session, "two") == "2. two"
    assert [record.message for record in caplog.records] == ["a callback of the session 'k' raised"]


async def test_a_server_of_the_official_library_that_exits_has_failed_and_nothing_else() -> None:
    server = FastMCP("s")
    server.tool()(on_the_loop)
    options = Options(mcp_servers={"s": {"type": "sdk", "name": "s", "instance": server}}, allowed_tools=["mcp__s"])
    async with tri.open_manager(tri.Embedded(), options=options) as manager:
        session = manager.session("k")
        said = (await session.ask("Call mcp__s__on_the_loop()")).result
        assert said is not None
        assert TOLD in said
        assert (await session.ask("Say hello.")).is_error is False


def test_what_comes_with_it_is_kept() -> None:
    with pytest.raises(BaseExceptionGroup) as raised, no_exit():
        raise BaseExceptionGroup("both", [BaseExceptionGroup("inner", [SystemExit("bye")]), KeyboardInterrupt()])
    exited, others = raised.value.exceptions
    assert str(exited) == "it called sys.exit('bye'), which ends nothing here"
    assert repr(others) == repr(BaseExceptionGroup("both", [KeyboardInterrupt()]))


def test_groups_without_it_pass_as_they_are() -> None:
    group = ExceptionGroup("mine", [ValueError()])
    with pytest.raises(ExceptionGroup) as raised, no_exit():
        raise group
    assert raised.value is group
