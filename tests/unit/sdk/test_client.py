"""`Client`: one conversation, turn by turn, connected and disconnected by whom you like."""

import asyncio
import gc
from collections.abc import AsyncGenerator, AsyncIterator, Callable
from contextlib import asynccontextmanager
from functools import partial
from pathlib import Path

import pytest
import trio
from trio.testing import MockClock, wait_all_tasks_blocked

import triologue as tri
from tests.support.at_once import AtOnce
from tests.support.other_agent import OtherAgent
from triologue.engine import Transcripts
from triologue.sdk.unread import MAX_UNREAD
from triologue.testing import Crash, Say, ScriptedAgent

LONG = "Wait 60 seconds"


@pytest.fixture
def agent() -> tri.Embedded:
    return tri.Embedded(transcripts=Transcripts())


async def response(client: tri.Client) -> list[str | None]:
    """The results that `receive_response` gives: one, or none."""
    return [message.result async for message in client.receive_response() if isinstance(message, tri.ResultMessage)]


async def started(client: tri.Client) -> None:
    """Read until the agent is at work."""
    async for message in client.receive_response():
        if isinstance(message, tri.InitMessage):
            return


# Turn by turn.


async def test_it_is_one_conversation(agent: tri.Embedded) -> None:
    async with tri.Client(agent=agent) as client:
        await client.query("Remember: I like Python")
        assert await response(client) == ["I will remember that you like Python."]
        await client.query("What do I like?")
        assert await response(client) == ["You like Python."]


async def test_a_response_ends_with_its_result(agent: tri.Embedded) -> None:
    async with tri.Client(agent=agent) as client:
        await client.query("Hello")
        messages = [message async for message in client.receive_response()]
    assert isinstance(messages[-1], tri.ResultMessage)
    assert [tri.text(m) for m in messages if isinstance(m, tri.AssistantMessage)] == ["Hello! What can I do for you?"]


async def test_in_another_loop_it_refuses_and_the_conversation_goes_on(agent: tri.Embedded) -> None:
    async with tri.Client(agent=agent) as client:
        await client.query("Hello")

        async def read_all(read: Callable[[], AsyncIterator[tri.Message]]) -> list[tri.Message]:
            return [message async for message in read()]

        for read in (client.receive_response, client.receive_messages):
            with pytest.raises(RuntimeError, match=r"belongs to the trio\.run"):
                await trio.to_thread.run_sync(partial(trio.run, read_all, read))
        assert await response(client) == ["Hello! What can I do for you?"]


async def test_a_tool_may_disconnect_its_own_client(autojump_clock: MockClock) -> None:
    async def leave() -> str:
        await client.disconnect()
        return "gone"

    client = tri.Client(agent=tri.Embedded(tools=[leave]))
    await client.connect()
    await client.query("Use the tool leave")
    with trio.fail_after(5):
        assert await response(client) == [None]  # the turn was interrupted
        await client.disconnect()
    assert not client.is_connected


async def test_a_tool_may_close_its_own_query(autojump_clock: MockClock) -> None:
    async def leave() -> str:
        await query.aclose()
        return "gone"

    query = tri.query("Use the tool leave", agent=tri.Embedded(tools=[leave]))
    with trio.fail_after(5):
        assert [message async for message in query if isinstance(message, tri.ResultMessage)] == []
        await query.aclose()


async def test_a_tool_that_reads_the_reply_it_belongs_to_is_told_so() -> None:
    async def read() -> str:
        return str(await response(client))

    async with tri.Client(agent=tri.Embedded(tools=[read])) as client:
        await client.query("Use the tool read")
        with trio.fail_after(5):
            (result,) = await response(client)
        assert result is not None
        assert "waits for a turn of that session" in result


async def test_a_tool_that_reads_its_own_query_is_told_so() -> None:
    async def read() -> str:
        return str([message async for message in query])

    query = tri.query("Use the tool read", agent=tri.Embedded(tools=[read]))
    with trio.fail_after(5):
        (result,) = [message.result async for message in query if isinstance(message, tri.ResultMessage)]
    assert result is not None
    assert "waits for a turn of that session" in result


async def test_what_a_tool_sends_the_program_may_read() -> None:
    async def go_on() -> str:
        await client.query("Hello")
        return "sent"

    async with tri.Client(agent=tri.Embedded(tools=[go_on])) as client:
        await client.query("Use the tool go_on")
        assert await response(client) == ["The tool go_on says: sent."]
        assert await response(client) == ["Hello! What can I do for you?"]


