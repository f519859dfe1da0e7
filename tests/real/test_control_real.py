"""Every control request that the real Claude Code answers, by the methods of a session."""

import json
import sys
from pathlib import Path
from uuid import uuid4

import pytest
import trio

import triologue as tri
from tests.support.live import bash, call, open_live_manager
from tests.support.real_cli import CleanPlace
from triologue.agents import claude_requests
from triologue.messages import (
    GetPlanMode,
    McpServerStatus,
    McpSetServersResult,
    McpStatusResponse,
    McpToolInfo,
    RewindFilesResult,
    SetMaxThinkingTokens,
    SideQuestionResult,
    TaskNotificationMessage,
    TaskStartedMessage,
)

pytestmark = [pytest.mark.real_cli, pytest.mark.slow]

# As small as an MCP server can be: it has one tool, which nobody calls.
SERVER = """
import json, sys
for line in sys.stdin:
    asked = json.loads(line)
    result = {
        "initialize": {
            "protocolVersion": "2025-06-18",
            "capabilities": {"tools": {}},
            "serverInfo": {"name": "calc", "version": "1"},
        },
        "tools/list": {"tools": [{"name": "add", "description": "Add.", "inputSchema": {"type": "object"}}]},
    }.get(asked.get("method"), {})
    if "id" in asked:
        print(json.dumps({"jsonrpc": "2.0", "id": asked["id"], "result": result}), flush=True)
"""


def server(place: CleanPlace) -> dict[str, object]:
    """How to start it; to be named in the options, or added later."""
    program = place.cwd / "server.py"
    program.write_text(SERVER)
    return {"command": sys.executable, "args": [str(program)]}


async def settled(session: tri.Session) -> McpStatusResponse:
    """The status once no server is still being started."""
    with trio.fail_after(30):
        while True:
            status = await session.get_mcp_status()
            if all(each.status != "pending" for each in status.mcp_servers):
                return status


def calc(place: CleanPlace, name: str, status: str) -> McpServerStatus:
    """The server as Claude Code describes it."""
    is_connected = status == "connected"
    return McpServerStatus(
        name=name,
        status=status,
        server_info={"name": "calc", "version": "1"} if is_connected else None,
        config={"type": "stdio", **server(place)},
        scope="dynamic",
        tools=[McpToolInfo(name="add", annotations={})] if is_connected else None,
    )


async def test_mcp_servers_are_seen_switched_and_connected_again(place: CleanPlace) -> None:
    async with open_live_manager(place, tri.Options(mcp_servers={"calc": server(place)})) as manager:
        session = manager.session("k")
        assert await settled(session) == McpStatusResponse(mcp_servers=[calc(place, "calc", "connected")])
        await session.toggle_mcp_server("calc", False)
        assert await settled(session) == McpStatusResponse(mcp_servers=[calc(place, "calc", "disabled")])
        await session.toggle_mcp_server("calc", True)
        await session.reconnect_mcp_server("calc")
        assert await settled(session) == McpStatusResponse(mcp_servers=[calc(place, "calc", "connected")])


async def test_mcp_servers_are_added_and_removed(place: CleanPlace) -> None:
    async with open_live_manager(place, tri.Options(mcp_servers={"calc": server(place)})) as manager:
        session = manager.session("k")
        assert await session.set_mcp_servers({"more": server(place)}) == McpSetServersResult(added=["more"])
        assert [each.name for each in (await settled(session)).mcp_servers] == ["calc", "more"]
        failing = await session.set_mcp_servers({"broken": {"command": "/bin/true"}})
        assert (failing.added, failing.removed, list(failing.errors)) == (["broken"], ["more"], ["broken"])
        assert "iterable" not in failing.errors["broken"]  # it was told of no arguments
        assert await session.set_mcp_servers({}) == McpSetServersResult(removed=["broken"])
        assert [each.name for each in (await settled(session)).mcp_servers] == ["calc"]


async def test_what_it_refuses_is_raised_in_its_words(place: CleanPlace) -> None:
    async with open_live_manager(place) as manager:
        session = manager.session("k")
        back = "http://127.0.0.1/?code=1"
        for ask, said in (
            (lambda: session.reconnect_mcp_server("nope"), "Server not found: nope"),
            (lambda: session.toggle_mcp_server("nope", True), "Server not found: nope"),
            (lambda: session.mcp_authenticate("nope"), "Server not found: nope"),
            (lambda: session.mcp_clear_auth("nope"), "Server not found: nope"),
            (lambda: session.mcp_submit_oauth_callback_url("nope", back), "No active OAuth flow for server: nope"),
            (lambda: session.rewind_files(str(uuid4())), "File rewinding is not enabled."),
        ):
            with pytest.raises(tri.AgentProtocolError) as caught:
                await ask()
            assert str(caught.value) == f"the agent refused: {said}"
        planned = await session.rewind_files(str(uuid4()), dry_run=True)
        assert planned == RewindFilesResult(can_rewind=False, error="File rewinding is not enabled.")


