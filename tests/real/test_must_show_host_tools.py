"""The real Claude Code calls tools that are functions of this program, many at once, and none of them can hold it up."""

import json
import threading
from datetime import date
from typing import Annotated, Any, Literal

import pytest
import trio
from msgspec import Meta, Struct

import triologue as tri
from tests.support.live import Endless, bash, call, open_live_manager, read_story, read_to_the_end, tap
from tests.support.real_cli import CleanPlace
from triologue.messages import McpServerStatus, McpStatusResponse, McpToolInfo

pytestmark = pytest.mark.real_cli

SAY = "[[results]][[say , on]]"
# Claude Code puts the tools of MCP servers behind a search of its own, and adds to errors how that is used.
ALL_SHOWN = {"ENABLE_TOOL_SEARCH": "false"}
DOT = "iVBORw0KGgoAAAANSUhEUgAAAAEAAAABCAYAAAAfFcSJAAAADUlEQVR42mNk+M9QDwADhgGAWjR9awAAAABJRU5ErkJggg=="
"""A PNG of one pixel, in base64."""


class Place(Struct):
    """Where a table stands."""

    room: str
    seats: Annotated[int, Meta(gt=0)] = 2


@tri.tool
async def book(
    day: date, place: Place, meal: Literal["lunch", "dinner"], notes: list[str] | None = None
) -> dict[str, Any]:
    """Book a table."""
    assert isinstance(day, date)
    assert isinstance(place, Place)
    return {"weekday": day.isoweekday(), "room": place.room, "seats": place.seats, "meal": meal, "notes": notes}


def fail(why: Annotated[str, "what to raise"]) -> None:
    """Raise."""
    assert threading.current_thread() is not threading.main_thread()  # it may block
    raise LookupError(why)


@tri.tool("greet", "Greet somebody", {"name": str})
async def greet(arguments: dict[str, Any]) -> dict[str, Any]:
    return {"content": [{"type": "text", "text": f"Hi {arguments['name']}"}]}


@tri.tool(annotations={"readOnlyHint": True})
async def picture() -> list[tri.ContentBlock]:
    """A picture and a word about it."""
    return [tri.TextBlock("a dot:"), tri.ImageBlock({"type": "base64", "media_type": "image/png", "data": DOT})]


async def test_functions_are_shown_to_the_model_and_called_by_it(place: CleanPlace) -> None:
    options = tri.Options(
        mcp_servers={
            "desk": [book, fail],
            "hall": tri.create_sdk_mcp_server("reception", "2.1.0", [greet, picture]),
        },
        allowed_tools=["mcp__desk", "mcp__hall"],
        env=ALL_SHOWN,
    )
    script = (
        call("mcp__desk__book", day="2026-11-21", place={"room": "blue"}, meal="lunch", notes=["ä"])
        + call("mcp__desk__book", day="2026-11-21", place={"room": "blue", "seats": 0}, meal="lunch")
        + call("mcp__desk__fail", why="no luck")
        + call("mcp__hall__greet", name="Ada")
        + call("mcp__hall__picture")
        + call("mcp__hall__book")
    )
    async with open_live_manager(place, options) as manager:
        session = manager.session("a")
        async with session.subscribe() as events:
            turn = await session.send(script + "[[say on]]")
            seen = await read_to_the_end(events)
        story = await read_story(turn)
        assert [event for event in seen if isinstance(event.message, tri.CallbackFailed)] == []
    booked = '{"weekday":6,"room":"blue","seats":2,"meal":"lunch","notes":["ä"]}'
    *called, shown, unknown = story.results
    assert called == [
        ("mcp__desk__book", booked, False),
        ("mcp__desk__book", "Expected `int` >= 1 - at `$.place.seats`", True),
        ("mcp__desk__fail", "no luck", True),
        ("mcp__hall__greet", "Hi Ada", False),
    ]
    assert (shown[0], shown[1].startswith("a dot:"), shown[2]) == ("mcp__hall__picture", True, False)
    assert unknown[1:] == ("<tool_use_error>Error: No such tool available: mcp__hall__book</tool_use_error>", True)
    assert story.said == "on"
    # What the model was told of them, and what it saw of the picture.
    request = place.api.turns[-1].body
    told = {tool["name"]: tool for tool in request["tools"] if tool["name"].startswith("mcp__")}
    assert list(told) == ["mcp__desk__book", "mcp__desk__fail", "mcp__hall__greet", "mcp__hall__picture"]
    fails, greets = told["mcp__desk__fail"], told["mcp__hall__greet"]
    assert (fails["description"], fails["input_schema"]["properties"]) == (
        "Raise.",
        {"why": {"type": "string", "description": "what to raise"}},
    )
    assert (greets["description"], greets["input_schema"]["required"]) == ("Greet somebody", ["name"])
    assert told["mcp__desk__book"]["input_schema"]["properties"]["meal"] == {"enum": ["dinner", "lunch"]}
    assert f'"data": "{DOT}"' in json.dumps(request["messages"])


FIFTY = 50


def fifty_times(tool: str) -> str:
    """The script of fifty calls in one answer of the model."""
    first, *rest = [call(tool, number=number) for number in range(FIFTY)]
    return first + "".join(each.replace("[[tool", "[[and tool") for each in rest)


