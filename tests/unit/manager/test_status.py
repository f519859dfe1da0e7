"""The status socket: who may ask what, and that no client harms the manager."""

import json
import logging
import os
import socket
import subprocess
from pathlib import Path
from typing import Any

import pytest
import trio
from trio.testing import MockClock, wait_all_tasks_blocked

from tests.support.scripted_agent import ScriptedAgent
from tests.unit.manager.stage import scripted
from triologue.cli.running import ask_all
from triologue.manager import open_manager, status as status_module
from triologue.manager.status import MAX_CLIENTS, MAX_REQUEST_BYTES, AskSessions


def the_socket(folder: Path) -> Path:
    [path] = folder.glob("*.sock")
    return path


async def ask(folder: Path, line: bytes) -> list[dict[str, Any]]:
    """What one client is told."""
    async with await trio.open_unix_socket(os.fspath(the_socket(folder))) as stream:
        await stream.send_all(line)
        told = b"".join([chunk async for chunk in stream])
    return [json.loads(each) for each in told.splitlines()]


async def test_it_tells_of_every_session(own_runtime_folder: Path) -> None:
    agent = ScriptedAgent()
    agent.pid = os.getpid()
    async with scripted(agent) as (session, _, manager):
        await session.ask("one")
        await session.send("silent")
        await session.send("next")
        manager.session("other")
        path = the_socket(own_runtime_folder)
        assert path.name.startswith(f"{os.getpid()}-")
        assert (path.stat().st_mode & 0o777, own_runtime_folder.stat().st_mode & 0o777) == (0o600, 0o700)
        who, row = await ask(own_runtime_folder, b'{"do": "sessions"}\n')
        assert (who["type"], who["pid"], who["agent"]) == ("manager", os.getpid(), "scripted")
        assert (who["statistics"]["states"], who["statistics"]["turns"]) == ({"running": 1}, {"answered": 1})
        assert 0 <= row.pop("age") < 60
        assert row.pop("rss_bytes") > 1_000_000
        assert row == {
            "type": "session",
            "key": "k",
            "state": "running",
            "waits_for": "output of the model",
            "waiting": 1,
            "pid": os.getpid(),
            "cost_usd": 0.0,
            "turns": 1,
        }
        await session.close()
    assert list(own_runtime_folder.iterdir()) == []


async def test_it_explains_a_session(own_runtime_folder: Path) -> None:
    async with scripted() as (session, _, manager):
        await session.ask("one")
        _, told = await ask(own_runtime_folder, b'{"do": "explain", "key": "k"}\n')
        assert told["explanation"]["state"] == "idle"
        assert told["text"] == str(manager.explain("k"))
        assert [each["type"] for each in await ask(own_runtime_folder, b'{"do": "explain", "key": "?"}\n')] == [
            "manager"
        ]
        assert len(await ask(own_runtime_folder, b'{"do": "statistics"}\n')) == 1


@pytest.mark.parametrize(
    ("said", "error"),
    [
        (b"hello\n", "this is no request: JSON is malformed"),
        (b'{"do": "delete"}\n', "this is no request: Invalid value 'delete'"),
        (b'{"do": "explain", "key": ""}\n', "this is no request: a key is a str of 1 to 512 characters"),
        (b"x" * (MAX_REQUEST_BYTES + 1), "this is no request: it is longer than 16384 bytes"),
    ],
)
async def test_what_is_no_request_is_refused(said: bytes, error: str, own_runtime_folder: Path) -> None:
    async with scripted():
        [told] = await ask(own_runtime_folder, said)
        assert told["error"].startswith(error)


async def test_clients_that_hang_harm_nobody(own_runtime_folder: Path, autojump_clock: MockClock) -> None:
    async with scripted() as (session, _, _):
        path = os.fspath(the_socket(own_runtime_folder))
        hanging = [await trio.open_unix_socket(path) for _ in range(MAX_CLIENTS)]
        await wait_all_tasks_blocked()
        refused = await ask(own_runtime_folder, b'{"do": "statistics"}\n')
        assert refused == [{"type": "refused", "error": "8 others ask already; try again"}]
        assert (await session.ask("one")).result == "1. one"
        await trio.sleep(11)
        assert await hanging[0].receive_some() == b""
        assert len(await ask(own_runtime_folder, b'{"do": "statistics"}\n')) == 1
        for stream in hanging:
            await stream.aclose()


async def test_a_client_that_takes_nothing_is_let_go(own_runtime_folder: Path, autojump_clock: MockClock) -> None:
    async with scripted() as (_, _, manager):
        for number in range(1_000):
            await manager.session(f"{number:0500}").set_model("m")
        path = os.fspath(the_socket(own_runtime_folder))
        async with await trio.open_unix_socket(path) as stream:
            await stream.send_all(b'{"do": "sessions"}\n')
            await trio.sleep(11)
            told = b"".join([chunk async for chunk in stream])
        assert 0 < len(told) < 500_000
        assert len(await ask(own_runtime_folder, b'{"do": "sessions"}\n')) == 1_001


async def test_one_that_was_not_opened_is_logged_and_no_more(
    own_runtime_folder: Path, caplog: pytest.LogCaptureFixture
) -> None:
    own_runtime_folder.write_text("no folder")
    with caplog.at_level(logging.INFO):
        async with scripted() as (session, _, _):
            await session.ask("one")
    assert "no status socket, so `triologue ps` does not show this manager: " in caplog.text


async def test_an_error_while_answering_stays_there(
    own_runtime_folder: Path, monkeypatch: pytest.MonkeyPatch, caplog: pytest.LogCaptureFixture
) -> None:
    async with scripted() as (session, _, _):
        await session.ask("one")
        monkeypatch.setattr(status_module, "waits_for", None)
        assert len(await ask(own_runtime_folder, b'{"do": "sessions"}\n')) == 1
        assert "a question on the status socket was not answered" in caplog.text
        assert (await session.ask("two")).result == "2. two"


async def test_it_can_be_left_out(own_runtime_folder: Path) -> None:
    async with open_manager(ScriptedAgent(), status=False):
        assert not own_runtime_folder.exists()


async def test_one_that_cannot_be_removed_any_more_stays(own_runtime_folder: Path) -> None:
    """As on a disk that became read-only; a folder cannot be unlinked either, and takes no call."""
    async with scripted() as (session, _, _):
        path = the_socket(own_runtime_folder)
        path.unlink()
        path.mkdir()
        await session.ask("one")
    assert path.is_dir()
    assert await ask_all(AskSessions()) == ([], [])


async def test_sockets_of_hosts_that_are_gone_are_removed(own_runtime_folder: Path) -> None:
    own_runtime_folder.mkdir(mode=0o700)
    with subprocess.Popen(["true"]) as gone:
        gone.wait()
    stale, listened = (own_runtime_folder / f"{gone.pid}-{number}.sock" for number in (1, 2))
    with socket.socket(socket.AF_UNIX) as dead, socket.socket(socket.AF_UNIX) as living:
        dead.bind(os.fspath(stale))
        dead.close()
        living.bind(os.fspath(listened))
        living.listen()
        async with scripted():
            assert not stale.exists()
            assert listened.exists()  # of a manager in a container, which has this pid there
