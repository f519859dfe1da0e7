"""What a gateway takes from its clients, and what becomes of more."""

import json

import pytest
import trio
from trio.testing import MockClock, wait_all_tasks_blocked

import triologue as tri
from tests.support.gateway import Client, House, house
from tests.support.slow_store import SlowStore
from triologue.gateway.limits import GatewayLimits, check_gateway_limits
from triologue.gateway.tokens import MemoryTokens
from triologue.protocol import asked, told
from triologue.testing import ScriptedAgent, Wait


def new_agent() -> ScriptedAgent:
    agent = ScriptedAgent()
    agent.on("long", Wait(300))
    return agent


async def refused(client: Client, frame: str) -> told.Reply:
    """What is said to a frame that has the id 77."""
    await client.say(frame)
    return await client.reply(77)


async def test_who_says_no_hello_in_time_is_closed(autojump_clock: MockClock) -> None:
    async with tri.open_manager(new_agent()) as manager, house(manager) as gateway:
        client = await gateway.dial()
        await trio.sleep(9)
        assert client.closed is None
        assert await client.wait_closed() == (4408, "no hello came within 10 seconds")
        assert trio.current_time() == 10


@pytest.mark.parametrize(
    ("frame", "reason"),
    [
        ("{}", "the first frame is no hello"),
        ("no JSON", "the first frame is no hello"),
        ('{"type":"ping","id":1}', "the first frame is no hello"),
        ('{"type":"hello","token":17}', "the first frame is no hello"),
        ('{"type":"hello","token":"%s"}' % ("x" * 20_000), "the first frame is a hello, and not"),
        (b'{"type":"hello"}', "a frame of 16 bytes, and no text"),
    ],
    ids=["no type", "no JSON", "another", "no text", "too long", "bytes"],
)
async def test_who_begins_with_another_frame_is_closed(
    frame: str | bytes, reason: str, autojump_clock: MockClock
) -> None:
    async with tri.open_manager(new_agent()) as manager, house(manager) as gateway:
        client = await gateway.dial()
        await client.say(frame)
        closed = await client.wait_closed()
        assert closed is not None
        assert closed[0] == 4400
        assert closed[1].startswith(reason)


async def test_clients_that_say_nothing_make_room_for_those_who_do(autojump_clock: MockClock) -> None:
    limits = GatewayLimits(handshakes=10)
    async with tri.open_manager(new_agent()) as manager, house(manager, limits=limits) as gateway:
        silent = [gateway.connect() for _ in range(1_000)]
        await wait_all_tasks_blocked()
        client = await gateway.client()
        assert isinstance(await client.ask(asked.Ping), told.Pong)
        assert gateway.hall.statistics().handshakes <= 10
        await trio.sleep(11)
        assert gateway.hall.statistics().handshakes == 0
        for stream in silent:
            assert await stream.receive_some() == b""


async def test_a_frame_that_is_no_request_is_refused_if_it_says_whose_it_is(autojump_clock: MockClock) -> None:
    async with tri.open_manager(new_agent()) as manager, house(manager) as gateway:
        client = await gateway.client()
        deep = json.dumps({"a": json.loads("[" * 70 + "]" * 70)})
        for frame in (
            '{"type":"of_tomorrow","id":77}',
            '{"type":"attach","id":77}',
            '{"type":"attach","id":77,"key":"k","after":-1}',
            '{"type":"attach","id":77,"key":"k","after":1.5}',
            '{"type":"attach","id":77,"key":"k","coalesce_ms":2000}',
            '{"type":"prompt","id":77,"key":"k","prompt":"hi","overlap":"perhaps"}',
            '{"type":"prompt","id":77,"key":"k","prompt":' + deep + "}",
            '{"type":"list","id":77,"limit":0}',
            '{"type":"answer","id":77,"permission":"p","allow":true,"updated_input":{"a":[' + "{}," * 50_000 + "{}]}}",
        ):
            reply = await refused(client, frame)
            assert isinstance(reply, told.Failed)
            assert reply.code == "invalid"
            client.forget(77)
        assert isinstance(await client.ask(asked.Ping), told.Pong)
        assert manager.sessions() == []


