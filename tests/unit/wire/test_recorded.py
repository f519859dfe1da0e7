"""Frames as the three vendors' programs send them, recorded or by their documents, and what they become."""

from typing import Any

import msgspec
import pytest
from msgspec import Raw

from triologue.messages import (
    ApiRetryMessage,
    AssistantBody,
    AssistantMessage,
    CanUseTool,
    CommandLifecycle,
    ControlCancel,
    ControlError,
    ControlRequest,
    ControlResponse,
    ControlSuccess,
    ConversationReset,
    Elicitation,
    FlushSkillEvolution,
    GetModelPolicy,
    HookCallback,
    Initialize,
    InitMessage,
    McpStatusChange,
    McpToolCall,
    Message,
    RateLimitEvent,
    ResultMessage,
    SessionStateMessage,
    StreamEvent,
    SystemMessage,
    SystemText,
    TextBlock,
    ThinkingBlock,
    ToolResultBlock,
    ToolUseBlock,
    UnknownBlock,
    UnknownMessage,
    UnknownRequest,
    UserBody,
    UserMessage,
)
from triologue.wire import decode_line, encode

CLAUDE: list[tuple[str, Message]] = [
    (
        (
            '{"type":"assistant","message":{"id":"msg_1","type":"message","role":"assistant","model":"claude-opus-5-5",'
            '"content":[{"type":"thinking","thinking":"let me think","signature":"c2ln"}],"stop_reason":null,'
            '"stop_sequence":null,"usage":{"input_tokens":10,"output_tokens":1},"context_management":null},'
            '"parent_tool_use_id":null,"session_id":"s","uuid":"u","timestamp":"2026-11-20T23:24:39.952Z",'
            '"request_id":"req_3","thinking_duration_ms":1,"thinking_display":"updates"}'
        ),
        AssistantMessage(
            message=AssistantBody(
                content=[ThinkingBlock(thinking="let me think", signature="c2ln")],
                model="claude-opus-5-5",
                id="msg_1",
                usage={"input_tokens": 10, "output_tokens": 1},
            ),
            session_id="s",
            uuid="u",
            timestamp="2026-11-20T23:24:39.952Z",
            request_id="req_3",
        ),
    ),
    (
        (
            '{"type":"user","message":{"role":"user","content":[{"tool_use_id":"t","type":"tool_result","content":"done",'
            '"is_error":false}]},"parent_tool_use_id":null,"session_id":"s","uuid":"u","tool_use_result":"Error: no",'
            '"tool_result_meta":[{"id":"t","permission_decision":{"decision":"accept","source":"config"}}]}'
        ),
        UserMessage(
            message=UserBody(content=[ToolResultBlock.of("t", "done", is_error=False)]),
            session_id="s",
            uuid="u",
            tool_use_result_raw=Raw(b'"Error: no"'),
            tool_result_meta_raw=Raw(b'[{"id":"t","permission_decision":{"decision":"accept","source":"config"}}]'),
        ),
    ),
    (  # `type` is not its first field
        (
            '{"duration_api_ms":0,"stop_reason":null,"session_id":"s","total_cost_usd":0.00024,"terminal_reason":'
            '"aborted_streaming","is_error":true,"num_turns":1,"subtype":"error_during_execution","errors":["[ede] x"],'
            '"ttft_ms":61,"type":"result","duration_ms":129,"user_message_uuids":["p"],"result_index":1}'
        ),
        ResultMessage(
            subtype="error_during_execution",
            duration_ms=129,
            duration_api_ms=0,
            is_error=True,
            num_turns=1,
            session_id="s",
            total_cost_usd=0.00024,
            terminal_reason="aborted_streaming",
            errors=["[ede] x"],
            user_message_uuids=["p"],
            result_index=1,
        ),
    ),
    (
        (
            '{"type":"stream_event","event":{"type":"message_stop"},"session_id":"s","parent_tool_use_id":null,"uuid":"u",'
            '"api_message_id":"m","abandoned_blocks":{"api_message_id":"m","from_block_index":1}}'
        ),
        StreamEvent.of(
            {"type": "message_stop"},
            session_id="s",
            uuid="u",
            abandoned_blocks={"api_message_id": "m", "from_block_index": 1},
        ),
    ),
    (
        '{"type":"system","subtype":"session_state_changed","state":"running","sdk_host_only":true,"uuid":"u"}',
        SessionStateMessage(subtype="session_state_changed", state="running", sdk_host_only=True, uuid="u"),
    ),
    (
        (
            '{"type":"system","subtype":"api_retry","attempt":1,"max_retries":10,"retry_delay_ms":574,"error_status":null,'
            '"error":"unknown","session_id":"s","uuid":"u"}'
        ),
        ApiRetryMessage(
            subtype="api_retry",
            attempt=1,
            max_retries=10,
            retry_delay_ms=574,
            error="unknown",
            session_id="s",
            uuid="u",
        ),
    ),
    (
        '{"type":"system","subtype":"thinking_tokens","estimated_tokens":3,"session_id":"s","uuid":"u"}',
        SystemMessage(subtype="thinking_tokens", session_id="s", uuid="u"),
    ),
    (
        '{"type":"command_lifecycle","command_uuid":"p","state":"queued","uuid":"u","session_id":"s"}',
        CommandLifecycle(command_uuid="p", state="queued", uuid="u", session_id="s"),
    ),
    (
        '{"type":"conversation_reset","new_conversation_id":"n","uuid":"n","trigger":"clear","session_id":"s"}',
        ConversationReset(new_conversation_id="n", uuid="n", trigger="clear", session_id="s"),
    ),
    (
        '{"type":"rate_limit_event","rate_limit_info":{"status":"allowed"},"uuid":"u","session_id":"s"}',
        RateLimitEvent(limits={"status": "allowed"}, uuid="u", session_id="s"),
    ),
    (
        (
            '{"type":"control_request","request_id":"r","request":{"subtype":"can_use_tool","tool_name":"Bash",'
            '"display_name":"Bash","input":{"command":"ls"},"permission_suggestions":[{"type":"setMode"}],'
            '"blocked_path":"/x","tool_use_id":"t","classifier_approvable":true}}'
        ),
        ControlRequest(
            request_id="r",
            request=CanUseTool(
                tool_name="Bash",
                display_name="Bash",
                input={"command": "ls"},
                permission_suggestions=[{"type": "setMode"}],
                blocked_path="/x",
                tool_use_id="t",
                classifier_approvable=True,
            ),
        ),
    ),
    (
        (
            '{"type":"control_response","response":{"subtype":"error","request_id":"q","error":"Unsupported",'
            '"error_code":"unsupported_request"}}'
        ),
        ControlResponse(response=ControlError(request_id="q", error="Unsupported", error_code="unsupported_request")),
    ),
    (
        '{"type":"control_response","response":{"subtype":"success","request_id":"q"}}',
        ControlResponse(response=ControlSuccess(request_id="q")),
    ),
    ('{"type":"control_cancel_request","request_id":"r"}', ControlCancel(request_id="r")),
    (
        '{"type":"control_request","request_id":"r","request":{"subtype":"rename_session","title":"t"}}',
        ControlRequest(request_id="r", request=UnknownRequest(body={"subtype": "rename_session", "title": "t"})),
    ),
]

