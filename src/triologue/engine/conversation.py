"""The state of one connection to the built-in agent, and the frames that tell about it."""

import os
from collections.abc import Mapping
from typing import Any, final

import msgspec
import trio
from msgspec import Struct, field

from triologue.engine.hooks import Hooks
from triologue.engine.host import Host
from triologue.engine.mcp_servers import McpServers
from triologue.engine.permissions import Permissions
from triologue.engine.setup import EngineSetup
from triologue.engine.toolbox import EngineTool
from triologue.engine.transcripts import Transcript, Transcripts
from triologue.errors import StoreError
from triologue.messages import CommandLifecycle, InitMessage, Message, StatusMessage, UserMessage
from triologue.ports import ModelReply, Sink
from triologue.wire import decode_line

COMMANDS = {
    "clear": "Begin a fresh conversation",
    "compact": "Put a summary in place of what was said so far",
    "cost": "Show what the session has cost so far",
}

CONTEXT_TOKENS = 200_000
CHARACTERS_PER_TOKEN = 4

_UNUSED = {
    "inputTokens": 0,
    "outputTokens": 0,
    "cacheReadInputTokens": 0,
    "cacheCreationInputTokens": 0,
    "webSearchRequests": 0,
    "costUSD": 0.0,
    "contextWindow": CONTEXT_TOKENS,
}


NOTHING: dict[str, Any] = {}
"""One for all conversations that have no tools, no sub-agents, no costs; never changed."""


class AgentDefinition(Struct, kw_only=True):
    """A sub-agent, as the vendors' options describe it."""

    description: str
    prompt: str
    tools: list[str] | None = None
    """The tools that it has; None: all of them."""
    disallowed_tools: list[str] = field(name="disallowedTools", default_factory=list)
    model: str | None = None
    """None or `inherit`: that of the conversation."""
    max_turns: int | None = field(name="maxTurns", default=None)