@pytest.mark.parametrize("frame", ["{", "[]", '{"type":"ping"}', '{"type":"ping","id":"1"}', "[" * 100_000, b"\0"])
async def test_a_frame_that_nobody_can_answer_ends_the_connection(
    frame: str | bytes, autojump_clock: MockClock
) -> None:
    async with tri.open_manager(new_agent()) as manager, house(manager) as gateway:
        client = await gateway.client()
        await client.say(frame)
        closed = await client.wait_closed()
        assert closed is not None
        assert closed[0] == 4400


async def test_who_goes_on_with_such_frames_is_closed(autojump_clock: MockClock) -> None:
    limits = GatewayLimits(refusals=5)
    async with tri.open_manager(new_agent()) as manager, house(manager, limits=limits) as gateway:
        client = await gateway.client()
        for number in range(6):
            await client.say(f'{{"type":"nothing","id":{number}}}')
        assert await client.wait_closed() == (4429, "more than 5 frames were no requests")


async def test_a_frame_that_is_too_long_ends_the_connection(autojump_clock: MockClock) -> None:
    limits = GatewayLimits(frame_bytes=1_000)
    async with tri.open_manager(new_agent()) as manager, house(manager, limits=limits) as gateway:
        client = await gateway.client()
        assert client.welcome is not None
        assert client.welcome.max_frame_bytes == 1_000
        await client.say("x" * 1_001)
        closed = await client.wait_closed()
        assert closed is not None
        assert closed[0] == 1009


async def test_a_connection_has_so_many_requests_and_an_interrupt_still_gets_through(
    autojump_clock: MockClock,
) -> None:
    limits = GatewayLimits(requests=3)
    async with tri.open_manager(new_agent()) as manager, house(manager, limits=limits) as gateway:
        client = await gateway.client()
        await client.ask(asked.Prompt, key="k", prompt="long", turn="t")
        waiting = [client.numbered(asked.Command, key="k", command="/compact") for _ in range(3)]
        for request in waiting:
            await client.say(request)
        reply = await client.ask(asked.Explain, key="k")
        assert isinstance(reply, told.Failed)
        assert (reply.code, reply.data) == ("too_many", {"limit": "requests"})
        interrupted = await client.ask(asked.Interrupt, key="k")
        assert interrupted == told.Interrupted(re=interrupted.re, result="stopped")
        for request in waiting:
            assert isinstance(await client.reply(request.id), told.CommandEnded)


def requests_of(gateway: House) -> int:
    """How many are worked on."""
    others = ("Flusher.run", "_hold", "triologue room")  # what sends, the clients' streams, what is read
    return sum(not any(other in task.name for other in others) for task in gateway.hall.nursery.child_tasks)


async def test_who_comes_and_goes_leaves_no_requests_behind_but_prompts(autojump_clock: MockClock) -> None:
    store = SlowStore()
    async with tri.open_manager(new_agent(), store=store.as_store) as manager, house(manager) as gateway:
        await manager.session("k").send("long")
        for _ in range(3):
            client = await gateway.client()
            for _ in range(10):
                await client.say(client.numbered(asked.Command, key="k", command="/compact"))
            await client.ask(asked.Ping)
            await client.socket.aclose()
            await trio.sleep(1)
        assert requests_of(gateway) == 0
        client = await gateway.client()
        store.hold()
        await client.say(client.numbered(asked.Prompt, key="other", prompt="hello", turn="t"))
        await client.ask(asked.Ping)
        await client.socket.aclose()
        await trio.sleep(1)
        store.go_on()
        await trio.sleep(1)
        turn = await manager.session("other").find("t")
        assert turn is not None
        assert (await turn.wait()).kind == "answered"


