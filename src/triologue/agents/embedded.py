"""The built-in agent, in this process, without a program."""

from collections.abc import AsyncGenerator, Callable, Mapping, Sequence
from contextlib import AbstractAsyncContextManager, asynccontextmanager
from typing import Any, Literal, final

import msgspec
import trio

from triologue.agents import embedded_requests
from triologue.agents.embedded_connection import EmbeddedConnection
from triologue.agents.launching import working_folder
from triologue.agents.mirrors import FLAG, entries_of, with_mirror
from triologue.agents.replies import permission_reply
from triologue.engine import EngineSetup, OfflineModel, Transcripts, default_transcripts
from triologue.engine.histories import ToldTranscripts, take_back
from triologue.engine.identity import (
    ID_IN_USE,
    INVALID_ID,
    REJECTED,
    UNKNOWN_ID,
    UNKNOWN_MESSAGE,
    is_uuid,
    working_directory,
)
from triologue.engine.permissions import PERMISSION_MODES
from triologue.engine.structured import schema_of, structured_output_tool
from triologue.engine.subagents import read_agents
from triologue.engine.transcripts import TranscriptStore
from triologue.errors import (
    AgentCrashed,
    InvalidOption,
    SessionIdInUse,
    SessionNotFound,
    TriologueError,
    UnsupportedOption,
    brief,
)
from triologue.hosting import check_callbacks, declared_servers, local_servers, wire_hooks
from triologue.messages import (
    AnyRequest,
    CanUseTool,
    Initialize,
    PermissionResult,
    Request,
    ResultMessage,
    TranscriptMirror,
    UserMessage,
)
from triologue.options import IDENTITY, Options, check_options
from triologue.ports import Carrier, Connection, Exit, Model, Restored, Sink, TranscriptEntry
from triologue.tools import ToolDefinition, as_tools

HAS = frozenset(IDENTITY) | {
    "abort_event",
    "agents",
    "allowed_tools",
    "can_use_tool",
    "cwd",
    "disallowed_tools",
    "forward_subagent_text",
    "hooks",
    "include_partial_messages",
    "max_budget_usd",
    "max_turns",
    "mcp_servers",
    "model",
    "on_elicitation",
    "output_format",
    "permission_mode",
    "permission_prompt_tool_name",
    "stderr",
    "system_prompt",
    "verbatim_prompts",
}
"""The options of this agent. Others are refused, unless they are set to nothing."""

_HINTS = {
    "cli_path": "it runs in this process and has no program",
    "env": "it runs in this process, whose environment it shares",
    "extra_args": "it has no command line",
    "mcp_servers": "it reaches only servers that live in this program; see create_sdk_mcp_server",
    "tools": "its tools are the functions that Embedded(tools=[...]) was given",
    "user": "it runs in this process, as the user of this process",
}