QODER: list[tuple[str, Message]] = [
    (
        (
            '{"type":"control_request","request_id":"req_1","request":{"type":"initialize","subtype":"initialize",'
            '"modelPolicyProvider":false,"initializeTimeoutMs":120000,"supportsCatalogReadyInitialize":true}}'
        ),
        ControlRequest(
            request_id="req_1",
            request=Initialize(
                type="initialize",
                model_policy_provider=False,
                initialize_timeout_ms=120000,
                supports_catalog_ready_initialize=True,
            ),
        ),
    ),
    (
        (
            '{"type":"system","subtype":"init","apiKeySource":"none","qodercli_version":"1.1.76","protocol_version":'
            '"1.5.0","cwd":"/d","tools":["Bash"],"mcp_servers":[],"model":"m","permissionMode":"default","session_id":"s"}'
        ),
        InitMessage(
            subtype="init",
            api_key_source="none",
            qodercli_version="1.1.76",
            protocol_version="1.5.0",
            cwd="/d",
            tools=["Bash"],
            mcp_servers=[],
            model="m",
            permission_mode="default",
            session_id="s",
        ),
    ),
    (
        (
            '{"type":"result","subtype":"error_during_execution","duration_ms":0,"duration_api_ms":0,"is_error":true,'
            '"num_turns":0,"total_credits":0,"errors":["No qodercli login found."],"terminal_reason":"auth_required",'
            '"session_id":"s"}'
        ),
        ResultMessage(
            subtype="error_during_execution",
            duration_ms=0,
            duration_api_ms=0,
            is_error=True,
            num_turns=0,
            total_credits=0,
            errors=["No qodercli login found."],
            terminal_reason="auth_required",
            session_id="s",
        ),
    ),
    (
        '{"type":"mcp_status_change","server_name":"calc","status":"needs-auth","error":"no token"}',
        McpStatusChange(server_name="calc", status="needs-auth", error="no token"),
    ),
    (  # its other names for a permission request's fields
        (
            '{"type":"control_request","request_id":"r","request":{"subtype":"can_use_tool","tool_name":"Bash",'
            '"tool_input":{"command":"ls"},"suggestions":[{"type":"setMode"}]}}'
        ),
        ControlRequest(
            request_id="r",
            request=CanUseTool(tool_name="Bash", input={"command": "ls"}, permission_suggestions=[{"type": "setMode"}]),
        ),
    ),
    (
        (
            '{"type":"control_request","request_id":"r","request":{"subtype":"can_use_tool","tool_name":"Bash",'
            '"input":{},"suggestions":[{"type":"setMode"}]}}'
        ),
        ControlRequest(
            request_id="r",
            request=CanUseTool(tool_name="Bash", input={}, permission_suggestions=[{"type": "setMode"}]),
        ),
    ),
    (
        '{"type":"control_request","request_id":"r","request":{"type":"hook_callback","hook_id":"h0","input":{}}}',
        ControlRequest(request_id="r", request=HookCallback(callback_id="h0", input={})),
    ),
    (
        (
            '{"type":"control_request","request_id":"r","request":{"type":"elicitation_response",'
            '"mcp_server_name":"calc","prompt":"Which?"}}'
        ),
        ControlRequest(request_id="r", request=Elicitation(mcp_server_name="calc", message="Which?")),
    ),
    (
        '{"type":"control_request","request_id":"r","request":{"type":"flush_skill_evolution"}}',
        ControlRequest(request_id="r", request=FlushSkillEvolution()),
    ),
    (
        (
            '{"type":"control_request","request_id":"r","request":{"type":"can_use_tool","tool_name":"ExitPlanMode",'
            '"tool_input":{"a":1},"suggestions":[],"plan_path":"/p.md","plan_content":"1. x"}}'
        ),
        ControlRequest(
            request_id="r",
            request=CanUseTool(
                tool_name="ExitPlanMode",
                input={"a": 1},
                permission_suggestions=[],
                plan_path="/p.md",
                plan_content="1. x",
            ),
        ),
    ),
    (
        (
            '{"type":"control_request","request_id":"r","request":{"type":"get_model_policy","purpose":"main",'
            '"sessionId":"s","turnIndex":2,"agentId":"a","agentType":"t","resolvedModel":"m","contextUsage":0.5,'
            '"estimatedInputTokens":7,"estimatedOutputTokens":8,"retry":{"attempt":1},"models":[{"value":"m"}]}}'
        ),
        ControlRequest(
            request_id="r",
            request=GetModelPolicy(
                purpose="main",
                session_id="s",
                turn_index=2,
                agent_id="a",
                agent_type="t",
                resolved_model="m",
                context_usage=0.5,
                estimated_input_tokens=7,
                estimated_output_tokens=8,
                retry={"attempt": 1},
                models=[{"value": "m"}],
            ),
        ),
    ),
    ('{"type":"control_cancel","request_id":"r"}', ControlCancel(request_id="r")),
    (
        (
            '{"type":"control_response","response":{"subtype":"error","request_id":"q","error":"no","code":"busy",'
            '"retryable":true}}'
        ),
        ControlResponse(response=ControlError(request_id="q", error="no", code="busy", retryable=True)),
    ),
]

