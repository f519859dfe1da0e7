"""Turns of the SDKs of Qoder and Cortex Code on our agent: conversations, what is in a turn, and sizes."""

import asyncio

import pytest

from tests.foreign.alike import Reply, Sdk, ask, hear, hear_until, prompts, use
from tests.foreign.table import Place
from tests.support.leftovers import is_alive

SLOW = {"contains": "slowly", "reply": [{"words": 2000, "delay": 0.05}]}
BIG = 600_000


async def one_shot(sdk: Sdk, place: Place) -> None:
    reply = await sdk.one_shot(place, "Count to 3")
    assert reply.kinds[1:] == ["AssistantMessage", "ResultMessage"]
    assert reply.messages[0].subtype == "init"
    assert (reply.text, reply.result.result, reply.result.subtype) == ("1 2 3", "1 2 3", "success")
    assert reply.messages[0].data["session_id"] == reply.result.session_id


async def several_turns(sdk: Sdk, place: Place) -> None:
    async with sdk.talk(place) as client:
        first = await ask(client, "Remember: I like tea")
        second = await ask(client, "What do I like?")
        third = await ask(client, "How many messages?")
    assert [reply.text for reply in (first, second, third)] == [
        "I will remember that you like tea.",
        "You like tea.",
        "This is your 3rd message.",
    ]
    assert len({reply.result.session_id for reply in (first, second, third)}) == 1
    assert 0 < first.result.total_cost_usd < second.result.total_cost_usd < third.result.total_cost_usd


async def streamed_input(sdk: Sdk, place: Place) -> None:
    answered = asyncio.Semaphore(0)
    async with sdk.talk(place) as client:
        stream = prompts("Remember: I like tea", "What do I like?", answered=answered)
        writing = asyncio.create_task(client.query(stream))
        replies = [await hear(client)]
        answered.release()
        replies.append(await hear(client))
        await writing
    assert [reply.text for reply in replies] == ["I will remember that you like tea.", "You like tea."]


async def a_prompt_while_a_turn_runs(sdk: Sdk, place: Place) -> None:
    async with sdk.talk(place, {"prompt": "first", "reply": [{"words": 20, "delay": 0.01}]}) as client:
        await client.query("first")
        await client.query("Count to 3")
        first, second = await hear(client), await hear(client)
    assert first.text.endswith("word20")
    assert second.text == "1 2 3"


async def interrupt_while_text_comes(sdk: Sdk, place: Place) -> None:
    async with sdk.talk(place, SLOW, include_partial_messages=True) as client:
        await client.query("Speak slowly")
        before = await hear_until(client, "StreamEvent")
        await client.interrupt()
        rest = Reply(before + (await hear(client)).messages)
        assert rest.result.subtype == "error_during_execution"
        again = await ask(client, "Count to 3")
    assert (again.text, again.result.subtype) == ("1 2 3", "success")
    assert again.result.session_id == rest.result.session_id


async def interrupt_while_a_tool_runs(sdk: Sdk, place: Place) -> None:
    rule = {"contains": "run it", "reply": [use("Bash", command="echo $$ > pid; exec sleep 300")]}
    bypass = {"permission_mode": "bypassPermissions", "allow_dangerously_skip_permissions": True}
    async with sdk.talk(place, rule, **bypass) as client:
        await client.query("run it")
        pid_file = place.cwd / "pid"
        while not (pid_file.exists() and pid_file.read_text().strip()):
            await asyncio.sleep(0.01)
        await client.interrupt()
        stopped = await hear(client)
        assert stopped.result.subtype == "error_during_execution"
        again = await ask(client, "Count to 3")
        assert again.text == "1 2 3"
        pid = int(pid_file.read_text())
        while is_alive(pid):
            await asyncio.sleep(0.01)


async def interrupt_of_nothing(sdk: Sdk, place: Place) -> None:
    async with sdk.talk(place) as client:
        await client.interrupt()
        assert (await ask(client, "Count to 3")).text == "1 2 3"
        await client.interrupt()
        assert (await ask(client, "Count to 4")).text == "1 2 3 4"


async def commands(sdk: Sdk, place: Place) -> None:
    async with sdk.talk(place) as client:
        await ask(client, "Remember: I like tea")
        cost = await ask(client, "/cost")
        compacted = await ask(client, "/compact")
        kept = await ask(client, "What do I like?")
        await ask(client, "/clear")
        forgotten = await ask(client, "What did I say first?")
    assert "$" in cost.result.result
    assert "compact_boundary" in [message.subtype for message in compacted.of("SystemMessage")]
    assert "tea" in kept.text
    assert "tea" not in forgotten.text


