"""The sessions of a real gateway, over connections that break; the agent is scripted, and time is virtual."""

from collections.abc import Callable
from contextlib import AsyncExitStack
from typing import final

import pytest
import trio
from msgspec.structs import replace
from trio.testing import MockClock, wait_all_tasks_blocked

import triologue as tri
from tests.support.gateway import house, said
from tests.support.remote import Line, remote
from tests.unit.remote.model_gateway import ModelGateway, open_model
from triologue.gateway import GatewayLimits
from triologue.gateway.tokens import Grant, MemoryTokens
from triologue.protocol.codes import CLOSE_UNAUTHORIZED
from triologue.stores import MemoryStore
from triologue.testing import Say, ScriptedAgent, UseTool, Wait
from triologue.wire import encode_record

LONG_LOG = tri.Limits(log_bytes=1 << 20)


def new_agent() -> ScriptedAgent:
    agent = ScriptedAgent()
    agent.on("long", Wait(300), Say("at last"))
    agent.on("story", Say("once upon a time", every=1.0))
    agent.on("delete", UseTool("delete", {"path": "x"}, asks=True), Say("done"))
    return agent


def kept(messages: list[tri.Message]) -> list[tri.Message]:
    return [message for message in messages if not isinstance(message, tri.StreamEvent)]


async def test_what_is_read_goes_on_where_it_was_when_the_line_was_cut(autojump_clock: MockClock) -> None:
    async with tri.open_manager(new_agent(), limits=LONG_LOG) as manager, house(manager) as gateway:
        line = Line(gateway)
        async with remote(line.connect) as far:
            session, view = far.session("k"), list[tri.Event]()
            async with session.subscribe() as events, trio.open_nursery() as nursery:

                async def watch() -> None:
                    async for event in events:
                        view.append(event)

                async def cut_often() -> None:
                    for _ in range(3):
                        await trio.sleep(1.3)
                        await line.cut()

                nursery.start_soon(watch)
                nursery.start_soon(cut_often)
                async with session.turn("story", id="t") as turn:
                    messages = kept([message async for message in turn])
                assert turn.outcome is not None
                answered = turn.outcome.unwrap()
                await trio.sleep(60)
                nursery.cancel_scope.cancel()
        log = await manager.session("k").read()
    assert len(line.attempts) == 4
    assert said(view) == said(log)
    shown = [event.message for event in log if event.turn_id == "t" and is_shown(event.message)]
    assert list(map(encode_record, messages)) == list(map(encode_record, shown))
    assert answered.result == "once upon a time"


async def test_prompts_that_waited_for_a_connection_are_not_refused_for_coming_at_once(
    autojump_clock: MockClock,
) -> None:
    limits = GatewayLimits(prompts_per_second=5)
    async with tri.open_manager(new_agent()) as manager, house(manager, limits=limits) as gateway:
        line, answers, refused = Line(gateway), list[str | None](), list[str]()
        async with remote(line.connect) as far:

            async def ask(number: int) -> None:
                try:
                    answers.append((await far.session(str(number)).ask("hello")).result)
                except tri.LimitError as error:
                    refused.append(str(error))

            async with trio.open_nursery() as nursery:
                line.is_down = True
                await line.cut()
                for number in range(30):
                    await trio.sleep(0.2)
                    nursery.start_soon(ask, number)
                line.is_down = False
                await trio.sleep(60)
                assert (len(answers), refused) == (30, [])
            async with trio.open_nursery() as nursery:
                for number in range(30):
                    nursery.start_soon(ask, number)
            assert len(refused) == 25, "who sends too many at once hears of it"
        assert manager.statistics().turns["answered"] == 35


