"""What a turn of the built-in agent says, frame by frame."""

from typing import Any

import msgspec
import pytest
import trio
from trio.testing import MockClock

from tests.unit.engine.stage import Scripted, ids, open_engine, said, talk
from triologue.engine import OfflineModel, Transcripts
from triologue.errors import ModelError, brief
from triologue.messages import (
    AssistantBody,
    AssistantMessage,
    CommandLifecycle,
    ImageBlock,
    InitMessage,
    Message,
    RedactedThinkingBlock,
    ResultMessage,
    StreamEvent,
    TextBlock,
    ThinkingBlock,
    ToolResultBlock,
    ToolUseBlock,
    UserBody,
    UserMessage,
    text,
)
from triologue.ports import Exit


def add(a: int, b: int) -> int:
    """Add two numbers."""
    return a + b


async def nap(seconds: float) -> str:
    """Sleep."""
    await trio.sleep(seconds)
    return "slept"


def broken() -> None:
    """Never works."""
    raise RuntimeError("no way")


async def test_a_turn_says_exactly_this(autojump_clock: MockClock) -> None:
    uuid = [f"00000000-0000-0000-0000-00000000000{n}" for n in range(10)]
    async with open_engine(model=Scripted(said("Hi.", cost_usd=0.5)), new_id=ids()) as host:
        host.send(host.prompt("Hello", "p1"))
    session = uuid[1]
    usage = {"input_tokens": 10, "output_tokens": 5}
    spent = {
        "inputTokens": 10,
        "outputTokens": 5,
        "cacheReadInputTokens": 0,
        "cacheCreationInputTokens": 0,
        "webSearchRequests": 0,
        "costUSD": 0.5,
        "contextWindow": 200_000,
    }
    assert host.said == [
        CommandLifecycle(command_uuid="p1", state="queued", uuid=uuid[2], session_id=session),
        CommandLifecycle(command_uuid="p1", state="started", uuid=uuid[3], session_id=session),
        InitMessage(
            subtype="init",
            session_id=session,
            uuid=uuid[4],
            cwd="/here",
            model="scripted",
            tools=[],
            mcp_servers=[],
            permission_mode="default",
            slash_commands=["clear", "compact", "cost"],
            api_key_source="none",
            output_style="default",
            agents=[],
            skills=[],
            plugins=[],
            capabilities=["interrupt_receipt_v1", "interrupt_cancel_queued_v1", "msg_lifecycle_v1"],
        ),
        AssistantMessage(
            message=AssistantBody(content=[TextBlock(text="Hi.")], model="scripted", id=f"msg_{uuid[5]}", usage=usage),
            session_id=session,
            uuid=uuid[6],
            user_message_uuid="p1",
            user_message_uuids=["p1"],
        ),
        ResultMessage(
            subtype="success",
            duration_ms=0,
            duration_api_ms=0,
            is_error=False,
            num_turns=1,
            session_id=session,
            result="Hi.",
            stop_reason="end_turn",
            terminal_reason="completed",
            total_cost_usd=0.5,
            usage={**usage, "cache_creation_input_tokens": 0, "cache_read_input_tokens": 0},
            model_usage={"scripted": spent},
            model_usage_since_last_result={"scripted": spent},
            permission_denials=[],
            uuid=uuid[7],
            user_message_uuid="p1",
            user_message_uuids=["p1"],
            queued_turn_count=0,
            result_index=0,
        ),
        CommandLifecycle(command_uuid="p1", state="completed", uuid=uuid[8], session_id=session),
    ]
    assert host.exit == Exit(code=0)


async def test_each_result_has_what_was_used_until_then() -> None:
    host = await talk("One", "Two", model=Scripted(said("1", cost_usd=0.5), said("2", cost_usd=0.25)))
    results = [message for message in host.said if isinstance(message, ResultMessage)]
    costs = [(message.model_usage, message.model_usage_since_last_result) for message in results]
    assert [tuple((usage or {})["scripted"]["costUSD"] for usage in usages) for usages in costs] == [
        (0.5, 0.5),
        (0.75, 0.25),
    ]


async def test_prompts_without_a_uuid_have_no_lifecycle() -> None:
    host = await talk("Hello")
    assert host.story == [
        "init",
        "assistant: Hello! What can I do for you?",
        "result: success completed Hello! What can I do for you?",
    ]


