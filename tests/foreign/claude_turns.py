"""`claude_agent_sdk` on our agent: turns."""

from collections.abc import AsyncIterator
from typing import Any

import anyio
import pytest
from claude_agent_sdk import (
    AgentDefinition,
    AssistantMessage,
    ClaudeSDKClient,
    CLIJSONDecodeError,
    ConversationResetMessage,
    Message,
    ResultMessage,
    StreamEvent,
    SystemMessage,
    TaskNotificationMessage,
    TaskStartedMessage,
    ToolUseBlock,
    query,
)
from claude_agent_sdk.types import SystemPromptPreset

from tests.foreign.claude_stage import (
    SUITE,
    answer,
    ask,
    failed,
    frame,
    frames,
    options,
    response,
    result,
    results,
    said,
    scripted,
    tool_results,
    turn,
    use,
)
from tests.foreign.table import Place

WORDS = {"prompt": "long", "reply": [{"say": "one two three"}, {"hang": True}]}


@SUITE.shows("one-shot")
async def a_text(place: Place) -> None:
    init, reply, end = await ask(place, "Count to 3", model="some-model", system_prompt="Be brief.")
    assert isinstance(init, SystemMessage)
    assert {name: init.data[name] for name in ("subtype", "cwd", "model", "permissionMode")} == {
        "subtype": "init",
        "cwd": str(place.cwd),
        "model": "some-model",
        "permissionMode": "default",
    }
    assert isinstance(reply, AssistantMessage)
    assert (said([reply]), reply.model, reply.session_id) == (["1 2 3"], "some-model", init.data["session_id"])
    assert isinstance(end, ResultMessage)
    assert (end.subtype, end.is_error, end.num_turns, end.result) == ("success", False, 1, "1 2 3")
    assert end.total_cost_usd
    assert end.usage
    assert end.model_usage
    assert list(end.model_usage) == ["some-model"]


@SUITE.shows("one-shot")
async def every_option_that_is_a_flag(place: Place) -> None:
    messages = await ask(
        place,
        "Count to 3",
        tools={"type": "preset", "preset": "claude_code"},
        allowed_tools=["Read", "Bash(ls:*)"],
        disallowed_tools=["Edit"],
        mcp_servers={"away": {"type": "http", "url": "http://127.0.0.1:9/mcp"}},
        strict_mcp_config=True,
        permission_mode="plan",
        fallback_model="another",
        betas=["context-1m-2025-08-07"],
        settings='{"env": {}}',
        sandbox={"enabled": False},
        add_dirs=[place.cwd, str(place.cwd)],
        include_hook_events=True,
        setting_sources=["user", "project", "local"],
        skills=["a-skill"],
        plugins=[{"type": "local", "path": str(place.cwd)}],
        thinking={"type": "adaptive", "display": "omitted"},
        effort="high",
        task_budget={"total": 100_000},
        max_turns=9,
        max_budget_usd=9.5,
        enable_file_checkpointing=True,
        extra_args={"replay-user-messages": None, "debug-to-stderr": None},
    )
    (init,) = [each.data for each in messages if isinstance(each, SystemMessage) and each.subtype == "init"]
    assert (init["permissionMode"], "Edit" in init["tools"], "Read" in init["tools"]) == ("plan", False, True)
    assert result(messages).result == "1 2 3"


@SUITE.shows("client")
async def several_turns(place: Place) -> None:
    async with ClaudeSDKClient(options(place)) as client:
        answers = [
            await answer(client, prompt)
            for prompt in ("Remember: I like tea", "What do I like?", "How many messages?", "grüß Gott 🎉")
        ]
        await client.query(frames("Count to 2", "Count to 3"))
        streamed = [result(await response(client)).result for _ in range(2)]
    assert answers == [
        "I will remember that you like tea.",
        "You like tea.",
        "This is your 3rd message.",
        'You said: "grüß Gott 🎉". This is your 4th message.',
    ]
    assert streamed == ["1 2", "1 2 3"]


@SUITE.shows("client")
async def connected_with_a_prompt(place: Place) -> None:
    client = ClaudeSDKClient(options(place))
    await client.connect("Count to 2")
    try:
        first = result(await response(client)).result
        second = await answer(client, "Count to 3")
    finally:
        await client.disconnect()
    assert (first, second) == ("1 2", "1 2 3")


@SUITE.shows("streamed-input")
async def prompts_that_come_slowly(place: Place) -> None:
    answered = anyio.Event()

    async def prompts() -> AsyncIterator[dict[str, Any]]:
        yield frame("Remember: I like tea")
        await answered.wait()
        yield frame("What do I like?")
        yield frame("Count to 3")

    messages: list[Message] = []
    async for message in query(prompt=prompts(), options=options(place)):
        messages.append(message)
        if isinstance(message, ResultMessage):
            answered.set()
    assert results(messages) == ["I will remember that you like tea.", "You like tea.", "1 2 3"]


