"""Ask the model, run the tools that it wants, ask again, until it is done."""

from collections.abc import Awaitable, Callable
from typing import Any, TypeAlias, final

import msgspec
import trio
from msgspec import UNSET

from triologue.engine.calls import call, response_text
from triologue.engine.ending import Ending, Tally, api_error, error_frame, interrupted
from triologue.engine.stream import ReplyStream
from triologue.engine.structured import MAX_ATTEMPTS, NUDGE
from triologue.engine.thread import Thread
from triologue.engine.toolbox import STRUCTURED_OUTPUT, ToolOutcome
from triologue.errors import ModelError, brief
from triologue.messages import ContentBlock, ToolResultBlock, ToolUseBlock, text
from triologue.ports import ModelReply, ModelRequest

INTERRUPTED = "[Request interrupted by user]"
INTERRUPTED_TOOL = "[Request interrupted by user for tool use]"
STOPPED_RESULT = "The user stopped this tool call. It may have taken effect in part or in full."
UNRUN_RESULT = "This tool call was not run, because the budget is used up."
HOOK_RESULT = "This tool call was not run, because a hook stopped the turn."
MAX_CALLS_AT_ONCE = 64

Settle: TypeAlias = Callable[[], Awaitable[None]]


@final
class Loop:
    """One prompt's model calls and tool calls. Every frame is said at once, so an interrupt never cuts one in two.

    Args:
        thread: what it works on; the prompt is in its transcript.
        tally: counts what it takes.
        settle: awaited before each model call and after each tool.
        answers: the prompts that the first reply answers.
        fold: called before each further model call: prompts that came meanwhile may go into the transcript.
    """

    def __init__(
        self,
        thread: Thread,
        tally: Tally,
        settle: Settle,
        answers: list[str] | None = None,
        fold: Callable[[], None] = lambda: None,
    ) -> None:
        self._thread = thread
        self._conversation = thread.conversation
        self._tally = tally
        self._settle = settle
        self._answers = answers
        self._fold = fold
        self._stream: ReplyStream | None = None
        self._open_uses: list[ToolUseBlock] = []
        self._is_in_tools = False
        self._batch: list[dict[str, Any]] = []
        self._contexts: list[str] = []
        self._stopped: str | None = None
        self._is_stop_hook_active = False
        self._answer_given: Any = UNSET
        self._misses = 0

    async def run(self) -> Ending:
        """Go on until the model is done, or something ends it."""
        conversation = self._conversation
        if conversation.is_over_budget():
            return self._out_of_budget()
        while True:
            await self._settle()  # also where a turn ends that was interrupted before it began
            try:
                reply = await self._ask()
            except ModelError as error:
                if self._stream is not None:
                    self._stream.close()
                if self._thread.definition is None:
                    conversation.say(error_frame(conversation, error, self._answers))
                return api_error(error)
            ending = await self._act(reply)
            if ending is not None:
                return ending
            self._fold()

    def abort(self) -> Ending:
        """It was interrupted: say how far it came, and leave the conversation fit for the next prompt."""
        thread = self._thread
        if self._stream is not None:
            said = self._stream.abort()
            if said is not None:
                thread.transcript.add("assistant", [{"type": "text", "text": said[0]}], [said[1]])
        self._answer_rest(STOPPED_RESULT, is_told=True)
        thread.add_contexts(self._contexts)
        thread.say_as_user(INTERRUPTED_TOOL if self._is_in_tools else INTERRUPTED)
        return interrupted(self._tally, is_tool=self._is_in_tools)

    async def _ask(self) -> ModelReply:
        """One call of the model, told while it happens and remembered."""
        conversation, thread = self._conversation, self._thread
        if thread.is_partial:
            conversation.say(conversation.status("requesting"))
        request = ModelRequest(
            model=thread.model,
            system=thread.system,
            messages=thread.transcript.messages(),
            tools=[tool.spec for tool in thread.tools.values()],
        )
        self._stream = ReplyStream(thread, self._answers if self._tally.calls == 0 else None)
        self._tally.calls += 1
        asked = trio.current_time()
        try:
            reply = await conversation.setup.model.reply(request, self._stream.piece)
        finally:
            self._tally.api_seconds += trio.current_time() - asked
        _check_reply(reply)
        reply = thread.with_own_ids(reply)
        uuids = self._stream.finish(reply)
        thread.add_reply(reply, uuids, self._stream.message_id)
        self._stream = None
        thread.transcript.settle(self._answers or (), "completed")
        conversation.charge(reply)
        self._tally.count(reply)
        thread.keep()
        return reply

    async def _act(self, reply: ModelReply) -> Ending | None:
        """Do what the reply asks for; the end, if this is it."""
        self._open_uses = [block for block in reply.content if isinstance(block, ToolUseBlock)]
        if not self._open_uses:
            return await self._finish(reply)
        if self._conversation.is_over_budget():
            self._answer_rest(UNRUN_RESULT, is_told=False)
            return self._out_of_budget()
        self._is_in_tools = True
        await self._make_calls()
        self._is_in_tools = False
        if self._stopped is not None:
            self._tally.calls += 1  # as Claude Code counts
            return Ending(subtype="success", result="", stop_reason=reply.stop_reason, terminal_reason="hook_stopped")
        if self._answer_given is not UNSET:
            return Ending(
                subtype="success",
                result=text(reply.content) or msgspec.json.encode(self._answer_given).decode(),
                structured_output=self._answer_given,
                stop_reason=reply.stop_reason,
                terminal_reason="completed",
            )
        return self._give_up() if self._misses >= MAX_ATTEMPTS else self._limit(reply)

    async def _make_calls(self) -> None:
        """Make the calls of one reply: each by itself, or those at once that may run so."""
        while self._open_uses and self._stopped is None:
            group = self._next_group()
            if len(group) == 1:
                await self._call(group[0])
            else:
                async with trio.open_nursery() as nursery:
                    for use in group:
                        nursery.start_soon(self._call, use)
            await self._settle()
        self._answer_rest(HOOK_RESULT, is_told=True)
        if "PostToolBatch" in self._conversation.hooks:
            after = await self._thread.fire("PostToolBatch", {"tool_calls": self._batch})
            self._contexts += after.contexts
            self._stopped = after.stopped if self._stopped is None else self._stopped
        self._thread.add_contexts(self._contexts)
        self._contexts, self._batch = [], []

    def _next_group(self) -> list[ToolUseBlock]:
        if len(self._open_uses) == 1:
            return self._open_uses
        group: list[ToolUseBlock] = []
        for use in self._open_uses[:MAX_CALLS_AT_ONCE]:
            tool = self._thread.find_tool(use.name)
            if tool is None or not tool.is_concurrent:
                break
            group.append(use)
        return group or self._open_uses[:1]

    async def _call(self, use: ToolUseBlock) -> None:
        called = await call(self._thread, use)
        outcome = called.outcome
        self._tally.tool_uses += 1
        self._answer(use, outcome)
        self._thread.keep()
        self._contexts += called.contexts
        if self._stopped is None:
            self._stopped = called.stopped
        if outcome.answer is not UNSET:
            self._answer_given = outcome.answer
        elif use.name == STRUCTURED_OUTPUT and outcome.is_error:
            self._misses += 1
        if "PostToolBatch" in self._conversation.hooks:
            told = {"tool_name": use.name, "tool_input": use.input, "tool_use_id": use.id}
            self._batch.append({**told, "tool_response": response_text(outcome)})
        if called.interrupts:
            self._conversation.interrupt()
            await trio.lowlevel.checkpoint()

    async def _finish(self, reply: ModelReply) -> Ending | None:
        """The model wants no tool: it is done, unless a hook or a schema wants more of it."""
        conversation, thread = self._conversation, self._thread
        event = "Stop" if thread.definition is None else "SubagentStop"
        if event in conversation.hooks:
            after = await thread.fire(event, self._stop_fields(reply), subject=thread.agent_type or "")
            if after.blocked is not None and after.stopped is None:
                self._is_stop_hook_active = True
                thread.say_as_user(f"{event} hook feedback:\n{after.blocked}")
                return self._limit(reply)
            thread.add_contexts(after.contexts)
        if STRUCTURED_OUTPUT in thread.tools:
            self._misses += 1
            if self._misses >= MAX_ATTEMPTS:
                return self._give_up()
            thread.say_as_user(NUDGE)
            return self._limit(reply)
        return Ending(
            subtype="success",
            result=text(reply.content),
            stop_reason=reply.stop_reason,
            terminal_reason="completed",
        )

    def _stop_fields(self, reply: ModelReply) -> dict[str, Any]:
        fields: dict[str, Any] = {
            "stop_hook_active": self._is_stop_hook_active,
            "last_assistant_message": text(reply.content),
        }
        if self._thread.definition is None:
            return {**fields, "background_tasks": [], "session_crons": []}
        return {**fields, "agent_transcript_path": ""}

    def _limit(self, reply: ModelReply) -> Ending | None:
        limit = self._thread.max_turns
        if limit is None or self._tally.calls < limit:
            return None
        self._tally.calls += 1  # as Claude Code counts: the call that was not made is in it
        return Ending(
            subtype="error_max_turns",
            is_error=True,
            errors=[f"Reached maximum number of turns ({limit})"],
            stop_reason=reply.stop_reason,
            terminal_reason="max_turns",
        )

    def _give_up(self) -> Ending:
        return Ending(
            subtype="error_max_structured_output_retries",
            is_error=True,
            errors=[f"No valid structured output after {MAX_ATTEMPTS} attempts"],
            stop_reason=self._tally.stop_reason,
            terminal_reason="structured_output_retry_exhausted",
        )

    def _out_of_budget(self) -> Ending:
        return Ending(
            subtype="error_max_budget_usd",
            is_error=True,
            errors=[f"Reached maximum budget (${self._conversation.setup.options.max_budget_usd})"],
            stop_reason=self._tally.stop_reason,
            terminal_reason="budget_exhausted",
        )

    def _answer(self, use: ToolUseBlock, outcome: ToolOutcome, *, is_told: bool = True) -> None:
        """The result of a tool call, to the transcript and to the host."""
        block = ToolResultBlock.of(use.id, outcome.content, is_error=outcome.is_error)
        frame = self._thread.user_frame([block])
        if outcome.value is not UNSET:
            frame.tool_use_result_raw = outcome.value
        self._thread.add_result(block, frame.uuid or "", outcome.value)
        self._open_uses.remove(use)
        if is_told:
            self._conversation.say(frame)

    def _answer_rest(self, content: str, *, is_told: bool) -> None:
        for use in list(self._open_uses):
            self._answer(use, ToolOutcome(content=content, is_error=True), is_told=is_told)


def _check_reply(reply: object) -> None:
    """Refuse what a model of somebody's own should not give; a dict in place of a block would be passed over unseen.

    Raises:
        ModelError: it is no reply.
    """
    content = reply.content if isinstance(reply, ModelReply) else None
    if not isinstance(content, list) or not all(isinstance(block, ContentBlock) for block in content):
        raise ModelError(f"the model gave {brief(reply)}, and a ModelReply with a list of content blocks is needed")
