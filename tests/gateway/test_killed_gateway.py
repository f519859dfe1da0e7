"""`kill -9` of `triologue serve` while fifty sessions stream, and a new one: all clients go on by themselves."""

import json
import random
import socket
import subprocess
import sys
from collections import Counter
from collections.abc import AsyncGenerator
from contextlib import asynccontextmanager
from pathlib import Path
from typing import Any

import pytest
import trio

import triologue as tri
from triologue.messages import StreamEvent
from triologue.ports import Record
from triologue.stores import SqliteStore
from triologue.wire import encode_record, kind_of

CLIENTS = Path(__file__).parent / "steadfast_clients.py"
RAW, REMOTE, TURNS, KILLS = 40, 10, 6, 3
PROMPT = "say " + "word " * 30

View = list[list[Any]]
"""Of a session: `[seq, turn, kind, message]` for each event that is no partial text."""


def free_port() -> int:
    with socket.socket() as listener:
        listener.bind(("127.0.0.1", 0))
        return int(listener.getsockname()[1])


@asynccontextmanager
async def serving(port: int, database: Path) -> AsyncGenerator[None]:
    """The command, until it is killed at the end of the block."""
    options = ["--agent", "embedded", "--port", str(port), "--store", str(database)]
    command = [sys.executable, "-m", "triologue", "serve", *options]
    process = await trio.lowlevel.open_process(command, stdout=subprocess.PIPE)
    assert process.stdout is not None
    async with process.stdout:
        try:
            with trio.fail_after(60):
                assert b"http://" in await process.stdout.receive_some()
            yield
        finally:
            process.kill()
            with trio.CancelScope(shield=True):
                await process.wait()


async def watch(session: tri.RemoteSession, view: View) -> None:
    async with session.subscribe(after=0) as events:
        async for event in events:
            if not isinstance(event.message, StreamEvent):
                line = json.loads(encode_record(event.message))
                view.append([event.seq, event.turn_id, kind_of(event.message), line])


async def talk(session: tri.RemoteSession) -> None:
    for number in range(TURNS):
        turn = await session.send(PROMPT, id=f"{session.key}.{number}")
        await turn.wait()


async def run_remote(url: str, views: dict[str, View]) -> None:
    """The clients that are ours."""
    async with tri.open_remote(url) as remote, trio.open_nursery() as watching:
        async with trio.open_nursery() as talking:
            for number in range(REMOTE):
                session = remote.session(f"remote:{number}")
                watching.start_soon(watch, session, views.setdefault(session.key, []))
                talking.start_soon(talk, session)
        watching.cancel_scope.cancel()


async def run_raw(url: str, views: dict[str, View], connections: list[int]) -> None:
    """Those that others could have made."""
    argv = [sys.executable, str(CLIENTS), f"{url}/v1", str(RAW), str(TURNS)]
    said = await trio.run_process(argv, capture_stdout=True)
    for key, told in json.loads(said.stdout).items():
        views[key] = told["seen"]
        connections.append(told["connections"])


async def read_all(store: SqliteStore, key: str) -> list[Record]:
    log: list[Record] = []
    while page := await store.read(key, after=log[-1].seq if log else 0):
        log += page
    return log


def check_turns(log: list[Record]) -> Counter[str]:
    """Each prompt is one turn that began once and ended once; gives how."""
    counts = Counter((record.turn_id, record.kind) for record in log if record.turn_id is not None)
    assert {id for id, _ in counts} == {id for (id, kind) in counts if kind == "#turn_accepted"}
    for (id, kind), count in counts.items():
        if kind in ("#turn_accepted", "#turn_started", "#turn_ended", "result"):
            assert count == 1, (id, kind, count)
    return Counter(json.loads(record.line)["kind"] for record in log if record.kind == "#turn_ended")


def check_view(view: View, log: list[Record]) -> None:
    """What was seen is the log, without a hole that is not told of, and up to some point behind the last turn."""
    position = 0
    for seq, turn, kind, message in view:
        if kind == "#gap":
            assert message["first"] == position + 1
            position = message["last"]
        else:
            record = log[position]
            assert [seq, turn, kind, message] == [record.seq, record.turn_id, record.kind, json.loads(record.line)]
            position += 1
    assert not any(record.kind == "#turn_ended" for record in log[position:])


@pytest.mark.slow
@pytest.mark.timeout(400)
async def test_all_go_on(tmp_path: Path) -> None:
    database, port = tmp_path / "sessions.db", free_port()
    url = f"ws://127.0.0.1:{port}"
    views: dict[str, View] = {}
    connections: list[int] = []
    draw = random.Random(1)

    async def run_clients() -> None:
        async with trio.open_nursery() as nursery:
            nursery.start_soon(run_remote, url, views)
            nursery.start_soon(run_raw, url, views, connections)
        are_done.set()

    are_done = trio.Event()
    async with trio.open_nursery() as nursery:
        for kill in range(KILLS):
            async with serving(port, database):
                if not kill:
                    nursery.start_soon(run_clients)
                await trio.sleep(draw.uniform(0.5, 2.0))
            assert not are_done.is_set()
        async with serving(port, database):
            with trio.fail_after(200):
                await are_done.wait()
    assert min(connections) > 1

    kinds: Counter[str] = Counter()
    async with SqliteStore(database) as store:
        for key, view in views.items():
            log = await read_all(store, key)
            assert [record.seq for record in log] == list(range(1, len(log) + 1))
            kinds += check_turns(log)
            check_view(view, log)
    assert kinds.total() == (RAW + REMOTE) * TURNS
    assert kinds["answered"] > 0
    assert kinds["lost"] > 0
