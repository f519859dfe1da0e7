"""Options as Claude Code's command line, environment and frames; whole values."""

import math
from pathlib import Path
from typing import Any

import pytest

from triologue.agents.claude_argv import arguments
from triologue.agents.claude_code import ClaudeCode, environment
from triologue.errors import AgentNotFound, AgentStartError, CallerError, InvalidOption, UnsupportedOption
from triologue.messages import Initialize, TextBlock, UserBody, UserMessage
from triologue.options import HookMatcher, Options
from triologue.ports import Agent, Command
from triologue.wire import encode

PREFIX = ["--output-format=stream-json", "--verbose", "--input-format=stream-json"]
ID = "688c0727-6f95-4d66-8683-e80df56b0870"
OTHER = "538FF161-7D4B-4250-A9E8-4671B9EB53CA"


def add(a: int, b: int) -> int:
    """Add two numbers."""
    return a + b


@pytest.mark.parametrize(
    ("options", "words"),
    [
        pytest.param(Options(), [], id="nothing is set: the agent's own defaults, system prompt included"),
        pytest.param(Options(session_id=OTHER), [f"--session-id={OTHER}"], id="a new conversation with a chosen id"),
        pytest.param(Options(resume=ID), [f"--resume={ID}"], id="resume"),
        pytest.param(Options(resume="-x"), ["--resume=-x"], id="a value that begins with a dash stays a value"),
        pytest.param(Options(continue_conversation=True), ["--continue"], id="continue"),
        pytest.param(
            Options(resume=ID, fork_session=True, session_id=OTHER, resume_session_at=ID),
            [f"--resume={ID}", f"--session-id={OTHER}", "--fork-session", f"--resume-session-at={ID}"],
            id="a fork with a chosen id, from the middle",
        ),
        pytest.param(
            Options(max_turns=2, max_budget_usd=0.5), ["--max-turns=2", "--max-budget-usd=0.5"], id="how far it may go"
        ),
        pytest.param(
            Options(model="opus", fallback_model="sonnet,haiku", effort="high", betas=["a", "b"]),
            ["--model=opus", "--fallback-model=sonnet,haiku", "--effort=high", "--betas=a", "--betas=b"],
            id="who answers",
        ),
        pytest.param(Options(system_prompt=""), ["--system-prompt="], id="an empty system prompt is one"),
        pytest.param(Options(system_prompt="-v\nüber"), ["--system-prompt=-v\nüber"], id="a system prompt as it is"),
        pytest.param(Options(system_prompt={"type": "preset", "preset": "claude_code"}), [], id="the preset"),
        pytest.param(
            Options(system_prompt={"type": "preset", "preset": "claude_code", "append": "Be brief."}),
            ["--append-system-prompt=Be brief."],
            id="the preset and more",
        ),
        pytest.param(Options(system_prompt={"type": "preset", "append": None}), [], id="the preset and nothing"),
        pytest.param(Options(system_prompt={"type": "custom", "prompt": "p"}), ["--system-prompt=p"], id="custom"),
        pytest.param(
            Options(system_prompt={"type": "file", "path": Path("/p.md")}),
            ["--system-prompt-file=/p.md"],
            id="from a file",
        ),
        pytest.param(Options(max_thinking_tokens=0), ["--max-thinking-tokens=0"], id="thinking tokens"),
        pytest.param(
            Options(thinking={"type": "adaptive", "display": "omitted"}),
            ["--thinking=adaptive", "--thinking-display=omitted"],
            id="adaptive thinking",
        ),
        pytest.param(Options(thinking={"type": "disabled"}), ["--thinking=disabled"], id="no thinking"),
        pytest.param(
            Options(thinking={"type": "enabled", "budget_tokens": 1024}), ["--max-thinking-tokens=1024"], id="thinking"
        ),
        pytest.param(
            Options(output_format={"type": "json_schema", "schema": {"type": "object"}}, include_partial_messages=True),
            ['--json-schema={"type": "object"}', "--include-partial-messages"],
            id="what comes out",
        ),
        pytest.param(Options(tools=[]), ["--tools="], id="no tools"),
        pytest.param(Options(tools=["Bash", "Read"]), ["--tools=Bash,Read"], id="some tools"),
        pytest.param(Options(tools={"type": "preset", "preset": "claude_code"}), ["--tools=default"], id="all tools"),
        pytest.param(
            Options(
                allowed_tools=["Bash(git log:*)", "Read"],
                disallowed_tools=["Write"],
                permission_mode="dontAsk",
                permission_prompt_tool_name="mcp__p__ask",
            ),
            [
                "--allowedTools=Bash(git log:*),Read",
                "--disallowedTools=Write",
                "--permission-mode=dontAsk",
                "--permission-prompt-tool=mcp__p__ask",
            ],
            id="what it may do",
        ),
        pytest.param(
            Options(mcp_servers={"a": {"command": "x"}}, strict_mcp_config=True),
            ['--mcp-config={"mcpServers": {"a": {"command": "x"}}}', "--strict-mcp-config"],
            id="MCP servers",
        ),
        pytest.param(Options(mcp_servers={}), [], id="no MCP servers"),
        pytest.param(Options(mcp_servers=Path("m.json")), ["--mcp-config=m.json"], id="MCP servers from a file"),
        pytest.param(
            Options(plugins=[{"type": "local", "path": "/p"}, {"type": "local", "path": Path("/q")}]),
            ["--plugin-dir=/p", "--plugin-dir=/q"],
            id="plugins",
        ),
        pytest.param(
            Options(add_dirs=["/a", Path("-b")], settings='{"model": "x"}', setting_sources=["user", "project"]),
            ["--add-dir=/a", "--add-dir=-b", "--setting-sources=user,project", '--settings={"model": "x"}'],
            id="folders and settings",
        ),
        pytest.param(Options(setting_sources=[]), ["--setting-sources="], id="no settings from files"),
        pytest.param(
            Options(resume=ID, resume_session_at=ID, resume_drops_turn=OTHER),
            [f"--resume={ID}", f"--resume-session-at={ID}", f"--resume-drops-turn={OTHER}"],
            id="a resume that drops a turn",
        ),
        pytest.param(Options(task_budget={"total": 5000}), ["--task-budget=5000"], id="tokens for the task"),
        pytest.param(Options(include_hook_events=True), ["--include-hook-events"], id="hooks of settings files"),
        pytest.param(
            Options(permission_mode="plan", allow_dangerously_skip_permissions=True),
            ["--permission-mode=plan", "--allow-dangerously-skip-permissions"],
            id="a mode that may be changed to one that asks for nothing",
        ),
        pytest.param(
            Options(skills="all", allowed_tools=["Read"]),
            ["--allowedTools=Read,Skill", "--setting-sources=user,project"],
            id="every skill",
        ),
        pytest.param(
            Options(skills=["pdf", "acme:tables", "pdf"], allowed_tools=["Skill(pdf)"], setting_sources=["project"]),
            ["--allowedTools=Skill(pdf),Skill(acme:tables)", "--setting-sources=project"],
            id="some skills",
        ),
        pytest.param(Options(skills=[]), ["--setting-sources=user,project"], id="no skill"),
        pytest.param(Options(settings={"model": "x"}), ['--settings={"model": "x"}'], id="settings as a dict"),
        pytest.param(Options(settings=Path("s.json")), ["--settings=s.json"], id="settings in a file"),
        pytest.param(
            Options(settings='{"model": "x"}', sandbox={"enabled": True}),
            ['--settings={"model": "x", "sandbox": {"enabled": true}}'],
            id="settings and a sandbox",
        ),
        pytest.param(Options(sandbox={}), ['--settings={"sandbox": {}}'], id="a sandbox as it is by default"),
        pytest.param(
            Options(mcp_servers={"mine": [add], "theirs": {"command": "x"}}, permission_prompt_tool_name="stdio"),
            [
                "--permission-prompt-tool=stdio",
                '--mcp-config={"mcpServers": {"mine": {"type": "sdk", "name": "mine"}, "theirs": {"command": "x"}}}',
            ],
            id="a server in this process is named, and this process asked for permission",
        ),
        pytest.param(
            Options(extra_args={"replay-user-messages": None, "name": "-n", "empty": ""}),
            ["--replay-user-messages", "--name=-n", "--empty="],
            id="extra arguments",
        ),
        pytest.param(
            Options(cwd="/w", env={"A": "b"}, agents={"r": {"description": "d", "prompt": "p"}}, verbatim_prompts=True),
            [],
            id="said elsewhere",
        ),
    ],
)
def test_the_command_line(options: Options, words: list[str]) -> None:
    ClaudeCode(environ={}).check(options)
    assert arguments(options) == PREFIX + words


