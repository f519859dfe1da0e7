"""Control requests as methods: what they ask, how answers are read, and what a session makes of them."""

import inspect
from typing import Any

import pytest
import trio
from trio.testing import MockClock, wait_all_tasks_blocked

import triologue as tri
from tests.support.scripted_agent import ScriptedAgent
from tests.unit.engine.stage import open_engine
from tests.unit.manager.control_calls import CALLS, FROM_THE_HANDSHAKE, Call, Recorder
from tests.unit.manager.stage import scripted
from triologue.agents import embedded_requests
from triologue.engine import OfflineModel, Transcripts
from triologue.hosting import create_sdk_mcp_server
from triologue.manager import Controls
from triologue.messages import (
    CanUseTool,
    ContextUsageCategory,
    ContextUsageResponse,
    ControlCancel,
    ControlError,
    ControlResponse,
    GoalSnapshot,
    Initialize,
    Interrupt,
    McpAuthentication,
    McpServerStatus,
    McpStatus,
    McpStatusResponse,
    McpToggle,
    McpToolInfo,
    ModelInfo,
    PlanModeSnapshot,
    PluginDetails,
    ReloadPluginsResponse,
    Request,
    RewindFileFailure,
    RewindFilesResult,
    RewindResult,
    SetGoal,
    SetMaxThinkingTokens,
    SetModel,
    SetPermissionMode,
    SideQuestionResult,
    UnknownRequest,
    UsageInfo,
)
from triologue.sdk import Client
from triologue.wire import read_reply


def embedded() -> tri.Embedded:
    return tri.Embedded(model=OfflineModel(), transcripts=Transcripts())


# What is asked.


@pytest.mark.parametrize(("name", "call", "request_"), [(name, *each) for name, each in CALLS.items()], ids=list(CALLS))
async def test_a_method_asks_for_what_its_name_says(name: str, call: Call, request_: Request) -> None:
    recorder = Recorder()
    await call(recorder)
    assert recorder.asked == [request_]


def test_every_method_is_called_here() -> None:
    methods = {
        name for name, _ in inspect.getmembers(Controls, inspect.iscoroutinefunction) if not name.startswith("_")
    }
    assert methods == {*CALLS, *FROM_THE_HANDSHAKE, "control"}


# How answers are read.

