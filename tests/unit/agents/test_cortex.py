"""The Cortex Code dialect: command line, handshake, frames, environment; its CLI plays from what was recorded."""

import json
import os
from pathlib import Path
from typing import Any

import pytest
from hypothesis import given, strategies as st

from tests.unit.agents.programs import PATIENCE, Ear
from triologue.agents import CortexCode, open_carrier
from triologue.agents.cortex import environment
from triologue.agents.cortex_argv import arguments
from triologue.errors import (
    AgentCrashed,
    AgentStartError,
    InvalidOption,
    NotLoggedIn,
    SessionNotFound,
    TriologueError,
    UnsupportedOption,
)
from triologue.messages import (
    AssistantMessage,
    CanUseTool,
    ControlRequest,
    ControlResponse,
    ImageBlock,
    InitMessage,
    PermissionResultAllow,
    PermissionResultDeny,
    ResultMessage,
    SystemText,
    TextBlock,
    UserBody,
    UserMessage,
    text,
)
from triologue.options import HookMatcher, Options
from triologue.ports import Agent, Command, Exit
from triologue.wire import Dialogue, Reader, encode

PREFIX = ["--output-format", "stream-json", "--input-format", "stream-json"]
ID = "688c0727-6f95-4d66-8683-e80df56b0870"
OTHER = "538FF161-7D4B-4250-A9E8-4671B9EB53CA"
AGENT: Agent = CortexCode(environ={"HOME": "/home/bot"})


def add(a: int, b: int) -> int:
    """Add two numbers."""
    return a + b


async def stop(given: Any, tool_use_id: str | None, context: Any) -> dict[str, Any]:
    return {}


@pytest.mark.parametrize(
    ("options", "words"),
    [
        pytest.param(Options(), [], id="nothing is set: the agent's own defaults"),
        pytest.param(Options(session_id="mine"), ["--session-id", "mine"], id="a new conversation with a chosen id"),
        pytest.param(Options(continue_conversation=True), ["--continue"], id="continue"),
        pytest.param(
            Options(resume=ID, fork_session=True, session_id=OTHER, resume_session_at="u1"),
            ["--resume", ID, "--session-id", OTHER, "--fork-session", "--resume-session-at", "u1"],
            id="a fork with a chosen id, from the middle",
        ),
        pytest.param(
            Options(max_turns=2, model="m", effort="minimal", include_partial_messages=True),
            ["--max-turns", "2", "--model", "m", "--effort", "minimal", "--include-partial-messages"],
            id="who answers",
        ),
        pytest.param(
            Options(output_format={"type": "json_schema", "schema": {"type": "object"}}),
            ["--json-schema", '{"type": "object"}'],
            id="what comes out",
        ),
        pytest.param(
            Options(
                allowed_tools=["Bash(a b)", "Read"], disallowed_tools=["Write"], permission_prompt_tool_name="stdio"
            ),
            [
                "--allowed-tools",
                "Bash(a b)",
                "--allowed-tools",
                "Read",
                "--disallowed-tools",
                "Write",
                "--permission-prompt-tool",
                "stdio",
            ],
            id="what it may do",
        ),
        pytest.param(Options(permission_mode="default"), [], id="asks"),
        pytest.param(Options(permission_mode="plan"), ["--plan"], id="plans"),
        pytest.param(Options(permission_mode="autoAcceptPlans"), ["--auto-accept-plans"], id="does what it planned"),
        pytest.param(
            Options(permission_mode="bypassPermissions", allow_dangerously_skip_permissions=True),
            ["--dangerously-allow-all-tool-calls"],
            id="asks for nothing",
        ),
        pytest.param(
            Options(allow_dangerously_skip_permissions=True), [], id="a confirmation changes nothing by itself"
        ),
        pytest.param(
            Options(mcp_servers={"mine": [add], "sf": {"type": "snowflake-custom", "fqn": "A.B"}}),
            [
                "--mcp-config",
                (
                    '{"mcpServers": {"mine": {"type": "sdk", "name": "mine"}, '
                    '"sf": {"type": "snowflake-custom", "fqn": "A.B"}}}'
                ),
            ],
            id="MCP servers",
        ),
        pytest.param(Options(no_mcp=True, mcp_servers={}), ["--no-mcp"], id="no MCP servers"),
        pytest.param(
            Options(
                plugins=[{"type": "local", "path": "/p"}],
                add_dirs=["/a", Path("/b")],
                connection="dev",
                profile="me",
                setting_sources=["user", "local"],
                snowflake_sandbox={"enabled": True},
            ),
            [
                "--plugin-dir",
                "/p",
                "--add-dir",
                "/a",
                "--add-dir",
                "/b",
                "--connection",
                "dev",
                "--profile",
                "me",
                "--setting-sources",
                "user,local",
                "--snowflake-sandbox",
            ],
            id="surroundings",
        ),
        pytest.param(Options(setting_sources=[]), ["--setting-sources", ""], id="no settings from files"),
        pytest.param(Options(snowflake_sandbox={"enabled": False}), [], id="no sandbox"),
        pytest.param(
            Options(extra_args={"debug": None, "theme": "dark"}), ["--debug", "--theme", "dark"], id="extra arguments"
        ),
        pytest.param(
            Options(system_prompt="x", append_system_prompt="y", agents={"r": {"description": "d", "prompt": "p"}}),
            [],
            id="said in the handshake",
        ),
    ],
)
def test_the_command_line(options: Options, words: list[str]) -> None:
    AGENT.check(options)
    assert arguments(options, cwd=None) == PREFIX + words
    assert arguments(options, cwd="/w") == [*PREFIX, "--workdir", "/w", *words]


