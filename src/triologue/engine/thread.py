"""A line of talk with the model: the conversation itself, or a sub-agent's part of it."""

from collections.abc import Mapping
from typing import Any, final

import msgspec
from msgspec import Raw, UnsetType

from triologue.engine.conversation import AgentDefinition, Conversation
from triologue.engine.hooks import HookOutcome
from triologue.engine.toolbox import EngineTool
from triologue.engine.transcripts import SubAgent, Transcript
from triologue.messages import ContentBlock, TextBlock, ToolResultBlock, ToolUseBlock, UserBody, UserMessage
from triologue.messages.message import plain
from triologue.ports import ModelReply

ALIASES = {"Agent": "Task"}
"""Other names that vendors' programs know tools by."""

DEFAULT_SYSTEM_PROMPT = "You are a helpful assistant."


@final
class Thread:
    """What a loop of model calls and tools works on.

    Args:
        conversation: whose it is.
        agent: the sub-agent, with its name, the id of the call that began it and an id of its own; None: the
            conversation itself.
        description: the sub-agent's task in a few words.
    """

    __slots__ = ("agent_id", "agent_type", "conversation", "definition", "parent_tool_use_id", "transcript")

    def __init__(
        self,
        conversation: Conversation,
        *,
        agent: tuple[str, AgentDefinition, str, str] | None = None,
        description: str = "",
    ) -> None:
        self.conversation = conversation
        self.definition: AgentDefinition | None = None
        self.agent_type = self.agent_id = self.parent_tool_use_id = None
        self.transcript = conversation.transcript
        if agent is not None:
            self.agent_type, self.definition, self.parent_tool_use_id, self.agent_id = agent
            name, _, call, task = agent
            about = SubAgent(id=task, kind=name, tool_use_id=call, description=description)
            self.transcript = Transcript(conversation.session_id, conversation.transcript.cwd, agent=about)

    @property
    def model(self) -> str | None:
        """The model that was chosen for it."""
        chosen = self.definition.model if self.definition is not None else None
        return self.conversation.model if chosen in (None, "inherit") else chosen

    @property
    def system(self) -> str:
        """The system prompt."""
        if self.definition is not None:
            return self.definition.prompt
        return system_prompt(self.conversation.system_prompt)

    @property
    def tools(self) -> Mapping[str, EngineTool]:
        """The tools that it may use. A sub-agent has no sub-agents, and owes no structured output."""
        tools = self.conversation.tools
        definition = self.definition
        if definition is None:
            return tools
        return {
            name: tool
            for name, tool in tools.items()
            if not tool.is_free
            and (definition.tools is None or name in definition.tools)
            and name not in definition.disallowed_tools
        }

    def find_tool(self, name: str) -> EngineTool | None:
        """The tool that a call means."""
        tools = self.tools
        return tools.get(name) or tools.get(ALIASES.get(name, ""))

    @property
    def max_turns(self) -> int | None:
        """How many model calls one prompt may take."""
        if self.definition is not None:
            return self.definition.max_turns
        return self.conversation.setup.options.max_turns

    @property
    def is_partial(self) -> bool:
        """Whether pieces of replies are told."""
        return self.definition is None and self.conversation.setup.options.include_partial_messages

    def with_own_ids(self, reply: ModelReply) -> ModelReply:
        """A sub-agent's reply with calls whose ids are no other thread's: models may count them by conversation."""
        if self.definition is None:
            return reply
        content = [
            msgspec.structs.replace(block, id=f"{block.id}_{self.parent_tool_use_id}")
            if isinstance(block, ToolUseBlock) and not block.id.endswith(f"_{self.parent_tool_use_id}")
            else block
            for block in reply.content
        ]
        return msgspec.structs.replace(reply, content=content)

    def tells(self, block: ContentBlock) -> bool:
        """Whether a block of the model is told. Of a sub-agent only the tool calls are, unless its text was wanted."""
        return self.definition is None or self.conversation.forwards_text or isinstance(block, ToolUseBlock)

    def user_frame(self, content: list[ContentBlock]) -> UserMessage:
        """What stands in the user's place."""
        return UserMessage(
            message=UserBody(content=content),
            session_id=self.conversation.session_id,
            uuid=self.conversation.new_id(),
            parent_tool_use_id=self.parent_tool_use_id,
        )

    def add_reply(self, reply: ModelReply, uuids: list[str], message_id: str) -> None:
        """Remember what the model said."""
        self.transcript.add("assistant", [plain(block) for block in reply.content], uuids)
        if self.conversation.is_durable:
            usage = {"input_tokens": reply.input_tokens, "output_tokens": reply.output_tokens}
            about = {"id": message_id, "model": reply.model, "stop_reason": reply.stop_reason, "usage": usage}
            for uuid in uuids:
                self.transcript.note(uuid, message=about)

    def add_result(self, block: ToolResultBlock, uuid: str, value: Raw | UnsetType) -> None:
        """Remember the result of a call."""
        entries = self.transcript.entries
        if entries[-1].role == "assistant":
            self.transcript.add("user", [], [])
        entries[-1].add(plain(block), uuid)
        if self.conversation.is_durable and isinstance(value, Raw):
            self.transcript.note(uuid, toolUseResult=msgspec.json.decode(value))

    def say_as_user(self, text: str) -> None:
        """Say something to the model in the user's place, and tell the host."""
        frame = self.user_frame([TextBlock(text=text)])
        self._add_text(text, frame.uuid or "")
        self.conversation.say(frame)

    def add_contexts(self, contexts: list[str]) -> None:
        """Let the model know what hooks said; the host has said it, so it is not told."""
        for context in contexts:
            self._add_text(f"<system-reminder>\n{context}\n</system-reminder>", self.conversation.new_id())

    def _add_text(self, text: str, uuid: str) -> None:
        self.transcript.add("user", [{"type": "text", "text": text}], [uuid])
        if self.conversation.is_durable:
            self.transcript.note(uuid, isMeta=True)

    def keep(self) -> None:
        """What was said so far outlives this process, where that is possible."""
        if self.conversation.is_durable:
            self.conversation.keep(self.transcript)

    async def fire(
        self, event: str, fields: dict[str, Any], *, subject: str = "", tool_use_id: str | None = None
    ) -> HookOutcome:
        """Ask the hooks of an event; a sub-agent says that it is one."""
        if self.agent_id is not None:
            fields = {"agent_id": self.agent_id, "agent_type": self.agent_type, **fields}
        return await self.conversation.hooks.fire(event, fields, subject=subject, tool_use_id=tool_use_id)


def system_prompt(option: Any) -> str:
    """The text behind the option: its own, or the default with something added."""
    if isinstance(option, str):
        return option
    added = option.get("append") if option else None
    return f"{DEFAULT_SYSTEM_PROMPT}\n\n{added}" if added else DEFAULT_SYSTEM_PROMPT


def appended(option: Any, text: str) -> Any:
    """The option with something added."""
    if isinstance(option, str):
        return f"{option}\n\n{text}"
    before = option.get("append") if option else None
    return {"type": "preset", "append": f"{before}\n\n{text}" if before else text}