async def partial_messages(sdk: Sdk, place: Place) -> None:
    async with sdk.talk(place, include_partial_messages=True) as client:
        reply = await ask(client, "Count to 30")
    assert reply.text == reply.deltas == " ".join(map(str, range(1, 31)))
    assert reply.of("StreamEvent")[0].event["type"] == "message_start"


async def max_turns(sdk: Sdk, place: Place) -> None:
    rule = {"prompt": "go", "reply": [use("Glob", pattern="*")], "repeat": True}
    async with sdk.talk(place, rule, max_turns=2) as client:
        reply = await ask(client, "go")
        again = await ask(client, "Count to 3")
    assert (reply.result.subtype, reply.result.is_error) == ("error_max_turns", True)
    assert len(reply.tool_results) == 2
    assert again.text == "1 2 3"


async def subagents(sdk: Sdk, place: Place) -> None:
    agent = sdk.module.AgentDefinition(description="Helps", prompt="You are the one below.")
    rules = (
        {"prompt": "ask below", "replies": [[_task()], [{"results": True}]]},
        {"system": "the one below", "reply": "It is warm."},
    )
    async with sdk.talk(place, *rules, agents={"helper": agent}) as client:
        reply = await ask(client, "ask below")
    assert reply.text == "It is warm."
    (started,) = reply.of("TaskStartedMessage")
    (ended,) = reply.of("TaskNotificationMessage")
    assert (started.task_id, started.tool_use_id) == (ended.task_id, ended.tool_use_id)
    assert ended.status == "completed"


def _task() -> dict[str, object]:
    return use("Task", description="how it is", prompt="How is it?", subagent_type="helper")


async def api_error(sdk: Sdk, place: Place) -> None:
    async with sdk.talk(place) as client:
        failed = await ask(client, "Fail with 529: overloaded")
        again = await ask(client, "Count to 3")
    assert failed.result.is_error
    told = failed.result.result or " ".join(failed.result.errors)
    assert "overloaded" in told
    assert (again.text, again.result.is_error) == ("1 2 3", False)


async def large(sdk: Sdk, place: Place) -> None:
    rule = {"prompt": "much", "reply": [{"bytes": 2_000_000}]}
    async with sdk.talk(place, rule, max_buffer_size=8_000_000) as client:
        reply = await ask(client, "much")
        again = await ask(client, "Count to 3")
    assert len(reply.text) == 2_000_000
    assert reply.text == reply.result.result
    assert again.text == "1 2 3"


async def too_large(sdk: Sdk, place: Place) -> None:
    rule = {"prompt": "much", "reply": [{"bytes": 2_000_000}]}
    async with sdk.talk(place, rule) as client:
        await client.query("much")
        with pytest.raises(Exception, match="maximum buffer size"):
            await hear(client)


def spaced(size: int) -> str:
    """Text with spaces and non-ASCII at all distances from the seams, and nothing that repeats at 64 KiB."""
    words, length, number = [], 0, 0
    while length < size:
        word = (
            f"{number * 7919 % 10**9:010}" + ("é" if number % 7 == 0 else "") + ("\u2003" if number % 31 == 0 else "")
        )
        words.append(word)
        length += len(word) + 1
        number += 1
    return " ".join(words)


async def seams_of_a_text(sdk: Sdk, place: Place) -> None:
    text = spaced(BIG)
    async with sdk.talk(place) as client:
        reply = await ask(client, f"Say {text}")
    assert reply.text == text
    assert reply.result.result == text


async def seams_of_small_pieces(sdk: Sdk, place: Place) -> None:
    text = spaced(60_000)
    async with sdk.talk(place, include_partial_messages=True) as client:
        reply = await ask(client, f"Say {text}")
    assert reply.text == text
    assert reply.deltas == text


def show_turns(sdk: Sdk) -> None:
    """Have all of them in the table."""
    sdk.shows(one_shot, "one-shot")
    sdk.shows(several_turns, "client")
    sdk.shows(streamed_input, "streamed-input")
    sdk.shows(a_prompt_while_a_turn_runs, "streamed-input")
    sdk.shows(interrupt_while_text_comes, "interrupt-stream")
    sdk.shows(interrupt_of_nothing, "interrupt-stream")
    sdk.shows(interrupt_while_a_tool_runs, "interrupt-tool")
    sdk.shows(commands, "commands")
    sdk.shows(partial_messages, "partial")
    sdk.shows(max_turns, "max-turns")
    sdk.shows(subagents, "subagents")
    sdk.shows(api_error, "api-error")
    sdk.shows(large, "large")
    sdk.shows(too_large, "too-large")
    sdk.shows(seams_of_a_text, "seams")
    sdk.shows(seams_of_small_pieces, "seams")