@pytest.mark.parametrize(
    ("options", "said"),
    [
        (
            Options(permission_mode="bypassPermissions"),
            "say that it is meant by allow_dangerously_skip_permissions=True",
        ),
        (Options(permission_mode="acceptEdits"), "permission_mode: 'acceptEdits' is none of default, plan"),
        (Options(resume="-x"), "resume: '-x' begins with a dash"),
        (Options(model="-x"), "model: '-x' begins with a dash"),
        (Options(session_id="-x"), "session_id: '-x' begins with a dash"),
        (Options(allowed_tools=["-x"]), "allowed_tools: '-x' begins with a dash"),
        (Options(add_dirs=[Path("-x")]), "add_dirs: '-x' begins with a dash"),
        (Options(connection=""), "connection='' is no text"),
        (Options(profile="-p"), "profile: '-p' begins with a dash"),
        (Options(plugins=[{"type": "local", "path": "-p"}]), "plugins: '-p' begins with a dash"),
        (Options(effort="xhigh"), "effort: 'xhigh' is none of minimal"),
        (Options(no_mcp=True, mcp_servers={"a": {"command": "x"}}), "contradict each other"),
        (Options(snowflake_sandbox={"enabled": 1}), "snowflake_sandbox={'enabled': 1} is not"),
        (Options(system_prompt={"type": "custom"}), "system_prompt={'type': 'custom'} is none of"),
        (Options(resume=ID, continue_conversation=True), "name two conversations"),
        (Options(resume=ID, fork_session=True, session_id=ID), "is the conversation to fork"),
        (Options(model="a\0"), "--model has a NUL in it"),
    ],
    ids=lambda value: value if isinstance(value, str) else "",
)
def test_what_cannot_be_is_refused_before_anything_starts(options: Options, said: str) -> None:
    with pytest.raises(InvalidOption) as caught:
        AGENT.check(options)
    assert said in str(caught.value)


@pytest.mark.parametrize(
    ("options", "hint"),
    [
        (Options(tools=[]), "take tools away by disallowed_tools"),
        (Options(skills=[]), "leave it out"),
        (Options(settings="s.json"), "leave it out"),
        (Options(verbatim_prompts=True), "it reads slash commands in a prompt"),
        (Options(resume="r", resume_session_at="u", resume_drops_turn="v"), "give resume_session_at without it"),
        (Options(mcp_servers="m.json"), "give a dict of servers"),
        (Options(system_prompt={"type": "file", "path": "/p"}), "read the file, and give its text"),
        (Options(sandbox={"enabled": True}), "give snowflake_sandbox={'enabled': True}"),
        (Options(plan_mode=True), "give permission_mode='plan'"),
        (Options(hooks={"PreToolUse": [HookMatcher(on_failure="block")]}), "catch what it raises, and deny"),
        (Options(on_elicitation=stop), "leave it out"),  # type: ignore[arg-type]
    ],
    ids=lambda value: next(iter(value.named())) if isinstance(value, Options) else "",
)
def test_what_it_does_not_have_is_refused(options: Options, hint: str) -> None:
    with pytest.raises(UnsupportedOption) as caught:
        AGENT.check(options)
    assert caught.value.agent == "cortex-code"
    assert hint in str(caught.value)


@given(value=st.text(max_size=5), option=st.sampled_from(["model", "resume", "session_id", "connection", "profile"]))
def test_no_value_is_taken_for_a_flag(value: str, option: str) -> None:
    options = Options()
    setattr(options, option, value)
    try:
        words = arguments(options, cwd=None)
    except InvalidOption:
        assert not value or value.startswith("-") or "\0" in value
    else:
        assert words == [*PREFIX, f"--{option.replace('_', '-')}", value]


