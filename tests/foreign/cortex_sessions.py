"""Sessions with `cortex_code_agent_sdk` on our agent."""

import pytest
from cortex_code_agent_sdk import fork_session

from tests.foreign.alike_sessions import show_sessions
from tests.foreign.cortex_turns import SDK, SUITE
from tests.foreign.table import Place

show_sessions(SDK)


@SUITE.shows("fork-history")
async def fork_without_a_turn(place: Place) -> None:
    first = await SDK.one_shot(place, "Remember: I like tea")
    forked = await fork_session(first.result.session_id, SDK.options(place))
    assert forked != first.result.session_id
    both = [await SDK.one_shot(place, "What do I like?", resume=each) for each in (forked, first.result.session_id)]
    assert [reply.text for reply in both] == ["You like tea."] * 2
    assert [reply.result.session_id for reply in both] == [forked, first.result.session_id]


@SUITE.shows("unknown-id")
async def fork_of_an_unknown_id(place: Place) -> None:
    with pytest.raises(SDK.module.ProcessError):
        await fork_session("5f0c1cd0-5ad2-4a3b-9a37-6c4b3f3e6c55", SDK.options(place))


@SUITE.shows("continue")
async def nothing_to_continue(place: Place) -> None:
    reply = await SDK.one_shot(place, "How many messages?", continue_conversation=True)
    assert reply.text == "This is your 1st message."


for each in ("list", "messages", "rename", "tag", "delete", "session-store"):
    SUITE.lacks(each, "the SDK has no such helper")
