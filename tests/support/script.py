"""The script language of the stubbed Messages API: a prompt says how the model is to behave.

A script is any number of `[[items]]` in the last prompt of the user; text around them means nothing.

    [[say TEXT]]  [[then TEXT]]         a text answer, one delta a word (`then` reads better behind a tool)
    [[words N]]  [[words N delay S]]    N words `word1 word2 ...`, one delta each, S seconds after each
    [[bytes N]]                         a text answer of exactly N bytes (`letters(N)`)
    [[thinking TEXT]]                   a thinking block
    [[recall]]                          `echo[2]: first | second`: all prompts so far (also the answer without a script)
    [[results]]                         the texts of the tool results since the prompt, in the order of the calls, joined by ` | `
    [[tool NAME JSON]]                  calls a tool, and so ends this reply; JSON may be left out: {}
    [[and tool NAME JSON]]              one more call in the same reply, in parallel
    [[end]]  [[end REASON]]             ends this reply (stop reason `end_turn`, `max_tokens`, `refusal` ...)
    [[wait NAME]]                       waits until the test calls `api.release(NAME)`
    [[hang WHERE]]  [[drop WHERE]]      says nothing more / cuts the connection: `before headers`, `after headers`, `mid`
    [[error 529 "message" retry-after S]]   an API error; an error event when something was said before it
    [[usage IN OUT]]                    the tokens of this reply, instead of 10 and 5

`hang`, `drop` and `error` take `times N`: only the first N attempts at this reply, then what stands behind them.

One reply answers one model call. It goes up to its tool calls or `[[end]]`; the reply is chosen by how often the
model was called since the prompt, and behind the last one comes a recall. Items of a reply play in order, so
`[[say a]] [[wait gate]] [[say b]]` stops in the middle of a stream, and `[[wait gate]] [[say b]]` before its headers.
"""

import json
import re
from collections.abc import Callable, Iterator
from dataclasses import dataclass, field
from typing import Any, Literal, Protocol, TypeAlias

import trio

Where: TypeAlias = Literal["before headers", "after headers", "mid"]

DELTA_BYTES = 64 * 1024


class ScriptError(ValueError):
    """The prompt holds an item that the language does not have."""


class Stage(Protocol):
    """Where a reply is played: the model's side of one request."""

    async def text(self, piece: str) -> None: ...
    async def thinking(self, text: str) -> None: ...
    async def tool(self, name: str, arguments: dict[str, Any]) -> None: ...
    async def reach(self, where: Where) -> None: ...
    async def fail(self, status: int, message: str, retry_after: float | None) -> None: ...
    async def wait(self, gate: str) -> None: ...
    def drop(self) -> None: ...
    def is_due(self, times: int | None) -> bool: ...
    def recall(self) -> str: ...
    def results(self) -> str: ...


class Item(Protocol):
    """One step of a reply."""

    async def play(self, stage: Stage) -> None: ...