async def test_without_a_turn_a_response_ends_at_once(agent: tri.Embedded) -> None:
    async with tri.Client(agent=agent) as client:
        assert await response(client) == []
        await client.query("Hello")
        assert len(await response(client)) == 1
        assert await response(client) == []


@pytest.mark.parametrize("pause", [0, 10])
async def test_two_prompts_then_two_responses(agent: tri.Embedded, autojump_clock: MockClock, pause: float) -> None:
    async with tri.Client(agent=agent) as client:
        await client.query("Say one")
        await trio.sleep(pause)  # whether the first is answered meanwhile makes no difference
        await client.query("Say two")
        await trio.sleep(pause)
        assert [await response(client), await response(client), await response(client)] == [["one"], ["two"], []]


async def test_a_response_that_was_left_goes_on_where_it_was(agent: tri.Embedded) -> None:
    async with tri.Client(agent=agent) as client:
        await client.query("Say one")
        await started(client)
        assert await response(client) == ["one"]


async def test_a_response_that_was_left_is_not_in_the_way_of_the_next(
    agent: tri.Embedded, autojump_clock: MockClock
) -> None:
    async with tri.Client(agent=agent) as client:
        await client.query("Wait 5 seconds")
        await started(client)
        await client.query("Say two")
        assert await response(client) == ["two"]
        assert await response(client) == []


async def test_after_an_interrupt_no_stale_response(agent: tri.Embedded, autojump_clock: MockClock) -> None:
    async with tri.Client(agent=agent) as client:
        await client.query(LONG)
        await wait_all_tasks_blocked()
        assert await client.interrupt() == "stopped"
        await client.query("Say two")
        assert await response(client) == ["two"]
        assert await response(client) == []
    assert trio.current_time() < 60


async def test_the_interrupted_response_can_be_read_too(agent: tri.Embedded, autojump_clock: MockClock) -> None:
    async with tri.Client(agent=agent) as client:
        await client.query(LONG)
        await wait_all_tasks_blocked()
        await client.interrupt()
        results = [m async for m in client.receive_response() if isinstance(m, tri.ResultMessage)]
        assert [result.subtype for result in results] == ["error_during_execution"]
        assert await client.interrupt() == "nothing_running"


async def test_an_abort_event_interrupts_and_the_session_lives_on(
    agent: tri.Embedded, autojump_clock: MockClock
) -> None:
    stop = trio.Event()
    async with tri.Client(tri.Options(abort_event=stop), agent) as client:
        await client.query("Remember: I like trio")
        await response(client)
        await client.query(LONG)
        await wait_all_tasks_blocked()
        stop.set()
        assert await response(client) == [None]
        await client.query("What do I like?")
        assert await response(client) == ["You like trio."]


async def test_prompts_as_a_stream_are_held_back_when_they_are_too_fast(agent: tri.Embedded) -> None:
    count = 2 * tri.Limits().mailbox

    async def prompts() -> AsyncIterator[str]:
        for number in range(count):
            yield f"Say {number}"

    async with tri.Client(agent=agent) as client:
        async with trio.open_nursery() as nursery:
            nursery.start_soon(client.query, prompts())
            heard: list[str | None] = []
            while len(heard) < count:
                heard += await response(client)
                await trio.lowlevel.checkpoint()
    assert heard == [str(number) for number in range(count)]


async def test_replies_that_nobody_reads_are_bounded(agent: tri.Embedded) -> None:
    async with tri.Client(agent=agent) as client:
        for number in range(150):
            await client.query(f"Say {number}")
            await wait_all_tasks_blocked()
        first = await response(client)
    assert first == ["50"]


async def test_everything_that_is_said_turn_after_turn(agent: tri.Embedded) -> None:
    heard: list[str | None] = []
    async with trio.open_nursery() as nursery:
        client = tri.Client(agent=agent)
        await client.connect()
        await client.query("Say one")

        async def listen() -> None:
            async for message in client.receive_messages():
                if isinstance(message, tri.ResultMessage):
                    heard.append(message.result)  # noqa: PERF401 - it is looked at while it grows

        nursery.start_soon(listen)
        await client.query("Say two")
        await wait_all_tasks_blocked()
        assert heard == ["one", "two"]
        assert await response(client) == []  # they were read
        await client.disconnect()  # ends the listener
    assert heard == ["one", "two"]


async def test_a_turn_without_a_result_raises_what_ended_it(tmp_path: Path) -> None:
    async with tri.Client(tri.Options(cli_path=tmp_path / "nowhere"), tri.ClaudeCode()) as client:
        await client.query("Hello")
        with pytest.raises(tri.AgentNotFound):
            await response(client)
        await client.query("Hello")
        with pytest.raises(tri.AgentNotFound):
            async for _ in client.receive_messages():
                pass


