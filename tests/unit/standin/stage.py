"""The agent as a process, with pipes; and what tests say and read there."""

import json
import os
import signal
import sys
from collections.abc import AsyncGenerator, Sequence
from contextlib import asynccontextmanager
from pathlib import Path
from typing import Any, final

import trio

import triologue

SOURCE = Path(triologue.__file__).parent.parent
PATIENCE = 30.0
"""Seconds after which a test gives up waiting for the agent."""

CLAUDE = ("--output-format", "stream-json", "--verbose", "--input-format", "stream-json")
QODER = ("--print", "--output-format", "stream-json", "--input-format", "stream-json", "--disable-builtin-skills")
CORTEX = ("--output-format", "stream-json", "--input-format", "stream-json")


@final
class Program:
    """One running agent."""

    def __init__(self, process: trio.Process) -> None:
        assert process.stdin is not None
        assert process.stdout is not None
        self._process = process
        self._stdin = process.stdin
        self._stdout = process.stdout
        self._read = b""
        self._asked = 0

    async def write(self, data: bytes) -> None:
        await self._stdin.send_all(data)

    async def say(self, *frames: dict[str, Any]) -> None:
        await self.write(b"".join(json.dumps(frame).encode() + b"\n" for frame in frames))

    async def prompt(self, content: Any, **more: Any) -> None:
        await self.say({"type": "user", "message": {"role": "user", "content": content}, **more})

    async def ask(self, subtype: str, **fields: Any) -> dict[str, Any]:
        """Ask for something, and wait for the answer; other frames on the way are dropped."""
        self._asked += 1
        request_id = f"req_{self._asked}"
        await self.say({"type": "control_request", "request_id": request_id, "request": {"subtype": subtype, **fields}})
        answers = await self.until("control_response")
        assert answers[-1]["response"]["request_id"] == request_id
        response: dict[str, Any] = answers[-1]["response"]
        return response

    async def next(self) -> dict[str, Any] | None:
        """The next frame; None at the end."""
        with trio.fail_after(PATIENCE):
            while b"\n" not in self._read:
                piece = await self._stdout.receive_some()
                if not piece:
                    assert not self._read
                    return None
                self._read += piece
        line, _, self._read = self._read.partition(b"\n")
        frame: dict[str, Any] = json.loads(line)
        return frame

    async def until(self, kind: str) -> list[dict[str, Any]]:
        """The frames up to the first one of this type."""
        frames = []
        while (frame := await self.next()) is not None:
            frames.append(frame)
            if frame["type"] == kind:
                return frames
        raise AssertionError(f"no {kind} among {frames}")

    async def result(self) -> dict[str, Any]:
        return (await self.until("result"))[-1]

    async def text(self) -> str:
        """Everything on stdout, of a program that is started to say something and end."""
        return b"".join([piece async for piece in self._stdout]).decode()

    def signal(self, number: signal.Signals) -> None:
        self._process.send_signal(number)

    async def stop_reading(self) -> None:
        await self._stdout.aclose()

    async def end_input(self) -> None:
        await self._stdin.aclose()

    async def end(self) -> tuple[list[dict[str, Any]], int, str]:
        """Close the input, and wait for the end: the last frames, the exit code and what is on stderr."""
        await self.end_input()
        return await self.wait()

    async def wait(self) -> tuple[list[dict[str, Any]], int, str]:
        """The same with the input open."""
        frames = []
        while (frame := await self.next()) is not None:
            frames.append(frame)
        return frames, *await self.wait_exit()

    async def wait_exit(self) -> tuple[int, str]:
        assert self._process.stderr is not None
        with trio.fail_after(PATIENCE):
            stderr = b"".join([piece async for piece in self._process.stderr])
            return await self._process.wait(), stderr.decode()


async def wait_written(path: Path) -> str:
    """Wait until a tool has made this file; its content."""
    with trio.fail_after(PATIENCE):
        while not path.exists():
            await trio.sleep(0.002)
    return path.read_text().strip()


@asynccontextmanager
async def open_program(
    folder: Path, words: Sequence[str] = CLAUDE, *, command: Sequence[str] = ("-m", "triologue.standin"), **env: str
) -> AsyncGenerator[Program]:
    """Start the agent in a folder that is its home too."""
    environment = {"HOME": str(folder), "PATH": os.defpath, "PYTHONPATH": str(SOURCE), **env}
    process = await trio.lowlevel.open_process(
        [sys.executable, *command, *words], stdin=-1, stdout=-1, stderr=-1, cwd=folder, env=environment
    )
    try:
        yield Program(process)
    finally:
        process.kill()
        with trio.CancelScope(shield=True):
            await process.wait()
            for stream in (process.stdin, process.stdout, process.stderr):
                if stream is not None:
                    await stream.aclose()


def kinds(frames: list[dict[str, Any]]) -> list[str]:
    """What the frames are, in short."""
    return [frame["subtype"] if frame["type"] == "system" else frame["type"] for frame in frames]