def letters(count: int) -> str:
    """`count` ASCII characters, the same every time: lines of 64."""
    line = "abcdefghijklmnopqrstuvwxyzABCDEFGHIJKLMNOPQRSTUVWXYZ0123456789-\n"
    return (line * (count // len(line) + 1))[:count]


def words(text: str) -> Iterator[str]:
    """Pieces of `text` that end before each word; together they are `text` again."""
    return (match.group() for match in re.finditer(r"\s*\S+(?:\s+\Z)?|\s+\Z", text))


@dataclass(frozen=True)
class Say:
    text: str

    async def play(self, stage: Stage) -> None:
        for piece in words(self.text):
            await stage.text(piece)


@dataclass(frozen=True)
class Words:
    count: int
    delay: float

    async def play(self, stage: Stage) -> None:
        for number in range(1, self.count + 1):
            await stage.text(f"word{number} " if number < self.count else f"word{number}")
            if self.delay:
                await trio.sleep(self.delay)


@dataclass(frozen=True)
class Bytes:
    count: int

    async def play(self, stage: Stage) -> None:
        text = letters(self.count)
        for start in range(0, self.count, DELTA_BYTES):
            await stage.text(text[start : start + DELTA_BYTES])


@dataclass(frozen=True)
class Thinking:
    text: str

    async def play(self, stage: Stage) -> None:
        await stage.thinking(self.text)


@dataclass(frozen=True)
class Recall:
    async def play(self, stage: Stage) -> None:
        await Say(stage.recall()).play(stage)


@dataclass(frozen=True)
class Results:
    async def play(self, stage: Stage) -> None:
        await Say(stage.results()).play(stage)


@dataclass(frozen=True)
class Tool:
    name: str
    arguments: dict[str, Any] = field(default_factory=dict)
    parallel: bool = False

    async def play(self, stage: Stage) -> None:
        await stage.tool(self.name, self.arguments)


@dataclass(frozen=True)
class End:
    reason: str = "end_turn"

    async def play(self, stage: Stage) -> None:
        """Its reason is read when the reply is finished."""


@dataclass(frozen=True)
class Usage:
    input_tokens: int = 10
    output_tokens: int = 5

    async def play(self, stage: Stage) -> None:
        """Its numbers are read when the reply begins."""


@dataclass(frozen=True)
class Wait:
    gate: str

    async def play(self, stage: Stage) -> None:
        await stage.wait(self.gate)


@dataclass(frozen=True)
class Hang:
    where: Where
    times: int | None = None

    async def play(self, stage: Stage) -> None:
        if stage.is_due(self.times):
            await stage.reach(self.where)
            await trio.sleep_forever()


@dataclass(frozen=True)
class Drop:
    where: Where
    times: int | None = None

    async def play(self, stage: Stage) -> None:
        if stage.is_due(self.times):
            await stage.reach(self.where)
            stage.drop()


@dataclass(frozen=True)
class Error:
    status: int
    message: str = "scripted error"
    retry_after: float | None = None
    times: int | None = None

    async def play(self, stage: Stage) -> None:
        if stage.is_due(self.times):
            await stage.fail(self.status, self.message, self.retry_after)


def _optional(number: str | None) -> int | None:
    return None if number is None else int(number)


def _error(match: re.Match[str]) -> Error:
    message, seconds = match["message"], match["seconds"]
    return Error(
        status=int(match["status"]),
        message="scripted error" if message is None else message,
        retry_after=None if seconds is None else float(seconds),
        times=_optional(match["times"]),
    )


_WHERE = r"(?P<where>before headers|after headers|mid)(?: times (?P<times>\d+))?"
_ITEMS: tuple[tuple[str, Callable[[re.Match[str]], Item]], ...] = (
    (r"(?:say|then) (.*)", lambda m: Say(m[1])),
    (r"words (\d+)(?: delay ([\d.]+))?", lambda m: Words(int(m[1]), float(m[2] or 0))),
    (r"bytes (\d+)", lambda m: Bytes(int(m[1]))),
    (r"thinking (.*)", lambda m: Thinking(m[1])),
    (r"recall", lambda _: Recall()),
    (r"results", lambda _: Results()),
    (r"end(?: (\w+))?", lambda m: End(m[1] or "end_turn")),
    (r"usage (\d+) (\d+)", lambda m: Usage(int(m[1]), int(m[2]))),
    (r"wait (\S+)", lambda m: Wait(m[1])),
    (f"hang {_WHERE}", lambda m: Hang(m["where"], _optional(m["times"]))),  # type: ignore[arg-type]
    (f"drop {_WHERE}", lambda m: Drop(m["where"], _optional(m["times"]))),  # type: ignore[arg-type]
    (
        r'error (?P<status>\d{3})(?: "(?P<message>[^"]*)")?(?: retry-after (?P<seconds>[\d.]+))?(?: times (?P<times>\d+))?',
        _error,
    ),
)
_TOOL = re.compile(r"(?P<parallel>and )?tool (?P<name>[^\s\]]+)\s*")


def parse(prompt: str) -> list[Item]:
    """The items of a prompt, in order; none for an ordinary prompt. Raises ScriptError."""
    items: list[Item] = []
    position = 0
    while (start := prompt.find("[[", position)) != -1:
        item, position = _parse_tool(prompt, start + 2) or _parse_item(prompt, start + 2)
        items.append(item)
    return items


def _parse_tool(prompt: str, start: int) -> tuple[Item, int] | None:
    """A tool call on its own, because its JSON may hold `]]`."""
    match = _TOOL.match(prompt, start)
    if match is None:
        return None
    arguments: dict[str, Any] = {}
    end = match.end()
    try:
        if prompt.startswith("{", end):
            arguments, end = json.JSONDecoder().raw_decode(prompt, end)
    except ValueError as error:
        raise ScriptError(f"bad JSON in {prompt[start:]!r}: {error}") from error
    if (close := re.compile(r"\s*\]\]").match(prompt, end)) is None:
        raise ScriptError(f"no ]] behind {prompt[start:end]!r}")
    return Tool(match["name"], arguments, parallel=bool(match["parallel"])), close.end()


def _parse_item(prompt: str, start: int) -> tuple[Item, int]:
    end = prompt.find("]]", start)
    if end == -1:
        raise ScriptError(f"no ]] behind {prompt[start:]!r}")
    body = prompt[start:end]
    for pattern, build in _ITEMS:
        if match := re.fullmatch(pattern, body, re.DOTALL):
            return build(match), end + 2
    raise ScriptError(f"no such item: {body!r}")


def split_replies(items: list[Item]) -> list[list[Item]]:
    """One list for every model call of the turn."""
    replies: list[list[Item]] = []
    current: list[Item] = []
    for item in items:
        if isinstance(item, Tool) and item.parallel and replies and not current:
            replies[-1].append(item)
            continue
        current.append(item)
        if isinstance(item, Tool | End):
            replies.append(current)
            current = []
    return [*replies, current] if current else replies
