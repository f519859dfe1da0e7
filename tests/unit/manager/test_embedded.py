"""Sessions on the built-in agent: what outsiders see."""

from collections.abc import AsyncGenerator
from contextlib import asynccontextmanager
from pathlib import Path

import pytest
import trio
from trio.testing import MockClock, wait_all_tasks_blocked

import triologue as tri
from triologue.engine import OfflineModel, Transcripts


@asynccontextmanager
async def opened(*, piece_delay: float = 0.0, **more: object) -> AsyncGenerator[tri.SessionManager]:
    agent = tri.Embedded(model=OfflineModel(piece_delay=piece_delay), transcripts=Transcripts())
    async with tri.open_manager(agent, **more) as manager:  # type: ignore[arg-type]
        yield manager


async def test_a_key_costs_nothing_and_is_the_same_session() -> None:
    async with opened() as manager:
        session = manager.session("k")
        assert (session, session.state, session.session_id) == (manager.session("k"), "new", None)
        assert manager.sessions() == []
        for wrong in ("", "x" * 513, 5):
            with pytest.raises(tri.InvalidOption):
                manager.session(wrong)  # type: ignore[arg-type]


async def test_ask_remembers_and_hibernating_forgets_nothing() -> None:
    async with opened() as manager:
        session = manager.session("k")
        await session.ask("Remember: I like Python")
        assert session.state == "idle"
        await session.hibernate()
        assert (session.state, session.pid) == ("hibernated", None)
        result = await session.ask("What do I like?")
        assert (result.result, result.session_id) == ("You like Python.", session.session_id)


async def test_a_turn_is_read_by_many_before_during_and_after(autojump_clock: MockClock) -> None:
    async with opened(piece_delay=1.0) as manager:
        session = manager.session("k", options=tri.Options(include_partial_messages=True))
        seen: dict[str, list[tri.Message]] = {}

        async def read(turn: object, name: str) -> None:
            seen[name] = [message async for message in turn]  # type: ignore[attr-defined]

        async with session.turn("Count to 5") as turn, trio.open_nursery() as nursery:
            nursery.start_soon(read, turn, "early")
            await trio.sleep(2.5)
            nursery.start_soon(read, turn, "during")
        await read(turn, "after")
        whole = [message for message in seen["early"] if not isinstance(message, tri.StreamEvent)]
        assert seen["after"] == whole
        assert [message for message in seen["during"] if not isinstance(message, tri.StreamEvent)] == whole
        assert "".join(map(tri.text, seen["early"])).count("1 2 3 4 5") == 2  # in pieces, and whole
        assert isinstance(whole[-1], tri.ResultMessage)


async def test_a_slow_reader_of_a_turn_misses_nothing(autojump_clock: MockClock) -> None:
    async with opened() as manager, manager.session("k").turn("Count to 300") as turn:
        await turn.wait()
        seen = []
        async for message in turn:
            seen.append(message)
            await trio.sleep(1)
        assert [type(message) for message in seen] == [tri.InitMessage, tri.AssistantMessage, tri.ResultMessage]


async def test_a_reader_that_is_behind_when_the_turn_ends_misses_nothing(autojump_clock: MockClock) -> None:
    async with opened(piece_delay=0.01) as manager:
        session = manager.session("k", options=tri.Options(include_partial_messages=True))
        seen = []
        async with session.turn("Count to 20") as turn:
            async for message in turn:
                seen.append(message)
                await trio.sleep(5)
        said = "".join(tri.text(message) for message in seen if isinstance(message, tri.StreamEvent))
        assert said == " ".join(map(str, range(1, 21)))
        assert isinstance(seen[-1], tri.ResultMessage)


async def test_a_reader_that_is_cancelled_goes_on_where_it_was(autojump_clock: MockClock) -> None:
    async with opened(piece_delay=1.0) as manager:
        session = manager.session("k", options=tri.Options(include_partial_messages=True))
        async with session.turn("Count to 20") as turn:
            reader, pieces = aiter(turn), []
            is_over = False
            while not is_over:
                with trio.move_on_after(0.3):
                    try:
                        message = await anext(reader)
                    except StopAsyncIteration:
                        is_over = True
                    else:
                        pieces.append(tri.text(message) if isinstance(message, tri.StreamEvent) else "")
        assert "".join(pieces) == " ".join(map(str, range(1, 21)))