READ: list[tuple[Call, dict[str, Any], Any]] = [
    (
        lambda c: c.get_mcp_status(),
        {"mcpServers": [{"name": "a", "status": "connected", "tools": [{"name": "add"}, 5]}, "odd", {"status": 1}]},
        McpStatusResponse(
            mcp_servers=[
                McpServerStatus(name="a", status="connected", tools=[McpToolInfo(name="add")]),
                McpServerStatus(status="1"),
            ]
        ),
    ),
    (
        lambda c: c.get_mcp_status(),
        {"servers": [{"name": "q", "status": "connecting", "serverInfo": {"name": "q", "version": "1"}}]},
        McpStatusResponse(
            mcp_servers=[McpServerStatus(name="q", status="connecting", server_info={"name": "q", "version": "1"})]
        ),
    ),
    (lambda c: c.get_mcp_status(), {}, McpStatusResponse()),
    (
        lambda c: c.mcp_authenticate("a"),
        {"authUrl": "http://h"},
        McpAuthentication(auth_url="http://h", requires_user_action=True),
    ),
    (lambda c: c.mcp_authenticate("a"), {"requiresUserAction": False}, McpAuthentication()),
    (
        lambda c: c.get_context_usage(),
        {"categories": [{"name": "Messages", "tokens": 7}], "totalTokens": 7, "maxTokens": 100, "percentage": 7},
        ContextUsageResponse(
            percentage=7.0,
            total_tokens=7,
            max_tokens=100,
            categories=[ContextUsageCategory(name="Messages", tokens=7)],
        ),
    ),
    (
        lambda c: c.get_context_usage(),
        {
            "model": "auto",
            "contextWindow": {"usedPercentage": 12.5},
            "categories": [{"type": "messages", "percentage": 12.5}],
            "autoCompact": {"enabled": True, "thresholdPercentage": 80},
        },
        ContextUsageResponse(
            model="auto",
            percentage=12.5,
            categories=[ContextUsageCategory(name="messages", percentage=12.5)],
            is_auto_compact_enabled=True,
        ),
    ),
    (lambda c: c.background_tasks(), {}, True),
    (lambda c: c.background_tasks("t"), {"backgrounded": False}, False),
    (lambda c: c.cancel_async_message("u"), {"cancelled": True}, True),
    (lambda c: c.cancel_async_message("u"), {}, False),
    (
        lambda c: c.rewind_files("u"),
        {"canRewind": True, "filesChanged": ["/a"], "insertions": 1, "deletions": 2},
        RewindFilesResult(files_changed=["/a"], insertions=1, deletions=2),
    ),
    (
        lambda c: c.rewind_files("u", dry_run=True),
        {"canRewind": False, "error": "no checkpoint"},
        RewindFilesResult(can_rewind=False, error="no checkpoint"),
    ),
    (
        lambda c: c.rewind("u"),
        {"status": "partial", "retainedLeafId": None, "failedFiles": [{"path": "/a", "error": "gone"}]},
        RewindResult(status="partial", failed_files=[RewindFileFailure(path="/a", error="gone")]),
    ),
    (
        lambda c: c.rewind("u", dry_run=True),
        {"status": "rejected", "error": "busy"},
        RewindResult(status="rejected", error="busy"),
    ),
    (
        lambda c: c.ask_side_question("?"),
        {"response": "so", "synthetic": True},
        SideQuestionResult(response="so", synthetic=True),
    ),
    (lambda c: c.ask_side_question("?"), {"response": None}, None),
    (lambda c: c.get_plan_mode(), {"plan_mode": {"active": True}}, PlanModeSnapshot(active=True)),
    (lambda c: c.set_plan_mode(False), {}, PlanModeSnapshot(active=False)),
    (
        lambda c: c.get_goal(),
        {"goal": {"id": "g", "objective": "o", "status": "active", "turns_used": 2, "credits_used": 0.5}},
        GoalSnapshot(id="g", objective="o", status="active", turns_used=2, credits_used=0.5),
    ),
    (lambda c: c.set_goal(objective="o"), {"goal": None}, None),
    (lambda c: c.clear_goal(), {"cleared": True}, True),
    (
        lambda c: c.get_available_models(),
        {"models": [{"value": "m", "displayName": "M", "isFree": True, "context_config": {"a": 1}}, None]},
        [ModelInfo(value="m", display_name="M", is_free=True, context_config={"a": 1})],
    ),
    (
        lambda c: c.get_usage_info(),
        {"usage": {"userId": "u", "totalUsagePercentage": 3}, "session": {"total_credits": 1}},
        UsageInfo(user_id="u", total_usage_percentage=3.0, session={"total_credits": 1}),
    ),
    (lambda c: c.get_usage_info(), {"usage": None, "usage_error": "offline"}, UsageInfo(usage_error="offline")),
    (lambda c: c.list_byok_providers(), {"providers": [{"key": "k"}, 1]}, [{"key": "k"}]),
    (lambda c: c.list_byok_providers(), {}, []),
    (
        lambda c: c.list_plugins(),
        {"plugins": [{"id": "p", "name": "P", "canDisable": False}]},
        [PluginDetails(id="p", name="P", can_disable=False)],
    ),
    (
        lambda c: c.reload_plugins(),
        {"plugins": [{"name": "P"}], "mcpServers": [{"name": "a"}], "error_count": 1},
        ReloadPluginsResponse(plugins=[{"name": "P"}], mcp_servers=[McpServerStatus(name="a")], error_count=1),
    ),
]


@pytest.mark.parametrize(("call", "answer", "read"), READ)
async def test_an_answer_is_read_as_its_type(call: Call, answer: dict[str, Any], read: object) -> None:
    assert await call(Recorder(answer)) == read


def test_what_has_no_name_here_is_in_data() -> None:
    said = {"mcpServers": [{"name": "a", "transport": "stdio"}], "more": 1}
    reply = read_reply(McpStatusResponse, said)
    assert (reply.data, reply.mcp_servers[0].data) == (said, {"name": "a", "transport": "stdio"})
    assert read_reply(McpStatusResponse, [1]) == McpStatusResponse()


@pytest.mark.parametrize(
    ("call", "answer", "said"),
    [
        (lambda c: c.rewind_files("u"), {"canRewind": False, "error": "no checkpoint"}, "no checkpoint"),
        (lambda c: c.rewind_files("u"), {"canRewind": False}, "does not say why"),
        (lambda c: c.rewind("u"), {"status": "rejected", "error": "busy"}, "busy"),
    ],
)
async def test_an_answer_that_means_failure_raises(call: Call, answer: dict[str, Any], said: str) -> None:
    with pytest.raises(tri.AgentProtocolError, match=said):
        await call(Recorder(answer))


# What a session makes of them.