async def test_settings_are_for_the_turns_that_follow(agent: tri.Embedded) -> None:
    async with tri.Client(tri.Options(model="first"), agent) as client:
        await client.query("Which model are you?")
        assert await response(client) == ["I am first."]
        await client.set_model("second")
        await client.query("Which model are you?")
        assert await response(client) == ["I am second."]
        await client.set_permission_mode("acceptEdits")
        await client.query("Hello")
        inits = [m async for m in client.receive_response() if isinstance(m, tri.InitMessage)]
        assert [init.permission_mode for init in inits] == ["acceptEdits"]


async def test_costs_are_the_turns_and_the_sum(agent: tri.Embedded) -> None:
    costs: list[tuple[float, float]] = []
    async with tri.Client(agent=agent) as client:
        for prompt in ("Say one", "Say two", "Say three"):
            await client.query(prompt)
            async for message in client.receive_response():
                if isinstance(message, tri.ResultMessage):
                    assert message.cost_usd is not None
                    assert message.total_cost_usd is not None
                    costs.append((message.cost_usd, message.total_cost_usd))
    assert [total for _, total in costs] == pytest.approx([sum(cost for cost, _ in costs[:n]) for n in (1, 2, 3)])
    assert min(cost for cost, _ in costs) > 0


# Connecting and disconnecting.


async def test_connected_and_disconnected_in_different_tasks(agent: tri.Embedded) -> None:
    client = tri.Client(agent=agent)
    async with trio.open_nursery() as nursery:
        nursery.start_soon(client.connect)
    await client.query("Say one")
    assert await response(client) == ["one"]
    async with trio.open_nursery() as nursery:
        nursery.start_soon(client.disconnect)
        nursery.start_soon(client.disconnect)
    assert not client.is_connected


async def test_connecting_may_be_cancelled_around(agent: tri.Embedded) -> None:
    """No scope of the caller is held: the one around `connect` may end."""
    client = tri.Client(agent=agent)
    with trio.CancelScope() as scope:
        await client.connect()
        scope.cancel()
    await client.query("Say one")
    assert await response(client) == ["one"]
    await client.disconnect()


async def test_connect_may_take_the_first_prompt(agent: tri.Embedded) -> None:
    client = tri.Client(agent=agent)
    await client.connect("Say one")
    assert await response(client) == ["one"]
    await client.disconnect()


async def test_a_first_prompt_that_cannot_be_leaves_it_disconnected(agent: tri.Embedded) -> None:
    client = tri.Client(agent=agent)
    with pytest.raises(tri.InvalidOption):
        await client.connect([])
    assert not client.is_connected


async def test_it_can_be_connected_again_and_begins_anew(agent: tri.Embedded) -> None:
    client = tri.Client(agent=agent)
    await client.connect("Remember: I like Python")
    await response(client)
    first = client.session_id
    await client.disconnect()
    assert client.session_id == first
    await client.connect("What do I like?")
    assert await response(client) == ["You have not told me that yet."]
    assert client.session_id not in (None, first)
    await client.disconnect()


async def test_options_are_read_when_it_connects(agent: tri.Embedded) -> None:
    options = tri.Options(model="first")
    client = tri.Client(options, agent)
    options.model = "second"
    async with client:
        options.model = "third"
        await client.query("Which model are you?")
        assert await response(client) == ["I am second."]


async def test_disconnecting_in_the_middle_of_a_turn_stops_it(agent: tri.Embedded, autojump_clock: MockClock) -> None:
    async with tri.Client(agent=agent) as client:
        await client.query(LONG)
        await wait_all_tasks_blocked()
    assert trio.current_time() < 60


async def test_disconnecting_ends_a_stream_that_is_being_sent(agent: tri.Embedded, autojump_clock: MockClock) -> None:
    """However long it is: of each of its prompts the agent would begin again, and never be gone."""
    asked = 0

    async def prompts() -> AsyncIterator[str]:
        nonlocal asked
        while asked < 1000:
            asked += 1
            yield LONG

    async with tri.Client(agent=agent) as client, trio.open_nursery() as nursery:

        async def ask() -> None:
            with pytest.raises(tri.CallerError, match="disconnected before all prompts were sent"):
                await client.query(prompts())

        nursery.start_soon(ask)
        await wait_all_tasks_blocked()
        at_work = asked
        await client.disconnect()
        assert asked == at_work


