"""The stub and the clean place, under the real Claude Code CLI that is driven by hand."""

import json
import os
import subprocess
from collections.abc import AsyncGenerator
from contextlib import asynccontextmanager
from pathlib import Path
from typing import Any

import pytest
import trio

from tests.support.processes import processes_with, wait_none_with
from tests.support.real_cli import CleanPlace, find_claude, open_clean_place
from tests.support.script import letters

pytestmark = [pytest.mark.real_cli, pytest.mark.slow]

Message = dict[str, Any]


@pytest.fixture
async def place() -> AsyncGenerator[CleanPlace]:
    async with open_clean_place() as place:
        yield place


class Cli:
    """The pipes of one running CLI."""

    def __init__(self, process: trio.Process) -> None:
        self._process = process
        self._buffer = bytearray()

    async def ask(self, prompt: str) -> list[Message]:
        """Sends a prompt; returns all messages up to its result."""
        await self.send({"type": "user", "message": {"role": "user", "content": prompt}})
        return await self.read_to_result()

    async def send(self, message: Message) -> None:
        assert self._process.stdin is not None
        await self._process.stdin.send_all(json.dumps(message).encode() + b"\n")

    async def read_to_result(self) -> list[Message]:
        messages = [await self._read_message()]
        while messages[-1]["type"] != "result":
            messages.append(await self._read_message())
        return messages

    async def control(self, request: Message) -> Any:
        """Sends a control request; returns the body of its response."""
        await self.send({"type": "control_request", "request_id": "c", "request": request})
        while (message := await self._read_message())["type"] != "control_response":
            pass
        return message["response"]["response"]

    async def close(self) -> int:
        """Ends the input and waits for the exit; returns its code."""
        assert self._process.stdin is not None
        await self._process.stdin.aclose()
        return await self._process.wait()

    async def _read_message(self) -> Message:
        assert self._process.stdout is not None
        searched = 0
        while (end := self._buffer.find(b"\n", searched)) == -1:
            searched = len(self._buffer)
            chunk = await self._process.stdout.receive_some(256 * 1024)
            assert chunk, f"the CLI has ended after {bytes(self._buffer)!r}"
            self._buffer += chunk
        line = bytes(self._buffer[:end])
        del self._buffer[: end + 1]
        message: Message = json.loads(line)
        return message


@asynccontextmanager
async def open_cli(place: CleanPlace, *flags: str) -> AsyncGenerator[Cli]:
    """Runs the CLI; whatever happens, it has ended when the block is left."""
    fixed = ["-p", "--input-format", "stream-json", "--output-format", "stream-json", "--verbose"]
    argv = [str(find_claude()), *fixed, *flags]
    process = await trio.lowlevel.open_process(
        argv, env=place.env, cwd=place.cwd, stdin=subprocess.PIPE, stdout=subprocess.PIPE
    )
    assert process.stdin is not None
    assert process.stdout is not None
    try:
        with trio.fail_after(60):
            yield Cli(process)
    finally:
        with trio.CancelScope(shield=True):
            await process.stdin.aclose()
            with trio.move_on_after(5):
                await process.wait()
            process.kill()
            await process.wait()
            await process.stdout.aclose()


async def test_a_text_turn(place: CleanPlace) -> None:
    async with open_cli(place) as cli:
        messages = await cli.ask("hi [[say hello there]]")
        assert (messages[-1]["subtype"], messages[-1]["is_error"]) == ("success", False)
        assert messages[-1]["result"] == "hello there"
        assert await cli.close() == 0
    # One prompt is one model call, and nothing was wanted from elsewhere.
    assert [request.prompts for request in place.api.requests] == [("hi [[say hello there]]",)]


async def test_a_tool_makes_a_real_file(place: CleanPlace) -> None:
    async with open_cli(place, "--allowedTools", "Bash") as cli:
        call = json.dumps({"command": "echo made > made.txt && cat made.txt", "description": "makes a file"})
        messages = await cli.ask(f"[[tool Bash {call}]] [[results]] [[then , done]]")
    assert (place.cwd / "made.txt").read_text() == "made\n"
    assert messages[-1]["result"] == "made, done"
    assert [request.ending for request in place.api.turns] == ["answered", "answered"]


async def test_an_api_error_is_the_result_of_its_turn_only(place: CleanPlace) -> None:
    async with open_cli(place) as cli:
        failed = (await cli.ask('[[error 400 "bad thing"]]'))[-1]
        assert (failed["subtype"], failed["is_error"], failed["terminal_reason"]) == ("success", True, "api_error")
        assert failed["result"] == "API Error: 400 bad thing"
        assert (await cli.ask("[[say well again]]"))[-1]["result"] == "well again"