async def test_the_built_in_agent_answers_while_a_turn_runs_and_while_it_sleeps(
    autojump_clock: MockClock,
) -> None:
    agent = tri.Embedded(model=OfflineModel(piece_delay=1.0), transcripts=Transcripts())
    async with tri.open_manager(agent) as manager:
        session = manager.session("k")
        assert await session.get_mcp_status() == McpStatusResponse()
        assert session.state == "idle"
        turn = await session.send("Count to 5")
        await trio.sleep(2)
        usage = await session.get_context_usage()
        assert (usage.model, [each.name for each in usage.categories]) == ("offline", ["Messages"])
        assert (turn.outcome, await session.cancel_async_message("nobody")) == (None, False)
        await turn.wait()
        await session.hibernate()
        info = await session.get_server_info()
        assert (session.state, [each["name"] for each in info.commands]) == ("idle", ["clear", "compact", "cost"])
        assert [model.value for model in info.models] == ["default"]
        assert await session.supported_agents() == []


@pytest.mark.parametrize(
    ("name", "call", "request_"),
    [(name, *each) for name, each in CALLS.items() if type(each[1]) not in embedded_requests.REQUESTS],
)
async def test_what_an_agent_cannot_do_is_refused(name: str, call: Call, request_: Request) -> None:
    async with tri.open_manager(embedded()) as manager:
        with pytest.raises(tri.UnsupportedRequest) as caught:
            await call(manager.session("k"))
    assert (caught.value.agent, caught.value.request) == ("embedded", request_.__struct_config__.tag)


async def test_the_table_of_the_built_in_agent_is_what_it_answers() -> None:
    kinds = [request for _, request in CALLS.values()]
    kinds += [Interrupt(), SetModel(), SetPermissionMode(mode="default"), SetMaxThinkingTokens()]
    async with open_engine() as host:
        for request in kinds:
            host.send(host.request(request))  # type: ignore[arg-type]  # every Request is one of AnyRequest
    answers = [each.response for each in host.said if isinstance(each, ControlResponse)]
    answers.sort(key=lambda answer: int(answer.request_id[1:]))  # what needs work is answered later
    unknown = [isinstance(each, ControlError) and each.error_code == "unsupported_request" for each in answers]
    answered = {type(request) for request, is_unknown in zip(kinds, unknown, strict=True) if not is_unknown}
    assert answered == set(embedded_requests.REQUESTS)


async def test_the_client_has_the_same_methods() -> None:
    async with Client(agent=embedded()) as client:
        assert await client.get_mcp_status() == McpStatusResponse()
        assert [each.value for each in (await client.get_server_info()).models] == ["default"]
        with pytest.raises(tri.UnsupportedRequest):
            await client.set_plan_mode(True)
        with pytest.raises(tri.UnsupportedRequest):
            await client.rewind_files("u1")
    with pytest.raises(tri.CallerError, match="not connected"):
        await client.get_mcp_status()


async def test_a_request_as_a_dict_goes_out_as_it_is() -> None:
    async with scripted() as (session, agent, _):
        assert await session.control({"subtype": "get_settings", "more": [1]}) == {}
        assert agent.link.requests(UnknownRequest) == [UnknownRequest(body={"subtype": "get_settings", "more": [1]})]


@pytest.mark.parametrize(
    ("request_", "said"),
    [
        ("mcp_status", "is no control request"),
        ({}, "has a 'subtype'"),
        ({"sub": "mcp_inject_token", "token": "sesame"}, r"some text, beside \['sub', 'token'\]$"),
        ({"subtype": "x", "value": object()}, "x: "),
        (McpToggle(server_name="a", enabled="yes"), "mcp_toggle: Expected `bool`"),  # type: ignore[arg-type]
        (Initialize(), "sent when the agent starts"),
        ({"subtype": "interrupt"}, r"use interrupt\(\)"),
        ({"type": "set_model", "model": "m"}, r"use set_model\(\)"),
        (SetPermissionMode(mode="plan"), r"use set_permission_mode\(\)"),
    ],
)
async def test_what_cannot_be_asked_is_refused_where_it_is_said(request_: Any, said: str) -> None:
    async with scripted() as (session, agent, _):
        with pytest.raises(tri.InvalidOption, match=said):
            await session.control(request_)
        assert agent.links == []


async def test_a_question_of_agents_is_none_of_ours() -> None:
    async with scripted() as (session, _, _):
        with pytest.raises(tri.UnsupportedRequest):
            await session.control(CanUseTool(tool_name="Bash", input={}))


def add(a: int, b: int) -> int:
    """Add."""
    return a + b


