"""The model that speaks from a script."""

import json
from collections.abc import Sequence
from pathlib import Path
from typing import Any

import pytest
import trio
from trio.testing import MockClock

from tests.unit.engine.stage import Host, open_engine, talk
from triologue.engine.scripted import ScriptedModel
from triologue.errors import InvalidOption, ModelError
from triologue.messages import Interrupt, ResultMessage, TextBlock, ThinkingBlock, ToolUseBlock
from triologue.ports import ModelReply, ModelRequest, ToolSpec


def user(content: Any) -> dict[str, Any]:
    return {"role": "user", "content": content}


def assistant(*content: dict[str, Any]) -> dict[str, Any]:
    return {"role": "assistant", "content": list(content)}


def use(name: str = "x") -> dict[str, Any]:
    return {"type": "tool_use", "id": "t", "name": name, "input": {}}


def gives(content: Any, *, is_error: bool = False) -> dict[str, Any]:
    return user([{"type": "tool_result", "tool_use_id": "t", "content": content, "is_error": is_error}])


async def ask(
    model: ScriptedModel, *messages: dict[str, Any], system: str | None = None, tools: Sequence[ToolSpec] = ()
) -> tuple[str, ModelReply]:
    said: list[str] = []
    request = ModelRequest(model=None, system=system, messages=messages, tools=tools)
    reply = await model.reply(request, said.append)
    assert "".join(said) == "".join(block.text for block in reply.content if isinstance(block, TextBlock))
    return "·".join(said), reply


async def hear(model: ScriptedModel, *messages: dict[str, Any]) -> str:
    said, _ = await ask(model, *messages)
    return said.replace("·", "")


def answers(host: Host) -> list[str | None]:
    return [message.result for message in host.said if isinstance(message, ResultMessage)]


async def test_a_rule_is_chosen_by_the_last_text_of_the_user() -> None:
    model = ScriptedModel(
        [
            {"prompt": "hello", "reply": "exact"},
            {"contains": "hello", "reply": "inside"},
            {"matches": r"^\d+ (cats|dogs)$", "reply": "animals"},
            {"contains": "a", "matches": "b", "reply": "both"},
        ]
    )
    said = [await hear(model, user(prompt)) for prompt in ("hello", "hello there", "3 cats", "a b", "b")]
    assert said == ["exact", "inside", "animals", "both", 'You said: "b". This is your 1st message.']
    earlier = (user("hello"), assistant({"type": "text", "text": "hi"}))
    assert await hear(model, *earlier, user([{"type": "text", "text": "3 dogs"}])) == "animals"
    # What an interrupt or a hook leaves in the user's place is nothing that the user said.
    left = (user("[Request interrupted by user]"), user("<system-reminder>\nx\n</system-reminder>"))
    assert await hear(model, *earlier, user("3 cats"), *left) == "animals"


async def test_conversations_are_counted_by_their_messages() -> None:
    model = ScriptedModel(
        [
            {"prompt": "hi", "nth": 1, "reply": "first"},
            {"prompt": "hi", "nth": [2, 4], "reply": "even"},
            {"prompt": "hi", "reply": "odd"},
        ]
    )
    first, second = await talk("hi", "hi", "other", "hi", "hi", model=model), await talk("hi", model=model)
    assert answers(first) == ["first", "even", 'You said: "other". This is your 3rd message.', "odd", "even"]
    assert answers(second) == ["first"]


async def test_the_replies_of_a_rule_answer_the_calls_of_a_turn() -> None:
    rules = [
        {
            "prompt": "go",
            "replies": [
                ["I will.", {"tool": "add", "input": {"a": 1}}, {"tool": "add", "id": "mine"}],
                [{"results": True}],
            ],
        }
    ]

    async def add(a: int = 2) -> int:
        return a

    host = await talk("go", model=ScriptedModel(rules), tools=[add])
    assert host.story == [
        "init",
        "assistant: I will.",
        "assistant: add{'a': 1}",
        "assistant: add{}",
        "user: gives 1",
        "user: gives 2",
        "assistant: 1 | 2",
        "result: success completed 1 | 2",
    ]


