"""An agent that does what a test tells it to: a double for Claude Code, without a process and without a model."""

from collections.abc import AsyncGenerator, Callable, Mapping
from contextlib import asynccontextmanager
from typing import Any, final

import msgspec
import trio

from triologue.agents.claude_requests import REQUESTS
from triologue.agents.replies import permission_reply
from triologue.errors import AgentCrashed, SessionIdInUse, SessionNotFound, TriologueError
from triologue.messages import (
    AnyRequest,
    CanUseTool,
    Initialize,
    PermissionResult,
    Request,
    ResultMessage,
    UserMessage,
)
from triologue.options import Options
from triologue.ports import Carrier, Connection, Exit, Sink
from triologue.testing.agent_state import AgentStart, AgentState, KeptConversation
from triologue.testing.script import Script, echo
from triologue.testing.scripted_connection import ScriptedConnection

_MISSING = "No conversation found with session ID"
_IN_USE = "Session ID is already in use"


@final
class ScriptedAgent(AgentState):
    """An agent for tests: `agent.on("deploy", Say("deploying"), Crash())`; what it was not told about, it echoes.

    It behaves as Claude Code was seen to: one result for each turn, prompts that wait merge into one, those that came
    for the running turn are folded into it when a tool ends, conversations are resumed and forked. All that is said
    passes the wire as bytes, in both directions.

    Args:
        reply: what it does with a prompt that no `on` knows.
        name: what it calls itself, in errors; two agents of one manager need two names.
        start_seconds: how long it takes from a start until it hears its host.
        leave_seconds: how long it takes to leave when its host lets it go and nothing runs.
        folds: takes prompts that steer into the running turn; else they become a turn of their own.
        tells_lifecycle: says what becomes of each prompt, as newer agents do.
        cost_usd: what each turn costs.
        max_message_bytes: of a line; what is longer the host sees as an `OversizeMessage`.
    """

    def __init__(
        self,
        reply: Callable[[str], Script] = echo,
        *,
        name: str = "scripted",
        start_seconds: float = 0.0,
        leave_seconds: float = 0.0,
        folds: bool = True,
        tells_lifecycle: bool = True,
        cost_usd: float = 0.001,
        max_message_bytes: int = 64 * 1024,
    ) -> None:
        super().__init__(
            reply,
            name=name,
            start_seconds=start_seconds,
            leave_seconds=leave_seconds,
            folds=folds,
            tells_lifecycle=tells_lifecycle,
            cost_usd=cost_usd,
            max_message_bytes=max_message_bytes,
        )
        self.connections: list[ScriptedConnection] = []
        """All it ever had, oldest first."""

    def __repr__(self) -> str:
        return f"<ScriptedAgent {self._name!r}: {len(self.prompts)} prompts, {self.live} of {len(self.starts)} alive>"

    # The test's side.

    @property
    def connection(self) -> ScriptedConnection:
        """The newest connection."""
        return self.connections[-1]

    def connection_of(self, session_id: str | None) -> ScriptedConnection | None:
        """The connection of a conversation that is alive."""
        alive = (each for each in reversed(self.connections) if not each.is_gone and each.session_id == session_id)
        return next(alive, None)

    # The port.

    @property
    def requests(self) -> Mapping[type[Request], str | None]:
        """Those of Claude Code."""
        return REQUESTS

    def check(self, options: Options) -> None:
        """Refuse nothing."""

    def initialize(self, options: Options) -> AnyRequest:
        """The first control request."""
        return Initialize()

    def permission_reply(self, request: CanUseTool, result: PermissionResult) -> dict[str, Any]:
        """As for Claude Code."""
        return permission_reply(request, result)

    def user_frame(self, prompt: UserMessage, options: Options) -> UserMessage:
        """The prompt, taken as it was written."""
        return msgspec.structs.replace(prompt, client_composed=options.verbatim_prompts is not False)

    @asynccontextmanager
    async def connect(self, options: Options, *, sink: Sink, carrier: Carrier) -> AsyncGenerator[Connection]:
        """Open a connection; it ends with the block."""
        number = len(self.starts) + 1
        session_id, trouble = self._identify(options)
        self.came_alive(
            AgentStart(
                number=number,
                options=options.copy(),
                session_id=session_id,
                time=trio.current_time(),
                is_refused=trouble is not None,
            )
        )
        try:
            await trio.lowlevel.checkpoint()
            connection = ScriptedConnection(self, number, options, session_id, sink)
            self.connections.append(connection)
            async with trio.open_nursery() as nursery:
                await nursery.start(connection.run)
                if trouble is not None:
                    connection.refuse(trouble, self.new_id())
                try:
                    yield connection
                finally:
                    connection.die(-9)
                    nursery.cancel_scope.cancel()
        finally:
            self.ended(number)

    def diagnose(self, exit: Exit, refusal: ResultMessage | None, options: Options) -> TriologueError:
        """Why a connection ended by itself."""
        if exit.stderr_tail == _MISSING:
            return SessionNotFound(options.resume or "")
        if exit.stderr_tail == _IN_USE:
            return SessionIdInUse(f"the session id {options.session_id!r} has a conversation")
        return AgentCrashed(
            f"{self._name} died with exit code {exit.code}", exit_code=exit.code, stderr_tail=exit.stderr_tail
        )

    def _identify(self, options: Options) -> tuple[str, str | None]:
        """The conversation of a start, and what it dies of."""
        known = options.resume or (next(reversed(self.conversations), None) if options.continue_conversation else None)
        if known is not None and known not in self.conversations:
            return known, _MISSING
        if known is not None and options.fork_session:
            forked = options.session_id or self.new_id()
            kept = self.conversations[known]
            self.conversations[forked] = KeptConversation(list(kept.prompts), kept.cost_usd)
            return forked, None
        if known is not None:
            return known, None
        if options.session_id is not None and options.session_id in self.conversations:
            return options.session_id, _IN_USE
        return options.session_id or self.new_id(), None
