"""What `check_agent` says of agents that are whole, and of those that break their port."""

from collections.abc import AsyncGenerator
from contextlib import asynccontextmanager
from typing import Any

import pytest
import trio
from trio.testing import MockClock

import triologue as tri
from examples.agents.notes import Notes, NotesConnection
from tests.support.real_cli import open_clean_place
from triologue.engine import Transcripts
from triologue.messages import CanUseTool, ControlError, ControlSuccess
from triologue.testing import AgentBroken, Say, ScriptedAgent, check_agent


@pytest.mark.parametrize(
    "agent", [Notes(), ScriptedAgent(), tri.Embedded(transcripts=Transcripts())], ids=lambda agent: type(agent).__name__
)
async def test_an_agent_that_is_whole(agent: tri.Agent, autojump_clock: MockClock) -> None:
    if isinstance(agent, ScriptedAgent):
        agent.on("long", Say("some words", every=1))
    await check_agent(agent, prompt="Note: a", long_prompt="Wait 5 seconds", seconds=60)


@pytest.mark.slow
@pytest.mark.real_cli
async def test_claude_code_is_whole(monkeypatch: pytest.MonkeyPatch) -> None:
    async with open_clean_place() as place:
        monkeypatch.chdir(place.cwd)
        agent = tri.ClaudeCode(environ=place.env)
        options = tri.Options(include_partial_messages=True)
        await check_agent(agent, options=options, long_prompt="[[words 1000 delay 0.05]]", seconds=30)


async def test_what_is_no_agent_at_all() -> None:
    with pytest.raises(tri.InvalidOption, match="is no agent"):
        await check_agent("notes")  # type: ignore[arg-type]


class Text(Notes):
    def user_frame(self, prompt: tri.UserMessage, options: tri.Options) -> Any:
        return "text"


class Renamed(Notes):
    def user_frame(self, prompt: tri.UserMessage, options: tri.Options) -> tri.UserMessage:
        prompt.uuid = "mine"
        return prompt


class Undecided(Notes):
    def diagnose(self, exit: tri.Exit, refusal: tri.ResultMessage | None, options: tri.Options) -> Any:
        return None


class Words(Notes):
    def permission_reply(self, request: CanUseTool, result: tri.PermissionResult) -> Any:
        return "yes"


@pytest.mark.parametrize(
    ("agent", "complaint"),
    [
        (Text(), "words: user_frame() gave 'text', and no UserMessage"),
        (Renamed(), "words: user_frame() changed the prompt's uuid to 'mine'"),
        (Undecided(), "words: diagnose() gave None, and no TriologueError"),
        (Words(), "words: permission_reply() gave 'yes', and no dict"),
    ],
)
async def test_what_an_agent_says_of_itself(agent: tri.Agent, complaint: str) -> None:
    with pytest.raises(AgentBroken) as broken:
        await check_agent(agent)
    assert broken.value.complaints[0] == complaint
    assert str(broken.value).startswith(f"the agent 'notes' does not do what every agent must:\n- {complaint}")


class Speaking(NotesConnection):
    """What it says goes through `say`, a list at a time."""

    def _say(self, message: tri.Message) -> None:
        self._sink(self.say(message))

    def say(self, message: tri.Message) -> Any:
        return [message]


class OneByOne(Speaking):
    def say(self, message: tri.Message) -> Any:
        return message


class Twice(Speaking):
    def say(self, message: tri.Message) -> Any:
        return [message, message] if isinstance(message, tri.ResultMessage) else [message]


class Unfinished(Speaking):
    def say(self, message: tri.Message) -> Any:
        return [] if isinstance(message, tri.ResultMessage) else [message]


class Silent(Speaking):
    def _answer(self, answer: ControlSuccess | ControlError) -> None:
        pass


class Eager(Speaking):
    def _answer(self, answer: ControlSuccess | ControlError) -> None:
        super()._answer(answer)
        super()._answer(answer)


class Staying(Speaking):
    def stop(self, *, eof: bool) -> None:
        if not eof:
            super().stop(eof=False)


class Deaf(Speaking):
    def send(self, message: tri.Message) -> None:
        self._post.send_nowait(message)


class Late(Speaking):
    async def run(self) -> None:
        await super().run()
        await trio.sleep(1)
        self._say(tri.InitMessage(subtype="init", session_id="late"))


class Threaded(Speaking):
    def _say(self, message: tri.Message) -> None:
        self._nursery.start_soon(trio.to_thread.run_sync, self._sink, [message])

    async def run(self) -> None:
        async with trio.open_nursery() as self._nursery:
            await super().run()