async def test_used_up_replies_leave_the_call_to_others_unless_they_repeat() -> None:
    once: dict[str, Any] = {"prompt": "go", "reply": [{"tool": "x"}]}
    messages = (user("go"), assistant(use()), gives("done"))
    assert await hear(ScriptedModel([once]), *messages) == "The tool x says: done."
    assert await hear(ScriptedModel([once, {"result": "one", "reply": "next"}]), *messages) == "next"
    _, reply = await ask(ScriptedModel([{**once, "repeat": True}]), *messages)
    assert (reply.stop_reason, reply.content) == ("tool_use", [ToolUseBlock(id="toolu_2", name="x", input={})])


async def test_a_rule_may_look_at_the_last_tool_results() -> None:
    rules: list[dict[str, Any]] = [
        {"failed": True, "reply": "It failed."},
        {"result": "42", "reply": "The answer."},
        {"failed": False, "reply": "Something else."},
        {"reply": [{"recall": True}]},
    ]
    model = ScriptedModel(rules)
    begun = (user("go"), assistant(use()))
    assert await hear(model, *begun, gives("no", is_error=True)) == "It failed."
    assert await hear(model, *begun, gives([{"type": "text", "text": "it is 42"}])) == "The answer."
    assert await hear(model, *begun, gives([{"type": "image"}])) == "Something else."
    assert await hear(model, *begun, gives("x"), assistant(use("y")), gives("42")) == "The answer."
    assert await hear(model, *begun, gives("42"), assistant(), user("and?")) == "echo[2]: go | and?"
    assert await hear(model, user([{"type": "image", "source": {}}])) == "echo[1]: "


async def test_a_rule_may_be_for_sub_agents() -> None:
    model = ScriptedModel(
        [
            {"system": "reviewer", "reply": "reviewed"},
            {"offers": "Bash", "reply": "never"},
            {"lacks": "Task", "reply": "small"},
            {"offers": "Task", "reply": "large"},
        ]
    )
    task = [ToolSpec(name="Task", description="", input_schema={})]
    assert (await ask(model, user("x"), system="You are a reviewer."))[0] == "reviewed"
    assert await hear(model, user("x")) == "small"
    assert (await ask(model, user("x"), tools=task))[0] == "large"


async def test_what_a_reply_is_made_of() -> None:
    steps = [
        {"thinking": "hm"},
        "one two ",
        {"say": "three"},
        {"tool": "x"},
        {"say": " "},
        {"usage": [7, 8], "cost": 0.5},
        {"end": "max_tokens"},
    ]
    said, reply = await ask(ScriptedModel([{"reply": steps}], name="m"), user("x"))
    assert said == "one ·two ·three· "
    assert reply == ModelReply(
        content=[
            ThinkingBlock(thinking="hm", signature="scripted"),
            TextBlock(text="one two three"),
            ToolUseBlock(id="toolu_1", name="x", input={}),
            TextBlock(text=" "),
        ],
        stop_reason="max_tokens",
        model="m",
        input_tokens=7,
        output_tokens=8,
        cost_usd=0.5,
    )
    _, empty = await ask(ScriptedModel([{"reply": []}]), user("x"))
    assert (empty.content, empty.stop_reason, empty.input_tokens, empty.output_tokens) == (
        [TextBlock(text="")],
        "end_turn",
        10,
        5,
    )
    assert (await ask(ScriptedModel([{"reply": [{"words": 3}]}]), user("x")))[0] == "word1 ·word2 ·word3"
    large, _ = await ask(ScriptedModel([{"reply": [{"bytes": 150_000}]}]), user("x"))
    assert [len(piece) for piece in large.split("·")] == [65536, 65536, 150_000 - 2 * 65536]
    assert await hear(ScriptedModel([{"reply": [{"bytes": 0}]}]), user("x")) == ""


async def test_it_takes_the_time_that_the_script_gives_it(autojump_clock: MockClock) -> None:
    model = ScriptedModel([{"reply": [{"wait": 5}, {"say": "a b c", "delay": 2}]}])
    times: list[float] = []
    began = trio.current_time()
    await model.reply(
        ModelRequest(model=None, system=None, messages=[user("x")]),
        lambda _: times.append(trio.current_time() - began),
    )
    assert times == [7, 9, 11]


