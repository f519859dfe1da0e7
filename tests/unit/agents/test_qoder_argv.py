"""Options as the Qoder CLI's command line; whole values."""

import json
from pathlib import Path
from typing import Any

import pytest
from hypothesis import given, strategies as st

from triologue.agents.qoder import Qoder
from triologue.agents.qoder_argv import arguments
from triologue.errors import InvalidOption, UnsupportedOption
from triologue.options import HookMatcher, Options
from triologue.ports import Command

PREFIX = ["--print", "--output-format=stream-json", "--input-format=stream-json", "--disable-builtin-skills"]
ID = "688c0727-6f95-4d66-8683-e80df56b0870"
OTHER = "538FF161-7D4B-4250-A9E8-4671B9EB53CA"
SERVERS = {
    "git hub": {
        "command": "x",
        "tools": [
            {"name": "read file", "permission_policy": "always_allow"},
            {"name": "*", "permission_policy": "always_ask"},
            {"name": "mcp__other__drop", "permission_policy": "always_deny"},
        ],
    }
}


def add(a: int, b: int) -> int:
    """Add two numbers."""
    return a + b


@pytest.mark.parametrize(
    ("options", "words"),
    [
        pytest.param(Options(), [], id="nothing is set: the agent's own defaults, system prompt included"),
        pytest.param(Options(session_id=OTHER), [f"--session-id={OTHER}"], id="a new conversation with a chosen id"),
        pytest.param(Options(continue_conversation=True), ["--continue"], id="continue"),
        pytest.param(
            Options(resume=ID, fork_session=True, session_id=OTHER, resume_session_at=ID, resume_drops_turn=ID),
            [
                f"--resume={ID}",
                f"--session-id={OTHER}",
                "--fork-session",
                f"--resume-session-at={ID}",
                f"--resume-drops-turn={ID}",
            ],
            id="a fork with a chosen id, from the middle",
        ),
        pytest.param(Options(max_turns=2), ["--max-turns=2"], id="how far it may go"),
        pytest.param(
            Options(model="auto", system_prompt="", agent="lead", include_partial_messages=True),
            ["--model=auto", "--system-prompt=", "--agent=lead", "--include-partial-messages"],
            id="who answers",
        ),
        pytest.param(Options(include_hook_events=True), ["--include-hook-events"], id="hooks of settings files"),
        pytest.param(Options(system_prompt={"type": "preset"}), [], id="the preset"),
        pytest.param(
            Options(system_prompt={"type": "preset", "preset": "qodercli", "append": "-v"}),
            ["--append-system-prompt=-v"],
            id="the preset and more",
        ),
        pytest.param(
            Options(system_prompt={"type": "file", "path": Path("/p.md")}), ["--system-prompt-file=/p.md"], id="a file"
        ),
        pytest.param(Options(tools=[]), ["--tools="], id="no tools"),
        pytest.param(Options(tools=["Bash", "Read"]), ["--tools=Bash,Read"], id="some tools"),
        pytest.param(
            Options(
                allowed_tools=["Bash(git log:*)", "Read"],
                disallowed_tools=["Write", "-x"],
                permission_mode="acceptEdits",
                permission_prompt_tool_name="stdio",
                skills=["pdf"],
            ),
            [
                "--allowed-tools=Bash(git log:*)",
                "--allowed-tools=Read",
                "--allowed-tools=Skill(pdf)",
                "--disallowed-tools=Write",
                "--disallowed-tools=-x",
                "--permission-mode=acceptEdits",
                "--permission-prompt-tool=stdio",
            ],
            id="what it may do",
        ),
        pytest.param(
            Options(permission_mode="bypassPermissions", allow_dangerously_skip_permissions=True),
            ["--permission-mode=bypassPermissions", "--dangerously-skip-permissions"],
            id="everything",
        ),
        pytest.param(
            Options(permission_mode="yolo", allow_dangerously_skip_permissions=True), ["--yolo"], id="everything, again"
        ),
        pytest.param(
            Options(
                mcp_servers={"mine": [add], "theirs": {"command": "x"}},
                allowed_mcp_server_names=["mine", "theirs"],
                strict_mcp_config=True,
                plugins=[{"type": "local", "path": "/p"}],
            ),
            [
                '--mcp-config={"mcpServers": {"mine": {"type": "sdk", "name": "mine"}, "theirs": {"command": "x"}}}',
                "--allowed-mcp-server-names=mine",
                "--allowed-mcp-server-names=theirs",
                "--strict-mcp-config",
                "--plugin-dir=/p",
            ],
            id="MCP servers and plugins",
        ),
        pytest.param(
            Options(mcp_servers=SERVERS),
            [
                '--mcp-config={"mcpServers": {"git hub": {"command": "x"}}}',
                (
                    '--settings={"permissions": {"allow": ["mcp__git_hub__read_file"], "ask": ["mcp__git_hub__*"], '
                    '"deny": ["mcp__other__drop"]}}'
                ),
            ],
            id="what tools of a server may do becomes rules",
        ),
        pytest.param(Options(mcp_servers=Path("m.json")), ["--mcp-config=m.json"], id="MCP servers from a file"),
        pytest.param(Options(settings="s.json"), ["--settings=s.json"], id="settings in a file"),
        pytest.param(Options(settings={}), [], id="settings that say nothing"),
        pytest.param(
            Options(setting_sources=["user"], proxy="http://u:p@h:1"),
            ["--setting-sources=user", "--proxy=http://u:p@h:1"],
            id="surroundings",
        ),
        pytest.param(
            Options(add_dirs=["/a", Path("/b")], settings={"permissions": {"additionalDirectories": ["/a", "/z"]}}),
            [
                "--add-dir=/a",
                "--add-dir=/b",
                '--settings={"permissions": {"additionalDirectories": ["/a", "/z", "/b"]}}',
            ],
            id="folders are told twice",
        ),
        pytest.param(
            Options(
                settings='{"permissions": {"defaultMode": "acceptEdits", "disableBypassPermissionsMode": "disable"}}',
                enable_file_checkpointing=True,
                security_scan={"l2_lightweight_scan": True},
            ),
            [
                (
                    '--settings={"permissions": {"defaultMode": "acceptEdits", "disableBypassPermissionsMode": "disable"}, '
                    '"general": {"defaultPermissionMode": "accept_edits", "fileCheckpointing": {"enabled": true}}, '
                    '"security": {"disableYoloMode": true}, '
                    '"securityScan": {"l1StaticCheck": false, "l2LightweightScan": true, "l3DeepScan": false}}'
                )
            ],
            id="settings under the names that it reads",
        ),
        pytest.param(
            Options(extra_args={"reasoning-effort": "high", "debug": None}),
            ["--reasoning-effort=high", "--debug"],
            id="extra arguments",
        ),
        pytest.param(
            Options(env={"A": "b"}, agents={"r": {"description": "d", "prompt": "p"}}, vpc_endpoint="e", memory={}),
            [],
            id="said elsewhere",
        ),
    ],
)
def test_the_command_line(options: Options, words: list[str]) -> None:
    Qoder(environ={}).check(options)
    assert arguments(options) == PREFIX + words


