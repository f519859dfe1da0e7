"""A turn, from the scripted agent's side: it plays the steps of a script."""

import math
from typing import Any, NamedTuple, Protocol, final

import trio

from triologue.messages import (
    AnyRequest,
    CanUseTool,
    CommandLifecycle,
    ControlError,
    McpMessage,
    Message,
    UserMessage,
    text,
)
from triologue.testing import speech
from triologue.testing.script import (
    ApiError,
    Background,
    CallHost,
    Crash,
    Deaf,
    Fail,
    Line,
    Oversize,
    RateLimit,
    Say,
    Script,
    Stall,
    Step,
    Unread,
    UseTool,
    Wait,
)
from triologue.testing.voice import Voice


class Waiting(NamedTuple):
    """A prompt that was not begun yet, and what will be done with it."""

    prompt: UserMessage
    script: Script

    @property
    def uuid(self) -> str:
        """The prompt's."""
        return self.prompt.uuid or ""

    @property
    def is_urgent(self) -> bool:
        """May it go into a turn that runs, and before those that may not?"""
        return self.prompt.priority != "later"


class Home(Protocol):
    """What a turn needs from where it runs."""

    def take_steers(self) -> list[Waiting]:
        """Take the prompts that wait and may go into the running turn."""
        ...

    def start_background(self, step: Background, turn: "AgentTurn") -> None:
        """Let something run on after the turn."""
        ...

    def turn_ended(self, turn: "AgentTurn") -> None:
        """The turn has had its result."""
        ...