async def test_an_overloaded_api_is_tried_again(place: CleanPlace) -> None:
    async with open_cli(place) as cli:
        messages = await cli.ask("[[error 529 retry-after 0.01 times 1]] [[say late]]")
    assert [message["attempt"] for message in messages if message.get("subtype") == "api_retry"] == [1]
    assert messages[-1]["result"] == "late"
    assert [request.ending for request in place.api.turns] == ["failed", "answered"]


async def test_an_answer_of_ten_megabytes(place: CleanPlace) -> None:
    async with open_cli(place) as cli:
        assert (await cli.ask("[[bytes 10000000]]"))[-1]["result"] == letters(10_000_000)


async def test_history_survives_turns_resume_and_fork(place: CleanPlace) -> None:
    async with open_cli(place) as cli:
        session_id = (await cli.ask("first"))[-1]["session_id"]
        assert (await cli.ask("second"))[-1]["result"] == "echo[2]: first | second"
    async with open_cli(place, "--resume", session_id) as cli:
        assert (await cli.ask("third"))[-1]["result"] == "echo[3]: first | second | third"
    async with open_cli(place, "--resume", session_id, "--fork-session") as cli:
        forked = (await cli.ask("other"))[-1]
        assert forked["result"] == "echo[4]: first | second | third | other"
        assert forked["session_id"] != session_id
    assert [request.session_id for request in place.api.turns] == [session_id] * 3 + [forked["session_id"]]


@pytest.mark.parametrize(
    "prompt", ["[[hang before headers]]", "[[hang after headers]]", "[[hang mid]]", "[[say so]] [[wait gate]]"]
)
async def test_an_interrupt_leaves_the_model_and_keeps_the_session(place: CleanPlace, prompt: str) -> None:
    async with open_cli(place) as cli:
        await cli.send({"type": "user", "message": {"role": "user", "content": prompt}})
        await place.api.wait_request(lambda request: request.is_turn)
        await cli.send({"type": "control_request", "request_id": "1", "request": {"subtype": "interrupt"}})
        assert (await cli.read_to_result())[-1]["subtype"] == "error_during_execution"
        await place.api.wait_request(lambda request: request.ending == "client left")
        assert (await cli.ask("and now?"))[-1]["result"] == f"echo[2]: {prompt} | and now?"


@asynccontextmanager
async def open_fifo(path: Path) -> AsyncGenerator[trio.lowlevel.FdStream]:
    """Both ends of a new named pipe, so that opening it waits for nobody."""
    os.mkfifo(path)
    async with trio.lowlevel.FdStream(os.open(path, os.O_RDWR | os.O_NONBLOCK)) as stream:
        yield stream


async def test_tools_are_found_by_their_marker(place: CleanPlace) -> None:
    async with open_fifo(place.cwd / "up") as up, open_fifo(place.cwd / "down") as down:
        async with open_cli(place, "--permission-mode", "bypassPermissions") as cli:
            call = json.dumps({"command": "echo running > up; head -n1 down", "description": "waits"})
            await cli.send(
                {"type": "user", "message": {"role": "user", "content": f"[[tool Bash {call}]] [[results]]"}}
            )
            assert await up.receive_some() == b"running\n"
            commands = [process.command for process in processes_with(place.marker)]
            assert any(command.startswith(str(find_claude())) for command in commands)
            assert any("head -n1 down" in command for command in commands)
            await down.send_all(b"go on\n")
            assert (await cli.read_to_result())[-1]["result"] == "go on"
    await wait_none_with(place.marker)
    assert processes_with(place.marker) == []


async def test_titles_and_questions_are_no_turns(place: CleanPlace) -> None:
    async with open_cli(place) as cli:
        await cli.ask("first")
        title = {"subtype": "generate_session_title", "description": "about dogs", "persist": False}
        assert await cli.control(title) == {"title": "stub title"}
        question = {"subtype": "side_question", "question": "what is up?"}
        assert await cli.control(question) == {"response": "stub answer (question)", "synthetic": False}
        assert (await cli.ask("second"))[-1]["result"] == "echo[2]: first | second"
    assert [request.side for request in place.api.requests if request.side] == ["structured", "question"]
    assert len(place.api.turns) == 2
    assert place.api.strays == []
