"""What is said again when a connection broke before the reply, and what is not."""

from collections.abc import Awaitable, Callable

import msgspec
import pytest
import trio
from trio.testing import MockClock, wait_all_tasks_blocked

import triologue as tri
from tests.unit.remote.model_gateway import ModelGateway, open_model
from triologue.protocol import asked, told
from triologue.remote.machine import Machine


async def lose_reply(
    gateway: ModelGateway, kind: type[asked.Request], call: Callable[[], Awaitable[object]], *then: told.Reply
) -> object:
    """Call, and break the connection before the reply to a request of this kind; what the call came to."""
    gateway.answers[kind] = [None, *then]
    came: list[object] = []

    async def run() -> None:
        try:
            came.append(await call())
        except tri.TriologueError as error:
            came.append(error)

    async with trio.open_nursery() as nursery:
        nursery.start_soon(run)
        await wait_all_tasks_blocked()
        gateway.cut()
    return came[0]


def heard(gateway: ModelGateway, kind: type[asked.Request]) -> int:
    return sum(isinstance(request, kind) for request in gateway.heard)


@pytest.mark.parametrize(
    ("kind", "call"),
    [
        (asked.Interrupt, lambda session: session.interrupt()),
        (asked.Command, lambda session: session.command("/compact")),
        (asked.Fork, lambda session: session.fork("copy")),
        (asked.Reset, lambda session: session.reset()),
        (asked.Close, lambda session: session.close()),
    ],
)
async def test_what_could_hit_what_came_meanwhile_is_said_once(
    kind: type[asked.Request], call: Callable[[tri.RemoteSession], Awaitable[object]], autojump_clock: MockClock
) -> None:
    gateway = ModelGateway()
    async with open_model(gateway) as far:
        came = await lose_reply(gateway, kind, lambda: call(far.session("k")))
        assert isinstance(came, tri.GatewayLost)
        assert "nobody can tell" in str(came)
        await trio.sleep(100)
        assert heard(gateway, kind) == 1


@pytest.mark.parametrize(
    ("kind", "call"),
    [
        (asked.Prompt, lambda session: session.send("hello", id="t")),
        (asked.Change, lambda session: session.set_model("m")),
        (asked.Hibernate, lambda session: session.hibernate()),
        (asked.TurnOf, lambda session: session.find("t")),
    ],
)
async def test_the_rest_is_said_again(
    kind: type[asked.Request], call: Callable[[tri.RemoteSession], Awaitable[object]], autojump_clock: MockClock
) -> None:
    gateway = ModelGateway()
    async with open_model(gateway) as far:
        came = await lose_reply(gateway, kind, lambda: call(far.session("k")))
        assert not isinstance(came, tri.TriologueError)
        assert heard(gateway, kind) == 2


async def test_a_prompt_without_an_id_is_sent_again_under_the_one_that_it_got(autojump_clock: MockClock) -> None:
    gateway = ModelGateway()
    async with open_model(gateway) as far:
        turn = await lose_reply(gateway, asked.Prompt, lambda: far.session("k").send("hello"))
        assert isinstance(turn, tri.RemoteTurn)
        prompts = [request.turn for request in gateway.heard if isinstance(request, asked.Prompt)]
        assert prompts == [turn.id, turn.id]


async def test_an_answer_that_arrived_without_its_reply_is_our_own(autojump_clock: MockClock) -> None:
    gateway = ModelGateway()
    allowed = told.Failed(re=0, code="already_answered", message="settled", data={"by": "me", "answer": "allow"})
    async with open_model(gateway) as far:
        permission = far.permission("p")
        assert await lose_reply(gateway, asked.Answer, permission.allow, allowed) is None
        late = await lose_reply(gateway, asked.Answer, permission.deny, allowed)
        assert isinstance(late, tri.AlreadyAnswered)
        assert (late.by, late.answer) == ("me", "allow")
        gateway.answers[asked.Answer] = [allowed]
        with pytest.raises(tri.AlreadyAnswered):  # said once, so it was somebody else
            await permission.allow()


