"""The grammar of the offline model."""

from typing import Any

import pytest
import trio
from trio.testing import MockClock

from triologue.engine import OfflineModel
from triologue.engine.memory import read_memory
from triologue.engine.offline import pieces
from triologue.errors import ModelError
from triologue.messages import TextBlock, ToolUseBlock, text
from triologue.ports import ModelReply, ModelRequest, ToolSpec

ADD = ToolSpec(name="add", description="Add.", input_schema={"type": "object"})
NAP = ToolSpec(name="nap", description="Sleep.", input_schema={"type": "object"})


async def reply(*prompts: Any, model: OfflineModel | None = None, **request: Any) -> ModelReply:
    """The reply to the last of these; between them the assistant said `ok`."""
    messages: list[dict[str, Any]] = []
    for prompt in prompts:
        messages += [{"role": "user", "content": prompt}, {"role": "assistant", "content": "ok"}]
    asked = {"model": None, "system": None, "tools": [ADD, NAP], **request}
    return await (model or OfflineModel()).reply(ModelRequest(messages=messages[:-1], **asked), lambda piece: None)


async def answer(*prompts: Any, **request: Any) -> str:
    return text((await reply(*prompts, **request)).content)


@pytest.mark.parametrize(
    ("prompts", "expected"),
    [
        (["Hello"], "Hello! What can I do for you?"),
        (["Remember: I like Python"], "I will remember that you like Python."),
        (["Please remember that my cat is called Tom."], "I will remember that your cat is called Tom."),
        (["Remember: I like Python", "What do I like?"], "You like Python."),
        (
            ["Remember: I like Python", "thanks", "what do I like"],
            'You said: "what do I like". This is your 3rd message.',
        ),
        (["I like tea. My name is Ada!", "What do I like?"], "You like tea."),
        (["I like tea. My name is Ada!", "What is my name?"], "Your name is Ada."),
        (["I am Ada", "Who am I?"], "You are Ada."),
        (["I live in Rome", "Where do I live?"], "You live in Rome."),
        (["What do I like?"], "You have not told me that yet."),
        (
            ["Remember: I like tea", "I live in Rome. My dog is Rex.", "What did I tell you?"],
            "You like tea, you live in Rome and your dog is Rex.",
        ),
        (["a", "b", "How many messages have I sent?"], "This is your 3rd message."),
        (["a"] * 11 + ["How many turns?"], "This is your 12th message."),
        (["alpha", "beta", "What did I say first?"], 'You said: "alpha".'),
        (["alpha", "beta", "What did I say last?"], 'You said: "beta".'),
        (["Count to 5"], "1 2 3 4 5"),
        (["Say good night"], "good night"),
        (["Repeat after me: la la"], "la la"),
        (["Which model are you?"], "I am offline."),
        (["What are your instructions?"], "I have no instructions."),
        (["Remember: I like tea", "Summarize it"], "Remember: I like tea"),
        (["Summary:\n\nRemember: I like tea\nRemember: my dog is Rex", "What is my dog?"], "Your dog is Rex."),
        (["Something else"], 'You said: "Something else". This is your 1st message.'),
        (
            [[{"type": "text", "text": "Look"}, {"type": "image", "source": {}}]],
            'You said: "Look". I see 1 picture. This is your 1st message.',
        ),
        (["call nope()"], "I have no tool called nope. I have: add, nap."),
        ([[{"type": "text", "text": "[Request interrupted by user]"}, {"type": "text", "text": "Say x"}]], "x"),
    ],
)
async def test_what_is_said_to_what(prompts: list[Any], expected: str) -> None:
    assert await answer(*prompts) == expected


async def test_it_knows_what_it_is() -> None:
    chosen = await reply("Which model are you?", model=OfflineModel(name="mine"))
    assert (text(chosen.content), chosen.model) == ("I am mine.", "mine")
    assert await answer("What are your instructions?", system="Be kind.") == "My instructions: Be kind."


