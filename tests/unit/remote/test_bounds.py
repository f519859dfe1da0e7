"""Everything is bounded, and says what happens at the bound."""

from collections.abc import Awaitable, Callable
from functools import partial

import pytest
import trio
from trio.testing import MockClock, wait_all_tasks_blocked

import triologue as tri
from tests.support.remote import closing, remote
from tests.unit.remote.model_gateway import ModelGateway, open_model, said
from triologue.gateway import GatewayLimits
from triologue.protocol import asked, codes, told
from triologue.remote.backoff import MAX_DELAY, Backoff

HALF = "\ud83d"
"""Of a character: no UTF-8 has it."""


async def test_a_reader_that_is_too_slow_gets_a_gap(autojump_clock: MockClock) -> None:
    gateway = ModelGateway(chunk=1)
    async with open_model(gateway, held_bytes=2_000) as far:
        session = far.session("k")
        async with session.subscribe() as slow, session.subscribe() as quick, trio.open_nursery() as nursery:
            seen: list[tri.Event] = []

            async def watch() -> None:
                async for event in quick:
                    seen.append(event)  # noqa: PERF401 - it is looked at before this ends

            nursery.start_soon(watch)
            for number in range(40):
                await session.ask(f"p{number}")
            log = gateway.session("k").log
            await trio.sleep(1)
            late = [await anext(slow)]
            while late[-1].seq != len(log):
                late.append(await anext(slow))
            nursery.cancel_scope.cancel()
        gaps = [event.message for event in late if isinstance(event.message, tri.Gap)]
        records = {event.seq for event in late if event.seq is not None}
        missing = {seq for gap in gaps for seq in range(gap.first, gap.last + 1)}
        assert gaps
        assert records | missing == set(range(1, len(log) + 1))
        assert not records & missing
        assert [event for event in seen if event.seq is not None] == log


async def test_a_turn_is_read_again_as_long_as_it_is_held(autojump_clock: MockClock) -> None:
    gateway = ModelGateway()
    async with open_model(gateway) as far:
        turn = await far.session("k").send("hello")
        await turn.wait()
        expected = [message for message in said("hello") if not isinstance(message, tri.StreamEvent)]
        for _ in range(2):
            assert [message async for message in turn] == expected


async def test_a_turn_is_found_with_all_that_was_said_in_it(autojump_clock: MockClock) -> None:
    gateway = ModelGateway()
    async with open_model(gateway) as far:
        await far.session("k").ask("hello", id="t")
        await far.session("k").ask("and now?")
        turn = await far.session("k").find("t")
        assert turn is not None
        assert (await turn.wait()).unwrap().result == "re: hello"
        expected = [message for message in said("hello") if not isinstance(message, tri.StreamEvent)]
        assert [message async for message in turn] == expected


async def test_nothing_is_attached_for_longer_than_somebody_reads(autojump_clock: MockClock) -> None:
    gateway = ModelGateway()
    async with open_model(gateway) as far:
        await far.session("k").ask("hello")
        async with far.session("l").subscribe(0):
            pass
        await trio.sleep(1)
        (carrier,) = gateway.connections
        assert carrier.attached == {}
        assert repr(far).endswith("open, 0 requests wait, 0 attached>>>")


async def test_requests_that_wait_are_bounded(autojump_clock: MockClock) -> None:
    gateway = ModelGateway()
    gateway.answers[asked.Hibernate] = [None, None]
    async with open_model(gateway, max_waiting=2) as far, trio.open_nursery() as nursery:
        for _ in range(2):
            nursery.start_soon(far.session("k").hibernate)
        await wait_all_tasks_blocked()
        with pytest.raises(tri.LimitError, match="max_waiting"):
            await far.overview()
        nursery.cancel_scope.cancel()


async def test_a_frame_that_the_gateway_would_not_take_is_not_sent(autojump_clock: MockClock) -> None:
    gateway = ModelGateway()
    gateway.max_frame_bytes = 1_000
    async with open_model(gateway) as far:
        with pytest.raises(tri.InvalidOption, match="at most 1000"):
            await far.session("k").send("x" * 1_000)
        with pytest.raises(tri.InvalidOption, match="at most 1000"):
            await far.session("€" * 512).send("hello")
        assert (await far.session("k").ask("hello")).result == "re: hello"


