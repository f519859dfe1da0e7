"""The built-in agent through the port that the actors use."""

import threading
from collections.abc import AsyncIterator, Callable
from contextlib import asynccontextmanager
from typing import Any

import pytest
import trio
from trio.testing import MockClock, wait_all_tasks_blocked

from triologue.agents.embedded import Embedded
from triologue.engine import OfflineModel, Transcripts
from triologue.errors import (
    AgentCrashed,
    InvalidOption,
    SessionIdInUse,
    SessionNotFound,
    TriologueError,
    UnsupportedOption,
)
from triologue.messages import (
    ControlRequest,
    ControlResponse,
    Initialize,
    Interrupt,
    Message,
    ResultMessage,
    user_message,
)
from triologue.options import HookMatcher, Options
from triologue.ports import Agent, Command, Connection, Exit, ModelReply, ModelRequest, Sink

A = "aaaaaaaa-aaaa-4aaa-8aaa-aaaaaaaaaaaa"


class NoCarrier:
    """The built-in agent needs no process."""

    def spawn(self, command: Command, *, sink: Sink) -> Any:
        raise AssertionError(command)


class Line:
    """A connection with what came over it."""

    def __init__(self, agent: Embedded, options: Options) -> None:
        self.agent, self.options = agent, options
        self.heard: list[Message] = []
        self.link: Connection

    def ask(self, text: str, uuid: str | None = None) -> None:
        prompt = user_message(text)
        prompt.uuid = uuid
        self.link.send(self.agent.user_frame(prompt, self.options))

    @property
    def results(self) -> list[str | None]:
        return [message.result for message in self.heard if isinstance(message, ResultMessage)]


@asynccontextmanager
async def connect(agent: Embedded | None = None, **options: Any) -> AsyncIterator[Line]:
    line = Line(agent or Embedded(transcripts=Transcripts()), Options(**options))
    line.agent.check(line.options)
    async with line.agent.connect(line.options, sink=line.heard.extend, carrier=NoCarrier()) as line.link:
        yield line


def test_it_is_an_agent() -> None:
    agent: Agent = Embedded()
    assert isinstance(agent, Agent)
    assert (agent.name, agent.initialize(Options())) == ("embedded", Initialize())
    assert repr(agent) == "<Embedded: model 'offline', tools []>"


async def test_a_conversation(autojump_clock: MockClock) -> None:
    async with connect() as line:
        line.link.send(ControlRequest(request_id="r1", request=line.agent.initialize(line.options)))
        line.ask("Remember: I like Python")
        await wait_all_tasks_blocked()
        line.ask("What do I like?")
        assert line.link.pid is None
    assert isinstance(line.heard[0], ControlResponse)
    assert line.results == ["I will remember that you like Python.", "You like Python."]
    assert await line.link.wait_exit() == Exit(code=0)
    line.ask("too late")  # without effect
    line.link.stop(eof=True)
    assert len(line.results) == 2


async def test_at_rest_it_has_no_task(autojump_clock: MockClock) -> None:
    before = trio.lowlevel.current_statistics().tasks_living
    async with connect() as line:
        for number in range(3):
            await wait_all_tasks_blocked()
            assert (trio.lowlevel.current_statistics().tasks_living, len(line.results)) == (before, number)
            line.ask("Hello")
    assert line.results == ["Hello! What can I do for you?"] * 3


async def test_leaving_the_block_lets_a_short_turn_finish(autojump_clock: MockClock) -> None:
    async with connect(Embedded(model=OfflineModel(piece_delay=0.1))) as line:
        line.ask("Say a b c")
    assert line.results == ["a b c"]
    assert trio.current_time() == pytest.approx(0.3)


async def test_leaving_the_block_cuts_a_long_turn_short(autojump_clock: MockClock) -> None:
    async with connect(Embedded(model=OfflineModel(piece_delay=1))) as line:
        line.ask("Count to 1000")
    assert (line.results, trio.current_time()) == ([], 1)
    assert await line.link.wait_exit() == Exit()


