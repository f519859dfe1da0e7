"""Which conversation a command goes on with: the database's first, else what the agent knows by itself."""

import os
from pathlib import Path

import pytest

from triologue.cli.choosing import Wish, choose
from triologue.cli.database import NotKept, database_path
from triologue.errors import InvalidOption
from triologue.options import Options
from triologue.ports import Append, StoredSession
from triologue.stores import MemoryStore

HERE = os.path.realpath(os.curdir)


async def store_of(*heads: StoredSession) -> MemoryStore:
    store = MemoryStore()
    for head in heads:
        lease, _ = await store.acquire(head.key, owner="me", ttl=60)
        await store.append(Append(lease=lease, session=head))
        await store.release(lease)
    return store


def wish(agent: str = "embedded", *, is_agent_named: bool = False, **options: object) -> Wish:
    return Wish(command="chat", agent=agent, is_agent_named=is_agent_named, options=Options(**options))  # type: ignore[arg-type]


OLD = StoredSession(key="old", session_id="1", agent="embedded", cwd=HERE, last_active=1.0)
NEW = StoredSession(key="new", session_id="2", agent="qoder", cwd=HERE, last_active=2.0)
ELSEWHERE = StoredSession(key="elsewhere", session_id="3", agent="embedded", cwd="/", last_active=3.0)
FOREIGN = StoredSession(key="foreign", session_id="4", agent="theirs", cwd="/", last_active=0.5)
BEGUN = StoredSession(key="begun", agent="embedded", cwd=HERE, last_active=4.0)


async def chosen(wish: Wish) -> tuple[str, str | None, Options]:
    choice = await choose(await store_of(OLD, NEW, ELSEWHERE, FOREIGN, BEGUN), wish)
    return choice.agent.name, choice.key, choice.options


async def test_nothing_asked_for_is_a_new_one() -> None:
    assert await chosen(wish()) == ("embedded", None, Options(cwd=HERE))


async def test_one_by_its_key_or_its_id_with_its_agent_and_in_its_folder() -> None:
    assert await chosen(wish(resume="elsewhere", model="m")) == ("embedded", "elsewhere", Options(cwd="/", model="m"))
    assert await chosen(wish(resume="2", fork_session=True)) == ("qoder", "new", Options(cwd=HERE))


async def test_what_is_not_kept_the_agent_may_know() -> None:
    options = Options(resume="5", cwd=HERE)
    assert await chosen(wish(resume="5")) == ("embedded", None, options)
    with pytest.raises(NotKept, match="no session '5' is kept"):
        await chosen(wish("", resume="5"))


async def test_the_latest_one_of_the_folder() -> None:
    assert (await chosen(wish(continue_conversation=True)))[:2] == ("qoder", "new")
    assert (await chosen(wish(is_agent_named=True, continue_conversation=True)))[:2] == ("embedded", "old")
    assert (await chosen(wish(continue_conversation=True, cwd="/")))[:2] == ("embedded", "elsewhere")
    nothing = await chosen(wish("cortex-code", is_agent_named=True, continue_conversation=True))
    assert nothing == ("cortex-code", None, Options(cwd=HERE, continue_conversation=True))


async def test_without_a_database_the_agent_is_asked() -> None:
    choice = await choose(None, wish(continue_conversation=True))
    assert (choice.key, choice.options) == (None, Options(cwd=HERE, continue_conversation=True))


async def test_what_cannot_be() -> None:
    with pytest.raises(InvalidOption, match="the session 'new' is with 'qoder'; leave --agent embedded out"):
        await chosen(wish(is_agent_named=True, resume="new"))
    with pytest.raises(
        InvalidOption, match="the session 'elsewhere' works in '/', and cannot be moved; leave --cwd out"
    ):
        await chosen(wish(resume="elsewhere", cwd=HERE))
    with pytest.raises(InvalidOption, match="is with 'theirs', an agent that this command cannot talk to"):
        await chosen(wish(resume="foreign"))


def test_where_the_database_is() -> None:
    assert database_path({"TRIOLOGUE_HOME": "/data"}) == Path("/data/sessions.db")
    assert database_path({"TRIOLOGUE_HOME": ""}) == database_path({})
    assert database_path({}).parent.name == "triologue"