async def test_a_tool_loop_has_a_frame_for_each_block_and_each_result() -> None:
    host = await talk('Use the tool add with {"a": 1, "b": 2} and call broken().', tools=[add, broken])
    assert host.story == [
        "init",
        "assistant: I will use add and broken.",
        "assistant: add{'a': 1, 'b': 2}",
        "assistant: broken{}",
        "user: gives 3",
        "user: error no way",
        "assistant: The tool add says: 3. The tool broken failed: no way.",
        "result: success completed The tool add says: 3. The tool broken failed: no way.",
    ]
    first, second, third = [m.message_id for m in host.said if isinstance(m, AssistantMessage)][:3]
    assert first == second == third
    results = [m for m in host.said if isinstance(m, UserMessage)]
    assert [m.tool_use_result for m in results] == [3, "Error: no way"]
    assert host.results[0].num_turns == 2


async def test_odd_tool_calls_are_answered_too() -> None:
    model = Scripted(
        said(
            ToolUseBlock(id="t1", name="gone", input={}),
            ToolUseBlock(id="t2", name="add", input={"a": "one", "b": 2}),
            ToolUseBlock(id="t3", name="add", input={"a": 1, "b": 2, "c": 3}),
        ),
        said("done"),
    )
    host = await talk("go", model=model, tools=[add])
    assert host.story[4:7] == [
        "user: error No such tool available: gone",
        "user: error Expected `int`, got `str` - at `$.a`",
        "user: error Object contains unknown field `c`",
    ]
    assert model.requests[1].messages[1:] == (
        {
            "role": "assistant",
            "content": [
                {"type": "tool_use", "id": "t1", "name": "gone", "input": {}},
                {"type": "tool_use", "id": "t2", "name": "add", "input": {"a": "one", "b": 2}},
                {"type": "tool_use", "id": "t3", "name": "add", "input": {"a": 1, "b": 2, "c": 3}},
            ],
        },
        {
            "role": "user",
            "content": [
                {
                    "type": "tool_result",
                    "tool_use_id": "t1",
                    "content": "No such tool available: gone",
                    "is_error": True,
                },
                {
                    "type": "tool_result",
                    "tool_use_id": "t2",
                    "content": "Expected `int`, got `str` - at `$.a`",
                    "is_error": True,
                },
                {
                    "type": "tool_result",
                    "tool_use_id": "t3",
                    "content": "Object contains unknown field `c`",
                    "is_error": True,
                },
            ],
        },
    )


async def test_a_tool_that_fails_says_why_however_it_fails() -> None:
    class Mute(Exception):
        def __str__(self) -> str:
            raise RuntimeError("no words")

    async def nursery() -> None:
        """Do two things at once."""
        async with trio.open_nursery() as nursery:
            nursery.start_soon(nap, 1)
            raise LookupError("no such page")

    def mute() -> None:
        """Fail without a word."""
        raise Mute

    host = await talk("call nursery() call mute()", tools=[nursery, mute])
    assert host.story[4:6] == ["user: error no such page", "user: error Mute"]


async def test_a_tool_may_give_anything() -> None:
    def picture() -> list[ImageBlock]:
        """Draw."""
        return [ImageBlock(source={"type": "url", "url": "x"})]

    def nothing() -> None:
        """Do it."""

    def strange() -> object:
        """Give what JSON cannot express."""
        return object

    host = await talk("call picture() call nothing() call strange()", tools=[picture, nothing, strange])
    results = [block for m in host.said if isinstance(m, UserMessage) for block in m.content]
    assert results[:2] == [
        ToolResultBlock.of("toolu_1", [{"type": "image", "source": {"type": "url", "url": "x"}}], is_error=False),
        ToolResultBlock.of("toolu_2", "", is_error=False),
    ]
    assert isinstance(results[2], ToolResultBlock)
    assert results[2].is_error


async def test_a_disallowed_tool_is_not_there() -> None:
    host = await talk("call add(a=1, b=2)", tools=[add], disallowed_tools=["add", "Bash"])
    assert host.story[1] == "assistant: I have no tool called add. I have none."