async def test_a_connection_is_attached_to_so_many_sessions(autojump_clock: MockClock) -> None:
    limits = GatewayLimits(attached=2)
    async with tri.open_manager(new_agent()) as manager, house(manager, limits=limits) as gateway:
        client = await gateway.client()
        for key in ("a", "b", "a"):
            assert isinstance(await client.ask(asked.Attach, key=key), told.Attached)
        assert await client.fails(asked.Attach, key="c") == "too_many"
        await client.ask(asked.Detach, key="a")
        assert isinstance(await client.ask(asked.Attach, key="c"), told.Attached)


async def test_a_token_has_so_many_connections_and_others_still_come_in(autojump_clock: MockClock) -> None:
    tokens, limits = MemoryTokens(), GatewayLimits(connections_per_token=2)
    ann, bob = tokens.add("ann"), tokens.add("bob")
    async with tri.open_manager(new_agent()) as manager, house(manager, tokens=tokens, limits=limits) as gateway:
        first, _ = await gateway.client(ann), await gateway.client(ann)
        third = await gateway.dial()
        await third.say(asked.Hello(token=ann))
        assert await third.wait_closed() == (4429, "this token has 2 connections already")
        await gateway.client(bob)
        await first.socket.aclose()
        await wait_all_tasks_blocked()
        await gateway.client(ann)


async def test_a_token_sends_so_many_prompts_a_second(autojump_clock: MockClock) -> None:
    limits = GatewayLimits(prompts_per_second=2)
    async with tri.open_manager(new_agent()) as manager, house(manager, limits=limits) as gateway:
        one, two = await gateway.client(), await gateway.client()
        assert isinstance(await one.ask(asked.Prompt, key="k", prompt="1"), told.Accepted)
        assert isinstance(await two.ask(asked.Prompt, key="k", prompt="2"), told.Accepted)
        reply = await one.ask(asked.Prompt, key="k", prompt="3")
        assert isinstance(reply, told.Failed)
        assert (reply.code, reply.data) == ("too_many", {"limit": "prompts_per_second", "retry_in": 0.5})
        await trio.sleep(0.5)
        assert isinstance(await one.ask(asked.Prompt, key="k", prompt="3"), told.Accepted)


async def test_what_begins_nothing_is_not_kept(autojump_clock: MockClock) -> None:
    async with tri.open_manager(new_agent()) as manager, house(manager) as gateway:
        client = await gateway.client()
        assert await client.fails(asked.Fork, key="a", to="b") == "invalid"
        assert isinstance(await client.ask(asked.Change, key="d", model=None), told.Done)
        assert isinstance(await client.ask(asked.Reset, key="e"), told.Done)
        assert manager.sessions() == []


async def test_what_was_accepted_may_be_said_again_as_often_as_it_is_lost(autojump_clock: MockClock) -> None:
    limits = GatewayLimits(prompts_per_second=2)
    async with tri.open_manager(new_agent()) as manager, house(manager, limits=limits) as gateway:
        client = await gateway.client()
        for _ in range(5):
            for turn in ("a", "b"):
                said = await client.ask(asked.Prompt, key="k", prompt="hello", turn=turn)
                assert isinstance(said, told.Accepted)
        assert await client.fails(asked.Prompt, key="k", prompt="hello", turn="c") == "too_many"
        assert [await manager.session("k").find(id) is not None for id in "abc"] == [True, True, False]


async def test_what_may_begin_a_session_counts_as_a_prompt(autojump_clock: MockClock) -> None:
    limits = GatewayLimits(prompts_per_second=1)
    async with tri.open_manager(new_agent()) as manager, house(manager, limits=limits) as gateway:
        client = await gateway.client()
        assert isinstance(await client.ask(asked.Reset, key="k"), told.Done)
        assert await client.fails(asked.Reset, key="k") == "too_many"
        assert await client.fails(asked.Change, key="k", model="m") == "too_many"
        assert await client.fails(asked.Fork, key="k", to="l") == "too_many"