@final
class Embedded:
    """The built-in agent. It lives in this process, needs no program, and works with any `Model`.

    Its tools are Python functions of the program. They run without asking, unless there is somebody to ask: with
    `can_use_tool` or `on_permission` each call is a question, but for what `allowed_tools` names. Tools of MCP servers
    always need permission, as with Claude Code. `disallowed_tools` takes a tool away; rules for tools that it lacks
    are accepted. Conversations are kept in memory, in `transcripts`.

    Args:
        model: who answers; None: an `OfflineModel`.
        tools: typed functions, or `ToolDefinition`s.
        transcripts: where conversations are kept; None: one place for the whole process.

    Raises:
        InvalidOption: a function cannot be a tool, or the model is none.
    """

    __slots__ = ("_model", "_tools", "_transcripts")

    def __init__(
        self,
        *,
        model: Model | None = None,
        tools: Sequence[Callable[..., Any] | ToolDefinition] = (),
        transcripts: Transcripts | None = None,
    ) -> None:
        if model is not None and not callable(getattr(model, "reply", None)):
            raise InvalidOption(f"model={brief(model)} is no model; give an object, as in OfflineModel()")
        self._model = model if model is not None else OfflineModel()
        self._tools = as_tools(tools)
        self._transcripts = transcripts if transcripts is not None else default_transcripts

    def __repr__(self) -> str:
        return f"<Embedded: model {self._model.name!r}, tools {[tool.name for tool in self._tools]}>"

    @property
    def lives_inside(self) -> Literal[True]:
        """It is no process."""
        return True

    @property
    def name(self) -> str:
        """`embedded`."""
        return "embedded"

    def check(self, options: Options) -> None:
        """Refuse what it does not have, and values that cannot be.

        Raises:
            UnsupportedOption, InvalidOption: and nothing was started.
        """
        check_options(options)
        for name, value in options.named().items():
            if name not in HAS and (value or (name == "tools" and self._tools)):  # `tools=[]` asks for none
                raise UnsupportedOption(self.name, name, value, _HINTS.get(name, ""))
        if options.session_id is not None and not is_uuid(options.session_id):
            raise InvalidOption(f"session_id={brief(options.session_id)} is not a UUID")
        if options.permission_mode is not None and options.permission_mode not in PERMISSION_MODES:
            modes = ", ".join(PERMISSION_MODES)
            raise InvalidOption(f"permission_mode={brief(options.permission_mode)} is none of {modes}")
        prompt = options.system_prompt
        _check_parts(options)
        check_callbacks(options)
        if isinstance(prompt, dict) and prompt.get("type") != "preset":
            hint = 'give a str, or {"type": "preset", "append": "..."}'
            raise UnsupportedOption(self.name, "system_prompt", prompt, hint)

    def initialize(self, options: Options) -> AnyRequest:
        """The first control request."""
        return Initialize(hooks=wire_hooks(options.hooks))

    @property
    def requests(self) -> Mapping[type[Request], str | None]:
        """The control requests that it answers."""
        return embedded_requests.REQUESTS

    def permission_reply(self, request: CanUseTool, result: PermissionResult) -> dict[str, Any]:
        """The answer to a permission request."""
        return permission_reply(request, result)

    def user_frame(self, prompt: UserMessage, options: Options) -> UserMessage:
        """The prompt, marked as verbatim unless that is turned off."""
        composed = prompt.client_composed or options.verbatim_prompts is not False
        return msgspec.structs.replace(prompt, client_composed=composed, line=b"")

    def connect(self, options: Options, *, sink: Sink, carrier: Carrier) -> AbstractAsyncContextManager[Connection]:
        """Start a conversation's engine.

        Leaving the block normally lets a running turn go on for a second (`GRACE`); leaving it by an exception or a
        cancellation stops it at once. No JSON is written or read.

        Raises:
            AgentStartError: it is to work in the current folder, which was deleted.
        """
        working_folder(options)  # there has to be one
        if options.mcp_servers:
            options = options.copy()
            options.mcp_servers = declared_servers(options.mcp_servers)
        transcripts: TranscriptStore = self._transcripts
        if FLAG in options.extra_args:
            transcripts = ToldTranscripts(self._transcripts, lambda mirror: sink([mirror]))
        setup = EngineSetup(model=self._model, options=options, transcripts=transcripts, tools=self._tools)
        return EmbeddedConnection(sink, setup)

    async def latest(self, options: Options) -> str | None:
        """The conversation of its folder in `transcripts` that was gone on with last; see `FindsLatest.latest`.

        Raises:
            AgentStartError: it is to work in the current folder, which was deleted.
        """
        await trio.lowlevel.checkpoint()
        working_folder(options)
        found = self._transcripts.latest(working_directory(options))
        return found.session_id if found is not None else None

    def mirrored(self, options: Options) -> Options:
        """The options with which it tells what is new in its memory."""
        return with_mirror(options)

    def entries_of(self, mirror: TranscriptMirror, options: Options) -> list[TranscriptEntry]:
        """What a store keeps of such a message."""
        return entries_of(mirror, None)

    @asynccontextmanager
    async def restore(self, options: Options, entries: Sequence[TranscriptEntry]) -> AsyncGenerator[Restored]:
        """Take a kept history into `transcripts`, unless it is there; it stays there."""
        session_id = options.resume or ""
        own = [entry for entry in entries if entry.path == f"{session_id}.jsonl"]
        last = next((entry.id for entry in reversed(own) if entry.id is not None), None)
        take_back(self._transcripts, session_id, [entry.line for entry in own], last)
        yield Restored(options)  # what is in memory and was not kept, it tells with the next turn

    def diagnose(self, exit: Exit, refusal: ResultMessage | None, options: Options) -> TriologueError:
        """Why a connection ended by itself."""
        said = (refusal.errors or [""])[0] if refusal is not None else exit.stderr_tail.strip()
        if options.resume and said == UNKNOWN_ID.format(options.resume):
            return SessionNotFound(
                options.resume,
                cwd=working_directory(options),
                detail="the built-in agent keeps them in memory, for as long as the process lives, or in a store",
            )
        if options.resume_session_at and said == UNKNOWN_MESSAGE.format(options.resume_session_at):
            return InvalidOption(f"resume_session_at={brief(options.resume_session_at)}: no such message there")
        if options.resume_drops_turn and said.startswith(REJECTED):
            return InvalidOption(f"resume_drops_turn={brief(options.resume_drops_turn)}: {said}")
        if options.session_id and said == ID_IN_USE.format(options.session_id):
            return SessionIdInUse(f"session_id={brief(options.session_id)} belongs to a conversation; choose another")
        if said == INVALID_ID:
            return InvalidOption(f"session_id={brief(options.session_id)} is not a UUID")
        return AgentCrashed("the built-in agent stopped by itself", exit_code=exit.code, stderr_tail=exit.stderr_tail)


def _check_parts(options: Options) -> None:
    """Refuse MCP servers that live elsewhere, odd sub-agents, and a schema that nothing could be held against."""
    servers = options.mcp_servers
    if servers:
        here = local_servers(servers) if isinstance(servers, dict) else {}
        if not isinstance(servers, dict) or set(here) != set(servers):
            raise UnsupportedOption("embedded", "mcp_servers", servers, _HINTS["mcp_servers"])
    read_agents(options.agents)
    schema = schema_of(options.output_format)
    if schema is not None:
        structured_output_tool(schema)
