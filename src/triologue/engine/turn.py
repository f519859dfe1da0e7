"""One turn of the built-in agent: ask the model, run the tools that it wants, ask again, until it is done."""

from collections.abc import Awaitable, Callable
from typing import Any, TypeAlias, final

import trio
from msgspec import UNSET

from triologue.engine.commands import find_command
from triologue.engine.conversation import Conversation
from triologue.engine.ending import Ending, Tally, api_error, error_frame, interrupted, result_message
from triologue.engine.stream import ReplyStream
from triologue.engine.toolbox import ToolOutcome, run_tool
from triologue.errors import ModelError
from triologue.messages import ContentBlock, TextBlock, ToolResultBlock, ToolUseBlock, UserBody, UserMessage, text
from triologue.messages.message import plain
from triologue.ports import ModelReply, ModelRequest, ToolSpec

DEFAULT_SYSTEM_PROMPT = "You are a helpful assistant."

INTERRUPTED = "[Request interrupted by user]"
INTERRUPTED_TOOL = "[Request interrupted by user for tool use]"
STOPPED_RESULT = "The user stopped this tool call. It may have taken effect in part or in full."
UNRUN_RESULT = "This tool call was not run, because the budget is used up."

Settle: TypeAlias = Callable[[], Awaitable[None]]