@pytest.mark.parametrize("is_watched", [False, True])
async def test_prompts_that_waited_for_a_connection_keep_their_order_in_each_session(
    is_watched: bool, autojump_clock: MockClock
) -> None:
    keys = [f"k{number}" for number in range(10)]  # tasks that are woken at once go on in one of two orders, by chance
    store, said_in_turn = MemoryStore(), ["throw it away", "no, wait", "only the old ones"]
    async with tri.open_manager(new_agent(), store=store) as manager, house(manager) as gateway:
        line = Line(gateway)
        async with remote(line.connect) as far, AsyncExitStack() as readers, trio.open_nursery() as nursery:
            for key in keys if is_watched else []:
                await readers.enter_async_context(far.session(key).subscribe())
            line.is_down = True
            await line.cut()
            for prompt in said_in_turn:
                await trio.sleep(1)
                for key in keys:
                    nursery.start_soon(far.session(key).ask, prompt)
            line.is_down = False
        for key in keys:
            accepted = [event.message for event in await manager.session(key).read()]
            prompts = [message.prompt for message in accepted if isinstance(message, tri.TurnAccepted)]
            assert [tri.text(prompt) for prompt in prompts] == said_in_turn


async def test_one_of_these_that_is_withdrawn_is_not_sent(autojump_clock: MockClock) -> None:
    limits = GatewayLimits(prompts_per_second=1)
    async with tri.open_manager(new_agent()) as manager, house(manager, limits=limits) as gateway:
        line = Line(gateway)
        async with remote(line.connect) as far, trio.open_nursery() as nursery:
            line.is_down = True
            await line.cut()
            await wait_all_tasks_blocked()
            for number in range(3):
                nursery.start_soon(far.session(str(number)).ask, "hello")
            await trio.sleep(0.1)
            line.is_down = False
            await trio.sleep(0.7)
            assert manager.statistics().turns["answered"] == 1
            nursery.cancel_scope.cancel()
        assert trio.current_time() < 2, "nothing was left to say"
        await trio.sleep(10)
        assert manager.statistics().turns["answered"] == 1


async def test_one_of_these_that_is_withdrawn_holds_up_nobody(autojump_clock: MockClock) -> None:
    limits = GatewayLimits(prompts_per_second=1)
    async with tri.open_manager(new_agent()) as manager, house(manager, limits=limits) as gateway:
        line = Line(gateway)
        async with remote(line.connect) as far:
            line.is_down = True
            await line.cut()
            await wait_all_tasks_blocked()
            async with trio.open_nursery() as nursery:
                for number in range(100):
                    nursery.start_soon(far.session(str(number)).ask, "hello")
                await wait_all_tasks_blocked()
                line.is_down = False
                await trio.sleep(3)
                nursery.cancel_scope.cancel()
            began = trio.current_time()
            await far.session("k").ask("hello")
            assert trio.current_time() - began < 2


def is_shown(message: tri.Message) -> bool:
    return not isinstance(message, tri.TurnAccepted | tri.TurnStarted | tri.TurnEnded)


@pytest.mark.parametrize("character", ["é", "語", "🙂"])
async def test_a_long_prompt_may_take_minutes_to_be_sent(character: str, autojump_clock: MockClock) -> None:
    agent = ScriptedAgent(lambda prompt: (Say(f"{len(prompt)} characters"),))
    count = 1_000_000 // len(character.encode())
    async with tri.open_manager(agent) as manager, house(manager) as gateway:
        line = Line(gateway, uplink=4_000)
        async with remote(line.connect) as far:
            with trio.fail_after(600):
                assert (await far.session("k").ask(character * count)).result == f"{count} characters"
        assert len(line.attempts) == 1
    assert 250 < trio.current_time() < 260


async def test_it_comes_back_at_once_and_then_after_longer_and_longer_pauses(autojump_clock: MockClock) -> None:
    async with tri.open_manager(new_agent()) as manager, house(manager) as gateway:
        line = Line(gateway)
        async with remote(line.connect) as far, trio.open_nursery() as nursery:
            await trio.sleep(100)
            line.is_down = True
            await line.cut()
            results: list[str | None] = []

            async def ask() -> None:
                results.append((await far.session("k").ask("hello")).result)

            nursery.start_soon(ask)
            await trio.sleep(600)
            assert not far.is_connected
            line.is_down = False
            await trio.sleep(60)
    assert len(results) == 1
    pauses = [later - earlier for earlier, later in zip(line.attempts[1:], line.attempts[2:], strict=False)]
    assert line.attempts[1] == pytest.approx(100, abs=1)
    for number, pause in enumerate(pauses):
        longest = min(30.0, 0.5 * 2**number)
        assert longest / 2 <= pause <= longest + 0.01