CORTEX: list[tuple[str, Message]] = [
    (
        (
            '{"type":"user","session_id":"default","message":{"role":"user","content":[{"type":"text","text":"hello"}]},'
            '"parent_tool_use_id":null}'
        ),
        UserMessage(message=UserBody(content=[TextBlock(text="hello")]), session_id="default"),
    ),
    (
        (
            '{"type":"assistant","message":{"role":"assistant","model":"m","content":[{"type":"tool_use","id":"t",'
            '"name":"Bash","input":{}}]}}'
        ),
        AssistantMessage(
            message=AssistantBody(content=[ToolUseBlock(id="t", name="Bash", input={})], model="m"),
        ),
    ),
    ('{"type":"system_message","content":"note"}', SystemText(content="note")),
    (
        (
            '{"type":"control_request","request_id":"r","request":{"subtype":"mcp_tool_call","server_name":"calc",'
            '"tool_name":"add","arguments":{"a":1},"tool_use_id":"t"}}'
        ),
        ControlRequest(
            request_id="r",
            request=McpToolCall(server_name="calc", tool_name="add", arguments={"a": 1}, tool_use_id="t"),
        ),
    ),
    (  # only `subtype` is promised of its results
        '{"type":"result","subtype":"success","result":"hi"}',
        ResultMessage(
            subtype="success",
            duration_ms=0,
            duration_api_ms=0,
            is_error=False,
            num_turns=0,
            session_id="",
            result="hi",
        ),
    ),
    (
        '{"type":"result","subtype":"error"}',
        ResultMessage(subtype="error", duration_ms=0, duration_api_ms=0, is_error=True, num_turns=0, session_id=""),
    ),
]

