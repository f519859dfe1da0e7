"""Portable histories of Claude Code: kept line by line as it tells them, and gone on with where it never ran."""

import json
from collections.abc import AsyncGenerator, Sequence
from contextlib import asynccontextmanager
from typing import Any

import pytest

import triologue as tri
from tests.support.keeping import Keeper
from tests.support.live import bash, call
from tests.support.real_cli import CleanPlace, open_clean_place
from tests.support.talk import Talk, open_talk
from triologue.agents.claude_code import ClaudeCode
from triologue.messages import AssistantMessage, InitMessage, TranscriptMirror
from triologue.options import Options
from triologue.ports import TranscriptEntry
from triologue.stores import MemoryStore

pytestmark = pytest.mark.real_cli


@asynccontextmanager
async def open_kept(place: CleanPlace, keeper: Keeper, **options: Any) -> AsyncGenerator[Talk]:
    """A conversation as a manager with a store would have it. At its end the store has all that is on the disk."""
    agent = ClaudeCode(environ=place.env)
    asked = agent.mirrored(Options(cwd=place.cwd, permission_mode="bypassPermissions", **options))
    async with agent.restore(asked, keeper.of(asked.resume or "")) as restored:
        keeper.keep(restored.unkept)
        started = restored.options
        async with open_talk(place, started) as talk:
            yield talk
        keeper.hear(talk.said, agent, started)
        started.resume = talk.all(InitMessage)[-1].session_id
        async with agent.restore(started, []) as on_disk:
            assert plain(on_disk.unkept) == plain(keeper.of(started.resume or ""))


def plain(entries: Sequence[TranscriptEntry]) -> dict[str, Any]:
    """The messages of each file in their order, and what else is told: that is repeated now and then."""
    files: dict[str, Any] = {}
    for entry in entries:
        line = json.loads(entry.line)
        if line["type"] == "agent_metadata":
            files[f"{entry.path} is"] = line  # it is told whenever it changes
        elif entry.id is None:
            files.setdefault(f"{entry.path} also", set()).add(json.dumps(line, sort_keys=True))
        else:
            files.setdefault(entry.path, []).append(line)
    return files


def said_to_the_model(place: CleanPlace) -> str:
    return json.dumps(place.api.turns[-1].body["messages"])


async def test_a_session_with_tools_goes_on_with_its_memory_in_an_empty_home(place: CleanPlace) -> None:
    store, options = MemoryStore(), Options(permission_mode="bypassPermissions")
    async with tri.open_manager(ClaudeCode(environ=place.env), options=options, store=store) as manager:
        first = await manager.session("k").ask("My dog is Rex. " + bash("echo the tool said so") + " [[then done]]")
    async with open_clean_place() as elsewhere:
        agent = ClaudeCode(environ=elsewhere.env)
        async with tri.open_manager(agent, options=options, store=store) as manager:
            result = await manager.session("k").ask("What is my dog called?")
        assert result.session_id == first.session_id
        assert str(result.result).startswith("echo[2]: My dog is Rex.")
        assert "the tool said so" in said_to_the_model(elsewhere)
        assert list(elsewhere.home.rglob("*.jsonl")) == []
        assert place.api.strays == elsewhere.api.strays == []


@pytest.mark.slow
async def test_what_is_continued_is_kept_whole(place: CleanPlace) -> None:
    """Also what was said before there was a store."""
    agent, store, options = ClaudeCode(environ=place.env), MemoryStore(), Options(cwd=place.cwd)
    async with tri.open_manager(agent, options=options) as manager:
        await manager.session("before").ask("My dog is Rex.")
    async with tri.open_manager(agent, options=options, store=store) as manager:
        continued = await manager.session("k", options=Options(continue_conversation=True)).ask("My cat is Tom.")
        assert continued.result == "echo[2]: My dog is Rex. | My cat is Tom."
    async with open_clean_place() as elsewhere:
        async with tri.open_manager(ClaudeCode(environ=elsewhere.env), options=options, store=store) as manager:
            result = await manager.session("k").ask("What are they called?")
    assert result.result == "echo[3]: My dog is Rex. | My cat is Tom. | What are they called?"
    assert result.session_id == continued.session_id