async def test_disconnecting_ends_a_response_that_is_being_read(agent: tri.Embedded, autojump_clock: MockClock) -> None:
    heard: list[tri.Message] = []
    async with trio.open_nursery() as nursery:
        client = tri.Client(agent=agent)
        await client.connect(LONG)

        async def listen() -> None:
            heard.extend([message async for message in client.receive_response()])

        nursery.start_soon(listen)
        await wait_all_tasks_blocked()
        await client.disconnect()
    assert isinstance(heard[-1], tri.ResultMessage)
    assert heard[-1].subtype == "error_during_execution"


async def test_a_forgotten_disconnect_is_warned_of_and_made_up_for(agent: tri.Embedded) -> None:
    client = tri.Client(agent=agent)
    await client.connect("Hello")
    await response(client)
    with pytest.warns(ResourceWarning, match="was never disconnected"):
        del client
    await wait_all_tasks_blocked()


async def test_a_client_that_was_disconnected_is_not_warned_of(agent: tri.Embedded) -> None:
    client = tri.Client(agent=agent)
    await client.connect()
    await client.disconnect()
    del client
    gc.collect()


async def test_using_it_before_it_is_connected_says_what_to_do(agent: tri.Embedded) -> None:
    client = tri.Client(agent=agent)
    for use in (
        lambda: client.query("Hello"),
        client.interrupt,
        client.set_model,
        lambda: client.set_permission_mode("plan"),
    ):
        with pytest.raises(tri.CallerError, match=r"connect\(\)"):
            await use()
    for receive in (client.receive_response, client.receive_messages):
        with pytest.raises(tri.CallerError, match=r"connect\(\)"):
            receive()
    await client.disconnect()  # this may be said at any time
    assert client.session_id is None


async def test_connecting_it_twice_is_an_error(agent: tri.Embedded) -> None:
    async with tri.Client(agent=agent) as client:
        with pytest.raises(tri.CallerError, match="connected already"):
            await client.connect()


async def test_connecting_it_twice_at_once_is_an_error(agent: tri.Embedded) -> None:
    client = tri.Client(agent=agent)
    errors = []

    async def connect() -> None:
        try:
            await client.connect()
        except tri.CallerError as error:
            errors.append(error)

    async with trio.open_nursery() as nursery:
        nursery.start_soon(connect)
        nursery.start_soon(connect)
    assert len(errors) == 1
    await client.disconnect()


async def test_options_that_cannot_be_are_refused_when_it_connects(agent: tri.Embedded) -> None:
    client = tri.Client(tri.Options(cli_path="/bin/true"), agent)
    with pytest.raises(tri.UnsupportedOption):
        await client.connect()
    assert not client.is_connected


def test_under_asyncio_it_says_what_to_do(agent: tri.Embedded) -> None:
    async def program() -> None:
        async with tri.Client(agent=agent):
            raise AssertionError

    with pytest.raises(RuntimeError, match=r"trio\.run"):
        asyncio.run(program())


# Fed by an iterable.


async def several(*prompts: str) -> AsyncIterator[str]:
    for prompt in prompts:
        yield prompt


async def test_connect_takes_an_iterable_and_feeds_it_while_replies_are_read(agent: tri.Embedded) -> None:
    client = tri.Client(agent=agent)
    await client.connect(several("Remember: I like Python", "What do I like?"))
    assert await response(client) == ["I will remember that you like Python."]
    assert await response(client) == ["You like Python."]
    assert await response(client) == []
    client.feed(several("What do I like?"))
    assert await response(client) == ["You like Python."]
    await client.disconnect()


async def test_only_one_iterable_feeds_at_a_time(agent: tri.Embedded) -> None:
    closed = trio.Event()

    async def endless() -> AsyncIterator[str]:
        try:
            yield "Hello"
            await trio.sleep_forever()
        finally:
            closed.set()

    async with tri.Client(agent=agent) as client:
        client.feed(endless())
        await wait_all_tasks_blocked()
        with pytest.raises(tri.CallerError, match="already"):
            client.feed(several("Hello"))
    await closed.wait()


@pytest.mark.parametrize("is_read", [True, False])
async def test_who_reads_slowly_holds_back_what_is_fed(
    agent: tri.Embedded, autojump_clock: MockClock, is_read: bool
) -> None:
    """And loses no reply; where nobody reads, tools may be what answers, and all prompts are sent."""
    count = MAX_UNREAD + 50
    asked = 0

    async def prompts() -> AsyncIterator[str]:
        nonlocal asked
        for asked in range(1, count + 1):
            yield f"Say {asked}"

    async with tri.Client(agent=agent) as client:
        client.feed(prompts())
        heard = await response(client) if is_read else []
        await trio.sleep(1000)
        assert asked == (MAX_UNREAD + 2 if is_read else count)
        if is_read:
            while reply := await response(client):
                heard += reply
            assert heard == [str(number) for number in range(1, count + 1)]