def test_the_handshake() -> None:
    def sent(options: Options) -> dict[str, Any]:
        frame = json.loads(encode(ControlRequest(request_id="r", request=AGENT.initialize(options))))
        request: dict[str, Any] = frame["request"]
        return request

    assert sent(Options()) == {"subtype": "initialize", "hooks": None}
    options = Options(
        hooks={"Stop": [HookMatcher(hooks=[stop])]},
        agents={"r": {"description": "d", "prompt": "p", "tools": None}},
        system_prompt="Be brief.",
        append_system_prompt="And kind.",
        setting_sources=["user"],
        permission_prompt_tool_name="stdio",
        mcp_servers={"mine": [add], "theirs": {"command": "x"}},
    )
    (definition,) = sent(options)["sdkMcpToolDefinitions"]["mine"]
    assert (definition["name"], definition["description"]) == ("add", "Add two numbers.")
    assert definition["inputSchema"]["required"] == ["a", "b"]
    assert {**sent(options), "sdkMcpToolDefinitions": ...} == {
        "subtype": "initialize",
        "hooks": {"Stop": [{"matcher": None, "hookCallbackIds": ["hook_0"]}]},
        "agents": {"r": {"description": "d", "prompt": "p"}},
        "systemPrompt": "Be brief.",
        "appendSystemPrompt": "And kind.",
        "settingSources": ["user"],
        "sdkManagedPermissions": True,
        "sdkMcpServers": ["mine"],
        "mcpServers": {"mine": {"type": "sdk", "name": "mine"}},
        "sdkMcpToolDefinitions": ...,
    }
    preset = Options(system_prompt={"type": "preset", "append": "One."}, append_system_prompt="Two.")
    assert sent(preset) == {"subtype": "initialize", "hooks": None, "appendSystemPrompt": "One.\nTwo."}


def test_a_prompt_is_a_list_of_blocks() -> None:
    prompt = UserMessage(message=UserBody(content="hello"), uuid="U1", line=b"stale")
    assert encode(AGENT.user_frame(prompt, Options())) == (
        b'{"type":"user","message":{"content":[{"type":"text","text":"hello"}],"role":"user"},'
        b'"session_id":"default","uuid":"U1"}\n'
    )
    picture = ImageBlock(source={"type": "base64", "media_type": "image/png", "data": ""})
    blocks = UserMessage(message=UserBody(content=[TextBlock(text="?"), picture]), uuid="U2", session_id="s")
    assert AGENT.user_frame(blocks, Options()) == blocks


def test_an_answer_to_a_permission_request_names_the_call() -> None:
    request = CanUseTool(tool_name="Bash", input={}, tool_use_id="T1")
    allow = {"behavior": "allow", "updatedInput": {}, "toolUseID": "T1"}
    assert AGENT.permission_reply(request, PermissionResultAllow()) == allow
    deny = {"behavior": "deny", "message": ""}
    assert AGENT.permission_reply(CanUseTool(tool_name="Bash", input={}), PermissionResultDeny()) == deny


def test_the_whole_command(tmp_path: Path) -> None:
    program = tmp_path / "cortex"
    program.touch(mode=0o755)
    options = Options(cli_path=program, cwd=tmp_path, env={"A": "b"}, connection="dev")
    agent = CortexCode(environ={"HOME": "/h"})
    assert agent.command(options) == Command(
        argv=[str(program), *PREFIX, "--workdir", str(tmp_path), "--connection", "dev"],
        env={"HOME": "/h", "A": "b", "CORTEX_CODE_ENTRYPOINT": "triologue", "PWD": str(tmp_path)},
        cwd=str(tmp_path),
        grace=2.0,
    )
    sandboxed = Options(snowflake_sandbox={"enabled": True})
    assert environment(sandboxed, {}, "/w")["ENABLE_COCO_CNG_SANDBOX"] == "1"
    sandboxed.env = {"ENABLE_COCO_CNG_SANDBOX": "0"}
    assert environment(sandboxed, {}, "/w")["ENABLE_COCO_CNG_SANDBOX"] == "0"


