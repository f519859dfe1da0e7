"""What every agent must do, checked on its connections, without a manager."""

from collections.abc import Awaitable, Callable
from typing import TypeAlias, final
from uuid import uuid4

import trio

from triologue.agents import open_carrier
from triologue.errors import SessionNotFound, TriologueError, UnsupportedOption
from triologue.manager.checks import check_agent as check_kind
from triologue.messages import (
    CanUseTool,
    ControlError,
    ControlResponse,
    ControlSuccess,
    Interrupt,
    PermissionResultAllow,
    PermissionResultDeny,
    Request,
    UnknownRequest,
    UserMessage,
    user_message,
)
from triologue.options import Options
from triologue.ports import Agent, Carrier, Exit
from triologue.testing.agent_host import AgentHost, Broken
from triologue.wire import encode

_Check: TypeAlias = Callable[[], Awaitable[None]]


class AgentBroken(AssertionError):
    """An agent does not do what triologue relies on.

    Attributes:
        complaints: what, one for each.
    """

    def __init__(self, name: str, complaints: list[str]) -> None:
        self.complaints = complaints
        super().__init__("\n- ".join([f"the agent {name!r} does not do what every agent must:", *complaints]))


async def check_agent(
    agent: Agent,
    *,
    options: Options | None = None,
    prompt: str = "Hello",
    long_prompt: str | None = None,
    seconds: float = 10.0,
) -> None:
    """Hold an agent against its port: it is started some ten times, talked to, interrupted, resumed and left.

    Permissions that it asks for are granted. What only some agents have (histories that are mirrored, preparations) is
    left to their own tests, and so is what it says.

    Args:
        agent: who.
        options: what it is started with.
        prompt: what it is asked.
        long_prompt: what it is asked to be interrupted at, and left in the middle of: something that takes a while; None:
            `prompt`.
        seconds: what any step may take: a start, a turn, an end. On a virtual clock they cost nothing.

    Raises:
        InvalidOption: it is no agent.
        AgentBroken: it is one that a session could not rely on; the text has all that was found.
    """
    check_kind(agent)
    async with open_carrier() as carrier:
        checks = _Checks(agent, options or Options(), carrier, prompt, long_prompt or prompt, seconds)
        await checks.run()
    if checks.complaints:
        raise AgentBroken(agent.name, checks.complaints)


class _Left(Exception):
    """A connection is left by it."""