async def test_who_leaves_some_replies_of_what_is_fed_and_asks_something_else_loses_no_other(
    autojump_clock: MockClock,
) -> None:
    count, left, heard, is_over = 3 * MAX_UNREAD, 0, list[str | None](), False

    async def prompts() -> AsyncIterator[str]:
        for number in range(count):
            yield f"Say {number}"

    async with tri.Client(agent=AtOnce()) as client:
        client.feed(prompts())
        while not is_over:
            await trio.sleep(100 if len(heard) % 10 == 9 else 0)
            is_over = True
            async for message in client.receive_response():
                is_over = False
                if isinstance(message, tri.ResultMessage):
                    heard.append(message.result)
                elif left < len(heard) // 2:
                    await client.query(f"Something else {left}")  # instead of this one
                    left += 1
                    break
    assert left > 10
    assert len(heard) == count


async def test_what_the_iterable_raises_is_raised_to_whoever_reads(agent: tri.Embedded) -> None:
    async def broken() -> AsyncIterator[str]:
        yield "Hello"
        raise LookupError("no more")

    for read in (tri.Client.receive_response, tri.Client.receive_messages):
        async with tri.Client(agent=agent) as client:
            client.feed(broken())
            with pytest.raises(LookupError):
                for _ in range(2):
                    async for _ in read(client):
                        pass


async def test_each_way_to_read_tells_why_an_agent_did_not_start(autojump_clock: MockClock) -> None:
    """And none takes that away from the others, which hold the same error."""

    class Broken(OtherAgent):
        has_account = False

        @asynccontextmanager
        async def connect(
            self, options: tri.Options, *, sink: tri.Sink, carrier: tri.Carrier
        ) -> AsyncGenerator[tri.Connection]:
            if not self.has_account:
                raise tri.AgentStartError("no account") from KeyError("account")
            async with self._agent.connect(options, sink=sink, carrier=carrier) as connection:
                yield connection

    async with tri.Client(agent=Broken(tri.Embedded())) as client:
        await client.query("hello")
        for read in (client.receive_response, client.receive_response, client.receive_messages):
            with pytest.raises(tri.AgentStartError) as caught:
                await anext(read())
            assert repr(caught.value.__cause__) == "KeyError('account')"
            await client.query("again")


async def test_a_reader_that_is_far_behind_gets_each_result_once(autojump_clock: MockClock) -> None:
    """Also where two are longer than what is kept for it."""
    long = "x" * (5 * 1024 * 1024)

    def reply(prompt: str) -> list[Say]:
        return [Say(" ".join(200 * "w")), Say(f"{prompt} {long}")] if prompt in "abc" else [Say(prompt)]

    agent = ScriptedAgent(reply, max_message_bytes=64 * 1024 * 1024)
    async with tri.Client(agent=agent, options=tri.Options(include_partial_messages=True)) as client:
        messages = client.receive_messages()
        given: list[str] = []
        for prompt in ("a", "b", "c", "d"):
            await client.query(prompt)
            if prompt == "a":
                await anext(messages)
            await trio.sleep(100)
        with trio.fail_after(100):
            while len(given) < 4:
                message = await anext(messages)
                if isinstance(message, tri.ResultMessage):
                    given.append((message.result or "")[:1])
        assert given == ["a", "b", "c", "d"]
        await client.query("e")
        assert await response(client) == ["e"]


# Reading everything, in pieces.


async def to_next_result(client: tri.Client) -> str | None:
    """As the vendors' guides have it: a loop over everything that is left at a result."""
    async for message in client.receive_messages():
        if isinstance(message, tri.ResultMessage):
            return message.result
    return "nothing"


async def test_who_leaves_everything_at_a_result_goes_on_behind_it(agent: tri.Embedded) -> None:
    async with tri.Client(agent=agent) as client:
        for number in range(3):
            await client.query(f"Say {number}")
        await wait_all_tasks_blocked()
        assert await to_next_result(client) == "0"
        assert await response(client) == ["1"]
        assert await to_next_result(client) == "2"
        assert await response(client) == []


