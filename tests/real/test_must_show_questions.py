"""What the real Claude Code asks of people beside permissions: its own questions, and those of MCP servers."""

import json
import sys
from typing import Any

import pytest
import trio

import triologue as tri
from tests.support.live import Endless, call, open_live_manager, tap
from tests.support.real_cli import CleanPlace

pytestmark = [pytest.mark.real_cli, pytest.mark.slow]

# Its one tool asks for a name, and gives what it was answered.
SERVER = """
import json, sys

def say(**message):
    print(json.dumps({"jsonrpc": "2.0", **message}), flush=True)

wanted = {"type": "object", "properties": {"name": {"type": "string"}}, "required": ["name"]}
for line in sys.stdin:
    said = json.loads(line)
    match said.get("method"):
        case "initialize":
            info = {"name": "desk", "version": "1"}
            result = {"protocolVersion": "2025-06-18", "capabilities": {"tools": {}}, "serverInfo": info}
            say(id=said["id"], result=result)
        case "tools/list":
            say(id=said["id"], result={"tools": [{"name": "meet", "inputSchema": {"type": "object"}}]})
        case "tools/call":
            call = said["id"]
            asked = {"message": "Who are you?", "requestedSchema": wanted}
            say(id="question", method="elicitation/create", params=asked)
        case None:
            text = json.dumps(said.get("result") or said.get("error"))
            say(id=call, result={"content": [{"type": "text", "text": text}]})
        case _ if "id" in said:
            say(id=said["id"], result={})
"""


def desk(place: CleanPlace) -> dict[str, Any]:
    program = place.cwd / "server.py"
    program.write_text(SERVER)
    return {"command": sys.executable, "args": [str(program)]}


async def test_its_own_questions_are_permission_requests_with_answers(place: CleanPlace) -> None:
    options = [{"label": "Blue", "description": "cold"}, {"label": "Red", "description": "warm"}]
    question = {"question": "Which colour?", "header": "Colour", "multiSelect": False, "options": options}

    async def people(request: tri.PermissionRequest) -> None:
        assert (request.tool, request.input) == ("AskUserQuestion", {"questions": [question]})
        await request.allow(updated_input={**request.input, "answers": {"Which colour?": "Blue"}}, by="ada")

    async with open_live_manager(place, on_permission=people) as manager:
        result = await manager.session("a").ask(call("AskUserQuestion", questions=[question]) + "[[results]]")
    assert '"Which colour?"="Blue"' in (result.result or "")


@pytest.mark.parametrize(
    ("answer", "server_heard"),
    [
        ({"action": "accept", "content": {"name": "Ada"}}, {"action": "accept", "content": {"name": "Ada"}}),
        ({"action": "decline"}, {"action": "decline"}),
        (None, {"action": "cancel"}),
    ],
)
async def test_what_an_mcp_server_wants_from_the_user(
    place: CleanPlace, answer: dict[str, Any] | None, server_heard: dict[str, Any]
) -> None:
    asked: list[dict[str, Any]] = []

    async def on_elicitation(question: dict[str, Any]) -> dict[str, Any] | None:
        asked.append(question)
        return answer

    options = tri.Options(on_elicitation=on_elicitation, mcp_servers={"desk": desk(place)}, allowed_tools=["mcp__desk"])
    async with open_live_manager(place, options) as manager:
        result = await manager.session("a").ask(call("mcp__desk__meet") + "[[results]]")
    assert json.loads(result.result or "") == server_heard
    assert [(each["message"], each["serverName"], each["mode"]) for each in asked] == [("Who are you?", "desk", "form")]


async def test_nobody_is_there_to_be_asked(place: CleanPlace) -> None:
    options = tri.Options(mcp_servers={"desk": desk(place)}, allowed_tools=["mcp__desk"])
    async with open_live_manager(place, options) as manager:
        result = await manager.session("a").ask(call("mcp__desk__meet") + "[[results]]")
    assert json.loads(result.result or "") == {"action": "cancel"}


async def test_an_interrupt_cancels_a_question_that_nobody_answers(place: CleanPlace) -> None:
    endless, line = Endless(), tap(place)
    options = tri.Options(on_elicitation=endless, mcp_servers={"desk": desk(place)}, allowed_tools=["mcp__desk"])
    async with open_live_manager(place, options, agent=line) as manager:
        session = manager.session("a")
        turn = await session.send(call("mcp__desk__meet"))
        with trio.fail_after(30):
            await endless.begun.wait()
        assert await session.interrupt() == "stopped"
        assert (await turn.wait()).kind == "interrupted"
        await endless.cancelled.wait()
        assert line.unanswered() == ["elicitation"]
        assert (await session.ask("[[say alive]]")).result == "alive"
