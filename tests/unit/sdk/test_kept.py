"""`query()` and `Client` with a store: conversations that outlive the process."""

from collections.abc import AsyncIterator, Callable
from pathlib import Path
from typing import Any

import pytest
import trio
from trio.testing import MockClock, wait_all_tasks_blocked

import triologue as tri
from tests.support.dying import dying_manager
from tests.support.slow_store import SlowStore
from triologue.engine import Transcripts
from triologue.sdk.root import GRACE, Root
from triologue.stores import MemoryStore
from triologue.testing import Crash, Say, ScriptedAgent

WHAT = "What do I like?"


def elsewhere() -> tri.Embedded:
    """The built-in agent of another process, which remembers nothing by itself."""
    return tri.Embedded(transcripts=Transcripts())


async def ask(prompt: str, store: Any, **options: Any) -> tuple[str | None, str | None]:
    """The answer of a query, and its conversation's id."""
    async with tri.query(prompt, options=tri.Options(**options), agent=elsewhere(), store=store) as query:
        [answer] = [message.result async for message in query if isinstance(message, tri.ResultMessage)]
        return answer, query.session_id


def test_another_process_goes_on_with_it(tmp_path: Path) -> None:
    file = tmp_path / "sessions.db"
    said: list[str | None] = []

    async def first() -> None:
        said.append((await ask("Remember: I like Python", file, cwd=tmp_path))[1])

    async def second() -> None:
        by_id, id = await ask(WHAT, str(file), resume=said[0], cwd=tmp_path)
        latest, same = await ask(WHAT, file, continue_conversation=True, cwd=tmp_path)
        said.extend([by_id, id, latest, same])

    trio.run(first)
    trio.run(second)
    assert said[1:] == ["You like Python.", said[0]] * 2


async def test_a_client_too(tmp_path: Path) -> None:
    store = MemoryStore()
    async with tri.Client(agent=elsewhere(), store=store) as client:
        await client.query("Remember: I like Python")
        _ = [message async for message in client.receive_response()]
    [head] = await store.list_sessions()
    async with tri.Client(tri.Options(resume=head.key), agent=elsewhere(), store=store) as client:
        await client.query(WHAT)
        said = [message.result async for message in client.receive_response() if isinstance(message, tri.ResultMessage)]
        assert (said, client.session_id) == (["You like Python."], head.session_id)
    [head] = await store.list_sessions()
    assert head.turns == 2


async def test_what_a_host_that_died_was_asked_is_no_answer(autojump_clock: MockClock) -> None:
    """It is told by nobody who goes on: neither the turn that is lost, nor the answer to what waited behind it."""
    store, agent = MemoryStore(now=trio.current_time), elsewhere()
    for key in ("query", "client"):
        async with dying_manager(agent, store) as manager:
            session = manager.session(key)
            await session.send("Wait 300 seconds")
            await session.send(f"Remember: I like {key}")
            await wait_all_tasks_blocked()
        await trio.sleep(60)  # the lease of the dead one runs out
        options = tri.Options(resume=key)
        if key == "query":
            async with tri.query(WHAT, options=options, agent=agent, store=store) as query:
                said = [message async for message in query]
        else:
            async with tri.Client(options, agent=agent, store=store) as client:
                everything = client.receive_messages()
                await client.query(WHAT)
                said = [await anext(everything)]
                while not isinstance(said[-1], tri.ResultMessage):
                    said.append(await anext(everything))
        results = [message.result for message in said if isinstance(message, tri.ResultMessage)]
        assert results == [f"You like {key}."]


async def test_a_copy_leaves_the_original_alone() -> None:
    store = MemoryStore()
    _, id = await ask("Remember: I like Python", store)
    answer, copied = await ask(WHAT, store, resume=id, fork_session=True)
    assert answer == "You like Python."
    [copy, original] = await store.list_sessions()
    assert (copy.session_id, copy.parent, original.session_id, original.turns) == (copied, original.key, id, 1)


async def test_a_conversation_that_was_copied_is_gone_on_with_and_copied_again() -> None:
    store = MemoryStore()
    _, id = await ask("Remember: I like Python", store)
    copies = [await ask(WHAT, store, resume=id, fork_session=True) for _ in range(2)]
    async with tri.Client(tri.Options(resume=id), agent=elsewhere(), store=store) as client:
        await client.query(WHAT)  # one that is held can be copied too
        copies.append(await ask(WHAT, store, resume=id, fork_session=True))
    copies.append(await ask(WHAT, store, resume=id))
    assert [answer for answer, _ in copies] == ["You like Python."] * 4
    assert len({copied for _, copied in copies}) == 4
    with pytest.raises(tri.InvalidOption, match="with 'embedded', and not with 'claude-code'"):
        options = tri.Options(resume=id, fork_session=True)
        _ = [message async for message in tri.query("Hello", options=options, agent=tri.ClaudeCode(), store=store)]