async def test_an_interrupt_does_not_wait_for_a_connection(autojump_clock: MockClock) -> None:
    async with tri.open_manager(new_agent()) as manager, house(manager) as gateway:
        line = Line(gateway)
        async with remote(line.connect) as far:
            session = far.session("k")
            turn = await session.send("long")
            await wait_all_tasks_blocked()
            line.is_down = True
            await line.cut()
            await wait_all_tasks_blocked()
            with pytest.raises(tri.GatewayLost, match="does not wait"):
                await session.interrupt()
            line.is_down = False
            await trio.sleep(5)
            assert await session.interrupt() == "stopped"
            assert (await turn.wait()).kind == "interrupted"


async def test_a_turn_that_is_left_or_cancelled_is_withdrawn(autojump_clock: MockClock) -> None:
    async with (
        tri.open_manager(new_agent()) as manager,
        house(manager) as gateway,
        remote(Line(gateway).connect) as far,
    ):
        session = far.session("k")
        async with session.turn("long") as running:
            ahead = await session.send("hello")
            waiting = await session.send("hello", meta={"by": "ann"})
            assert [(each.state, each.position) for each in (running, ahead, waiting)] == [
                ("running", None),
                ("waiting", 0),
                ("waiting", 1),
            ]
            assert waiting.meta == {"by": "ann"}
            with trio.move_on_after(1):
                await session.ask("hello", id="cancelled")
            assert (await waiting.cancel()).kind == "cancelled"
        assert (running.outcome.kind if running.outcome else None) == "interrupted"
        found = await session.find("cancelled")
        assert found is not None
        assert (await found.wait()).kind == "cancelled"


async def test_errors_come_back_as_their_classes(autojump_clock: MockClock) -> None:
    limits = tri.Limits(mailbox=1)
    async with (
        tri.open_manager(new_agent(), limits=limits) as manager,
        house(manager) as gateway,
        remote(Line(gateway).connect) as far,
    ):
        session = far.session("k")
        running = await session.send("long", id="t")
        with pytest.raises(tri.InvalidOption):
            await session.send("another", id="t")
        with pytest.raises(tri.TurnRejected):
            await session.send("hello", overlap="reject")
        await session.send("hello")
        with pytest.raises(tri.MailboxFull):
            await session.send("hello")
        with pytest.raises(tri.SessionExists):
            await session.fork("k")
        with pytest.raises(tri.NotFound):
            await far.permission("nobody").deny()
        assert (await running.cancel()).kind == "interrupted"
        with pytest.raises(tri.TurnInterrupted):
            running.outcome.unwrap()  # type: ignore[union-attr]


async def test_permissions_are_answered_from_afar_once(autojump_clock: MockClock) -> None:
    async with (
        tri.open_manager(new_agent(), on_permission=lambda request: None) as manager,
        house(manager) as gateway,
        remote(Line(gateway).connect) as far,
        trio.open_nursery() as nursery,
    ):
        turn = await far.session("k").send("delete", meta={"chat": "C1"})
        await wait_all_tasks_blocked()
        (asked,) = await far.open_permissions()
        assert (asked.tool, asked.input, asked.meta, asked.session.key) == (
            "delete",
            {"path": "x"},
            {"chat": "C1"},
            "k",
        )
        heard: list[tri.PermissionAnswered] = []

        async def wait() -> None:
            heard.append(await asked.wait())

        nursery.start_soon(wait)
        await wait_all_tasks_blocked()
        await far.permission(asked.id).allow()  # a button knows no more than the id
        await turn.wait()
        with pytest.raises(tri.AlreadyAnswered) as late:
            await asked.deny("no")
        assert (late.value.by, late.value.answer) == ("local", "allow")
        await wait_all_tasks_blocked()
        assert [(each.answer, each.by) for each in heard] == [("allow", "local")]
        assert (await asked.wait()).answer == "allow"  # from the log