@final
class AgentTurn:
    """One turn of a scripted agent. A step that is a function is given this.

    Args:
        voice: what it is said with.
        home: where it runs.
        prompts: what began it; none for a turn that the agent begins by itself.
        script: what it does.
    """

    def __init__(self, voice: Voice, home: Home, prompts: list[UserMessage], script: Script) -> None:
        self.voice = voice
        self.prompts = prompts
        self.folded: list[UserMessage] = []
        """Prompts that came while it ran, and were taken into it."""
        self.is_deaf = False
        self.is_over = False
        self.scope = trio.CancelScope()
        self._home = home
        self._steps = list(script)
        self._said: list[str] = []
        self._open_tool: str | None = None
        self._open_requests: list[str] = []
        self._blocks = 0

    @property
    def uuids(self) -> list[str]:
        """Of all prompts that have a part in it."""
        return [prompt.uuid or "" for prompt in (*self.prompts, *self.folded)]

    @property
    def is_wanted(self) -> bool:
        """Does somebody wait for it: who sent a prompt, or who is to answer what it asks?"""
        return bool(self.prompts or self._open_requests)

    @property
    def text(self) -> str:
        """What was said to it."""
        return "\n".join(text(prompt) for prompt in self.prompts)

    def say(self, *messages: Message) -> None:
        """Write frames of this turn, as one read of the host. Without effect once the turn is over."""
        if not self.is_over:
            self.voice.say(*messages, causes=self.uuids)

    def write(self, line: bytes) -> None:
        """Write a line as it is."""
        if not self.is_over:
            self.voice.write(line + b"\n")

    async def ask(self, request: AnyRequest) -> dict[str, Any] | str:
        """Ask the host; returns its response, or its error as text."""
        request_id = self.voice.new_request_id()
        self._open_requests.append(request_id)
        answer = await self.voice.ask(request_id, request)
        if request_id in self._open_requests:  # else an interrupt has taken it back as the answer came
            self._open_requests.remove(request_id)
        return answer.error if isinstance(answer, ControlError) else answer.response or {}

    # The connection's side.

    async def play(self) -> None:
        """Do it, step by step, and end with a result."""
        with self.scope:
            while self._steps and not self.is_over:
                await self._play(self._steps.pop(0))
            self.finish(self._said[-1] if self._said else "")

    def finish(self, said: str, *, is_error: bool = False, **more: Any) -> None:
        """End with a result; what was folded in is completed before it."""
        if self.is_over:
            return
        folded = [speech.lifecycle(each.uuid or "", "completed") for each in self.folded]
        own = [speech.lifecycle(each.uuid or "", "completed") for each in self.prompts]
        more = {"result": said, "is_error": is_error, **more}
        self._end(folded, self.voice.result(self.uuids, is_asked_for=bool(self.prompts), **more), own)

    def abort(self) -> None:
        """End as an interrupt ends it."""
        if self.is_over:
            return
        self.scope.cancel()
        before: list[Message] = []
        if self._open_tool is not None:
            before.append(speech.tool_result(self._open_tool, "The tool use was rejected", is_error=True))
        before.append(speech.marker(self._open_tool is not None))
        reason = "aborted_tools" if self._open_tool is not None else "aborted_streaming"
        result = self.voice.result(
            self.uuids,
            is_asked_for=bool(self.prompts),
            subtype="error_during_execution",
            is_error=True,
            terminal_reason=reason,
        )
        self._end(before, result, [speech.lifecycle(uuid, "cancelled") for uuid in self.uuids])

    def withdraw_requests(self) -> list[str]:
        """The ids of what it asks the host, which an interrupt takes back."""
        withdrawn, self._open_requests = self._open_requests, []
        return withdrawn

    # Inside.

    def _end(self, before: list[Any], result: Message, after: list[Any]) -> None:
        told = self.voice.state.tells_lifecycle
        before = [each for each in before if told or not isinstance(each, CommandLifecycle)]
        self.say(*before, result, *(after if told else ()))
        self.is_over = True
        self._home.turn_ended(self)

    async def _play(self, step: Step) -> None:  # noqa: C901 - one arm for each step
        match step:
            case Say():
                await self._speak(step)
            case Wait(seconds):
                await trio.sleep(seconds)
            case Stall() | Unread():
                await trio.sleep(math.inf)
            case Deaf():
                self.is_deaf = True
            case UseTool():
                await self._use(step)
            case CallHost():
                await self._call_host(step)
            case RateLimit(status, resets_at, kind):
                self.say(speech.rate_limit(status, resets_at, kind))
            case ApiError(status, message):
                self._give_up(status, message)
            case Fail(reason, subtype):
                self.finish(reason, is_error=True, subtype=subtype, errors=[reason])
            case Line(content):
                self.write(content)
            case Oversize(size):
                self.write(speech.oversize_line(size))
            case Crash(code, stderr):
                self.voice.die(code, stderr)
            case Background():
                self._home.start_background(step, self)
            case _:
                await step(self)

    async def _speak(self, step: Say) -> None:
        pieces = step.text.split(" ")
        for number, piece in enumerate(pieces):
            if self.voice.options.include_partial_messages:
                self.say(speech.partial(piece if number == 0 else f" {piece}", self._blocks))
            if step.every and number + 1 < len(pieces):
                await trio.sleep(step.every)
        self._blocks += 1
        self._said.append(step.text)
        self.say(speech.said(step.text))

    async def _use(self, step: UseTool) -> None:
        id = f"toolu_{self.voice.state.next_number()}"
        self._open_tool = id
        self.say(speech.tool_use(id, step.name, step.input))
        content, is_error = step.result, step.is_error
        if step.asks:
            request = CanUseTool(tool_name=step.name, input=step.input, tool_use_id=id)
            match await self.ask(request):
                case {"behavior": "allow"}:
                    await trio.sleep(step.seconds)
                case {"behavior": "deny", "interrupt": True}:
                    self.abort()
                case {"behavior": "deny", "message": reason}:
                    content, is_error = str(reason), True
                case odd:
                    content, is_error = f"Tool permission request failed: {odd}", True
        else:
            await trio.sleep(step.seconds)
        self._end_tool(id, content, is_error=is_error)

    async def _call_host(self, step: CallHost) -> None:
        id = f"toolu_{self.voice.state.next_number()}"
        self._open_tool = id
        self.say(speech.tool_use(id, f"mcp__{step.server}__{step.tool}", step.arguments))
        await self._greet(step.server)
        call = {"name": step.tool, "arguments": step.arguments}
        answer = await self._rpc(step.server, "tools/call", call)
        result = answer.get("result") if isinstance(answer, dict) else None
        is_error = not isinstance(result, dict) or bool(result.get("isError"))
        self._end_tool(id, speech.shown(answer if result is None else result), is_error=is_error)

    async def _greet(self, server: str) -> None:
        """The handshake with a server of the host, once a connection."""
        if server in self.voice.greeted_servers:
            return
        info = {"name": "scripted", "version": "1"}
        about = {"protocolVersion": "2025-11-25", "capabilities": {}, "clientInfo": info}
        await self._rpc(server, "initialize", about)
        await self.ask(
            McpMessage(server_name=server, message={"jsonrpc": "2.0", "method": "notifications/initialized"})
        )
        self.voice.greeted_servers.add(server)  # not before: of one that was interrupted the server knows nothing

    async def _rpc(self, server: str, method: str, params: dict[str, Any]) -> Any:
        message = {"jsonrpc": "2.0", "id": self.voice.state.next_number(), "method": method, "params": params}
        answer = await self.ask(McpMessage(server_name=server, message=message))
        return answer.get("mcp_response") if isinstance(answer, dict) else {"error": answer}

    def _end_tool(self, id: str, content: str, *, is_error: bool) -> None:
        self._open_tool = None
        self.say(speech.tool_result(id, content, is_error=is_error))
        for steer in self._home.take_steers() if not self.is_over else ():
            self.folded.append(steer.prompt)
            if self.voice.state.tells_lifecycle:
                self.say(speech.lifecycle(steer.uuid, "started"))
            self._steps += steer.script

    def _give_up(self, status: int, message: str) -> None:
        error = speech.API_ERRORS.get(status, "unknown")
        self.say(speech.said(message, error=error, is_api_error_message=True))
        self.finish(message, is_error=True, terminal_reason="api_error", api_error_status=status)