@pytest.mark.parametrize(
    ("options", "said"),
    [
        (Options(resume=ID, continue_conversation=True), "name two conversations"),
        (Options(session_id="nope"), "session_id='nope' is not a UUID"),
        (Options(session_id=f"{{{ID}}}"), "is not a UUID"),
        (Options(session_id=""), "session_id='' is no text"),
        (Options(resume=""), "resume='' is no text"),
        (Options(resume=ID, resume_session_at=""), "resume_session_at='' is no text"),
        (Options(resume=ID, session_id=ID, fork_session=True), "is the conversation to fork"),
        (Options(model=""), "model='' is no text"),
        (Options(model=7), "model=7 is no text"),  # type: ignore[arg-type]
        (Options(max_turns=1.5), "max_turns=1.5 is no whole number"),  # type: ignore[arg-type]
        (Options(max_budget_usd=math.inf), "max_budget_usd=inf is no amount"),
        (Options(permission_mode="yolo"), "permission_mode: 'yolo' is none of default, acceptEdits"),
        (Options(permission_prompt_tool_name=""), "permission_prompt_tool_name='' is no text"),
        (Options(effort="huge"), "effort: 'huge' is none of low, medium"),
        (Options(setting_sources=["users"]), "setting_sources: 'users' is none of user, project, local"),
        (Options(system_prompt={"type": "preset", "append": 1}), "system_prompt['append'] is no text"),
        (Options(system_prompt={"text": "x"}), "system_prompt={'text': 'x'} is none of"),
        (Options(system_prompt="a\0b"), "--system-prompt has a NUL in it"),
        (Options(system_prompt="\ud83d"), "--system-prompt has half a character"),
        (Options(env={"A": "\ud83d"}), "env['A'] cannot be a variable"),
        (Options(user="\ud83d"), "is neither the name nor the id of a user"),
        (Options(thinking={"type": "adaptive"}, max_thinking_tokens=1), "say the same thing twice"),
        (Options(thinking={"type": "enabled"}), "thinking={'type': 'enabled'} is none of"),
        (Options(thinking={"type": "enabled", "budget_tokens": "1"}), "thinking: '1' is no number of tokens"),
        (Options(max_thinking_tokens=-1), "max_thinking_tokens: -1 is no number of tokens"),
        (Options(output_format={"type": "text"}), "output_format={'type': 'text'} is not"),
        (
            Options(output_format={"type": "json_schema", "schema": {"a": {1}}}),
            "output_format cannot be written as JSON",
        ),
        (Options(tools="Bash"), "tools='Bash' is neither"),  # type: ignore[arg-type]
        (Options(tools=[""]), "tools: '' is no name"),
        (Options(allowed_tools=[" "]), "allowed_tools: ' ' is no name"),
        (Options(mcp_servers={"a": "b"}), "mcp_servers['a'] is text"),
        (Options(mcp_servers={"a": {"type": "sdk"}}), "mcp_servers['a'] is of type 'sdk' and has no instance"),
        (Options(task_budget={"total": 0}), "task_budget={'total': 0} is not"),
        (Options(skills="pdf"), "skills='pdf' is neither a list of names nor 'all'; did you mean ['pdf']?"),  # type: ignore[arg-type]
        (Options(settings="{}}", sandbox={}), "settings cannot be read as JSON"),
        (Options(settings=" "), "settings=' ' is no text"),
        (Options(settings={"a": {1}}), "settings cannot be written as JSON"),
        (Options(hooks={"Stop": [print]}), "is no HookMatcher"),  # type: ignore[list-item]
        (Options(extra_args={"resume-drops-turn": ID}), "use Options.resume_drops_turn"),
        (Options(plugins=[{"type": "git", "path": "/p"}]), 'is not {"type": "local", "path": str}'),
        (Options(agents={"a": "b"}), "agents['a']='b' is no dict"),
        (Options(agents={"a": {"prompt": "p"}}), "is no dict with a description and a prompt"),
        (Options(cwd=""), "cwd='' is no folder"),
        (Options(env={"A=B": "c"}), "env['A=B'] cannot be a variable"),
        (Options(env={"A": None}), "env['A']=None cannot be: only the Qoder CLI"),
        (Options(user=""), "user='' is neither the name nor the id of a user"),
        (Options(user=True), "user=True is neither the name nor the id of a user"),
        (Options(user=-1), "user=-1 is neither the name nor the id of a user"),
        (Options(user=1.5), "user=1.5 is no name or id of a user"),  # type: ignore[arg-type]
        (Options(env={"KEY": "s3cret\0"}), "env['KEY'] cannot be a variable"),
        (Options(extra_args={"--verbose": None}), "'--verbose' is no flag's name"),
        (Options(extra_args={"resume": ID}), "'resume' cannot be given here: use Options.resume"),
        (Options(extra_args={"output-format": "text"}), "it is how triologue talks to the agent"),
        (Options(extra_args={"a": True}), "extra_args['a'], a bool, is neither a str nor None"),  # type: ignore[dict-item]
        (Options(extra_args={"api-key": ["s3cret"]}), "extra_args['api-key'], a list, is neither"),  # type: ignore[dict-item]
        (Options(mcp_servers=[{"env": {"KEY": "s3cret"}}]), "mcp_servers, a list, is neither a dict of servers"),  # type: ignore[arg-type]
    ],
    ids=lambda value: value if isinstance(value, str) else "",
)
def test_what_cannot_be_is_refused_before_anything_starts(options: Options, said: str) -> None:
    with pytest.raises(InvalidOption) as caught:
        ClaudeCode(environ={}).check(options)
    assert said in str(caught.value)
    assert "s3cret" not in str(caught.value)


