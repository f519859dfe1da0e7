"""A bot's handler and its tests, on a scripted agent and a virtual clock; run with pytest and pytest-trio."""

import trio

import triologue as tri
from triologue.testing import Crash, Say, ScriptedAgent, Stall, UseTool

pytest_plugins = ["triologue.testing.plugin"]


async def reply(session: tri.Session, prompt: str, patience: float = 60) -> str:
    """The handler: always an answer that can be posted, soon."""
    try:
        with trio.fail_after(patience):
            return (await session.ask(prompt)).result or "(nothing to say)"
    except trio.TooSlowError:  # the turn was interrupted with its caller
        return "That takes too long, I stopped it."
    except tri.TurnError as error:
        return f"That did not work: {error}"


async def test_a_tool_is_used(virtual_manager: tri.SessionManager, scripted_agent: ScriptedAgent) -> None:
    scripted_agent.on("deploy", UseTool("Bash", {"command": "make"}, seconds=30), Say("It is live."))
    assert await reply(virtual_manager.session("C1"), "deploy it, please") == "It is live."


async def test_a_crash_is_told(virtual_manager: tri.SessionManager, scripted_agent: ScriptedAgent) -> None:
    scripted_agent.on("boom", Say("Hold on"), Crash(1))
    session = virtual_manager.session("C1")
    assert await reply(session, "boom") == "That did not work: scripted died with exit code 1"
    assert await reply(session, "hello") == "hello"
    assert [start.options.resume for start in scripted_agent.starts] == [None, session.session_id]


async def test_a_stall_is_stopped(virtual_manager: tri.SessionManager, scripted_agent: ScriptedAgent) -> None:
    scripted_agent.on("think", Say("Hm"), Stall())
    session = virtual_manager.session("C1")
    assert await reply(session, "think") == "That takes too long, I stopped it."
    assert (trio.current_time(), await reply(session, "hello")) == (60, "hello")
