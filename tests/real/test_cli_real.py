"""The command on the real Claude Code CLI, with a stub of its model."""

import json
import os
import signal
import subprocess
import sys
from pathlib import Path

import pytest
import trio

from tests.support.real_cli import CleanPlace, find_claude

pytestmark = [pytest.mark.real_cli, pytest.mark.slow]

SOURCES = str(Path(__file__).parents[2] / "src")


def environment(place: CleanPlace) -> dict[str, str]:
    others = dict.fromkeys(("QODERCLI_PATH", "CORTEX_CODE_CLI_PATH"), "/nowhere/cli")
    claude = str(find_claude())
    return {**place.env, **others, "CLAUDE_CODE_CLI_PATH": claude, "PYTHONPATH": SOURCES, "PYTHONUTF8": "1"}


async def command(place: CleanPlace, *arguments: str, stdin: str = "") -> subprocess.CompletedProcess[bytes]:
    return await trio.run_process(
        [sys.executable, "-m", "triologue", *arguments],
        env=environment(place),
        cwd=place.cwd,
        stdin=stdin.encode(),
        capture_stdout=True,
        capture_stderr=True,
        check=False,
    )


async def test_doctor_finds_it_and_starts_it(place: CleanPlace) -> None:
    done = await command(place, "doctor")
    assert (done.returncode, done.stderr) == (0, b"")
    lines = done.stdout.decode().splitlines()
    assert lines[2] == "claude-code  ready"
    facts = dict(line.split(maxsplit=1) for line in lines[3:7])
    assert facts["program"] == str(find_claude())
    assert facts["starts"].startswith("yes, in ")
    assert facts["account"] == "ANTHROPIC_API_KEY"
    assert [request for request in place.api.requests if request.is_turn] == []


async def test_doctor_says_that_it_has_no_account(place: CleanPlace) -> None:
    del place.env["ANTHROPIC_API_KEY"]
    done = await command(place, "doctor", "claude-code")
    assert done.returncode == 0
    assert "! it needs an account: set ANTHROPIC_API_KEY" in done.stdout.decode()


async def test_a_run_without_an_account(place: CleanPlace) -> None:
    del place.env["ANTHROPIC_API_KEY"]
    done = await command(place, "run", "x")
    assert done.returncode == 3
    assert done.stderr.startswith(b"triologue: claude-code: Not logged in")
    assert done.stderr.endswith(b"(`triologue doctor` says which account it would use)\n")


async def test_a_run_and_its_continuations(place: CleanPlace) -> None:
    done = await command(place, "run", "[[say good night]]")
    assert (done.returncode, done.stdout, done.stderr) == (0, b"good night\n", b"")
    done = await command(place, "run", "--json", "--continue", "-", stdin="second")
    said = json.loads(done.stdout)
    assert (done.returncode, said["outcome"], said["num_turns"]) == (0, "answered", 1)
    assert said["result"] == "echo[2]: [[say good night]] | second"
    done = await command(place, "run", "--resume", said["session_id"], "--fork", "--stream-json", "third")
    frames = [json.loads(line) for line in done.stdout.splitlines()]
    assert done.returncode == 0
    assert frames[-1]["type"] == "result"
    assert frames[-1]["session_id"] != said["session_id"]
    assert frames[-1]["result"].endswith("| second | third")


async def test_a_run_shows_every_text_once(place: CleanPlace) -> None:
    (place.cwd / "note.txt").write_text("xyzzy")
    script = f"[[say Let me look.]] [[tool Read {json.dumps({'file_path': str(place.cwd / 'note.txt')})}]] [[say It is there.]]"
    done = await command(place, "run", script)
    assert (done.returncode, done.stdout) == (0, b"Let me look.\nIt is there.\n")


async def test_a_run_that_fails(place: CleanPlace) -> None:
    done = await command(place, "run", '[[error 400 "no such thing"]]')
    assert done.returncode == 1
    assert done.stderr.startswith(b"triologue: the turn failed")
    assert done.stderr.count(b"\n") == 1
    unknown = "5f0f4e4a-6a3e-4d6e-9b3c-0a1b2c3d4e5f"
    done = await command(place, "run", "--resume", unknown, "x")
    assert done.returncode == 4
    assert done.stderr.startswith(f"triologue: no conversation has the session id {unknown!r} (".encode())


