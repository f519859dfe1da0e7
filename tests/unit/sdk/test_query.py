"""`query()`: what its loop gives, how it ends, and what is left of it afterwards."""

import gc
import sys
import traceback
import warnings
from collections.abc import AsyncGenerator, AsyncIterator
from functools import partial
from pathlib import Path
from typing import Any, final
from uuid import uuid4

import pytest
import trio
from trio.testing import MockClock, wait_all_tasks_blocked

import triologue as tri
from tests.support.at_once import AtOnce
from tests.support.frames import result
from triologue.actors import Home, Log
from triologue.engine import Transcripts
from triologue.messages import user_message
from triologue.sdk.feed import PROMPTS_AHEAD
from triologue.sdk.heard import Background, Heard
from triologue.testing import Crash, Say, ScriptedAgent, StartHangs, Step, with_faults

LONG = "Wait 60 seconds"


@pytest.fixture
def agent() -> tri.Embedded:
    return tri.Embedded(transcripts=Transcripts())


async def replies(query: tri.Query) -> list[str | None]:
    return [message.result async for message in query if isinstance(message, tri.ResultMessage)]


async def started(query: tri.Query) -> None:
    """Read until the agent is at work."""
    async for message in query:
        if isinstance(message, tri.InitMessage):
            return


# What the loop gives.


async def test_it_ends_after_the_result(agent: tri.Embedded) -> None:
    messages = [message async for message in tri.query("Remember: I like Python", agent=agent)]
    spoken = [message for message in messages if isinstance(message, tri.AssistantMessage | tri.ResultMessage)]
    assert [type(message) for message in spoken] == [tri.AssistantMessage, tri.ResultMessage]
    assert tri.text(spoken[0]) == "I will remember that you like Python."


async def test_it_gives_nothing_more_after_its_end(agent: tri.Embedded) -> None:
    query = tri.query("Hello", agent=agent)
    assert len(await replies(query)) == 1
    assert await replies(query) == []


@pytest.mark.parametrize(
    "prompt",
    [
        "Say hello",
        [tri.TextBlock(text="Say hello")],
        {"type": "user", "message": {"role": "user", "content": "Say hello"}},
        user_message("Say hello"),
    ],
    ids=["text", "blocks", "frame", "message"],
)
async def test_a_prompt_has_four_forms(agent: tri.Embedded, prompt: tri.Prompt) -> None:
    assert await replies(tri.query(prompt, agent=agent)) == ["hello"]


async def test_a_stream_is_one_conversation_and_ends_after_its_last_result(
    agent: tri.Embedded, autojump_clock: MockClock
) -> None:
    async def prompts() -> AsyncIterator[str]:
        yield "Remember: I like trio"
        await trio.sleep(100)
        yield "What do I like?"
        await trio.sleep(100)

    assert await replies(tri.query(prompts(), agent=agent)) == ["I will remember that you like trio.", "You like trio."]
    assert trio.current_time() >= 200


async def test_an_iterable_need_not_be_a_generator(agent: tri.Embedded) -> None:
    send, receive = trio.open_memory_channel[tri.Prompt](2)
    await send.send("Say one")
    await send.send("Say two")
    send.close()
    assert await replies(tri.query(receive, agent=agent)) == ["one", "two"]


async def test_an_empty_stream_ends_at_once(agent: tri.Embedded) -> None:
    async def nothing() -> AsyncIterator[str]:
        return
        yield

    assert [message async for message in tri.query(nothing(), agent=agent)] == []


async def test_input_that_is_faster_than_its_replies_is_held_back(agent: tri.Embedded) -> None:
    count = 3 * tri.Limits().mailbox
    ahead, most_ahead = 0, 0

    async def prompts() -> AsyncIterator[str]:
        nonlocal ahead, most_ahead
        for number in range(count):
            ahead += 1
            most_ahead = max(most_ahead, ahead)
            yield f"Say {number}"

    heard = []
    async for message in tri.query(prompts(), agent=agent):
        if isinstance(message, tri.ResultMessage):
            ahead -= 1
            heard.append(message.result)
    assert heard == [str(number) for number in range(count)]
    assert most_ahead < tri.Limits().mailbox


