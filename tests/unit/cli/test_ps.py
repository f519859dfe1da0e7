"""`triologue ps` and `top` as a script sees them, on a manager in another process."""

import json
import signal
import socket
import subprocess
import sys
from collections.abc import Iterator
from contextlib import contextmanager
from pathlib import Path
from typing import Any

import pytest
import trio

from triologue.cli import running as running_module
from triologue.cli.main import main
from triologue.cli.ps import duration, megabytes
from triologue.cli.running import Silent, ask_all
from triologue.manager.status import AskSessions

BOT = """
import sys, trio
import triologue as tri
from triologue.engine import OfflineModel

async def main():
    agent = tri.Embedded(model=OfflineModel())
    async with tri.open_manager(agent) as manager:
        await manager.session("slack:C1").ask("hello")
        turn = await manager.session("slack:C1").send("Wait 3600 seconds", id="m1", meta={"user": "U1"})
        await manager.session("slack:C1").send("hello", id="m2")
        await manager.session("[red]odd[/]\\x1b\\n" + 40 * "-long").ask("hello")
        await manager.session("asleep").ask("hello")
        await manager.session("asleep").hibernate()
        print("ready", flush=True)
        await trio.sleep_forever()

trio.run(main)
"""


@contextmanager
def bot() -> Iterator[subprocess.Popen[str]]:
    with subprocess.Popen([sys.executable, "-c", BOT], stdout=subprocess.PIPE, text=True) as process:
        assert process.stdout is not None
        assert process.stdout.readline() == "ready\n"
        try:
            yield process
        finally:
            process.kill()


def test_ps_and_top_on_a_bot(capsys: pytest.CaptureFixture[str], own_runtime_folder: Path) -> None:
    with bot() as process:
        assert main(["ps"]) == 0
        title, header, first, second, hidden = capsys.readouterr().out.splitlines()
        assert title.startswith(f"python  pid {process.pid}, embedded, up ")
        assert title.partition(": ")[2].startswith("3 sessions, 2 live, 1 turn in line, $")
        assert header.split("  ")[0] == "KEY"
        assert first.split()[:3] == ["slack:C1", "running", "1"]
        assert first.split()[7:] in (
            ["1", "output", "of", "the", "model"],
            ["1", "the", "agent", "to", "take", "up", "the", "prompt"],
        )
        assert second.split()[:4] == ["[red]odd[/]", 40 * "-long", "idle", "0"], "nothing is cut where no terminal is"
        assert hidden == "1 asleep (--all shows them)"

        assert main(["ps", "--all"]) == 0
        assert "asleep" in capsys.readouterr().out.splitlines()[-1].split()

        assert main(["ps", "slack:C1"]) == 0
        said = capsys.readouterr().out.splitlines()
        assert said[0].startswith("slack:C1: running, waits for ")
        assert said[1].startswith("  turn        m1, accepted ")
        assert said[1].endswith(" s ago user='U1'")
        assert said[2].startswith("  deadline    first_event in 4")
        assert said[3].startswith("  queue       m2, accepted ")

        assert main(["ps", "--json"]) == 0
        [told] = json.loads(capsys.readouterr().out)
        assert told["manager"]["statistics"]["turns"] == {"answered": 3}
        assert [each["key"] for each in told["sessions"]] == ["slack:C1", "[red]odd[/]\x1b\n" + 40 * "-long", "asleep"]
        assert main(["ps", "--json", "asleep"]) == 0
        [explained] = json.loads(capsys.readouterr().out)
        assert (explained["pid"], explained["key"], explained["state"]) == (None, "asleep", "hibernated")
        assert explained["manager"] == process.pid

        assert main(["ps", "nope"]) == 1
        assert capsys.readouterr().err == (
            "triologue: no manager that runs has a session with the key 'nope'; `triologue ps --all` lists them\n"
        )
        watch_top()
    assert list(own_runtime_folder.glob("*.sock")) != [], "it was killed"
    assert main(["ps"]) == 0
    assert capsys.readouterr().out == "No manager of this user runs.\n"
    assert list(own_runtime_folder.glob("*.sock")) == []


