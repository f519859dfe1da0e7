"""The process carrier, on real processes; with a warden and without, with either reader."""

import os
import resource
import signal
import sys
import time
from collections.abc import AsyncGenerator
from pathlib import Path
from typing import NamedTuple

import pytest
import trio
from msgspec.structs import replace
from trio.testing import MockClock, wait_all_tasks_blocked

from tests.support.threads import no_threads
from tests.unit.agents.programs import ENV, HERD, HERD_SIZE, PATIENCE, Ear, living, prompt, python, shell
from triologue.agents import ClaudeCode, CortexCode, Qoder, access_token, process as process_module
from triologue.agents.process import EXIT_PATIENCE, ProcessCarrier, open_carrier
from triologue.agents.warden_process import COOKIE
from triologue.errors import AgentNotFound, AgentProtocolError, AgentStartError
from triologue.messages import Message, OversizeMessage, StrayText
from triologue.options import Options
from triologue.ports import Agent, Command, Exit

pytestmark = pytest.mark.skipif(sys.platform == "win32", reason="needs POSIX processes")

CAT = Command(argv=["cat"], env=ENV)
DEAF = "signal.signal(signal.SIGTERM, signal.SIG_IGN)\nprint('ready', flush=True)\ntime.sleep(1000)"


LINUX = pytest.mark.skipif(sys.platform != "linux", reason="needs a subreaper, or an epoll")


class Kind(NamedTuple):
    """How agents are started, and how they are read."""

    direct: bool
    shared_reader: bool


@pytest.fixture(
    params=[
        pytest.param(Kind(direct=False, shared_reader=True), id="warden, pump", marks=LINUX),
        pytest.param(Kind(direct=True, shared_reader=False), id="direct, task per pipe"),
    ]
)
def kind(request: pytest.FixtureRequest) -> Kind:
    found: Kind = request.param
    return found


@pytest.fixture
async def carrier(kind: Kind) -> AsyncGenerator[ProcessCarrier]:
    async with open_carrier(**kind._asdict(), grace=PATIENCE) as carrier:
        yield carrier


@pytest.fixture
async def impatient(kind: Kind) -> AsyncGenerator[ProcessCarrier]:
    async with open_carrier(**kind._asdict(), grace=0.01) as carrier:
        yield carrier


async def run(carrier: ProcessCarrier, command: Command) -> tuple[Exit, list[str]]:
    """Run a program that ends by itself: how it went away, and what it said."""
    ear = Ear()
    async with carrier.spawn(command, sink=ear) as connection:
        with trio.fail_after(PATIENCE):
            return await connection.wait_exit(), ear.texts


async def test_frames_go_there_and_back_in_order(carrier: ProcessCarrier) -> None:
    ear = Ear()
    texts = [f"{n}: é\u2028\n" for n in range(1000)]
    async with carrier.spawn(CAT, sink=ear) as connection:
        for text in texts:
            connection.send(prompt(text))
        assert await ear.wait_texts(len(texts)) == texts


async def test_leaving_the_block_ends_the_input_and_takes_what_is_still_said(carrier: ProcessCarrier) -> None:
    ear = Ear()
    async with carrier.spawn(CAT, sink=ear) as connection:
        connection.send(prompt("a" * 1_000_000))
        connection.send(prompt("b"))
    assert ear.texts == ["a" * 1_000_000, "b"]
    assert await connection.wait_exit() == Exit(code=0, stderr_tail="")


async def test_a_big_answer(carrier: ProcessCarrier) -> None:
    script = "sys.stdout.write('x' * 10_000_000 + '\\n' + 'y\\n' * 100_000)"
    ended, texts = await run(carrier, python(script))
    assert (ended.code, len(texts[0]), texts[1:]) == (0, 10_000_000, ["y"] * 100_000)


async def test_a_line_over_the_limit_is_told_by_its_size_and_the_rest_goes_on(kind: Kind) -> None:
    ear = Ear()
    script = "print('before\\n' + 'x' * 1_000_000 + '\\nafter')"
    async with open_carrier(**kind._asdict(), max_message_bytes=10_000) as carrier:
        async with carrier.spawn(python(script), sink=ear) as connection:
            await connection.wait_exit()
    assert ear.messages == [
        StrayText(text="before"),
        OversizeMessage(size=1_000_000, head=b"x" * 1024),
        StrayText(text="after"),
    ]