async def test_a_gateway_that_was_started_again_and_had_kept_nothing(autojump_clock: MockClock) -> None:
    line: Line | None = None
    async with tri.open_manager(new_agent()) as first, house(first) as gateway:
        line = Line(gateway)
        async with remote(line.connect) as far:
            session = far.session("k")
            await session.ask("hello")
            turn = await session.send("long", id="t")
            async with session.subscribe() as events, tri.open_manager(new_agent()) as second, house(second) as again:
                line.house = again
                await line.cut()
                with pytest.raises(tri.StoreError, match="had kept it nowhere"):
                    async for _ in events:
                        pass
                outcome = await turn.wait()
                assert outcome.kind == "lost"
                assert isinstance(outcome.error, tri.TurnLost)
                assert (await session.ask("hello")).result  # the next one begins afresh


async def test_what_a_gateway_that_drains_takes_no_more_waits_for_the_next_one(autojump_clock: MockClock) -> None:
    store, agent = MemoryStore(), new_agent()
    heard: list[tri.Event] = []
    withdrawn: list[bool] = []
    async with trio.open_nursery() as nursery:

        async def watch() -> None:
            async with far.session("b").subscribe() as events:
                async for event in events:
                    heard.append(event)  # noqa: PERF401 - it is looked at before this ends

        async def withdraw() -> None:
            with trio.move_on_after(1) as scope:
                await far.session("c").ask("not wanted for long")
            withdrawn.append(scope.cancelled_caught)

        async with tri.open_manager(agent, store=store) as first, house(first) as gateway:
            line = Line(gateway)
            far = await nursery.start(_hold, line)
            await far.session("a").send("long", id="t")
            await wait_all_tasks_blocked()
            first.drain()
            nursery.start_soon(watch)
            nursery.start_soon(withdraw)
            answers: list[dict[str, str | None]] = [{}, {}]
            for key, told in zip("ab", answers, strict=True):
                nursery.start_soon(_keep_answer, far, key, told)
            with pytest.raises(tri.ManagerClosed):
                await far.session("a").set_model("another")
            await trio.sleep(20)
            assert (answers, heard, withdrawn) == ([{}, {}], [], [True])
            line.is_down = True
        async with tri.open_manager(agent, store=store) as second, house(second) as gateway:
            line.house, line.is_down = gateway, False
            await trio.sleep(60)
            assert [set(told) for told in answers] == [{"a"}, {"b"}]
            assert heard
            assert await store.get_session("c") is None
            nursery.cancel_scope.cancel()


async def test_a_turn_that_a_drain_leaves_for_the_next_start_is_not_told_to_be_cancelled(
    autojump_clock: MockClock,
) -> None:
    store, agent = MemoryStore(), new_agent()
    async with trio.open_nursery() as nursery:
        async with tri.open_manager(agent, store=store) as first, house(first) as gateway:
            line = Line(gateway)
            far = await nursery.start(_hold, line)
            session, told = far.session("a"), dict[str, str | None]()
            await far.session("b").send("long")
            await session.send("story")
            turn, unwanted = await session.send("hello", id="t"), await session.send("hello", id="u")
            first.drain()
            await trio.sleep(25)
            assert await _drained(first.session("a"), "t"), "for this process it is"
            with pytest.raises(tri.ManagerClosed, match="goes on at the next start"):
                await session.find("t")
            nursery.start_soon(_keep_answer, far, "a", told, "t")
            unwanted.withdraw()
            await trio.sleep(1)
            assert (turn.outcome, unwanted.outcome, told) == (None, None, {})
            line.is_down = True
        async with tri.open_manager(agent, store=store) as second, house(second) as gateway:
            line.house, line.is_down = gateway, False
            await trio.sleep(60)
            await second.recover()
            assert ((await turn.wait()).kind, (await unwanted.wait()).kind) == ("answered", "cancelled")
            await trio.sleep(1)
            assert list(told) == ["a"]
            nursery.cancel_scope.cancel()


