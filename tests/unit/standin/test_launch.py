"""Command lines of each vendor's SDK, and what the agent makes of them: whole options are compared."""

import json
from pathlib import Path

import pytest

from triologue.options import Options
from triologue.standin.grammar import UsageError
from triologue.standin.launch import Launch, read_launch, split_names

A = "5f0f4e4a-6a3e-4d6e-9b3c-0a1b2c3d4e5f"
B = "6f0f4e4a-6a3e-4d6e-9b3c-0a1b2c3d4e5f"
CLAUDE = ["--output-format", "stream-json", "--verbose", "--input-format", "stream-json"]
QODER = ["--print", "--output-format", "stream-json", "--input-format", "stream-json", "--disable-builtin-skills"]
CORTEX = ["--output-format", "stream-json", "--input-format", "stream-json", "--workdir", "/w"]
SDK_SERVER = {"calc": {"type": "sdk", "name": "calc"}}
CONFIG = json.dumps({"mcpServers": SDK_SERVER})
SCHEMA = {"type": "object", "properties": {"n": {"type": "integer"}}}


def launch(dialect: str, options: Options | None = None, **more: object) -> Launch:
    return Launch(dialect=dialect, options=options or Options(), **more)  # type: ignore[arg-type]


@pytest.mark.parametrize(
    ("words", "expected"),
    [
        (["--system-prompt", ""], Options(system_prompt="")),
        (["--system-prompt=S", "--append-system-prompt", "A"], Options(system_prompt="S\n\nA")),
        (["--append-system-prompt", "--A"], Options(system_prompt={"type": "preset", "append": "--A"})),
        (["--tools", ""], Options(tools=[])),
        (["--tools", "Read,Bash"], Options(tools=["Read", "Bash"])),
        (["--tools", "Read", "Bash", "--max-turns", "3"], Options(tools=["Read", "Bash"], max_turns=3)),
        (["--tools", "default"], Options()),
        (
            ["--allowedTools", "Bash(git add, git:*),Read Edit", "--disallowedTools=Write"],
            Options(allowed_tools=["Bash(git add, git:*)", "Read", "Edit"], disallowed_tools=["Write"]),
        ),
        (
            ["--max-turns", "0", "--max-budget-usd", "0.5", "--task-budget", "9"],
            Options(max_budget_usd=0.5, task_budget={"total": 9}),
        ),
        (
            ["--model", "m", "--fallback-model", "n", "--betas", "a,b"],
            Options(model="m", fallback_model="n", betas=["a", "b"]),
        ),
        (["--permission-prompt-tool", "stdio"], Options(permission_prompt_tool_name="stdio")),
        (["--permission-mode", "acceptEdits"], Options(permission_mode="acceptEdits")),
        (["--permission-mode", "manual"], Options(permission_mode="default")),
        (
            ["--dangerously-skip-permissions"],
            Options(permission_mode="bypassPermissions", allow_dangerously_skip_permissions=True),
        ),
        (["--continue"], Options(continue_conversation=True)),
        (["-c", "--fork-session"], Options(continue_conversation=True, fork_session=True)),
        ([f"--resume={A}", "--fork-session", f"--session-id={B}"], Options(resume=A, fork_session=True, session_id=B)),
        (
            ["-r", A, f"--resume-session-at={B}", "--resume-drops-turn="],
            Options(resume=A, resume_session_at=B, resume_drops_turn=""),
        ),
        (["--settings", "{}", "--add-dir", "/a", "--add-dir", "/b"], Options(settings="{}", add_dirs=["/a", "/b"])),
        (["--mcp-config", CONFIG, "--strict-mcp-config"], Options(mcp_servers=SDK_SERVER, strict_mcp_config=True)),
        (["--include-partial-messages", "--include-hook-events"],
         Options(include_partial_messages=True, include_hook_events=True)),
        (["--setting-sources="], Options(setting_sources=[])),
        (["--setting-sources=user,project"], Options(setting_sources=["user", "project"])),
        (["--plugin-dir", "/p"], Options(plugins=[{"type": "local", "path": "/p"}])),
        (["--thinking", "adaptive", "--thinking-display", "omitted"],
         Options(thinking={"type": "adaptive", "display": "omitted"})),
        (["--max-thinking-tokens", "1000", "--effort", "high"], Options(max_thinking_tokens=1000, effort="high")),
        (["--json-schema", json.dumps(SCHEMA)], Options(output_format={"type": "json_schema", "schema": SCHEMA})),
        (["--agents", '{"a": {"description": "d", "prompt": "p"}}'],
         Options(agents={"a": {"description": "d", "prompt": "p"}})),
        (["--forward-subagent-text", "--debug-to-stderr"], Options(forward_subagent_text=True)),
        (["-d", "--bare", "-n", "title"], Options()),
    ],
)  # fmt: skip
def test_claude(words: list[str], expected: Options) -> None:
    assert read_launch([*CLAUDE, *words], {}) == launch("claude", expected)


