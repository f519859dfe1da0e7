"""The flags of each vendor's program that a host may pass, and whose program a command line means."""

from collections.abc import Mapping, Sequence

from triologue.standin.grammar import Grammar, UsageError

DIALECTS = ("claude", "qoder", "cortex")

_OWN = """
    --dialect <name>
    --script <file>
    -h, --help
    -v, --version
"""

_CLAUDE = """
    --add-dir <directories...>
    --agents <json-or-file>
    --allow-dangerously-skip-permissions
    --allowedTools, --allowed-tools <tools...>
    --append-system-prompt <prompt>
    --append-system-prompt-file <file>
    --bare
    --betas <betas...>
    -c, --continue
    --dangerously-skip-permissions
    -d, --debug [filter]
    --debug-file <path>
    --debug-to-stderr
    --disable-slash-commands
    --disallowedTools, --disallowed-tools <tools...>
    --effort <level>
    --exclude-dynamic-system-prompt-sections
    --fallback-model <model>
    --fork-session
    --forward-subagent-text
    --include-hook-events
    --include-partial-messages
    --input-format <format>
    --json-schema <schema>
    --max-budget-usd <amount>
    --max-thinking-tokens <tokens>
    --max-turns <turns>
    --mcp-config <configs...>
    --model <model>
    -n, --name <name>
    --no-session-persistence
    --output-format <format>
    --permission-mode <mode>
    --permission-prompt-tool <tool>
    --permission-prompts <target>
    --plugin-dir <path>
    -p, --print
    --replay-user-messages
    -r, --resume [value]
    --resume-drops-turn <uuid>
    --resume-session-at <message id>
    --session-id <uuid>
    --session-mirror
    --setting-sources <sources>
    --settings <file-or-json>
    --strict-mcp-config
    --system-prompt <prompt>
    --system-prompt-file <file>
    --system-prompt-snapshot <on|off>
    --task-budget <tokens>
    --thinking <mode>
    --thinking-display <display>
    --tools <tools...>
    --verbose
"""

_QODER = """
    --add-dir <dir>
    --agent <name>
    --agents <json>
    --allowed-mcp-server-names <name>
    --allowed-tools <tool>
    --append-system-prompt <text>
    --config-dir <dir>
    -c, --continue
    -w, --cwd <dir>
    --dangerously-skip-permissions
    -d, --debug
    --debug-to-stderr
    --disable-builtin-skills
    --disallowed-tools <tool>
    --fork-session
    --include-hook-events
    --include-partial-messages
    --input-format <format>
    --max-turns <count>
    --mcp-config <config>
    -m, --model <model>
    -n, --name <name>
    --no-session-persistence
    -o, --output-format <format>
    --permission-mode <mode>
    --permission-prompt-tool <tool>
    --plugin-dir <dir>
    -p, --print
    --proxy <url>
    --reasoning-effort <level>
    --replay-user-messages
    -r, --resume [id]
    --resume-drops-turn <uuid>
    --resume-session-at <uuid>
    --session-id <id>
    --session-mirror
    --setting-sources <source>
    --settings <json>
    --strict-mcp-config
    --system-prompt <text>
    --system-prompt-file <file>
    --thinking <mode>
    --thinking-budget <tokens>
    --tools <tools...>
    --yolo
"""

_CORTEX = """
    --add-dir <dir>
    --allowed-tools <tool>
    --auto-accept-plans
    --connection <name>
    --continue
    --dangerously-allow-all-tool-calls
    --debug-to-stderr
    --disallowed-tools <tool>
    --effort <level>
    --fork-session
    --include-partial-messages
    --input-format <format>
    --json-schema <schema>
    --max-turns <turns>
    --mcp-config <json>
    --model <model>
    --no-mcp
    --no-session-persistence
    --output-format <format>
    --permission-prompt-tool <tool>
    --plan
    --plugin-dir <path>
    --profile <name>
    --replay-user-messages
    --resume <id>
    --resume-session-at <uuid>
    --session-id <uuid>
    --setting-sources <sources>
    --snowflake-sandbox
    --workdir <dir>
"""

GRAMMARS = {
    "claude": Grammar(_CLAUDE, _OWN),
    "qoder": Grammar(_QODER, _OWN),
    "cortex": Grammar(_CORTEX, _OWN),
}

# Whoever runs inside Claude Code inherits its variable, so that one comes last.
_VARIABLES = (
    ("qoder", "QODER_AGENT_SDK_ENTRYPOINT"),
    ("qoder", "QODER_ENTRYPOINT"),
    ("cortex", "CORTEX_CODE_ENTRYPOINT"),
    ("claude", "CLAUDE_CODE_ENTRYPOINT"),
)


def find_dialect(words: Sequence[str], environment: Mapping[str, str]) -> str:
    """Whose program is meant.

    `--dialect` says it; else a flag that only one of them takes tells, else the variables that their SDKs set; else it
    is Claude Code.

    Raises:
        UsageError: `--dialect` names none.
    """
    names = [word.partition("=")[0] for word in words]
    if "--dialect" in names:
        return _named_dialect(words, names.index("--dialect"))
    if not {"--verbose", "--allowedTools", "--disallowedTools"}.isdisjoint(names):
        return "claude"
    if not {"--workdir", "--dangerously-allow-all-tool-calls", "--auto-accept-plans"}.isdisjoint(names):
        return "cortex"
    if not {"--print", "--disable-builtin-skills"}.isdisjoint(names):
        return "qoder"
    return next((dialect for dialect, variable in _VARIABLES if environment.get(variable)), "claude")


def _named_dialect(words: Sequence[str], position: int) -> str:
    _, given, name = words[position].partition("=")
    if not given:
        name = "".join(words[position + 1 : position + 2])
    if name not in DIALECTS:
        raise UsageError(f"error: option '--dialect <name>' argument {name!r} is none of: {', '.join(DIALECTS)}")
    return name
