"""The deadlines of the turn that runs: what is waited for now, and whether time that passed was too long."""

from collections.abc import Callable, Iterable, Sequence
from typing import final

from msgspec import Struct

from triologue.errors import TurnTimeout
from triologue.messages import (
    ApiRetryMessage,
    AssistantMessage,
    Message,
    StreamEvent,
    ToolResultBlock,
    ToolUseBlock,
    UserMessage,
)
from triologue.session import effects as do

FIRST_EVENT = "first_event"
SILENCE = "silence"
TOOL = "tool"
TURN = "turn"

MAX_RETRY = 200
"""Characters that are kept of what an agent tells of a retry."""

_OUTPUT = frozenset((AssistantMessage, StreamEvent))


class Call(Struct, frozen=True, gc=False):
    """A tool that runs."""

    name: str
    message_id: str | None
    """The model's message that has the call."""
    parent: str | None
    """Where a sub-agent calls: the call that it was started with."""


@final
class Watch:
    """Sets and clears timers as a turn goes on. Which of them a caller wants, and how long they are, others know.

    Args:
        effect: asks for something to be done.
        wanted: the names of the deadlines that there are.
    """

    __slots__ = (
        "_effect",
        "_generation",
        "_has_missed",
        "_permissions",
        "_wanted",
        "_works_otherwise",
        "is_on",
        "retry",
        "tools",
        "waits_for_output",
    )

    def __init__(self, effect: Callable[[do.Effect], None], wanted: frozenset[str]) -> None:
        self._effect = effect
        self._wanted = wanted
        self._generation = 0
        self.is_on = False
        """A turn's prompt is with the agent."""
        self.waits_for_output = False
        """The model has not said anything in this turn."""
        self.retry = ""
        """What the agent told last of an API that did not answer; empty once the model spoke."""
        self._works_otherwise = False
        """Before it took the prompt up, the model spoke in a turn of the agent's own."""
        self.tools: dict[str, Call] = {}
        """The tools that run, by the ids of their calls."""
        self._has_missed = False
        """A line could not be read that was, perhaps, the result of one of them."""
        self._permissions: dict[str, str | None] = {}
        """Those that wait, each with the id of its tool's call."""

    def begin(self, generation: int) -> None:
        """The prompt goes to the agent."""
        self._generation = generation
        self.is_on = self.waits_for_output = True
        self.retry = ""
        self._works_otherwise = self._has_missed = False
        self._set(FIRST_EVENT)
        self._set(TURN)

    def taken_up(self) -> None:
        """The agent begins to work on it; after a turn of its own, that is when its time begins."""
        self.retry = ""
        if self.waits_for_output and self._works_otherwise:
            self._works_otherwise = False
            self._set(FIRST_EVENT)

    def served(self) -> None:
        """A callback of this program that the turn waited for is done: from here on it waits for the model again."""
        if self.is_on:
            self._set(FIRST_EVENT if self.waits_for_output else SILENCE)

    def end(self) -> None:
        """The turn is over."""
        if not self.is_on:
            return
        self._clear(FIRST_EVENT if self.waits_for_output else SILENCE)  # one of them runs, never both
        self._clear(TURN)
        self.is_on = self.waits_for_output = False
        self.retry = ""
        for tool_use_id in self.tools:
            self._clear(TOOL, tool_use_id)
        self.tools, self._permissions = {}, {}

    @property
    def times_tools(self) -> bool:
        """Does every tool's call need a decision?"""
        return TOOL in self._wanted

    def retried(self, message: ApiRetryMessage) -> None:
        """The API did not answer the agent, which tries again: where a deadline passes before it does, that is why."""
        if self.is_on:
            self.retry = _told_of(message)

    def heard(self, batch: Sequence[Message], *, in_turn: bool) -> None:
        """The agent said this, in the turn or in none of ours, while the first output or a retry was waited for."""
        if _OUTPUT.isdisjoint(map(type, batch)):
            return
        self.retry = ""
        if not self.waits_for_output:
            return
        if not in_turn:
            self._works_otherwise = True
            return
        self.waits_for_output = False
        self._clear(FIRST_EVENT)
        self._set(SILENCE)

    def note_tools(self, said: Iterable[AssistantMessage | UserMessage]) -> None:
        """See which tools begin and end in these."""
        if not self.is_on:  # the turn is being stopped
            return
        for message in said:
            content = message.message.content
            if not isinstance(content, list):
                continue
            if self._has_missed and isinstance(message, AssistantMessage) and message.message_id:
                # The model is given all results before it goes on, so what it called for in an earlier message is over.
                self._tools_end(message.parent_tool_use_id, but=message.message_id)
            for block in content:
                if type(block) is ToolUseBlock:
                    self._tool_begins(block, message)
                elif type(block) is ToolResultBlock:
                    self._tool_ends(block.tool_use_id)

    def missed(self, beginning: bytes) -> None:
        """A line could not be read: most results of tools tell at their beginning whose they are."""
        if not self.is_on or not self.tools:
            return
        told = beginning.decode("utf-8", "replace").replace(" ", "")
        for tool_use_id in list(self.tools):
            if '"tool_result"' in told and f'"tool_use_id":"{tool_use_id}"' in told:
                self._tool_ends(tool_use_id)
        # Those that are left may have ended in it too, behind its beginning.
        self._has_missed |= bool(self.tools)

    def _tool_begins(self, call: ToolUseBlock, message: AssistantMessage | UserMessage) -> None:
        # Not by way of properties: this is done for every call of a tool.
        message_id = message.message.id if isinstance(message, AssistantMessage) else None
        self.tools[call.id] = Call(call.name, message_id, message.parent_tool_use_id)
        if TOOL in self._wanted and call.id not in self._permissions.values():
            self._set(TOOL, call.id)

    def _tool_ends(self, tool_use_id: str) -> None:
        if self.tools.pop(tool_use_id, None) is None:
            return
        if TOOL in self._wanted:
            self._effect(do.ClearTimer(TOOL, tool_use_id))
        if self._has_missed:
            self._tools_end(tool_use_id)  # of a sub-agent, which is over with it

    def _tools_end(self, parent: str | None, but: str = "") -> None:
        for tool_use_id, call in list(self.tools.items()):
            if call.parent == parent and call.message_id != but:
                self._tool_ends(tool_use_id)

    def permission_asked(self, permission_id: str, tool_use_id: str | None) -> None:
        """The turn waits for people: its clocks stand still."""
        if not self.is_on:
            return
        if not self._permissions and TURN in self._wanted:
            self._effect(do.PauseTimer(TURN))
        self._permissions[permission_id] = tool_use_id
        if tool_use_id is not None:
            self._clear(TOOL, tool_use_id)

    def permission_settled(self, permission_id: str) -> None:
        """That is answered, one way or another, and time goes on."""
        if permission_id not in self._permissions:
            return
        tool_use_id = self._permissions.pop(permission_id)
        if not self._permissions and TURN in self._wanted:
            self._effect(do.ResumeTimer(TURN))
        self.served()
        if tool_use_id in self.tools:
            self._set(TOOL, tool_use_id)

    def expired(self, timer: str, about: str, seconds: float | None, *, is_working_for_it: bool) -> TurnTimeout | None:
        """A deadline of the turn passed; None where that means nothing, since it is not the model that is waited for.

        Args:
            timer: its name.
            about: of a tool: the id of its call.
            seconds: how long it was.
            is_working_for_it: callbacks of this program run that the turn waits for.
        """
        if not self.is_on:
            return None
        if timer in (FIRST_EVENT, SILENCE) and (self.tools or self._permissions or is_working_for_it):
            self._set(timer)
            return None
        if timer == FIRST_EVENT and self._works_otherwise:
            self._works_otherwise = False  # and it has to show that once more, the next time
            self._set(timer)
            return None
        tool = self.tools[about].name if about in self.tools else ""
        return TurnTimeout(timer, tool, seconds=seconds, retry=self.retry)

    def _set(self, timer: str, about: str = "") -> None:
        if timer in self._wanted:
            self._effect(do.SetTimer(timer, self._generation, about))

    def _clear(self, timer: str, about: str = "") -> None:
        if timer in self._wanted:
            self._effect(do.ClearTimer(timer, about))


def _told_of(message: ApiRetryMessage) -> str:
    """One line: `529 overloaded (retry 2 of 10 after 1.2 s)`. A connection that broke has no status."""
    reason = _cut(" ".join((message.error or "without a reason")[:MAX_RETRY].split()), MAX_RETRY // 2)
    status = message.error_status
    what = f"{status} {reason}" if status is not None else f"{reason}, no HTTP status"
    attempt = f"retry {message.attempt} of {message.max_retries} after {message.retry_delay_ms / 1000:.1f} s"
    return _cut(f"{what} ({attempt})", MAX_RETRY)


def _cut(text: str, length: int) -> str:
    return text if len(text) <= length else f"{text[: length - 1]}…"