async def test_a_big_prompt_for_a_slow_reader_holds_nobody_up(carrier: ProcessCarrier) -> None:
    script = """
size = 0
while chunk := os.read(0, 4096):
    size += len(chunk)
print(size)
"""
    slow, quick = Ear(), Ear()
    async with (
        carrier.spawn(python(script), sink=slow) as reader,
        carrier.spawn(CAT, sink=quick) as other,
    ):
        reader.send(prompt("x" * 10_000_000))
        other.send(prompt("y"))
        assert await quick.wait_texts(1) == ["y"]
        reader.stop(eof=True)
        assert (await reader.wait_exit()).code == 0
    frame = len('{"type":"user","message":{"role":"user","content":""}}\n')
    assert int(slow.texts[0]) >= 10_000_000 + frame - 1


async def test_a_last_line_without_its_end_and_what_a_grandchild_still_holds_open(carrier: ProcessCarrier) -> None:
    script = (
        "subprocess = os.fork()\nif not subprocess:\n    time.sleep(1000)\nos.write(1, b'first\\nlast')\nos._exit(4)"
    )
    assert await run(carrier, python(script)) == (Exit(code=4, stderr_tail=""), ["first", "last"])


@pytest.mark.parametrize(
    ("script", "code"), [("exit 0", 0), ("exit 143", 143), ("kill -KILL $$", -signal.SIGKILL), ("kill $$", -15)]
)
async def test_the_exit_code(carrier: ProcessCarrier, script: str, code: int) -> None:
    assert (await run(carrier, shell(script)))[0] == Exit(code=code, stderr_tail="")


async def test_many_may_wait_for_the_exit(carrier: ProcessCarrier) -> None:
    exits = []

    async def wait() -> None:
        exits.append(await connection.wait_exit())

    async with carrier.spawn(shell("read line; exit 3"), sink=Ear()) as connection, trio.open_nursery() as nursery:
        for _ in range(3):
            nursery.start_soon(wait)
        assert repr(connection) == f"<Process 'sh' running, pid {connection.pid}, 0 bytes to send>"
        connection.send(prompt("go"))
    assert exits == [Exit(code=3, stderr_tail="")] * 3
    assert repr(connection) == "<Process 'sh' exited with 3, pid None, 0 bytes to send>"


async def test_stderr_comes_by_lines_and_its_end_with_the_exit(carrier: ProcessCarrier) -> None:
    lines: list[str] = []
    script = "sys.stderr.write('é\\r\\n' * 50_000 + 'last')"
    ended, _ = await run(carrier, python(script, stderr=lines.append, env={**ENV, "PYTHONUTF8": "1"}))
    assert lines == ["é"] * 50_000 + ["last"]
    assert ended.code == 0
    assert len(ended.stderr_tail.encode()) in range(65_530, 65_537)
    assert ended.stderr_tail.endswith("é\r\nlast")


async def test_a_sink_that_raises_stops_its_agent_and_no_other(
    impatient: ProcessCarrier, caplog: pytest.LogCaptureFixture
) -> None:
    calls = []

    def sink(batch: list[Message]) -> None:
        calls.append(len(batch))
        raise RuntimeError("no more")

    ear = Ear()
    async with impatient.spawn(CAT, sink=ear) as well, impatient.spawn(CAT, sink=sink) as ill:
        ill.send(prompt("a"))
        with trio.fail_after(PATIENCE):
            assert (await ill.wait_exit()).code == -signal.SIGTERM
        well.send(prompt("b"))
        assert await ear.wait_texts(1) == ["b"]
    assert calls == [1]
    assert [record.message.partition(" <")[0] for record in caplog.records] == ["the sink of"]


async def test_what_is_sent_too_late_is_dropped(carrier: ProcessCarrier) -> None:
    ear = Ear()
    async with carrier.spawn(CAT, sink=ear) as connection:
        connection.stop(eof=True)
        await trio.testing.wait_all_tasks_blocked()
        connection.send(prompt("after the end of input"))
        await connection.wait_exit()
        connection.send(prompt("after the exit"))
    connection.send(prompt("after the close"))
    assert ear.texts == []


async def test_an_agent_that_closes_its_input_is_written_to_in_vain(impatient: ProcessCarrier) -> None:
    ear = Ear()
    async with impatient.spawn(shell("exec 0<&-; echo closed; sleep 1000"), sink=ear) as connection:
        await ear.wait_texts(1)
        connection.send(prompt("x" * 1_000_000))
        assert "0 bytes to send" in repr(connection)