async def test_what_the_iterable_raises_is_raised_from_the_loop_after_the_replies(agent: tri.Embedded) -> None:
    async def prompts() -> AsyncIterator[str]:
        yield "Say one"
        raise ZeroDivisionError("mine")

    heard = []
    with pytest.raises(ZeroDivisionError, match="mine"):
        async for message in tri.query(prompts(), agent=agent):
            if isinstance(message, tri.ResultMessage):
                heard.append(message.result)  # noqa: PERF401 - what was heard before the error counts
    assert heard == ["one"]


def test_an_iterable_may_end_the_program(agent: tri.Embedded) -> None:
    """`sys.exit()` where it reads what a person types; it was taken for a bug of trio."""

    async def prompts() -> AsyncIterator[str]:
        yield "Say one"
        sys.exit(3)

    async def program(*, is_client: bool) -> None:
        if is_client:
            async with tri.Client(agent=agent) as client:
                client.feed(prompts())
                _ = [message async for message in client.receive_messages()]
        await replies(tri.query(prompts(), agent=agent))

    for is_client in (False, True):
        with pytest.raises(SystemExit) as caught:
            trio.run(partial(program, is_client=is_client))
        assert caught.value.code == 3


def test_an_iterable_may_end_the_program_from_a_nursery_of_its_own(agent: tri.Embedded) -> None:
    async def type_in() -> None:
        sys.exit(3)

    async def prompts() -> AsyncIterator[str]:
        yield "Say one"
        async with trio.open_nursery() as nursery:
            nursery.start_soon(trio.sleep_forever)
            nursery.start_soon(type_in)

    async def program() -> None:
        with pytest.raises(BaseExceptionGroup) as caught:
            await replies(tri.query(prompts(), agent=agent))
        assert repr(caught.value.exceptions) == "(SystemExit(3),)"
        async with tri.Client(agent=agent) as client:
            client.feed(prompts())
            _ = [message async for message in client.receive_messages()]

    with pytest.raises(BaseExceptionGroup) as caught:
        trio.run(program)
    assert caught.value.subgroup(SystemExit) is not None


async def test_what_the_iterable_raises_first_is_raised_too(agent: tri.Embedded) -> None:
    async def prompts() -> AsyncIterator[str]:
        for number in (0,):
            yield f"Say {1 // number}"

    with pytest.raises(ZeroDivisionError):
        await replies(tri.query(prompts(), agent=agent))


async def test_an_error_result_is_a_message_like_any_other(agent: tri.Embedded) -> None:
    async def prompts() -> AsyncIterator[str]:
        yield "Fail with 529: overloaded"
        yield "Say still here"

    results = [m async for m in tri.query(prompts(), agent=agent) if isinstance(m, tri.ResultMessage)]
    assert [(result.is_error, result.subtype) for result in results] == [(True, "success"), (False, "success")]
    assert results[0].result == "API Error: 529 overloaded"
    assert results[1].result == "still here"


async def test_an_agent_that_hangs_at_its_start_did_not_start(autojump_clock: MockClock) -> None:
    with pytest.raises(tri.AgentStartError, match=r"did not answer the handshake within Deadlines\.start"):
        await replies(tri.query("Hello", agent=with_faults(ScriptedAgent(), StartHangs(1))))


async def test_what_has_no_result_is_raised(agent: tri.Embedded, tmp_path: Path) -> None:
    gone = str(uuid4())
    with pytest.raises(tri.SessionNotFound) as missing:
        await replies(tri.query("Hello", agent=agent, options=tri.Options(resume=gone, cwd=tmp_path)))
    assert (missing.value.session_id, missing.value.cwd) == (gone, str(tmp_path))

    with pytest.raises(tri.AgentNotFound, match="nowhere") as caught:
        await replies(tri.query("Hello", agent=tri.ClaudeCode(), options=tri.Options(cli_path=tmp_path / "nowhere")))
    # What a user sees at the terminal is where they asked, and not how the agent was looked for.
    folders = [Path(frame.filename).parent.name for frame in traceback.extract_tb(caught.value.__traceback__)]
    assert folders == ["sdk"] * len(folders)


async def test_a_stream_whose_agent_is_missing_raises_and_is_closed(tmp_path: Path) -> None:
    is_closed = False

    async def prompts() -> AsyncIterator[str]:
        nonlocal is_closed
        try:
            yield "Hello"
            await trio.sleep_forever()
        finally:
            is_closed = True

    with pytest.raises(tri.AgentNotFound):
        await replies(tri.query(prompts(), agent=tri.ClaudeCode(), options=tri.Options(cli_path=tmp_path / "nowhere")))
    assert is_closed


