"""What holds for every conversation, whatever is said in it and whenever."""

import itertools
from typing import Any

import trio
from hypothesis import given, strategies as st
from trio.testing import MockClock

from tests.unit.engine.stage import open_engine, tell
from triologue.engine import OfflineModel
from triologue.messages import (
    CancelAsyncMessage,
    CommandLifecycle,
    ControlCancel,
    ControlRequest,
    ControlResponse,
    HookCallback,
    Initialize,
    Interrupt,
    McpMessage,
    ResultMessage,
)
from triologue.tools import tool_from_function


def add(a: int, b: int) -> int:
    """Add two numbers."""
    return a + b


async def nap(seconds: float) -> str:
    """Sleep."""
    await trio.sleep(seconds)
    return "slept"


async def _add(a: int, b: int) -> int:
    """Add two numbers."""
    return a + b


async_add = tool_from_function(_add, name="add")
TASK = 'Use the tool Task with {"subagent_type": "a", "description": "d", "prompt": "Call add(a=1, b=2)"}'

PROMPTS = st.one_of(
    st.text(max_size=20),
    st.sampled_from(
        [
            "Count to 9",
            "call add(a=1, b=2) 3 times",
            "call nap(seconds=3) call nope()",
            "Fail: no",
            "/clear",
            "/compact",
        ]
    ),
)
STEPS = st.lists(
    st.tuples(
        st.sampled_from([0.0, 0.0, 0.5, 2.0, 30.0]),
        st.one_of(PROMPTS, st.builds(Interrupt, cancel_queued=st.booleans()), st.integers(0, 5)),
    ),
    max_size=12,
)


@given(steps=STEPS, partial=st.booleans(), max_turns=st.sampled_from([None, 2]))
def test_every_prompt_has_one_end_and_every_request_one_answer(
    steps: list[tuple[float, str | Interrupt | int]], partial: bool, max_turns: int | None
) -> None:
    async def main() -> None:
        prompts = requests = 0
        model = OfflineModel(piece_delay=1)
        async with open_engine(
            model=model, tools=[add, nap], include_partial_messages=partial, max_turns=max_turns
        ) as host:
            for pause, step in steps:
                await trio.sleep(pause)
                if isinstance(step, str):
                    host.send(host.prompt(step, f"p{prompts}", verbatim=False))
                    prompts += 1
                else:
                    asked = step if isinstance(step, Interrupt) else CancelAsyncMessage(message_uuid=f"p{step}")
                    host.send(host.request(asked))
                    requests += 1

        story = "\n".join(map(tell, host.said))
        states: dict[str, list[str]] = {f"p{number}": [] for number in range(prompts)}
        for message in host.said:
            if isinstance(message, CommandLifecycle):
                states[message.command_uuid].append(message.state)
        started = [uuid for uuid, told in states.items() if "started" in told]
        answered = [message.user_message_uuid for message in host.said if isinstance(message, ResultMessage)]
        assert answered == started, story  # one result each, in the order in which they came
        for told in states.values():
            assert told in (
                ["queued", "started", "completed"],
                ["queued", "started", "cancelled"],
                ["queued", "cancelled"],
            ), story
        assert sum(isinstance(message, ControlResponse) for message in host.said) == requests
        assert host.exit is not None
        assert host.exit.stderr_tail == ""

    trio.run(main, clock=MockClock(autojump_threshold=0))


ANSWERS = st.sampled_from(["allow", "deny", "stop", "raise", "hang", "nonsense"])
ASKING = ["Call add(a=1, b=2)", "Call add(a=1, b=2) and call mcp__s__t()", "Call mcp__s__t() 2 times", TASK, "Hello"]


@given(
    steps=st.lists(
        st.tuples(
            st.sampled_from([0.0, 0.5, 2.0, 30.0]),
            st.one_of(st.sampled_from(ASKING), st.builds(Interrupt, cancel_queued=st.booleans())),
        ),
        max_size=8,
    ),
    answers=st.lists(ANSWERS, min_size=1, max_size=10),
)
def test_whatever_a_host_answers_nothing_hangs_and_nothing_is_asked_twice(
    steps: list[tuple[float, str | Interrupt]], answers: list[str]
) -> None:
    async def main() -> None:
        script = itertools.cycle(answers)

        def reply(request: Any) -> Any:
            match next(script), request:
                case "raise", _:
                    return "raised"
                case "hang", _:
                    return None
                case "nonsense", _:
                    return {"what": "ever"}
                case answer, HookCallback():
                    return {"continue": answer != "stop", "decision": "block" if answer == "deny" else None}
                case _, McpMessage(message=message):
                    result = {"tools": [{"name": "t"}], "content": [{"type": "text", "text": "x"}]}
                    return {"mcp_response": {"jsonrpc": "2.0", "id": message.get("id"), "result": result}}
                case answer, _:
                    return {"behavior": "allow" if answer == "allow" else "deny", "interrupt": answer == "stop"}

        hooks = {
            event: [{"hookCallbackIds": [event, "more"], "timeout": 5}]
            for event in ("UserPromptSubmit", "PreToolUse", "PermissionRequest", "PostToolUse", "SubagentStop")
        }
        prompts = requests = 0
        async with open_engine(
            model=OfflineModel(piece_delay=1),
            tools=[nap, async_add],
            mcp_servers={"s": {"type": "sdk"}},
            agents={"a": {"description": "", "prompt": ""}},
            permission_prompt_tool_name="stdio",
            max_turns=5,
            reply=reply,
        ) as host:
            host.send(host.request(Initialize(hooks=hooks)))
            for pause, step in steps:
                await trio.sleep(pause)
                if isinstance(step, str):
                    host.send(host.prompt(step, f"p{prompts}"))
                    prompts += 1
                else:
                    host.send(host.request(step))
                    requests += 1
            await trio.sleep(100)

        story = "\n".join(map(tell, host.said))
        started = [m.command_uuid for m in host.said if isinstance(m, CommandLifecycle) and m.state == "started"]
        assert [result.user_message_uuid for result in host.results] == started, story
        asked = [message.request_id for message in host.said if isinstance(message, ControlRequest)]
        assert len(asked) == len(set(asked))
        withdrawn = [message.request_id for message in host.said if isinstance(message, ControlCancel)]
        assert len(withdrawn) == len(set(withdrawn))
        assert set(withdrawn) <= set(asked)
        assert sum(isinstance(message, ControlResponse) for message in host.said) == requests + 1
        assert host.exit is not None
        assert host.exit.stderr_tail == "", story

    trio.run(main, clock=MockClock(autojump_threshold=0))
