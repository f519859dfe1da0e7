"""The command in a real terminal: a pseudo-terminal, typed into, and waited for by what it shows."""

import os
import pty
import re
import select
import signal
import subprocess
import sys
import time
from collections.abc import Callable, Iterator
from contextlib import contextmanager
from typing import final

import pytest
import trio

from triologue.cli.running import ask_all
from triologue.manager.status import AskSessions

PATIENCE = 30.0
_STYLE = re.compile(r"\x1b\[[0-9;?]*[A-Za-z]")


@final
class Terminal:
    """A command in a terminal of its own."""

    def __init__(self, process: subprocess.Popen[bytes], fd: int) -> None:
        self.process = process
        self._fd = fd
        self.raw = ""
        self.shown = ""
        """All of it so far, without colours."""
        self._seen = 0

    def type(self, keys: str) -> None:
        os.write(self._fd, keys.encode())

    def wait(self, text: str) -> str:
        """Until it shows a text behind the last one that was waited for; returns what came before it."""
        while (found := self.shown.find(text, self._seen)) < 0:
            assert self._read(), f"it ended before {text!r}, and showed: {self.shown!r}"
        before = self.shown[self._seen : found]
        self._seen = found + len(text)
        return before

    def wait_end(self) -> int:
        """Until it has ended; returns its exit code."""
        while self._read():
            pass
        return self.process.wait(PATIENCE)

    def _read(self) -> bool:
        deadline = time.monotonic() + PATIENCE
        ready, _, _ = select.select([self._fd], [], [], max(0.0, deadline - time.monotonic()))
        assert ready, f"nothing new for {PATIENCE} s; it shows: {self.shown!r}"
        try:
            chunk = os.read(self._fd, 65_536)
        except OSError:  # how Linux says that nobody has the other end open any more
            return False
        self.raw += chunk.decode(errors="replace")
        self.shown += _STYLE.sub("", chunk.decode(errors="replace")).replace("\r", "")
        return bool(chunk)


@contextmanager
def open_terminal(*arguments: str, columns: int = 100, lines: int = 30) -> Iterator[Terminal]:
    master, slave = pty.openpty()
    # A session of its own, whose terminal this is: so that Ctrl-C is a key and not a call.
    login = (
        "import os, fcntl, termios, sys; os.setsid(); fcntl.ioctl(0, termios.TIOCSCTTY, 0); os.execv(sys.executable, "
    )
    login += "[sys.executable, '-m', 'triologue', *sys.argv[1:]])"
    environment = {**os.environ, "TERM": "xterm", "COLUMNS": str(columns), "LINES": str(lines)}
    process = subprocess.Popen(
        [sys.executable, "-c", login, *arguments], stdin=slave, stdout=slave, stderr=slave, env=environment
    )
    os.close(slave)
    try:
        yield Terminal(process, master)
    finally:
        process.kill()
        process.wait()
        os.close(master)


CTRL_C, CTRL_D = "\x03", "\x04"
LEAVES_SCREEN = "\x1b[?1049l"


def test_a_chat() -> None:
    with open_terminal("chat", "--agent", "embedded") as terminal:
        terminal.wait("embedded in ")
        terminal.wait("\n> ")
        terminal.type("Remember: I like Python\n")
        terminal.wait("I will remember that you like Python.\n(")
        terminal.wait("\n> ")
        terminal.type("Count to 2000\n")
        terminal.wait(" 3 4 5 6 ")
        terminal.type(CTRL_C)
        terminal.wait("(interrupted)\n")
        terminal.wait("\n> ")
        terminal.type("Call add(a=20, b=22)\n")
        terminal.wait("> add  a: 20, b: 22\n  42\nThe tool add says: 42.\n")
        terminal.wait("\n> ")
        terminal.type("/fork\n")
        terminal.wait("(this is a copy now; /resume ")
        original = terminal.wait(" goes back)")
        terminal.wait("\n> ")
        terminal.type("My name is Ada\n")
        terminal.wait("\n> ")
        terminal.type("What did I tell you?\n")
        assert "Ada" in terminal.wait(" in all)")
        terminal.wait("\n> ")
        terminal.type(f"/resume {original}\n")
        terminal.wait("\n> ")
        terminal.type("What did I tell you?\n")
        assert "Ada" not in (answer := terminal.wait(" in all)"))
        assert "Python" in answer
        terminal.wait("\n> ")
        terminal.type("/model parrot\n")
        terminal.wait("(the model is parrot)")
        terminal.type("Which model are you?\n")
        terminal.wait("I am parrot.")
        terminal.wait("\n> ")
        terminal.type("/quit\n")
        terminal.wait("(`triologue chat --resume chat/")
        key = f"chat/{terminal.wait('` goes on with this)')}"
        assert terminal.wait_end() == 0
    with open_terminal("sessions", "delete", key) as terminal:
        terminal.wait(key)
        terminal.wait("Delete 1 session? [y/N] ")
        terminal.type("y\n")
        terminal.wait("1 session deleted.")
        assert terminal.wait_end() == 0


@pytest.mark.parametrize("keys", [CTRL_D, CTRL_C + CTRL_C])
def test_leaving_a_chat_by_a_key(keys: str) -> None:
    with open_terminal("chat", "--agent", "embedded") as terminal:
        terminal.wait("\n> ")
        for key in keys:
            terminal.type(key)
            if key == CTRL_C and terminal.shown.count("leaves)") == 0:
                terminal.wait("(Ctrl-C again, or Ctrl-D, leaves)")
        assert terminal.wait_end() == 0
        assert "Traceback" not in terminal.shown


