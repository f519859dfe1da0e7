"""`claude_agent_sdk` on our agent: sessions, their histories, and the process."""

import uuid
from pathlib import Path
from typing import Any

import anyio
import pytest
from claude_agent_sdk import (
    AgentDefinition,
    ClaudeSDKClient,
    CLINotFoundError,
    InMemorySessionStore,
    ProcessError,
    ResultError,
    StreamEvent,
    UserMessage,
    delete_session,
    fork_session,
    get_session_info,
    get_session_messages,
    get_subagent_messages,
    list_sessions,
    list_subagents,
    project_key_for_directory,
    query,
    rename_session,
    tag_session,
)

from tests.foreign.claude_stage import SUITE, answer, ask, closing, options, result, said, scripted, turn, use
from tests.foreign.table import Place
from tests.support.leftovers import is_alive

TEA = "Remember: I like tea"
ASKED = "What do I like?"
TOLD = "You like tea."


async def told(place: Place, **more: Any) -> str:
    """A session in which something was told."""
    return result(await ask(place, TEA, **more)).session_id


async def recalled(place: Place, **more: Any) -> tuple[str | None, str]:
    """What a session knows, and its id."""
    end = result(await ask(place, ASKED, **more))
    return end.result, end.session_id


@SUITE.shows("chosen-id")
async def an_id_of_ours(place: Place) -> None:
    chosen = str(uuid.uuid4())
    assert await told(place, session_id=chosen) == chosen
    assert await recalled(place, resume=chosen) == (TOLD, chosen)
    with pytest.raises(ProcessError):
        await told(place, session_id=chosen)


@SUITE.shows("resume")
async def where_it_was(place: Place) -> None:
    session = await told(place)
    async with ClaudeSDKClient(options(place, resume=session)) as client:
        assert await answer(client, ASKED) == TOLD
        end = result(await turn(client, "How many messages?"))
    assert (end.result, end.session_id) == ("This is your 3rd message.", session)
    assert result(await ask(place, "How many messages?", resume=session)).result == "This is your 4th message."


@SUITE.shows("continue")
async def the_last_one_of_the_folder(place: Place) -> None:
    await ask(place, "Remember: I like coffee")
    session = await told(place)
    elsewhere = Place(agent=place.agent, cwd=place.cwd / "elsewhere")
    elsewhere.cwd.mkdir()
    await ask(elsewhere, "Remember: I like juice")
    assert await recalled(place, continue_conversation=True) == (TOLD, session)
    fresh = Place(agent=place.agent, cwd=place.cwd / "fresh")
    fresh.cwd.mkdir()
    assert result(await ask(fresh, "How many messages?", continue_conversation=True)).result == (
        "This is your 1st message."
    )


@SUITE.shows("fork")
async def another_way_from_here(place: Place) -> None:
    session = await told(place)
    known, fork = await recalled(place, resume=session, fork_session=True)
    assert (known, fork == session) == (TOLD, False)
    assert result(await ask(place, "How many messages?", resume=fork)).result == "This is your 3rd message."
    assert result(await ask(place, "How many messages?", resume=session)).result == "This is your 2nd message."


@SUITE.shows("fork")
async def another_way_from_the_middle(place: Place) -> None:
    session = await told(place)
    await ask(place, "Remember: I like coffee", resume=session)
    reply = get_session_messages(session, directory=str(place.cwd))[1].uuid
    known, fork = await recalled(place, resume=session, fork_session=True, resume_session_at=reply)
    assert (known, fork == session) == (TOLD, False)
    assert result(await ask(place, "How many messages?", resume=session)).result == "This is your 3rd message."


@SUITE.shows("fork-with-id")
async def another_way_with_a_name(place: Place) -> None:
    chosen = str(uuid.uuid4())
    session = await told(place)
    assert await recalled(place, resume=session, fork_session=True, session_id=chosen) == (TOLD, chosen)
    assert await recalled(place, resume=session) == (TOLD, session)


@SUITE.shows("unknown-id")
async def nothing_to_resume(place: Place) -> None:
    unknown = str(uuid.uuid4())
    with pytest.raises(ResultError, match=f"No conversation found with session ID: {unknown}") as raised:
        await ask(place, ASKED, resume=unknown)
    assert (raised.value.subtype, raised.value.exit_code) == ("error_during_execution", 1)
    client = ClaudeSDKClient(options(place, resume=unknown))
    with pytest.raises(ResultError, match="No conversation found"):
        await client.connect()
    with pytest.raises(ProcessError):
        await ask(place, ASKED, resume="not-an-id")


@SUITE.shows("list")
async def what_there_is(place: Place) -> None:
    older, newer = await told(place), await told(place)
    folder = str(place.cwd)
    found = list_sessions(directory=folder)
    assert {each.session_id for each in found} == {older, newer}
    info = get_session_info(newer, directory=folder)
    assert info is not None
    assert (info.summary, info.first_prompt, info.cwd, info.tag) == (TEA, TEA, folder, None)
    assert info.created_at is not None
    assert info.created_at <= info.last_modified + 1000
    assert [each.session_id for each in list_sessions(directory=folder, limit=1, offset=1)] == [found[1].session_id]
    assert {older, newer} <= {each.session_id for each in list_sessions()}


@SUITE.shows("messages")
async def what_was_said(place: Place) -> None:
    session = await told(place)
    (place.cwd / "a.txt").write_text("A")
    await ask(place, use("Read", file_path="a.txt"), resume=session)
    messages = get_session_messages(session, directory=str(place.cwd))
    kinds = ["user", "assistant", "user", "assistant", "assistant", "user", "assistant"]  # a block is a message
    assert [each.type for each in messages] == kinds
    assert {each.session_id for each in messages} == {session}
    assert messages[0].message["content"] == TEA
    blocks = [each.message["content"][-1]["type"] for each in messages[3:]]
    assert blocks == ["text", "tool_use", "tool_result", "text"]
    assert get_session_messages(session, directory=str(place.cwd), limit=1, offset=2) == messages[2:3]