@pytest.mark.parametrize(
    ("options", "said"),
    [
        (Options(connection="c"), "(it was set to 'c'): leave it out, or choose an agent that has it"),
        (Options(profile="p"), "leave it out, or choose an agent that has it"),
        (Options(proxy="http://p:1"), "give env={'HTTPS_PROXY': ...}"),
        (Options(memory={"mode": "native"}), "leave it out, or choose an agent that has it"),
        (Options(evolution={"skill": {}}), "leave it out, or choose an agent that has it"),
        (Options(resolve_model=print), "leave it out, or choose an agent that has it"),
        (Options(plan_mode=True), "give permission_mode='plan'"),
        (Options(append_system_prompt="x"), 'give system_prompt={"type": "preset", "append": "..."}'),
        (Options(custom_context={"a": "b"}), "leave it out"),
        (Options(no_mcp=True), "give strict_mcp_config=True, and no mcp_servers"),
    ],
    ids=lambda value: next(iter(value.named())) if isinstance(value, Options) else "",
)
def test_what_it_does_not_have_is_refused_with_what_to_do_instead(options: Options, said: str) -> None:
    with pytest.raises(UnsupportedOption) as caught:
        ClaudeCode(environ={}).check(options)
    assert (caught.value.agent, caught.value.option) == ("claude-code", next(iter(options.named())))
    assert said in str(caught.value)