async def test_prompts_that_come_early_wait_and_are_never_merged(autojump_clock: MockClock) -> None:
    async with open_engine(model=OfflineModel(piece_delay=1)) as host:
        host.send(host.prompt("one", "p1"), host.prompt("two", "p2"))
        await trio.sleep(0.5)
        host.send(host.prompt("three", "p3"))
    assert host.story == [
        "queued p1",
        "queued p2",
        "started p1",
        "init",
        "queued p3",
        'assistant: You said: "one". This is your 1st message.',
        'result: success completed You said: "one". This is your 1st message.',
        "completed p1",
        "started p2",
        "init",
        'assistant: You said: "two". This is your 2nd message.',
        'result: success completed You said: "two". This is your 2nd message.',
        "completed p2",
        "started p3",
        "init",
        'assistant: You said: "three". This is your 3rd message.',
        'result: success completed You said: "three". This is your 3rd message.',
        "completed p3",
    ]
    assert [(r.user_message_uuids, r.queued_turn_count, r.result_index) for r in host.results] == [
        (["p1"], 2, 0),
        (["p2"], 1, 1),
        (["p3"], 0, 2),
    ]
    assert host.results[0].duration_ms == 8000  # eight words


async def test_a_uuid_runs_once(autojump_clock: MockClock) -> None:
    async with open_engine() as host:
        host.send(host.prompt("one", "p1"), host.prompt("one", "p1"), host.prompt("two", "p2"), host.prompt("x", "p2"))
        await trio.sleep(1)
        host.send(host.prompt("again", "p1"))
    assert [line for line in host.story if "p1" in line] == ["queued p1", "started p1", "completed p1", "completed p1"]
    assert len(host.results) == 2


async def test_the_host_may_remember_a_prompt_without_a_turn() -> None:
    async with open_engine() as host:
        host.send(host.prompt("Remember: I like tea", should_query=False), host.prompt("What do I like?"))
    assert [(r.result, r.num_turns) for r in host.results] == [("", 0), ("You like tea.", 1)]


async def test_partials_surround_the_frames_of_their_blocks(autojump_clock: MockClock) -> None:
    host = await talk("call add(a=1, b=2)", tools=[add], include_partial_messages=True)
    assert host.story == [
        "init",
        "status",
        "~message_start",
        "~content_block_start",
        *["~content_block_delta"] * 4,
        "assistant: I will use add.",
        "~content_block_stop",
        "~content_block_start",
        "~content_block_delta",
        "assistant: add{'a': 1, 'b': 2}",
        "~content_block_stop",
        "~message_delta",
        "~message_stop",
        "user: gives 3",
        "status",
        "~message_start",
        "~content_block_start",
        *["~content_block_delta"] * 5,
        "assistant: The tool add says: 3.",
        "~content_block_stop",
        "~message_delta",
        "~message_stop",
        "result: success completed The tool add says: 3.",
    ]
    assert "".join(map(text, host.said[:17])) == "I will use add.I will use add."  # the pieces, then the frame
    events = [message.event for message in host.said if isinstance(message, StreamEvent)]
    assert events[8] == {
        "type": "content_block_delta",
        "index": 1,
        "delta": {"type": "input_json_delta", "partial_json": '{"a":1,"b":2}'},
    }
    assert events[10:12] == [
        {
            "type": "message_delta",
            "delta": {"stop_reason": "tool_use", "stop_sequence": None},
            "usage": {"output_tokens": 8},
        },
        {"type": "message_stop"},
    ]


async def test_text_that_was_shown_is_not_shown_again() -> None:
    content = (ThinkingBlock(thinking="hm", signature="s"), "One. ", "Two.")
    for pieces in ([], ["One", ". "], ["One. Tw"], ["One. ", "Two."]):
        model = Scripted(said(*content), pieces=pieces)
        host = await talk("go", model=model, include_partial_messages=True)
        assert "".join(text(m) for m in host.said if isinstance(m, StreamEvent)) == "One. Two."
        assert indices(host.said, "content_block_start") == indices(host.said, "content_block_stop") == [0, 1, 2]
        assert host.results[0].result == "One. Two."


def indices(messages: list[Message], kind: str) -> list[int]:
    events = [message.event for message in messages if isinstance(message, StreamEvent)]
    return [event["index"] for event in events if event["type"] == kind]


async def test_partials_end_also_when_the_reply_does_not_come() -> None:
    events = ["~message_start", "~content_block_start", "~content_block_delta", "~content_block_stop"]
    host = await talk("go", model=Scripted(ModelError("gone"), pieces=["Hm", ""]), include_partial_messages=True)
    assert host.story[2:] == [
        *events,
        "~message_delta",
        "~message_stop",
        "assistant: API Error: gone",
        "result: success api_error API Error: gone",
    ]
    model = Scripted(said(ThinkingBlock(thinking="no")), pieces=["Hm"])
    host = await talk("go", model=model, include_partial_messages=True)
    assert host.story[2:6] == events
    assert indices(host.said, "content_block_start") == indices(host.said, "content_block_stop") == [0, 1]


