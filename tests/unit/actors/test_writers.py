"""Two keys of a manager that name one conversation: only one of them has an agent at a time."""

import pytest
from trio.testing import MockClock

import triologue as tri
from triologue.errors import SessionIdInUse
from triologue.testing import ScriptedAgent

RESUMED = tri.Options(resume="known")


async def test_a_conversation_has_one_agent(autojump_clock: MockClock, caplog: pytest.LogCaptureFixture) -> None:
    agent = ScriptedAgent()
    agent.conversation("known")
    async with tri.open_manager(agent) as manager:
        first, second = (manager.session(key, options=RESUMED) for key in ("first", "second"))
        await first.ask("hello")
        with pytest.raises(
            tri.TurnFailed, match="the agent of another key writes to the conversation 'known'"
        ) as raised:
            await second.ask("hello")
        assert "first" not in str(raised.value).replace("session first", "")
        (refused,) = [record for record in caplog.records if "which 'first' writes to" in record.getMessage()]
        assert (vars(refused)["session_key"], vars(refused)["turn_id"]) == ("second", None)
        assert isinstance(raised.value.__cause__, SessionIdInUse)
        await first.close()
        assert (await second.ask("my turn")).result == "my turn"
    assert agent.conversations["known"].prompts == ["hello", "my turn"]


async def test_an_id_that_the_agent_chose_is_in_use_too(autojump_clock: MockClock) -> None:
    async with tri.open_manager(ScriptedAgent()) as manager:
        first = manager.session("first")
        await first.ask("hello")
        options = tri.Options(resume=first.session_id)
        with pytest.raises(tri.TurnFailed, match="disconnect that client, or copy it with fork_session=True"):
            await manager.session("second", options=options).ask("hello")
        copy = await first.fork("copy")
        assert (await copy.ask("both")).result == "both"
