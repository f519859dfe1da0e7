"""Hosts that want the same sessions, some stopped for longer than their leases: a session has one writer at a time."""

import json
import os
import random
import signal
import subprocess
import sys
from collections import Counter
from pathlib import Path

import pytest
import trio

import triologue as tri
from tests.support.one_writer import check_one_writer
from triologue.ports import Record
from triologue.stores import SqliteStore

PROGRAM = Path(__file__).parent / "rival_program.py"
LEASE = 1.0  # s, of the program


async def fight(folder: Path, names: list[str], sessions: int, seconds: float) -> Counter[str]:
    """Let them talk, and stop one after the other for a while; returns what they have met."""
    env = {**os.environ, "PYTHONPATH": str(Path(tri.__file__).parent.parent)}
    met: Counter[str] = Counter()

    async def run(name: str, task_status: trio.TaskStatus[trio.Process]) -> None:
        argv = [sys.executable, str(PROGRAM), str(folder / "sessions.db"), name, str(sessions), str(seconds)]
        # Of a session of its own: a stopped process can cost its whole process group a SIGHUP.
        host = await trio.lowlevel.open_process(argv, env=env, stdout=subprocess.PIPE, start_new_session=True)
        task_status.started(host)
        assert host.stdout is not None
        said = b"".join([chunk async for chunk in host.stdout])
        assert await host.wait() == 0
        met.update(json.loads(said))

    async with trio.open_nursery() as nursery:
        hosts = [await nursery.start(run, name) for name in names]
        nursery.start_soon(stop_now_and_then, hosts, seconds)
    return met


async def stop_now_and_then(hosts: list[trio.Process], seconds: float) -> None:
    draw = random.Random(7)
    with trio.move_on_after(seconds * 0.8):
        while True:
            await trio.sleep(draw.uniform(0.3, 1))
            host = draw.choice(hosts)
            host.send_signal(signal.SIGSTOP)
            try:
                await trio.sleep(draw.uniform(1.2, 2) * LEASE)
            finally:
                host.send_signal(signal.SIGCONT)


async def check_all(folder: Path, sessions: int) -> tuple[Counter[str], Counter[str]]:
    """How turns ended, and how many turns each host had."""
    kinds: Counter[str] = Counter()
    hosts: Counter[str] = Counter()
    async with SqliteStore(folder / "sessions.db") as store:
        for number in range(sessions):
            log: list[Record] = []
            while page := await store.read(f"s{number}", after=log[-1].seq if log else 0):
                log += page
            kinds += check_one_writer(log)
            hosts.update({record.turn_id.split(".")[0] for record in log if record.turn_id is not None})
    return kinds, hosts


@pytest.mark.slow
@pytest.mark.timeout(200)
async def test_two_hosts_fight_for_fifty_sessions(tmp_path: Path) -> None:
    met = await fight(tmp_path, ["a", "b"], 50, 60)
    kinds, hosts = await check_all(tmp_path, 50)
    print(met, kinds, hosts)
    assert met["elsewhere"] > 0
    assert kinds["answered"] > 1000
    assert set(hosts) == {"a", "b"}
