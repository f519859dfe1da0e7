"""The protocols `Sessions`, `AnySession`, `AnyTurn` and `AnyPermission`: what is here and what is remote has them.

That is what the type checker says of this module; at run time both do the same story.
"""

import pytest
from trio.testing import MockClock

import triologue as tri
from tests.support.gateway import house
from tests.support.remote import Line, remote
from triologue.testing import Say, ScriptedAgent

# Never called: that these return what they are given is what is checked.


def sessions_here(manager: tri.SessionManager) -> tri.Sessions:
    return manager


def session_here(session: tri.Session) -> tri.AnySession:
    return session


def turn_here(turn: tri.Turn) -> tri.AnyTurn:
    return turn


def permission_here(permission: tri.PermissionRequest) -> tri.AnyPermission:
    return permission


def sessions_there(manager: tri.RemoteManager) -> tri.Sessions:
    return manager


def session_there(session: tri.RemoteSession) -> tri.AnySession:
    return session


def turn_there(turn: tri.RemoteTurn) -> tri.AnyTurn:
    return turn


def permission_there(permission: tri.RemotePermission) -> tri.AnyPermission:
    return permission


async def story(sessions: tri.Sessions) -> list[object]:
    """What a program does that does not care where its sessions are."""
    session = sessions.session("k")
    first = await session.ask("hello", meta={"by": "ann"})
    told: list[object] = [first.result, session.key]
    async with session.turn("hello", id="t") as turn:
        told += [type(message).__name__ async for message in turn if not isinstance(message, tri.StreamEvent)]
        told.append((await turn.wait()).kind)
    told += [turn.id, turn.state, turn.position]
    found = await session.find("t")
    told.append(found.outcome.kind if found is not None and found.outcome is not None else None)
    told.append(await session.find("nobody"))
    async with session.subscribe(0) as events:
        told.append(type((await anext(events)).message).__name__)
    told.append(await session.interrupt())
    copy = await session.fork("copy")
    told.append((await copy.ask("hello")).result)
    await session.set_model("m")
    await session.set_permission_mode("plan")
    await session.hibernate()
    await session.close()
    told.append([(line.key, line.turns, line.waiting) for line in await sessions.overview()])
    await sessions.delete("copy")
    told += [[line.key for line in await sessions.overview("c")], list(await sessions.open_permissions())]
    await session.reset()
    return told


@pytest.mark.parametrize("where", ["here", "remote"])
async def test_a_program_that_does_not_care_where_its_sessions_are(where: str, autojump_clock: MockClock) -> None:
    agent = ScriptedAgent()
    agent.on("hello", Say("hi there"))
    async with tri.open_manager(agent) as manager:
        if where == "here":
            told = await story(manager)
        else:
            async with house(manager) as gateway, remote(Line(gateway).connect) as far:
                told = await story(far)
    assert told == [
        "hi there",
        "k",
        "InitMessage",
        "AssistantMessage",
        "ResultMessage",
        "answered",
        "t",
        "ended",
        None,
        "answered",
        None,
        "TurnAccepted",
        "nothing_running",
        "hi there",
        [("copy", 1, 0), ("k", 2, 0)],
        [],
        [],
    ]
