"""The agent as a process when something is wrong around it: files, streams, signals, what it is asked to do."""

import json
import signal
import subprocess
import sys
from pathlib import Path
from typing import Any

import pytest

from tests.unit.standin.stage import CLAUDE, PATIENCE, QODER, SOURCE, kinds, open_program, wait_written

# Each starts a program, some several; test_program.py has the stories that the default suite runs.
pytestmark = pytest.mark.slow

FREE = (*CLAUDE, "--permission-mode", "bypassPermissions")


async def test_a_history_that_cannot_be_written(tmp_path: Path) -> None:
    (tmp_path / "file").write_text("no folder")
    async with open_program(tmp_path, CLAUDE_CONFIG_DIR=str(tmp_path / "file")) as program:
        await program.prompt("Hello")
        frames = await program.until("result")
        (problem,) = frames[-1]["errors"]
        assert kinds(frames) == ["init", "result"]
        assert (frames[-1]["subtype"], frames[-1]["is_error"]) == ("error_during_execution", True)
        assert problem.endswith("cannot be written: Not a directory")
        assert await program.wait() == ([], 1, f"Error: {problem}\n")


async def test_a_history_that_cannot_be_written_any_more(tmp_path: Path) -> None:
    async with open_program(tmp_path, FREE) as program:
        await program.prompt("Hello")
        assert (await program.result())["subtype"] == "success"
        (history,) = tmp_path.glob(".claude/projects/*/*.jsonl")
        history.rename(history.with_suffix(".old"))
        history.mkdir()
        await program.prompt('Use the tool Bash with {"command": "echo hi"}')
        await program.prompt("This waits in vain")
        frames, code, stderr = await program.wait()
    assert [frame["errors"] for frame in frames if frame["type"] == "result"] == [
        [f"the history '{history}' cannot be written: Is a directory"]
    ]
    assert (code, stderr) == (1, f"Error: the history '{history}' cannot be written: Is a directory\n")


async def test_a_prompt_survives_a_kill_while_the_model_thinks(tmp_path: Path) -> None:
    session = "5f0f4e4a-6a3e-4d6e-9b3c-0a1b2c3d4e5f"
    async with open_program(tmp_path, [*CLAUDE, "--session-id", session, "--include-partial-messages"]) as program:
        await program.prompt("Wait 60 seconds")
        await program.until("system")
        await program.until("system")  # `status`: the model is being asked
        program.signal(signal.SIGKILL)
        await program.wait()
    async with open_program(tmp_path, [*CLAUDE, "--resume", session]) as program:
        await program.prompt("What did I say first?")
        assert (await program.result())["result"] == 'You said: "Wait 60 seconds".'


@pytest.mark.parametrize("words", [("--resume", "5f0f4e4a-6a3e-4d6e-9b3c-0a1b2c3d4e5f"), ("--continue",)])
async def test_a_history_that_cannot_be_read(words: tuple[str, ...], tmp_path: Path) -> None:
    async with open_program(tmp_path) as program:
        await program.prompt("Hello")
        await program.end()
    (history,) = tmp_path.glob(".claude/projects/*/*.jsonl")
    history.unlink()
    link = history.with_name("5f0f4e4a-6a3e-4d6e-9b3c-0a1b2c3d4e5f.jsonl")
    link.symlink_to("/proc/self/mem")  # a file that is there, and that nobody can read from its beginning
    async with open_program(tmp_path, [*CLAUDE, *words]) as program:
        assert await program.end() == ([], 1, f"Error: the history '{link}' cannot be read: Input/output error\n")


PATHS = ["a\0b", "\ud800", "~\0/a"]


@pytest.mark.parametrize("path", PATHS)
@pytest.mark.parametrize("mode", ["default", "bypassPermissions"])
async def test_paths_that_cannot_be(path: str, mode: str, tmp_path: Path) -> None:
    async with open_program(tmp_path, [*CLAUDE, "--permission-mode", mode]) as program:
        for call in ({"file_path": path}, {"file_path": path, "content": "A"}, {"path": path, "pattern": "*"}):
            tool = "Write" if "content" in call else "Glob" if "pattern" in call else "Read"
            await program.prompt(f"Use the tool {tool} with {json.dumps(call)}")
            assert f"The tool {tool} failed: " in (await program.result())["result"]
        assert (await program.end())[1:] == (0, "")


