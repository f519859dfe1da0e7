"""Which conversation is gone on with: every combination of ids, on the built-in agent and on the real Claude Code."""

from collections.abc import AsyncGenerator, Callable
from pathlib import Path
from uuid import uuid4

import pytest
from msgspec import Struct

import triologue as tri
from tests.support.real_cli import open_clean_place
from triologue.engine import Transcripts
from triologue.messages import TextBlock

UNKNOWN = "0b5e4a52-3a07-4d12-9a5f-0c1f1e3d9a10"


class Echo:
    """A model that says all that it was asked, as the stub behind Claude Code does."""

    name = "echo"

    async def reply(self, request: tri.ModelRequest, emit: Callable[[str], None]) -> tri.ModelReply:
        """Answer at once."""
        asked = [str(message["content"]) for message in request.messages if message["role"] == "user"]
        said = f"echo[{len(asked)}]: {' | '.join(asked)}"
        return tri.ModelReply(content=[TextBlock(text=said)], stop_reason="end_turn", model=self.name)


class Known(Struct, frozen=True):
    """A conversation of two turns, `one` and `two`."""

    id: str
    first: str
    """The uuid of the last message of its first turn."""
    other: str
    """An id that nobody has."""


class Row(Struct, frozen=True):
    """A combination, and what it means."""

    name: str
    options: Callable[[Known], tri.Options]
    says: str | None = None
    """The answer to `three`."""
    id: str | None = None
    """`known`, `other` or `new`."""
    outcome: str | None = None
    """Of the resume."""
    error: type[Exception] | None = None
    is_refused_before: bool = False
    """Nothing is started."""
    is_first: bool = False
    """There is no conversation in the folder yet."""


ROWS = [
    Row("none", lambda _: tri.Options(), "echo[1]: three", "new", "fresh"),
    Row("session_id", lambda known: tri.Options(session_id=known.other), "echo[1]: three", "other", "fresh"),
    Row(
        "session_id in use", lambda known: tri.Options(session_id=known.id), error=tri.SessionIdInUse, outcome="refused"
    ),
    Row("session_id no uuid", lambda _: tri.Options(session_id="me"), error=tri.InvalidOption, is_refused_before=True),
    Row("resume", lambda known: tri.Options(resume=known.id), "echo[3]: one | two | three", "known", "resumed"),
    Row("resume unknown", lambda _: tri.Options(resume=UNKNOWN), error=tri.SessionNotFound, outcome="missing"),
    Row("resume no uuid", lambda _: tri.Options(resume="my talk"), error=tri.SessionNotFound, outcome="missing"),
    Row(
        "fork",
        lambda known: tri.Options(resume=known.id, fork_session=True),
        "echo[3]: one | two | three",
        "new",
        "forked",
    ),
    Row(
        "fork with an id",
        lambda known: tri.Options(resume=known.id, fork_session=True, session_id=known.other),
        "echo[3]: one | two | three",
        "other",
        "forked",
    ),
    Row(
        "resume with an id",
        lambda known: tri.Options(resume=known.id, session_id=known.other),
        error=tri.InvalidOption,
        is_refused_before=True,
    ),
    Row("fork of nothing", lambda _: tri.Options(fork_session=True), error=tri.InvalidOption, is_refused_before=True),
    Row(
        "fork of nothing with an id",
        lambda known: tri.Options(fork_session=True, session_id=known.other),
        error=tri.InvalidOption,
        is_refused_before=True,
    ),
    Row(
        "continue",
        lambda _: tri.Options(continue_conversation=True),
        "echo[3]: one | two | three",
        "known",
        "resumed",
    ),
    Row(
        "continue as a fork",
        lambda known: tri.Options(continue_conversation=True, fork_session=True, session_id=known.other),
        "echo[3]: one | two | three",
        "other",
        "forked",
    ),
    Row(
        "continue nothing",
        lambda _: tri.Options(continue_conversation=True),
        "echo[1]: three",
        "new",
        "fresh",
        is_first=True,
    ),
    Row(
        "continue nothing as a fork",
        lambda known: tri.Options(continue_conversation=True, fork_session=True, session_id=known.other),
        "echo[1]: three",
        "other",
        "fresh",
        is_first=True,
    ),
    Row(
        "continue with an id",
        lambda known: tri.Options(continue_conversation=True, session_id=known.other),
        error=tri.InvalidOption,
        is_refused_before=True,
    ),
    Row(
        "continue and resume",
        lambda known: tri.Options(continue_conversation=True, resume=known.id),
        error=tri.InvalidOption,
        is_refused_before=True,
    ),
    Row(
        "at a message",
        lambda known: tri.Options(resume=known.id, fork_session=True, resume_session_at=known.first),
        "echo[2]: one | three",
        "new",
        "forked",
    ),
    Row(
        "at a message, the same conversation",
        lambda known: tri.Options(resume=known.id, resume_session_at=known.first),
        "echo[2]: one | three",
        "known",
        "resumed",
    ),
    Row(
        "at an unknown message",
        lambda known: tri.Options(resume=known.id, resume_session_at=UNKNOWN),
        error=tri.InvalidOption,
        outcome="refused",
    ),
    Row(
        "at a message of nothing",
        lambda known: tri.Options(resume_session_at=known.first),
        error=tri.InvalidOption,
        is_refused_before=True,
    ),
    Row(
        "dropping a turn of nowhere",
        lambda known: tri.Options(resume=known.id, resume_drops_turn=UNKNOWN),
        error=tri.InvalidOption,
        is_refused_before=True,
    ),
    Row(
        "dropping another turn",
        lambda known: tri.Options(resume=known.id, resume_session_at=known.first, resume_drops_turn=UNKNOWN),
        error=tri.InvalidOption,
        outcome="refused",
    ),
]


