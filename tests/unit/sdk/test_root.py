"""What `query()` and `Client` live under: one root per `trio.run`, which leaves nothing behind, however the run ends."""

import gc
import signal
import sys
import warnings
from collections.abc import AsyncIterator, Callable, Iterator
from contextlib import contextmanager
from pathlib import Path
from uuid import uuid4

import pytest
import trio

import triologue as tri
from tests.support.leftovers import Belongings
from tests.support.processes import MARKER, processes_with
from triologue.engine import Transcripts

# Greets like a Claude Code, then works on its prompt until it is interrupted; its child would live on.
PROGRAM = """
import json, subprocess, sys
for line in sys.stdin:
    frame = json.loads(line)
    if frame["type"] == "user":
        subprocess.Popen(["sleep", "1000"], start_new_session=True)
        print(json.dumps({"type": "assistant", "message": {"model": "m", "content": []}}), flush=True)
    elif frame["type"] == "control_request":
        answer = {"subtype": "success", "request_id": frame["request_id"], "response": {}}
        print(json.dumps({"type": "control_response", "response": answer}), flush=True)
        if frame["request"]["subtype"] == "interrupt":
            numbers = {"duration_ms": 1, "duration_api_ms": 1, "num_turns": 1}
            result = {"type": "result", "subtype": "error_during_execution", "is_error": True, "session_id": "s"}
            print(json.dumps({**result, **numbers}), flush=True)
"""


class Busy:
    """An agent that is a process, and is busy."""

    def __init__(self, folder: Path) -> None:
        self.marker = str(uuid4())
        script = folder / "claude"
        script.write_text(f"#!{sys.executable} -IS\n{PROGRAM}")
        script.chmod(0o755)
        self.agent = tri.ClaudeCode(environ={"PATH": "/usr/bin:/bin", "HOME": str(folder), MARKER: self.marker})
        self.options = tri.Options(cli_path=script, cwd=folder)

    def query(self) -> tri.Query:
        return tri.query("work", agent=self.agent, options=self.options)

    def processes(self) -> int:
        return len(processes_with(self.marker))


@pytest.fixture
def busy(tmp_path: Path) -> Busy:
    return Busy(tmp_path)


@contextmanager
def nothing_left(busy: Busy) -> Iterator[None]:
    before = Belongings.now()
    with warnings.catch_warnings():
        warnings.simplefilter("ignore", ResourceWarning)  # abandoning is what these tests do
        yield
        gc.collect()
    assert busy.processes() == 0
    assert Belongings.now().since(before) == []


async def begin(busy: Busy) -> tri.Query:
    """A query whose agent is at work, and has a child."""
    query = busy.query()
    async for message in query:
        if isinstance(message, tri.AssistantMessage):
            break
    while busy.processes() < 2:
        await trio.sleep(0.01)
    return query


needs_proc = pytest.mark.skipif(not Path("/proc").is_dir(), reason="processes are found in /proc")


@needs_proc
def test_all_is_gone_when_main_returns(busy: Busy) -> None:
    kept = []

    async def main() -> None:
        kept.append(await begin(busy))

    with nothing_left(busy):
        trio.run(main)
        assert busy.processes() == 0
        kept.clear()


@needs_proc
def test_all_is_gone_when_main_raises(busy: Busy) -> None:
    async def main() -> None:
        query = await begin(busy)
        raise ZeroDivisionError(query)

    with nothing_left(busy), pytest.raises(ZeroDivisionError):
        trio.run(main)


@needs_proc
def test_all_is_gone_when_main_is_cancelled(busy: Busy) -> None:
    async def main() -> None:
        with trio.CancelScope() as scope:
            query = await begin(busy)
            scope.cancel()
            async for _ in query:
                raise AssertionError

    with nothing_left(busy):
        trio.run(main)


def test_an_interrupt_while_a_callback_runs_is_the_programs() -> None:
    """Ctrl-C at an `input()` in a callback, say."""

    async def interrupt(*_: object) -> dict[str, object]:
        signal.raise_signal(signal.SIGINT)
        return {}

    async def main() -> None:
        options = tri.Options(hooks={"UserPromptSubmit": [tri.HookMatcher(hooks=[interrupt])]})
        async for _ in tri.query("hi", agent=tri.Embedded(transcripts=Transcripts()), options=options):
            pass
        await trio.sleep_forever()

    before = Belongings.now()
    with pytest.raises(KeyboardInterrupt):
        trio.run(main)
    assert Belongings.now().since(before) == []


