"""Leftovers of an earlier run: found by its ledger and by the cookies of its processes, and by nothing else."""

import logging
import os
import signal
import stat
import subprocess
import sys
from collections.abc import Iterator
from contextlib import contextmanager
from pathlib import Path

import msgspec
import pytest

from tests.support.leftovers import descendants, is_alive
from tests.unit.agents.programs import ENV, Ear, living, shell
from tests.unit.agents.test_warden import wait_dead
from triologue.agents.ledger import Entry, Ledger
from triologue.agents.leftovers import Leftovers, reap_ledgers, reap_leftovers
from triologue.agents.marks import Mark, own_mark, pid_space, start_of
from triologue.agents.process import open_carrier
from triologue.agents.warden_process import COOKIE

pytestmark = pytest.mark.skipif(sys.platform != "linux", reason="needs /proc, and a warden to be killed")

# What outlives it says its pid on the host's output, in a session of its own.
HOST = """
import os, sys, trio
from triologue.agents.process import open_carrier
from triologue.ports import Command

async def main():
    async with open_carrier(direct=sys.argv[1] == "direct") as carrier:
        script = "setsid sleep 1000 & setsid sleep 1001 & sleep 0.1; echo $!; exec cat"
        command = Command(argv=["sh", "-c", script], env={"PATH": os.environ["PATH"]})
        async with carrier.spawn(command, sink=lambda batch: print(batch[0].text, flush=True)):
            await trio.sleep_forever()

trio.run(main)
"""


@contextmanager
def host(kind: str = "warden") -> Iterator[tuple[subprocess.Popen[str], list[int]]]:
    """A host with agents, and the pids of all below it."""
    argv = [sys.executable, "-c", HOST, kind]
    with subprocess.Popen(argv, stdin=subprocess.PIPE, stdout=subprocess.PIPE, text=True) as process:
        assert process.stdout is not None
        process.stdout.readline()
        pids = list(descendants(process.pid))
        try:
            yield process, pids
        finally:
            process.kill()
        wait_dead(pids)


def stop(process: subprocess.Popen[str], pids: list[int]) -> list[int]:
    """Kill a host and its warden at once, so that neither tidies up; returns what goes on."""
    wardens = [pid for pid in pids if b"warden_process.py" in Path(f"/proc/{pid}/cmdline").read_bytes()]
    for pid in [process.pid, *wardens]:
        os.kill(pid, signal.SIGSTOP)
    for pid in [process.pid, *wardens]:
        os.kill(pid, signal.SIGKILL)
    process.wait()
    return living([pid for pid in pids if pid not in wardens and "sleep" in Path(f"/proc/{pid}/comm").read_text()])


@pytest.mark.parametrize("kind", ["warden", "direct"])
async def test_what_an_earlier_run_left_is_reported_and_killed(
    kind: str, own_runtime_folder: Path, caplog: pytest.LogCaptureFixture
) -> None:
    with host(kind) as (process, pids):
        [ledger] = own_runtime_folder.iterdir()
        assert (own_runtime_folder.stat().st_mode & 0o777, ledger.stat().st_mode & 0o777) == (0o700, 0o600)
        left = stop(process, pids)
        assert len(left) == 2
        async with open_carrier() as carrier:
            assert carrier.leftovers.runs == 1
            assert carrier.leftovers.processes >= 2  # with the agent itself, which may have ended by now
            assert carrier.leftovers.left == ()
            wait_dead(left)
            [record] = [each for each in caplog.records if each.name == "triologue.agents.leftovers"]
            assert record.levelno == logging.WARNING
            assert f"(pid {process.pid}, " in record.getMessage()
            assert f"{left[0]} sleep" in record.getMessage()
        assert list(own_runtime_folder.iterdir()) == []
        async with open_carrier() as carrier:
            assert carrier.leftovers == Leftovers()


async def test_where_the_warden_has_tidied_up_the_run_is_still_reported(own_runtime_folder: Path) -> None:
    with host() as (process, pids):
        process.kill()
        process.wait()
        async with open_carrier() as carrier:  # waits for the warden, which ends what it began
            assert living(pids) == []
            assert carrier.leftovers == Leftovers(runs=1)


async def test_a_host_that_is_alive_keeps_what_it_has(own_runtime_folder: Path) -> None:
    with host() as (_, pids):
        for _ in range(2):
            async with open_carrier() as carrier:
                assert carrier.leftovers == Leftovers()
        assert living(pids) == pids


async def test_of_two_that_begin_at_once_one_reaps(own_runtime_folder: Path) -> None:
    program = "import trio\nfrom triologue.agents.leftovers import reap_leftovers\nprint(trio.run(reap_leftovers).runs)"
    with host() as (process, pids):
        stop(process, pids)
        others = [
            subprocess.Popen([sys.executable, "-c", program], stdout=subprocess.PIPE, text=True) for _ in range(3)
        ]
        assert sorted(other.communicate()[0] for other in others) == ["0\n", "0\n", "1\n"]


@pytest.fixture
def bystander() -> Iterator[subprocess.Popen[bytes]]:
    with subprocess.Popen(["sleep", "1000"], env={**ENV, COOKIE: "another:1"}) as process:
        yield process
        process.kill()