class Forgetful(Speaking):
    async def run(self) -> None:
        self._session_id = "always the same"
        await super().run()


class Crashing(Speaking):
    async def _play(self, prompt: tri.UserMessage, scope: trio.CancelScope) -> None:
        raise trio.BusyResourceError("no time")


class Trusting(Speaking):
    async def run(self) -> None:
        self._kept.setdefault(self._session_id, [])
        await super().run()


class Other(Notes):
    def __init__(self, connection: type[Speaking]) -> None:
        super().__init__()
        self._connection = connection

    @asynccontextmanager
    async def connect(
        self, options: tri.Options, *, sink: tri.Sink, carrier: tri.Carrier
    ) -> AsyncGenerator[tri.Connection]:
        connection = self._connection(self.kept, options, sink)
        async with trio.open_nursery() as nursery:
            nursery.start_soon(connection.run)
            try:
                yield connection
            finally:
                connection.stop(eof=False)


@pytest.mark.parametrize(
    ("connection", "complaint"),
    [
        (OneByOne, "a conversation: it gave the sink ControlResponse, and no list of messages"),
        (Twice, "a conversation: two prompts had 4 results"),
        (Unfinished, "a conversation: a prompt had no result within 60 seconds"),
        (Silent, "a conversation: it did not answer Initialize within 60 seconds"),
        (Eager, "a conversation: it answered the request 'check_1' twice"),
        (Staying, "a conversation: wait_exit() did not return within 60 seconds after the end of its input"),
        (Deaf, "a conversation: it raised ClosedResourceError()"),
        (Late, "a conversation: it said ['InitMessage'] after it was gone"),
        (Threaded, "a conversation: it called the sink from another thread; trio.from_thread.run_sync(sink, batch) does it"),
        (Forgetful, "resumed: its results, with session_id and then with resume, are of the session ids ['always the same', 'always the same']"),
        (Trusting, "resumed what is not there: wait_exit() did not return within 60 seconds after its start, with a conversation to resume that nobody has"),
        (Crashing, "a conversation: it raised BusyResourceError('no time')"),
    ],
)  # fmt: skip
async def test_what_an_agent_does_on_a_connection(
    connection: type[Speaking], complaint: str, autojump_clock: MockClock
) -> None:
    if connection is Threaded:
        autojump_clock.autojump_threshold, autojump_clock.rate = 0.2, 0.0
    with pytest.raises(AgentBroken) as broken:
        await check_agent(Other(connection), seconds=60)
    assert complaint in broken.value.complaints


class Swallowing(Notes):
    @asynccontextmanager
    async def connect(
        self, options: tri.Options, *, sink: tri.Sink, carrier: tri.Carrier
    ) -> AsyncGenerator[tri.Connection]:
        with trio.CancelScope() as scope:
            try:
                async with super().connect(options, sink=sink, carrier=carrier) as connection:
                    yield connection
            except BaseException:  # noqa: BLE001 - what nobody should do
                scope.cancel()


async def test_an_agent_that_hides_how_its_block_was_left(autojump_clock: MockClock) -> None:
    with pytest.raises(AgentBroken) as broken:
        await check_agent(Swallowing())
    assert broken.value.complaints == [
        "left in a turn: connect() swallowed what was raised in its block",
        "cancelled in a turn: connect() swallowed the cancellation of its block",
    ]


class Empty(Notes):
    @asynccontextmanager
    async def connect(self, options: tri.Options, *, sink: tri.Sink, carrier: tri.Carrier) -> AsyncGenerator[Any]:
        yield


async def test_a_connection_that_is_none() -> None:
    with pytest.raises(AgentBroken) as broken:
        await check_agent(Empty())
    complaint = "a conversation: connect() gave None, which lacks pid, send, wait_exit, stop"
    assert broken.value.complaints == [complaint]


class Lingering(Notes):
    @asynccontextmanager
    async def connect(
        self, options: tri.Options, *, sink: tri.Sink, carrier: tri.Carrier
    ) -> AsyncGenerator[tri.Connection]:
        async with super().connect(options, sink=sink, carrier=carrier) as connection:
            try:
                yield connection
            finally:
                with trio.CancelScope(shield=True):
                    await trio.sleep(61)


async def test_an_agent_that_shields_what_it_does_as_it_leaves_is_too_slow_all_the_same(
    autojump_clock: MockClock,
) -> None:
    with pytest.raises(AgentBroken) as broken:
        await check_agent(Lingering(), seconds=60)
    assert broken.value.complaints == ["a conversation: connect() was not entered, or not left, within 60 seconds"]