async def test_a_failing_block_stops_it_at_once_and_its_error_comes_out_as_it_is(autojump_clock: MockClock) -> None:
    with pytest.raises(ZeroDivisionError):
        async with connect(Embedded(model=OfflineModel(piece_delay=1))) as line:
            line.ask("Count to 1000")
            await trio.sleep(0.5)
            raise ZeroDivisionError
    assert trio.current_time() == 0.5


async def test_a_cancelled_block_stops_it_at_once(autojump_clock: MockClock) -> None:
    with trio.move_on_after(2) as scope:
        async with connect(Embedded(model=OfflineModel(piece_delay=1))) as line:
            line.ask("Count to 1000")
            await trio.sleep_forever()
    assert scope.cancelled_caught
    assert trio.current_time() == 2


async def test_stop_without_eof_cancels_and_many_may_wait(autojump_clock: MockClock) -> None:
    exits: list[Exit] = []

    async def wait() -> None:
        exits.append(await line.link.wait_exit())

    async with connect(Embedded(model=OfflineModel(piece_delay=1))) as line, trio.open_nursery() as nursery:
        nursery.start_soon(wait)
        nursery.start_soon(wait)
        line.ask("Count to 1000")
        await trio.sleep(1.5)
        line.link.stop(eof=True)  # the turn goes on
        await trio.sleep(1)
        assert exits == []
        line.link.stop(eof=False)
    assert (exits, trio.current_time()) == ([Exit(), Exit()], 2.5)


async def test_an_interrupt_does_not_wait_for_a_function_that_blocks() -> None:
    started, go_on = threading.Event(), threading.Event()
    threads: list[threading.Thread] = []

    def block() -> None:
        """Block."""
        threads.append(threading.current_thread())
        started.set()
        go_on.wait(10)

    async with connect(Embedded(tools=[block])) as line:
        line.ask("call block()")
        await trio.to_thread.run_sync(started.wait)
        line.link.send(ControlRequest(request_id="i", request=Interrupt()))
        await wait_all_tasks_blocked()
        reasons = [message.terminal_reason for message in line.heard if isinstance(message, ResultMessage)]
        go_on.set()
    assert reasons == ["aborted_tools"]
    while not threads[0].name.startswith("Trio thread"):  # the name of a worker without work
        await trio.sleep(0.001)


async def test_prompts_are_verbatim_unless_told_otherwise() -> None:
    agent = Embedded()
    async with connect(agent) as line:
        line.ask("/clear")
    assert line.results == ['You said: "/clear". This is your 1st message.']
    async with connect(agent, verbatim_prompts=False) as line:
        line.ask("/clear")
    assert line.results == [""]


class Broken:
    name = "broken"

    async def reply(self, request: ModelRequest, emit: Callable[[str], None]) -> ModelReply:
        raise KeyError("a bug")


async def test_a_bug_ends_the_connection_and_not_the_host() -> None:
    lines: list[str] = []
    async with connect(Embedded(model=Broken()), stderr=lines.append) as line:
        line.ask("Hello")
        exit = await line.link.wait_exit()
    assert exit.code == 1
    assert exit.stderr_tail.endswith("KeyError: 'a bug'\n")
    assert lines[-1] == "KeyError: 'a bug'"
    error = line.agent.diagnose(exit, None, line.options)
    assert isinstance(error, AgentCrashed)
    assert (error.exit_code, error.stderr_tail) == (1, exit.stderr_tail)


async def test_a_stderr_callback_that_raises_harms_nobody() -> None:
    async with connect(Embedded(model=Broken()), stderr=lambda line: 1 / 0) as line:
        line.ask("Hello")
        assert (await line.link.wait_exit()).code == 1


async def test_a_sink_that_raises_ends_the_connection_too() -> None:
    def sink(batch: list[Message]) -> None:
        raise OSError("full")

    agent = Embedded()
    for options in (Options(), Options(resume=A)):
        async with agent.connect(options, sink=sink, carrier=NoCarrier()) as link:
            link.send(ControlRequest(request_id="r", request=Initialize()))
            assert (await link.wait_exit()).code == 1