@pytest.mark.parametrize(
    ("exit", "options", "kind", "said"),
    [
        pytest.param(
            Exit(code=1, stderr_tail=f"Error: session {ID} was not found\n"),
            Options(resume=ID, cwd="/w"),
            SessionNotFound,
            f"no conversation has the session id '{ID}' (cwd '/w'): Error: session {ID} was not found; "
            "start afresh by leaving `resume` out, or under a manager's key by `session.reset()`",
            id="it names the conversation",
        ),
        pytest.param(
            Exit(code=1, stderr_tail="Session token not found\n"),
            Options(resume=ID),
            AgentStartError,
            "Cortex Code did not begin the conversation: Session token not found",
            id="another kind of session",
        ),
        pytest.param(
            Exit(code=1, stderr_tail="Not authenticated.\n"),
            Options(),
            NotLoggedIn,
            "Cortex Code has no account (Not authenticated.); set up a Snowflake connection, and name it by "
            "Options(connection=...)",
            id="no account",
        ),
        pytest.param(
            Exit(code=2, stderr_tail="error: unknown option '--workdir'\n"),
            Options(),
            AgentStartError,
            "Cortex Code refused what it was started with: error: unknown option '--workdir'",
            id="another version",
        ),
        pytest.param(
            Exit(code=1, stderr_tail="Error: Unknown host acme.snowflakecomputing.com\n"),
            Options(),
            AgentCrashed,
            "Cortex Code ended with exit code 1; its stderr ends with: Error: Unknown host acme.snowflakecomputing.com",
            id="no network",
        ),
        pytest.param(
            Exit(code=-15, stderr_tail="Not authenticated.\n"),
            Options(),
            AgentCrashed,
            "Cortex Code was killed by SIGTERM; its stderr ends with: Not authenticated.",
            id="killed",
        ),
        pytest.param(
            Exit(code=-15, closed_output=True),
            Options(),
            AgentCrashed,
            "Cortex Code closed its output and did not exit, so it was stopped",
            id="mute",
        ),
    ],
)
def test_why_it_went_away(exit: Exit, options: Options, kind: type[TriologueError], said: str) -> None:
    error = AGENT.diagnose(exit, None, options)
    assert (type(error), str(error)) == (kind, said)
    if isinstance(error, AgentStartError):
        assert error.is_final == ("refused what it was started with" in said)


def test_why_it_did_not_begin() -> None:
    (refusal,) = Reader().feed(b'{"type":"result","subtype":"error","result":"Warehouse is suspended"}\n')
    assert isinstance(refusal, ResultMessage)
    assert refusal.is_error
    assert str(AGENT.diagnose(Exit(code=1), refusal, Options())) == (
        "Cortex Code did not begin the conversation: Warehouse is suspended"
    )


# What a CLI wrote to the vendor's SDK, which took it: `init` before any prompt, no uuid of the prompt in the result.
RECORDED = """
import json, sys
say = lambda frame: print(json.dumps(frame), flush=True)
hear = lambda: json.loads(sys.stdin.readline())
init = {"type": "system", "subtype": "init", "uuid": "9efc", "session_id": "442235c1", "cwd": "/w", "model": "m",
        "tools": ["Bash"], "mcp_servers": [], "permissionMode": "default", "slash_commands": [], "apiKeySource": "none"}
asked = hear()
assert asked["request"] == {"subtype": "initialize", "hooks": None}, asked
say({"type": "control_response", "response": {"subtype": "success", "request_id": asked["request_id"],
     "response": {"commands": [], "agents": [], "models": [], "account": {}}}})
say(init)
prompt = hear()
assert prompt["message"]["content"] == [{"type": "text", "text": "hello"}], prompt
say(init)
say({"type": "system_message", "content": "warming up", "session_id": "442235c1"})
say({"type": "assistant", "message": {"role": "assistant", "model": "m", "id": "msg_1",
     "content": [{"type": "text", "text": "echo hello"}]}, "parent_tool_use_id": None, "session_id": "442235c1"})
say({"type": "result", "subtype": "success"})
assert sys.stdin.read() == ""
"""


async def test_a_recorded_conversation(tmp_path: Path) -> None:
    program = tmp_path / "cortex"
    program.write_text(f"#!/usr/bin/env python3\nimport sys\nassert sys.argv[1:5] == {PREFIX!r}, sys.argv\n{RECORDED}")
    program.chmod(0o755)
    agent, ear, options = CortexCode(environ={"PATH": os.environ["PATH"]}), Ear(), Options(cli_path=program)
    async with open_carrier(grace=PATIENCE) as carrier:
        async with agent.connect(options, sink=ear, carrier=carrier) as connection:
            connection.send(Dialogue().ask(agent.initialize(options)))
            await ear.wait_count(2)
            connection.send(agent.user_frame(UserMessage(message=UserBody(content="hello"), uuid="U1"), options))
            await ear.wait_count(6)
        assert (await connection.wait_exit()).code == 0
    kinds = [ControlResponse, InitMessage, InitMessage, SystemText, AssistantMessage, ResultMessage]
    assert [type(message) for message in ear.messages] == kinds
    assert text(ear.messages[4]) == "echo hello"
    assert ear.messages[5].is_error is False  # type: ignore[attr-defined]