def test_options_that_cannot_be_are_refused_at_the_call(agent: tri.Embedded) -> None:
    with pytest.raises(tri.InvalidOption):
        tri.query("Hello", agent=agent, options=tri.Options(resume="a", continue_conversation=True))
    with pytest.raises(tri.UnsupportedOption):
        tri.query("Hello", agent=agent, options=tri.Options(cli_path="/bin/true"))


async def test_a_prompt_that_cannot_be_is_raised_from_the_loop(agent: tri.Embedded) -> None:
    cannot_be: list[Any] = [[], {}, None]
    for prompt in cannot_be:
        with pytest.raises(tri.InvalidOption):
            await replies(tri.query(prompt, agent=agent))


async def test_options_may_change_after_the_call(agent: tri.Embedded) -> None:
    options = tri.Options(model="first", disallowed_tools=["a"])
    query = tri.query("Which model are you?", agent=agent, options=options)
    options.model, options.resume = "second", str(uuid4())
    options.disallowed_tools.append("b")
    assert await replies(query) == ["I am first."]


async def test_its_session_id_is_the_agents(agent: tri.Embedded) -> None:
    query = tri.query("Hello", agent=agent)
    assert query.session_id is None
    ids = {m.session_id async for m in query if isinstance(m, tri.InitMessage | tri.ResultMessage)}
    assert ids == {query.session_id}


async def test_partial_messages_come_where_they_are_asked_for(agent: tri.Embedded) -> None:
    options = tri.Options(include_partial_messages=True)
    messages = [message async for message in tri.query("Count to 20", agent=agent, options=options)]
    pieces = "".join(tri.text(message) for message in messages if isinstance(message, tri.StreamEvent))
    assert pieces == " ".join(map(str, range(1, 21)))


async def test_a_hundred_at_once(agent: tri.Embedded) -> None:
    heard: dict[int, list[str | None]] = {}

    async def ask(number: int) -> None:
        heard[number] = await replies(tri.query(f"Say {number}", agent=agent))

    async with trio.open_nursery() as nursery:
        for number in range(100):
            nursery.start_soon(ask, number)
    assert heard == {number: [str(number)] for number in range(100)}


async def test_a_reader_who_is_far_too_slow_misses_nothing(autojump_clock: MockClock) -> None:
    async def look() -> str:
        return "nothing"

    async def read(*, slow: bool) -> list[tuple[type[tri.Message], str]]:
        messages = []
        async for message in tri.query("Use the tool look 600 times", agent=tri.Embedded(tools=[look])):
            messages.append((type(message), tri.text(message)))
            if slow and len(messages) == 1:
                await trio.sleep(1000)
        return messages

    assert await read(slow=True) == await read(slow=False)


@final
class Said:
    """What a session says, and the turns whose ends are still to be told."""

    def __init__(self, **outcomes: tri.Outcome) -> None:
        self.log = Log(100, 100_000, 100_000)
        self.reader = self.log.open(0)
        self.untold = [self._turn(id, outcome) for id, outcome in outcomes.items()]
        self.told: list[str] = []

    def _turn(self, id: str, outcome: tri.Outcome) -> tri.Turn:
        turn = tri.Turn(id, {}, self.log, None, home=Home("k"), withdraw=lambda _: None, position=lambda _: None)
        turn.settle(outcome)
        return turn

    def _note_told(self, turn_id: str) -> None:
        self.told.append(turn_id)
        self.untold = [turn for turn in self.untold if turn.id != turn_id]

    async def heard(self, *said: tuple[str, tri.Message] | None) -> list[tri.Message]:
        """What is given of it; None is a gap."""
        heard = Heard(self.reader, frozenset(), lambda: self.untold, self._note_told, Background())
        for each in said:
            if each is None:
                self.log.skip_to(self.log.last + 9)
            else:
                self.log.publish(each[0], [each[1]])
        await heard.hear()
        return list(iter(heard.next, None))


def answered(result: tri.ResultMessage) -> tri.Outcome:
    return tri.Outcome(kind="answered", result=result)


GAP = tri.Gap(first=1, last=9)


