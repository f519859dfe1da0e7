"""The state of one connection to the built-in agent, and the frames that tell about it."""

from typing import TYPE_CHECKING, Any, final

from triologue.engine.setup import EngineSetup
from triologue.engine.transcripts import Transcript
from triologue.messages import CommandLifecycle, InitMessage, Message, StatusMessage, UserMessage
from triologue.ports import ModelReply, Sink

if TYPE_CHECKING:
    import trio

COMMANDS = {
    "clear": "Begin a fresh conversation",
    "compact": "Put a summary in place of what was said so far",
    "cost": "Show what the session has cost so far",
}
CAPABILITIES = ["interrupt_receipt_v1", "interrupt_cancel_queued_v1", "msg_lifecycle_v1"]
PERMISSION_MODES = ("acceptEdits", "auto", "bypassPermissions", "default", "dontAsk", "plan")

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


@final
class Conversation:
    """What one connection has said and is set to; shared by its turns and its control requests."""

    __slots__ = (
        "emit",
        "ended",
        "last_failed",
        "model",
        "permission_mode",
        "queue",
        "recent_usage",
        "results",
        "scope",
        "setup",
        "spent_usd",
        "tools",
        "transcript",
    )

    def __init__(self, setup: EngineSetup, transcript: Transcript, emit: Sink) -> None:
        options = setup.options
        self.setup = setup
        self.emit = emit
        self.transcript = transcript
        self.model = options.model
        self.permission_mode = options.permission_mode or "default"
        self.tools = {tool.name: tool for tool in setup.tools if tool.name not in options.disallowed_tools}
        self.queue: list[UserMessage] = []
        """Prompts that wait for the running turn to end."""
        self.scope: trio.CancelScope | None = None
        """Cancelling it interrupts the turn; None when none runs. It exists before the turn's first step."""
        self.spent_usd = 0.0
        """By this connection; `transcript.cost_usd` counts on over resumes and forks."""
        self.recent_usage: dict[str, dict[str, Any]] = {}
        """By model, since the last result."""
        self.results = 0
        self.last_failed = False
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
        return InitMessage(
            subtype="init",
            session_id=self.session_id,
            uuid=self.new_id(),
            cwd=self.transcript.cwd,
            model=self.model_name,
            tools=list(self.tools),
            mcp_servers=[],
            permission_mode=self.permission_mode,
            slash_commands=list(COMMANDS),
            api_key_source="none",
            output_style="default",
            agents=[],
            skills=[],
            plugins=[],
            capabilities=CAPABILITIES,
        )

    def status(self, status: str | None, permission_mode: str | None = None) -> StatusMessage:
        """What the agent does, or its new permission mode."""
        return StatusMessage(
            subtype="status",
            session_id=self.session_id,
            uuid=self.new_id(),
            status=status,
            permission_mode=permission_mode,
        )

    def charge(self, reply: ModelReply) -> None:
        """Count what a model call cost."""
        self.spent_usd += reply.cost_usd
        self.transcript.cost_usd += reply.cost_usd
        for usages in (self.transcript.model_usage, self.recent_usage):
            usage: dict[str, Any] = usages.setdefault(reply.model, dict(_UNUSED))
            usage["inputTokens"] += reply.input_tokens
            usage["outputTokens"] += reply.output_tokens
            usage["costUSD"] += reply.cost_usd

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