KEPT = "5d0c1a7e-0000-4000-8000-000000000001"


@pytest.mark.parametrize(
    ("options", "error"),
    [
        pytest.param({"session_id": KEPT}, tri.SessionIdInUse, id="a new one under an id that is kept"),
        pytest.param({"resume": KEPT, "resume_session_at": "m"}, tri.InvalidOption, id="cut where it is"),
        pytest.param(
            {"resume": KEPT, "fork_session": True, "resume_drops_turn": "m"}, tri.InvalidOption, id="without a turn"
        ),
        pytest.param({"resume": KEPT, "cwd": "/"}, tri.InvalidOption, id="in another folder"),
        pytest.param({"resume": KEPT[:-1] + "2"}, tri.SessionNotFound, id="one that nobody knows"),
    ],
)
async def test_what_cannot_be(options: dict[str, Any], error: type[Exception]) -> None:
    store = MemoryStore()
    await ask("Hello", store, session_id=KEPT)
    with pytest.raises(error):
        await ask("Hello", store, **options)
    head = await store.get_session(KEPT)
    assert head is not None
    assert head.turns == 1


async def test_a_conversation_is_held_once() -> None:
    store, agent = MemoryStore(), elsewhere()
    _, id = await ask("Hello", store)
    options = tri.Options(resume=id)
    async with tri.Client(options, agent=agent, store=store) as client:
        await client.query("Hello")
        with pytest.raises(tri.SessionIdInUse, match="held by another query or client"):
            await ask("Hello", store, resume=id)
    assert (await ask("Hello", store, resume=id))[1] == id


async def test_a_second_close_means_nobody_else_who_holds_it_by_then(autojump_clock: MockClock) -> None:
    store, agent = MemoryStore(), elsewhere()
    _, id = await ask("Hello", store)
    async with tri.Client(tri.Options(resume=id), agent=agent, store=store) as late:
        await late.query("Hello")
        _ = [message async for message in late.receive_response()]
        await late.disconnect()
        async with tri.query("Hello", options=tri.Options(resume=id), agent=agent, store=store) as early:
            _ = [message async for message in early]
            query = tri.query("Wait 10 seconds", options=tri.Options(resume=id), agent=agent, store=store)
            async for message in query:
                if isinstance(message, tri.InitMessage):
                    break
            with pytest.raises(tri.SessionIdInUse):
                await late.connect()
            assert await early.interrupt() == "nothing_running"
        assert late.session_id == early.session_id == id
    [result] = [message async for message in query if isinstance(message, tri.ResultMessage)]
    assert not result.is_error


async def test_one_that_is_closed_or_disconnected_while_it_begins_holds_nothing() -> None:
    slow, agent = SlowStore(), elsewhere()
    store = slow.as_store
    _, id = await ask("Hello", store)
    query = tri.query("Hello", options=tri.Options(resume=id), agent=agent, store=store)
    client = tri.Client(tri.Options(resume=id), agent=agent, store=store)

    async def read() -> None:
        assert [message async for message in query] == []

    async def connect() -> None:
        with pytest.raises(tri.CallerError, match="disconnected before it was connected"):
            await client.connect()

    for begin, end in ((read, query.aclose), (connect, client.disconnect)):
        async with trio.open_nursery() as nursery:
            slow.hold()
            nursery.start_soon(begin)
            await wait_all_tasks_blocked()
            await end()
            slow.go_on()
    assert (await ask("Hello", store, resume=id))[1] == id


async def test_who_reads_replies_when_the_disk_is_full_hears_of_it(autojump_clock: MockClock) -> None:
    store = SlowStore()
    async with tri.query("Wait 10 seconds", agent=elsewhere(), store=store.as_store) as query:
        with pytest.raises(tri.StoreError, match="the disk is full"), trio.fail_after(1000):
            async for _ in query:
                store.is_full = True


@pytest.mark.parametrize("read", [tri.Client.receive_response, tri.Client.receive_messages])
async def test_who_reads_replies_of_a_client_when_the_disk_is_full_hears_of_it(
    read: Callable[[tri.Client], AsyncIterator[tri.Message]], autojump_clock: MockClock
) -> None:
    store = SlowStore()
    async with tri.Client(agent=elsewhere(), store=store.as_store) as client:
        await client.query("Wait 10 seconds")
        with pytest.raises(tri.StoreError, match="the disk is full"), trio.fail_after(1000):
            async for _ in read(client):
                store.is_full = True
        store.is_full = False
        await client.query("Hello")
        assert [message.result async for message in client.receive_response() if isinstance(message, tri.ResultMessage)]