@pytest.mark.parametrize("servers", [{"calc": [add]}, {"calc": create_sdk_mcp_server("calc", tools=[add])}])
async def test_servers_of_this_program_are_added_to_an_agent_that_runs(servers: dict[str, Any]) -> None:
    options = tri.Options(allowed_tools=["mcp__calc__add"])
    async with tri.open_manager(tri.Embedded(), options=options) as manager:
        session = manager.session("chat")
        assert await session.set_mcp_servers(servers) == tri.McpSetServersResult(added=["calc"])
        assert (await session.ask("Call mcp__calc__add(a=1, b=2)")).result == "The tool mcp__calc__add says: 3."
        assert await session.set_mcp_servers({}) == tri.McpSetServersResult(removed=["calc"])
        assert (await session.get_mcp_status()).mcp_servers == []


async def test_servers_that_the_agent_began_with_stay_whatever_is_added() -> None:
    def twice(a: int) -> int:
        """Double."""
        return 2 * a

    options = tri.Options(mcp_servers={"calc": [add]}, allowed_tools=["mcp__calc", "mcp__more"])
    async with tri.open_manager(tri.Embedded(), options=options) as manager:
        session = manager.session("chat")
        assert await session.set_mcp_servers({"more": [twice]}) == tri.McpSetServersResult(added=["more"])
        assert (await session.ask("Call mcp__calc__add(a=1, b=2)")).result == "The tool mcp__calc__add says: 3."
        assert (await session.ask("Call mcp__more__twice(a=2)")).result == "The tool mcp__more__twice says: 4."
        assert await session.set_mcp_servers({}) == tri.McpSetServersResult(removed=["more"])
        assert (await session.ask("Call mcp__calc__add(a=2, b=2)")).result == "The tool mcp__calc__add says: 4."


@pytest.mark.parametrize("servers", [[], {"calc": 1}, {"calc": {"type": "sdk", "name": "calc"}}])
async def test_what_is_no_server_is_refused(servers: Any) -> None:
    async with scripted() as (session, agent, _):
        with pytest.raises(tri.InvalidOption):
            await session.set_mcp_servers(servers)
        assert agent.links == []


async def test_cancelling_a_call_takes_its_request_back() -> None:
    agent = ScriptedAgent()
    agent.ignores = {McpStatus}
    async with scripted(agent) as (session, _, _):
        with trio.CancelScope() as scope:
            async with trio.open_nursery() as nursery:
                nursery.start_soon(session.get_mcp_status)
                await wait_all_tasks_blocked()
                scope.cancel()
        await wait_all_tasks_blocked()
        (asked,) = [each for each in agent.link.sent if getattr(each, "request", None) == McpStatus()]
        assert agent.link.sent[-1] == ControlCancel(request_id=asked.request_id)  # type: ignore[attr-defined]
        agent.ignores = set()
        assert await session.get_mcp_status() == McpStatusResponse()


async def test_an_agent_that_does_not_answer_in_time(autojump_clock: MockClock) -> None:
    agent = ScriptedAgent()
    agent.ignores = {McpStatus}
    async with scripted(agent, deadlines=tri.Deadlines(control=5)) as (session, _, _):
        with pytest.raises(tri.AgentProtocolError, match=r"Deadlines\.control"):
            await session.get_mcp_status()


async def test_a_capability_opens_a_request() -> None:
    without, with_it = ScriptedAgent(), ScriptedAgent()
    without.greeting = {"capabilities": [], "qodercli_version": "1.0.9"}
    with_it.greeting = {"capabilities": ["goal_v1"]}
    async with scripted(without) as (session, _, _):
        assert (await session.get_server_info()).data == without.greeting
        await session.ask("hi")  # after its `init`, nothing more is announced
        with pytest.raises(tri.UnsupportedRequest) as caught:
            await session.set_goal(objective="o")
        error = caught.value
        assert (error.agent, error.request, error.capability, error.version) == (
            "scripted",
            "set_goal",
            "goal_v1",
            "1.0.9",
        )
    async with scripted(with_it) as (session, _, _):
        await session.ask("hi")
        assert await session.set_goal(objective="o") is None
        assert with_it.link.requests(SetGoal) == [SetGoal(objective="o")]


async def test_the_built_in_agent_reads_a_dict_as_an_agent_behind_a_wire_does() -> None:
    async with tri.open_manager(embedded()) as manager:
        session = manager.session("k")
        assert await session.control({"subtype": "stop_task", "task_id": "nope"}) == {}
        with pytest.raises(tri.AgentProtocolError, match="nope"):
            await session.control({"type": "mcp_toggle", "serverName": "nope", "enabled": True})
        with pytest.raises(tri.UnsupportedRequest):
            await session.control({"subtype": "get_settings"})