async def test_a_slow_reader_who_misses_a_result_gets_it_when_its_turn_ends() -> None:
    """One that is longer than `Limits.held_bytes`; whoever reads until it comes would wait for ever."""
    own, copied, other = result(uuid="u"), result(uuid="u"), result(uuid="of another turn")
    end = ("turn", tri.TurnEnded(outcome=answered(own)))
    for came, given in (
        ([None, end], [GAP, own]),
        ([None, ("turn", own), end], [GAP, own]),
        ([None, ("turn", copied), end], [GAP, copied]),
        ([None, ("else", other), end], [GAP, other, own]),
        ([("turn", own), end], [own]),
    ):
        said = Said(turn=answered(own))
        assert await said.heard(*came) == given
        assert "turn" in said.told


async def test_a_slow_reader_gets_what_ended_in_a_gap_before_what_came_behind_it() -> None:
    """Also of an agent whose results have no uuid, and what came before the gap not again."""
    a, b = result(result="a"), result(result="b")
    end = ("b", tri.TurnEnded(outcome=answered(b)))
    for came, given in (
        ([None, ("b", b), end], [GAP, a, b]),
        ([None, end], [GAP, a, b]),
        ([None], [GAP, a, b]),
        ([("a", a), None, ("b", b), end], [a, tri.Gap(first=2, last=10), b]),
        ([("a", a), None, end], [a, tri.Gap(first=2, last=10), b]),
    ):
        said = Said(a=answered(a), b=answered(b))
        assert await said.heard(*came) == given
        assert list(dict.fromkeys(said.told)) == ["a", "b"]


LONG_RESULT = "x" * (5 * 1024 * 1024)
"""Longer than what is kept for a reader that is behind."""


async def asked_by_a_sleeper(*prompts: str, agent: ScriptedAgent) -> AsyncIterator[str]:
    """The first letters of the results that a reader gets who reads one message and sleeps until all have ended."""
    options = tri.Options(include_partial_messages=True)

    async def stream() -> AsyncIterator[str]:
        for prompt in prompts:
            yield prompt

    async with tri.query(stream(), agent=agent, options=options) as query:
        await anext(query)
        await trio.sleep(1000)
        async for message in query:
            if isinstance(message, tri.ResultMessage):
                yield (message.result or "")[:1]


def long_replies(prompt: str) -> list[Step]:
    if prompt == "die":
        return [Crash(3)]
    return [Say(" ".join(200 * "w")), Say(f"{prompt} {LONG_RESULT}" if prompt in "abc" else prompt)]


async def test_a_reader_that_sleeps_gets_each_result_once(autojump_clock: MockClock) -> None:
    """Also where the ends of several turns are in one gap."""
    agent = ScriptedAgent(long_replies, max_message_bytes=64 * 1024 * 1024)
    given = [result async for result in asked_by_a_sleeper("a", "b", "c", "d", agent=agent)]
    assert given == ["a", "b", "c", "d"]


async def test_a_reader_that_sleeps_hears_of_an_error_where_it_happened(autojump_clock: MockClock) -> None:
    agent = ScriptedAgent(long_replies, max_message_bytes=64 * 1024 * 1024)
    given = []
    with pytest.raises(tri.AgentCrashed):
        async for result in asked_by_a_sleeper("a", "die", "c", "d", agent=agent):
            given.append(result)  # noqa: PERF401 - what was heard before the error counts
    assert given == ["a"]


async def test_a_reader_that_sleeps_holds_its_input_back(agent: tri.Embedded, autojump_clock: MockClock) -> None:
    """What has ended is kept for it, which has to have a bound."""
    asked: list[int] = []

    async def prompts() -> AsyncIterator[str]:
        for number in range(50):
            asked.append(number)
            yield f"Say {number}"

    async with tri.query(prompts(), agent=agent) as query:
        await anext(query)
        await trio.sleep(1000)
        assert len(asked) == PROMPTS_AHEAD + 1
        assert await replies(query) == [str(number) for number in range(50)]


async def test_who_reads_a_result_before_its_prompt_is_known_to_be_accepted_gets_it_once() -> None:
    """And the loop ends: such an agent answers at once, and which task runs first then is by chance."""
    for _ in range(10):
        heard: list[str | None] = []
        asks = trio.Semaphore(1)

        async def prompts(asks: trio.Semaphore = asks) -> AsyncIterator[str]:
            for number in range(5):
                await asks.acquire()
                yield f"Say {number}"

        with trio.fail_after(5):
            async for message in tri.query(prompts(), agent=AtOnce()):
                if isinstance(message, tri.ResultMessage):
                    heard.append(message.result)
                    asks.release()
        assert heard == ["so be it"] * 5