def test_what_is_set_to_nothing_asks_for_nothing() -> None:
    ClaudeCode(environ={}).check(Options(memory={}, plan_mode=False, proxy="", custom_context={}))


@pytest.mark.parametrize(
    "name",
    ["", " pdf", "a(b", "a,b", "a\nb", "\ufeffa", "\ud800", "*", "acme:*", "acme *", "/pdf", "a\\\\b", "a\\", 7],
)
def test_a_skill_whose_rule_would_mean_something_else(name: Any) -> None:
    with pytest.raises(InvalidOption, match="skills: "):
        ClaudeCode(environ={}).check(Options(skills=[name]))


def test_the_settings_file_is_read_only_where_something_is_added_to_it(tmp_path: Path) -> None:
    (tmp_path / "claude").touch(mode=0o755)
    (tmp_path / "s.json").write_text('{"model": "x", "sandbox": {"enabled": false}}')
    agent = ClaudeCode(environ={})

    def last_word(**options: Any) -> str:
        return agent.command(Options(cli_path=tmp_path / "claude", cwd=tmp_path, **options)).argv[-1]

    assert last_word(settings="s.json") == "--settings=s.json"
    assert last_word(settings="s.json", sandbox={"enabled": True}) == (
        '--settings={"model": "x", "sandbox": {"enabled": true}}'
    )
    agent.check(Options(settings="none.json", sandbox={}))
    with pytest.raises(InvalidOption, match=r"settings='none.json' cannot be read: .*No such file"):
        last_word(settings="none.json", sandbox={})
    (tmp_path / "s.json").write_text("[]")
    with pytest.raises(InvalidOption, match=r"the settings in 's.json': a JSON object is meant"):
        last_word(settings=Path("s.json"), sandbox={})