@pytest.mark.parametrize(
    ("options", "said"),
    [
        (Options(session_id="nope"), "session_id='nope' is not a UUID"),
        (Options(fork_session=True), "fork_session=True needs a conversation to fork"),
        (Options(resume=ID, continue_conversation=True), "name two conversations"),
        (Options(resume=ID, session_id=OTHER), "would rename a conversation that goes on"),
        (Options(resume_session_at=ID), "needs `resume`"),
        (Options(resume=ID, resume_drops_turn=ID), "needs `resume_session_at`"),
        (Options(resume=ID, resume_session_at=ID, resume_drops_turn=""), "resume_drops_turn='' is no text"),
        (Options(permission_mode="manual"), "permission_mode: 'manual' is none of default"),
        (Options(system_prompt={"type": "preset", "preset": "claude_code"}), "system_prompt={'type': 'preset'"),
        (Options(system_prompt={"type": "preset", "append": 1}), "system_prompt['append']=1 is no text"),
        (Options(proxy="s3cret"), "proxy: a URL is meant"),
        (Options(extra_args={"proxy": "http://s3cret"}), "'proxy' cannot be given here: use Options.proxy"),
        (Options(extra_args={"print": None}), "'print' cannot be given here"),
        (Options(custom_context={"a": 1}), "custom_context['a']=1"),  # type: ignore[dict-item]
        (Options(vpc_endpoint="a\0"), "vpc_endpoint has a NUL"),
        (Options(security_scan={"l4": True}), "security_scan['l4']=True"),
        (Options(mcp_servers={"a": {"tools": [{"name": "x", "permission_policy": "?"}]}}), "permission_policy='?'"),
        (
            Options(mcp_servers={"#": {"tools": [{"name": "x", "permission_policy": "always_ask"}]}}),
            "leaves nothing to name in a rule",
        ),
        (Options(env={"": None}), "env[''] cannot be a variable"),
        (Options(env={"A": 1}), "env['A'] cannot be a variable"),  # type: ignore[arg-type]
        (Options(user=""), "user='' is neither the name nor the id of a user"),
        (Options(memory={"mode": "other"}), "memory['mode']='other' is none of native, custom"),
        (Options(skills=["a,b"]), "skills: 'a,b' has a bracket, a comma"),
        (Options(hooks={"Stop": [HookMatcher(timeout=0)]}), "timeout=0 is no number of seconds"),
    ],
    ids=lambda value: value if isinstance(value, str) else "",
)
def test_what_cannot_be_is_refused_before_anything_starts(options: Options, said: str) -> None:
    with pytest.raises(InvalidOption) as caught:
        Qoder(environ={}).check(options)
    assert said in str(caught.value)
    assert "s3cret" not in str(caught.value)