async def results(client: tri.Client, count: int) -> list[str | None]:
    """The next ones that `receive_messages` gives."""
    heard: list[str | None] = []
    with trio.fail_after(100):
        async for message in client.receive_messages():
            if isinstance(message, tri.ResultMessage):
                heard.append(message.result)
                if len(heard) == count:
                    break
    return heard


async def ends(messages: AsyncIterator[tri.Message]) -> None:
    """Nothing more is said there, and who reads does not wait for it."""
    with trio.fail_after(100):
        assert [message async for message in messages] == []


async def test_a_client_whose_conversation_was_deleted_elsewhere_hears_all_of_the_next_one(
    autojump_clock: MockClock,
) -> None:
    """What the agent says of its own accord too, though the log was further when that was told last."""
    store = MemoryStore(now=trio.current_time)
    agent = ScriptedAgent(lambda prompt: [Crash(3)] if prompt == "die" else [Say(prompt)])

    async with tri.Client(agent=agent, store=store) as client:
        for prompt in "abcdef":
            await client.query(prompt)
        assert await results(client, 6) == [*"abcdef"]
        await client.query("die")
        with pytest.raises(tri.AgentCrashed):
            await results(client, 1)
        await trio.sleep(100)
        [head] = await store.list_sessions()
        await store.delete(head.key)
        with pytest.raises(tri.StoreError, match="deleted meanwhile"):
            await client.query("g")
        await client.query("h")
        assert await results(client, 1) == ["h"]
        agent.connection.begin_turn(Say("of its own"))
        await client.query("i")
        await trio.sleep(100)
        assert await results(client, 2) == ["of its own", "i"]


async def test_who_reads_when_a_conversation_was_deleted_elsewhere_hears_what_it_had_first(
    autojump_clock: MockClock,
) -> None:
    """Both logs count from 1. What the next one says of its own accord comes in its place, to whoever reads on too."""
    store = MemoryStore(now=trio.current_time)
    agent = ScriptedAgent(lambda prompt: [Crash(3)] if prompt == "die" else [Say(prompt)])
    async with tri.Client(agent=agent, store=store) as client:
        for prompt in ("a", "b", "c"):
            await client.query(prompt)
        assert await results(client, 1) == ["a"]
        await client.query("die")
        await trio.sleep(100)
        [head] = await store.list_sessions()
        await store.delete(head.key)
        with pytest.raises(tri.StoreError, match="deleted meanwhile"):
            await client.query("d")
        await client.query("e")
        await trio.sleep(100)
        agent.connection.begin_turn(Say("of its own"))
        await client.query("f")
        await trio.sleep(100)
        assert await results(client, 2) == ["b", "c"]
        with pytest.raises(tri.AgentCrashed):
            await results(client, 1)
        assert await results(client, 1) == ["e"]
        assert await results(client, 2) == ["of its own", "f"]


async def test_who_reads_everything_while_it_is_deleted_elsewhere_is_told_that_nothing_follows(
    autojump_clock: MockClock,
) -> None:
    """Who reads again hears the conversation that follows."""
    store = MemoryStore(now=trio.current_time)
    agent = ScriptedAgent(lambda prompt: [Crash(3)] if prompt == "die" else [Say(prompt)])
    async with tri.Client(agent=agent, store=store) as client:
        await client.query("die")
        everything = client.receive_messages()
        with pytest.raises(tri.AgentCrashed):
            _ = [message async for message in everything]
        await trio.sleep(100)
        [head] = await store.list_sessions()
        await store.delete(head.key)
        async with trio.open_nursery() as nursery:
            nursery.start_soon(ends, everything)
            await wait_all_tasks_blocked()
            with pytest.raises(tri.StoreError, match="deleted meanwhile"):
                await client.query("a")
        await client.query("b")
        assert await results(client, 1) == ["b"]


async def shown(messages: AsyncIterator[tri.Message]) -> list[str]:
    """The results, and the gaps, that come within some seconds."""
    said: list[str] = []
    with trio.move_on_after(10):
        async for message in messages:
            if isinstance(message, tri.ResultMessage):
                said.append(message.result or "")
            elif isinstance(message, tri.Gap):
                said.append("a gap")
    return said


async def test_who_goes_on_with_a_conversation_has_missed_nothing_of_what_was_said_before(
    autojump_clock: MockClock,
) -> None:
    """Whoever read before the first prompt, reads while it is sent, or does so when it is answered."""
    store, agent = MemoryStore(now=trio.current_time), ScriptedAgent(lambda prompt: [Say(prompt)])
    options = tri.Options()
    for _ in range(3):
        async with tri.Client(options, agent=agent, store=store) as client:
            assert await shown(client.receive_messages()) == []
            await client.query("a")
            await trio.sleep(100)
            assert await shown(client.receive_messages()) == ["a"]
            agent.connection.begin_turn(Say("of its own"))
            await trio.sleep(100)
            assert await shown(client.receive_messages()) == ["of its own"]
        options = tri.Options(resume=client.session_id)
        async with tri.Client(options, agent=agent, store=store) as client:
            everything = client.receive_messages()
            await client.query("b")
            assert await shown(everything) == ["b"]
        assert await shown(tri.query("c", options=options, agent=agent, store=store)) == ["c"]


