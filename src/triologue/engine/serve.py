"""The agent side of the protocol: prompts and control requests in, frames out, until the input ends."""

import traceback
from collections.abc import AsyncIterable, AsyncIterator, Awaitable, Callable
from typing import final

import trio

from triologue.engine.conversation import NOTHING, Conversation
from triologue.engine.equipment import equip
from triologue.engine.identity import Refusal, open_conversation
from triologue.engine.loop import Settle
from triologue.engine.requests import Requests
from triologue.engine.setup import EngineSetup
from triologue.engine.structured import schema_of
from triologue.engine.subagents import read_agents
from triologue.engine.turn import Turn
from triologue.errors import InvalidOption, StoreError
from triologue.messages import ControlCancel, ControlRequest, ControlResponse, KeepAlive, Message, UserMessage
from triologue.ports import Exit, Sink

STDERR_TAIL = 64 * 1024


async def serve(
    inbox: AsyncIterable[list[Message]],
    emit: Sink,
    *,
    setup: EngineSetup,
    settle: Settle = trio.lowlevel.checkpoint,
    on_open: Callable[[Conversation], None] | None = None,
) -> Exit:
    """Be the agent of one connection.

    Ends when `inbox` does and every prompt that came has its result. Cancelling it stops at once, and what was
    said so far stays in the transcript. A prompt that comes while a turn runs waits for a turn of its own; one of the
    priority `next` goes into the turn that runs, before its next model call, if there is one.

    Args:
        inbox: batches of frames from the host.
        emit: takes batches of frames for the host. Synchronous, so that no frame overtakes another.
        setup: the model, the tools and the options.
        settle: awaited before each model call and after each tool; waits here while the host is behind.
        on_open: gets the conversation before anything is heard, for a program that has signals of its own.

    Returns:
        Code 0, or 1 when the last result was an error, when the conversation that the options name cannot be had or
        kept, or when the model or the host's sink raised something; then the text is in `stderr_tail`.
    """
    server = begin(emit, setup=setup, settle=settle, on_open=on_open)
    if isinstance(server, Exit):
        return server
    batches, ended = aiter(inbox), None
    while ended is None:
        ended = await server.hear(batches)
    return ended


def begin(
    emit: Sink,
    *,
    setup: EngineSetup,
    settle: Settle = trio.lowlevel.checkpoint,
    on_open: Callable[[Conversation], None] | None = None,
) -> "Server | Exit":
    """Be about to `serve`: what hears the batches, or what it ends with at once."""
    try:
        opened = open_conversation(setup)
    except StoreError as error:
        return Exit(code=1, stderr_tail=f"Error: {error}\n")
    if isinstance(opened, Refusal):
        if opened.result is not None:
            emit([opened.result])
        return Exit(code=1, stderr_tail=opened.text + "\n")
    conversation = Conversation(setup, opened, emit)
    try:
        prepare(conversation)
    except InvalidOption as error:
        return Exit(code=1, stderr_tail=f"Error: {error}\n")
    if on_open is not None:
        on_open(conversation)
    return Server(conversation, settle)


def prepare(conversation: Conversation) -> None:
    """Take from the options what an `initialize` can bring too, and put the tools together.

    Raises:
        InvalidOption: a sub-agent or the output's schema is malformed.
    """
    options = conversation.setup.options
    conversation.agents = read_agents(options.agents) or NOTHING
    conversation.output_schema = schema_of(options.output_format)
    if isinstance(options.mcp_servers, dict):
        conversation.servers.declare(options.mcp_servers)
    conversation.servers.changed = lambda: equip(conversation)
    equip(conversation)