async def test_who_reads_everything_late_misses_nothing_of_what_the_turns_keep(autojump_clock: MockClock) -> None:
    """They keep more than the log, of which only a short tail is in memory."""
    agent = ScriptedAgent(lambda prompt: [Say(f"{prompt} {number} {5000 * 'x'}") for number in range(10)])
    async with tri.Client(agent=agent) as client:
        await client.query("one")
        await client.query("two")
        for prompt in ("one", "two"):
            await trio.sleep(100)
            said: list[str] = []
            async for message in client.receive_messages():
                if isinstance(message, tri.AssistantMessage):
                    said.append(tri.text(message)[:5])
                elif isinstance(message, tri.ResultMessage):
                    break
            assert said == [f"{prompt} {number}" for number in range(10)]
        assert await response(client) == []


def shown(message: tri.Message) -> list[str]:
    """The beginning of what is said, or that something is missing."""
    if isinstance(message, tri.AssistantMessage | tri.ResultMessage):
        text = message.result if isinstance(message, tri.ResultMessage) else tri.text(message)
        return [f"{type(message).__name__[0]} {(text or '')[:5]}"]
    return ["a gap"] if isinstance(message, tri.Gap) else []


async def everything(client: tri.Client, seconds: float) -> list[str]:
    """What `receive_messages` gives within this time."""
    said: list[str] = []
    with trio.move_on_after(seconds):
        async for message in client.receive_messages():
            said += shown(message)
    return said


async def test_a_prompt_that_was_sent_twice_under_its_uuid_is_answered_once(autojump_clock: MockClock) -> None:
    agent = ScriptedAgent(lambda prompt: [Say(f"{prompt} {number}") for number in range(2)])
    prompt = {
        "type": "user",
        "message": {"role": "user", "content": "one"},
        "uuid": "5d0c1a7e-0000-4000-8000-000000000001",
    }
    async with tri.Client(agent=agent) as client:
        for _ in range(2):  # while the first may be under way, and when it has ended
            async with trio.open_nursery() as nursery:
                nursery.start_soon(client.query, dict(prompt))
                nursery.start_soon(client.query, dict(prompt))
            await trio.sleep(10)
        assert await everything(client, 10) == ["A one 0", "A one 1", "R one 1"]


async def test_who_reads_late_is_told_of_a_gap_where_it_is_and_given_the_result_that_is_in_it(
    autojump_clock: MockClock,
) -> None:
    """What is said in 5 MB is more than a turn keeps; who waits for its result must not wait for ever."""
    length = {"long": 5_000_000}
    agent = ScriptedAgent(lambda prompt: [Say(f"{prompt:5}{length.get(prompt, 0) * 'x'}")], max_message_bytes=2**24)
    async with tri.Client(agent=agent) as client:
        for prompt in ("one", "long", "two"):
            await client.query(prompt)
        await trio.sleep(100)
        said = await everything(client, 10)
        assert [line.strip() for line in said if line != "a gap"] == ["A one", "R one", "R long", "A two", "R two"]
        assert "a gap" in said[2 : said.index("R long ")]


async def test_who_reads_on_behind_a_result_is_told_of_no_gap_that_has_only_what_was_read(
    autojump_clock: MockClock,
) -> None:
    """Who waits in line was accepted before the reply that was read, which is longer than the tail of the log."""
    agent = ScriptedAgent(lambda prompt: [Say(f"{prompt} {number} {5000 * 'x'}") for number in range(10)])
    async with tri.Client(agent=agent) as client:
        for prompt in ("one", "two", "three"):
            await client.query(prompt)
        for prompt in ("one", "two", "three"):
            said: list[str] = []
            async for message in client.receive_messages():
                if isinstance(message, tri.AssistantMessage | tri.Gap):
                    said.append(" ".join(tri.text(message).split()[:2]) or "a gap")
                elif isinstance(message, tri.ResultMessage):
                    break
            assert said == [f"{prompt} {number}" for number in range(10)]


async def test_who_reads_everything_again_is_given_what_the_agent_has_said_of_its_own_accord_meanwhile(
    autojump_clock: MockClock,
) -> None:
    """Who waits for that would wait for ever. What the log has no more of it is a gap."""
    agent = ScriptedAgent(lambda prompt: [Say(prompt)])
    async with tri.Client(agent=agent) as client:
        await client.query("one")
        assert await to_next_result(client) == "one"
        agent.connection.begin_turn(Say("own 1"))
        await trio.sleep(100)
        assert await everything(client, 10) == ["A own 1", "R own 1"]
        agent.connection.begin_turn(Say("own 2"))
        await trio.sleep(100)
        await client.query("two")
        await trio.sleep(100)
        assert await everything(client, 10) == ["A own 2", "R own 2", "A two", "R two"]
        for number in range(3, 7):
            agent.connection.begin_turn(Say(f"own {number}{9000 * 'x'}"))
            await trio.sleep(100)
        assert await everything(client, 10) == ["a gap", "A own 6", "R own 6"]
        assert await everything(client, 10) == []