async def test_what_waits_for_an_agent_is_bounded(impatient: ProcessCarrier, monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr(process_module, "MAX_WAITING", 1_000_000)
    async with impatient.spawn(shell("sleep 1000"), sink=Ear()) as connection:
        connection.send(prompt("x" * 2_000_000))  # one frame may always go
        with pytest.raises(AgentProtocolError, match=r"'sh' does not read its input: \d+ bytes wait already"):
            connection.send(prompt("y"))


@pytest.mark.parametrize(
    ("argv", "cwd", "error", "text"),
    [
        (["no-such-agent"], None, AgentNotFound, "cannot start 'no-such-agent' in '.': it is in none of the folders"),
        (["/no/agent"], None, AgentNotFound, "cannot start '/no/agent' in '.': there is no such file"),
        (
            ["cat"],
            "/no/folder",
            AgentStartError,
            "cannot start 'cat' in '/no/folder': No such file or directory; create",
        ),
        (["/etc/passwd"], None, AgentStartError, "cannot start '/etc/passwd' in '.': Permission denied; allow"),
        (["cat", "\0"], None, AgentStartError, "cannot start 'cat' in '.': embedded null byte; look at its arguments"),
        (["cat", "\ud800"], None, AgentStartError, "cannot start 'cat' in '.': 'utf-8' codec can't encode"),
        (
            ["cat", "x" * 3_000_000],
            None,
            AgentStartError,
            "cannot start 'cat' in '.': Argument list too long; pass less",
        ),
    ],
    ids=["nowhere", "no file", "no folder", "not executable", "NUL", "surrogate", "too long"],
)
async def test_what_cannot_start(
    carrier: ProcessCarrier, argv: list[str], cwd: str | None, error: type[Exception], text: str
) -> None:
    with pytest.raises(error) as caught:
        async with carrier.spawn(Command(argv=argv, env=ENV, cwd=cwd), sink=Ear()):
            pass
    assert type(caught.value) is error
    assert str(caught.value).startswith(text)
    if isinstance(caught.value, AgentStartError):
        assert caught.value.is_final
    assert (await run(carrier, shell("exit 5")))[0].code == 5


async def test_a_script_without_its_interpreter(carrier: ProcessCarrier, tmp_path: Path) -> None:
    script = tmp_path / "agent"
    script.write_text("#!/no/interpreter\n")
    script.chmod(0o755)
    with pytest.raises(AgentStartError, match="the interpreter in its first line is not"):
        await run(carrier, Command(argv=[str(script)], env=ENV))


async def test_too_many_open_files(carrier: ProcessCarrier) -> None:
    await run(carrier, shell("exit 0"))
    lowest = os.dup(0)
    os.close(lowest)
    soft, hard = resource.getrlimit(resource.RLIMIT_NOFILE)
    resource.setrlimit(resource.RLIMIT_NOFILE, (lowest + 3, hard))  # for one pipe, and half of the next
    try:
        with pytest.raises(AgentStartError, match="Too many open files; raise the limit") as caught:
            await run(carrier, CAT)
        assert not caught.value.is_final
    finally:
        resource.setrlimit(resource.RLIMIT_NOFILE, (soft, hard))


@pytest.mark.parametrize("agent", [ClaudeCode(), Qoder(auth=access_token("x")), CortexCode()], ids=lambda it: it.name)
async def test_too_many_processes_to_look_for_a_program(carrier: ProcessCarrier, agent: Agent) -> None:
    with no_threads(), pytest.raises(AgentStartError) as caught:
        async with agent.connect(Options(), sink=Ear(), carrier=carrier):
            raise AssertionError("never here")
    assert (str(caught.value), caught.value.is_final) == (
        (
            "cannot look for the program of the agent: no thread can be started; raise the limit of processes "
            "(ulimit -u), or keep fewer agents alive"
        ),
        False,
    )


async def test_the_agent_gets_its_folder_its_environment_and_nothing_else(
    carrier: ProcessCarrier, tmp_path: Path
) -> None:
    script = """
print(os.getcwd())
print(sorted(os.environ))
print([fd for fd in range(3, 1000) if os.path.exists(f'/dev/fd/{fd}')])
print(signal.getsignal(signal.SIGTERM) is signal.SIG_DFL, signal.pthread_sigmask(signal.SIG_BLOCK, ()))
print(os.getsid(0) == os.getpid())
"""
    fd = os.open(tmp_path, os.O_RDONLY)
    try:
        os.set_inheritable(fd, True)  # as careless code does
        _, texts = await run(carrier, python(script, cwd=str(tmp_path), env={"A": "ü", "LC_CTYPE": "C.UTF-8"}))
    finally:
        os.close(fd)
    assert texts == [str(tmp_path), str(sorted(["A", "LC_CTYPE", COOKIE])), "[]", "True set()", "True"]


async def test_eof_is_enough_for_who_heeds_it(carrier: ProcessCarrier) -> None:
    async with carrier.spawn(shell("cat >/dev/null; exit 6"), sink=Ear()) as connection:
        pass
    assert await connection.wait_exit() == Exit(code=6, stderr_tail="")


async def test_who_does_not_heed_eof_gets_sigterm(impatient: ProcessCarrier) -> None:
    # It takes no time to die of SIGTERM, but on a loaded machine it may not get the time to be told.
    async with impatient.spawn(shell("exec sleep 1000"), sink=Ear()) as connection:
        pass
    assert (await connection.wait_exit()).code in (-signal.SIGTERM, -signal.SIGKILL)


async def test_who_heeds_neither_is_killed(impatient: ProcessCarrier, caplog: pytest.LogCaptureFixture) -> None:
    ear = Ear()
    with caplog.at_level("INFO", "triologue.agents"):
        async with impatient.spawn(python(DEAF), sink=ear) as connection:
            await ear.wait_texts(1)
    assert await connection.wait_exit() == Exit(code=-signal.SIGKILL, stderr_tail="")
    (told,) = [record.message for record in caplog.records]
    assert told.endswith("> did not leave within Deadlines.close, and is killed")


async def test_stop_without_eof_signals_at_once(carrier: ProcessCarrier) -> None:
    async with carrier.spawn(Command(argv=["cat"], env=ENV), sink=Ear()) as connection:
        connection.stop(eof=False)
        connection.stop(eof=True)
        with trio.fail_after(PATIENCE):
            assert (await connection.wait_exit()).code == -signal.SIGTERM
        connection.stop(eof=False)


async def test_stop_escalates(carrier: ProcessCarrier) -> None:
    async with carrier.spawn(shell("exec sleep 1000"), sink=Ear()) as connection:
        connection.stop(eof=True)
        await trio.testing.wait_all_tasks_blocked()
        connection.stop(eof=False)
        with trio.fail_after(PATIENCE):
            assert (await connection.wait_exit()).code == -signal.SIGTERM


class Said(NamedTuple):
    """Waits for what a program says on stderr, and for all that follows from it."""

    lines: trio.MemorySendChannel[str]
    heard: trio.MemoryReceiveChannel[str]

    @classmethod
    def open(cls) -> "Said":
        return cls(*trio.open_memory_channel[str](9))

    async def wait(self, line: str) -> None:
        assert await self.heard.receive() == line
        await wait_all_tasks_blocked()


@pytest.mark.parametrize(
    ("on_sigterm", "code"),
    [("", -signal.SIGTERM), ("trap 'exit 0' TERM;", -signal.SIGTERM), ("trap 'exit 9' TERM;", 9)],
)
async def test_who_closes_its_output_and_does_not_exit_is_stopped(
    on_sigterm: str, code: int, carrier: ProcessCarrier, mock_clock: MockClock, caplog: pytest.LogCaptureFixture
) -> None:
    mock_clock.rate = 1  # so that this fails where nothing comes of it
    ear, said = Ear(), Said.open()
    script = f"{on_sigterm} echo last; exec >&-; echo closed >&2; while read line; do :; done"
    async with carrier.spawn(shell(script, stderr=said.lines.send_nowait), sink=ear) as connection:
        await said.wait("closed")
        assert (ear.texts, connection.pid is None) == (["last"], False)
        mock_clock.jump(EXIT_PATIENCE)
        with trio.fail_after(PATIENCE):
            assert await connection.wait_exit() == Exit(code=code, stderr_tail="closed\n", closed_output=True)
    (told,) = [record.message.partition("> ")[2] for record in caplog.records]
    assert told == "closed its output and did not exit within 5 s; it is stopped"


async def test_who_closes_its_output_and_stays_deaf_is_killed(
    impatient: ProcessCarrier, monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.setattr(process_module, "EXIT_PATIENCE", 0.01)
    ended, texts = await run(impatient, python(DEAF.replace("time.sleep", "os.close(1)\ntime.sleep")))
    assert (ended, texts) == (Exit(code=-signal.SIGKILL, closed_output=True), ["ready"])


async def test_who_closes_its_output_has_time_to_exit(carrier: ProcessCarrier, mock_clock: MockClock) -> None:
    said = Said.open()
    command = shell("exec >&-; echo closed >&2; read line; exit 3", stderr=said.lines.send_nowait)
    async with carrier.spawn(command, sink=Ear()) as connection:
        await said.wait("closed")
        mock_clock.jump(0.9 * EXIT_PATIENCE)
        await wait_all_tasks_blocked()
        connection.send(prompt("go"))
        assert await connection.wait_exit() == Exit(code=3, stderr_tail="closed\n")


async def test_a_loop_that_stands_still_while_a_process_exits_takes_nothing_from_its_time(
    mock_clock: MockClock,
) -> None:
    for _ in range(8):  # the loop serves what is ready in any order
        said = Said.open()
        command = shell("exec >&-; echo closed >&2; read line; exit 3", stderr=said.lines.send_nowait)
        # Its exit is told by the system alone, and so no later than it can be seen here.
        async with open_carrier(direct=True) as carrier, carrier.spawn(command, sink=Ear()) as connection:
            await said.wait("closed")
            connection.send(prompt("go"))
            while living([connection.pid or 0]):
                time.sleep(0.001)
            mock_clock.jump(EXIT_PATIENCE)
            assert await connection.wait_exit() == Exit(code=3, stderr_tail="closed\n")


@pytest.mark.parametrize("closes", ["before", "after"])
async def test_who_is_told_to_leave_may_close_its_output_long_before(
    closes: str, carrier: ProcessCarrier, mock_clock: MockClock
) -> None:
    steps = ["os.write(2, b'here\\n')", "sys.stdin.read()"]
    steps.insert(0 if closes == "before" else 2, "os.close(1)")
    steps = [
        "signal.signal(signal.SIGUSR1, lambda *_: os._exit(7))",
        *steps,
        "os.write(2, b'done\\n')",
        "signal.pause()",
    ]
    said = Said.open()
    command = python("\n".join(steps), stderr=said.lines.send_nowait)
    async with carrier.spawn(command, sink=Ear()) as connection:
        await said.wait("here")
        connection.stop(eof=True)
        await said.wait("done")
        mock_clock.jump(EXIT_PATIENCE)
        await wait_all_tasks_blocked()
        assert connection.pid is not None
        os.kill(connection.pid, signal.SIGUSR1)
        assert await connection.wait_exit() == Exit(code=7, stderr_tail="here\ndone\n")


async def test_what_a_process_has_left_its_output_to_may_go_on_speaking(
    carrier: ProcessCarrier, mock_clock: MockClock
) -> None:
    script = "(read line; echo heard; sleep 1000) <&0 & exec >&-; echo closed >&2; wait"
    ear, said = Ear(), Said.open()
    async with carrier.spawn(shell(script, stderr=said.lines.send_nowait), sink=ear) as connection:
        await said.wait("closed")
        mock_clock.jump(EXIT_PATIENCE)
        await wait_all_tasks_blocked()
        connection.send(prompt("are you there?"))
        assert await ear.wait_texts(1) == ["heard"]
        connection.stop(eof=False)


async def test_what_did_not_start_is_not_expected_to_exit(carrier: ProcessCarrier, mock_clock: MockClock) -> None:
    with pytest.raises(AgentNotFound):
        await run(carrier, Command(argv=["no-such-agent"], env=ENV))
    await wait_all_tasks_blocked()
    mock_clock.jump(EXIT_PATIENCE)
    await wait_all_tasks_blocked()
    assert (await run(carrier, shell("exit 5")))[0].code == 5


@pytest.mark.parametrize("end", ["exec sleep 1000", "read line; exit 0"], ids=["running", "exited"])
async def test_no_descendant_is_alive_afterwards(impatient: ProcessCarrier, end: str) -> None:
    ear = Ear()
    async with impatient.spawn(shell(HERD + end), sink=ear) as connection:
        pids = await ear.wait_pids(HERD_SIZE)
        if "exit" in end:
            connection.send(prompt("go"))
            await connection.wait_exit()
        assert living(pids) == pids
        assert set(pids) <= set(await connection.descendants())
    assert living(pids) == []
    assert await connection.descendants() == []


async def test_cancelling_shortens_nothing(carrier: ProcessCarrier) -> None:
    ear = Ear()
    with trio.CancelScope() as scope:
        async with carrier.spawn(shell(HERD + "cat >/dev/null; echo in peace"), sink=ear):
            pids = await ear.wait_pids(HERD_SIZE)
            scope.cancel()
            await trio.sleep_forever()
    assert scope.cancelled_caught
    assert ear.texts[HERD_SIZE:] == ["in peace"]
    assert living(pids) == []


async def test_a_program_may_have_less_time_to_leave_than_its_carrier_gives() -> None:
    deaf = python("print('here', flush=True); signal.pause()", grace=0.01)
    ear = Ear()
    async with open_carrier(grace=PATIENCE * 100) as carrier, carrier.spawn(deaf, sink=ear) as connection:
        await ear.wait_texts(1)
    assert (await connection.wait_exit()).code == -signal.SIGTERM
    async with open_carrier(grace=0.01) as carrier:
        async with carrier.spawn(replace(deaf, grace=PATIENCE * 100), sink=Ear()) as connection:
            pass
    assert (await connection.wait_exit()).code == -signal.SIGTERM


async def test_cancelling_the_carrier_shortens_nothing_either() -> None:
    ear = Ear()
    with trio.CancelScope() as scope:
        async with open_carrier(grace=PATIENCE) as carrier, carrier.spawn(CAT, sink=ear) as connection:
            connection.send(prompt("x" * 1_000_000))
            scope.cancel()
            await trio.sleep_forever()
    assert [len(text) for text in ear.texts] == [1_000_000]


async def test_a_cancelled_start_leaves_nothing(carrier: ProcessCarrier) -> None:
    with trio.CancelScope() as scope:
        scope.cancel()
        async with carrier.spawn(CAT, sink=Ear()):
            raise AssertionError("not reached")
    assert scope.cancelled_caught


async def test_a_hundred_at_once(carrier: ProcessCarrier) -> None:
    answers: dict[int, list[str]] = {}
    all_here = trio.Event()

    async def talk(number: int) -> None:
        ear = Ear()
        async with carrier.spawn(CAT, sink=ear) as connection:
            for turn in range(3):
                connection.send(prompt(f"{number}.{turn}"))
                answers[number] = await ear.wait_texts(turn + 1)
                if len(answers) == 100:
                    all_here.set()
                await all_here.wait()

    async with trio.open_nursery() as nursery:
        for number in range(100):
            nursery.start_soon(talk, number)
    assert answers == {number: [f"{number}.{turn}" for turn in range(3)] for number in range(100)}


async def test_an_error_leaves_the_block_as_it_is() -> None:
    with pytest.raises(ValueError, match="mine"):
        async with open_carrier():
            raise ValueError("mine")


async def test_closing_the_carrier_kills_what_others_hold_open(kind: Kind) -> None:
    ear, ended = Ear(), list[Exit]()

    async def hold(carrier: ProcessCarrier) -> None:
        async with carrier.spawn(python(DEAF), sink=ear) as connection:
            ended.append(await connection.wait_exit())

    async with trio.open_nursery() as nursery:
        async with open_carrier(**kind._asdict(), grace=1000) as carrier:
            nursery.start_soon(hold, carrier)
            await ear.wait_texts(1)
        with pytest.raises(AgentStartError, match="closed"):
            await run(carrier, CAT)
    assert ended == [Exit(code=-signal.SIGKILL, stderr_tail="")]


async def test_a_carrier_that_starts_nothing_starts_no_warden() -> None:
    children = Path(f"/proc/self/task/{os.getpid()}/children")
    before = children.read_text() if children.exists() else ""
    async with open_carrier():
        assert (children.read_text() if children.exists() else "") == before


def test_ctrl_c_while_it_is_closed_ends_it() -> None:
    async def press() -> None:
        signal.raise_signal(signal.SIGINT)

    async def story() -> None:
        async with open_carrier(direct=True):
            trio.lowlevel.spawn_system_task(press)

    with pytest.RaisesGroup(KeyboardInterrupt, allow_unwrapped=True, flatten_subgroups=True):
        trio.run(story)