@pytest.mark.parametrize(
    ("options", "kind", "told"),
    [
        ({"resume": A, "cwd": "/x"}, SessionNotFound, f"no conversation has the session id '{A}' (cwd '/x')"),
        ({"session_id": "0" * 8}, InvalidOption, "session_id='00000000' is not a UUID"),
        ({"session_id": "KNOWN"}, SessionIdInUse, "belongs to a conversation"),
        ({"resume": "KNOWN", "resume_session_at": "x"}, InvalidOption, "resume_session_at='x': no such message there"),
    ],
)
async def test_why_it_went_away(options: dict[str, Any], kind: type[TriologueError], told: str) -> None:
    agent = Embedded(transcripts=Transcripts())
    async with connect(agent) as line:
        line.ask("Hello")
    (known,) = [message.session_id for message in line.heard if isinstance(message, ResultMessage)]
    named: dict[str, Any] = {name: known if value == "KNOWN" else value for name, value in options.items()}
    chosen = Options(**named)
    heard: list[Message] = []
    async with agent.connect(chosen, sink=heard.extend, carrier=NoCarrier()) as link:
        exit = await link.wait_exit()
    refusal = next((message for message in heard if isinstance(message, ResultMessage)), None)
    error = agent.diagnose(exit, refusal, chosen)
    assert type(error) is kind
    assert told in str(error)


@pytest.mark.parametrize(
    "options",
    [
        {},
        {"resume": A, "fork_session": True, "session_id": A, "resume_session_at": "x"},
        {"continue_conversation": True, "model": "m", "max_turns": 1, "max_budget_usd": 0.1, "cwd": "/x"},
        {"system_prompt": {"type": "preset", "append": "x"}, "include_partial_messages": True},
        {"allowed_tools": ["Bash(git:*)"], "disallowed_tools": ["Read"], "permission_mode": "plan"},
        {"verbatim_prompts": True, "stderr": print},
        {"setting_sources": [], "mcp_servers": {}, "tools": [], "agents": {}},  # set to nothing, which it has
    ],
)
def test_options_that_it_has(options: dict[str, Any]) -> None:
    Embedded().check(Options(**options))


@pytest.mark.parametrize(
    ("option", "value"),
    [
        ("cli_path", "/usr/bin/claude"),
        ("env", {"A": "b"}),
        ("extra_args", {"x": None}),
        ("settings", "{}"),
        ("mcp_servers", {"a": {}}),
        ("plugins", [{}]),
        ("betas", ["x"]),
        ("add_dirs", ["/x"]),
        ("effort", "high"),
        ("system_prompt", {"type": "file", "path": "x"}),
    ],
)
def test_options_that_it_does_not_have(option: str, value: Any) -> None:
    with pytest.raises(UnsupportedOption) as caught:
        Embedded().check(Options(**{option: value}))
    assert (caught.value.agent, caught.value.option, caught.value.value) == ("embedded", option, value)


@pytest.mark.parametrize(
    "options",
    [
        {"session_id": "x"},
        {"permission_mode": "yolo"},
        {"resume": A, "continue_conversation": True},
        {"hooks": {"Stop": [5]}},
        {"hooks": {"Stop": [HookMatcher(timeout=-1)]}},
    ],
)
def test_options_that_cannot_be(options: dict[str, Any]) -> None:
    with pytest.raises(InvalidOption):
        Embedded().check(Options(**options))


async def test_a_thousand_live_conversations_are_little_more_than_their_tasks() -> None:
    agent = Embedded(transcripts=Transcripts())
    heard: list[Message] = []
    async with trio.open_nursery() as nursery:

        async def live(*, task_status: trio.TaskStatus[Connection]) -> None:
            async with agent.connect(Options(), sink=heard.extend, carrier=NoCarrier()) as link:
                task_status.started(link)
                await trio.sleep_forever()

        links = [await nursery.start(live) for _ in range(1000)]
        for link in links:
            link.send(agent.user_frame(user_message("Say hi"), Options()))
        await wait_all_tasks_blocked()
        results = [message.result for message in heard if isinstance(message, ResultMessage)]
        nursery.cancel_scope.cancel()
    assert results == ["hi"] * 1000
