"""Programs written with the vendors' names, on the built-in agent as the vendor's program."""

from collections.abc import AsyncIterator
from contextlib import aclosing
from pathlib import Path
from typing import Any

import pytest
import trio

from tests.unit.sdk.face_stage import CLIENTS, FACES, asked, options, read, set_up
from triologue.sdk import claude, cortex, qoder

VENDORS = sorted(FACES)
NEW = "7c9e6679-7425-40de-944b-e07fc1f90ae7"
OTHER = "0f14d0ab-9605-4a62-a9e4-5ed26688389b"
RULES: list[dict[str, Any]] = [
    {"prompt": "write", "replies": [[{"tool": "Write", "input": {"file_path": "a.txt", "content": "A"}}], "Done."]},
    {"prompt": "add", "replies": [[{"tool": "mcp__sums__add", "input": {"a": 1, "b": 2}}], [{"results": True}]]},
    {"prompt": "wait", "reply": [{"say": "Waiting"}, {"hang": True}]},
    {"prompt": "break", "reply": [{"error": 400, "message": "bad thing"}]},
]


@pytest.fixture
def work(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> Path:
    return set_up(tmp_path, monkeypatch, RULES)


async def prompts(*texts: str) -> AsyncIterator[dict[str, Any]]:
    for text in texts:
        yield {"type": "user", "message": {"role": "user", "content": text}, "parent_tool_use_id": None}


def results(messages: list[Any]) -> list[str | None]:
    return [message.result for message in messages if isinstance(message, claude.ResultMessage)]


# Queries.


@pytest.mark.parametrize("vendor", VENDORS)
async def test_a_query_gives_what_the_vendors_give(vendor: str, work: Path) -> None:
    messages = await read(FACES[vendor].query(prompt="Hello", options=options(vendor, cwd=work)))
    kinds = [type(message).__name__ for message in messages]
    assert kinds == ["InitMessage", "AssistantMessage", "ResultMessage"]
    assert messages[0].subtype == "init"
    assert messages[0].data["session_id"] == messages[2].session_id
    assert [block.text for block in messages[1].content] == ["Hello! What can I do for you?"]


@pytest.mark.parametrize("vendor", VENDORS)
async def test_streamed_input(vendor: str, work: Path) -> None:
    said = prompts("Remember: I like Python", "What do I like?")
    messages = await read(FACES[vendor].query(prompt=said, options=options(vendor, cwd=work)))
    assert results(messages) == ["I will remember that you like Python.", "You like Python."]


async def test_an_error_result_is_raised_where_the_vendor_does(work: Path) -> None:
    last: Any = None
    with pytest.raises(claude.ResultError) as caught:
        async for message in claude.query(prompt="break", options=options("claude", cwd=work)):
            last = message
    assert last.is_error
    assert (caught.value.result, caught.value.session_id) == (last.result, last.session_id)
    assert str(caught.value) == f"the run failed (api_error): {last.result}"
    for vendor in ("qoder", "cortex"):
        messages = await read(FACES[vendor].query(prompt="break", options=options(vendor, cwd=work)))
        assert messages[-1].is_error


@pytest.mark.parametrize("vendor", VENDORS)
async def test_a_query_can_be_closed(vendor: str, work: Path) -> None:
    async with aclosing(FACES[vendor].query(prompt="wait", options=options(vendor, cwd=work))) as messages:
        async for message in messages:
            if isinstance(message, claude.SystemMessage):
                break
    assert messages.session_id is not None


async def test_a_program_that_is_not_there(work: Path) -> None:
    missing = options("claude", cli_path=work / "nothing")
    with pytest.raises(claude.CLINotFoundError):
        await read(claude.query(prompt="Hello", options=missing))
    with pytest.raises(claude.CLINotFoundError):
        async with claude.ClaudeSDKClient(missing):
            pass


@pytest.mark.parametrize("vendor", VENDORS)
async def test_an_unknown_conversation_is_a_process_error(vendor: str, work: Path) -> None:
    unknown = options(vendor, cwd=work, resume=NEW)
    with pytest.raises(FACES[vendor].ProcessError, match=NEW):
        await read(FACES[vendor].query(prompt="Hello", options=unknown))
    client = CLIENTS[vendor](unknown)
    with pytest.raises(FACES[vendor].ProcessError):
        await client.connect()
    await client.disconnect()


# Clients.


@pytest.mark.parametrize("vendor", VENDORS)
async def test_turn_by_turn(vendor: str, work: Path) -> None:
    client = CLIENTS[vendor](options(vendor, cwd=work))
    with pytest.raises(FACES[vendor].CLIConnectionError):
        await client.query("Hello")
    async with client:
        with pytest.raises(FACES[vendor].CLIConnectionError):
            await client.connect()
        assert await asked(client, "Remember: I like Python") == "I will remember that you like Python."
        assert await asked(client, "What do I like?") == "You like Python."
        assert "models" in await client.get_server_info()
        assert (await client.get_mcp_status())["mcpServers"] == []
        await client.set_model("opus")
        await client.set_permission_mode("default")
    with pytest.raises(FACES[vendor].CLIConnectionError):
        await client.interrupt()


@pytest.mark.parametrize("vendor", VENDORS)
async def test_sessions(vendor: str, work: Path) -> None:
    def client(**more: Any) -> Any:
        return CLIENTS[vendor](options(vendor, cwd=work, **more))

    async with client(session_id=NEW) as first:
        await asked(first, "Remember: I like Python")
        assert first.session_id == NEW
    async with client(resume=NEW) as again:
        assert await asked(again, "What do I like?") == "You like Python."
    async with client(continue_conversation=True) as latest:
        assert await asked(latest, "What do I like?") == "You like Python."
        assert latest.session_id == NEW
    async with client(resume=NEW, fork_session=True, session_id=OTHER) as fork:
        assert await asked(fork, "What do I like?") == "You like Python."
        assert fork.session_id == OTHER


@pytest.mark.parametrize("vendor", ["claude", "qoder"])
async def test_a_client_is_fed_while_it_is_read(vendor: str, work: Path) -> None:
    client = CLIENTS[vendor](options(vendor, cwd=work))
    await client.connect(prompts("Remember: I like Python", "What do I like?"))
    assert results(await read(client.receive_response())) == ["I will remember that you like Python."]
    assert results(await read(client.receive_response())) == ["You like Python."]
    assert await read(client.receive_response()) == []
    await client.disconnect()


async def test_what_breaks_the_feed_is_raised_to_its_reader(work: Path) -> None:
    async def broken() -> AsyncIterator[dict[str, Any]]:
        async for prompt in prompts("Hello"):
            yield prompt
        raise LookupError("no more")

    client = claude.ClaudeSDKClient(options("claude", cwd=work))
    await client.connect(broken())
    assert results(await read(client.receive_response())) == ["Hello! What can I do for you?"]
    with pytest.raises(LookupError):
        await read(client.receive_response())
    await client.disconnect()


@pytest.mark.parametrize("vendor", VENDORS)
async def test_interrupt(vendor: str, work: Path) -> None:
    async with CLIENTS[vendor](options(vendor, cwd=work, include_partial_messages=True)) as client:
        await client.query("wait")
        is_asked = False
        async for message in client.receive_response():
            if isinstance(message, claude.StreamEvent) and not is_asked:
                is_asked = True
                await client.interrupt()
        assert (message.subtype, message.is_error) == ("error_during_execution", True)
        assert await asked(client, "Hello") == "Hello! What can I do for you?"


@pytest.mark.parametrize("vendor", VENDORS)
async def test_everything_that_is_said(vendor: str, work: Path) -> None:
    async with CLIENTS[vendor](options(vendor, cwd=work)) as client:
        await client.query(prompts("Hello", "Hello"))
        told: list[Any] = []
        async for message in client.receive_messages():
            told.append(message)
            if len(results(told)) == 2:
                break
        assert results(told) == ["Hello! What can I do for you?"] * 2


# Callbacks.


@pytest.mark.parametrize("vendor", VENDORS)
async def test_permissions_hooks_and_tools(vendor: str, work: Path) -> None:
    face = FACES[vendor]
    asked_for: list[Any] = []
    hooked: list[Any] = []

    async def can_use_tool(tool: str, input: dict[str, Any], context: Any) -> Any:
        asked_for.append((tool, input, context.tool_use_id is not None))
        if tool == "Write":
            return face.PermissionResultDeny(message="not today")
        return face.PermissionResultAllow(updated_input={**input, "b": 40})

    async def hook(input: Any, tool_use_id: str | None, context: Any) -> dict[str, Any]:
        hooked.append((input["hook_event_name"], input["tool_name"], context["signal"]))
        return {}

    @face.tool("add", "Adds two numbers", {"a": int, "b": int})  # type: ignore[untyped-decorator]
    async def add(given: dict[str, Any]) -> dict[str, Any]:
        return {"content": [{"type": "text", "text": str(given["a"] + given["b"])}]}

    given = options(
        vendor,
        cwd=work,
        can_use_tool=can_use_tool,
        hooks={"PreToolUse": [face.HookMatcher(matcher="Write", hooks=[hook])]},
        mcp_servers={"sums": face.create_sdk_mcp_server("sums", tools=[add])},
    )
    async with CLIENTS[vendor](given) as client:
        assert await asked(client, "write") == "Done."
        assert await asked(client, "add") == "41"
    assert not (work / "a.txt").exists()
    assert [each[0] for each in asked_for] == ["Write", "mcp__sums__add"]
    assert hooked == [("PreToolUse", "Write", None)]


# What only one vendor has.


async def test_qoder_sends_a_prompt_in_many_ways(work: Path) -> None:
    async with qoder.QoderSDKClient(options("qoder", cwd=work)) as client:
        await client.query("Hello", message_uuid=NEW, priority="now", custom_context={"ticket": "7"})
        assert results(await read(client.receive_response())) == ["Hello! What can I do for you?"]
        with pytest.raises(ValueError, match="message_uuid"):
            await client.query(prompts("Hello"), message_uuid=NEW)
        with pytest.raises(ValueError, match="prompt"):
            await client.query(5)  # type: ignore[arg-type]
        assert isinstance(await client.supported_agents(), list)
    assert qoder.get_session_messages(str(client.session_id))[0].uuid == NEW


async def test_cortex_greets_whoever_reads_first(work: Path) -> None:
    async with cortex.CortexCodeSDKClient(options("cortex", cwd=work)) as client:
        await client.query("Hello")
        messages = await read(client.receive_response())
        assert isinstance(messages[0], cortex.InitSystemMessage)
        assert (messages[0].cwd, messages[0].session_id) == (str(work), messages[-1].session_id)
        await client.query("Hello")
        assert isinstance((await read(client.receive_response()))[0], cortex.AssistantMessage)


async def test_cortex_forks_without_a_prompt(work: Path) -> None:
    given = options("cortex", cwd=work)
    async with cortex.CortexCodeSDKClient(given) as client:
        await asked(client, "Remember: I like Python")
    copy = await cortex.fork_session(str(client.session_id), given)
    assert copy not in (None, client.session_id)


async def test_cortex_is_interrupted_by_its_event(work: Path) -> None:
    event = trio.Event()
    given = options("cortex", cwd=work, abort_event=event, include_partial_messages=True)
    async with cortex.CortexCodeSDKClient(given) as client:
        await client.query("wait")
        message: Any = None
        async for message in client.receive_response():
            if isinstance(message, cortex.StreamEvent):
                event.set()
        assert message.is_error
        assert await asked(client, "Hello") == "Hello! What can I do for you?"