@final
class _Checks:
    def __init__(
        self, agent: Agent, options: Options, carrier: Carrier, prompt: str, long_prompt: str, seconds: float
    ) -> None:
        self._agent = agent
        self._options = options
        self._carrier = carrier
        self._prompt = prompt
        self._long_prompt = long_prompt
        self._seconds = seconds
        self._title = ""
        self.complaints: list[str] = []

    async def run(self) -> None:
        """All of them, one after the other; the rest only where the first, on which they build, have found nothing."""
        for title, check in {"words": self._words, "a conversation": self._conversation}.items():
            await self._try(title, check)
            if self.complaints:
                return
        for title, check in {
            "an interrupt": self._interrupt,
            "stopped in a turn": self._stop,
            "left in a turn": self._leave,
            "cancelled in a turn": self._cancel,
            "resumed": self._resume,
            "resumed what is not there": self._resume_nothing,
        }.items():
            await self._try(title, check)

    async def _try(self, title: str, check: _Check) -> None:
        self._title = title
        try:
            await check()
        except* Broken as broken:
            self._complain_of(broken)
        except* trio.TooSlowError:
            self._complain(f"connect() was not entered, or not left, within {self._seconds:g} seconds")
        except* Exception as errors:  # noqa: BLE001 - whatever it is, it is the agent's
            self._complain_of(errors)

    def _complain_of(self, errors: BaseExceptionGroup[BaseException]) -> None:
        for error in errors.exceptions:
            if isinstance(error, BaseExceptionGroup):
                self._complain_of(error)
            else:
                self._complain(str(error) if isinstance(error, Broken) else f"it raised {error!r}")

    def _complain(self, what: str) -> None:
        if (told := f"{self._title}: {what}") not in self.complaints:
            self.complaints.append(told)

    def _host(self, options: Options | None = None) -> AgentHost:
        return AgentHost(self._agent, options or self._options, self._seconds, self._complain)

    # What is said before, and beside, a connection.

    async def _words(self) -> None:
        agent, options = self._agent, self._options
        agent.check(options)
        self._must_be(agent.initialize(options), Request, "initialize()")
        frame = user_message("Hello")
        frame.uuid = uuid = str(uuid4())
        framed = agent.user_frame(frame, options)
        self._must_be(framed, UserMessage, "user_frame()")
        if framed.uuid != uuid:
            self._complain(f"user_frame() changed the prompt's uuid to {framed.uuid!r}")
        if frame != _hello(uuid):
            self._complain("user_frame() changed the prompt that it was given; replace() makes another one")
        encode(framed)
        request = CanUseTool(tool_name="tool", input={"a": 1}, tool_use_id="use")
        for result in (PermissionResultAllow(), PermissionResultDeny(message="no")):
            reply = agent.permission_reply(request, result)
            self._must_be(reply, dict, "permission_reply()")
            encode(ControlResponse(response=ControlSuccess(request_id="1", response=reply)))
        self._must_be(agent.diagnose(Exit(code=1), None, options), TriologueError, "diagnose()")

    def _must_be(self, value: object, kind: type, of: str) -> None:
        if not isinstance(value, kind):
            raise Broken(f"{of} gave {value!r}, and no {kind.__name__}")

    # What happens on one.

    async def _conversation(self) -> None:
        host = self._host()
        async with host.open(self._carrier) as connection:
            await host.greet()
            first = await host.turn(self._prompt)
            second = await host.turn(self._prompt)
            if not first.session_id or second.session_id != first.session_id:
                self._complain(f"its results are of {first.session_id!r} and {second.session_id!r}: not one session id")
            await host.ask(UnknownRequest(body={"subtype": "no_agent_has_this"}))
            connection.stop(eof=True)
            await host.exit("the end of its input")
            await host.exit("that, once more")  # many may wait, and late
            host.prompt(self._prompt)
            host.request(Interrupt())
            await trio.lowlevel.checkpoint()
        if len(host.results) != 2:
            self._complain(f"two prompts had {len(host.results)} results")

    async def _interrupt(self) -> None:
        if Interrupt not in self._agent.requests:
            return
        host = self._host()
        async with host.open(self._carrier):
            await host.greet()
            await self._be_in_a_turn(host)
            answer = await host.ask(Interrupt())
            if isinstance(answer, ControlError):
                self._complain(f"it refused: {answer.error}")
            await host.result(0)
            await host.ask(Interrupt())  # where nothing runs
            await host.turn(self._prompt)
        if len(host.results) != 2:
            self._complain(f"two prompts had {len(host.results)} results")

    async def _be_in_a_turn(self, host: AgentHost) -> None:
        host.prompt(self._long_prompt)
        await host.wait_until(lambda: bool(host.said), "it said nothing to a prompt")

    async def _stop(self) -> None:
        host = self._host()
        async with host.open(self._carrier) as connection:
            await host.greet()
            await self._be_in_a_turn(host)
            connection.stop(eof=True)
            connection.stop(eof=False)
            await host.exit("stop(eof=False)")

    async def _leave(self) -> None:
        host, told = self._host(), False
        try:
            async with host.open(self._carrier):
                await host.greet()
                await self._be_in_a_turn(host)
                raise _Left
        except* _Left:
            told = True
        if not told:
            self._complain("connect() swallowed what was raised in its block")
        await trio.lowlevel.checkpoint()

    async def _cancel(self) -> None:
        host = self._host()
        with trio.CancelScope() as scope:
            async with host.open(self._carrier):
                await host.greet()
                await self._be_in_a_turn(host)
                scope.cancel()
                await trio.lowlevel.checkpoint()
        if not scope.cancelled_caught:
            self._complain("connect() swallowed the cancellation of its block")

    # What it keeps.

    def _with(self, **identity: str) -> Options | None:
        """The options, with these; None where it does not have them."""
        options = self._options.copy()
        for name, value in identity.items():
            setattr(options, name, value)
        try:
            self._agent.check(options)
        except UnsupportedOption:
            return None
        return options

    async def _resume(self) -> None:
        ids: list[str] = []
        chosen = str(uuid4())
        for name in ("session_id", "resume"):
            if (options := self._with(**{name: chosen})) is None:
                return
            host = self._host(options)
            async with host.open(self._carrier) as connection:
                await host.greet()
                ids.append((await host.turn(self._prompt)).session_id)
                connection.stop(eof=True)
                await host.exit("the end of its input")
        told = ["the chosen one" if id == chosen else id for id in ids]
        if ids != [chosen, chosen]:
            self._complain(f"its results, with session_id and then with resume, are of the session ids {told}")

    async def _resume_nothing(self) -> None:
        if (options := self._with(resume=str(uuid4()))) is None:
            return
        host = self._host(options)
        async with host.open(self._carrier):
            host.request(self._agent.initialize(options))
            exit = await host.exit("its start, with a conversation to resume that nobody has")
        refusal = host.results[0] if host.results else None
        why = self._agent.diagnose(exit, refusal, options)
        if not isinstance(why, SessionNotFound):
            self._complain(f"diagnose() gave {why!r}, and no SessionNotFound")


def _hello(uuid: str) -> UserMessage:
    frame = user_message("Hello")
    frame.uuid = uuid
    return frame