@SUITE.shows("streamed-input")
async def no_prompt_at_all(place: Place) -> None:
    assert await ask(place, frames()) == []


@SUITE.shows("interrupt-stream")
async def stopped_while_text_comes(place: Place) -> None:
    async with ClaudeSDKClient(scripted(place, WORDS, include_partial_messages=True)) as client:
        await client.query("long")
        messages: list[Message] = []
        async for message in client.receive_response():
            messages.append(message)
            if isinstance(message, StreamEvent) and message.event.get("delta", {}).get("text") == "three":
                await client.interrupt()
        assert said(messages) == ["one two three"]
        assert (result(messages).subtype, result(messages).is_error) == ("error_during_execution", True)
        assert await answer(client, "How many messages?") == "This is your 2nd message."


@SUITE.shows("interrupt-tool")
async def stopped_while_a_tool_runs(place: Place) -> None:
    started = place.cwd / "started"
    async with ClaudeSDKClient(options(place, allowed_tools=["Bash"])) as client:
        await client.query(use("Bash", command="touch started; sleep 1000"))
        while not started.exists():
            await anyio.sleep(0.01)
        await client.interrupt()
        stopped = await response(client)
        assert (result(stopped).subtype, result(stopped).terminal_reason) == ("error_during_execution", "aborted_tools")
        assert [is_error for _, is_error in tool_results(stopped)] == [True]
        assert await answer(client, "Count to 3") == "1 2 3"


@SUITE.shows("commands")
async def slash_commands(place: Place) -> None:
    async with ClaudeSDKClient(options(place)) as client:
        await turn(client, "Remember: I like tea")
        cost = await answer(client, "/cost")
        assert cost is not None
        assert cost.startswith("Total cost: $0.0")
        compacted = await turn(client, "/compact keep the tea")
        assert "compact_boundary" in [each.subtype for each in compacted if isinstance(each, SystemMessage)]
        assert await answer(client, "What do I like?") == "You like tea."
        cleared = await turn(client, "/clear")
        fresh = [each.new_conversation_id for each in cleared if isinstance(each, ConversationResetMessage)]
        after = await turn(client, "How many messages?")
        assert (result(after).result, [result(after).session_id]) == ("This is your 1st message.", fresh)


@SUITE.shows("commands")
async def a_prompt_that_is_none(place: Place) -> None:
    messages = await ask(place, "/cost", verbatim_prompts=True)
    assert result(messages).result == 'You said: "/cost". This is your 1st message.'


@SUITE.shows("partial")
async def every_piece_of_a_text(place: Place) -> None:
    messages = await ask(place, "Count to 3", include_partial_messages=True)
    events = [message for message in messages if isinstance(message, StreamEvent)]
    pieces = [each.event["delta"]["text"] for each in events if each.event["type"] == "content_block_delta"]
    assert ("".join(pieces), len(pieces)) == ("1 2 3", 3)
    assert [each.event["type"] for each in events if each.event["type"] != "content_block_delta"] == [
        "message_start",
        "content_block_start",
        "content_block_stop",
        "message_delta",
        "message_stop",
    ]


@SUITE.shows("max-turns")
async def too_many_turns(place: Place) -> None:
    (place.cwd / "a.txt").write_text("A")
    prompt = f"{use('Read', file_path='a.txt')} 5 times"
    messages, error = await failed(prompt, options(place, max_turns=2))
    assert (result(messages).subtype, result(messages).is_error) == ("error_max_turns", True)
    assert (error.subtype, error.terminal_reason, error.exit_code) == ("error_max_turns", "max_turns", 1)
    assert error.errors == ["Reached maximum number of turns (2)"]


@SUITE.shows("max-budget")
async def too_much_money(place: Place) -> None:
    rule = {"prompt": "spend", "reply": [{"say": "done"}, {"cost": 0.5}]}
    async with ClaudeSDKClient(scripted(place, rule, max_budget_usd=0.4)) as client:
        first = result(await turn(client, "spend"))
        second = result(await turn(client, "spend"))
    assert (first.subtype, first.total_cost_usd) == ("success", 0.5)
    assert (second.subtype, second.is_error, second.total_cost_usd) == ("error_max_budget_usd", True, 0.5)