def watch_top() -> None:
    """Where there is no terminal, a line for each look."""
    command = [sys.executable, "-m", "triologue", "top", "--interval", "0.1"]
    with subprocess.Popen(command, stdout=subprocess.PIPE, text=True) as top:
        assert top.stdout is not None
        for _ in range(2):
            line = top.stdout.readline()
            assert line[10:].startswith("1 manager, 3 sessions (1 hibernated, 1 idle, 1 running), 1 turn in line, $")
        top.send_signal(signal.SIGINT)
        assert top.wait() == 0


def listen(folder: Path) -> socket.socket:
    folder.mkdir(mode=0o700, exist_ok=True)
    listening = socket.socket(socket.AF_UNIX)
    listening.bind(str(folder / "77-1.sock"))
    listening.listen()
    return listening


def test_a_manager_that_does_not_answer_is_told_of(
    own_runtime_folder: Path, monkeypatch: pytest.MonkeyPatch, capsys: pytest.CaptureFixture[str]
) -> None:
    monkeypatch.setattr(running_module, "PATIENCE", 0.05)
    with listen(own_runtime_folder):
        assert main(["ps"]) == 1
    assert capsys.readouterr() == ("", "triologue: the manager of process 77 does not tell: no answer within 0.05 s\n")


@pytest.mark.parametrize("arguments", [["ps"], ["ps", "--json"], ["ps", "slack:C1"], ["top"]])
def test_a_folder_in_which_others_may_write_is_told_of(
    arguments: list[str], own_runtime_folder: Path, capsys: pytest.CaptureFixture[str]
) -> None:
    """As `mkdir` makes one for many users; managers tell nothing of themselves there."""
    with listen(own_runtime_folder):
        own_runtime_folder.chmod(0o775)
        assert main(arguments) == 2
    said = f"others may write in '{own_runtime_folder}' (mode 0775); make it 0700, or set $TRIOLOGUE_RUNTIME_DIR"
    assert capsys.readouterr() == ("", f"triologue: no manager can tell of itself: {said}\n")


@pytest.mark.parametrize(
    ("answer", "why"),
    [
        (b"", "it was leaving"),
        (b"hello\n", "JSON is malformed: invalid character (byte 0)"),
        (b'{"type": "refused", "error": "busy"}\n', "busy"),
    ],
)
async def test_an_answer_that_is_none_is_told_of(answer: bytes, why: str, own_runtime_folder: Path) -> None:
    async def reply(listening: trio.SocketListener) -> None:
        async with await listening.accept() as stream:
            await stream.receive_some()
            await stream.send_all(answer)

    with listen(own_runtime_folder) as plain:
        listening = trio.SocketListener(trio.socket.from_stdlib_socket(plain))
        async with trio.open_nursery() as nursery:
            nursery.start_soon(reply, listening)
            found: tuple[list[Any], list[Silent]] = await ask_all(AskSessions())
        assert found == ([], [Silent("77", why)])


def test_one_key_of_two_managers(capsys: pytest.CaptureFixture[str], monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setenv("COLUMNS", "20")
    with bot() as one, bot() as two:
        assert main(["ps", "asleep"]) == 0
        said = capsys.readouterr().out.splitlines()
        titles = [line for line in said if line.startswith("python  pid ")]
        assert [title.split(",")[0] for title in titles] == [f"python  pid {each.pid}" for each in (one, two)]
        assert [title.rpartition(",")[2][:2] for title in titles] == [" $", " $"], "each is one line"


def test_figures_for_people() -> None:
    assert [duration(each) for each in (0.4, 59, 61, 3_700, 90_000)] == ["0s", "59s", "1m01s", "1h01m", "1d01h"]
    assert [megabytes(each) for each in (1_500_000, 12_000_000_000)] == ["2MB", "12GB"]
