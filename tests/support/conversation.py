"""Reading a Messages request as a conversation: what the user said, and how far the turn has come.

Agents wrap prompts in blocks of their own and ask the model for things that are no turns (titles, summaries, searches);
what is said here about them was seen on the wire.
"""

import json
import re
from collections.abc import Iterator
from dataclasses import dataclass, field
from typing import Any

_REMINDER = re.compile(r"\s*<system-reminder>.*?</system-reminder>\s*", re.DOTALL)
_STEER = re.compile(
    r"The user sent a new message while you were working:\n(.*?)(?:\n\nThis is how Claude Code|\Z)", re.DOTALL
)

# Text that stands in the user's place although no user wrote it.
_NOTES = (
    "[Request interrupted by user",
    "[Image: source:",
    "<local-command-",
    "<command-name>",
    "<command-message>",
    "<task-notification>",
    "Tool loaded.",
    "This session is being continued from a previous conversation",
)
# Said in the user's place to a model that should go on; an empty answer is not kept, so these alone tell of it.
_NUDGES = (
    "Output token limit hit",
    "Stop hook feedback:",
    "Your response above was stopped by a safety classifier",
    "[Your previous response had no visible output",
)
_COMPACTION = "CRITICAL: Respond with TEXT ONLY"
_SIDE_QUESTION = "<system-reminder>This is a side question"


@dataclass
class Conversation:
    """What a request tells about the conversation it belongs to."""

    prompts: list[str] = field(default_factory=list)
    """Everything that the user said so far, oldest first; images as `<image/png>`."""
    script: str = ""
    """The last prompt that started a turn; a message that was folded into a running turn does not."""
    replies: int = 0
    """How often the model has answered since that prompt."""
    calls: list[str] = field(default_factory=list)
    """The ids of the tool calls since that prompt."""
    results: dict[str, str] = field(default_factory=dict)
    """The texts of their results by id; results arrive in the order in which the tools ended."""
    is_answered: bool = False
    """Whether the model has answered what was said last."""

    def recall(self) -> str:
        return f"echo[{len(self.prompts)}]: {' | '.join(self.prompts)}"

    def results_in_order(self) -> list[str]:
        return [self.results[call] for call in self.calls if call in self.results]


def read_conversation(body: dict[str, Any]) -> Conversation:
    """The conversation in the body of a Messages request; never raises for odd blocks."""
    conversation = Conversation()
    for message in body.get("messages", ()):
        if message.get("role") == "assistant":
            conversation.replies += 1
            conversation.is_answered = True
            conversation.calls += [block.get("id", "") for block in _blocks(message) if block.get("type") == "tool_use"]
            continue
        for block in _blocks(message):
            _read_block(conversation, block, is_user=message.get("role") == "user")
    return conversation


def _read_block(conversation: Conversation, block: dict[str, Any], *, is_user: bool) -> None:
    text = _without_reminders(_text(block))
    if block.get("type") == "tool_result":
        conversation.results[block.get("tool_use_id", "")] = text
        conversation.is_answered = False
    elif block.get("type") == "image":
        conversation.prompts.append(f"<{block.get('source', {}).get('media_type', 'image')}>")
    elif not is_user:
        conversation.prompts.extend(_STEER.findall(text))
    elif text.startswith(_NUDGES):
        conversation.replies += not conversation.is_answered
        conversation.is_answered = True
    elif text and not text.startswith((*_NOTES, _COMPACTION)):
        _begin_turn(conversation, text)


def _begin_turn(conversation: Conversation, text: str) -> None:
    # A line feed is put behind each text when prompts are joined in one message.
    conversation.script = text.rstrip("\n")
    conversation.prompts.append(conversation.script)
    conversation.replies, conversation.calls, conversation.results = 0, [], {}
    conversation.is_answered = False


def _without_reminders(text: str) -> str:
    return _REMINDER.sub("", text)


def side_purpose(body: dict[str, Any], headers: dict[str, str]) -> str | None:
    """Why an agent asks, when it is not for a turn: `structured`, `compaction`, `question`, `other`; None for a turn."""
    if "format" in body.get("output_config", {}):
        return "structured"
    last = _last_user_texts(body)
    if any(text.startswith(_COMPACTION) for text in last):
        return "compaction"
    if any(text.startswith(_SIDE_QUESTION) for text in last):
        return "question"
    # All turns of Claude Code ask for thinking or manage their context; its searches and small calls do neither.
    is_claude = headers.get("user-agent", "").startswith("claude-cli/")
    return "other" if is_claude and not {"thinking", "context_management"} & body.keys() else None


def side_answer(purpose: str, body: dict[str, Any]) -> str:
    """A neutral answer to a side request."""
    if purpose == "structured":
        schema = body["output_config"]["format"].get("schema", {})
        return json.dumps({name: f"stub {name}" for name in schema.get("properties", {})})
    if purpose == "compaction":
        return f"<summary>{read_conversation(body).recall()}</summary>"
    return f"stub answer ({purpose})"


def _last_user_texts(body: dict[str, Any]) -> list[str]:
    messages = [message for message in body.get("messages", ()) if message.get("role") == "user"]
    return [_text(block) for block in _blocks(messages[-1])] if messages else []


def _blocks(message: dict[str, Any]) -> Iterator[dict[str, Any]]:
    content = message.get("content", ())
    yield from [{"type": "text", "text": content}] if isinstance(content, str) else content


def _text(block: dict[str, Any]) -> str:
    if block.get("type") == "text":
        return str(block.get("text", ""))
    content = block.get("content", "")
    return content if isinstance(content, str) else "".join(_text(part) for part in content)