async def test_who_reads_everything_again_goes_on_there_also_where_a_reply_was_read_alone_before_the_last_one_left(
    autojump_clock: MockClock,
) -> None:
    agent = ScriptedAgent(lambda prompt: [Say(prompt)])
    async with tri.Client(agent=agent) as client, trio.open_nursery() as nursery:
        nursery.start_soon(everything, client, 50)
        await wait_all_tasks_blocked()
        await client.query("one")
        assert await response(client) == ["one"]
        await trio.sleep(100)
        agent.connection.begin_turn(Say("own"))
        await trio.sleep(100)
        assert await everything(client, 10) == ["A own", "R own"]


async def test_who_leaves_everything_at_a_result_has_heard_of_the_gap_before_it(autojump_clock: MockClock) -> None:
    """What was said of its own accord before that reply is gone from the log, and so is the reply; the turn keeps it."""
    agent = ScriptedAgent(lambda prompt: [Say(f"{prompt:5}{8000 * 'x'}")])
    async with tri.Client(agent=agent) as client:
        for number, prompt in enumerate(("one", "two")):
            await client.query(prompt)
            await trio.sleep(100)
            agent.connection.begin_turn(Say(f"own {number}{8000 * 'x'}"))
            await trio.sleep(100)
        said: list[str] = []
        for _ in range(2):
            async for message in client.receive_messages():
                said += shown(message)
                if isinstance(message, tri.ResultMessage):
                    break
        assert said == ["A one  ", "R one  ", "A two  ", "a gap", "R two  "]
        assert await everything(client, 10) == ["A own 1", "R own 1"]


async def test_who_leaves_everything_before_a_gap_is_told_of_all_of_it_the_next_time(autojump_clock: MockClock) -> None:
    """What is missing was said before the reply in which that reader left, of which the turn keeps more than the log."""
    gaps: list[int] = []
    for leaves in (False, True):
        agent = ScriptedAgent(lambda prompt: [Say(f"{prompt} {number}{8000 * 'x'}") for number in range(4)])
        async with tri.Client(agent=agent) as client:
            await client.query("one")
            assert len(await everything(client, 10)) == 5
            agent.connection.begin_turn(Say("own"))
            await trio.sleep(100)
            await client.query("two")
            await trio.sleep(100)
            if leaves:
                async for message in client.receive_messages():
                    if isinstance(message, tri.AssistantMessage):
                        break
            async for message in client.receive_messages():
                if isinstance(message, tri.Gap):
                    gaps.append(message.first)
                if isinstance(message, tri.ResultMessage):
                    break
    assert gaps[0] == gaps[1]


async def test_who_leaves_everything_at_a_gap_is_told_of_it_once(autojump_clock: MockClock) -> None:
    """As who shows all anew then; the same gap again and again would have it do nothing else."""
    agent = ScriptedAgent(lambda prompt: [Say(prompt)])
    async with tri.Client(agent=agent) as client:
        await client.query("one")
        assert await everything(client, 10) == ["A one", "R one"]
        for number in range(4):
            agent.connection.begin_turn(Say(f"own {number}{9000 * 'x'}"))
            await trio.sleep(100)
        async for message in client.receive_messages():
            assert isinstance(message, tri.Gap)
            break
        assert await everything(client, 10) == ["A own 3", "R own 3"]


async def test_who_reads_everything_again_is_told_of_no_gap_that_has_only_what_was_read(
    autojump_clock: MockClock,
) -> None:
    """The end of the last reply is not in the tail of the log any more; or replies that were read alone."""
    agent = ScriptedAgent(lambda prompt: [Say(f"{prompt:5}{7000 * 'x'}")])
    async with tri.Client(agent=agent) as client:
        await client.query("one")
        assert (await to_next_result(client) or "")[:5].strip() == "one"
        await client.query("two")
        await trio.sleep(100)
        assert await everything(client, 10) == ["A two  ", "R two  "]
        for _ in range(5):
            await client.query("three")
            assert len(await response(client)) == 1
        for _ in range(2):
            assert await everything(client, 10) == []


