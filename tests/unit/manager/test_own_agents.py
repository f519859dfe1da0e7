"""Agents of one's own, that do what the ones here do not."""

from collections.abc import AsyncGenerator
from contextlib import AbstractAsyncContextManager, asynccontextmanager
from types import MappingProxyType
from typing import Any

import pytest
import trio
from trio.testing import MockClock, wait_all_tasks_blocked

import triologue as tri
from tests.support.at_once import AtOnce, AtOnceConnection
from tests.support.frames import init, refusal, result, success
from tests.support.other_agent import OtherAgent
from triologue.engine import Transcripts
from triologue.messages import ControlRequest, Initialize, Interrupt, StateChanged, TurnEnded


class Introduced(AtOnceConnection):
    """It says who it is, and knows no request; with a code for that, or without."""

    def __init__(self, sink: tri.Sink, code: str | None) -> None:
        super().__init__(sink)
        self._code = code

    def send(self, message: tri.Message) -> None:
        match message:
            case ControlRequest(request_id=id, request=Initialize()):
                self._sink([success(id, {"output_style": "terse"})])
            case ControlRequest(request_id=id):
                self._sink([refusal(id, "not known", self._code)])
            case _:
                super().send(message)


class FromThread(AtOnceConnection):
    """It works in a thread, and speaks from there."""

    def __init__(self, sink: tri.Sink, nursery: trio.Nursery, refused: list[str]) -> None:
        super().__init__(sink)
        self._nursery, self._refused = nursery, refused

    def send(self, message: tri.Message) -> None:
        if isinstance(message, tri.UserMessage) and message.content == "wrong":
            self._nursery.start_soon(trio.to_thread.run_sync, self._speak)
        else:
            super().send(message)

    def _speak(self) -> None:
        try:
            self._sink([init(), result(result="unheard")])
        except RuntimeError as error:
            self._refused.append(str(error))
        trio.from_thread.run_sync(self._sink, [init(), result(result="heard")])


class Speechless(AtOnce):
    """It goes away at the first prompt, and has nothing to say of that."""

    @asynccontextmanager
    async def connect(
        self, options: tri.Options, *, sink: tri.Sink, carrier: tri.Carrier
    ) -> AsyncGenerator[tri.Connection]:
        yield GoneAtThePrompt(sink)

    def diagnose(self, exit: tri.Exit, refusal: tri.ResultMessage | None, options: tri.Options) -> Any:
        return None


class GoneAtThePrompt(AtOnceConnection):
    def send(self, message: tri.Message) -> None:
        if isinstance(message, tri.UserMessage):
            self.stop(eof=True)
        else:
            super().send(message)

    async def wait_exit(self) -> tri.Exit:
        await self._gone.wait()
        return tri.Exit(code=3, stderr_tail="out of ideas")


async def test_of_an_agent_that_cannot_say_why_it_went_is_told_what_is_known() -> None:
    async with tri.open_manager(Speechless()) as manager:
        outcome = await (await manager.session("k").send("hello")).wait()
    assert isinstance(outcome.error, tri.TurnFailed)
    crash = outcome.error.__cause__
    assert isinstance(crash, tri.AgentCrashed)
    told = "embedded went away, and its diagnose() gave None, which is no TriologueError"
    assert str(crash) == f"{told}; its stderr ends with: out of ideas"
    assert (crash.exit_code, crash.stderr_tail) == (3, "out of ideas")


async def test_an_agent_that_speaks_from_a_thread_is_told_how_and_harms_nobody() -> None:
    refused: list[str] = []

    class Threaded(AtOnce):
        @asynccontextmanager
        async def connect(
            self, options: tri.Options, *, sink: tri.Sink, carrier: tri.Carrier
        ) -> AsyncGenerator[tri.Connection]:
            async with trio.open_nursery() as nursery:
                yield FromThread(sink, nursery, refused)

    async with tri.open_manager(Threaded()) as manager:
        assert (await manager.session("k").ask("wrong")).result == "heard"
    told = "an agent's sink was called from another thread, which cannot be heard; call it there by "
    assert refused == [told + "trio.from_thread.run_sync(sink, batch)"]


async def test_what_an_agent_says_within_send_comes_after_what_it_answers() -> None:
    async with tri.open_manager(AtOnce(), options=tri.Options(include_partial_messages=True)) as manager:
        session = manager.session("k")
        async with session.subscribe(after=0) as events:
            async with session.turn("now") as turn:
                assert "".join([tri.text(message) async for message in turn]) == "so be it"
            waiting = await session.send("wait")
            assert session.state == "running"
            assert (await session.interrupt(), (await waiting.wait()).kind) == ("stopped", "interrupted")
            assert (await session.ask("again")).result == "so be it"
            told: list[str] = []
            async for event in events:
                match event.message:
                    case StateChanged(state=state):
                        told.append(state)
                    case TurnEnded(outcome=outcome):
                        told.append(outcome.kind)
                    case _:
                        pass
                if told.count("idle") == 3:
                    break
    one = ["running", "answered", "idle"]
    assert told == ["starting", *one, "running", "interrupting", "interrupted", "idle", *one]


class Refusing(AtOnceConnection):
    """It takes no prompt."""

    def send(self, message: tri.Message) -> None:
        if isinstance(message, tri.UserMessage):
            raise tri.AgentProtocolError("it does not read its input")
        super().send(message)