@pytest.mark.parametrize(
    ("options", "hint"),
    [
        (Options(max_budget_usd=1), "bound what a prompt may do with max_turns"),
        (Options(sandbox={"enabled": True}), "give settings={...}"),
        (Options(connection="c"), "leave it out"),
        (Options(output_format={"type": "json_schema", "schema": {}}), "leave it out"),
        (Options(effort="high"), "leave it out"),
        (Options(hooks={"PreToolUse": [HookMatcher(on_failure="block")]}), "catch what it raises, and deny"),
    ],
    ids=lambda value: next(iter(value.named())) if isinstance(value, Options) else "",
)
def test_what_it_does_not_have_is_refused(options: Options, hint: str) -> None:
    with pytest.raises(UnsupportedOption) as caught:
        Qoder(environ={}).check(options)
    assert (caught.value.agent, caught.value.option) == ("qoder", next(iter(options.named())))
    assert hint in str(caught.value)


@given(rules=st.lists(st.text(st.characters(exclude_characters="\0", exclude_categories=["Cs"]), min_size=1)))
def test_every_rule_is_one_word_whatever_is_in_it(rules: list[str]) -> None:
    rules = [rule for rule in rules if rule.strip()]
    words = arguments(Options(allowed_tools=rules))
    assert words == PREFIX + [f"--allowed-tools={rule}" for rule in rules]


@given(
    there=st.lists(st.sampled_from("abc"), unique=True),
    added=st.lists(st.sampled_from("abcd"), min_size=1, unique=True),
    others=st.dictionaries(st.sampled_from(["model", "hooks"]), st.integers()),
)
def test_settings_keep_what_they_say_and_get_what_is_missing(
    there: list[str], added: list[str], others: dict[str, Any]
) -> None:
    options = Options(settings={**others, "permissions": {"additionalDirectories": there}}, add_dirs=[*added])
    settings = json.loads(arguments(options)[-1].removeprefix("--settings="))
    assert settings == {**others, "permissions": {"additionalDirectories": list(dict.fromkeys(there + added))}}


def test_the_whole_command(tmp_path: Path) -> None:
    program = tmp_path / "qodercli"
    program.touch(mode=0o755)
    (tmp_path / "s.json").write_text('{"model": "x"}')
    options = Options(cli_path=program, cwd=tmp_path, settings="s.json", enable_file_checkpointing=True, env={"A": "b"})
    assert Qoder(environ={"QODER": "1"}).command(options) == Command(
        argv=[
            str(program),
            *PREFIX,
            '--settings={"model": "x", "general": {"fileCheckpointing": {"enabled": true}}}',
        ],
        env={
            "QODER_ENTRYPOINT": "triologue",
            "QODER_AGENT_SDK_ENTRYPOINT": "triologue",
            "QODER_SDK_VERSION": "1.0.16",
            "QODER_AGENT_SDK_VERSION": "1.0.16",
            "A": "b",
            "PWD": str(tmp_path),
        },
        cwd=str(tmp_path),
    )
