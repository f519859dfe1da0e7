"""A model without a model: it answers from the conversation so far by a few rules, the same every time."""

import json
import re
from collections.abc import Callable, Iterator
from typing import Any, final

import trio

from triologue.engine.fitting import fitting
from triologue.engine.memory import Memory, ordinal, read_memory
from triologue.engine.toolbox import STRUCTURED_OUTPUT
from triologue.errors import ModelError
from triologue.messages import ContentBlock, TextBlock, ToolUseBlock
from triologue.ports import ModelReply, ModelRequest

DOLLARS_PER_INPUT_TOKEN = 3e-6
DOLLARS_PER_OUTPUT_TOKEN = 15e-6
CHARACTERS_PER_TOKEN = 4

_USE = re.compile(r"\buse (?:the )?tool `?([\w-]+)`?(?P<with>\s+with\s+(?=\{))?", re.IGNORECASE)
_CALL = re.compile(r"\bcall `?([\w-]+)`?\(([^()]*)\)", re.IGNORECASE)
_ARGUMENT = re.compile(r"""([A-Za-z_]\w*)\s*=\s*("(?:[^"\\]|\\.)*"|'[^']*'|[^,]+)""")
_TIMES = re.compile(r"\b(\d+) times\b", re.IGNORECASE)
_FAIL = re.compile(r"^fail\b(?:\s+with\s+(\d{3}))?\s*:?\s*(.*)", re.IGNORECASE | re.DOTALL)
_WAIT = re.compile(r"^wait (\d+(?:\.\d+)?) seconds?", re.IGNORECASE)
_COUNT = re.compile(r"^count to (\d{1,6})", re.IGNORECASE)
_SAY = re.compile(r"^(?:please )?(?:say|repeat after me):?\s+(.+)", re.IGNORECASE | re.DOTALL)
_HELLO = re.compile(r"^(?:hello|hi|hey|good (?:morning|evening))\b", re.IGNORECASE)


@final
class OfflineModel:
    """A deterministic model that needs no key and no network, for demos, tests and first steps.

    It reads the conversation that the engine sends, so resume, fork and compaction show in what it recalls. The first
    rule that fits the last prompt answers; letters may be large or small.

    ==================================================  ==============================================================
    prompt                                              answer
    ==================================================  ==============================================================
    (behind tool results)                               ``The tool add says: 3.`` for each, or ``... failed: why.``
    ``Use the tool add with {"a": 1, "b": 2}``          calls it; several in one prompt are called together;
                                                        ``... 3 times``: one after the other, with a reply each
    ``Call add(a=1, b="x")``                            the same; values are JSON, or text
    ``Fail with 529: overloaded``, ``Fail: why``        a `ModelError` of that status
    ``Wait 2.5 seconds``                                waits, then ``I waited 2.5 seconds.``
    ``Count to 20``                                     ``1 2 3 ...``, a piece for each number
    ``Say good night``, ``Repeat after me: ...``        the text
    ``Remember: I like Python``, ``Remember that ...``  ``I will remember that you like Python.``
    ``What do I like?``, ``Who am I?`` ...              what was told that has a word of the question in it
    ``What did I tell you?``                            everything that was told
    ``How many messages?``, ``How many turns?``         ``This is your 3rd message.``
    ``What did I say first?`` / ``last?``               that prompt
    ``Which model are you?``                            ``I am offline.``, or the model that was chosen
    ``What are your instructions?``                     the system prompt
    ``Summarize ...``                                   what was told, so that it can be recalled from the summary too
    ``Hello``                                           ``Hello! What can I do for you?``
    (a schema is wanted)                                an object that fits it, by the tool ``StructuredOutput``
    anything else                                       ``You said: "...". This is your 3rd message.``
    ==================================================  ==============================================================

    Sentences like ``I like Python``, ``I am Ada`` and ``My name is Ada`` are recalled without a ``Remember`` too.
    Several tool calls at once, unknown tools (``I have no tool ...``) and pictures (``I see 1 picture.``) work.

    A reply comes in pieces of one word. A token is four characters; input costs 3 dollars a million tokens, output 15.

    Args:
        piece_delay: seconds before each piece, on trio's clock.
        name: what it calls itself.
    """

    __slots__ = ("_name", "_piece_delay")

    def __init__(self, *, piece_delay: float = 0.0, name: str = "offline") -> None:
        self._piece_delay = piece_delay
        self._name = name

    @property
    def name(self) -> str:
        """What it calls itself."""
        return self._name

    async def reply(self, request: ModelRequest, emit: Callable[[str], None]) -> ModelReply:
        """Answer, a word at a time.

        Raises:
            ModelError: the prompt asked for it.
        """
        memory = read_memory(request.messages)
        said, calls = self._decide(memory, request)
        if not calls:
            calls = _answer_by_tool(said, memory, request)
        if wait := _WAIT.match(memory.prompt):
            await trio.sleep(float(wait[1]))
        for piece in pieces(said):
            await trio.sleep(self._piece_delay)
            emit(piece)
        content: list[ContentBlock] = [TextBlock(text=said), *calls]
        input_tokens = tokens(request.system or "") + sum(
            tokens(str(message["content"])) for message in request.messages
        )
        output_tokens = tokens(said) + sum(tokens(str(call.input)) for call in calls)
        return ModelReply(
            content=content,
            stop_reason="tool_use" if calls else "end_turn",
            model=request.model or self._name,
            input_tokens=input_tokens,
            output_tokens=output_tokens,
            cost_usd=input_tokens * DOLLARS_PER_INPUT_TOKEN + output_tokens * DOLLARS_PER_OUTPUT_TOKEN,
        )

    def _decide(self, memory: Memory, request: ModelRequest) -> tuple[str, list[ToolUseBlock]]:
        """What to say, and which tools to call."""
        asked = list(requested_calls(memory.prompt))
        times = _TIMES.search(memory.prompt)
        if asked and memory.rounds < (int(times[1]) if times else 1):
            return _call(asked, memory, {tool.name for tool in request.tools})
        if memory.results:
            return " ".join(memory.results), []
        if fail := _FAIL.match(memory.prompt):
            raise ModelError(fail[2].strip() or "asked to fail", status=int(fail[1]) if fail[1] else None)
        return self._say(memory, request), []

    def _say(self, memory: Memory, request: ModelRequest) -> str:
        prompt = memory.prompt
        if wait := _WAIT.match(prompt):
            return f"I waited {wait[1]} seconds."
        if count := _COUNT.match(prompt):
            return " ".join(str(number) for number in range(1, int(count[1]) + 1))
        if say := _SAY.match(prompt):
            return say[1].strip()
        if re.search(r"\bwhich model\b", prompt, re.IGNORECASE):
            return f"I am {request.model or self._name}."
        if re.search(r"\byour instructions\b", prompt, re.IGNORECASE):
            return f"My instructions: {request.system}" if request.system else "I have no instructions."
        if answer := memory.answer():
            return answer
        if _HELLO.match(prompt):
            return "Hello! What can I do for you?"
        seen = f" I see {memory.pictures} picture{'s' * (memory.pictures > 1)}." if memory.pictures else ""
        return f'You said: "{prompt}".{seen} This is your {ordinal(len(memory.prompts))} message.'