@pytest.mark.parametrize(
    "call",
    [
        lambda far: far.overview(HALF),
        lambda far: far.session("k").find(HALF),
        lambda far: far.session("k").send("hello", meta={"by": HALF}),
        lambda far: far.session("k").command(f"/{HALF}"),
        lambda far: far.session("k").set_model(HALF),
        lambda far: far.permission("p").deny(HALF),
        lambda far: far.permission("p").allow(updated_input={"x": object()}),
    ],
    ids=["overview", "find", "send", "command", "set_model", "deny", "allow"],
)
async def test_what_cannot_be_put_into_a_frame_fails_alone(
    call: Callable[[tri.RemoteManager], Awaitable[object]], autojump_clock: MockClock
) -> None:
    gateway = ModelGateway()
    async with open_model(gateway) as far:
        with pytest.raises(tri.InvalidOption, match="cannot be put into JSON"):
            await call(far)
        assert (await far.session("k").ask("hello")).result == "re: hello"
        await trio.sleep(1)
        assert repr(far).endswith("open, 0 requests wait, 0 attached>>>")


@pytest.mark.parametrize(
    "call",
    [
        lambda far: far.explain(b"k"),
        lambda far: far.overview(b"k"),
        lambda far: far.permission(b"p").allow(),
        lambda far: far.session("k").find(b"t"),
        lambda far: far.session("k").find([]),
        lambda far: far.session("k").set_model(b"m"),
        lambda far: far.session("k").set_permission_mode(b"plan"),
        lambda far: far.session("k").fork(b"copy"),
        lambda far: far.session("k").fork("copy", at=b"m"),
        lambda far: far.session("k").fork("copy", session_id=b"i"),
        lambda far: far.session("k").subscribe(True).__aenter__(),
    ],
    ids=["explain", "overview", "permission", "find", "find list", "model", "mode", "fork", "at", "id", "subscribe"],
)
async def test_what_is_of_the_wrong_kind_is_refused_as_by_a_session_here(
    call: Callable[[tri.RemoteManager], Awaitable[object]], autojump_clock: MockClock
) -> None:
    async with open_model(ModelGateway()) as far:
        await far.session("k").ask("hello")
        with pytest.raises(tri.InvalidOption, match=r"is no str|a key is a str|is no `seq`"):
            await call(far)


async def test_text_of_a_class_of_its_own_is_text(autojump_clock: MockClock) -> None:
    class Text(str):
        __slots__ = ()

    gateway = ModelGateway()
    async with open_model(gateway) as far:
        session = far.session(Text("k"))
        assert (await session.ask(Text("hello"), id=Text("t"), meta={Text("by"): Text("me")})).result == "re: hello"
        assert await session.find(Text("t")) is not None
    assert list(gateway.sessions) == ["k"]


async def test_half_a_character_of_a_prompt_is_replaced_as_by_a_session_here(autojump_clock: MockClock) -> None:
    async with open_model(ModelGateway()) as far:
        assert (await far.session("k").ask(f"hi {HALF}")).result == "re: hi \ufffd"


async def test_it_gives_up_when_it_is_told_to(autojump_clock: MockClock) -> None:
    gateway = ModelGateway()
    async with open_model(gateway, give_up=120) as far:
        turn = await far.session("k").send("hello")
        gateway.is_down = True
        gateway.cut()
        began = trio.current_time()
        with pytest.raises(tri.GatewayLost, match="nobody listens"):
            await turn.wait()
        assert 90 <= trio.current_time() - began <= 120


async def test_an_error_that_is_raised_again_and_again_does_not_grow(autojump_clock: MockClock) -> None:
    gateway = ModelGateway()
    async with open_model(gateway, give_up=1) as far:
        session = far.session("k")
        turn = await session.send("hello")
        gateway.is_down = True
        gateway.cut()
        await trio.sleep(60)

        async def read() -> None:
            async for _ in turn:
                pass

        for ask in (turn.wait, read, partial(session.ask, "more"), far.overview):
            shown = list[int]()
            for _ in range(3):
                with pytest.raises(tri.GatewayLost) as lost:
                    await ask()
                shown.append(len(lost.traceback))
            assert shown == shown[:1] * 3


async def test_a_gateway_with_too_many_clients_is_asked_some_times(autojump_clock: MockClock) -> None:
    gateway = ModelGateway()
    async with open_model(gateway) as far:
        gateway.refuses_with = codes.CLOSE_TOO_MANY
        gateway.cut(codes.CLOSE_TOO_MANY, "full")
        with pytest.raises(tri.GatewayRefused, match="too many clients") as refused:
            await far.session("k").ask("hello")
        assert refused.value.code == codes.CLOSE_TOO_MANY


