"""The warden: what becomes of agents when their host, or it itself, is killed."""

import logging
import os
import signal
import subprocess
import sys
import textwrap
import time
from collections.abc import Iterator
from pathlib import Path
from typing import final

import pytest
import trio

from tests.support.leftovers import descendants, is_alive
from tests.support.threads import no_threads
from tests.unit.agents.programs import ENV, HERD, HERD_SIZE, PATIENCE, Ear, living, prompt, shell, wait_until
from triologue.agents import warden as warden_module, warden_process
from triologue.agents.direct import find_by_cookie, sweep_by_cookie
from triologue.agents.process import open_carrier
from triologue.agents.warden_process import COOKIE, Seen, below, kill, look_around, look_at, read_cookies, with_cookie
from triologue.errors import AgentStartError
from triologue.ports import Command, Exit

pytestmark = pytest.mark.skipif(sys.platform != "linux", reason="needs a subreaper and /proc")

CAT = Command(argv=["cat"], env=ENV)

HOST = """
import os, sys, trio
from triologue.agents.process import open_carrier
from triologue.ports import Command

def say(batch):
    for message in batch:
        print(message.text, flush=True)

async def main():
    async with open_carrier() as carrier:
        command = Command(argv=["sh", "-c", sys.argv[1]], env={"PATH": os.environ["PATH"]})
        async with carrier.spawn(command, sink=say):
            if sys.argv[2] == "forked" and not os.fork():
                while os.read(0, 1):  # holds all that the host had open
                    pass
                os._exit(0)
            async with carrier.spawn(command, sink=say):
                await trio.sleep_forever()

trio.run(main)
"""


def find_warden() -> int:
    """The pid of the one warden below this process."""
    [pid] = [pid for pid, command in descendants().items() if "warden_process.py" in command]
    return pid


@pytest.mark.parametrize("kind", ["alone", "forked"])
def test_when_the_host_is_killed_nothing_below_it_stays(kind: str) -> None:
    argv = [sys.executable, "-c", HOST, HERD + "while :; do sleep 1004; done", kind]
    with subprocess.Popen(argv, stdin=subprocess.PIPE, stdout=subprocess.PIPE, text=True) as host:
        assert host.stdout is not None
        pids = [int(host.stdout.readline()) for _ in range(2 * HERD_SIZE)]
        everything = descendants(host.pid)
        copies = [pid for pid, command in everything.items() if HOST[:20] in command]
        others = [pid for pid in everything if pid not in copies]
        assert set(pids) < set(others)
        host.kill()
        wait_dead(others)
        assert living(copies) == copies
    wait_dead(copies)  # its input has ended


def wait_dead(pids: list[int]) -> None:
    deadline = time.monotonic() + PATIENCE
    while living(pids) and time.monotonic() < deadline:
        time.sleep(0.002)
    assert living(pids) == []


async def test_a_warden_that_is_killed_takes_its_agents_with_it_and_is_replaced(
    caplog: pytest.LogCaptureFixture,
) -> None:
    ear, other = Ear(), Ear()
    async with open_carrier() as carrier:
        async with (
            carrier.spawn(shell(HERD + "sleep 1004"), sink=ear) as first,
            carrier.spawn(CAT, sink=other) as second,
        ):
            pids = await ear.wait_pids(HERD_SIZE)
            warden = find_warden()
            os.kill(warden, signal.SIGKILL)
            with trio.fail_after(PATIENCE):
                assert await first.wait_exit() == Exit(code=-signal.SIGKILL, stderr_tail="")
                assert await second.wait_exit() == Exit(code=-signal.SIGKILL, stderr_tail="")
            assert living(pids) == []
            second.send(prompt("nobody there"))
            assert await first.descendants() == []
        async with carrier.spawn(CAT, sink=other) as third:
            assert find_warden() != warden
            third.send(prompt("back again"))
            assert await other.wait_texts(1) == ["back again"]
    assert [record.message for record in caplog.records] == [
        "the process that starts agents died: exit code -9; its agents are killed"
    ]


async def test_its_agents_are_killed_also_where_no_thread_can_be_had() -> None:
    ear = Ear()
    async with open_carrier() as carrier, carrier.spawn(shell(HERD + "sleep 1004"), sink=ear) as connection:
        pids = await ear.wait_pids(HERD_SIZE)
        with no_threads(), trio.fail_after(PATIENCE):
            os.kill(find_warden(), signal.SIGKILL)
            assert await connection.wait_exit() == Exit(code=-signal.SIGKILL, stderr_tail="")
        assert living(pids) == []


