"""What a chat shows: text while it comes, tools in short, and how each turn ended."""

import json
from typing import Any, final

import trio
from rich.console import Console

from triologue.cli.endings import one_line
from triologue.cli.text_flow import TextFlow, printable
from triologue.messages import (
    ApiRetryMessage,
    AssistantMessage,
    CompactBoundaryMessage,
    ContentBlock,
    InitMessage,
    Message,
    Outcome,
    PermissionDeniedMessage,
    ToolResultBlock,
    ToolUseBlock,
    UserMessage,
)

MAX_SHORT = 78


@final
class TurnView:
    """Shows one turn."""

    def __init__(self, console: Console) -> None:
        self._console = console
        self._flow = TextFlow()
        self._began = trio.current_time()

    def show(self, message: Message) -> None:
        """The next message of the turn."""
        self._write(printable(self._flow.feed(message)))
        match message:
            case AssistantMessage(parent_tool_use_id=parent):
                self._tools(message.content, is_nested=parent is not None)
            case UserMessage(parent_tool_use_id=None):
                self._tool_results(message.content)
            case _:
                said = notice_of(message)
                if said is not None:
                    self.note(said)

    def end(self, outcome: Outcome) -> None:
        """How it ended, how long it took, what it cost."""
        if not self._flow.has_spoken and outcome.kind == "answered" and outcome.result and outcome.result.result:
            self._write(printable(outcome.result.result) + "\n")
        self._write(self._flow.end_line())
        if outcome.kind == "interrupted":
            self.note("interrupted", style="yellow")
        elif outcome.error is not None:
            self._line(printable(self._what_went_wrong(outcome, outcome.error)), style="red")
        parts = [f"{trio.current_time() - self._began:.1f} s"]
        if outcome.cost_usd is not None:
            parts.append(f"${outcome.cost_usd:.4f}")
        if outcome.result is not None and outcome.result.total_cost_usd is not None:
            parts.append(f"${outcome.result.total_cost_usd:.4f} in all")
        self.note(", ".join(parts))

    def _what_went_wrong(self, outcome: Outcome, error: BaseException) -> str:
        """The error in one line; what the agent has just said of it is not said again."""
        said = one_line(error)
        told = outcome.result.result if outcome.result is not None and self._flow.has_spoken else None
        return said.removesuffix(f": {told}") if told else said

    def note(self, said: str, *, style: str = "bright_black") -> None:
        """A line about the conversation, and not of it."""
        self._line(f"({short(said, 400)})", style=style)

    def _tools(self, content: list[ContentBlock], *, is_nested: bool) -> None:
        indent = "  " if is_nested else ""
        for block in content:
            if isinstance(block, ToolUseBlock):
                self._line(f"{indent}> {block.name}  {short_input(block.input)}", style="cyan")

    def _tool_results(self, content: str | list[ContentBlock]) -> None:
        for block in content if isinstance(content, list) else ():
            if isinstance(block, ToolResultBlock):
                self._line(f"  {short_result(block.content)}", style="red" if block.is_error else "bright_black")

    def _line(self, said: str, *, style: str) -> None:
        self._write(self._flow.end_line())
        self._console.print(said, style=style, markup=False, soft_wrap=True)

    def _write(self, piece: str) -> None:
        if piece:
            self._console.file.write(piece)
            self._console.file.flush()


def notice_of(message: Message) -> str | None:
    """What a message tells about the conversation, where it does."""
    match message:
        case ApiRetryMessage():
            reason = message.error or message.error_status or "no answer"
            wait = message.retry_delay_ms / 1000
            return f"the model: {reason}; try {message.attempt} of {message.max_retries} in {wait:.0f} s"
        case PermissionDeniedMessage():
            return f"{message.tool_name} was denied: {message.decision_reason or message.message}"
        case CompactBoundaryMessage():
            return "what was said before is now a summary"
        case _:
            return None


def model_of(message: Message) -> str | None:
    """The model that an agent says it uses."""
    return message.model if isinstance(message, InitMessage) else None


def short_input(value: dict[str, Any]) -> str:
    """A tool's arguments in one short line: the value of the only one, else all of them."""
    if len(value) == 1:
        (only,) = value.values()
        return short(only if isinstance(only, str) else json.dumps(only, ensure_ascii=False))
    return short(
        ", ".join(f"{name}: {item if isinstance(item, str) else json.dumps(item)}" for name, item in value.items())
    )


def short_result(content: str | list[Any] | None) -> str:
    """What a tool gave, in one short line: its first line, and how many there are."""
    if isinstance(content, list):
        content = "\n".join(
            str(block.get("text", f"[{block.get('type')}]")) if isinstance(block, dict) else str(block)
            for block in content
        )
    lines = (content or "").strip().splitlines()
    if not lines:
        return "(nothing)"
    more = f"  (and {len(lines) - 1} more lines)" if len(lines) > 2 else ""
    return short(lines[0] if len(lines) != 2 else " / ".join(lines)) + more


def short(said: str, limit: int = MAX_SHORT) -> str:
    """In one line, without control characters, cut."""
    said = printable(" ".join(said.split()))
    return said if len(said) <= limit else f"{said[: limit - 1]}…"