async def test_a_prompt_that_is_refused_the_second_time_may_be_a_turn_since_the_first(
    autojump_clock: MockClock,
) -> None:
    gateway = ModelGateway()
    too_many = told.Failed(re=0, code="too_many", message="too many prompts", data={"limit": "prompts_per_second"})
    async with open_model(gateway) as far:
        session = far.session("k")
        never_arrived = await lose_reply(gateway, asked.Prompt, lambda: session.send("hello", id="t"), too_many)
        assert isinstance(never_arrived, tri.LimitError)
        gateway.session("k").accept("u", "hello", {})
        turn = await lose_reply(gateway, asked.Prompt, lambda: session.send("hello", id="u"), too_many)
        assert isinstance(turn, tri.RemoteTurn)
        assert (await turn.wait()).kind == "answered"


async def test_a_prompt_whose_caller_left_is_taken_back_when_it_is_accepted(autojump_clock: MockClock) -> None:
    gateway = ModelGateway()
    async with open_model(gateway) as far:
        await far.session("k").send("busy")
        gateway.answers[asked.Prompt] = [None]
        with trio.move_on_after(0.05):
            await far.session("k").send("hello", id="t")
        gateway.cut()
        await trio.sleep(60)
        assert gateway.begun["t"] == 0
        assert gateway.session("k").outcomes["t"].kind == "cancelled"


def test_so_is_one_whose_caller_left_in_the_moment_in_which_it_was_accepted() -> None:
    machine = Machine(None, "test", held_bytes=1, max_waiting=1)
    welcome = told.Welcome(
        version="1", name="local", rights=["prompt"], prefix="", max_frame_bytes=1_000, max_requests=1
    )
    accepted = told.Accepted(re=1, key="k", turn="t", state="waiting", position=0, seq=0)
    machine.receive(msgspec.json.encode(welcome))
    waiting = machine.ask(asked.Prompt(id=0, key="k", prompt="hello", turn="t"))
    machine.take()
    machine.receive(msgspec.json.encode(accepted))
    machine.withdraw(waiting)
    assert machine.take() == [msgspec.json.encode(asked.Cancel(id=2, key="k", turn="t"))]


async def test_one_that_another_call_has_is_not(autojump_clock: MockClock) -> None:
    gateway = ModelGateway()
    async with open_model(gateway) as far:
        await far.session("k").send("busy")
        turn = await far.session("k").send("hello", id="t")
        gateway.answers[asked.Prompt] = [None]
        with trio.move_on_after(0.05) as left:
            await far.session("k").send("hello", id="t")
        assert left.cancelled_caught
        gateway.cut()  # or nobody would hear of it again
        assert (await turn.wait()).kind == "answered"
    assert not any(isinstance(request, asked.Cancel) for request in gateway.heard)


async def test_what_was_never_sent_is_not(autojump_clock: MockClock) -> None:
    gateway = ModelGateway()
    gateway.max_requests = 1
    gateway.answers[asked.Hibernate] = [None]
    async with open_model(gateway) as far, trio.open_nursery() as nursery:
        nursery.start_soon(far.session("k").hibernate)
        await wait_all_tasks_blocked()
        with trio.move_on_after(1):
            await far.session("k").set_model("m")  # behind the one that is not answered
        assert await far.session("k").interrupt() == "nothing_running"  # not behind it
        gateway.cut()
        await trio.sleep(1)
        assert heard(gateway, asked.Change) == 0
        assert heard(gateway, asked.Hibernate) == 2


async def test_no_more_requests_are_under_way_than_the_gateway_takes(autojump_clock: MockClock) -> None:
    gateway = ModelGateway()
    gateway.max_requests = 3
    async with open_model(gateway) as far:
        async with trio.open_nursery() as nursery:
            for number in range(20):
                nursery.start_soon(far.session(f"k{number}").ask, "hello")
            await wait_all_tasks_blocked()
            gateway.cut()
        assert sum(gateway.begun.values()) == 20
        assert gateway.most_unanswered <= 3