async def test_blocks_that_have_no_deltas_come_whole() -> None:
    block = RedactedThinkingBlock(data="x")
    host = await talk("go", model=Scripted(said(block)), include_partial_messages=True)
    events = [message.event for message in host.said if isinstance(message, StreamEvent)]
    assert events[1:3] == [
        {"type": "content_block_start", "index": 0, "content_block": {"type": "redacted_thinking", "data": "x"}},
        {"type": "content_block_stop", "index": 0},
    ]


async def test_max_turns_ends_a_prompt_and_not_the_session() -> None:
    async with open_engine(tools=[add], max_turns=2) as host:
        host.send(host.prompt("call add(a=1, b=2) 5 times"), host.prompt("Hello"))
    looped, greeted = host.results
    assert (looped.subtype, looped.is_error, looped.num_turns, looped.errors, looped.terminal_reason) == (
        "error_max_turns",
        True,
        3,
        ["Reached maximum number of turns (2)"],
        "max_turns",
    )
    assert host.story.count("user: gives 3") == 2
    assert greeted.result == "Hello! What can I do for you?"
    assert host.exit == Exit(code=0)


async def test_the_budget_ends_the_turn_before_the_tool_and_every_later_one_at_once() -> None:
    model = Scripted(said(ToolUseBlock(id="t", name="add", input={"a": 1, "b": 1}), cost_usd=0.2), said("never"))
    async with open_engine(model=model, tools=[add], max_budget_usd=0.15) as host:
        host.send(host.prompt("go"), host.prompt("go on"))
    assert host.story == [
        "init",
        "assistant: add{'a': 1, 'b': 1}",
        "result: error_max_budget_usd budget_exhausted ['Reached maximum budget ($0.15)']",
        "init",
        "result: error_max_budget_usd budget_exhausted ['Reached maximum budget ($0.15)']",
    ]
    assert [r.num_turns for r in host.results] == [1, 1]
    assert len(model.requests) == 1
    assert host.exit == Exit(code=1)


@pytest.mark.parametrize("wrong", [None, "hello", {"content": []}, said("hello").content])
async def test_what_is_no_reply_is_told_as_such(wrong: Any) -> None:
    host = await talk("hello", model=Scripted(wrong))
    told = f"API Error: the model gave {brief(wrong)}, and a ModelReply with a list of content blocks is needed"
    assert host.story[-1] == f"result: success api_error {told}"


async def test_a_dict_is_no_content_block() -> None:
    reply = msgspec.structs.replace(said(), content=[{"type": "text", "text": "hello"}])
    host = await talk("hello", model=Scripted(reply))
    assert host.story[-1].startswith("result: success api_error API Error: the model gave ModelReply(content=[{")


async def test_a_model_error_is_a_success_that_is_an_error() -> None:
    model = Scripted(ModelError("busy", status=529), ModelError("cut off"), said("fine"))
    async with open_engine(model=model) as host:
        host.send(host.prompt("a", "p1"), host.prompt("b"), host.prompt("c"))
    assert host.story == [
        "queued p1",
        "started p1",
        "init",
        "assistant: API Error: 529 busy",
        "result: success api_error API Error: 529 busy",
        "cancelled p1",
        "init",
        "assistant: API Error: cut off",
        "result: success api_error API Error: cut off",
        "init",
        "assistant: fine",
        "result: success completed fine",
    ]
    assert [(r.is_error, r.api_error_status, r.stop_reason) for r in host.results] == [
        (True, 529, "stop_sequence"),
        (True, None, "stop_sequence"),
        (False, None, "end_turn"),
    ]
    frames = [m for m in host.said if isinstance(m, AssistantMessage)]
    assert [(m.model, m.error) for m in frames] == [
        ("<synthetic>", "overloaded"),
        ("<synthetic>", "unknown"),
        ("scripted", None),
    ]
    assert [m["content"] for m in model.requests[2].messages] == ["a", "b", "c"]


async def test_the_exit_code_tells_how_the_last_turn_ended() -> None:
    assert (await talk()).exit == Exit(code=0)
    assert (await talk("Fail: no")).exit == Exit(code=1)
    assert (await talk("Fail: no", "Hello")).exit == Exit(code=0)


async def test_a_bug_in_the_model_ends_the_connection_with_its_traceback() -> None:
    host = await talk("a", "b", model=Scripted(ZeroDivisionError("oops")))
    assert host.story == ["init"]
    assert host.exit is not None
    assert host.exit.code == 1
    assert host.exit.stderr_tail.endswith("ZeroDivisionError: oops\n")


