"""What a caller may get wrong, and the moments at which a manager must not hang."""

import asyncio
import threading
from collections.abc import Awaitable, Callable
from types import SimpleNamespace
from typing import Any

import pytest
import trio
from trio.testing import wait_all_tasks_blocked

import triologue as tri
from triologue.engine import OfflineModel, Transcripts
from triologue.manager import open_manager
from triologue.messages import Interrupt


def agent() -> tri.Embedded:
    return tri.Embedded(model=OfflineModel(), transcripts=Transcripts())


@pytest.mark.parametrize(
    "wrong",
    [
        {"agent": tri.Embedded},
        {"agent": "embedded"},
        {"options": {"model": "x"}},
        {"options": "x"},
        {"options": tri.Options(disallowed_tools="Bash")},  # type: ignore[arg-type]
        {"options": tri.Options(max_turns="3")},  # type: ignore[arg-type]
        {"options": tri.Options(output_format="json")},  # type: ignore[arg-type]
        {"options": tri.Options(add_dirs=[3])},  # type: ignore[list-item]
        {"options": tri.Options(abort_event=threading.Event())},  # type: ignore[arg-type]
        {"limits": {"mailbox": 1}},
        {"agent": ""},
        {"limits": {}},
        {"deadlines": {}},
        {"restart": {}},
        {"store": ""},
        {"limits": tri.Limits(max_asleep=0)},
        {"limits": tri.Limits(max_starting=1.5)},  # type: ignore[arg-type]
        {"deadlines": tri.Deadlines(interrupt=None)},  # type: ignore[arg-type]
    ],
)
async def test_what_cannot_be_is_refused_before_anything_starts(wrong: dict[str, Any]) -> None:
    with pytest.raises(tri.InvalidOption):
        async with open_manager(**{"agent": agent(), **wrong}):
            pass


async def test_what_is_no_session_id_begins_no_conversation_by_mistake() -> None:
    async with open_manager(agent()) as manager:
        with pytest.raises(tri.InvalidOption, match="resume='' is no text"):
            manager.session("s", options=tri.Options(resume=""))
        with pytest.raises(tri.InvalidOption, match=r"session_id=.* has half a character in it"):
            manager.session("s", options=tri.Options(session_id="\udcff"))


async def test_an_agent_of_ones_own_that_lacks_something_is_told_what() -> None:
    class Partly:
        name = "partly"
        check = initialize = user_frame = connect = diagnose = None

    with pytest.raises(tri.InvalidOption, match=r"it lacks requests, permission_reply, see triologue\.ports\.Agent"):
        async with open_manager(Partly()):  # type: ignore[arg-type]
            pass


@pytest.mark.parametrize(
    ("wrong", "told"),
    [
        ({"name": ""}, "its name is '', and not some text"),
        ({"name": lambda: "whole"}, "its name is <function .*>, and not some text"),
        ({"requests": [Interrupt]}, r"its requests are \[<class .*Interrupt'>\], and not a mapping of types"),
        ({"requests": dict}, "its requests are <class 'dict'>, and not a mapping of types"),
        ({"check": trio.sleep}, r"its check\(\) is async, and nobody awaits it"),
        ({"connect": trio.sleep}, r"its connect\(\) gives no async context manager; @asynccontextmanager makes one"),
    ],
)
async def test_an_agent_of_ones_own_that_could_not_be_used_is_told_why(wrong: dict[str, object], told: str) -> None:
    parts = dict.fromkeys(("check", "initialize", "permission_reply", "user_frame", "connect", "diagnose"))
    whole = {"name": "whole", "requests": {Interrupt: None}, **parts}
    with pytest.raises(tri.InvalidOption, match=f"is no agent: {told}"):
        async with open_manager(SimpleNamespace(**{**whole, **wrong})):
            pass


async def test_an_agent_of_ones_own_may_pass_on_what_it_does_not_do_itself() -> None:
    """Python from 3.12 on does not see by `isinstance` what a `__getattr__` gives."""

    class Wrapped:
        inner = agent()

        def __getattr__(self, name: str) -> Any:
            return getattr(self.inner, name)

    async with open_manager(Wrapped()) as manager:
        assert (await (await manager.session("s").send("hello")).wait()).kind == "answered"


async def test_what_is_called_on_another_loop_is_refused_and_breaks_nothing() -> None:
    async with open_manager(agent()) as manager:
        session = manager.session("s")
        turn = await session.send("Wait 60 seconds")

        async def read(messages: Any) -> None:
            async for _ in messages:
                pass

        async def follow() -> None:
            async with session.subscribe():
                pass

        calls: list[Callable[[], Awaitable[Any]]] = [
            lambda: session.ask("hi"),
            lambda: session.send("hi"),
            lambda: session.set_model("x"),
            session.get_mcp_status,
            session.interrupt,
            session.close,
            session.reset,
            turn.wait,
            turn.cancel,
            lambda: read(turn),
            follow,
        ]

        def elsewhere() -> None:
            for run in trio.run, lambda call: asyncio.run(call()):
                for call in calls:
                    with pytest.raises(RuntimeError, match=r"belongs to the trio\.run in which it was opened"):
                        run(call)

        await trio.to_thread.run_sync(elsewhere)
        assert await session.interrupt() == "stopped"
        assert (await turn.wait()).kind == "interrupted"
        assert (await session.ask("Say I work")).result == "I work"


