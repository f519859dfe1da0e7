"""`kill -9` of the host, again and again, at moments that nobody chose: what it had acknowledged is there afterwards."""

import json
import os
import random
import subprocess
import sys
from collections import Counter, defaultdict
from pathlib import Path
from typing import Any

import pytest
import trio

import triologue as tri
from tests.support.real_cli import CleanPlace, find_claude, open_clean_place
from triologue.messages import text
from triologue.ports import Record
from triologue.stores import SqliteStore
from triologue.wire import decode_record

PROGRAM = Path(__file__).parent / "host_program.py"

KILLS = int(os.environ.get("TRIOLOGUE_KILLS", "280"))
KILLS_ON_CLAUDE = max(5, KILLS // 14)  # fewer may all come before the first answer

Said = dict[str, Any]


class Hosts:
    """One host after another on one database, and all that they have acknowledged."""

    def __init__(self, folder: Path, agent: str, sessions: int, env: dict[str, str]) -> None:
        self.database, self.deeds = folder / "sessions.db", folder / "deeds"
        self._agent, self._sessions, self._env = agent, sessions, env
        self.rounds = 0
        self.accepted: set[tuple[str, str]] = set()
        self.ended: dict[tuple[str, str], str] = {}
        self.seen: dict[tuple[str, int], tuple[str, str | None]] = {}
        self.trouble: list[str] = []

    async def run_one(self, seconds: float) -> None:
        """Start a host, kill it so long after it was ready, and take down what it said."""
        self.rounds += 1
        argv = [str(self.database), self._agent, str(self._sessions), str(self.rounds), str(self.deeds)]
        said = b""
        host = await trio.lowlevel.open_process(
            [sys.executable, str(PROGRAM), *argv], env=self._env, stdout=subprocess.PIPE, stderr=subprocess.PIPE
        )
        assert host.stdout is not None
        assert host.stderr is not None
        async with host.stdout, host.stderr:
            with trio.fail_after(60):
                while b'"ready"' not in said:
                    chunk = await host.stdout.receive_some()
                    assert chunk, (await host.stderr.receive_some()).decode()
                    said += chunk
            async with trio.open_nursery() as nursery:
                nursery.start_soon(_kill_after, host, seconds)
                async for chunk in host.stdout:
                    said += chunk
            await host.wait()
        for line in said.splitlines(keepends=True):
            if line.endswith(b"\n"):
                self._take(json.loads(line))

    def _take(self, said: Said) -> None:
        turn = (said.get("key", ""), said.get("id", ""))
        match said["said"]:
            case "accepted":
                self.accepted.add(turn)
            case "ended":
                if self.ended.setdefault(turn, said["kind"]) != said["kind"]:
                    self.trouble.append(f"{turn} ended as {self.ended[turn]}, and then as {said['kind']}")
            case "seen":
                place, what = (said["key"], said["seq"]), (said["type"], said["id"])
                if self.seen.setdefault(place, what) != what:
                    self.trouble.append(f"{place} was {self.seen[place]}, and then {what}")
            case _:
                pass

    async def check(self) -> Counter[str]:
        """What is kept, against what was acknowledged; returns how turns have ended."""
        assert self.trouble == []
        kinds: Counter[str] = Counter()
        async with SqliteStore(self.database) as store:
            logs = {head.key: await read_all(store, head.key) for head in await store.list_sessions(limit=1000)}
        for key, log in logs.items():
            assert [record.seq for record in log] == list(range(1, len(log) + 1))
            turns: dict[str, Counter[str]] = defaultdict(Counter)
            for record in log:
                if record.turn_id is not None and record.kind.startswith("#turn"):
                    turns[record.turn_id][record.kind] += 1
            for id, counts in turns.items():
                assert counts["#turn_accepted"] == 1, (key, id)
                assert counts["#turn_started"] <= 1, (key, id)
                assert counts["#turn_ended"] <= 1, (key, id)
                kinds["ended" if counts["#turn_ended"] else "open"] += 1
            if self._agent == "embedded":
                check_memory(key, log)
        for key, id in self.accepted:
            assert any(record.turn_id == id and record.kind == "#turn_accepted" for record in logs[key])
        for (key, id), kind in self.ended.items():
            (ended,) = [
                json.loads(each.line) for each in logs[key] if each.turn_id == id and each.kind == "#turn_ended"
            ]
            assert ended["kind"] == kind
            kinds[kind] += 1
        for (key, seq), (_, of) in self.seen.items():
            assert logs[key][seq - 1].turn_id == of
        return kinds


def check_memory(key: str, log: list[Record]) -> None:
    """Each answer says all that was asked: nothing is missing of the turns that were answered before."""
    answered: list[str] = []
    for record in log:
        if record.kind == "assistant":
            said = set(text(decode_record(record.kind, record.line)).split())
            assert said.issuperset(answered), record.seq
        elif record.kind == "#turn_ended" and json.loads(record.line)["kind"] == "answered":
            answered.append(f"{key}.{record.turn_id}")


async def _kill_after(host: trio.Process, seconds: float) -> None:
    await trio.sleep(seconds)
    host.kill()


async def read_all(store: tri.SessionStore, key: str) -> list[Record]:
    """A whole log."""
    log: list[Record] = []
    while page := await store.read(key, after=log[-1].seq if log else 0):
        log += page
    return log


def environment(tmp_path: Path) -> dict[str, str]:
    return {**os.environ, "PYTHONPATH": str(Path(tri.__file__).parent.parent), "TMPDIR": str(tmp_path)}


async def kill_often(hosts: Hosts, times: int, longest: float, seed: int = 1) -> Counter[str]:
    draw = random.Random(seed)
    for _ in range(times):
        await hosts.run_one(draw.uniform(0, longest))
    return await hosts.check()


async def test_the_built_in_agent_a_few_times(tmp_path: Path) -> None:
    hosts = Hosts(tmp_path, "embedded", 5, environment(tmp_path))
    kinds = await kill_often(hosts, 3, 0.3)
    if not kinds["answered"]:  # as below
        kinds = await kill_often(hosts, 3, 5)
    assert kinds["answered"] > 0
    runs = Counter(hosts.deeds.read_text().splitlines())
    assert [deed for deed, count in runs.items() if count > 1] == []


@pytest.mark.slow
@pytest.mark.timeout(1800)
async def test_the_built_in_agent(tmp_path: Path) -> None:
    hosts = Hosts(tmp_path, "embedded", 20, environment(tmp_path))
    kinds = await kill_often(hosts, KILLS, 0.5)
    assert kinds["answered"] > KILLS
    assert kinds["lost"] + kinds["open"] > 0
    runs = Counter(hosts.deeds.read_text().splitlines())
    assert [deed for deed, count in runs.items() if count > 1] == []


@pytest.mark.slow
@pytest.mark.real_cli
@pytest.mark.timeout(1800)
async def test_claude_code() -> None:
    async with open_clean_place() as place:
        hosts = Hosts(place.cwd, str(find_claude()), 3, claude_environment(place))
        kinds = await kill_often(hosts, KILLS_ON_CLAUDE, 4)
        if not kinds["answered"]:  # on a busy machine all of these may come before the first answer
            kinds = await kill_often(hosts, KILLS_ON_CLAUDE, 30)
        assert kinds["answered"] > 0


def claude_environment(place: CleanPlace) -> dict[str, str]:
    return {**place.env, "PYTHONPATH": str(Path(tri.__file__).parent.parent)}