async def test_the_log_tells_once_a_minute_which_limit_who_has_reached(
    autojump_clock: MockClock, caplog: pytest.LogCaptureFixture
) -> None:
    limits = GatewayLimits(connections_per_token=3, attached=1, requests=1, prompts_per_second=1, refusals=1)
    tokens = MemoryTokens()
    ann, bob = tokens.add("ann"), tokens.add("bob")
    async with tri.open_manager(new_agent()) as manager, house(manager, tokens=tokens, limits=limits) as gateway:
        one, two, three = await gateway.client(ann), await gateway.client(ann), await gateway.client(ann)
        await one.ask(asked.Prompt, key="k", prompt="long")
        for _ in range(2):
            assert await one.fails(asked.Prompt, key="k", prompt="one more") == "too_many"
        four = await gateway.dial()
        await four.say(asked.Hello(token=ann))
        await four.wait_closed()
        await one.ask(asked.Attach, key="a")
        assert await one.fails(asked.Attach, key="b") == "too_many"
        await trio.sleep(1)
        await two.say(two.numbered(asked.Command, key="k", command="/compact"))
        assert await two.fails(asked.Explain, key="k") == "too_many"
        for number in (1, 2):
            await three.say(f'{{"type":"nothing","id":{number}}}')
        await three.wait_closed()
        other = await gateway.client(bob)
        await other.ask(asked.Attach, key="a")
        assert await other.fails(asked.Attach, key="b") == "too_many"
        await trio.sleep(60)
        await one.ask(asked.Prompt, key="k", prompt="next")
        assert await one.fails(asked.Prompt, key="k", prompt="one more") == "too_many"
    who, another = (f"was reached by {grant.name!r} (token {grant.id}): " for grant in tokens.grants())
    assert [record.getMessage() for record in caplog.records if record.levelname == "WARNING"] == [
        f"the limit prompts_per_second {who}this token sends more than 1 prompts a second",
        f"the limit connections_per_token {who}this token has 3 connections already",
        f"the limit attached {who}this connection is attached to 1 sessions, and may be to no more",
        f"the limit requests {who}this connection has 1 requests that are worked on",
        f"the limit refusals {who}more than 1 frames were no requests",
        f"the limit attached {another}this connection is attached to 1 sessions, and may be to no more",
        f"the limit prompts_per_second {who}this token sends more than 1 prompts a second (1 more since the last)",
    ]


async def test_the_log_tells_of_limits_of_which_nobody_knows_yet_who_reached_them(
    autojump_clock: MockClock, caplog: pytest.LogCaptureFixture
) -> None:
    limits = GatewayLimits(handshakes=1, frame_bytes=1_000)
    async with tri.open_manager(new_agent()) as manager, house(manager, limits=limits) as gateway:
        gateway.connect()
        await wait_all_tasks_blocked()
        client = await gateway.client()
        await client.say("x" * 1_001)
        await client.wait_closed()
    long = "a frame was too long for the gateway, or for the client"
    assert [record.getMessage() for record in caplog.records if record.levelname == "WARNING"] == [
        "the limit handshakes was reached by clients: who had not said hello for the longest time was cut off",
        f"the limit frame_bytes was reached by clients: {long}: 'Exceeded maximum message size: 1000 bytes'",
    ]


async def test_nobody_is_read_from_who_takes_no_replies(autojump_clock: MockClock) -> None:
    async with tri.open_manager(new_agent()) as manager, house(manager) as gateway:
        client = await gateway.client(slow=True)
        client.may_read = trio.Event()
        with trio.move_on_after(5) as patience:
            for _ in range(5_000):
                await client.say(client.numbered(asked.Explain, key="k" * 500))
        assert patience.cancelled_caught
        assert gateway.hall.statistics().requests < 2_000


@pytest.mark.parametrize(
    ("field", "value"), [("connections", 0), ("hello", -1.0), ("attached", 2.5), ("depth", True), ("stall", "long")]
)
def test_limits_that_cannot_be_are_refused(field: str, value: object) -> None:
    with pytest.raises(tri.InvalidOption, match=f"GatewayLimits.{field}="):
        check_gateway_limits(GatewayLimits(**{field: value}))  # type: ignore[arg-type]  # that is the point