@pytest.mark.slow
@pytest.mark.parametrize("config", ["cfg", ""])
async def test_it_is_kept_also_where_the_config_folder_is_a_relative_one(place: CleanPlace, config: str) -> None:
    store, options = MemoryStore(), Options(cwd=place.cwd, env={"CLAUDE_CONFIG_DIR": config})
    said: list[str | None] = []
    for prompt in ("My dog is Rex.", "And?"):  # begun, and resumed
        async with tri.open_manager(ClaudeCode(environ=place.env), options=options, store=store) as manager:
            said.append((await manager.session("k").ask(prompt)).result)
    async with open_clean_place() as elsewhere:
        async with tri.open_manager(
            ClaudeCode(environ=elsewhere.env), options=Options(cwd=place.cwd), store=store
        ) as manager:
            said.append((await manager.session("k").ask("Well?")).result)
    assert said[1:] == ["echo[2]: My dog is Rex. | And?", "echo[3]: My dog is Rex. | And? | Well?"]


@pytest.mark.slow
async def test_it_goes_from_machine_to_machine_and_back(place: CleanPlace) -> None:
    keeper = Keeper()
    async with open_kept(place, keeper) as talk:
        session_id = (await talk.turn("one " + bash("echo first tool") + " [[then a]]")).session_id
    async with open_clean_place() as second, open_kept(second, keeper, resume=session_id) as talk:
        await talk.turn("two " + bash("echo second tool") + " [[then b]]")
    async with open_clean_place() as third, open_kept(third, keeper, resume=session_id) as talk:
        result = await talk.turn("three [[results]]")
        assert third.api.turns[-1].prompts[0].startswith("one")
        assert third.api.turns[-1].prompts[1].startswith("two")
        assert "first tool" in said_to_the_model(third)
        assert "second tool" in said_to_the_model(third)
        assert result.session_id == session_id
    # The first machine has a history of its own, which is behind.
    async with open_kept(place, keeper, resume=session_id) as talk:
        await talk.turn("four")
        prompts = place.api.turns[-1].prompts
        assert [prompt.split()[0] for prompt in prompts] == ["one", "two", "three", "four"]
    chain = {entry.id: json.loads(entry.line).get("parentUuid") for entry in keeper.of(session_id) if entry.id}
    assert [uuid for uuid, parent in chain.items() if parent is not None and parent not in chain] == []
    assert list(chain.values()).count(None) == 1


@pytest.mark.slow
async def test_what_is_on_the_disk_is_used_where_it_is_all(place: CleanPlace) -> None:
    keeper = Keeper()
    async with open_kept(place, keeper) as talk:
        session_id = (await talk.turn("one")).session_id
    async with open_kept(place, keeper, resume=session_id) as talk:
        assert (await talk.turn("two")).result == "echo[2]: one | two"
    (file,) = (place.home / ".claude" / "projects").rglob("*.jsonl")
    assert "two" in file.read_text()
    # A store that came later begins with what is there.
    options = Options(resume=session_id)
    async with ClaudeCode(environ=place.env).restore(options, keeper.entries) as restored:
        assert (restored.options, list(restored.unkept)) == (options, [])
    late = Keeper()
    async with open_kept(place, late, resume=session_id) as talk:
        assert (await talk.turn("three")).result == "echo[3]: one | two | three"


@pytest.mark.slow
async def test_what_a_host_that_was_killed_did_not_hear_is_kept_at_the_next_start(place: CleanPlace) -> None:
    keeper, deaf = Keeper(), Keeper()
    async with open_kept(place, keeper) as talk:
        session_id = (await talk.turn("one")).session_id
    deaf.keep(keeper.entries)
    async with open_kept(place, deaf, resume=session_id) as talk:
        await talk.turn("two " + bash("echo unheard") + " [[then a]]")
    async with open_kept(place, keeper, resume=session_id) as talk:
        await talk.turn("three")
    async with open_clean_place() as second, open_kept(second, keeper, resume=session_id) as talk:
        await talk.turn("four")
        assert [prompt.split()[0] for prompt in second.api.turns[-1].prompts] == ["one", "two", "three", "four"]
        assert "unheard" in said_to_the_model(second)


