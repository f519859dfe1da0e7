"""A session, as its callers hold it: a handle that any task may use."""

from contextlib import AbstractAsyncContextManager, nullcontext
from typing import Any, final

import trio

from triologue.actors import Conversation, Cursor, Listener, OnMissing, ResumeOutcome, Turn
from triologue.errors import AgentProtocolError, InvalidOption, UnsupportedRequest, brief
from triologue.manager.asking import Asking
from triologue.manager.controls import Controls, checked_request, local_and_declared
from triologue.manager.directory import Directory, SessionStatistics
from triologue.manager.forking import begin_copy
from triologue.manager.intake import Intake, TurnBlock
from triologue.manager.prompts import user_frame
from triologue.manager.reading import Reading, Standing
from triologue.manager.subscription import Subscription
from triologue.messages import (
    Event,
    McpSetServersResult,
    McpStatus,
    Prompt,
    Request,
    ResultMessage,
    ServerInfo,
    SessionState,
    UnknownRequest,
)
from triologue.options import Options, Overlap, without_identity
from triologue.ports import Agent
from triologue.session import inputs as on
from triologue.wire import read_reply


@final
class Session(Controls):
    """One conversation under its key. Made by `manager.session(key)`; equal for the same key."""

    def __init__(
        self,
        directory: Directory,
        key: str,
        agent: Agent | None,
        options: Options | None,
        known: Conversation | None = None,
        *,
        overlap: Overlap | None = None,
        on_missing: OnMissing | None = None,
    ) -> None:
        self._on_missing: OnMissing = on_missing or "raise"
        self._directory = directory
        self._registry = directory.registry
        self._key = key
        self._agent = agent
        self._wanted = options
        self._known = known
        self._intake = Intake(directory, key, self._conversation, overlap)
        self._asking = Asking(directory, key, self._conversation, self._intake)
        self._reading = Reading(directory, key, self._conversation)

    def __repr__(self) -> str:
        return f"<Session {self._key!r}: {self.state}>"

    def __eq__(self, other: object) -> bool:
        if not isinstance(other, Session):
            return NotImplemented
        return self._key == other._key and self._directory is other._directory

    def __hash__(self) -> int:
        return hash((self._key, id(self._directory)))

    @property
    def key(self) -> str:
        """The caller's name for it."""
        return self._key

    @property
    def session_id(self) -> str | None:
        """The agent's name for it, also after `manager.delete`; None before the agent told."""
        conversation = self._registry.get(self._key) or self._known
        return conversation.session_id if conversation is not None else None

    @property
    def state(self) -> SessionState:
        """`new starting idle running interrupting restarting hibernated failed`."""
        conversation = self._registry.get(self._key)
        return self._directory.statistics_of(conversation).state if conversation is not None else "new"

    @property
    def resume_outcome(self) -> ResumeOutcome | None:
        """What became of the newest start of its agent; None before the first one in this process.

        `resumed`, `fresh` or `forked`; or why it failed: `missing` (the agent does not know the conversation), `refused`
        (it will not go on like this), `transient` (the next one may succeed).
        """
        conversation = self._registry.get(self._key)
        return conversation.resumed if conversation is not None else None

    @property
    def pid(self) -> int | None:
        """The agent's process, if one runs."""
        actor = self._registry.awake(self._key)
        return actor.pid if actor is not None else None

    def statistics(self) -> SessionStatistics:
        """A snapshot."""
        conversation = self._conversation()
        try:
            return self._directory.statistics_of(conversation)
        finally:
            self._directory.leave(conversation)

    async def ask(
        self,
        prompt: Prompt,
        *,
        overlap: Overlap | None = None,
        id: str | None = None,
        meta: dict[str, str] | None = None,
    ) -> ResultMessage:
        """Send a prompt and wait for its result; of a merged one, for the result of the turn that it went into.

        Cancelling this cancels the turn if it waits, interrupts it if it runs, and leaves it alone if it was merged. It
        takes what `send` takes.

        Raises:
            TurnFailed, TurnInterrupted, TurnCancelled: the turn's outcome was not `answered`.
            WouldDeadlock: a tool or a callback of this session asks it, straight or through others; or one of another
                session does, and keeps the room that this one needs (`Limits.max_live`).
            LimitError, ManagerClosed, InvalidOption: it was not accepted, and is no turn; see `send`.
        """
        return await self._intake.ask(user_frame(prompt), overlap=overlap, id=id, meta=meta)

    def turn(
        self,
        prompt: Prompt,
        *,
        overlap: Overlap | None = None,
        id: str | None = None,
        meta: dict[str, str] | None = None,
    ) -> AbstractAsyncContextManager[Turn]:
        """Send a prompt, bound to a block: leaving it early cancels or interrupts the turn and waits for its outcome.

        Leaving by an exception or a cancellation asks for the same and does not wait.
        """
        patience = self._directory.world.deadlines.interrupt
        return TurnBlock(self._intake, prompt, patience, overlap=overlap, id=id, meta=meta)

    async def send(
        self,
        prompt: Prompt,
        *,
        overlap: Overlap | None = None,
        id: str | None = None,
        meta: dict[str, str] | None = None,
    ) -> Turn:
        """Send a prompt; return when it is accepted, and on disk where there is a store.

        The turn then belongs to the session, and not to this scope.

        Args:
            prompt: text, blocks, a vendor's user frame or a `UserMessage`.
            overlap: what happens to it while another turn runs; None: what the session, or else the manager, has.
            id: any str of at most 256 characters, unique in this session: the same id and prompt give the same turn.
            meta: comes back with the turn and in events.

        Raises:
            MailboxFull: too many prompts wait.
            TurnRejected: `overlap` is `reject`, and a turn runs or waits.
            BudgetExceeded: the session, or all of the manager's, have cost what they may.
            SessionFailed: its agents died too often; `retry_at` tells when it opens again.
            InvalidOption: no prompt; an id that another prompt has; an `overlap` that there is not.
            ManagerClosed: the manager's block is being left, and this prompt was not accepted before, under its `id`.
            SessionElsewhere: another host has it, where there is a store.
            SessionIdInUse: it begins with a `session_id` under which the store has another conversation.
            StoreError: it could not be kept; or another program has deleted the session while it slept: send it again.
        """
        return await self._intake.send(user_frame(prompt), overlap=overlap, id=id, meta=meta)

    async def interrupt(self) -> str:
        """Stop the turn that runs; those that wait are kept.

        Returns, within `Deadlines.interrupt`: `stopped`; `nothing_running`; `already_done`, when it ended first;
        `killed`, when the agent had to be stopped for it.
        """
        self._directory.refuse_elsewhere()
        conversation = self._registry.get(self._key)
        if conversation is None or self._registry.awake(self._key) is None:
            await trio.lowlevel.checkpoint()
            return "nothing_running"
        return str(await self._registry.request(conversation, on.StopTurn).wait())

    def subscribe(self, after: int | None = None) -> AbstractAsyncContextManager[Subscription]:
        """Read the session's log as it grows. A subscriber neither wakes a session nor keeps it awake.

        What was not read yet when the block was left can be read still; then the events end.

        Args:
            after: None: from now on; 0: everything that is kept; else what follows that `seq`.
        """
        return self._reading.subscribe(after)

    async def read(self, after: int = 0, *, limit: int = 500) -> list[Event]:
        """What is kept of the session's log after a `seq`, the oldest of it: about `limit` events, or none.

        A `Gap` stands for what is gone.

        Raises:
            StoreError: the store cannot be read.
        """
        return await self._reading.read(after, limit)

    async def find(self, id: str) -> Turn | None:
        """The turn of this id, whether it waits, runs or has ended; None: there is none, or it is forgotten.

        Without a store a turn that has ended is remembered if its caller chose the id, and not for ever.

        Raises:
            SessionElsewhere: another host has the session, where there is a store.
            StoreError: the store cannot be read.
        """
        return await self._reading.find(id)

    async def fork(self, key: str, *, at: str | None = None, session_id: str | None = None) -> "Session":
        """A copy of this conversation under a new key; the original stays as it is, and may be running.

        Args:
            key: the copy's key.
            at: the uuid of the last message to copy; None: all that there is at the copy's first prompt, if it is kept.
            session_id: the copy's session id; None: the agent chooses.

        Raises:
            SessionExists: the key has a conversation.
            SessionIdInUse: the store has a conversation under this `session_id`.
            InvalidOption: this one has nothing to copy yet, or no such message as far as can be known; what only its
                agent knows, that refuses, at the copy's first prompt.
        """
        await trio.lowlevel.checkpoint()
        conversation = await self._directory.known(self._conversation)
        await begin_copy(self._directory, conversation, key, at=at, session_id=session_id)
        return Session(self._directory, key, None, None)

    async def reset(self) -> None:
        """Begin a fresh conversation under this key; the old one is kept under its session id.

        In a store it has a head of its own from then on, whose key is this one with `@` and the session id.
        """
        self._directory.refuse_elsewhere()
        conversation, shelf = self._conversation(), self._registry.shelf
        aside = shelf.setting_aside(conversation) if shelf is not None else nullcontext()
        try:
            async with self._directory.taken(conversation), aside:
                conversation.options = without_identity(conversation.options)
                if conversation.session_id is not None:  # an agent has begun in its folder
                    conversation.given |= {"cwd"}
                if self._registry.awake(self._key) is not None:
                    await self._registry.request(conversation, lambda ticket: on.Leave(ticket, forget=True)).wait()
                else:
                    conversation.forget()
                    conversation.changed()
                await conversation.kept()
        finally:
            self._directory.leave(conversation)

    async def set_model(self, model: str | None) -> None:
        """Use this model from now on, also after a restart; None: the agent's default.

        Raises:
            AgentProtocolError: the agent refused it.
            UnsupportedRequest: it cannot be told while it is there; `Options.model` is for its next start.
            WouldDeadlock: a tool or a callback waits for an agent for which there is no room before it returns. The
                setting counts all the same, as soon as that agent starts.
        """
        await self._asking.change("model", model)

    async def set_permission_mode(self, mode: str | None) -> None:
        """Use this permission mode from now on, also after a restart.

        Returns when the agent has it; of one that starts, when it is up. One that sleeps is not started for it.

        Raises:
            AgentProtocolError, InvalidOption: the agent refused it, or would.
            UnsupportedRequest: as `set_model`.
            WouldDeadlock: as `set_model`; the setting counts all the same.
        """
        await self._asking.change("permission_mode", mode)

    async def control(self, request: Request | dict[str, Any]) -> dict[str, Any]:
        """Ask anything of the agent; see `Controls.control`."""
        return await self._asking.request(checked_request(request))

    async def set_mcp_servers(self, servers: dict[str, Any]) -> McpSetServersResult:
        """Replace the MCP servers that were added this way; see `Controls.set_mcp_servers`."""
        local, request = local_and_declared(servers, self._conversation().options.mcp_servers)
        if local:
            await self.get_server_info()  # they are hosted for an agent that runs
        actor = self._registry.awake(self._key)
        service = actor.service if actor is not None else None
        before = service.add_servers(local) if service is not None else frozenset[str]()
        result = read_reply(McpSetServersResult, await self._asking.request(request))
        if service is not None:  # not earlier: an agent that refuses goes on with what it had
            service.remove_servers(before - local.keys())
        return result

    async def get_server_info(self) -> ServerInfo:
        """What the agent told of itself when it started; one that sleeps is started."""
        if self._greeting() is None:
            await self._wake()
        else:
            await trio.lowlevel.checkpoint()
        return read_reply(ServerInfo, self._greeting())

    def _greeting(self) -> dict[str, Any] | None:
        """What an agent that is there has answered the handshake with."""
        actor = self._registry.awake(self._key)
        return actor.session.link.greeting if actor is not None else None

    async def _wake(self) -> None:
        """Start the agent, by asking for what changes nothing."""
        has_status = McpStatus in self._conversation().agent.requests
        try:
            await self._asking.request(McpStatus() if has_status else UnknownRequest(body={"subtype": "mcp_status"}))
        except (AgentProtocolError, UnsupportedRequest):
            if self._greeting() is None:  # else it is there, and has no such request
                raise

    async def command(self, command: str, *, meta: dict[str, str] | None = None) -> ResultMessage:
        """Run one of the agent's slash commands, for instance `/compact`, as a turn of its own."""
        if not isinstance(command, str) or not command.startswith("/"):
            raise InvalidOption(f"a command starts with a slash, not {brief(command)}")
        return await self._intake.ask(user_frame(command), overlap="queue", meta=meta, is_command=True)

    async def hibernate(self) -> None:
        """Let the agent go as soon as nothing runs and nothing waits for it; the next message wakes the session.

        Turns that a usage limit holds up do not wait for it, but for the limit's end, and wake the session then.

        With a store another host can have it then, unless that took more than `Deadlines.close`. A session with such
        turns, or one that is given something meanwhile, stays this host's.

        Raises:
            WouldDeadlock: a tool or a callback of this session waits for its end.
        """
        conversation = self._registry.get(self._key)
        if conversation is None:  # nor does it begin by that
            await trio.lowlevel.checkpoint()
            return
        with self._intake.waiting():
            await self._asking.leave(on.Rest)
        await self._registry.wait_put_back(conversation)

    async def close(self) -> None:
        """Let the agent go now: the running turn is interrupted, waiting ones end as `cancelled`.

        The conversation is kept; the next message wakes it.
        """
        await self._asking.leave(on.Leave)

    # For the faces.

    def open_reader(self, begin: int | None = None) -> Cursor:
        """Read the log from `begin`, or from now; for a reader that lives as long as the session."""
        log = self._conversation().log
        return log.open(log.last if begin is None else begin)

    def listen(self, listener: Listener) -> AbstractAsyncContextManager[Standing]:
        """As `subscribe`, without a task that has to be woken: it is called with each batch as it is published.

        Gives where the log stands. A `Gap` stands for records that are to be read from the store.

        Raises:
            StoreError: the store cannot be read.
        """
        return self._reading.listen(listener)

    async def send_to_read(self, prompt: Prompt) -> Turn:
        """As `send`, for who iterates the turn in any case: its first iteration misses no partial."""
        return await self._intake.send(user_frame(prompt), is_read=True)

    def wake_readers(self) -> None:
        """Let every reader look again at what it waits for."""
        conversation = self._registry.get(self._key)
        if conversation is not None:
            conversation.log.wake()

    # Inside.

    def _conversation(self) -> Conversation:
        begun = self._registry.get(self._key)
        if begun is not None and begun is self._known:
            return begun
        is_untold = self._known is None or self._known.was_refused
        if begun is not None and is_untold:  # by another handle, after this one was asked for
            self._directory.amend(begun, self._agent, self._wanted)
        self._known = self._directory.conversation(self._key, self._agent, self._wanted)
        if begun is None:
            self._known.on_missing = self._on_missing
        return self._known
