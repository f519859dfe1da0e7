"""An agent for stories: it does what the first word of a prompt says, and a test can speak and die in its place.

================  =====================================================================
first word        what it does
================  =====================================================================
``wait 5``        takes the prompt up, and answers in so many seconds
``silent``        takes the prompt up, and says nothing more; an interrupt stops it
``deaf``          the same, and an interrupt does nothing
``unread``        does not even take the prompt up
``die``           takes the prompt up, says half a word and dies
``flood 1000``    says so many messages, and then answers
``fail``          an error result
``use Bash``      asks whether it may use this tool, with the input ``{"n": 1}``, and answers what became of that
``logout``        says that it has no account, and gives an error result
``exceed 60``     says that a usage limit is reached, until so many seconds from now, and gives an error result
``cost 0.5``      answers, for so many US dollars
anything else     answers ``n. prompt``, where n counts the prompts of the conversation
================  =====================================================================
"""

import time
from collections.abc import AsyncIterator, Callable, Mapping
from contextlib import AbstractAsyncContextManager, asynccontextmanager
from typing import Any, Literal, final
from uuid import uuid4

import msgspec
import trio
from trio.testing import wait_all_tasks_blocked

from tests.support.frames import LIFECYCLE, aborted, assistant, init, lifecycle, refusal, result, success
from triologue.agents.replies import permission_reply
from triologue.errors import AgentCrashed, SessionNotFound, TriologueError
from triologue.messages import (
    AnyRequest,
    CanUseTool,
    ControlCancel,
    ControlError,
    ControlRequest,
    ControlResponse,
    Initialize,
    Interrupt,
    McpStatus,
    Message,
    PermissionResult,
    RateLimitEvent,
    Request,
    ResultMessage,
    SetGoal,
    SetModel,
    SetPermissionMode,
    UserMessage,
    text,
)
from triologue.options import Options
from triologue.ports import Carrier, Connection, Exit, Sink

MISSING = "no such conversation"


@final
class ScriptedAgent:
    """The port that a manager is given. What it kept of its conversations outlives its connections."""

    name = "scripted"
    lives_inside: Literal[True] = True

    def __init__(self) -> None:
        self.links: list[ScriptedLink] = []
        """One for each connection, oldest first."""
        self.prompts: dict[str, list[str]] = {}
        """What was said, by session id."""
        self.begun: list[tuple[float, str]] = []
        """When each prompt was taken up, and which, oldest first."""
        self.live = self.most_live = 0
        """Connections that are open or being opened or closed: now, and at most so far."""
        self.closing = 0.0
        """Seconds that it takes to leave."""
        self.costs: dict[str, float] = {}
        """What was spent, by session id."""
        self.handshake: Literal["answers", "refuses", "dies"] | None = "answers"
        self.refuses: set[str | None] = set()
        """Settings that it refuses."""
        self.refusal_code: str | None = None
        """What it says with that."""
        self.requests: Mapping[type[Request], str | None] = {
            SetModel: None,
            SetPermissionMode: None,
            McpStatus: None,
            SetGoal: "goal_v1",
        }
        self.greeting: dict[str, Any] = LIFECYCLE
        """What it answers to the handshake."""
        self.concludes: tuple[Request, ...] = ()
        """What it is to be asked before it is let go."""
        self.ignores: set[type[Request]] = set()
        """Requests that it never answers."""
        self.pid: int | None = None
        """What its connections say that their process is."""
        self.connecting: Callable[[], None] | None = None
        """Called before each connection is opened, when all that is on its way has come in; may raise."""
        self.opening: Callable[[ScriptedLink], None] | None = None
        """Called while each connection is still being opened, which is done when all that follows has happened."""
        self.framing: Callable[[], None] = lambda: None
        """Called before each prompt goes out; may raise."""

    @property
    def link(self) -> "ScriptedLink":
        """The newest connection."""
        return self.links[-1]

    def check(self, options: Options) -> None:
        pass

    def initialize(self, options: Options) -> AnyRequest:
        return Initialize()

    def conclusions(self, options: Options) -> tuple[Request, ...]:
        return self.concludes

    def permission_reply(self, request: CanUseTool, result: PermissionResult) -> dict[str, Any]:
        return permission_reply(request, result)

    def user_frame(self, prompt: UserMessage, options: Options) -> UserMessage:
        self.framing()
        return msgspec.structs.replace(prompt, client_composed=options.verbatim_prompts is not False)

    def connect(self, options: Options, *, sink: Sink, carrier: Carrier) -> AbstractAsyncContextManager[Connection]:
        return self._connect(options, sink)

    @asynccontextmanager
    async def _connect(self, options: Options, sink: Sink) -> AsyncIterator[Connection]:
        self.live += 1
        self.most_live = max(self.live, self.most_live)
        try:
            async with self._open(options, sink) as link:
                yield link
        finally:
            with trio.CancelScope(shield=True):
                await trio.sleep(self.closing)
            self.live -= 1

    @asynccontextmanager
    async def _open(self, options: Options, sink: Sink) -> AsyncIterator["ScriptedLink"]:
        if self.connecting is not None:
            await wait_all_tasks_blocked()
            self.connecting()
        await trio.lowlevel.checkpoint()
        link = ScriptedLink(self, options, sink)
        self.links.append(link)
        if self.opening is not None:
            self.opening(link)
            await wait_all_tasks_blocked()
        async with trio.open_nursery() as nursery:
            nursery.start_soon(link.run)
            try:
                yield link
            finally:
                link.stop(eof=False)
                nursery.cancel_scope.cancel()

    def diagnose(self, exit: Exit, refusal: ResultMessage | None, options: Options) -> TriologueError:
        if exit.stderr_tail == MISSING:
            return SessionNotFound(options.resume or "")
        return AgentCrashed("the scripted agent died", exit_code=exit.code)