async def test_a_frame_that_is_no_prompt_ends_the_connection() -> None:
    async with open_engine() as host:
        host.send(UserMessage(message=UserBody(content="x", role="assistant")))
    assert host.said == []
    assert host.exit == Exit(code=1, stderr_tail="Error: Expected message role 'user', got 'assistant'\n")


async def test_other_frames_are_passed_over() -> None:
    async with open_engine() as host:
        host.send(AssistantMessage(message=AssistantBody(content=[], model="m")))
    assert (host.said, host.exit) == ([], Exit(code=0))


async def test_costs_count_on_and_times_do_not(autojump_clock: MockClock) -> None:
    model = Scripted(said("a", cost_usd=0.25), said("b", cost_usd=0.5))
    host = await talk("1", "2", model=model)
    assert [r.total_cost_usd for r in host.results] == [0.25, 0.75]
    assert host.results[1].usage == {
        "input_tokens": 10,
        "output_tokens": 5,
        "cache_creation_input_tokens": 0,
        "cache_read_input_tokens": 0,
    }


async def test_the_model_is_told_what_to_be() -> None:
    told = []
    for option in (None, "Be short.", {"type": "preset"}, {"type": "preset", "append": "Be kind."}):
        model = Scripted(said("ok"))
        await talk("x", model=model, system_prompt=option)
        told.append(model.requests[0].system)
    default = "You are a helpful assistant."
    assert told == [default, "Be short.", default, f"{default}\n\nBe kind."]


async def test_slash_commands(autojump_clock: MockClock) -> None:
    transcripts = Transcripts()
    async with open_engine(transcripts=transcripts) as host:
        for prompt in ("Remember: I like tea", "/compact", "What do I like?", "/clear", "What do I like?", "/cost"):
            host.send(host.prompt(prompt, verbatim=False))
            await trio.sleep(1)
        host.send(host.prompt("/clear"), host.prompt("/unknown", verbatim=False))
    assert host.story == [
        "init",
        "assistant: I will remember that you like tea.",
        "result: success completed I will remember that you like tea.",
        "init",
        "status",
        "status",
        "compact_boundary",
        "result: success None None",
        "init",
        "assistant: You like tea.",
        "result: success completed You like tea.",
        "ConversationReset",
        "init",
        "result: success None None",
        "init",
        "assistant: You have not told me that yet.",
        "result: success completed You have not told me that yet.",
        "init",
        "assistant: Total cost: $0.0002\nTokens: 11 input, 8 output",
        "result: success None Total cost: $0.0002\nTokens: 11 input, 8 output",
        "init",
        'assistant: You said: "/clear". This is your 2nd message.',
        'result: success completed You said: "/clear". This is your 2nd message.',
        "init",
        'assistant: You said: "/unknown". This is your 3rd message.',
        'result: success completed You said: "/unknown". This is your 3rd message.',
    ]
    assert len({r.session_id for r in host.results[:3]}) == 1
    assert host.results[2].session_id != host.results[3].session_id
    assert [r.num_turns for r in host.results[:5]] == [1, 0, 1, 0, 1]
    assert len(transcripts) == 2


async def test_a_command_may_come_as_a_block(autojump_clock: MockClock) -> None:
    async with open_engine() as host:
        for content in ([TextBlock(text="/cost")], [TextBlock(text="/cost"), TextBlock(text="of it?")]):
            host.send(host.prompt(content, verbatim=False))
            await trio.sleep(1)
    assert [result.result for result in host.results] == [
        "Total cost: $0.0000\nTokens: 0 input, 0 output",
        'You said: "/cost\nof it?". This is your 1st message.',
    ]


async def test_a_failed_compaction_changes_nothing(autojump_clock: MockClock) -> None:
    model = Scripted(said("ok"), ModelError("busy", status=503), said("still here"))
    async with open_engine(model=model) as host:
        for prompt in ("one", "/compact", "two"):
            host.send(host.prompt(prompt, verbatim=False))
            await trio.sleep(1)
    assert host.story[3:7] == [
        "init",
        "status",
        "assistant: API Error: 503 busy",
        "result: success api_error API Error: 503 busy",
    ]
    assert [m["content"] for m in model.requests[2].messages] == ["one", [{"type": "text", "text": "ok"}], "two"]


async def test_there_may_be_nothing_to_compact() -> None:
    async with open_engine() as host:
        host.send(host.prompt("/compact", verbatim=False))
    assert host.story == ["init", "assistant: There is nothing to compact yet.", "result: success None None"]