async def test_a_hang_ends_with_an_interrupt() -> None:
    model = ScriptedModel([{"prompt": "hang", "reply": ["so far ", {"hang": True}]}, {"reply": "back"}])
    async with open_engine(model=model) as host:
        host.send(host.prompt("hang"))
        await trio.testing.wait_all_tasks_blocked()
        host.send(host.request(Interrupt()))
        await trio.testing.wait_all_tasks_blocked()
        host.send(host.prompt("again"))
    assert [line for line in host.story if not line.startswith("r1")] == [
        "init",
        "aborted: so far ",
        "user: [Request interrupted by user]",
        "result: error_during_execution aborted_streaming ['The turn was interrupted by the user.']",
        "init",
        "assistant: back",
        "result: success completed back",
    ]


async def test_errors_of_the_api() -> None:
    model = ScriptedModel(
        [
            {"prompt": "busy", "nth": 1, "reply": ["so ", {"error": 529, "message": "overloaded"}]},
            {"prompt": "gone", "reply": [{"error": None}]},
            {"prompt": "busy", "reply": "now"},
        ],
        otherwise="error",
    )
    host = await talk("busy", "busy", "gone", "what?", model=model)
    assert answers(host) == [
        "API Error: 529 overloaded",
        "now",
        "API Error: scripted error",
        "API Error: no rule of the script fits the prompt 'what?' (call 1)",
    ]
    with pytest.raises(ModelError, match="fits the prompt '' "):
        await hear(model)


async def test_a_file_says_the_same(tmp_path: Path) -> None:
    path = tmp_path / "script.json"
    path.write_text(json.dumps({"name": "mine", "rules": [{"contains": "é", "reply": "ja"}], "else": "error"}))
    model = ScriptedModel.from_file(path)
    assert (model.name, repr(model)) == ("mine", "<ScriptedModel 'mine': 1 rules>")
    assert await hear(model, user("né")) == "ja"
    with pytest.raises(ModelError):
        await hear(model, user("no"))


@pytest.mark.parametrize(
    ("written", "problem"),
    [
        ("{", "is no JSON: Input data was truncated"),
        ("[" * 100_000, "is nested too deeply"),
        ("[]", "at $: Expected `object`, got `array`, but it is []"),
        ('{"rules": [{"reply": 1}]}', "at $.rules[0].reply: Expected `str | array | null`, got `int`, but it is 1"),
        ('{"rules": [{"replies": [["a", {"tol": 1}]]}]}', "contains unknown field `tol`, but it is {'tol': 1}"),
        ('{"rules": [], "else": "x"}', "at $.else: Invalid enum value 'x', but it is 'x'"),
        ('{"rules": [{}]}', "at $.rules[0]: a rule has either a `reply` or `replies`"),
        ('{"rules": [{"reply": "", "replies": []}]}', "a rule has either a `reply` or `replies`"),
        ('{"rules": [{"replies": []}]}', "at $.rules[0].replies: there must be at least one"),
        ('{"rules": [{"failed": true, "replies": [""]}]}', "has one `reply`, for it counts no calls"),
        ('{"rules": [{"reply": "", "nth": 0}]}', "at $.rules[0].nth: times are counted from 1, so it cannot be 0"),
        ('{"rules": [{"reply": "", "matches": "("}]}', "at $.rules[0].matches: '(' is no regular expression"),
        ('{"rules": [{"reply": [{}]}]}', "at $.rules[0].reply[0]: a step does one thing, one of say, words"),
        ('{"rules": [{"reply": [{"say": "", "tool": "x"}]}]}', "not {'say': '', 'tool': 'x'}"),
        (
            '{"rules": [{"replies": ["", [{"hang": true, "delay": 1}]]}]}',
            "$.rules[0].replies[1][0]: 'delay' belongs to",
        ),
        ('{"rules": [{"reply": [{"wait": -1}]}]}', "less than nothing: {'wait': -1.0}"),
    ],
)
def test_a_wrong_file_is_refused_with_its_place_and_value(tmp_path: Path, written: str, problem: str) -> None:
    path = tmp_path / "script.json"
    path.write_text(written)
    with pytest.raises(InvalidOption) as refused:
        ScriptedModel.from_file(path)
    assert str(refused.value).startswith(f"the script {str(path)!r} ")
    assert problem in str(refused.value)


def test_a_file_that_is_not_there(tmp_path: Path) -> None:
    with pytest.raises(InvalidOption, match="cannot be read: No such file"):
        ScriptedModel.from_file(tmp_path / "none.json")
    with pytest.raises(InvalidOption, match=r"^the script at \$\.rules\[0\]: a rule has"):
        ScriptedModel([{}])