@SUITE.shows("messages")
async def what_sub_agents_said(place: Place) -> None:
    task = {"description": "Count", "prompt": "Count to 4", "subagent_type": "counter"}
    agents = {"counter": AgentDefinition(description="Counts", prompt="You count.")}
    session = result(await ask(place, use("Task", **task), agents=agents)).session_id
    (agent,) = list_subagents(session, directory=str(place.cwd))
    messages = get_subagent_messages(session, agent, directory=str(place.cwd))
    assert [each.type for each in messages] == ["user", "assistant"]
    assert messages[0].parent_tool_use_id is not None


@SUITE.shows("rename", "tag")
async def names_and_tags(place: Place) -> None:
    session, folder = await told(place), str(place.cwd)
    rename_session(session, "About tea", directory=folder)
    tag_session(session, "drinks", directory=folder)
    assert await recalled(place, resume=session) == (TOLD, session)
    (info,) = list_sessions(directory=folder)
    assert (info.summary, info.custom_title, info.tag) == ("About tea", "About tea", "drinks")
    tag_session(session, None, directory=folder)
    assert [each.tag for each in list_sessions(directory=folder)] == [None]


@SUITE.shows("delete")
async def gone_for_good(place: Place) -> None:
    session = await told(place)
    delete_session(session, directory=str(place.cwd))
    assert list_sessions(directory=str(place.cwd)) == []
    with pytest.raises(ResultError, match="No conversation found"):
        await ask(place, ASKED, resume=session)


@SUITE.shows("fork-history")
async def a_copy_of_a_history(place: Place) -> None:
    session, folder = await told(place), str(place.cwd)
    await ask(place, "Remember: I like coffee", resume=session)
    first_reply = get_session_messages(session, directory=folder)[1].uuid
    whole = fork_session(session, directory=folder, title="Another").session_id
    part = fork_session(session, directory=folder, up_to_message_id=first_reply).session_id
    assert await recalled(place, resume=part) == (TOLD, part)
    assert result(await ask(place, "How many messages?", resume=whole)).result == "This is your 3rd message."
    assert result(await ask(place, "How many messages?", resume=session)).result == "This is your 3rd message."
    found = {each.session_id: each for each in list_sessions(directory=folder)}
    assert set(found) == {session, whole, part}
    assert (found[whole].summary, found[whole].first_prompt) == ("Another", TEA)


@SUITE.shows("session-store")
async def histories_that_the_host_keeps(place: Place) -> None:
    store = InMemorySessionStore()
    session = await told(place, session_store=store)
    key = project_key_for_directory(place.cwd)
    assert [each["session_id"] for each in await store.list_sessions(key)] == [session]
    delete_session(session, directory=str(place.cwd))
    assert await recalled(place, resume=session, session_store=store) == (TOLD, session)
    assert await recalled(place, continue_conversation=True, session_store=store) == (TOLD, session)


@SUITE.shows("close")
async def left_early(place: Place) -> None:
    hanging = {"prompt": "hang", "reply": [{"say": "one "}, {"hang": True}]}
    async with ClaudeSDKClient(scripted(place, hanging, include_partial_messages=True)) as client:
        pid = await pid_of(client)
        await client.query("hang")
        async with closing(client.receive_messages()) as messages:
            async for message in messages:
                if isinstance(message, StreamEvent):
                    break
        await client.interrupt()
    assert not is_alive(pid)
    prompt = use("Bash", command="echo $PPID > pid")
    async with closing(query(prompt=prompt, options=options(place, allowed_tools=["Bash"]))) as messages:
        async for message in messages:
            if isinstance(message, UserMessage):
                break
    pid = int((place.cwd / "pid").read_text())
    while is_alive(pid):  # this SDK closes it in the background
        await anyio.sleep(0.01)


@SUITE.shows("close")
async def cancelled(place: Place) -> None:
    pids: list[int] = []
    with anyio.CancelScope() as scope:
        async with ClaudeSDKClient(options(place)) as client:
            pids.append(await pid_of(client))
            scope.cancel()
            await turn(client, "Count to 3")
    assert [is_alive(pid) for pid in pids] == [False]


async def pid_of(client: ClaudeSDKClient) -> int:
    info = await client.get_server_info()
    assert info is not None
    pid: int = info["pid"]
    assert is_alive(pid)
    return pid


@SUITE.shows("exit-code")
async def a_command_line_that_cannot_be(place: Place) -> None:
    lines: list[str] = []
    with pytest.raises(ProcessError) as raised:
        await ask(place, "Count to 3", extra_args={"no-such-flag": None}, stderr=lines.append)
    assert (raised.value.exit_code, lines) == (1, ["error: unknown option '--no-such-flag'"])
    with pytest.raises(CLINotFoundError):
        await ask(Place(agent=Path("/nowhere/triologue-agent"), cwd=place.cwd), "Count to 3")


@SUITE.shows("exit-code")
async def a_process_that_is_killed(place: Place) -> None:
    async with ClaudeSDKClient(scripted(place, {"prompt": "hang", "reply": [{"hang": True}]})) as client:
        pid = await pid_of(client)
        await client.query("hang")
        await (await anyio.open_process(["kill", "-KILL", str(pid)])).wait()
        with pytest.raises(ProcessError) as raised:
            said([message async for message in client.receive_response()])
    assert raised.value.exit_code == -9