async def test_who_goes_on_with_a_conversation_that_is_deleted_before_the_first_prompt_hears_all_of_the_next_one(
    autojump_clock: MockClock,
) -> None:
    store, agent = MemoryStore(now=trio.current_time), ScriptedAgent(lambda prompt: [Say(prompt)])
    async with tri.Client(agent=agent, store=store) as client:
        for prompt in "abcdef":
            await client.query(prompt)
        assert await results(client, 6) == [*"abcdef"]
    async with tri.Client(tri.Options(resume=client.session_id), agent=agent, store=store) as client:
        assert await shown(client.receive_messages()) == []
        [head] = await store.list_sessions()
        await store.delete(head.key)
        await client.query("g")
        await trio.sleep(100)
        agent.connection.begin_turn(Say("of its own"))
        await trio.sleep(100)
        assert await shown(client.receive_messages()) == ["g", "of its own"]


async def test_who_reads_late_is_given_each_reply_once_whichever_of_the_prompts_was_known_first_to_be_accepted(
    autojump_clock: MockClock,
) -> None:
    """They are sent at the same time, and which of the tasks runs first then is by chance."""
    agent = ScriptedAgent(lambda prompt: [Say(f"{prompt} {number} {2000 * 'x'}") for number in range(4)])
    for _ in range(30):
        said: list[str] = []
        async with tri.Client(agent=agent, store=MemoryStore(now=trio.current_time)) as client:
            async with trio.open_nursery() as nursery:
                for prompt in "abcde":
                    nursery.start_soon(client.query, prompt)
            await trio.sleep(100)
            with trio.move_on_after(10):
                async for message in client.receive_messages():
                    if isinstance(message, tri.ResultMessage):
                        said.append((message.result or "")[0])
                    elif isinstance(message, tri.AssistantMessage):
                        said.append(tri.text(message)[:3])
        order = said[4::5]
        assert sorted(order) == [*"abcde"]
        assert said == [text for prompt in order for text in (*(f"{prompt} {number}" for number in range(4)), prompt)]


async def test_a_store_that_nobody_uses_any_more_is_closed_in_time(autojump_clock: MockClock) -> None:
    store = MemoryStore()
    _, id = await ask("Hello", store)
    first = Root.current(store)
    await trio.sleep(GRACE - 1)
    assert (await ask("Hello", store, resume=id))[1] == id  # used again in time, it stays
    async with tri.Client(agent=elsewhere(), store=store):
        await trio.sleep(10 * GRACE)
        assert Root.current(store) is first
    await trio.sleep(GRACE + 1)
    assert (await ask("Hello", store, resume=id))[1] == id
    assert Root.current(store) is not first


async def test_a_file_is_one_store_whatever_it_is_called(tmp_path: Path) -> None:
    file, link = tmp_path / "sessions.db", tmp_path / "link.db"
    link.symlink_to(file)
    _, id = await ask("Hello", file)
    assert (await ask("Hello", link, resume=id))[1] == id
    assert Root.current(str(link)) is Root.current(file)


async def test_a_file_that_is_no_store_is_said_and_tried_anew(tmp_path: Path) -> None:
    file = tmp_path / "sessions.db"
    file.write_text("This is no database, and it is long enough to be looked at as one." * 20)
    with pytest.raises(tri.StoreError, match="no SQLite database"):
        await ask("Hello", file)
    file.unlink()
    assert (await ask("Hello", file))[1] is not None
    with pytest.raises(tri.InvalidOption, match="store=3 is no path"):
        tri.query("Hello", agent=elsewhere(), store=3)  # type: ignore[arg-type]


async def test_a_copy_that_is_deleted_elsewhere_begins_anew_with_the_same_agent(autojump_clock: MockClock) -> None:
    store = MemoryStore(now=trio.current_time)
    agent = ScriptedAgent(lambda prompt: [Crash(3)] if prompt == "die" else [Say(prompt)])
    async with tri.Client(agent=agent, store=store) as client:
        await client.query("a")
        assert await results(client, 1) == ["a"]
    options = tri.Options(resume=client.session_id, fork_session=True)
    async with tri.Client(options, agent=agent, store=store) as client:
        await client.query("die")
        with pytest.raises(tri.AgentCrashed):
            await results(client, 1)
        await trio.sleep(100)
        for head in await store.list_sessions():
            await store.delete(head.key)
        with pytest.raises(tri.StoreError, match="deleted meanwhile"):
            await client.query("b")
        await client.query("c")
        assert await results(client, 1) == ["c"]