async def test_who_reads_on_behind_a_result_misses_nothing_of_a_prompt_that_is_not_known_yet_to_be_accepted() -> None:
    """Such an agent answers at once, and which task runs first then is by chance."""
    for _ in range(20):
        heard: list[str | None] = []
        async with tri.Client(agent=AtOnce()) as client, trio.open_nursery() as nursery:
            for number in range(12):
                nursery.start_soon(client.query, f"Say {number}")
            with trio.fail_after(5):
                while len(heard) < 12:
                    said = []
                    async for message in client.receive_messages():
                        said.append(type(message))
                        if isinstance(message, tri.ResultMessage):
                            heard.append(message.result)
                            break
                    assert tri.InitMessage in said
        assert heard == ["so be it"] * 12


async def test_who_reads_on_behind_a_result_is_told_of_no_gap_where_prompts_overlap_without_a_pause() -> None:
    """A reader begins behind those that are on their way, not behind the first since there were none."""
    heard: list[type[tri.Message]] = []
    asks = trio.Semaphore(3)

    async def ask(client: tri.Client) -> None:
        while True:
            await asks.acquire()
            await client.query("Hello")

    async with tri.Client(agent=AtOnce()) as client, trio.open_nursery() as nursery:
        for _ in range(3):
            nursery.start_soon(ask, client)
        with trio.fail_after(5):
            while heard.count(tri.ResultMessage) < 100:
                async for message in client.receive_messages():
                    heard.append(type(message))
                    if isinstance(message, tri.ResultMessage):
                        asks.release()
                        break
        nursery.cancel_scope.cancel()
    assert tri.Gap not in heard


async def test_a_turn_of_the_agents_own_is_given_once_too(autojump_clock: MockClock) -> None:
    """Prompts that wait were accepted before it, and are read from where they were."""
    agent = ScriptedAgent(lambda prompt: [Say(prompt)])
    async with tri.Client(agent=agent) as client:
        await client.query("zero")
        assert await to_next_result(client) == "zero"
        agent.connection.begin_turn(Say("of its own"))
        await client.query("one")
        await client.query("two")
        await trio.sleep(100)
        assert [await to_next_result(client) for _ in range(3)] == ["of its own", "one", "two"]


async def test_what_was_read_before_its_prompt_was_known_to_be_accepted_is_not_unread() -> None:
    for _ in range(10):
        heard: list[str | None] = []
        asks = trio.Semaphore(1)

        async def read(client: tri.Client, heard: list[str | None] = heard, asks: trio.Semaphore = asks) -> None:
            async for message in client.receive_messages():
                if isinstance(message, tri.ResultMessage):
                    heard.append(message.result)
                    asks.release()

        async with tri.Client(agent=AtOnce()) as client, trio.open_nursery() as nursery:
            nursery.start_soon(read, client)
            with trio.fail_after(5):
                for number in range(5):
                    await asks.acquire()
                    await client.query(f"Say {number}")
                await asks.acquire()
            assert await response(client) == []
            nursery.cancel_scope.cancel()
        assert heard == ["so be it"] * 5


async def test_everything_tells_of_each_turn_without_a_result(autojump_clock: MockClock) -> None:
    agent = ScriptedAgent(lambda prompt: [Crash(3)] if prompt == "die" else [Say(prompt)])
    async with tri.Client(agent=agent) as client:
        for prompt in ("die", "one", "die", "two"):
            await client.query(prompt)
        await trio.sleep(100)
        messages = client.receive_messages()
        heard: list[str] = []
        while len(heard) < 4:
            try:
                message = await anext(messages)
            except tri.AgentCrashed:
                heard.append("died")
            else:
                heard += [str(message.result)] if isinstance(message, tri.ResultMessage) else []
        assert heard == ["died", "one", "died", "two"]


async def test_what_the_iterable_raises_comes_behind_the_replies(agent: tri.Embedded) -> None:
    async def broken() -> AsyncIterator[str]:
        yield "Say one"
        raise LookupError("no more")

    async with tri.Client(agent=agent) as client:
        client.feed(broken())
        heard: list[str | None] = []
        with pytest.raises(LookupError):
            async for message in client.receive_messages():
                if isinstance(message, tri.ResultMessage):
                    heard.append(message.result)  # noqa: PERF401 - what was heard before the error counts
        assert heard == ["one"]


async def test_everything_ends_with_its_connection_also_where_there_is_another(
    agent: tri.Embedded, autojump_clock: MockClock
) -> None:
    client = tri.Client(agent=agent)
    await client.connect("Say one")
    messages = client.receive_messages()
    await anext(messages)
    await client.disconnect()
    await client.connect("Say two")
    with trio.fail_after(100):
        assert "two" not in [tri.text(message) async for message in messages]
    assert await response(client) == ["two"]
    await client.disconnect()