@final
class Turn:
    """A prompt on its way to its result. Every frame is said at once, so an interrupt never cuts one in two."""

    def __init__(self, conversation: Conversation, prompt: UserMessage, settle: Settle) -> None:
        self._conversation = conversation
        self._prompt = prompt
        self._settle = settle
        self._answers = [prompt.uuid] if prompt.uuid else None
        self._tally = Tally()
        self._stream: ReplyStream | None = None
        self._open_uses: list[ToolUseBlock] = []

    async def run(self, scope: trio.CancelScope) -> None:
        """Run it to its result. Cancelling `scope`, also before this is called, interrupts it."""
        conversation = self._conversation
        conversation.say(*conversation.lifecycle(self._prompt, "started"))
        command = find_command(self._prompt)
        ending = None
        with scope:
            if command is None:
                conversation.say(conversation.init())
                ending = await self._converse()
            else:
                ending = await command(conversation, self._tally)
        if ending is None:
            ending = self._abort()
        conversation.transcript.prompts |= dict.fromkeys(self._answers or (), ending.state)
        conversation.setup.transcripts.keep(conversation.transcript)
        conversation.last_failed = ending.is_error
        result = result_message(conversation, self._tally, ending, self._prompt)
        conversation.results += 1
        conversation.recent_usage = {}
        conversation.say(result, *conversation.lifecycle(self._prompt, ending.state))

    async def _converse(self) -> Ending:
        conversation = self._conversation
        conversation.setup.transcripts.keep(conversation.transcript)
        conversation.transcript.add("user", _plain(self._prompt), [self._prompt.uuid or conversation.new_id()])
        if self._prompt.should_query is False:
            return Ending(subtype="success", result="")
        if conversation.is_over_budget():
            return self._out_of_budget()
        while True:
            await self._settle()  # also where a turn ends that was interrupted before it began
            try:
                reply = await self._ask()
            except ModelError as error:
                if self._stream is not None:
                    self._stream.close()
                conversation.say(error_frame(conversation, error, self._answers))
                return api_error(error)
            ending = await self._act(reply)
            if ending is not None:
                return ending

    async def _ask(self) -> ModelReply:
        """One call of the model, told while it happens and remembered."""
        conversation = self._conversation
        if conversation.setup.options.include_partial_messages:
            conversation.say(conversation.status("requesting"))
        tools = [
            ToolSpec(name=tool.name, description=tool.description, input_schema=tool.input_schema)
            for tool in conversation.tools.values()
        ]
        request = ModelRequest(
            model=conversation.model,
            system=system_prompt(conversation.setup.options.system_prompt),
            messages=conversation.transcript.messages(),
            tools=tools,
        )
        self._stream = ReplyStream(conversation, self._answers if self._tally.calls == 0 else None)
        self._tally.calls += 1
        asked = trio.current_time()
        try:
            reply = await conversation.setup.model.reply(request, self._stream.piece)
        finally:
            self._tally.api_seconds += trio.current_time() - asked
        uuids = self._stream.finish(reply)
        self._stream = None
        conversation.transcript.add("assistant", [plain(block) for block in reply.content], uuids)
        conversation.transcript.prompts |= dict.fromkeys(self._answers or (), "completed")
        conversation.charge(reply)
        self._tally.count(reply)
        return reply

    async def _act(self, reply: ModelReply) -> Ending | None:
        """Do what the reply asks for; the turn's end, if this is it."""
        self._open_uses = [block for block in reply.content if isinstance(block, ToolUseBlock)]
        if not self._open_uses:
            return Ending(
                subtype="success",
                result=text(reply.content),
                stop_reason=reply.stop_reason,
                terminal_reason="completed",
            )
        if self._conversation.is_over_budget():
            self._answer_rest(UNRUN_RESULT, is_told=False)
            return self._out_of_budget()
        while self._open_uses:
            use = self._open_uses[0]
            self._answer(use, await run_tool(self._conversation.tools, use))
            await self._settle()
        limit = self._conversation.setup.options.max_turns
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

    def _out_of_budget(self) -> Ending:
        return Ending(
            subtype="error_max_budget_usd",
            is_error=True,
            errors=[f"Reached maximum budget (${self._conversation.setup.options.max_budget_usd})"],
            stop_reason=self._tally.stop_reason,
            terminal_reason="budget_exhausted",
        )

    def _abort(self) -> Ending:
        """The turn was interrupted: say how far it came, and leave the conversation fit for the next prompt."""
        conversation = self._conversation
        is_tool = bool(self._open_uses)
        if self._stream is not None:
            said = self._stream.abort()
            if said is not None:
                conversation.transcript.add("assistant", [{"type": "text", "text": said[0]}], [said[1]])
        self._answer_rest(STOPPED_RESULT, is_told=True)
        marker = TextBlock(INTERRUPTED_TOOL if is_tool else INTERRUPTED)
        frame = self._user_frame([marker])
        conversation.transcript.add("user", [plain(marker)], [frame.uuid or ""])
        conversation.say(frame)
        return interrupted(self._tally, is_tool=is_tool)

    def _answer(self, use: ToolUseBlock, outcome: ToolOutcome, *, is_told: bool = True) -> None:
        """The result of a tool call, to the transcript and to the host."""
        block = ToolResultBlock.of(use.id, outcome.content, is_error=outcome.is_error)
        frame = self._user_frame([block])
        if outcome.value is not UNSET:
            frame.tool_use_result_raw = outcome.value
        entries = self._conversation.transcript.entries
        if entries[-1].role == "assistant":
            self._conversation.transcript.add("user", [], [])
        entries[-1].add(plain(block), frame.uuid or "")
        self._open_uses.remove(use)
        if is_told:
            self._conversation.say(frame)

    def _answer_rest(self, content: str, *, is_told: bool) -> None:
        for use in list(self._open_uses):
            self._answer(use, ToolOutcome(content, is_error=True), is_told=is_told)

    def _user_frame(self, content: list[ContentBlock]) -> UserMessage:
        return UserMessage(
            message=UserBody(content=content),
            session_id=self._conversation.session_id,
            uuid=self._conversation.new_id(),
        )


def system_prompt(option: Any) -> str:
    """The text behind the option: its own, or the default with something added."""
    if isinstance(option, str):
        return option
    added = option.get("append") if option else None
    return f"{DEFAULT_SYSTEM_PROMPT}\n\n{added}" if added else DEFAULT_SYSTEM_PROMPT


def _plain(prompt: UserMessage) -> str | list[dict[str, Any]]:
    return prompt.content if isinstance(prompt.content, str) else [plain(block) for block in prompt.content]