@pytest.mark.parametrize(
    "options",
    [
        {"env": {"TOKEN": "sesame"}},
        lambda key: {"env": {"TOKEN": "sesame"}},
        tri.Options(env=["sesame"]),  # type: ignore[arg-type]
        tri.Options(extra_args={"api-key": "sesame"}),
    ],
)
async def test_no_error_shows_what_may_be_a_secret(options: Any) -> None:
    with pytest.raises(tri.CallerError) as refused:
        async with open_manager(agent(), options=options) as manager:
            await manager.session("k").ask("hi")
    assert "sesame" not in str(refused.value)


@pytest.mark.parametrize(
    "prompt",
    [
        [tri.TextBlock(text=5)],  # type: ignore[arg-type]
        [tri.ImageBlock(source={"data": object()})],
        {"message": {"content": [{"type": "text", "text": {1}}]}},
        {"message": {"content": ["odd"]}},
    ],
)
async def test_a_block_that_cannot_be_is_refused_and_the_conversation_goes_on(prompt: Any) -> None:
    async with tri.open_manager(agent()) as manager:
        session = manager.session("k")
        with pytest.raises(tri.InvalidOption):
            await session.ask(prompt)
        assert (await session.ask("Say hello")).result == "hello"


WRONG: list[Callable[[tri.SessionManager, tri.KeptSessions], Awaitable[Any]]] = [
    lambda manager, _: manager.session("k").find(["x"]),  # type: ignore[arg-type]
    lambda manager, _: manager.session("k").send("hello", overlap=""),  # type: ignore[arg-type]
    lambda manager, _: manager.overview(None),  # type: ignore[arg-type]
    lambda _, store: store.messages("k", after="x"),  # type: ignore[arg-type]
    lambda _, store: store.messages("k", limit=None),  # type: ignore[arg-type]
    lambda _, store: store.list_sessions(before="x"),  # type: ignore[arg-type]
]


@pytest.mark.parametrize("ask", WRONG, ids=map(str, range(len(WRONG))))
async def test_what_is_asked_with_a_value_of_the_wrong_kind_is_refused_by_name(
    ask: Callable[[tri.SessionManager, tri.KeptSessions], Awaitable[Any]],
) -> None:
    async with tri.open_manager(agent(), store=tri.MemoryStore()) as manager:
        await manager.session("k").ask("hello")
        assert manager.store is not None
        with pytest.raises(tri.InvalidOption, match=r"(id|overlap|prefix|after|limit|before)=.* is no"):
            await ask(manager, manager.store)
        with pytest.raises(tri.InvalidOption, match=r"id=\['x'\] is no str"):
            manager.permission(["x"])  # type: ignore[arg-type]


@pytest.mark.parametrize("label", [{"id": 5}, {"meta": "x"}, {"meta": {"a": 1}}])
async def test_labels_are_text(label: dict[str, Any]) -> None:
    async with tri.open_manager(agent()) as manager:
        with pytest.raises(tri.InvalidOption):
            await manager.session("k").send("hello", **label)
        assert manager.sessions() == []


@pytest.mark.parametrize("key", ["", None, 5])
async def test_what_is_no_key_cannot_be_deleted_and_leaves_nothing_behind(key: Any) -> None:
    async with tri.open_manager(agent(), store=tri.MemoryStore()) as manager:
        with pytest.raises(tri.InvalidOption, match="a key is a str"):
            await manager.delete(key)
        assert await manager.overview() == []


async def test_a_fork_needs_a_key_as_any_session() -> None:
    async with tri.open_manager(agent()) as manager:
        session = manager.session("k")
        await session.ask("hello")
        with pytest.raises(tri.InvalidOption):
            await session.fork("")


async def test_a_manager_that_is_opened_in_a_cancelled_scope_closes() -> None:
    with trio.fail_after(5), trio.CancelScope() as scope:
        scope.cancel()
        async with tri.open_manager(agent()):
            await trio.sleep_forever()
    assert scope.cancelled_caught


async def test_a_prompt_that_comes_while_its_session_is_deleted_gets_its_outcome_and_leaves_the_key_usable() -> None:
    async with tri.open_manager(agent()) as manager, trio.open_nursery() as nursery:
        session = manager.session("k")
        running = await session.send("wait 600 seconds")
        nursery.start_soon(manager.delete, "k")
        await trio.lowlevel.checkpoint()
        late = await session.send("wait 600 seconds")
        assert (await running.wait()).kind in ("cancelled", "interrupted")
        with trio.fail_after(5):
            assert (await late.wait()).kind in ("cancelled", "interrupted")
            await wait_all_tasks_blocked()
            assert manager.sessions() == []
            assert (await manager.session("k").ask("Say hello")).result == "hello"


async def test_who_reads_a_deleted_session_is_told_that_nothing_follows() -> None:
    async with tri.open_manager(agent()) as manager:
        session = manager.session("k")
        async with session.subscribe() as events:
            await session.ask("hello")
            await manager.delete("k")
            with trio.fail_after(5):
                kinds = [type(event.message) async for event in events]
    assert kinds[-1] is tri.StateChanged


async def test_options_of_a_handle_count_also_when_another_began_the_session() -> None:
    async with tri.open_manager(agent()) as manager:
        first, second = manager.session("k"), manager.session("k", options=tri.Options(model="big"))
        assert (await first.ask("Which model are you?")).result == "I am offline."
        assert (await second.ask("Which model are you?")).result == "I am big."
        await first.set_model("small")
        assert (await second.ask("Which model are you?")).result == "I am small."