def _answer_by_tool(said: str, memory: Memory, request: ModelRequest) -> list[ToolUseBlock]:
    """The call that gives the answer, where it is wanted in a form."""
    for tool in request.tools:
        if tool.name == STRUCTURED_OUTPUT:
            answer = fitting(tool.input_schema, said)
            return [ToolUseBlock(id=f"toolu_{memory.uses + 1}", name=tool.name, input=answer)]
    return []


def requested_calls(prompt: str) -> Iterator[tuple[str, dict[str, Any]]]:
    """The tools that a prompt asks for, with their arguments."""
    for match in _USE.finditer(prompt):
        arguments: Any = {}
        if match["with"]:
            try:
                arguments, _ = json.JSONDecoder().raw_decode(prompt, match.end())
            except ValueError:
                arguments = {}
        yield match[1], arguments
    for match in _CALL.finditer(prompt):
        yield match[1], {name: _value(value.strip()) for name, value in _ARGUMENT.findall(match[2])}


def _value(written: str) -> Any:
    if len(written) >= 2 and written[0] == written[-1] == "'":
        return written[1:-1]
    try:
        return json.loads(written)
    except ValueError:
        return {"True": True, "False": False, "None": None}.get(written, written)


def _call(asked: list[tuple[str, dict[str, Any]]], memory: Memory, known: set[str]) -> tuple[str, list[ToolUseBlock]]:
    unknown = [name for name, _ in asked if name not in known]
    if unknown:
        have = f"I have: {', '.join(sorted(known))}." if known else "I have none."
        return f"I have no tool called {unknown[0]}. {have}", []
    calls = [
        ToolUseBlock(id=f"toolu_{memory.uses + number}", name=name, input=arguments)
        for number, (name, arguments) in enumerate(asked, 1)
    ]
    names = " and ".join(dict.fromkeys(name for name, _ in asked))
    return f"I will use {names}.", calls


def pieces(said: str) -> list[str]:
    """The words of a text, each with the space behind it; together they are the text."""
    # What is all space is one piece; without that it would be looked through again from each of its characters.
    return re.findall(r"\s*\S+\s*|\s+", said)


def tokens(said: str) -> int:
    """About how many tokens a text has."""
    return (len(said) + CHARACTERS_PER_TOKEN - 1) // CHARACTERS_PER_TOKEN
