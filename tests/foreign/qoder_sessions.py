"""Sessions with `qoder_agent_sdk` on our agent, and the histories that its helpers read and change."""

from typing import Any

import pytest
from qoder_agent_sdk import (
    InMemorySessionStore,
    delete_session,
    fork_session,
    get_session_info,
    get_session_messages,
    list_sessions,
    rename_session,
    tag_session,
)

from tests.foreign.alike import ask
from tests.foreign.alike_sessions import TOLD, show_sessions
from tests.foreign.qoder_turns import SDK, SUITE
from tests.foreign.table import Place

show_sessions(SDK)

LAST = 'Use the tool Glob with {"pattern": "*.none"}'


async def _history(place: Place) -> str:
    """A conversation of two turns, one of them with a tool."""
    async with SDK.talk(place) as client:
        await ask(client, "Remember: I like tea")
        reply = await ask(client, LAST)
    session_id: str = reply.result.session_id
    return session_id


@SUITE.shows("list")
async def list_them(place: Place) -> None:
    first, second = await _history(place), await _history(place)
    found = list_sessions(directory=str(place.cwd))
    assert {each.session_id for each in found} == {first, second}
    assert [each.session_id for each in list_sessions(directory=str(place.cwd), limit=1)] == [second]
    assert [each.session_id for each in list_sessions(directory=str(place.cwd), offset=1)] == [first]
    assert {each.session_id for each in list_sessions()} >= {first, second}
    info = get_session_info(first, directory=str(place.cwd))
    assert info is not None
    assert (info.first_prompt, info.summary) == (
        "Remember: I like tea",
        LAST,
    )  # the last prompt, until there is a title
    assert info.cwd == str(place.cwd)
    assert info.created_at is not None
    assert info.created_at <= info.last_modified + 1000


@SUITE.shows("messages")
async def read_one(place: Place) -> None:
    session_id = await _history(place)
    messages = get_session_messages(session_id, directory=str(place.cwd))
    kinds = [message.type for message in messages]
    assert kinds == ["user", "assistant", "user", "assistant", "assistant", "user", "assistant"]
    assert {message.session_id for message in messages} == {session_id}
    assert len({message.uuid for message in messages}) == len(messages)
    assert messages[0].message["content"] == "Remember: I like tea"
    assert _text(messages[1].message) == TOLD
    assert [block["type"] for block in messages[5].message["content"]] == ["tool_result"]
    assert get_session_messages(session_id, directory=str(place.cwd), limit=1, offset=1)[0] == messages[1]


def _text(message: dict[str, Any]) -> str:
    return "".join(block.get("text", "") for block in message["content"])


@SUITE.shows("rename", "tag")
async def rename_and_tag(place: Place) -> None:
    session_id = await _history(place)
    rename_session(session_id, "Tea", directory=str(place.cwd))
    tag_session(session_id, "drinks", directory=str(place.cwd))
    info = get_session_info(session_id, directory=str(place.cwd))
    assert info is not None
    assert (info.custom_title, info.summary, info.tag) == ("Tea", "Tea", "drinks")
    # The conversation goes on, and has its title and tag still.
    assert (await SDK.one_shot(place, "What do I like?", resume=session_id)).text == "You like tea."
    info = get_session_info(session_id, directory=str(place.cwd))
    assert info is not None
    assert (info.custom_title, info.tag) == ("Tea", "drinks")
    tag_session(session_id, None, directory=str(place.cwd))
    info = get_session_info(session_id, directory=str(place.cwd))
    assert info is not None
    assert info.tag is None


@SUITE.shows("delete")
async def delete_one(place: Place) -> None:
    session_id, other = await _history(place), await _history(place)
    delete_session(session_id, directory=str(place.cwd))
    assert [each.session_id for each in list_sessions(directory=str(place.cwd))] == [other]
    client = SDK.client(SDK.options(place, resume=session_id))
    with pytest.raises(SDK.module.ProcessError):
        await client.connect()
    await client.disconnect()


@SUITE.shows("fork-history")
async def fork_one(place: Place) -> None:
    session_id = await _history(place)
    messages = get_session_messages(session_id, directory=str(place.cwd))
    whole = fork_session(session_id, directory=str(place.cwd), title="Branch")
    short = fork_session(session_id, directory=str(place.cwd), up_to_message_id=messages[1].uuid)
    counts = [
        (await SDK.one_shot(place, "How many messages?", resume=each)).text
        for each in (whole.session_id, short.session_id, session_id)
    ]
    assert counts == ["This is your 3rd message.", "This is your 2nd message.", "This is your 3rd message."]
    info = get_session_info(whole.session_id, directory=str(place.cwd))
    assert info is not None
    assert info.custom_title == "Branch"


@SUITE.shows("fork")
async def fork_at_a_message(place: Place) -> None:
    session_id = await _history(place)
    first_answer = get_session_messages(session_id, directory=str(place.cwd))[1].uuid
    reply = await SDK.one_shot(
        place, "How many messages?", resume=session_id, fork_session=True, resume_session_at=first_answer
    )
    assert reply.text == "This is your 2nd message."
    assert reply.result.session_id != session_id


@SUITE.shows("session-store")
async def histories_that_the_host_keeps(place: Place) -> None:
    store = InMemorySessionStore()
    first = await SDK.one_shot(place, "Remember: I like tea", session_store=store)
    assert store.size == 1
    delete_session(first.result.session_id, directory=str(place.cwd))
    again = await SDK.one_shot(place, "What do I like?", session_store=store, resume=first.result.session_id)
    assert (again.text, again.result.session_id) == ("You like tea.", first.result.session_id)
    last = await SDK.one_shot(place, "How many messages?", session_store=store, continue_conversation=True)
    assert (last.text, last.result.session_id) == ("This is your 3rd message.", first.result.session_id)


@SUITE.shows("continue")
async def nothing_to_continue(place: Place) -> None:
    client = SDK.client(SDK.options(place, continue_conversation=True))
    with pytest.raises(SDK.module.ProcessError) as failure:
        await client.connect()
    await client.disconnect()
    assert failure.value.exit_code == 42