async def test_files_go_back_to_what_they_were(place: CleanPlace) -> None:
    file = place.cwd / "a.txt"
    options = tri.Options(enable_file_checkpointing=True, permission_mode="acceptEdits")
    async with open_live_manager(place, options) as manager:
        session = manager.session("k")
        assert await session.rewind_files(str(uuid4()), dry_run=True) == RewindFilesResult(
            can_rewind=False, error="No file checkpoint found for this message."
        )
        await session.ask(call("Write", file_path=str(file), content="one\n"))
        second = await session.send(call("Bash", command="true", description="d") + edit(file))
        assert (await second.wait()).kind == "answered"
        assert file.read_text() == "two\n"
        planned = await session.rewind_files(second.id, dry_run=True)
        assert (planned, file.read_text()) == (
            RewindFilesResult(files_changed=[str(file)], insertions=1, deletions=1),
            "two\n",
        )
        await session.rewind_files(second.id)
        assert file.read_text() == "one\n"


def edit(file: Path) -> str:
    return call("Edit", file_path=str(file), old_string="one", new_string="two")


async def test_the_context_is_counted(place: CleanPlace) -> None:
    async with open_live_manager(place, tri.Options(model="claude-opus-5-5")) as manager:
        session = manager.session("k")
        await session.ask("[[say hi]]")
        usage = await session.get_context_usage()
    names = [each.name for each in usage.categories]
    assert {"System prompt", "System tools", "Free space"} <= set(names)
    used = [each for each in usage.categories if each.data["kind"] == "used"]
    assert (usage.model, usage.total_tokens) == ("claude-opus-5-5", sum(each.tokens or 0 for each in used))
    assert usage.is_auto_compact_enabled is True
    assert (usage.max_tokens or 0) <= (usage.raw_max_tokens or 0)


async def test_a_background_task_is_stopped(place: CleanPlace) -> None:
    async with open_live_manager(place, tri.Options(allowed_tools=["Bash"])) as manager:
        session = manager.session("k")
        async with session.subscribe() as events:
            await session.ask(bash("sleep 60", run_in_background=True) + "[[say started]]")
            task = None
            with trio.fail_after(30):
                async for event in events:
                    match event.message:
                        case TaskStartedMessage(task_id=task_id):
                            task = task_id
                            await session.stop_task(task_id)
                        case TaskNotificationMessage(task_id=ended, status=status):
                            assert (ended, status) == (task, "stopped")
                            break
                        case _:
                            pass
        await session.stop_task("nope")
        assert (await session.background_tasks(), await session.background_tasks("nope")) == (True, False)
        assert await session.cancel_async_message(str(uuid4())) is False


async def test_what_it_says_of_itself(place: CleanPlace) -> None:
    async with open_live_manager(place) as manager:
        session = manager.session("k")
        info = await session.get_server_info()
        assert (info.pid, info.output_style, info.session_state) == (session.pid, "default", "idle")
        assert (info.current_permission_mode, "default" in [each.value for each in info.models]) == ("default", True)
        assert {"compact", "context"} <= {each["name"] for each in info.commands}
        assert await session.supported_agents() == info.agents
        assert "claude" in [each["name"] for each in info.agents]
        plugins = await session.reload_plugins()
        assert (plugins.mcp_servers, plugins.error_count) == ([], 0)
        assert {"compact", "context"} <= {each["name"] for each in plugins.commands}


async def test_a_side_question_is_no_part_of_the_conversation(place: CleanPlace) -> None:
    async with open_live_manager(place) as manager:
        session = manager.session("k")
        await session.ask("[[say hi]]")
        turn = await session.send("[[wait gate]][[say done]]")
        await place.api.wait_reached("gate")
        answer = await session.ask_side_question("What is aside?")
        assert (answer, turn.outcome) == (SideQuestionResult(response="stub answer (question)"), None)
        place.api.release("gate")
        assert (await turn.wait()).unwrap().result == "done"
        assert "aside" not in json.dumps((await session.ask("[[recall]]")).result)


async def test_settings_apply_from_the_next_turn_on(place: CleanPlace) -> None:
    async with open_live_manager(place) as manager:
        session = manager.session("k")
        await session.ask("[[say 1]]")
        await session.apply_flag_settings({"model": "model-b"})
        await session.control(SetMaxThinkingTokens(max_thinking_tokens=2_000))
        await session.ask("[[say 2]]")
        assert place.api.turns[-1].body["model"] == "model-b"
        assert "models" in await session.control({"subtype": "list_models"})


async def test_what_only_qoder_has_is_refused_by_name_and_version(place: CleanPlace) -> None:
    async with open_live_manager(place) as manager:
        session = manager.session("k")
        info = await session.get_server_info()
        with pytest.raises(tri.UnsupportedRequest) as caught:
            await session.get_plan_mode()
        error = caught.value
        assert (error.agent, error.request, error.version) == ("claude-code", "get_plan_mode", info.claude_code_version)
        assert str(error).startswith(f"claude-code {info.claude_code_version} cannot do 'get_plan_mode'")
        assert GetPlanMode not in claude_requests.REQUESTS
        with pytest.raises(tri.UnsupportedRequest):
            await session.control({"subtype": "get_plan_mode"})