async def _drained(session: tri.Session, id: str) -> bool:
    turn = await session.find(id)
    return turn is not None and turn.outcome is not None and isinstance(turn.outcome.error, tri.ManagerClosed)


async def _hold(line: Line, task_status: trio.TaskStatus[tri.RemoteManager]) -> None:
    async with remote(line.connect) as far:
        task_status.started(far)
        await trio.sleep_forever()


async def _keep_answer(far: tri.RemoteManager, key: str, told: dict[str, str | None], id: str | None = None) -> None:
    told[key] = (await far.session(key).ask("hello", id=id)).result


async def test_another_log_that_is_as_long_is_not_taken_for_the_one_that_was_read(autojump_clock: MockClock) -> None:
    async with tri.open_manager(new_agent()) as first, house(first) as gateway:
        line = Line(gateway)
        async with remote(line.connect) as far, far.session("k").subscribe() as events:
            turn = await far.session("k").send("long", id="t")
            view = [await anext(events)]
            async with tri.open_manager(new_agent(), limits=LONG_LOG) as second, house(second) as again:
                for number in range(10):
                    await second.session("k").ask(f"prompt {number}")
                line.house = again
                await line.cut()
                with pytest.raises(tri.StoreError, match="that was read is gone"):
                    while True:
                        view.append(await anext(events))
                assert {event.turn_id for event in view} <= {"t", None}
                assert (await turn.wait()).kind == "lost"
                async with far.session("k").subscribe(0) as anew:
                    assert (await anext(anew)).seq == 1


async def test_a_turn_of_which_nothing_was_told_is_asked_for_in_another_log(autojump_clock: MockClock) -> None:
    gateway = ModelGateway()
    async with open_model(gateway) as far:
        async with far.session("k").subscribe() as events:
            turn = await far.session("k").send("hello", id="t")
            gateway.forget()
            assert (await turn.wait()).kind == "lost"
            await far.session("k").ask("again")  # and the reader, who had seen nothing, goes on
            assert (await anext(events)).seq == 1


async def test_a_turn_from_before_a_restart_is_told_with_its_messages(autojump_clock: MockClock) -> None:
    agent, store = new_agent(), MemoryStore()
    async with tri.open_manager(agent, store=store, deadlines=tri.Deadlines(drain=0)) as manager:
        for number in range(3):
            await manager.session("k").ask("hello", id=f"t{number}")
    async with (
        tri.open_manager(agent, store=store) as manager,
        house(manager) as gateway,
        remote(Line(gateway).connect) as far,
    ):
        log = await manager.session("k").read()
        shown = [event.message for event in log if event.turn_id == "t1" and is_shown(event.message)]
        turn = await far.session("k").find("t1")
        assert turn is not None
        assert list(map(encode_record, [message async for message in turn])) == list(map(encode_record, shown))
        again = await far.session("k").send("hello", id="t1")
        assert list(map(encode_record, [message async for message in again])) == list(map(encode_record, shown))
        assert (await again.wait()).kind == "answered"


async def test_a_result_tells_what_its_turn_has_cost(autojump_clock: MockClock) -> None:
    agent = ScriptedAgent(cost_usd=0.25)
    async with tri.open_manager(agent) as manager, house(manager) as gateway, remote(Line(gateway).connect) as far:
        session = far.session("k")
        assert (await session.ask("hello")).cost_usd == 0.25
        async with session.turn("hello") as turn:
            assert [each.cost_usd async for each in turn if isinstance(each, tri.ResultMessage)] == [0.25]
        result = await session.command("/cost")
        assert (result.cost_usd, result.total_cost_usd) == (0.25, 0.75)