@pytest.mark.parametrize(
    ("words", "expected"),
    [
        (["--system-prompt", ""], Options(system_prompt="")),
        (
            ["--allowed-tools", "Read", "--allowed-tools", "Bash(a, b)", "--disallowed-tools", "Edit"],
            Options(allowed_tools=["Read", "Bash(a, b)"], disallowed_tools=["Edit"]),
        ),
        (["--permission-mode", "accept_edits"], Options(permission_mode="acceptEdits")),
        (["--permission-mode", "acceptEdits", "--dangerously-skip-permissions"],
         Options(permission_mode="acceptEdits", allow_dangerously_skip_permissions=True)),
        (["--yolo"], Options(permission_mode="bypassPermissions")),
        (["--resume", A, "--fork-session", "--session-id", B], Options(resume=A, fork_session=True, session_id=B)),
        (["--mcp-config", CONFIG, "--allowed-mcp-server-names", "calc"],
         Options(mcp_servers=SDK_SERVER, allowed_mcp_server_names=["calc"])),
        (["--setting-sources", ""], Options(setting_sources=[])),
        (["--proxy", "http://p", "--agent", "a", "-m", "M"], Options(proxy="http://p", agent="a", model="M")),
        (["-w", "/w", "--max-turns", "2"], Options(cwd="/w", max_turns=2)),
    ],
)  # fmt: skip
def test_qoder(words: list[str], expected: Options) -> None:
    assert read_launch([*QODER, *words], {}) == launch("qoder", expected)


@pytest.mark.parametrize(
    ("words", "expected"),
    [
        (["--plan"], Options(permission_mode="plan")),
        (["--auto-accept-plans"], Options(permission_mode="autoAcceptPlans")),
        (["--dangerously-allow-all-tool-calls"], Options(permission_mode="bypassPermissions")),
        (["--resume", A, "--resume-session-at", B, "--fork-session"],
         Options(resume=A, resume_session_at=B, fork_session=True)),
        (["--connection", "c", "--profile", "p", "--no-mcp", "--snowflake-sandbox", "--effort", "minimal"],
         Options(connection="c", profile="p", no_mcp=True, snowflake_sandbox={"enabled": True}, effort="minimal")),
        (["--allowed-tools", "A", "--allowed-tools", "B"], Options(allowed_tools=["A", "B"])),
    ],
)  # fmt: skip
def test_cortex(words: list[str], expected: Options) -> None:
    expected.cwd = "/w"
    assert read_launch([*CORTEX, *words], {}) == launch("cortex", expected)


def test_how_it_is_started() -> None:
    words = [*CLAUDE, "--no-session-persistence", "--replay-user-messages", "--script", "s.json", "--dialect=claude"]
    assert read_launch(words, {}) == launch("claude", keeps_history=False, replays_prompts=True, script="s.json")
    assert read_launch([*CLAUDE, "--session-mirror"], {}) == launch("claude", mirrors_history=True)
    assert read_launch([*QODER, "--config-dir", "/c"], {}) == launch("qoder", config_folder="/c")
    assert read_launch(["-v"], {}) == launch("claude", shows="version")
    assert read_launch(["--help"], {}) == launch("claude", shows="help")


def test_configs_and_prompts_of_files(tmp_path: Path) -> None:
    (tmp_path / "mcp.json").write_text(CONFIG)
    (tmp_path / "prompt.txt").write_text("Be brief.")
    more = '{"mcpServers": {"files": {"command": "x"}}}'
    words = ["--mcp-config", f"{tmp_path}/mcp.json", more, "--system-prompt-file", f"{tmp_path}/prompt.txt"]
    expected = Options(mcp_servers={**SDK_SERVER, "files": {"command": "x"}}, system_prompt="Be brief.")
    assert read_launch([*CLAUDE, *words], {}).options == expected


@pytest.mark.parametrize(
    ("words", "environment", "dialect"),
    [
        (CLAUDE, {}, "claude"),
        (QODER, {}, "qoder"),
        (CORTEX, {}, "cortex"),
        ([], {}, "claude"),
        ([], {"QODER_AGENT_SDK_ENTRYPOINT": "sdk-py", "CLAUDE_CODE_ENTRYPOINT": "cli"}, "qoder"),
        ([], {"CORTEX_CODE_ENTRYPOINT": "sdk-python", "CLAUDE_CODE_ENTRYPOINT": "cli"}, "cortex"),
        ([], {"CLAUDE_CODE_ENTRYPOINT": "sdk-py"}, "claude"),
        (CLAUDE, {"QODER_ENTRYPOINT": "sdk-py"}, "claude"),
        (["--dialect", "cortex"], {"QODER_ENTRYPOINT": "sdk-py"}, "cortex"),
        (["--dialect=qoder"], {}, "qoder"),
    ],
)
def test_whose_program_is_meant(words: list[str], environment: dict[str, str], dialect: str) -> None:
    assert read_launch(words, environment).dialect == dialect