@pytest.fixture(
    params=["embedded", pytest.param("claude", marks=[pytest.mark.real_cli, pytest.mark.slow])],
)
async def agent(request: pytest.FixtureRequest) -> AsyncGenerator[tuple[tri.Agent, tri.Options]]:
    if request.param == "embedded":
        yield tri.Embedded(model=Echo(), transcripts=Transcripts()), tri.Options()
        return
    async with open_clean_place() as place:
        yield tri.ClaudeCode(environ=place.env), tri.Options(cwd=place.cwd)


async def talk_before(manager: tri.SessionManager) -> Known:
    session = manager.session("before")
    first = ""
    async with session.turn("one") as turn:
        async for message in turn:
            if isinstance(message, tri.AssistantMessage):
                first = message.uuid or ""
    await session.ask("two")
    await session.close()
    assert session.session_id is not None
    return Known(session.session_id, first, str(uuid4()))


@pytest.mark.parametrize("row", ROWS, ids=lambda row: row.name)
async def test_a_combination(agent: tuple[tri.Agent, tri.Options], row: Row) -> None:
    who, options = agent
    async with tri.open_manager(who, options=options) as manager:
        known = await talk_before(manager) if not row.is_first else Known(UNKNOWN, UNKNOWN, str(uuid4()))
        if row.is_refused_before:
            assert row.error is not None
            with pytest.raises(row.error):
                manager.session("after", options=row.options(known))
            return
        session = manager.session("after", options=row.options(known))
        if row.error is not None:
            with pytest.raises(tri.TurnFailed) as caught:
                await session.ask("three")
            assert isinstance(caught.value.__cause__, row.error)
            assert session.resume_outcome == row.outcome
            # What went wrong under one key has done nothing to the conversation.
            assert (await manager.session("before").ask("four")).result == "echo[3]: one | two | four"
            return
        assert (await session.ask("three")).result == row.says
        ids = {known.id: "known", known.other: "other"}
        assert (ids.get(session.session_id or "", "new"), session.resume_outcome) == (row.id, row.outcome)
        if row.id != "known" and not row.is_first:
            assert (await manager.session("before").ask("four")).result == "echo[3]: one | two | four"


@pytest.mark.real_cli
@pytest.mark.slow
async def test_folders_whose_names_are_alike_do_not_continue_each_other() -> None:
    """Claude Code keeps the histories of both in one folder."""
    async with open_clean_place() as place:
        dotted, dashed = place.cwd / "john.doe", place.cwd / "john-doe"
        dotted.mkdir()
        dashed.mkdir()
        async with tri.open_manager(tri.ClaudeCode(environ=place.env)) as manager:

            async def ask(key: str, cwd: Path, prompt: str) -> tuple[str | None, str | None]:
                session = manager.session(key, options=tri.Options(cwd=cwd, continue_conversation=True))
                said = (await session.ask(prompt)).result
                await session.close()
                return said, session.resume_outcome

            assert await ask("a", dotted, "one") == ("echo[1]: one", "fresh")
            assert await ask("b", dashed, "two") == ("echo[1]: two", "fresh")
            assert await ask("c", dotted, "three") == ("echo[2]: one | three", "resumed")
            assert await ask("d", dashed, "four") == ("echo[2]: two | four", "resumed")
            long = [place.cwd / ("x" * 120) / ("y" * 120) / name for name in ("alpha", "beta")]
            for folder in long:
                folder.mkdir(parents=True)
                assert await ask(f"{folder} first", folder, folder.name) == (f"echo[1]: {folder.name}", "fresh")
            for folder in long:
                assert await ask(f"{folder} next", folder, "on") == (f"echo[2]: {folder.name} | on", "resumed")