@pytest.mark.slow
async def test_fifty_callbacks_at_once(place: CleanPlace) -> None:
    here, all_here = 0, trio.Event()

    # Only what is said to change nothing is called in parallel.
    @tri.tool(annotations={"readOnlyHint": True})
    async def meet(number: int) -> int:
        """Come back when all have come."""
        nonlocal here
        here += 1
        if here == FIFTY:
            all_here.set()
        with trio.fail_after(30):
            await all_here.wait()
        return number

    options = tri.Options(mcp_servers={"desk": [meet]}, allowed_tools=["mcp__desk"])
    async with open_live_manager(place, options) as manager:
        result = await manager.session("a").ask(fifty_times("mcp__desk__meet") + SAY)
    assert result.result == " | ".join(str(number) for number in range(FIFTY)) + ", on"


@pytest.mark.slow
async def test_an_interrupt_cancels_fifty_at_once(place: CleanPlace) -> None:
    running: set[int] = set()
    all_here, none_here = trio.Event(), trio.Event()

    @tri.tool(annotations={"readOnlyHint": True})
    async def stay(number: int) -> None:
        """Never come back."""
        running.add(number)
        if len(running) == FIFTY:
            all_here.set()
        try:
            await trio.sleep_forever()
        finally:
            running.remove(number)
            if not running:
                none_here.set()

    options, line = tri.Options(mcp_servers={"desk": [stay]}, allowed_tools=["mcp__desk"]), tap(place)
    async with open_live_manager(place, options, agent=line) as manager:
        session = manager.session("a")
        turn = await session.send(fifty_times("mcp__desk__stay"))
        with trio.fail_after(30):
            await all_here.wait()
        assert await session.interrupt() == "stopped"
        assert (await turn.wait()).kind == "interrupted"
        await none_here.wait()
        assert (await session.ask("[[say alive]]")).result == "alive"
        assert line.unanswered() == ["desk tools/call"] * FIFTY


@pytest.mark.slow
async def test_one_that_never_returns_is_interrupted_and_control_goes_on_beside_it(place: CleanPlace) -> None:
    endless, line = Endless(), tap(place)

    async def wait() -> None:
        """Wait for ever."""
        await endless()

    options = tri.Options(mcp_servers={"desk": [wait, greet]}, allowed_tools=["mcp__desk"])
    async with open_live_manager(place, options, agent=line) as manager:
        session = manager.session("a")
        turn = await session.send(call("mcp__desk__wait") + "[[say never]]")
        with trio.fail_after(30):
            await endless.begun.wait()
        assert await session.get_mcp_status() == McpStatusResponse(
            mcp_servers=[
                McpServerStatus(
                    name="desk",
                    status="connected",
                    server_info={"name": "desk", "version": "1.0.0"},
                    scope="dynamic",
                    tools=[McpToolInfo(name="wait", annotations={}), McpToolInfo(name="greet", annotations={})],
                )
            ]
        )
        assert turn.outcome is None
        assert await session.interrupt() == "stopped"
        assert (await turn.wait()).kind == "interrupted"
        await endless.cancelled.wait()
        # The server is there as before.
        assert (await session.ask(call("mcp__desk__greet", name="Ada") + SAY)).result == "Hi Ada, on"
        assert line.unanswered() == ["desk tools/call"]


@pytest.mark.slow
@pytest.mark.parametrize("end", ["close", "leave", "block"])
async def test_the_end_cancels_one_that_never_returns(place: CleanPlace, end: str) -> None:
    endless, line = Endless(), tap(place)

    async def wait() -> None:
        """Wait for ever."""
        await endless()

    released = threading.Event()

    def block() -> None:
        """Block a thread, which nobody can stop."""
        trio.from_thread.run_sync(endless.begun.set)
        released.wait(30)

    options = tri.Options(mcp_servers={"desk": [wait, block]}, allowed_tools=["mcp__desk"])
    async with open_live_manager(place, options, agent=line, deadlines=tri.Deadlines(drain=0.1)) as manager:
        session = manager.session("a")
        turn = await session.send(call(f"mcp__desk__{'block' if end == 'block' else 'wait'}"))
        await endless.begun.wait()
        if end != "leave":
            await session.close()
    assert (await turn.wait()).kind == "interrupted"
    # The CLI may still have said that it takes the call back, when nobody was there to acknowledge that.
    assert line.unanswered() in (["desk tools/call"], ["desk tools/call", "desk notifications/cancelled"])
    if end == "block":
        released.set()
    else:
        await endless.cancelled.wait()


@pytest.mark.slow
async def test_permissions_and_hooks_see_them_by_their_whole_name(place: CleanPlace) -> None:
    seen: list[tuple[str, Any]] = []

    async def look(given: Any, tool_use_id: str | None, context: tri.HookContext) -> dict[str, Any]:
        seen.append((given["tool_name"], given["tool_input"]))
        return {}

    async def can_use_tool(
        name: str, given: dict[str, Any], context: tri.ToolPermissionContext
    ) -> tri.PermissionResult:
        seen.append((name, given))
        return tri.PermissionResultAllow(updated_input={"name": "Bob"})

    options = tri.Options(
        mcp_servers={"desk": [greet]},
        hooks={"PreToolUse": [tri.HookMatcher("mcp__desk__.*", [look])]},
        can_use_tool=can_use_tool,
    )
    client_options = options.over(tri.Options(cwd=place.cwd))
    async with tri.Client(client_options, tri.ClaudeCode(environ=place.env)) as client:
        await client.query(call("mcp__desk__greet", name="Ada") + bash("echo unseen") + "[[results]]")
        (result,) = [each async for each in client.receive_response() if isinstance(each, tri.ResultMessage)]
    assert result.result == "Hi Bob | unseen"
    assert seen == [("mcp__desk__greet", {"name": "Ada"}), ("mcp__desk__greet", {"name": "Ada"})]