@pytest.mark.parametrize("number", [signal.SIGTERM, signal.SIGINT])
async def test_a_second_signal_leaves_no_process_behind(number: signal.Signals, tmp_path: Path) -> None:
    child = "(trap '' TERM; sleep 62) & echo $! > part; mv part pid"
    command = f"trap 'touch stopping' TERM; {child}; while :; do wait; done"
    async with open_program(tmp_path, FREE, PATH="/usr/bin:/bin") as program:
        await program.prompt(f"Use the tool Bash with {json.dumps({'command': command})}")
        pid = await wait_written(tmp_path / "pid")
        program.signal(number)
        await wait_written(tmp_path / "stopping")  # what is done about the first has begun, and takes its time
        for _ in range(2):
            program.signal(number)
        _, code, _ = await program.wait()
    assert code == (143 if number == signal.SIGTERM else 130)
    status = Path(f"/proc/{pid}/status")
    assert not status.exists() or "State:\tZ" in status.read_text()


def run(folder: Path, redirection: str, *words: str, **env: str) -> tuple[int, str]:
    """Run it in a shell that redirects; its exit code, and what is on stderr."""
    environment = {"HOME": str(folder), "PYTHONPATH": str(SOURCE), "PATH": "/usr/bin:/bin", **env}
    line = f'"$0" -m triologue.standin "$@" {redirection}'
    ran = subprocess.run(
        ["/bin/sh", "-c", line, sys.executable, *words],
        cwd=folder,
        env=environment,
        capture_output=True,
        text=True,
        timeout=PATIENCE,
        check=False,
    )
    return ran.returncode, ran.stderr


CLOSED = "Error: stdin and stdout must be open, for the frames go over them\n"


@pytest.mark.parametrize(
    ("redirection", "words", "expected"),
    [
        ("<&-", (), (1, CLOSED)),
        ("</dev/null >&-", (), (1, CLOSED)),
        (">&-", ("-v",), (1, "")),
        ("2>&-", ("--nonsense",), (1, "")),
        ("</dev/null", (), (0, "")),
    ],
)
def test_streams_that_are_not_there(
    redirection: str, words: tuple[str, ...], expected: tuple[int, str], tmp_path: Path
) -> None:
    assert run(tmp_path, redirection, *words) == expected


def test_a_host_that_is_gone_before_it_hears_of_the_login(tmp_path: Path) -> None:
    assert run(tmp_path, "</dev/null >/dev/full", *QODER, TRIOLOGUE_LOGIN="missing") == (41, "")


@pytest.mark.parametrize("flag", ["--cwd", "--workdir"])
async def test_a_folder_that_is_named_as_seen_from_where_it_starts(flag: str, tmp_path: Path) -> None:
    (tmp_path / "sub").mkdir()
    dialect = "qoder" if flag == "--cwd" else "cortex"
    async with open_program(tmp_path, ["--dialect", dialect, flag, "sub"]) as program:
        await program.ask("initialize", hooks=None)
        await program.prompt("Hello")
        inits = [frame["cwd"] for frame in await program.until("result") if frame.get("subtype") == "init"]
    assert inits in ([str(tmp_path / "sub")], [])  # Cortex Code says it behind the answer to `initialize`
    (history,) = tmp_path.glob(".*/**/*.jsonl")
    assert history.parent.name.endswith("-sub")
    assert not history.parent.name.endswith("-sub-sub")


async def test_an_empty_variable_is_none(tmp_path: Path) -> None:
    async with open_program(tmp_path, TRIOLOGUE_SCRIPT="", TRIOLOGUE_MODEL="") as program:
        await program.prompt("Count to 3")
        assert (await program.result())["result"] == "1 2 3"


ODD_PROMPTS: list[Any] = [
    [],
    [{"type": "text"}],
    [{"type": "text", "text": 5}],
    [{"type": "nonsense"}],
    [{"type": "tool_result"}],
    [{"type": "tool_result", "tool_use_id": ["x"], "content": [5, {"type": "text"}]}],
    [{"type": "tool_use", "id": 5}],
]


async def test_prompts_of_odd_blocks(tmp_path: Path) -> None:
    script = tmp_path / "script.json"
    script.write_text('{"rules": [{"contains": "never", "reply": "x"}]}')
    for words in (CLAUDE, (*CLAUDE, "--script", str(script))):
        async with open_program(tmp_path, words) as program:
            for prompt in ODD_PROMPTS:
                await program.prompt(prompt)
            await program.prompt("Count to 3")
            frames, code, stderr = await program.end()
        assert (frames[-1]["result"], code, stderr) == ("1 2 3", 0, "")