@SUITE.shows("subagents")
async def a_task_for_another(place: Place) -> None:
    task = {"description": "Count", "prompt": "Count to 4", "subagent_type": "counter"}
    agents = {"counter": AgentDefinition(description="Counts", prompt="You are the counter.", tools=["Read"])}
    messages = await ask(place, use("Task", **task), agents=agents)
    started = [each for each in messages if isinstance(each, TaskStartedMessage)]
    ended = [each for each in messages if isinstance(each, TaskNotificationMessage)]
    assert [(each.description, each.task_type) for each in started] == [("Count", "local_agent")]
    assert [(each.status, each.task_id) for each in ended] == [("completed", started[0].task_id)]
    assert result(messages).result == "The tool Task says: 1 2 3 4."


@SUITE.shows("subagents")
async def a_task_whose_words_are_forwarded(place: Place) -> None:
    task = {"description": "Read", "prompt": "read it", "subagent_type": "reader"}
    reads = {"tool": "Read", "input": {"file_path": "a.txt"}}
    rules = (
        {"prompt": "delegate", "replies": [[{"tool": "Task", "input": task}], "It was read."]},
        {"prompt": "read it", "system": "the reader", "replies": [["I read.", reads], "I have read."]},
    )
    (place.cwd / "a.txt").write_text("A")
    agents = {"reader": AgentDefinition(description="Reads", prompt="You are the reader.", model="inherit")}
    chosen = scripted(place, *rules, agents=agents, forward_subagent_text=True)
    messages = [message async for message in query(prompt="delegate", options=chosen)]
    calls = [
        (each.parent_tool_use_id is not None, block.name)
        for each in messages
        if isinstance(each, AssistantMessage)
        for block in each.content
        if isinstance(block, ToolUseBlock)
    ]
    assert calls == [(False, "Task"), (True, "Read")]
    assert said(messages) == ["I read.", "I have read.", "It was read."]


@SUITE.shows("structured")
async def an_answer_in_a_form(place: Place) -> None:
    schema = {
        "type": "object",
        "properties": {"city": {"type": "string"}, "people": {"type": "integer"}},
        "required": ["city", "people"],
    }
    messages = await ask(place, "What about Paris?", output_format={"type": "json_schema", "schema": schema})
    given = result(messages).structured_output
    assert (type(given["city"]), type(given["people"]), len(given)) == (str, int, 2)


@SUITE.shows("api-error")
async def the_model_fails(place: Place) -> None:
    messages, error = await failed("Fail with 529: overloaded", options(place))
    assert [each.error for each in messages if isinstance(each, AssistantMessage)] == ["overloaded"]
    end = result(messages)
    assert (end.subtype, end.is_error, end.result, end.api_error_status) == (
        "success",
        True,
        "API Error: 529 overloaded",
        529,
    )
    assert (error.subtype, error.result, error.api_error_status, error.terminal_reason, error.exit_code) == (
        "success",
        "API Error: 529 overloaded",
        529,
        "api_error",
        1,
    )


@SUITE.shows("api-error")
async def a_client_goes_on_after_it(place: Place) -> None:
    async with ClaudeSDKClient(options(place)) as client:
        assert result(await turn(client, "Fail with 429: slow down")).is_error
        assert await answer(client, "Count to 3") == "1 2 3"


@SUITE.shows("large")
async def two_megabytes(place: Place) -> None:
    rule = {"prompt": "much", "reply": [{"bytes": 2_000_000}]}
    chosen = scripted(place, rule, max_buffer_size=8_000_000)
    messages = [message async for message in query(prompt="much", options=chosen)]
    assert [len(text) for text in said(messages)] == [2_000_000]
    assert said(messages) == [result(messages).result]


@SUITE.shows("too-large")
async def more_than_is_taken(place: Place) -> None:
    rule = {"prompt": "much", "reply": [{"bytes": 2_000_000}]}
    with pytest.raises(CLIJSONDecodeError, match="exceeded maximum buffer size"):
        async for _ in query(prompt="much", options=scripted(place, rule)):
            pass


@SUITE.shows("seams")
async def spaces_everywhere(place: Place) -> None:
    text = " ".join(f"{number:x}  ü" for number in range(50_000))
    rules: list[dict[str, Any]] = [
        {"prompt": "much", "reply": text},
        {"prompt": "more", "reply": [{"say": " "}, {"say": text}]},
    ]
    async with ClaudeSDKClient(scripted(place, *rules)) as client:
        first, second = await turn(client, "much"), await turn(client, "more")
    assert (said(first), result(first).result) == ([text], text)
    assert said(second) == [f" {text}"]


@SUITE.shows("system-prompt")
async def system_prompts(place: Place) -> None:
    preset: SystemPromptPreset = {"type": "preset", "preset": "claude_code", "append": "Be short."}
    for prompt, told in (("Be kind.", "Be kind."), (preset, "Be short.")):
        messages = await ask(place, "What are your instructions?", system_prompt=prompt)
        assert told in "".join(said(messages))
