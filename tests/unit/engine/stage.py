"""An engine on a stage: its host's side, with ids that can be written down."""

from collections.abc import AsyncIterator, Callable, Sequence
from contextlib import asynccontextmanager
from itertools import count
from typing import Any, TypeAlias
from uuid import UUID

import trio

from triologue.engine import EngineSetup, OfflineModel, Transcripts, serve
from triologue.engine.profile import Profile
from triologue.engine.toolbox import Guard
from triologue.messages import (
    AnyRequest,
    AssistantMessage,
    CanUseTool,
    CommandLifecycle,
    ContentBlock,
    ControlCancel,
    ControlError,
    ControlRequest,
    ControlResponse,
    ControlSuccess,
    HookCallback,
    McpMessage,
    Message,
    Request,
    ResultMessage,
    StreamEvent,
    SystemMessage,
    TextBlock,
    ToolResultBlock,
    ToolUseBlock,
    UserMessage,
    user_message,
)
from triologue.options import Options
from triologue.ports import Exit, Model, ModelReply, ModelRequest
from triologue.tools import as_tools
from triologue.wire import decode_line, encode

Reply: TypeAlias = dict[str, Any] | str | None
"""What a host answers: a response, the text of an error, or nothing yet."""


class Host:
    """What a host sees of one engine, and what it answers."""

    def __init__(self, outbox: trio.MemorySendChannel[list[Message]]) -> None:
        self.said: list[Message] = []
        self.exit: Exit | None = None
        self._outbox = outbox
        self._requests = count(1)
        self.reply: Callable[[Any], Reply] = lambda request: None
        """Answers what the engine asks."""

    def hear(self, batch: list[Message]) -> None:
        assert batch
        for message in batch:
            assert decode_line(encode(message)) == message  # what is said in process could as well be said on a wire
        self.said += batch
        for message in batch:
            if isinstance(message, ControlRequest) and (reply := self.reply(message.request)) is not None:
                self.answer(message.request_id, reply)

    def answer(self, request_id: str, reply: dict[str, Any] | str) -> None:
        """Answer what the engine asked, or fail it."""
        response = (
            ControlError(request_id=request_id, error=reply)
            if isinstance(reply, str)
            else ControlSuccess(request_id=request_id, response=reply)
        )
        self.send(ControlResponse(response=response))

    def asked(self, kind: type[Request]) -> list[Any]:
        """What the engine asked for, of one kind."""
        requests = [message.request for message in self.said if isinstance(message, ControlRequest)]
        return [request for request in requests if isinstance(request, kind)]

    def send(self, *messages: Message) -> None:
        self._outbox.send_nowait(list(messages))

    def prompt(self, content: Any, uuid: str | None = None, *, verbatim: bool = True, **fields: Any) -> UserMessage:
        prompt = user_message(content)
        prompt.uuid, prompt.client_composed = uuid, verbatim
        for name, value in fields.items():
            setattr(prompt, name, value)
        return prompt

    def request(self, request: AnyRequest) -> ControlRequest:
        return ControlRequest(request_id=f"r{next(self._requests)}", request=request)

    def end(self) -> None:
        self._outbox.close()

    @property
    def results(self) -> list[ResultMessage]:
        return [message for message in self.said if isinstance(message, ResultMessage)]

    @property
    def story(self) -> list[str]:
        return [line for message in self.said if (line := tell(message))]


def tell(message: Message) -> str:
    """One frame in a few words."""
    match message:
        case CommandLifecycle(command_uuid=uuid, state=state):
            return f"{state} {uuid}"
        case SystemMessage(subtype=subtype):
            return subtype
        case AssistantMessage():
            return " ".join(["assistant:" if not message.aborted else "aborted:", *map(tell_block, message.content)])
        case UserMessage(message=body):
            return (
                f"user: {' '.join(map(tell_block, body.content)) if isinstance(body.content, list) else body.content}"
            )
        case ResultMessage():
            return f"result: {message.subtype} {message.terminal_reason} {message.result or message.errors}"
        case ControlResponse(response=response):
            answer = response.error if isinstance(response, ControlError) else response.response
            return f"{response.request_id}: {answer}"
        case ControlRequest(request=request):
            return f"? {tell_request(request)}"
        case ControlCancel():
            return "withdrawn"
        case StreamEvent():
            return f"~{message.event['type']}"
        case _:
            return type(message).__name__


