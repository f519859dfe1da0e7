"""Clients that others have written, in processes of their own: what they saw is the session's log."""

import json
import subprocess
import sys
from pathlib import Path
from typing import Any

import pytest
import trio

import triologue as tri
from tests.support.needs import find_node
from triologue.testing import Line, Say, ScriptedAgent, UseTool
from triologue.wire import encode_record, kind_of

HERE = Path(__file__).parent


def agent(words: int) -> ScriptedAgent:
    agent = ScriptedAgent(max_message_bytes=1 << 20)
    picture = Line(b'{"type":"picture","x":"%s"}' % ("€" * 70_000).encode())  # it comes in fragments
    agent.on("story", picture, Say("word " * words, every=0.005))
    agent.on("touch", UseTool("Touch", {"path": "x"}, asks=True), Say("touched " * words, every=0.005))
    return agent


def websockets_client() -> list[str]:
    return [sys.executable, str(HERE / "websockets_client.py")]


def node_client() -> list[str]:
    return [str(find_node()), "--experimental-websocket", "--no-warnings", str(HERE / "node_client.mjs")]


async def run_clients(command: list[str], leaves: list[int], *, words: int = 300) -> None:
    """Run a client of one session for each number, which leaves so often; each must see what is in the log."""
    found: dict[int, Any] = {}

    async def run_one(number: int, gateway: tri.Gateway) -> None:
        argv = [*command, f"{gateway.url}/v1", "bot:1", str(leaves[number])]
        process = await trio.run_process(argv, capture_stdout=True, stderr=subprocess.STDOUT, check=False)
        assert process.returncode == 0, process.stdout.decode()
        found[number] = json.loads(process.stdout)

    options, limits = tri.Options(include_partial_messages=True), tri.Limits(log_bytes=1 << 24)
    async with (
        tri.open_manager(agent(words), options=options, limits=limits, on_permission=wait_for_a_client) as manager,
        tri.open_gateway(manager, port=0) as gateway,
    ):
        with trio.fail_after(60):
            async with trio.open_nursery() as nursery:
                for number in range(len(leaves)):
                    nursery.start_soon(run_one, number, gateway)
        log = [
            [event.seq, event.turn_id, kind_of(event.message), json.loads(encode_record(event.message))]
            for event in await manager.session("bot:1").read()
        ]
    (answered,) = [message for _, _, kind, message in log if kind == "#permission_answered"]
    assert (answered["answer"], answered["by"]) == ("allow", "local")
    assert [message["kind"] for _, _, kind, message in log if kind == "#turn_ended"] == ["answered", "answered"]
    for number, times in enumerate(leaves):
        seen = found[number]
        assert seen["events"] == log[: len(seen["events"])]
        assert [kind for _, _, kind, _ in seen["events"]].count("#turn_ended") == 2
        assert (seen["connections"] > 1) == (times > 0)
        assert seen["partials"] > 0
        assert set(seen["failed"]) <= {"already_answered", "not_found"}  # another was faster


def wait_for_a_client(request: tri.PermissionRequest) -> None:
    """Somebody will answer."""


async def test_websockets_on_asyncio() -> None:
    await run_clients(websockets_client(), [1], words=30)


@pytest.mark.slow
async def test_many_of_websockets_that_leave_and_come_back() -> None:
    await run_clients(websockets_client(), [0, 5, 10, 15])


@pytest.mark.slow
@pytest.mark.node
async def test_the_websocket_of_node() -> None:
    await run_clients(node_client(), [0, 5, 10, 15])