@final
class Conversation:
    """What one connection has said and is set to; shared by its turns and its control requests."""

    __slots__ = (
        "agents",
        "denials",
        "emit",
        "ended",
        "forwards_text",
        "hooks",
        "host",
        "is_durable",
        "last_failed",
        "max_thinking_tokens",
        "model",
        "output_schema",
        "permissions",
        "prompt_id",
        "queue",
        "recent_usage",
        "results",
        "scope",
        "servers",
        "setup",
        "source",
        "spent_usd",
        "system_prompt",
        "tasks",
        "tools",
        "transcript",
        "unkept",
    )

    def __init__(self, setup: EngineSetup, transcript: Transcript, emit: Sink) -> None:
        options = setup.options
        self.setup = setup
        self.emit = emit
        self.transcript = transcript
        self.is_durable = not isinstance(setup.transcripts, Transcripts)
        """The transcript is kept message by message, and with what only a history on disk has."""
        self.host = Host(emit)
        self.hooks = Hooks(self)
        self.servers = McpServers(self.host)
        folders = [transcript.cwd, *(os.path.abspath(os.fspath(each)) for each in options.add_dirs)]  # noqa: PTH100
        mode = options.permission_mode or "default"
        self.permissions = Permissions(mode, folders, options.allowed_tools, options.disallowed_tools)
        self.model = options.model
        self.system_prompt: Any = options.system_prompt
        """As the option of that name."""
        self.max_thinking_tokens = options.max_thinking_tokens
        self.output_schema: dict[str, Any] | None = None
        """What the turns are to give, if anything."""
        self.agents: Mapping[str, AgentDefinition] = NOTHING
        """The sub-agents, by name."""
        self.forwards_text = options.forward_subagent_text
        self.tools: Mapping[str, EngineTool] = NOTHING
        """The tools at hand; `equip` puts them together."""
        self.queue: list[UserMessage] = []
        """Prompts that wait for the running turn to end."""
        self.scope: trio.CancelScope | None = None
        """Cancelling it interrupts the turn; None when none runs. It exists before the turn's first step."""
        self.prompt_id = ""
        """Names the running turn for hooks."""
        self.source: str | None = "resume" if transcript.entries else "startup"
        """How the conversation began, until the hooks of its start were asked; then None."""
        self.tasks: dict[str, trio.CancelScope] = {}
        """The sub-agents that run."""
        self.denials: list[dict[str, Any]] = []
        """The calls that were denied in this turn."""
        self.spent_usd = 0.0
        """By this connection; `transcript.cost_usd` counts on over resumes and forks."""
        self.recent_usage: dict[str, dict[str, Any]] = NOTHING
        """By model, since the last result."""
        self.results = 0
        self.last_failed = False
        self.unkept: StoreError | None = None
        """Why what was said could not be kept; then the turn that runs is the last one."""
        self.ended = False
        """The host asked to end the session."""

    @property
    def session_id(self) -> str:
        """The conversation's id; `/clear` changes it."""
        return self.transcript.session_id

    @property
    def model_name(self) -> str:
        """The model that is asked."""
        return self.model or self.setup.model.name

    def new_id(self) -> str:
        """A fresh id for a frame."""
        return self.setup.new_id()

    def say(self, *messages: Message) -> None:
        """Tell the host; nothing to tell is no batch."""
        if messages:
            self.emit(list(messages))

    def lifecycle(self, prompt: UserMessage, state: str) -> list[Message]:
        """What became of a prompt, for a host that stamps its prompts with a uuid."""
        if prompt.uuid is None:
            return []
        return [CommandLifecycle(command_uuid=prompt.uuid, state=state, uuid=self.new_id(), session_id=self.session_id)]

    def init(self) -> InitMessage:
        """What the agent is and has; said at the beginning of every turn."""
        profile = self.setup.profile
        return InitMessage(
            subtype="init",
            session_id=self.session_id,
            uuid=self.new_id(),
            cwd=self.transcript.cwd,
            model=self.model_name,
            tools=list(self.tools),
            mcp_servers=[{"name": each.name, "status": each.status} for each in self.servers],
            permission_mode=self.permissions.mode,
            slash_commands=list(COMMANDS),
            api_key_source="none",
            output_style="default",
            agents=list(self.agents),
            skills=[],
            plugins=[],
            capabilities=list(profile.capabilities),
            claude_code_version=profile.claude_code_version,
            qodercli_version=profile.qodercli_version,
            protocol_version=profile.protocol_version,
        )

    def begin_turn(self) -> None:
        """Say what the agent is and has, where that belongs to every turn."""
        if not self.setup.profile.greets:
            self.say(self.init())

    def status(self, status: str | None, permission_mode: str | None = None) -> StatusMessage:
        """What the agent does, or its new permission mode."""
        return StatusMessage(
            subtype="status",
            session_id=self.session_id,
            uuid=self.new_id(),
            status=status,
            permission_mode=permission_mode,
        )

    def notice(self, text: str) -> None:
        """Tell the user something that is not the model's."""
        frame = {
            "type": "system",
            "subtype": "informational",
            "content": text,
            "level": "warning",
            "session_id": self.session_id,
            "uuid": self.new_id(),
        }
        if (message := decode_line(msgspec.json.encode(frame))) is not None:
            self.say(message)

    def keep(self, transcript: Transcript) -> None:
        """See that what was said outlives this process; where that fails, the turn ends at its next step."""
        if self.unkept is not None:
            return
        try:
            self.setup.transcripts.keep(transcript)
        except StoreError as error:
            self.unkept = error
            if self.scope is not None:
                self.scope.cancel()

    def interrupt(self) -> None:
        """Stop the running turn, and take back what was asked of the host for it."""
        if self.scope is not None:
            self.host.withdraw_turn()
            self.scope.cancel()

    def set_permission_mode(self, mode: str) -> None:
        """Change it, and say so."""
        self.permissions.mode = mode
        self.say(self.status(None, permission_mode=mode))

    def hook_base(self) -> dict[str, Any]:
        """The fields that every hook's input has."""
        return {
            "session_id": self.session_id,
            "transcript_path": self.setup.transcript_path(self.transcript),
            "cwd": self.transcript.cwd,
            "permission_mode": self.permissions.mode,
            "prompt_id": self.prompt_id,
        }

    def charge(self, reply: ModelReply) -> None:
        """Count what a model call cost."""
        self.spent_usd += reply.cost_usd
        self.transcript.cost_usd += reply.cost_usd
        self.transcript.model_usage = _charged(self.transcript.model_usage, reply)
        self.recent_usage = _charged(self.recent_usage, reply)

    def is_over_budget(self) -> bool:
        """Whether this connection has spent what it may."""
        budget = self.setup.options.max_budget_usd
        return budget is not None and self.spent_usd >= budget

    def cost_text(self) -> str:
        """The costs, for people."""
        usage = self.transcript.model_usage.values()
        tokens = (
            f"{sum(each['inputTokens'] for each in usage)} input, {sum(each['outputTokens'] for each in usage)} output"
        )
        return f"Total cost: ${self.transcript.cost_usd:.4f}\nTokens: {tokens}"

    def withdraw(self, uuid: str | None = None) -> list[str]:
        """Drop the prompts that wait, or the one of this uuid; the uuids of those dropped."""
        dropped = [prompt for prompt in self.queue if uuid is None or prompt.uuid == uuid]
        self.queue = [prompt for prompt in self.queue if prompt not in dropped]
        for prompt in dropped:
            self.say(*self.lifecycle(prompt, "cancelled"))
        return [prompt.uuid for prompt in dropped if prompt.uuid]


def _charged(usages: dict[str, dict[str, Any]], reply: ModelReply) -> dict[str, dict[str, Any]]:
    """With what the reply took. They are replaced and never changed, for results that were told have them too."""
    before = usages.get(reply.model, _UNUSED)
    added = {
        "inputTokens": before["inputTokens"] + reply.input_tokens,
        "outputTokens": before["outputTokens"] + reply.output_tokens,
        "costUSD": before["costUSD"] + reply.cost_usd,
    }
    return {**usages, reply.model: {**before, **added}}