def tell_request(request: AnyRequest) -> str:
    match request:
        case CanUseTool(tool_name=name, input=given):
            return f"may {name}{given}"
        case HookCallback(callback_id=callback, input={"hook_event_name": event}):
            return f"{event} {callback}"
        case McpMessage(server_name=name, message={"method": method}):
            return f"{name} {method}"
        case _:
            return type(request).__name__


def tell_block(block: ContentBlock) -> str:
    match block:
        case TextBlock(text=text):
            return text
        case ToolUseBlock(name=name, input=given):
            return f"{name}{given}"
        case ToolResultBlock(content=content, is_error=is_error):
            return f"{'error' if is_error else 'gives'} {content}"
        case _:
            return type(block).__name__


def ids() -> Callable[[], str]:
    """UUIDs that count: 00000000-0000-0000-0000-000000000001 ..."""
    numbers = count(1)
    return lambda: str(UUID(int=next(numbers)))


@asynccontextmanager
async def open_engine(
    *,
    model: Model | None = None,
    tools: Sequence[Any] = (),
    transcripts: Transcripts | None = None,
    new_id: Callable[[], str] | None = None,
    reply: Callable[[Any], Reply] | None = None,
    guards: dict[str, Guard] | None = None,
    cwd: Any = "/here",
    profile: Profile | None = None,
    **options: Any,
) -> AsyncIterator[Host]:
    """Run an engine; leaving the block ends its input and waits for it."""
    setup = EngineSetup(
        model=model or OfflineModel(),
        options=Options(cwd=cwd, **options),
        transcripts=transcripts if transcripts is not None else Transcripts(),
        tools=as_tools(tools),
        guards=guards or {},
        profile=profile or Profile(),
        new_id=new_id or ids(),
    )
    outbox, inbox = trio.open_memory_channel[list[Message]](1000)
    host = Host(outbox)
    if reply is not None:
        host.reply = reply

    async def run() -> None:
        host.exit = await serve(inbox, host.hear, setup=setup)

    async with trio.open_nursery() as nursery:
        nursery.start_soon(run)
        yield host
        host.end()


async def talk(*prompts: str, **setup: Any) -> Host:
    """A whole conversation, one prompt after the other."""
    async with open_engine(**setup) as host:
        for prompt in prompts:
            host.send(host.prompt(prompt))
    return host


class Scripted:
    """A model that gives replies which were written down, and keeps what it was asked."""

    name = "scripted"

    def __init__(self, *replies: ModelReply | Exception, pieces: Sequence[str] = ()) -> None:
        self.replies = list(replies)
        self.requests: list[ModelRequest] = []
        self.pieces = pieces

    async def reply(self, request: ModelRequest, emit: Callable[[str], None]) -> ModelReply:
        self.requests.append(request)
        for piece in self.pieces:
            await trio.lowlevel.checkpoint()
            emit(piece)
        reply = self.replies.pop(0)
        if isinstance(reply, Exception):
            raise reply
        return reply


def said(*content: ContentBlock | str, cost_usd: float = 0.0, stop_reason: str | None = None) -> ModelReply:
    blocks: list[ContentBlock] = [TextBlock(text=each) if isinstance(each, str) else each for each in content]
    wants_tool = any(isinstance(block, ToolUseBlock) for block in blocks)
    return ModelReply(
        content=blocks,
        stop_reason=stop_reason or ("tool_use" if wants_tool else "end_turn"),
        model="scripted",
        input_tokens=10,
        output_tokens=5,
        cost_usd=cost_usd,
    )