def test_a_prompt_is_a_turn_of_its_own_as_it_was_written() -> None:
    agent: Agent = ClaudeCode(environ={})
    prompt = UserMessage(message=UserBody(content="/cost @x"), uuid="U1", line=b"stale")
    frame = agent.user_frame(prompt, Options())
    assert encode(frame) == (
        b'{"type":"user","message":{"content":"/cost @x","role":"user"},"uuid":"U1","priority":"later",'
        b'"client_composed":true}\n'
    )
    assert prompt.priority is None


def test_the_callers_priority_stays_and_commands_can_be_asked_for() -> None:
    steer = UserMessage(message=UserBody(content=[TextBlock(text="left!")]), uuid="U2", priority="next")
    frame = ClaudeCode(environ={}).user_frame(steer, Options(verbatim_prompts=False))
    assert (frame, frame.client_composed) == (steer, False)


def test_sub_agents_are_described_in_the_handshake() -> None:
    agent = ClaudeCode(environ={})
    assert agent.initialize(Options()) == Initialize()
    described = Options(agents={"reviewer": {"description": "d", "prompt": "p", "tools": None}})
    agent.check(described)
    assert agent.initialize(described) == Initialize(agents={"reviewer": {"description": "d", "prompt": "p"}})


async def stop(given: Any, tool_use_id: str | None, context: Any) -> dict[str, Any]:
    return {}


def test_hooks_skills_and_the_words_of_sub_agents_are_asked_for_in_the_handshake() -> None:
    options = Options(
        hooks={"Stop": [HookMatcher(hooks=[stop], timeout=3, on_failure="block")]},
        skills=["pdf"],
        forward_subagent_text=True,
    )
    assert ClaudeCode(environ={}).initialize(options) == Initialize(
        hooks={"Stop": [{"matcher": None, "hookCallbackIds": ["hook_0"], "timeout": 3, "onFailure": "block"}]},
        skills=["pdf"],
        forward_subagent_text=True,
    )
    assert ClaudeCode(environ={}).initialize(Options(skills="all")) == Initialize()