async def test_tasks_that_share_a_query_get_each_result_once(agent: tri.Embedded) -> None:
    heard: list[str | None] = []

    async def prompts() -> AsyncIterator[str]:
        for number in range(30):
            yield f"Say {number}"

    async def read(query: tri.Query) -> None:
        async for message in query:
            if isinstance(message, tri.ResultMessage):
                heard.append(message.result)
            await trio.lowlevel.checkpoint()

    async with tri.query(prompts(), agent=agent) as query, trio.open_nursery() as nursery:
        nursery.start_soon(read, query)
        nursery.start_soon(read, query)
    assert heard == [str(number) for number in range(30)]


# Interrupting it.


async def test_an_interrupt_ends_the_turn_and_the_stream_goes_on(
    agent: tri.Embedded, autojump_clock: MockClock
) -> None:
    async def prompts() -> AsyncIterator[str]:
        yield LONG
        yield "Say next"

    results: list[tuple[str, str | None]] = []
    async with tri.query(prompts(), agent=agent) as query:
        assert await query.interrupt() == "nothing_running"
        async for message in query:
            if isinstance(message, tri.InitMessage) and not results:
                assert await query.interrupt() == "stopped"
            elif isinstance(message, tri.ResultMessage):
                results.append((message.subtype, message.result))
    assert results == [("error_during_execution", None), ("success", "next")]
    assert trio.current_time() < 60


async def test_an_abort_event_interrupts_what_runs(agent: tri.Embedded, autojump_clock: MockClock) -> None:
    stop = trio.Event()
    results = []
    async for message in tri.query(LONG, agent=agent, options=tri.Options(abort_event=stop)):
        if isinstance(message, tri.InitMessage):
            stop.set()
        elif isinstance(message, tri.ResultMessage):
            results.append(message.subtype)
    assert results == ["error_during_execution"]
    assert trio.current_time() < 60


# Closing it.


async def test_closing_it_from_another_task_ends_the_loop_and_the_input(agent: tri.Embedded) -> None:
    is_closed = False

    async def prompts() -> AsyncIterator[str]:
        nonlocal is_closed
        try:
            yield "Say one"
            await trio.sleep_forever()
        finally:
            is_closed = True

    heard = []
    async with trio.open_nursery() as nursery:
        query = tri.query(prompts(), agent=agent)
        async for message in query:
            if isinstance(message, tri.ResultMessage):
                heard.append(message.result)
                nursery.start_soon(query.aclose)
    assert heard == ["one"]
    assert is_closed


async def test_closing_it_closes_a_generator_that_waits_to_be_asked(agent: tri.Embedded) -> None:
    """One that is suspended at a `yield`: were it dropped, trio would warn of it."""
    is_closed = False

    async def prompts() -> AsyncIterator[str]:
        nonlocal is_closed
        try:
            while True:
                yield LONG
        finally:
            is_closed = True

    async with tri.query(prompts(), agent=agent) as query:
        await started(query)
        await wait_all_tasks_blocked()
    assert is_closed


async def test_the_input_may_close_its_own_query(agent: tri.Embedded) -> None:
    async def prompts() -> AsyncIterator[str]:
        yield "Say one"
        await query.aclose()
        yield "Say two"

    query = tri.query(prompts(), agent=agent)
    with trio.fail_after(5):
        assert "two" not in await replies(query)


async def test_whoever_closes_it_waits_until_it_is_gone(agent: tri.Embedded) -> None:
    gone = []

    async def close(query: tri.Query) -> None:
        await query.aclose()
        gone.append(query.session_id)

    async with tri.query(LONG, agent=agent) as query:
        await started(query)
        async with trio.open_nursery() as nursery:
            for _ in range(3):
                nursery.start_soon(close, query)
    assert gone == [query.session_id] * 3
    assert await query.interrupt() == "nothing_running"


async def test_it_can_be_closed_before_it_has_begun(agent: tri.Embedded) -> None:
    query = tri.query("Hello", agent=agent)
    await query.aclose()
    assert await replies(query) == []