async def test_a_subscription_ends_with_its_block(autojump_clock: MockClock) -> None:
    async with (
        tri.open_manager(new_agent()) as manager,
        house(manager) as gateway,
        remote(Line(gateway).connect) as far,
    ):
        session = far.session("k")
        async with session.subscribe() as events:
            await session.ask("hello")
        await session.ask("more")
        seen = [type(event.message) async for event in events]
        assert seen.count(tri.TurnEnded) == 1


async def test_a_session_that_is_deleted(autojump_clock: MockClock) -> None:
    async with (
        tri.open_manager(new_agent()) as manager,
        house(manager) as gateway,
        remote(Line(gateway).connect) as far,
    ):
        session = far.session("k")
        await session.ask("hello")
        async with session.subscribe(0) as events:
            await far.delete("k")
            with pytest.raises(tri.TriologueError, match="deleted"):
                async for _ in events:
                    pass
        assert (await session.ask("hello")).result


async def test_a_token_that_is_not_accepted_is_not_tried_again(autojump_clock: MockClock) -> None:
    tokens = MemoryTokens()
    token = tokens.add(name="bot", rights=["watch", "prompt"])
    async with tri.open_manager(new_agent()) as manager, house(manager, tokens=tokens) as gateway:
        line = Line(gateway)
        with pytest.raises(tri.GatewayRefused) as refused:
            async with remote(line.connect, token="tri_nobody_x"):
                pass
        assert refused.value.code == CLOSE_UNAUTHORIZED
        assert "tri_nobody_x" not in str(refused.value)
        async with remote(line.connect, token=token) as far:
            session = far.session("k")
            turn = await session.send("long")
            async with session.subscribe() as events:
                await trio.sleep(1)  # it runs, or it would be withdrawn
                tokens.revoke(token.split("_")[1])
                with pytest.raises(tri.GatewayRefused):
                    async for _ in events:
                        pass
            with pytest.raises(tri.GatewayRefused):
                await turn.wait()
            with pytest.raises(tri.GatewayRefused):
                await session.send("hello")
            attempts = len(line.attempts)
            await trio.sleep(1_000)
            assert len(line.attempts) == attempts


@final
class ChangingToken:
    """One token, `secret`, whose grant is changed while it is used."""

    def __init__(self, grant: Grant) -> None:
        self._grant = grant
        self._changed = trio.Event()

    def change(self, grant: Grant) -> None:
        self._grant = grant
        self._changed.set()

    def check(self, token: str, now: float) -> Grant | None:
        return self.get(self._grant.id, now) if token == "secret" else None

    def get(self, id: str, now: float) -> Grant | None:
        return self._grant if self._grant.is_valid(now) else None

    async def watch(self, on_change: Callable[[], None]) -> None:
        await self._changed.wait()
        on_change()


async def test_a_token_that_is_changed_is_shown_again_and_all_goes_on(autojump_clock: MockClock) -> None:
    grant = Grant(id="t", name="bot", rights=frozenset({"watch", "prompt"}), expires=100.0)
    tokens = ChangingToken(grant)
    async with tri.open_manager(new_agent()) as manager, house(manager, tokens=tokens) as gateway:
        line = Line(gateway)
        async with remote(line.connect, token="secret") as far:
            turn = await far.session("k").send("long")
            await trio.sleep(1)
            tokens.change(replace(grant, rights=frozenset({"watch", "prompt", "admin"}), expires=1_000.0))
            assert (await turn.wait()).unwrap().result == "at last"
            await far.session("k").set_model("m")
            assert (far.welcome.rights, len(line.attempts)) == (["admin", "prompt", "watch"], 2)
            with pytest.raises(tri.GatewayRefused, match="does not accept the token"):  # when it has expired
                async with far.session("k").subscribe() as events:
                    async for _ in events:
                        pass