async def test_one_that_has_not_yet_seen_which_clients_are_gone_takes_them_back(autojump_clock: MockClock) -> None:
    gateway, limits = ModelGateway(), GatewayLimits()
    async with open_model(gateway) as far, trio.open_nursery() as nursery:
        gateway.refuses_with = codes.CLOSE_TOO_MANY
        gateway.cut()

        async def see_who_is_gone() -> None:
            await trio.sleep(limits.keep_alive + limits.stall)
            gateway.refuses_with = None

        nursery.start_soon(see_who_is_gone)
        assert (await far.session("k").ask("hello")).result == "re: hello"


@pytest.mark.parametrize("code", [codes.CLOSE_UNAUTHORIZED, codes.CLOSE_BAD_FRAME])
async def test_a_gateway_that_does_not_want_this_client_is_believed(code: int, autojump_clock: MockClock) -> None:
    with pytest.raises(tri.GatewayRefused) as refused:
        async with remote(lambda: closing(code, "no")):
            pass
    assert refused.value.code == code
    gateway = ModelGateway()
    async with open_model(gateway) as far:
        gateway.refuses_with = code
        gateway.cut(code, "not any more")
        with pytest.raises(tri.GatewayRefused) as refused:
            await far.session("k").ask("hello")
    assert refused.value.code == code


async def test_a_gateway_that_answers_attach_with_something_else_is_none(autojump_clock: MockClock) -> None:
    gateway = ModelGateway()
    gateway.answers[asked.Attach] = [told.Done(re=0)]
    async with open_model(gateway) as far:
        with trio.fail_after(60), pytest.raises(tri.GatewayError, match="'attach' with Done, which is no answer"):
            await far.session("k").ask("hello")


def test_pauses_grow_to_a_bound_and_begin_anew_after_a_connection_that_held() -> None:
    backoff = Backoff(lambda: 1.0)
    assert [backoff.next(0) for _ in range(9)] == [0, 0.5, 1, 2, 4, 8, 16, MAX_DELAY, MAX_DELAY]
    assert [backoff.next(each) for each in (1, 60, 0, 0)] == [MAX_DELAY, 0, 0.5, 1]
    backoff = Backoff(lambda: 0.0)
    assert [backoff.next(0) for _ in range(4)] == [0, 0.25, 0.5, 1]


async def test_who_leaves_before_it_could_begin_to_read_leaves_nothing(autojump_clock: MockClock) -> None:
    gateway = ModelGateway()
    async with open_model(gateway) as far:
        session = far.session("k")
        async with session.subscribe(0):
            gateway.answers[asked.Attach] = [None]
            await session.ask("hello")
            with trio.move_on_after(1):
                async with session.subscribe(1):  # which has to be attached to again
                    raise AssertionError("it could not begin")
            gateway.cut()
            await trio.sleep(1)
            (attachment,) = [each for each in map(far._link.machine.attachments.get, ["k"]) if each is not None]
            assert "1 readers" in repr(attachment)


async def test_the_end_of_a_turn_that_is_missing_is_asked_for(autojump_clock: MockClock) -> None:
    gateway = ModelGateway(keep=2)
    async with open_model(gateway) as far:
        turn = await far.session("k").send("hello")
        gateway.is_down = True
        gateway.cut()
        gateway.session("k").accept("u", "of somebody else", {})
        await trio.sleep(60)
        gateway.is_down = False
        assert (await turn.wait()).unwrap().result == "re: hello"
        assert [type(message) async for message in turn][-1] is tri.Gap


async def test_so_is_that_of_one_whose_receipt_was_lost(autojump_clock: MockClock) -> None:
    gateway = ModelGateway(keep=2)
    gateway.answers[asked.Prompt] = [None]
    turns: list[tri.RemoteTurn] = []
    async with open_model(gateway) as far, trio.open_nursery() as nursery:

        async def send() -> None:
            turns.append(await far.session("k").send("hello", id="t"))

        nursery.start_soon(send)
        await wait_all_tasks_blocked()
        gateway.is_down = True
        gateway.cut()
        gateway.session("k").accept("t", "hello", {})
        gateway.session("k").accept("u", "of somebody else", {})
        gateway.tell()
        await trio.sleep(60)
        gateway.is_down = False
        await trio.sleep(60)
        assert (await turns[0].wait()).unwrap().result == "re: hello"
        assert [message async for message in turns[0] if not isinstance(message, tri.Gap)] == []