async def test_interrupt_and_go_on(autojump_clock: MockClock) -> None:
    async with opened(piece_delay=1.0) as manager:
        session = manager.session("k")
        turn = await session.send("Count to 100")
        behind = await session.send("Say hello")
        await trio.sleep(5)
        assert await session.interrupt() == "stopped"
        outcome = await turn.wait()
        assert (outcome.kind, outcome.reason) == ("interrupted", "aborted_streaming")
        assert (await behind.wait()).unwrap().result == "hello"


async def test_leaving_a_turn_by_cancellation_frees_the_session(autojump_clock: MockClock) -> None:
    async with opened(piece_delay=1.0) as manager:
        session = manager.session("k")
        with trio.move_on_after(3):
            async with session.turn("Count to 100") as turn:
                async for _ in turn:
                    pass
        assert (await session.ask("Say hello")).result == "hello"
        assert (await turn.wait()).kind == "interrupted"


async def test_events_are_enough_to_draw_a_session_again() -> None:
    async with opened() as manager:
        session = manager.session("k")
        await session.ask("Say hello", meta={"user": "U1"})
        async with session.subscribe(0) as events:
            seen = [await anext(events) for _ in range(session.statistics().records)]
        assert [event.seq for event in seen] == list(range(1, len(seen) + 1))
        kinds = [type(event.message) for event in seen if event.turn_id is not None]
        assert kinds == [
            tri.TurnAccepted,
            tri.TurnStarted,
            tri.InitMessage,
            tri.AssistantMessage,
            tri.ResultMessage,
            tri.TurnEnded,
        ]
        accepted = seen[0].message
        assert isinstance(accepted, tri.TurnAccepted)
        assert (tri.text(accepted.prompt), accepted.meta) == ("Say hello", {"user": "U1"})


async def test_a_subscriber_neither_wakes_a_session_nor_keeps_it_awake() -> None:
    async with opened() as manager:
        session = manager.session("k")
        async with session.subscribe() as events:
            states = [session.state]
            await session.ask("Say hello")
            await session.hibernate()
            assert [*states, session.state] == ["new", "hibernated"]
            assert (await anext(events)).turn_id is not None


async def test_a_fork_leaves_the_original_as_it_is() -> None:
    async with opened() as manager:
        session = manager.session("k")
        with pytest.raises(tri.InvalidOption):
            await session.fork("too soon")
        await session.ask("Remember: I like Python")
        fork = await session.fork("fork", session_id="00000000-0000-4000-8000-000000000000")
        with pytest.raises(tri.SessionExists):
            await session.fork("fork")
        await fork.ask("Remember: I like trio")
        assert fork.session_id == "00000000-0000-4000-8000-000000000000"
        assert (await session.ask("What did I tell you?")).result != (await fork.ask("What did I tell you?")).result


async def test_reset_begins_a_fresh_conversation_and_keeps_the_old_one() -> None:
    async with opened() as manager:
        session = manager.session("k")
        await session.ask("Remember: I like Python")
        old = session.session_id
        await session.reset()
        assert session.session_id is None
        assert "Python" not in str((await session.ask("What do I like?")).result)
        again = manager.session("again", options=tri.Options(resume=old))
        assert (await again.ask("What do I like?")).result == "You like Python."


async def test_a_setting_that_no_start_could_have_is_refused_also_while_the_agent_starts() -> None:
    async with opened() as manager:
        session = manager.session("k")
        turn = await session.send("Say hello")
        assert session.state == "starting"
        with pytest.raises(tri.InvalidOption):
            await session.set_permission_mode("nonsense")
        assert (await turn.wait()).kind == "answered"


async def test_settings_survive_a_wake() -> None:
    async with opened() as manager:
        session = manager.session("k")
        with pytest.raises(tri.InvalidOption):
            await session.set_permission_mode("nonsense")
        await session.ask("Say hello")
        with pytest.raises(tri.AgentProtocolError):
            await session.set_permission_mode("nonsense")
        await session.set_model("big")
        assert (await session.ask("Which model are you?")).result == "I am big."
        await session.hibernate()
        assert (await session.ask("Which model are you?")).result == "I am big."
        await session.hibernate()
        await session.set_model(None)
        assert (await session.ask("Which model are you?")).result == "I am offline."


async def test_a_command_is_run_and_a_prompt_like_one_is_not() -> None:
    async with opened() as manager:
        session = manager.session("k")
        assert "You said" in str((await session.ask("/cost")).result)
        assert "Total cost" in str((await session.command("/cost")).result)
        with pytest.raises(tri.InvalidOption):
            await session.command("cost")
        before = session.session_id
        await session.command("/clear")
        assert session.session_id != before