@needs_proc
def test_all_is_gone_after_a_keyboard_interrupt(busy: Busy) -> None:
    async def main() -> None:
        await begin(busy)
        raise KeyboardInterrupt

    with nothing_left(busy), pytest.raises(KeyboardInterrupt):
        trio.run(main)


@needs_proc
def test_a_forgotten_client_is_gone_too(busy: Busy) -> None:
    kept = []

    async def main() -> None:
        client = tri.Client(busy.options, busy.agent)
        kept.append(client)
        await client.connect("work")
        async for message in client.receive_response():
            if isinstance(message, tri.AssistantMessage):
                return

    with nothing_left(busy):
        trio.run(main)
        kept.clear()


@needs_proc
async def test_only_the_block_promises_that_all_is_gone_at_its_end(busy: Busy) -> None:
    with trio.CancelScope() as scope:
        async with busy.query() as query:
            async for message in query:
                if isinstance(message, tri.AssistantMessage):
                    scope.cancel()  # also then
    assert busy.processes() == 0


def test_two_runs_have_a_root_each() -> None:
    agent = tri.Embedded(transcripts=Transcripts())

    async def main() -> list[str | None]:
        return [m.result async for m in tri.query("Say one", agent=agent) if isinstance(m, tri.ResultMessage)]

    assert [trio.run(main), trio.run(main)] == [["one"], ["one"]]


def test_a_query_of_another_run_is_over() -> None:
    agent = tri.Embedded(transcripts=Transcripts())

    async def begin() -> tri.Query:
        query = tri.query("Wait 1000 seconds", agent=agent)
        async for message in query:
            if isinstance(message, tri.InitMessage):
                return query
        raise AssertionError

    async def go_on(query: tri.Query) -> list[str]:
        with trio.fail_after(5):
            try:
                return [type(message).__name__ async for message in query]
            finally:
                await query.aclose()

    with warnings.catch_warnings():
        warnings.simplefilter("ignore", ResourceWarning)
        query = trio.run(begin)
    assert "AssistantMessage" not in trio.run(go_on, query)


def test_a_generator_that_the_run_leaves_behind_may_still_use_it() -> None:
    """trio closes generators that were never closed after `main` has returned, while system tasks still run."""
    agent = tri.Embedded(transcripts=Transcripts())
    heard: list[str] = []

    async def mine() -> AsyncIterator[str]:
        try:
            yield "first"
        finally:
            with trio.CancelScope(shield=True):
                async with tri.query("Say last", agent=agent) as query:
                    heard.extend([tri.text(m) async for m in query if isinstance(m, tri.AssistantMessage)])

    kept = mine()

    async def main() -> None:
        await anext(kept)

    trio.run(main)
    assert heard in ([], ["last"])


def test_a_root_that_ends_refuses_new_conversations() -> None:
    agent = tri.Embedded(transcripts=Transcripts())
    outcome: list[str] = []

    async def late() -> None:
        try:
            await trio.sleep_forever()
        finally:
            with trio.CancelScope(shield=True), trio.move_on_after(5):
                try:
                    outcome.extend([str(message) async for message in tri.query("Hello", agent=agent)])
                except tri.ManagerClosed:
                    outcome.append("refused")

    async def main() -> None:
        async for _ in tri.query("Hello", agent=agent):
            pass
        trio.lowlevel.spawn_system_task(late)
        await trio.lowlevel.checkpoint()

    trio.run(main)
    assert outcome == ["refused"]


def test_finalizers_after_the_run_are_silent() -> None:
    agent = tri.Embedded(transcripts=Transcripts())
    kept: list[Callable[[], object] | tri.Query] = []

    async def main() -> None:
        query = tri.query("Wait 1000 seconds", agent=agent)
        kept.append(query)
        async for message in query:
            if isinstance(message, tri.InitMessage):
                return

    trio.run(main)
    with pytest.warns(ResourceWarning, match="was abandoned"):
        kept.clear()