@final
class ScriptedLink:
    """One connection, from the agent's side."""

    def __init__(self, agent: ScriptedAgent, options: Options, sink: Sink) -> None:
        self.pid = agent.pid
        self.options = options
        self.sent: list[Message] = []
        """Everything that the host sent."""
        self.replies: dict[str, ControlResponse] = {}
        """What the host answered, by the ids of the requests."""
        self._replied = trio.Condition()
        self._asked = 0
        self._agent = agent
        self._sink = sink
        self._session_id = options.resume or options.session_id or str(uuid4())
        self._outbox, self._inbox = trio.open_memory_channel[Message](10_000)
        self._gone = trio.Event()
        self._exit = Exit()
        self._running: tuple[str, str] | None = None
        self._turn_scope = trio.CancelScope()

    # The host's side.

    def send(self, message: Message) -> None:
        if not self._gone.is_set():
            self.sent.append(message)
            self._outbox.send_nowait(message)

    async def wait_exit(self) -> Exit:
        await self._gone.wait()
        return self._exit

    def stop(self, *, eof: bool) -> None:
        self.die(0 if eof else -15)

    # The test's side.

    def say(self, *messages: Message) -> None:
        """Say it, as one read."""
        if messages and not self._gone.is_set():
            self._sink(list(messages))

    def die(self, code: int, stderr: str = "") -> None:
        """Go away."""
        if not self._gone.is_set():
            self._exit = Exit(code=code, stderr_tail=stderr)
            self._gone.set()

    def revive(self) -> "ScriptedLink":
        """Speak again after its end, as no agent should be able to."""
        self._gone = trio.Event()
        return self

    def requests(self, kind: type[Any]) -> list[Any]:
        """What the host asked for, of this kind."""
        return [
            each.request for each in self.sent if isinstance(each, ControlRequest) and isinstance(each.request, kind)
        ]

    async def ask(self, request: AnyRequest, request_id: str | None = None) -> dict[str, Any] | str:
        """Ask the host; the response, or the error."""
        self._asked += 1
        request_id = request_id or f"theirs{self._asked}"
        self.say(ControlRequest(request_id=request_id, request=request))
        while request_id not in self.replies:
            async with self._replied:
                await self._replied.wait()
        response = self.replies[request_id].response
        return response.error if isinstance(response, ControlError) else response.response or {}

    def take_back(self, request_id: str) -> None:
        """Withdraw a request."""
        self.say(ControlCancel(request_id=request_id))

    # What it does by itself.

    async def run(self) -> None:
        if self.options.resume and self.options.resume not in self._agent.prompts:
            self.die(1, MISSING)
        async with trio.open_nursery() as nursery:
            async for message in self._inbox:
                if self._gone.is_set():
                    break
                if isinstance(message, UserMessage):
                    nursery.start_soon(self._turn, message.uuid or "", text(message))
                elif isinstance(message, ControlRequest):
                    self._answer(message.request_id, message.request)
                elif isinstance(message, ControlResponse):
                    assert message.response.request_id not in self.replies, "answered twice"
                    self.replies[message.response.request_id] = message
                    async with self._replied:
                        self._replied.notify_all()

    def _answer(self, request_id: str, request: AnyRequest) -> None:
        match request:
            case _ if type(request) in self._agent.ignores:
                pass
            case Initialize():
                if self._agent.handshake == "answers":
                    self.say(success(request_id, self._agent.greeting))
                elif self._agent.handshake == "refuses":
                    self.say(refusal(request_id))
                elif self._agent.handshake == "dies":
                    self.die(1)
            case Interrupt():
                self._interrupt(request_id)
            case SetModel(model=value) | SetPermissionMode(mode=value) if value in self._agent.refuses:
                self.say(refusal(request_id, code=self._agent.refusal_code))
            case _:
                self.say(success(request_id))

    def _interrupt(self, request_id: str) -> None:
        if self._running is None:
            self.say(success(request_id))
        elif self._running[1] != "deaf":
            uuid, self._running = self._running[0], None
            self._turn_scope.cancel()
            self.say(success(request_id), aborted(uuid, session_id=self._session_id), lifecycle(uuid, "cancelled"))

    async def _turn(self, uuid: str, said: str) -> None:
        word, _, rest = said.partition(" ")
        if word == "unread":
            return
        self._running, self._turn_scope = (uuid, word), trio.CancelScope()
        history = self._agent.prompts.setdefault(self._session_id, [])
        history.append(said)
        self._agent.begun.append((trio.current_time(), said))
        self.say(lifecycle(uuid, "queued"), lifecycle(uuid, "started"), init(self._session_id))
        with self._turn_scope:
            match word:
                case "wait":
                    await trio.sleep(float(rest))
                case "silent" | "deaf":
                    await trio.sleep_forever()
                case "use":
                    await self._use(uuid, rest)
                    return
                case "logout":
                    self.say(assistant("Please run /login", error="authentication_failed"))
                    self._finish(uuid, "Please run /login", is_error=True)
                    return
                case "exceed":
                    self._exceed(uuid, float(rest))
                    return
                case "die":
                    self.say(assistant("ha"))
                    self.die(1)
                    return
                case "flood":
                    for _ in range(int(rest)):
                        self.say(assistant("more"))
                case _:
                    pass
            cost = float(rest) if word == "cost" else 0.0
            self._finish(uuid, f"{len(history)}. {said}", is_error=word == "fail", cost=cost)

    async def _use(self, uuid: str, tool: str) -> None:
        request = CanUseTool(tool_name=tool, input={"n": 1}, tool_use_id="tool1")
        self._asked += 1
        request_id = f"theirs{self._asked}"
        try:
            said = await self.ask(request, request_id)
        except trio.Cancelled:
            if request_id not in self.replies:  # as an agent does whose turn was interrupted
                self.say(ControlCancel(request_id=request_id))
            raise
        if isinstance(said, dict) and said.get("interrupt"):
            self._running = None
            self.say(aborted(uuid, session_id=self._session_id), lifecycle(uuid, "completed"))
        else:
            self._finish(uuid, f"{tool}: {said}", is_error=False)

    def _exceed(self, uuid: str, seconds: float) -> None:
        limits = {"status": "rejected", "rateLimitType": "five_hour", "resetsAt": time.time() + seconds}
        self.say(RateLimitEvent(limits=limits))
        self._finish(uuid, "You have reached your limit", is_error=True, api_error_status=429)

    def _finish(self, uuid: str, answer: str, *, is_error: bool, cost: float = 0.0, **more: Any) -> None:
        self._running = None
        costs = self._agent.costs
        total = costs[self._session_id] = costs.get(self._session_id, 0.0) + cost
        answered = result(
            uuid, session_id=self._session_id, result=answer, is_error=is_error, total_cost_usd=total, **more
        )
        self.say(assistant(answer), answered, lifecycle(uuid, "completed"))
