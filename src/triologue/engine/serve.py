"""The agent side of the protocol: prompts and control requests in, frames out, until the input ends."""

import traceback
from collections.abc import AsyncIterable, Awaitable, Callable
from typing import final

import trio

from triologue.engine.conversation import Conversation
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
    return await _Server(conversation, settle).run(inbox)


def prepare(conversation: Conversation) -> None:
    """Take from the options what an `initialize` can bring too, and put the tools together.

    Raises:
        InvalidOption: a sub-agent or the output's schema is malformed.
    """
    options = conversation.setup.options
    conversation.agents = read_agents(options.agents)
    conversation.output_schema = schema_of(options.output_format)
    if isinstance(options.mcp_servers, dict):
        conversation.servers.declare(options.mcp_servers)
    conversation.servers.changed = lambda: equip(conversation)
    equip(conversation)


@final
class _Server:
    """Reads while a turn runs, so that an interrupt never waits behind it."""

    __slots__ = ("_conversation", "_fault", "_prompt", "_requests", "_settle")

    def __init__(self, conversation: Conversation, settle: Settle) -> None:
        self._conversation = conversation
        self._requests = Requests(conversation)
        self._settle = settle
        self._prompt: UserMessage | None = None  # the one whose turn runs, or is about to
        self._fault = ""

    async def run(self, inbox: AsyncIterable[list[Message]]) -> Exit:
        conversation = self._conversation
        async with trio.open_nursery() as nursery:
            is_working = False
            try:
                async for batch in inbox:
                    is_working = conversation.scope is not None
                    for message in batch:
                        self._hear(message)
                    self._begin_waiting(nursery)
                    if self._fault or conversation.ended:
                        break
                    if conversation.scope is not None and not is_working:
                        nursery.start_soon(self._guarded, self._work, nursery.cancel_scope)
            except Exception as error:  # noqa: BLE001 - a fault of this conversation must not reach the others
                self._fault = _told(error)
            conversation.host.close()
            if self._fault or conversation.ended:
                nursery.cancel_scope.cancel()
        if self._fault:
            return Exit(code=1, stderr_tail=self._fault[-STDERR_TAIL:])
        return Exit(code=1 if conversation.last_failed and not conversation.ended else 0)

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

    def _begin_waiting(self, nursery: trio.Nursery) -> None:
        """Start what the batch wants done beside the conversation, before the turn that it may begin."""
        for job in self._requests.take_jobs():
            nursery.start_soon(self._guarded, job, nursery.cancel_scope)
        if self._conversation.servers.is_waiting:
            nursery.start_soon(self._guarded, self._conversation.servers.connect, nursery.cancel_scope)

    async def _guarded(self, job: Callable[[], Awaitable[None]], connection: trio.CancelScope) -> None:
        """A fault of this conversation must not reach the others."""
        try:
            await job()
        except Exception as error:  # noqa: BLE001 - as it says
            self._fault = _told(error)
            connection.cancel()

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


def _told(error: Exception) -> str:
    """What goes to stderr: a history that cannot be kept is nobody's mistake in the code."""
    return f"Error: {error}\n" if isinstance(error, StoreError) else traceback.format_exc()