async def test_each_turn_tells_what_it_cost() -> None:
    async with opened() as manager:
        session = manager.session("k")
        results = [await session.ask("Say hello") for _ in range(3)]
        await session.hibernate()
        results.append(await session.ask("Say hello"))
        costs = [result.cost_usd or 0 for result in results]
        assert all(cost > 0 for cost in costs)
        assert sum(costs) == pytest.approx(results[-1].total_cost_usd)
        assert session.statistics().total_cost_usd == results[-1].total_cost_usd


async def test_an_error_of_the_model_fails_its_turn_only() -> None:
    async with opened() as manager:
        session = manager.session("k")
        with pytest.raises(tri.TurnFailed, match="overloaded"):
            await session.ask("Fail with 529: overloaded")
        assert (await session.ask("Say hello")).result == "hello"


async def test_options_of_identity_name_how_a_key_begins() -> None:
    async with opened() as manager:
        session = manager.session("k", options=tri.Options(session_id="00000000-0000-4000-8000-000000000001"))
        await session.ask("Say hello")
        assert session.session_id == "00000000-0000-4000-8000-000000000001"
        with pytest.raises(tri.InvalidOption):
            manager.session("k", options=tri.Options(resume="x"))
        with pytest.raises(tri.InvalidOption):
            manager.session("k", agent=tri.Embedded())
        taken = manager.session("other", options=tri.Options(session_id="00000000-0000-4000-8000-000000000001"))
        with pytest.raises(tri.TurnFailed) as caught:
            await taken.ask("Say hello")
        assert isinstance(caught.value.__cause__, tri.SessionIdInUse)


async def test_options_may_depend_on_the_key() -> None:
    async with opened(options=lambda key: tri.Options(model=f"model of {key}")) as manager:
        assert (await manager.session("a").ask("Which model are you?")).result == "I am model of a."


async def test_a_function_for_options_is_asked_at_every_wake(tmp_path: Path) -> None:
    now = "spring"

    def options(key: str) -> tri.Options:
        return tri.Options(model=f"{key} in {now}", cwd=tmp_path / now)

    async def model(session: tri.Session) -> str | None:
        return (await session.ask("Which model are you?")).result

    for season in ("spring", "summer"):
        (tmp_path / season).mkdir()
    async with opened(options=options, store=tmp_path / "sessions.db") as manager:
        plain, named = manager.session("plain"), manager.session("named", options=tri.Options(model="mine"))
        changed, late = manager.session("changed"), manager.session("late")
        told = [await model(each) for each in (plain, named, changed)]
        await changed.set_model("another")
        async with late.subscribe():
            now = "summer"
            told.append(await model(late))
        copy = await changed.fork("copy")
        for session in (plain, named, changed, copy):
            await session.hibernate()
            told.append(await model(session))
        assert manager.store is not None
        kept = [await manager.store.get_session(key) for key in ("plain", "late")]
    assert told == [
        *("I am plain in spring.", "I am mine.", "I am changed in spring."),
        "I am late in summer.",
        *("I am plain in summer.", "I am mine.", "I am another.", "I am another."),
    ]
    assert [each.cwd for each in kept if each is not None] == [
        str(tmp_path / "spring"),  # where its agent finds its history
        str(tmp_path / "summer"),  # where it began
    ]


async def test_options_that_cannot_be_leave_a_session_asleep_as_it_was() -> None:
    turns = 5
    async with opened(options=lambda key: tri.Options(max_turns=turns)) as manager:
        session = manager.session("k")
        await session.ask("Remember: I like Python")
        await session.hibernate()
        turns = -1
        with pytest.raises(tri.InvalidOption, match="max_turns=-1"):
            await session.ask("What do I like?")
        assert session.state == "hibernated"
        turns = 5
        assert (await session.ask("What do I like?")).result == "You like Python."


@pytest.mark.parametrize("count", [200, pytest.param(1000, marks=pytest.mark.slow)])
async def test_many_conversations_at_once(count: int) -> None:
    async with opened() as manager:

        async def talk(number: int) -> None:
            session = manager.session(f"k{number}")
            await session.ask(f"Remember: I like {number}")
            if number % 3 == 0:
                await session.hibernate()
            assert (await session.ask("What do I like?")).result == f"You like {number}."

        async with trio.open_nursery() as nursery:
            for number in range(count):
                nursery.start_soon(talk, number)
        assert (len(manager.sessions()), manager.statistics().timers) == (count, count)


async def test_deleting_a_key_frees_it() -> None:
    async with opened() as manager:
        session = manager.session("k")
        await session.ask("Say hello")
        await manager.delete("k")
        assert (manager.sessions(), session.state) == ([], "new")
        await wait_all_tasks_blocked()
        assert manager.statistics().live == 0