@pytest.mark.parametrize("store", [None, tri.MemoryStore()])
async def test_a_send_that_fails_is_no_fault_of_the_store(store: tri.SessionStore | None) -> None:
    class Full(AtOnce):
        @asynccontextmanager
        async def connect(
            self, options: tri.Options, *, sink: tri.Sink, carrier: tri.Carrier
        ) -> AsyncGenerator[tri.Connection]:
            yield Refusing(sink)

    async with tri.open_manager(Full(), store=store) as manager:
        for _ in range(2):
            outcome = await (await manager.session("k").send("one")).wait()
            assert (outcome.kind, outcome.reason) == ("failed", "AgentCrashed")
            assert "does not read its input" in str(outcome.error)


class Staying(AtOnceConnection):
    """It does not go when it is told to."""

    def stop(self, *, eof: bool) -> None:
        pass


async def test_an_agent_that_does_not_go_is_left(autojump_clock: MockClock) -> None:
    left: list[float] = []

    class Stubborn(AtOnce):
        @asynccontextmanager
        async def connect(
            self, options: tri.Options, *, sink: tri.Sink, carrier: tri.Carrier
        ) -> AsyncGenerator[tri.Connection]:
            try:
                yield Staying(sink)
            finally:
                left.append(trio.current_time())

    async with tri.open_manager(Stubborn(), deadlines=tri.Deadlines(close=3)) as manager:
        session = manager.session("k")
        await session.ask("one")
        begun = trio.current_time()
        await session.hibernate()
        assert (session.state, trio.current_time() - begun) == ("hibernated", 6)
        assert (await session.ask("two")).result == "so be it"
        await session.close()
    assert [at - begun for at in left] == [6, 12]


class Forgetful(OtherAgent):
    """It goes on with no conversation."""

    def __init__(self) -> None:
        self._embedded = tri.Embedded(transcripts=Transcripts())
        super().__init__(self._embedded)

    def check(self, options: tri.Options) -> None:
        if options.resume is not None:
            raise tri.UnsupportedOption(self.name, "resume", options.resume)

    def connect(
        self, options: tri.Options, *, sink: tri.Sink, carrier: tri.Carrier
    ) -> AbstractAsyncContextManager[tri.Connection]:
        return self._embedded.connect(options, sink=sink, carrier=carrier)


async def test_an_agent_that_cannot_resume_does_not_begin_anew_unasked() -> None:
    async with tri.open_manager(Forgetful()) as manager:
        session = manager.session("k")
        await session.ask("Remember: I like tea")
        await session.hibernate()
        with pytest.raises(tri.TurnFailed) as failed:
            await session.ask("What do I like?")
        assert str(failed.value.__cause__) == (
            f"no conversation has the session id {session.session_id!r}: embedded has no option 'resume', so it cannot "
            "go on with any; start afresh by leaving `resume` out, or under a manager's key by `session.reset()`"
        )
        outcomes = [session.resume_outcome]
        fresh = manager.session("k", on_missing="fresh")
        assert (await fresh.ask("What do I like?")).result == "You have not told me that yet."
        assert [*outcomes, session.resume_outcome] == ["missing", "fresh"]


@pytest.mark.parametrize("code", ["unsupported_request", None])
async def test_an_agent_that_sleeps_is_started_for_what_it_tells_of_itself(code: str | None) -> None:
    class Few(AtOnce):
        requests = MappingProxyType({Interrupt: None})

        @asynccontextmanager
        async def connect(
            self, options: tri.Options, *, sink: tri.Sink, carrier: tri.Carrier
        ) -> AsyncGenerator[tri.Connection]:
            yield Introduced(sink, code)

    async with tri.open_manager(Few()) as manager:
        session = manager.session("k")
        info = await session.get_server_info()
        assert (info.data, session.state) == ({"output_style": "terse"}, "idle")


class Silent(AtOnceConnection):
    """It says nothing to a prompt."""

    def send(self, message: tri.Message) -> None:
        if not isinstance(message, tri.UserMessage):
            super().send(message)


async def test_an_agent_that_answers_the_handshake_at_once_has_started() -> None:
    class Quiet(AtOnce):
        @asynccontextmanager
        async def connect(
            self, options: tri.Options, *, sink: tri.Sink, carrier: tri.Carrier
        ) -> AsyncGenerator[tri.Connection]:
            yield Silent(sink)

    async with tri.open_manager(Quiet()) as manager:
        session = manager.session("k")
        await session.send("one")
        await wait_all_tasks_blocked()
        assert (session.state, session.resume_outcome) == ("running", "fresh")
        await session.interrupt()


class Nowhere(Forgetful):
    """It knows no folder either."""

    def check(self, options: tri.Options) -> None:
        if options.cwd is not None:
            raise tri.UnsupportedOption(self.name, "cwd", options.cwd)
        super().check(options)


async def test_an_agent_that_has_no_folder_is_given_none_by_a_store() -> None:
    async with tri.open_manager(Nowhere(), store=tri.MemoryStore()) as manager:
        session = manager.session("k")
        await session.ask("Remember: I like tea")
        await session.hibernate()
        await session.set_model("other")
        with pytest.raises(tri.TurnFailed, match="has no option 'resume'"):
            await session.ask("What do I like?")