def write(folder: Path, **fields: object) -> Path:
    """A ledger of a run that is gone, as it would be found."""
    entry = {
        "host": own_mark(),
        "warden": None,
        "token": "gone",
        "space": pid_space(),
        "program": "bot.py",
        "began": 0.0,
        **fields,
    }
    folder.mkdir(mode=0o700, exist_ok=True)
    path = folder / f"7-7-{entry['token']}.ledger"
    path.write_bytes(msgspec.json.encode(entry))
    return path


async def test_a_pid_that_is_anothers_by_now_is_not_hit(
    own_runtime_folder: Path, bystander: subprocess.Popen[bytes]
) -> None:
    recycled = Mark(bystander.pid, "1")
    path = write(own_runtime_folder, host=recycled, warden=recycled)
    async with open_carrier() as carrier:
        assert carrier.leftovers == Leftovers(runs=1)
    assert not path.exists()
    assert is_alive(bystander.pid)


async def test_a_ledger_whose_host_runs_is_left_alone(
    own_runtime_folder: Path, bystander: subprocess.Popen[bytes]
) -> None:
    path = write(own_runtime_folder, host=Mark(bystander.pid, start_of(bystander.pid) or ""), token="another")
    async with open_carrier() as carrier:
        assert carrier.leftovers == Leftovers()
    assert path.exists()
    assert is_alive(bystander.pid)


async def test_what_runs_below_the_run_that_is_gone_does_not_kill_itself(
    own_runtime_folder: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.setenv(COOKIE, "outer:1 gone:3")
    path = write(own_runtime_folder, host=Mark(os.getpid(), "1"))
    async with open_carrier() as carrier:
        assert carrier.leftovers == Leftovers()
    assert path.exists()


async def test_a_ledger_that_cannot_be_read_is_removed(own_runtime_folder: Path) -> None:
    path = write(own_runtime_folder)
    path.write_text("{")
    async with open_carrier() as carrier:
        assert carrier.leftovers == Leftovers()
    assert not path.exists()


async def test_what_others_could_have_put_there_names_nobody_who_is_killed(
    own_runtime_folder: Path, bystander: subprocess.Popen[bytes], monkeypatch: pytest.MonkeyPatch
) -> None:
    """The default is below /tmp where there is no session of the user, and anybody may have made it first."""
    victim = Mark(bystander.pid, start_of(bystander.pid) or "")
    path = write(own_runtime_folder, host=Mark(bystander.pid, "1"), warden=victim)
    own_runtime_folder.chmod(0o777)
    assert await reap_leftovers() == Leftovers()
    own_runtime_folder.chmod(0o700)
    with monkeypatch.context() as patch:  # the file is another user's
        patch.setattr(os, "geteuid", lambda: path.stat().st_uid + 1)
        assert reap_ledgers([path]) == Leftovers()
    assert path.exists()
    assert is_alive(bystander.pid)


async def test_without_a_folder_of_ones_own_agents_start_all_the_same(
    own_runtime_folder: Path, caplog: pytest.LogCaptureFixture
) -> None:
    own_runtime_folder.symlink_to("/")
    ear = Ear()
    async with open_carrier() as carrier, carrier.spawn(shell("echo hello; cat"), sink=ear):
        assert await ear.wait_texts(1) == ["hello"]
    assert "is no folder of this user; remove it, or set $TRIOLOGUE_RUNTIME_DIR" in caplog.text


def test_a_folder_that_was_there_keeps_its_mode(own_runtime_folder: Path, caplog: pytest.LogCaptureFixture) -> None:
    """Who names /tmp, or a home, finds it afterwards as it was."""
    own_runtime_folder.mkdir()
    for mode, is_fit in ((0o755, True), (0o1777, False), (0o770, False)):
        own_runtime_folder.chmod(mode)
        ledger = Ledger.open("token", None)
        assert (ledger is not None) == is_fit
        if ledger is not None:
            ledger.close(is_clean=True)
        assert stat.S_IMODE(own_runtime_folder.stat().st_mode) == mode
        assert list(own_runtime_folder.iterdir()) == []
    assert "may write in" in caplog.text
    assert "(mode 1777); make it 0700, or set $TRIOLOGUE_RUNTIME_DIR" in caplog.text


async def test_a_carrier_that_starts_nothing_writes_nothing(own_runtime_folder: Path) -> None:
    async with open_carrier():
        pass
    assert not own_runtime_folder.exists()


def test_a_ledger_says_what_a_later_run_needs(own_runtime_folder: Path) -> None:
    own_runtime_folder.mkdir(mode=0o755)
    ledger = Ledger.open("token", os.getpid())
    assert ledger is not None
    [path] = own_runtime_folder.iterdir()
    entry = msgspec.json.decode(path.read_bytes(), type=Entry)
    assert (entry.host, entry.warden, entry.token, entry.space) == (own_mark(), own_mark(), "token", pid_space())
    assert path.stat().st_mode & 0o777 == 0o600
    ledger.close(is_clean=False)
    assert path.exists()
    again = Ledger.open("token", None)
    assert again is not None
    again.close(is_clean=True)
    assert not path.exists()


def test_a_ledger_that_cannot_be_removed_stays(own_runtime_folder: Path, caplog: pytest.LogCaptureFixture) -> None:
    """As on a disk that became read-only; a folder cannot be unlinked either."""
    ledger = Ledger.open("token", None)
    assert ledger is not None
    [path] = own_runtime_folder.iterdir()
    path.unlink()
    path.mkdir()
    ledger.close(is_clean=True)
    assert f"the ledger {path} stays, and the next run looks at it: " in caplog.text