def test_a_system_prompt_that_is_asked_for_applies_also_after_a_resume() -> None:
    assert ClaudeCode().initialize(Options(system_prompt="")) == Initialize(system_prompt_snapshot=False)


def test_the_environment_is_the_base_without_a_surrounding_session_and_with_the_callers_word_last() -> None:
    base = {
        "HOME": "/h",
        "CLAUDECODE": "1",
        "CLAUDE_CODE_ENTRYPOINT": "cli",
        "CLAUDE_PID": "7",
        "PWD": "/old",
        "A": "1",
    }
    told = {
        "HOME": "/h",
        "CLAUDE_AGENT_SDK_CLIENT_APP": "triologue",
        "CLAUDE_CODE_SDK_READS_SESSION_STATE": "1",
        "PWD": "/w",
    }
    assert environment(Options(), base, "/w") == {**told, "A": "1"}
    assert environment(Options(client_app="bot/1"), base, "/w")["CLAUDE_AGENT_SDK_CLIENT_APP"] == "bot/1"
    mine: dict[str, str] = {"A": "2", "CLAUDE_AGENT_SDK_CLIENT_APP": "bot", "CLAUDE_CODE_SDK_READS_SESSION_STATE": "0"}
    options = Options(env=mine, enable_file_checkpointing=True)
    assert environment(options, base, "/w") == {
        **told,
        **mine,
        "CLAUDE_CODE_ENABLE_SDK_FILE_CHECKPOINTING": "true",
    }


def test_the_whole_command(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    program = tmp_path / "claude"
    program.touch(mode=0o755)
    (tmp_path / "work").mkdir()
    monkeypatch.chdir(tmp_path)
    heard: list[str] = []
    options = Options(cli_path=program, cwd="work", max_turns=1, env={"A": "b"}, stderr=heard.append)
    assert ClaudeCode(environ={}).command(options) == Command(
        argv=[str(program), *PREFIX, "--max-turns=1"],
        env={
            "CLAUDE_AGENT_SDK_CLIENT_APP": "triologue",
            "CLAUDE_CODE_SDK_READS_SESSION_STATE": "1",
            "A": "b",
            "PWD": str(tmp_path / "work"),
        },
        cwd=str(tmp_path / "work"),
        stderr=heard.append,
    )


def test_without_an_environment_of_its_own_it_has_that_of_the_moment(
    tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    agent = ClaudeCode()
    program = tmp_path / "claude"
    program.touch(mode=0o755)
    monkeypatch.setenv("CLAUDE_CODE_CLI_PATH", str(program))
    monkeypatch.setenv("TRIOLOGUE_TEST", "later")
    command = agent.command(Options())
    assert (command.argv[0], command.env["TRIOLOGUE_TEST"]) == (str(program), "later")


def test_a_current_folder_that_is_gone_is_told(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    program = tmp_path / "claude"
    program.touch(mode=0o755)
    gone = tmp_path / "gone"
    gone.mkdir()
    monkeypatch.chdir(gone)
    gone.rmdir()
    with pytest.raises(AgentStartError, match="the current folder was deleted"):
        ClaudeCode(environ={}).command(Options(cli_path=program))


async def test_connecting_says_what_is_missing_before_anything_starts(tmp_path: Path) -> None:
    agent, carrier = ClaudeCode(environ={"HOME": str(tmp_path)}), _no_carrier()
    with pytest.raises(AgentNotFound):
        async with agent.connect(Options(cli_path=tmp_path / "none"), sink=_deaf, carrier=carrier):
            pass
    with pytest.raises(CallerError):
        async with agent.connect(Options(system_prompt={}), sink=_deaf, carrier=carrier):
            pass


def _deaf(batch: list[Any]) -> None:
    raise AssertionError("nothing was started")


def _no_carrier() -> Any:
    return None