def test_a_conversation_that_is_not_there_leaves_the_chat_usable() -> None:
    with open_terminal("chat", "--agent", "embedded", "--resume", "nope") as terminal:
        terminal.wait("\n> ")
        terminal.type("Hello\n")
        terminal.wait("no conversation has the session id 'nope'")
        terminal.wait("(the next message begins a fresh conversation)")
        terminal.wait("\n> ")
        terminal.type("Hello\n")
        terminal.wait("Hello! What can I do for you?")
        terminal.type(CTRL_D)
        assert terminal.wait_end() == 0


def test_the_demo_is_live_and_ends_with_a_table() -> None:
    with open_terminal("demo", "--sessions", "10", "--turns", "3", "--pace", "0.01") as terminal:
        terminal.wait("10 conversations at once on embedded, 36 turns")
        terminal.wait("/36 turns")
        terminal.wait(" running")
        terminal.wait("lost turns")
        assert terminal.wait_end() == 0


def interrupt(terminal: Terminal) -> int:
    terminal.type(CTRL_C)
    return 130


def kill(terminal: Terminal) -> int:
    terminal.process.send_signal(signal.SIGINT)
    return 130


def terminate(terminal: Terminal) -> int:
    """By SIGTERM, and once more, so that what runs is not waited for."""
    terminal.process.send_signal(signal.SIGTERM)
    time.sleep(0.2)  # two that come together are one
    if terminal.process.poll() is None:
        terminal.process.send_signal(signal.SIGTERM)
    return 143


@pytest.mark.parametrize("stop", [interrupt, kill, terminate])
@pytest.mark.parametrize(
    ("arguments", "shown"),
    [
        (["run", "--agent", "embedded", "Count to 400000"], " 7 8 9 "),
        pytest.param(["demo", "--pace", "0.5", "--sessions", "20"], "1 running", marks=pytest.mark.slow),
    ],
)
def test_a_signal_ends_a_command(stop: Callable[[Terminal], int], arguments: list[str], shown: str) -> None:
    with open_terminal(*arguments) as terminal:
        terminal.wait(shown)
        code = stop(terminal)
        assert terminal.wait_end() == code
        assert "Traceback" not in terminal.shown


def test_sigterm_lets_an_answer_come_to_its_end() -> None:
    with open_terminal("run", "--agent", "embedded", "Wait 1 seconds") as terminal:
        wait_for_turn()
        terminal.process.send_signal(signal.SIGTERM)
        assert terminal.wait_end() == 0
        assert terminal.shown == "I waited 1 seconds.\n"


def say_and_terminate(lines: str) -> tuple[int, list[str]]:
    """Pipe lines into a chat, end it by SIGTERM in its first turn; its exit code, and what it printed."""
    program = [sys.executable, "-m", "triologue", "chat", "--agent", "embedded"]
    with subprocess.Popen(program, stdin=subprocess.PIPE, stdout=subprocess.PIPE, text=True) as process:
        assert process.stdin is not None
        process.stdin.write(lines)
        process.stdin.flush()
        wait_for_turn()
        process.send_signal(signal.SIGTERM)
        said = process.communicate(timeout=30)[0].splitlines()
    return process.returncode, said


def test_sigterm_leaves_the_other_lines_of_a_piped_chat() -> None:
    code, said = say_and_terminate("Wait 1 seconds\none\ntwo\n")
    assert (code, said[0], said[2:]) == (1, "I waited 1 seconds.", ["(asked to end, so nothing more is sent)"])


def test_who_leaves_a_piped_chat_after_sigterm_has_left_nothing_unsaid() -> None:
    code, said = say_and_terminate("Wait 1 seconds\n/quit\n")
    assert (code, said[0]) == (0, "I waited 1 seconds.")
    assert "(asked to end, so nothing more is sent)" not in said


def test_sigterm_ends_a_chat() -> None:
    with open_terminal("chat", "--agent", "embedded") as terminal:
        terminal.wait("\n> ")
        terminal.type("Wait 1 seconds\n")
        wait_for_turn()
        terminal.process.send_signal(signal.SIGTERM)
        terminal.wait("I waited 1 seconds.")
        assert terminal.wait_end() == 143


def wait_for_turn() -> None:
    """Until the one manager that there is has a turn."""
    deadline = time.monotonic() + PATIENCE
    while time.monotonic() < deadline:
        running, _ = trio.run(ask_all, AskSessions())
        if [session.state for each in running for session in each.sessions] == ["running"]:
            return
        time.sleep(0.01)
    raise AssertionError("no turn runs")


def test_top_in_a_terminal() -> None:
    with (
        open_terminal("chat", "--agent", "embedded") as chat,
        open_terminal("top", "--interval", "0.1", "--sort", "key") as top,
    ):
        chat.wait("\n> ")
        chat.type("Wait 3600 seconds\n")
        top.wait("1 manager, 1 session (1 running), $0.00")
        top.wait("python -m triologue chat  pid ")
        top.wait("chat/")
        top.wait("  running  ")
        top.wait("sorted by key: s sorts by something else, q leaves")
        top.type("s")
        top.wait("sorted by age")
        top.type("q")
        assert top.wait_end() == 0
        # However small the terminal is, the last line is seen.
        with open_terminal("top", columns=40, lines=6) as small:
            small.wait("python -m triologue chat  pid ")
            small.wait("sorted by age")
    for number, code in ((signal.SIGINT, 0), (signal.SIGTERM, 143)):
        with open_terminal("top") as top:
            top.wait("0 managers, 0 sessions, $0.00")
            top.process.send_signal(number)
            assert top.wait_end() == code
            assert LEAVES_SCREEN in top.raw
