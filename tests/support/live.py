"""Conversations with the real Claude Code: a manager in a clean place, tool calls as scripts, a turn as plain values."""

import json
from contextlib import AbstractAsyncContextManager
from dataclasses import dataclass, field
from typing import Any, Never

import trio

import triologue as tri
from tests.support.real_cli import CleanPlace
from tests.support.wiretap import Wiretap
from triologue.actors import Turn
from triologue.manager import PermissionCallback, Subscription


def open_live_manager(
    place: CleanPlace,
    options: tri.Options | None = None,
    *,
    agent: tri.Agent | None = None,
    limits: tri.Limits | None = None,
    deadlines: tri.Deadlines | None = None,
    on_permission: PermissionCallback | None = None,
) -> AbstractAsyncContextManager[tri.SessionManager]:
    """A manager of Claude Code in this place, and in its folder; or of `agent`."""
    in_its_folder = tri.Options(cwd=place.cwd)
    merged = in_its_folder if options is None else options.over(in_its_folder)
    agent = agent or tri.ClaudeCode(environ=place.env)
    return tri.open_manager(agent, options=merged, limits=limits, deadlines=deadlines, on_permission=on_permission)


def tap(place: CleanPlace) -> Wiretap:
    """Claude Code in this place, with all that passes kept; for `open_live_manager(agent=...)`."""
    return Wiretap(tri.ClaudeCode(environ=place.env))


def call(name: str, /, **arguments: Any) -> str:
    """The script of a tool call."""
    return f"[[tool {name} {json.dumps(arguments)}]]"


def bash(command: str, **arguments: Any) -> str:
    """The script of a shell command."""
    return call("Bash", command=command, description="part of a test", **arguments)


@dataclass
class Story:
    """What a turn said, as plain values."""

    calls: list[tuple[str, dict[str, Any]]] = field(default_factory=list)
    """Tool calls: name and input."""
    results: list[tuple[str, str, bool]] = field(default_factory=list)
    """What came of them: name, text, whether it is an error."""
    said: str = ""
    """All of the assistant's text."""
    result: tri.ResultMessage | None = None


async def read_to_the_end(events: Subscription) -> list[tri.Event]:
    """What is told up to the end of the turn that runs."""
    seen: list[tri.Event] = []
    async for event in events:
        seen.append(event)
        if isinstance(event.message, tri.TurnEnded):
            break
    return seen


def permissions_told(events: list[tri.Event]) -> list[tuple[str, ...]]:
    """What was said about permissions: who asks for what, and what became of it."""
    found: list[tuple[str, ...]] = []
    for event in events:
        match event.message:
            case tri.PermissionAsked(request=request):
                found.append(("asked", request.input["command"]))
            case tri.PermissionAnswered(answer=answer, by=by, reason=reason):
                found.append((answer, by or "nobody", reason or ""))
            case tri.CallbackFailed(request=name, error=error):
                found.append(("raised", name, error))
            case _:
                pass
    return found


class Endless:
    """A callback that never returns, whatever it is given; it tells when it was begun and cancelled."""

    def __init__(self) -> None:
        self.begun, self.cancelled = trio.Event(), trio.Event()

    async def __call__(self, *given: Any) -> Never:
        self.begun.set()
        try:
            await trio.sleep_forever()
        finally:
            self.cancelled.set()


async def read_story(turn: Turn) -> Story:
    """Iterates a turn to its end."""
    story, names = Story(), dict[str, str]()
    async for message in turn:
        match message:
            case tri.AssistantMessage():
                for block in message.content:
                    if isinstance(block, tri.ToolUseBlock):
                        names[block.id] = block.name
                        story.calls.append((block.name, block.input))
                story.said += tri.text(message)
            case tri.UserMessage() if isinstance(message.content, list):
                for block in message.content:
                    if isinstance(block, tri.ToolResultBlock):
                        outcome = (names[block.tool_use_id], _text(block.content), bool(block.is_error))
                        story.results.append(outcome)
            case tri.ResultMessage():
                story.result = message
            case _:
                pass
    return story


def _text(content: Any) -> str:
    if isinstance(content, list):
        return "".join(part.get("text", "") for part in content)
    return content or ""


async def wait_written(place: CleanPlace, what: str, *, patience: float = 10.0) -> None:
    """Returns when Claude Code has this prompt, or a call of this tool, in a transcript.

    It writes a little behind what it does: what it was killed over at once is not remembered.
    """
    with trio.fail_after(patience):
        while what not in _written(place):
            await trio.sleep(0.01)


def _written(place: CleanPlace) -> list[str]:
    texts = [path.read_text() for path in (place.home / ".claude" / "projects").glob("*/*.jsonl")]
    records = [json.loads(line) for text in texts for line in text.split("\n")[:-1]]
    contents = [record["message"]["content"] for record in records if record["type"] in ("user", "assistant")]
    prompts = [content for content in contents if isinstance(content, str)]
    blocks = [block for content in contents if isinstance(content, list) for block in content]
    return prompts + [block["name"] for block in blocks if block["type"] == "tool_use"]