async def test_it_can_be_closed_while_it_begins(agent: tri.Embedded) -> None:
    query = tri.query("Hello", agent=agent)
    heard: list[str | None] = ["unset"]

    async def read() -> None:
        heard[:] = await replies(query)

    async with trio.open_nursery() as nursery:
        nursery.start_soon(read)
        nursery.start_soon(query.aclose)
    assert heard == []


async def test_it_can_be_cancelled_and_read_on(agent: tri.Embedded, autojump_clock: MockClock) -> None:
    async with tri.query("Wait 5 seconds", agent=agent) as query:
        with trio.move_on_after(1) as scope:
            await replies(query)
        assert scope.cancelled_caught
        assert await replies(query) == ["I waited 5 seconds."]


async def test_a_time_out_around_the_loop_is_a_time_out(agent: tri.Embedded, autojump_clock: MockClock) -> None:
    with pytest.raises(trio.TooSlowError):
        with trio.fail_after(1):
            async with tri.query(LONG, agent=agent) as query:
                await replies(query)
    assert await query.interrupt() == "nothing_running"
    assert trio.current_time() < 60


async def test_an_exception_in_the_loop_comes_out_as_it_is(agent: tri.Embedded) -> None:
    with pytest.raises(ZeroDivisionError):
        async with tri.query("Hello", agent=agent) as query:
            async for _ in query:
                raise ZeroDivisionError


# Abandoning it.


async def until_abandoned_is_gone() -> None:
    """A finalizer cannot wait; it asks the loop to close the query."""
    gc.collect()
    await wait_all_tasks_blocked()


async def test_a_break_is_closed_soon_and_warned_of(agent: tri.Embedded) -> None:
    is_closed = False

    async def prompts() -> AsyncIterator[str]:
        nonlocal is_closed
        try:
            yield LONG
            await trio.sleep_forever()
        finally:
            is_closed = True

    async def abandon() -> None:
        async for message in tri.query(prompts(), agent=agent):
            if isinstance(message, tri.InitMessage):
                break
        await until_abandoned_is_gone()

    with pytest.warns(ResourceWarning, match="was abandoned before its result"):
        await abandon()
    assert is_closed


async def test_a_break_at_the_last_result_abandons_nothing(agent: tri.Embedded) -> None:
    async for message in tri.query("Hello", agent=agent):
        if isinstance(message, tri.ResultMessage):
            break
    await until_abandoned_is_gone()


async def test_one_that_never_began_is_nothing(agent: tri.Embedded) -> None:
    tri.query("Hello", agent=agent)
    await until_abandoned_is_gone()


async def test_inside_the_callers_own_generator_left_by_break(agent: tri.Embedded) -> None:
    async def mine(prompt: str) -> AsyncGenerator[str]:
        async for message in tri.query(prompt, agent=agent):
            if isinstance(message, tri.AssistantMessage):
                yield tri.text(message)

    with warnings.catch_warnings(record=True) as warned:
        warnings.simplefilter("always")
        async for text in mine("Say one"):
            assert text == "one"
            break
        del text
        assert [text async for text in mine("Say two")] == ["two"]
        await until_abandoned_is_gone()
    assert {warning.category for warning in warned} == {ResourceWarning}


async def test_a_finalizer_may_run_in_another_thread(agent: tri.Embedded) -> None:
    query = [tri.query(LONG, agent=agent)]
    await started(query[0])
    with pytest.warns(ResourceWarning, match="was abandoned"):
        await trio.to_thread.run_sync(query.clear)
    await wait_all_tasks_blocked()


# Where it lives.


def test_without_a_loop_it_says_what_to_do(agent: tri.Embedded) -> None:
    query = tri.query("Hello", agent=agent)
    with pytest.raises(RuntimeError, match=r"trio\.run"):
        anext(query).__await__().__next__()


def test_under_asyncio_it_says_what_to_do(agent: tri.Embedded) -> None:
    import asyncio

    async def plain() -> None:
        async for _ in tri.query("Hello", agent=agent):
            raise AssertionError

    async def block() -> None:
        async with tri.query("Hello", agent=agent):
            raise AssertionError

    for program in (plain, block):
        with pytest.raises(RuntimeError, match=r"trio\.run"):
            asyncio.run(program())