@pytest.mark.parametrize(
    ("executable", "text"),
    [
        ("/no/python", "cannot start '/no/python', which is to start agents"),
        ("/bin/false", "died (exit code 1), so 'cat'"),
    ],
)
async def test_a_warden_that_does_not_start(executable: str, text: str, monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr(sys, "executable", executable)
    async with open_carrier() as carrier:
        with pytest.raises(AgentStartError) as caught:
            async with carrier.spawn(CAT, sink=Ear()):
                pass
        assert text in str(caught.value)


async def test_a_warden_that_fails_says_why(caplog: pytest.LogCaptureFixture) -> None:
    async with open_carrier() as carrier:
        async with carrier.spawn(CAT, sink=Ear()) as connection:
            link = carrier._spawner._link  # type: ignore[attr-defined]
            with pytest.raises(warden_module.WardenGone, match="KeyError: 'nonsense'"):
                await link.ask("nonsense")
            assert (await connection.wait_exit()).code == -signal.SIGKILL
    assert "KeyError: 'nonsense'" in caplog.records[0].message


@final
class BrokenHandler(logging.Handler):
    def emit(self, record: logging.LogRecord) -> None:
        raise RuntimeError("nobody can be told")


async def test_an_error_while_its_end_is_dealt_with_comes_out_and_is_not_waited_for() -> None:
    handler = BrokenHandler()
    with pytest.raises(ExceptionGroup) as caught, trio.fail_after(PATIENCE):
        async with open_carrier() as carrier, carrier.spawn(CAT, sink=Ear()) as connection:
            logging.getLogger("triologue.agents").addHandler(handler)
            try:
                os.kill(find_warden(), signal.SIGKILL)
                assert (await connection.wait_exit()).code == -signal.SIGKILL
            finally:
                logging.getLogger("triologue.agents").removeHandler(handler)
    assert "nobody can be told" in repr(caught.value)


async def test_a_warden_that_hangs_is_given_up(monkeypatch: pytest.MonkeyPatch) -> None:
    ear = Ear()
    async with open_carrier() as carrier:
        async with carrier.spawn(shell(HERD + "sleep 1004"), sink=ear) as connection:
            pids = await ear.wait_pids(HERD_SIZE)
            os.kill(find_warden(), signal.SIGSTOP)
            monkeypatch.setattr(warden_module, "ANSWER_PATIENCE", 0.05)
            monkeypatch.setattr(warden_module, "END_PATIENCE", 0.05)
            with pytest.raises(AgentStartError, match=r"did not answer for 0.05 s"):
                async with carrier.spawn(CAT, sink=Ear()):
                    pass
            assert (await connection.wait_exit()).code == -signal.SIGKILL
            assert living(pids) == []


async def test_signals_of_a_terminal_do_not_reach_it_or_its_agents() -> None:
    ear = Ear()
    async with open_carrier() as carrier, carrier.spawn(CAT, sink=ear) as connection:
        warden = find_warden()
        assert os.getsid(warden) == warden
        assert connection.pid is not None
        assert os.getsid(connection.pid) == connection.pid
        for number in (signal.SIGINT, signal.SIGTERM, signal.SIGHUP, signal.SIGQUIT):
            os.kill(warden, number)
        async with carrier.spawn(CAT, sink=ear) as another:
            another.send(prompt("still there"))
            assert await ear.wait_texts(1) == ["still there"]
        assert find_warden() == warden


async def test_it_holds_nothing_of_the_hosts(tmp_path: Path) -> None:
    fd = os.open(tmp_path, os.O_RDONLY)
    os.set_inheritable(fd, True)
    try:
        async with open_carrier() as carrier, carrier.spawn(CAT, sink=Ear()):
            held = [str(link.readlink()) for link in Path(f"/proc/{find_warden()}/fd").iterdir()]
            # Both ends of the one pipe by which it hears of deaths; none of an agent's.
            assert len(pipes := [name for name in held if name.startswith("pipe:")]) == 2
            assert len(set(pipes)) == 1
            assert str(tmp_path) not in held
            assert Path(f"/proc/{find_warden()}/cwd").readlink() == Path("/")
    finally:
        os.close(fd)


async def test_an_orphan_without_a_cookie_is_found_once_it_can_be_nobody_elses() -> None:
    ear = Ear()
    script = "(env -i setsid sh -c 'echo $$; exec sleep 1000' &); cat"
    async with open_carrier(grace=PATIENCE) as carrier:
        async with carrier.spawn(CAT, sink=Ear()):
            async with carrier.spawn(shell(script), sink=ear):
                pids = await ear.wait_pids(1)
            assert living(pids) == pids
        assert living(pids) == []


async def test_orphans_that_end_by_themselves_are_reaped_at_once() -> None:
    ear = Ear()
    async with open_carrier() as carrier:
        async with carrier.spawn(shell("(setsid sh -c 'echo $$' &); cat"), sink=ear):
            [pid] = await ear.wait_pids(1)
            await wait_until(lambda: not Path(f"/proc/{pid}").exists())


def test_cookies_of_hosts_further_up_are_kept(monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setenv(COOKIE, "outer:1")
    assert with_cookie({"A": "b"}, "inner:2") == {"A": "b", COOKIE: "outer:1 inner:2"}
    assert with_cookie({COOKIE: "outer:1 middle:3"}, "inner:2") == {COOKIE: "outer:1 middle:3 inner:2"}
    monkeypatch.delenv(COOKIE)
    assert with_cookie({}, "inner:2") == {COOKIE: "inner:2"}


TOKEN = f"token{os.getpid()}"
"""Other runs of these tests look for theirs."""


@pytest.fixture
def sleeper() -> Iterator[subprocess.Popen[bytes]]:
    env = {**ENV, COOKIE: f"outer:1 {TOKEN}:7"}
    with subprocess.Popen(["sleep", "1000"], env=env) as process:
        yield process
        process.kill()


def test_a_later_process_with_the_same_pid_is_not_killed(sleeper: subprocess.Popen[bytes]) -> None:
    seen, is_zombie = look_at(sleeper.pid)
    assert not is_zombie
    assert seen.parent == os.getpid()
    kill(seen._replace(start=b"0"))
    assert is_alive(sleeper.pid)
    kill(seen)
    assert sleeper.wait() == -signal.SIGKILL
    kill(seen)


def test_it_is_killed_without_a_pidfd_too(sleeper: subprocess.Popen[bytes], monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.delattr(os, "pidfd_open")
    kill(look_at(sleeper.pid)[0])
    assert sleeper.wait() == -signal.SIGKILL


def test_what_carries_a_cookie_is_found_and_swept(sleeper: subprocess.Popen[bytes]) -> None:
    assert read_cookies(sleeper.pid) == ["outer:1", f"{TOKEN}:7"]
    assert [seen.pid for cookie in (f"{TOKEN}:", f"{TOKEN}:7") for seen in find_by_cookie(cookie)] == [sleeper.pid] * 2
    for other in (f"{TOKEN}:70", TOKEN, f"{TOKEN[:-1]}:", f"{TOKEN[1:]}:7"):
        assert find_by_cookie(other) == []
    assert sweep_by_cookie(f"{TOKEN}:7", PATIENCE) == []
    assert sleeper.wait() == -signal.SIGKILL
    assert read_cookies(sleeper.pid) == []


def test_the_family_is_all_that_is_below() -> None:
    table = {pid: Seen(pid, parent, b"") for pid, parent in [(2, 1), (3, 2), (4, 3), (5, 1), (6, 99)]}
    assert [seen.pid for seen in below([2], table)] == [2, 3, 4]
    assert [seen.pid for seen in below([3, 99], table)] == [3, 4, 6]
    assert below([7], table) == []
    assert look_around()[os.getpid()].parent == os.getppid()


def test_it_needs_nothing_but_the_standard_library() -> None:
    program = warden_process.__file__
    code = f"import sys, runpy; sys.argv = ['w']; runpy.run_path({program!r}); print(sorted(m for m in sys.modules if 'triologue' in m))"
    shown = subprocess.run(
        [sys.executable, "-I", "-S", "-E", "-c", textwrap.dedent(code)], capture_output=True, check=True
    )
    assert shown.stdout == b"[]\n"