@pytest.mark.parametrize(
    ("prompt", "calls"),
    [
        ('Use the tool add with {"a": 1, "b": {"c": 2}} now', [("add", {"a": 1, "b": {"c": 2}})]),
        ("use tool `nap`", [("nap", {})]),
        ("Use the tool nap with {broken", [("nap", {})]),
        (
            "Please call add(a=1, b=-2.5) and call nap(why=\"so, so\", how='it is', deep=True, n=None, w=word)",
            [
                ("add", {"a": 1, "b": -2.5}),
                ("nap", {"why": "so, so", "how": "it is", "deep": True, "n": None, "w": "word"}),
            ],
        ),
    ],
)
async def test_it_calls_tools(prompt: str, calls: list[tuple[str, dict[str, Any]]]) -> None:
    said = await reply(prompt)
    assert said.stop_reason == "tool_use"
    assert [(block.id, block.name, block.input) for block in said.content if isinstance(block, ToolUseBlock)] == [
        (f"toolu_{number}", *call) for number, call in enumerate(calls, 1)
    ]


async def test_it_reports_what_a_tool_gave_and_calls_again_when_asked_to() -> None:
    model = OfflineModel()
    use = {"type": "tool_use", "id": "toolu_1", "name": "add", "input": {}}
    messages: list[dict[str, Any]] = [
        {"role": "user", "content": "call add() 2 times"},
        {"role": "assistant", "content": [use]},
        {"role": "user", "content": [{"type": "tool_result", "tool_use_id": "toolu_1", "content": "3"}]},
    ]
    request = ModelRequest(model=None, system=None, messages=messages, tools=[ADD])
    again = await model.reply(request, lambda piece: None)
    assert again.content == [TextBlock(text="I will use add."), ToolUseBlock(id="toolu_2", name="add", input={})]
    failed = {"type": "tool_result", "tool_use_id": "toolu_2", "content": [{"type": "text", "text": "no."}]}
    messages += [
        {"role": "assistant", "content": [{**use, "id": "toolu_2"}]},
        {"role": "user", "content": [{**failed, "is_error": True}]},
    ]
    request = ModelRequest(model=None, system=None, messages=messages, tools=[ADD])
    assert text((await model.reply(request, lambda piece: None)).content) == "The tool add failed: no."


@pytest.mark.parametrize(
    ("prompt", "status", "told"),
    [("Fail with 529: overloaded", 529, "overloaded"), ("Fail: no", None, "no"), ("fail", None, "asked to fail")],
)
async def test_it_fails_when_asked_to(prompt: str, status: int | None, told: str) -> None:
    with pytest.raises(ModelError) as caught:
        await reply(prompt)
    assert (caught.value.status, str(caught.value)) == (status, told)


async def test_it_speaks_in_words_with_a_delay(autojump_clock: MockClock) -> None:
    heard: list[tuple[float, str]] = []
    request = ModelRequest(model=None, system=None, messages=[{"role": "user", "content": "Count to 3"}])
    began = trio.current_time()
    await OfflineModel(piece_delay=2).reply(request, lambda piece: heard.append((trio.current_time() - began, piece)))
    assert heard == [(2, "1 "), (4, "2 "), (6, "3")]


async def test_it_waits_when_asked_to(autojump_clock: MockClock) -> None:
    assert await answer("Wait 2.5 seconds") == "I waited 2.5 seconds."
    assert trio.current_time() == 2.5


async def test_it_costs_the_same_every_time() -> None:
    said = await reply("Hello")
    assert (said.input_tokens, said.output_tokens) == (2, 8)
    assert said.cost_usd == pytest.approx(2 * 3e-6 + 8 * 15e-6)


async def test_it_can_be_cancelled_between_any_two_words() -> None:
    heard: list[str] = []
    request = ModelRequest(model=None, system=None, messages=[{"role": "user", "content": "Count to 1000"}])
    with trio.CancelScope() as scope:

        def hear(piece: str) -> None:
            heard.append(piece)
            if len(heard) == 2:
                scope.cancel()

        await OfflineModel().reply(request, hear)
    assert heard == ["1 ", "2 "]


@pytest.mark.parametrize("prompt", [" " * 100_000, "what " + "I " * 100_000, "\n" * 100_000, ". " + " " * 100_000])
def test_no_prompt_is_looked_through_again_and_again(prompt: str) -> None:
    memory = read_memory([{"role": "user", "content": prompt}])
    assert (memory.answer(), "".join(pieces(prompt))) == (None, prompt)