@pytest.mark.slow
async def test_a_copy_of_a_restored_session_is_one_of_its_own(place: CleanPlace) -> None:
    keeper = Keeper()
    async with open_kept(place, keeper) as talk:
        original = (await talk.turn("one " + bash("echo first tool") + " [[then a]]")).session_id
        await talk.turn("two")
        cut = talk.all(AssistantMessage)[1].uuid
    before = keeper.of(original)
    async with open_clean_place() as second:
        async with open_kept(second, keeper, resume=original, fork_session=True) as talk:
            copy = (await talk.turn("in the copy")).session_id
        async with open_kept(second, keeper, resume=original, fork_session=True, resume_session_at=cut) as talk:
            part = (await talk.turn("in the part")).session_id
    assert keeper.of(original) == before
    async with open_clean_place() as third:
        async with open_kept(third, keeper, resume=copy) as talk:
            await talk.turn("on")
            assert [prompt.split()[0] for prompt in third.api.turns[-1].prompts] == ["one", "two", "in", "on"]
            assert "first tool" in said_to_the_model(third)
        async with open_kept(third, keeper, resume=part) as talk:
            await talk.turn("on")
            assert [prompt.split()[0] for prompt in third.api.turns[-1].prompts] == ["one", "in", "on"]


@pytest.mark.slow
async def test_what_sub_agents_did_comes_along(place: CleanPlace) -> None:
    keeper = Keeper()
    task = "look " + bash("echo the sub-agent said so") + " [[then seen]]"
    ask = call("Agent", description="Look", prompt=task, subagent_type="general-purpose", run_in_background=False)
    async with open_kept(place, keeper) as talk:
        session_id = (await talk.turn(ask + " [[then done]]")).session_id
    async with open_clean_place() as second, open_kept(second, keeper, resume=session_id) as talk:
        await talk.turn("on")
    (path,) = {entry.path for entry in keeper.entries} - {f"{session_id}.jsonl"}
    assert path.startswith(f"{session_id}/subagents/agent-")


@pytest.mark.slow
async def test_a_turn_that_was_killed_is_remembered_as_far_as_it_came(place: CleanPlace) -> None:
    keeper, agent = Keeper(), ClaudeCode(environ=place.env)
    options = agent.mirrored(Options(cwd=place.cwd, permission_mode="bypassPermissions"))
    async with open_talk(place, options) as talk:
        talk.prompt("one [[then begun]] " + bash("echo early") + bash("sleep 60"))
        await talk.wait(TranscriptMirror, lambda mirror: "sleep 60" in str(mirror.entries[-1].get("message")))
        talk.connection.stop(eof=False)
        await talk.connection.wait_exit()
        session_id = talk.all(InitMessage)[0].session_id
    keeper.hear(talk.said, agent, options)
    async with open_clean_place() as second, open_kept(second, keeper, resume=session_id) as talk:
        await talk.turn("two")
        assert [prompt.split()[0] for prompt in second.api.turns[-1].prompts] == ["one", "two"]
        assert "early" in said_to_the_model(second)


@pytest.mark.slow
async def test_what_the_user_has_set_up_holds_there_too_and_is_not_kept(place: CleanPlace) -> None:
    keeper = Keeper()
    async with open_kept(place, keeper) as talk:
        session_id = (await talk.turn("one")).session_id
    async with open_clean_place() as second:
        own = second.home / ".claude"
        own.mkdir(parents=True)
        (own / "CLAUDE.md").write_text("The user likes tulips.")
        (own / "settings.json").write_text(json.dumps({"env": {"FLOWER": "orchid", "CLAUDE_CONFIG_DIR": "/nowhere"}}))
        credentials = {"claudeAiOauth": {"accessToken": "s3cret", "refreshToken": "0nce", "expiresAt": 4102444800000}}
        (own / ".credentials.json").write_text(json.dumps(credentials))
        before = {path: path.read_bytes() for path in own.rglob("*")}
        async with open_kept(second, keeper, resume=session_id) as talk:
            result = await talk.turn(bash("echo $FLOWER; cat $CLAUDE_CONFIG_DIR/.credentials.json") + " [[results]]")
            assert "orchid" in str(result.result)
            assert "s3cret" in str(result.result)
            assert "0nce" not in str(result.result)
            assert "The user likes tulips." in said_to_the_model(second)
        assert {path: path.read_bytes() for path in own.rglob("*")} == before