async def test_ctrl_c_interrupts_a_run(place: CleanPlace) -> None:
    process = await trio.lowlevel.open_process(
        [sys.executable, "-m", "triologue", "run", "[[say begun]] [[hang mid]]"],
        env=environment(place),
        cwd=place.cwd,
        stdout=subprocess.PIPE,
        stderr=subprocess.PIPE,
    )
    assert process.stdout is not None
    assert process.stderr is not None
    with trio.fail_after(30):
        async with process.stdout, process.stderr:
            assert await process.stdout.receive_some() == b"begun"
            os.kill(process.pid, signal.SIGINT)
            assert await process.wait() == 130
            assert b"Traceback" not in await process.stderr.receive_some()


async def test_a_chat_shows_tools(place: CleanPlace) -> None:
    (place.cwd / "note.txt").write_text("one\ntwo\nthree\n")
    script = f"[[tool Read {json.dumps({'file_path': str(place.cwd / 'note.txt')})}]] [[say Done.]]"
    done = await command(place, "chat", stdin=f"{script}\n/cost\n/fork\nmore\n")
    lines = done.stdout.decode().splitlines()
    assert (done.returncode, done.stderr) == (0, b"")
    assert lines[0] == f"> Read  {place.cwd / 'note.txt'}"
    assert lines[1].lstrip().startswith("1")
    assert lines[2] == "Done."
    assert any("Estimated cost" in line for line in lines)
    assert any(line.startswith("echo[") and line.endswith("| more") for line in lines)


async def test_the_demo_loses_nothing(place: CleanPlace) -> None:
    done = await command(place, "demo", "--agent", "claude-code", "--sessions", "4", "--turns", "2")
    printed = done.stdout.decode()
    assert (done.returncode, done.stderr) == (0, b""), printed
    facts = {
        name.strip(): value.strip()
        for name, _, value in (line.strip().partition("  ") for line in printed.splitlines())
    }
    assert facts["conversations"] == "5, of them 1 fork; 1 hibernated and woken"
    assert facts["turns"].startswith("11 in ")
    assert (facts["lost turns"], facts["leaks"], facts["problems"]) == ("0", "none", "none")


async def test_what_was_run_goes_on_by_its_key_and_is_shown(place: CleanPlace) -> None:
    first = await command(place, "run", "--json", "Remember the word banana [[say ok]]")
    key = json.loads(first.stdout)["key"]
    tool = '[[tool Bash {"command": "echo hi"}]] [[then done]]'
    assert (
        await command(place, "run", "--continue", "--permission-mode", "bypassPermissions", tool)
    ).stdout == b"done\n"
    recalled = await command(place, "run", "--resume", key, "--fork", "--json", "[[recall]]")
    assert "banana" in json.loads(recalled.stdout)["result"]
    shown = (await command(place, "sessions", "show", key)).stdout.decode().splitlines()
    begin = shown.index(f"> {tool}")
    assert shown[begin + 1 : begin + 4] == ["> Bash  echo hi", "  hi", "done"]
    listed = json.loads((await command(place, "sessions", "list", "--json")).stdout)
    assert [(head["parent"], head["turns"]) for head in listed] == [(key, 1), (None, 2)]


async def test_a_history_is_imported_goes_on_and_is_exported_to_another_home(place: CleanPlace) -> None:
    run = await command(place, "run", "--no-keep", "--json", "Remember the word banana [[say ok]]")
    session_id = json.loads(run.stdout)["session_id"]
    (history,) = (place.home / ".claude" / "projects").rglob("*.jsonl")
    assert (await command(place, "sessions", "import")).stdout.decode() == (
        f"{history}: kept as imported/{session_id}, with 1 turn\n"
    )
    assert b"already" in (await command(place, "sessions", "import")).stdout
    recalled = await command(place, "chat", "--continue", stdin="[[recall]]\n")
    assert "banana" in recalled.stdout.decode()
    other = place.home / "other"
    project = other / ".claude" / "projects" / history.parent.name
    out = await command(place, "sessions", "export", session_id, "--format", "claude", "-o", str(project))
    assert out.stdout.decode() == f"{project / history.name}\n"
    place.env["HOME"] = str(other)
    recalled = await command(place, "run", "--no-keep", "--resume", session_id, "[[recall]]")
    assert "banana" in recalled.stdout.decode()
