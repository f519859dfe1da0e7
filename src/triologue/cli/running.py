"""The managers of this user that run now, asked by their status sockets."""

import os
from pathlib import Path

import msgspec
import trio
from msgspec import Struct

from triologue.agents import distrusted
from triologue.errors import InvalidOption
from triologue.manager.status import (
    AskExplain,
    AskSessions,
    Explained,
    ManagerStatus,
    Refused,
    SessionStatus,
    StatusAnswer,
    StatusRequest,
    remove_if_stale,
    sockets,
)

PATIENCE = 5.0
"""Seconds for a manager to answer."""

_answers = msgspec.json.Decoder(StatusAnswer)


class Running(Struct, frozen=True, kw_only=True):
    """A manager that runs, and what it said."""

    manager: ManagerStatus
    sessions: list[SessionStatus]
    explained: Explained | None


class Silent(Struct, frozen=True):
    """A manager that did not answer."""

    pid: str
    why: str


async def ask_all(request: AskSessions | AskExplain) -> tuple[list[Running], list[Silent]]:
    """Ask every manager of this user, all at the same time.

    Raises:
        InvalidOption: others could have put there what would be asked, and so no manager tells of itself either.
    """
    if (why := distrusted()) is not None:
        raise InvalidOption(f"no manager can tell of itself: {why}")
    told: dict[Path, Running | Silent] = {}

    async def ask_one(path: Path) -> None:
        said = await _ask(path, request)
        if said is not None:
            told[path] = said

    async with trio.open_nursery() as nursery:
        for path in sockets():
            nursery.start_soon(ask_one, path)
    found = [told[path] for path in sorted(told)]
    running = [each for each in found if isinstance(each, Running)]
    running.sort(key=lambda each: each.manager.began)
    return running, [each for each in found if isinstance(each, Silent)]


async def _ask(path: Path, request: StatusRequest) -> Running | Silent | None:
    """Ask one; None where there is nobody any more."""
    pid = path.name.partition("-")[0]
    try:
        with trio.fail_after(PATIENCE):
            answers = await _converse(path, request)
    except ConnectionRefusedError:
        remove_if_stale(path)
        return None
    except FileNotFoundError:
        return None
    except trio.TooSlowError:
        return Silent(pid, f"no answer within {PATIENCE:g} s")
    except (OSError, trio.BrokenResourceError, msgspec.DecodeError) as error:
        return Silent(pid, " ".join(str(error).split()))
    return _read(pid, answers)


async def _converse(path: Path, request: StatusRequest) -> list[StatusAnswer]:
    async with await trio.open_unix_socket(os.fspath(path)) as stream:
        await stream.send_all(msgspec.json.encode(request) + b"\n")
        said = b"".join([chunk async for chunk in stream])
    return [_answers.decode(line) for line in said.splitlines()]


def _read(pid: str, answers: list[StatusAnswer]) -> Running | Silent:
    manager: ManagerStatus | None = None
    explained: Explained | None = None
    sessions: list[SessionStatus] = []
    for answer in answers:
        match answer:
            case ManagerStatus():
                manager = answer
            case SessionStatus():
                sessions.append(answer)
            case Explained():
                explained = answer
            case Refused(error=error):
                return Silent(pid, error)
    if manager is None:
        return Silent(pid, "it was leaving")
    return Running(manager=manager, sessions=sessions, explained=explained)