@final
class Server:
    """The agent of one connection. Reads while a turn runs, so that an interrupt never waits behind it."""

    __slots__ = ("_conversation", "_fault", "_is_working", "_listening", "_prompt", "_requests", "_settle")

    def __init__(self, conversation: Conversation, settle: Settle) -> None:
        self._conversation = conversation
        self._requests = Requests(conversation)
        self._settle = settle
        self._prompt: UserMessage | None = None  # the one whose turn runs, or is about to
        self._fault = ""
        self._is_working = False
        self._listening: trio.CancelScope | None = None
        """Of what is waited for while something is done; None while nothing is."""

    async def hear(self, batches: AsyncIterator[list[Message]]) -> Exit | None:
        """Hear a batch, and do all that there is to do then, while more may come; gives its exit with the last."""
        is_open = await self._listen(batches)
        if self._has_work and not self._is_over:
            is_open = await self._work_and_listen(batches)
        if is_open and not self._is_over:
            return None
        self._conversation.host.close()
        if self._fault:
            return Exit(code=1, stderr_tail=self._fault[-STDERR_TAIL:])
        return Exit(code=1 if self._conversation.last_failed and not self._conversation.ended else 0)

    @property
    def _is_over(self) -> bool:
        return bool(self._fault) or self._conversation.ended

    @property
    def _has_work(self) -> bool:
        conversation = self._conversation
        return conversation.scope is not None or conversation.servers.is_waiting or self._requests.has_jobs

    async def _listen(self, batches: AsyncIterator[list[Message]]) -> bool:
        """Hear one batch; False when there are no more."""
        try:
            for message in await anext(batches):
                self._hear(message)
        except StopAsyncIteration:
            return False
        except Exception as error:  # noqa: BLE001 - a fault of this conversation must not reach the others
            self._fault = _told(error)
        return True

    async def _work_and_listen(self, batches: AsyncIterator[list[Message]]) -> bool:
        """Do what there is to do, and hear what comes meanwhile; False when the input has ended."""
        is_open = True
        async with trio.open_nursery() as nursery:
            while is_open and not self._is_over:
                self._begin(nursery)
                if not nursery.child_tasks:
                    return True
                with trio.CancelScope() as self._listening:
                    is_open = await self._listen(batches)
                self._listening = None
            self._conversation.host.close()
            if self._is_over:
                nursery.cancel_scope.cancel()
        return is_open

    def _hear(self, message: Message) -> None:
        match message:
            case UserMessage():
                self._take(message)
            case ControlRequest() | ControlResponse() | ControlCancel() | KeepAlive():
                asked = self._conversation.host.hear(message)
                if asked is not None:
                    self._requests.answer(asked)
            case _:
                pass  # frames that say nothing to an agent are passed over, as Claude Code does

    def _begin(self, nursery: trio.Nursery) -> None:
        """Start what the batch wants done beside the conversation, then the turn that it may begin."""
        for job in self._requests.take_jobs():
            nursery.start_soon(self._guarded, job, nursery)
        if self._conversation.servers.is_waiting:
            nursery.start_soon(self._guarded, self._conversation.servers.connect, nursery)
        if self._conversation.scope is not None and not self._is_working:
            self._is_working = True
            nursery.start_soon(self._guarded, self._work, nursery)

    async def _guarded(self, job: Callable[[], Awaitable[None]], nursery: trio.Nursery) -> None:
        """A fault of this conversation must not reach the others."""
        try:
            await job()
        except Exception as error:  # noqa: BLE001 - as it says
            self._fault = _told(error)
            nursery.cancel_scope.cancel()
        if len(nursery.child_tasks) == 1 and self._listening is not None:  # the last one
            self._listening.cancel()

    def _take(self, prompt: UserMessage) -> None:
        """Take in a prompt: at once when nothing runs, so that an interrupt behind it finds its turn."""
        conversation = self._conversation
        if prompt.message.role != "user":
            self._fault = f"Error: Expected message role 'user', got {prompt.message.role!r}\n"
            return
        if prompt.uuid is not None and self._is_known(prompt):
            return
        conversation.say(*conversation.lifecycle(prompt, "queued"))
        if conversation.scope is None:
            conversation.scope = trio.CancelScope()
            self._prompt = prompt
        else:
            conversation.queue.append(prompt)

    def _is_known(self, prompt: UserMessage) -> bool:
        """A uuid names one prompt: what was sent twice runs once, and what became of it is told again."""
        conversation = self._conversation
        state = conversation.transcript.prompts.get(prompt.uuid or "")
        waiting = (self._prompt, *conversation.queue)
        if any(each is not None and each.uuid == prompt.uuid for each in waiting):
            return True
        if state is not None:
            conversation.say(*conversation.lifecycle(prompt, state))
        return state is not None

    async def _work(self) -> None:
        """Run turns until no prompt waits."""
        conversation = self._conversation
        while self._prompt is not None and conversation.scope is not None:
            await Turn(conversation, self._prompt, self._settle).run(conversation.scope)
            if conversation.unkept is not None:
                raise conversation.unkept
            self._prompt = conversation.queue.pop(0) if conversation.queue else None
            conversation.scope = trio.CancelScope() if self._prompt is not None else None
        self._is_working = False


def _told(error: Exception) -> str:
    """What goes to stderr: a history that cannot be kept is nobody's mistake in the code."""
    return f"Error: {error}\n" if isinstance(error, StoreError) else traceback.format_exc()