ODD: list[tuple[str, Message]] = [
    (
        (
            '{"type":"assistant","message":{"model":"m","content":[{"type":"web_search_tool_result","tool_use_id":"t",'
            '"content":[1]},{"type":"text"},{"type":"text","text":"x","new":1},7]},"aborted":"odd"}'
        ),
        AssistantMessage(
            message=AssistantBody(
                content=[
                    UnknownBlock(data={"type": "web_search_tool_result", "tool_use_id": "t", "content": [1]}),
                    UnknownBlock(data={"type": "text"}),
                    TextBlock(text="x"),
                    UnknownBlock(data=7),
                ],
                model="m",
            )
        ),
    ),
    (  # a block that cannot be read is kept as it was said
        '{"type":"user","message":{"content":[{"type":"tool_result","content":[1]},{"type":"tool_use","id":3,"input":{"a":1}}]}}',
        UserMessage(
            message=UserBody(
                content=[
                    UnknownBlock(data={"type": "tool_result", "content": [1]}),
                    UnknownBlock(data={"type": "tool_use", "id": 3, "input": {"a": 1}}),
                ]
            )
        ),
    ),
    (
        '{"type":"assistant","message":{"content":"plain text"},"session_id":5}',
        AssistantMessage(message=AssistantBody(content=[TextBlock(text="plain text")], model=""), session_id="5"),
    ),
    ('{"type":"user"}', UserMessage(message=UserBody(content=""))),
    ('{"type":"user","message":{"role":"user","content":null}}', UserMessage(message=UserBody(content=""))),
    ('{"type":"user","message":"hi","uuid":"u"}', UserMessage(message=UserBody(content=""), uuid="u")),
    ('{"type":"stream_event"}', StreamEvent(event_raw=Raw(b"null"))),
    ('{"type":"system"}', SystemMessage(subtype="")),
    ('{"type":"system","subtype":["init"]}', SystemMessage(subtype="")),
    ('{"type":"system","subtype":"init","tools":"none","model":"m"}', InitMessage(subtype="init", model="m")),
    ('{"type":"control_request"}', ControlRequest(request_id="", request=UnknownRequest(body={}))),
    (
        '{"type":"control_request","request_id":7,"request":{"subtype":"can_use_tool","tool_name":"Bash"}}',
        ControlRequest(request_id="7", request=CanUseTool(tool_name="Bash", input={})),
    ),
    (
        '{"type":"control_response","response":{"request_id":"q"}}',
        ControlResponse(response=ControlError(request_id="q", error="an answer without a reason: {'request_id': 'q'}")),
    ),
    (
        '{"type":"control_response","response":{"subtype":"success","request_id":"q","response":[]}}',
        ControlResponse(response=ControlSuccess(request_id="q")),
    ),
    ('{"type":"cloud_agent_event","x":1}', UnknownMessage(kind="cloud_agent_event")),
    ('{"no":"type"}', UnknownMessage(kind="")),
    (
        '{"type":"user","message":{"role":"user","content":"a\\ud83d\u2028\\u0000b"}}',
        UserMessage(message=UserBody(content="a\ufffd\u2028\0b")),
    ),
    (
        '{"type":"user","message":{"role":"user","content":"tab\there"},"origin":{"n":NaN,"f":1e999}}',
        UserMessage(message=UserBody(content="tab\there"), origin={"n": None, "f": None}),
    ),
]


def named(cases: list[tuple[str, Message]]) -> list[Any]:
    return [pytest.param(*case, id=f"{number} {case[0][:60]}") for number, case in enumerate(cases)]


@pytest.mark.parametrize(("line", "message"), named(CLAUDE + QODER + CORTEX + ODD))
def test_a_line_becomes_its_message_and_comes_out_as_it_went_in(line: str, message: Message) -> None:
    received = decode_line(line.encode())
    assert received == message
    assert received is not None
    assert received.line == line.encode()
    assert encode(received) == line.encode() + b"\n"


@pytest.mark.parametrize(("line", "message"), named(CLAUDE + QODER + CORTEX))
def test_every_field_of_a_frame_is_in_its_data(line: str, message: Message) -> None:
    received = decode_line(line.encode())
    assert received is not None
    assert type(received) is type(message)
    assert received.data == msgspec.json.decode(line)