@pytest.mark.parametrize(
    ("words", "code", "text"),
    [
        ([*CLAUDE, "--nonsense"], 1, "error: unknown option '--nonsense'"),
        ([*QODER, "--nonsense"], 1, "error: unknown option '--nonsense'"),
        ([*CORTEX, "--nonsense=1"], 1, "error: unknown option '--nonsense'"),
        ([*QODER, "--verbose", "--dialect", "qoder"], 1, "error: unknown option '--verbose'"),
        ([*CLAUDE, "-z"], 1, "error: unknown option '-z'"),
        ([*CLAUDE, "--model"], 1, "error: option '--model <model>' argument missing"),
        ([*CLAUDE, "--max-turns", "abc"], 1,
         "error: option '--max-turns <turns>' argument 'abc' is invalid. must be a number"),
        ([*CLAUDE, "--max-budget-usd", "-1"], 1,
         "error: option '--max-budget-usd <amount>' argument '-1' is invalid. --max-budget-usd must be a number greater than 0"),
        ([*CLAUDE, "--continue=yes"], 1, "error: option '-c, --continue' takes no value, but has 'yes'"),
        ([*CLAUDE, "hello"], 1, "error: prompts come as frames on stdin, not as words: 'hello'"),
        (["--output-format", "stream-json", "-p"], 1,
         "Error: When using --print, --output-format=stream-json requires --verbose"),
        ([*CLAUDE, f"--resume-session-at={B}"], 1, "Error: --resume-session-at requires --resume"),
        ([*CLAUDE, "--resume-drops-turn=x"], 1, "Error: --resume-drops-turn requires --resume-session-at"),
        ([*CLAUDE, "--dialect", "none"], 1,
         "error: option '--dialect <name>' argument 'none' is none of: claude, qoder, cortex"),
        ([*CLAUDE, "--resume"], 1, "Error: --resume requires a valid session ID when used with --print"),
        ([*CLAUDE, "--resume="], 1, "Error: --resume requires a valid session ID when used with --print"),
        ([*QODER, "--continue", "--resume", A], 1,
         "Cannot combine --continue, --resume, --remote, --remote-session, and --teleport."),
        ([*QODER, "--session-id", "nope"], 42, "Invalid session ID. Must be a valid UUID."),
        ([*QODER, "--fork-session"], 42, "--fork-session must be used with --continue or --resume."),
        ([*QODER, "--resume", A, "--session-id", B], 42,
         "--session-id can only be used with --continue or --resume when --fork-session is also specified."),
        ([*QODER, f"--resume-session-at={B}"], 42, "--resume-session-at must be used with --resume."),
        ([*QODER, "--resume-drops-turn=x"], 42, "--resume-drops-turn must be used with --resume-session-at."),
    ],
)  # fmt: skip
def test_what_cannot_be(words: list[str], code: int, text: str) -> None:
    with pytest.raises(UsageError) as caught:
        read_launch(words, {})
    assert (caught.value.code, caught.value.text) == (code, text)


def test_a_long_value_is_not_shown_whole() -> None:
    with pytest.raises(UsageError) as caught:
        read_launch([*CLAUDE, "--agents", '{"a":' * 100_000], {})
    assert len(caught.value.text) < 1000


def test_choices_are_listed() -> None:
    with pytest.raises(UsageError, match=r"argument 'zzz' is invalid. Allowed choices are acceptEdits, auto"):
        read_launch([*CLAUDE, "--permission-mode", "zzz"], {})


@pytest.mark.parametrize("config", ["{bad", "[]", "nowhere.json", '{"mcpServers": 1}', '{"a": 5}', '{"a":' * 100_000])
def test_a_config_that_cannot_be(config: str) -> None:
    with pytest.raises(UsageError, match="MCP config"):
        read_launch([*CLAUDE, "--mcp-config", config], {})


@pytest.mark.parametrize(
    ("text", "names"),
    [
        ("", []),
        ("a", ["a"]),
        ("a,b c", ["a", "b", "c"]),
        ("Bash(git add, b (c) d),Read", ["Bash(git add, b (c) d)", "Read"]),
        ("Bash(open", ["Bash(open"]),
        (", ,a,,", ["a"]),
    ],
)
def test_lists_of_names(text: str, names: list[str]) -> None:
    assert split_names(text) == names
