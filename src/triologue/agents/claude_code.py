"""Claude Code as an agent: its dialect of the protocol, over whatever carries its process."""

import contextlib
import os
from collections.abc import AsyncGenerator, Mapping, Sequence
from contextlib import AbstractAsyncContextManager, asynccontextmanager
from pathlib import Path
from typing import Any, final

import msgspec

from triologue.agents import claude_argv, claude_faults, claude_requests
from triologue.agents.accounts import find_account
from triologue.agents.argv import described_agents
from triologue.agents.discovery import CLAUDE, find_program
from triologue.agents.launching import changed, looked_up, named_any, working_folder
from triologue.agents.mirrors import with_mirror
from triologue.agents.replies import permission_reply
from triologue.agents.restoring import ProgramHistories, claude_histories
from triologue.agents.settings import read_settings
from triologue.agents.skills import listed_skills
from triologue.engine.histories import CLAUDE as CLAUDE_FOLDERS
from triologue.errors import TriologueError
from triologue.hosting import wire_hooks
from triologue.messages import (
    CanUseTool,
    Initialize,
    PermissionResult,
    Request,
    ResultMessage,
    TranscriptMirror,
    UserMessage,
)
from triologue.options import Options
from triologue.ports import Carrier, Command, Connection, Exit, Restored, Sink, TranscriptEntry

# What Claude Code gives to the tools that it runs; a host that is such a tool starts sessions of their own. Without an
# entrypoint it calls itself `sdk-cli`, a program on its stdio; what the vendor's SDKs say there is not ours to say.
MARKS_OF_A_SURROUNDING_SESSION = (
    "CLAUDECODE",
    "CLAUDE_CODE_CHILD_SESSION",
    "CLAUDE_CODE_ENTRYPOINT",
    "CLAUDE_CODE_SESSION_ATTENDED",
    "CLAUDE_CODE_SESSION_ID",
    "CLAUDE_PID",
)

# Where one of these is set the account in the config folder is not used, and so not renewed.
LOGINS_IN_THE_ENVIRONMENT = (
    "ANTHROPIC_API_KEY",
    "ANTHROPIC_AUTH_TOKEN",
    "CLAUDE_CODE_OAUTH_TOKEN",
    "CLAUDE_CODE_USE_BEDROCK",
    "CLAUDE_CODE_USE_FOUNDRY",
    "CLAUDE_CODE_USE_VERTEX",
)


@final
class ClaudeCode:
    """The Claude Code CLI, one process for each live conversation.

    Args:
        environ: the environment that agents start from, and in which the CLI is looked for; `Options.env` is added.
            None: this process's, as it is at each start.
    """

    def __init__(self, *, environ: Mapping[str, str] | None = None) -> None:
        self._environ = None if environ is None else dict(environ)

    def __eq__(self, other: object) -> bool:
        return self._environ == other._environ if isinstance(other, ClaudeCode) else NotImplemented

    def __hash__(self) -> int:
        return hash((ClaudeCode, self._environ is None))

    def __repr__(self) -> str:
        return "ClaudeCode()"  # without the environment: it holds keys

    @property
    def name(self) -> str:
        """`claude-code`."""
        return claude_argv.NAME

    def check(self, options: Options) -> None:
        """Refuse options before anything starts; see `Agent.check`."""
        claude_argv.check(options)

    def initialize(self, options: Options) -> Initialize:
        """The first control request. What can be said on the command line is said there."""
        return Initialize(
            hooks=wire_hooks(options.hooks),
            agents=described_agents(options),
            skills=listed_skills(options),
            forward_subagent_text=True if options.forward_subagent_text else None,
            # By default it records the first system prompt of a conversation, and goes on with that after a resume,
            # whatever it is given then. One that is asked for is meant to apply.
            system_prompt_snapshot=None if options.system_prompt is None else False,
        )

    @property
    def requests(self) -> Mapping[type[Request], str | None]:
        """The control requests that it answers."""
        return claude_requests.REQUESTS

    def permission_reply(self, request: CanUseTool, result: PermissionResult) -> dict[str, Any]:
        """The answer to a permission request."""
        return permission_reply(request, result)

    def user_frame(self, prompt: UserMessage, options: Options) -> UserMessage:
        """The prompt as a turn of its own (`later`: never folded into one that runs), and as it was written.

        A `priority` of the caller stays. For a slash command, give options with `verbatim_prompts=False`.
        """
        return msgspec.structs.replace(
            prompt,
            line=b"",
            priority=prompt.priority or "later",
            client_composed=prompt.client_composed or options.verbatim_prompts is not False,
        )

    @asynccontextmanager
    async def connect(self, options: Options, *, sink: Sink, carrier: Carrier) -> AsyncGenerator[Connection]:
        """Start a process for one conversation; see `Agent.connect`. The CLI is looked for at each start."""
        command = await looked_up(self.command, options)
        async with carrier.spawn(command, sink=sink) as connection:
            yield connection

    def command(self, options: Options) -> Command:
        """What `connect` starts. Asks the file system.

        Raises:
            AgentNotFound, AgentStartError: there is no CLI, no folder to start it in, or no such user.
            InvalidOption: the settings file cannot be read.
        """
        base = self._base()
        program = find_program(CLAUDE, options, base)
        cwd = working_folder(options)
        to_merge = claude_argv.file_to_merge(options)
        in_file = read_settings(to_merge, cwd) if to_merge is not None else None
        return Command(
            argv=[str(program), *claude_argv.arguments(options, in_file=in_file)],
            env=environment(options, base, cwd),
            cwd=cwd,
            stderr=options.stderr,
            account=find_account(options.user),
        )

    def kept_login(self, options: Options) -> str | None:
        """The account in its config folder, unless the environment says how to log in; see `KeepsLogins.kept_login`."""
        env = environment(options, self._base(), "")
        return (
            None
            if named_any(LOGINS_IN_THE_ENVIRONMENT, env)
            else str(CLAUDE_FOLDERS.config_in(env, os.fspath(options.cwd or ".")))
        )

    def diagnose(self, exit: Exit, refusal: ResultMessage | None, options: Options) -> TriologueError:
        """Why a connection ended by itself; see `Agent.diagnose`.

        Exit code 1 after the end of input only repeats that the last result was an error: then there is nothing to
        diagnose, and the caller, who knows what was closed, does not ask.
        """
        env = environment(options, self._base(), "")
        started = options.copy()
        if options.cwd is None:
            with contextlib.suppress(FileNotFoundError):  # deleted meanwhile
                started.cwd = Path.cwd()
        return claude_faults.diagnose(
            exit, refusal, started, config_dir=str(CLAUDE_FOLDERS.config_in(env, os.fspath(options.cwd or ".")))
        )

    async def latest(self, options: Options) -> str | None:
        """The conversation of its folder that was written last; see `FindsLatest.latest`. Reads files, in a thread.

        Raises:
            AgentStartError: it is to work in the current folder, which was deleted.
            StoreError: the histories cannot be looked through.
        """
        return await self._histories(options).latest(options)

    def mirrored(self, options: Options) -> Options:
        """The options with which it tells what it writes into its history."""
        return with_mirror(options)

    def entries_of(self, mirror: TranscriptMirror, options: Options) -> list[TranscriptEntry]:
        """What a store keeps of such a message; see `MirrorsHistories.entries_of`."""
        return self._histories(options).entries_of(mirror)

    def restore(self, options: Options, entries: Sequence[TranscriptEntry]) -> AbstractAsyncContextManager[Restored]:
        """Put a kept history into a config folder of its own; see `MirrorsHistories.restore`."""
        return self._histories(options).restore(options, entries)

    def _histories(self, options: Options) -> ProgramHistories:
        return claude_histories(environment(options, self._base(), ""), options)

    def _base(self) -> Mapping[str, str]:
        return os.environ if self._environ is None else self._environ


def environment(options: Options, base: Mapping[str, str], cwd: str) -> dict[str, str]:
    """The whole environment of an agent's process. `options.env` has the last word, but for `PWD`."""
    env = {name: value for name, value in base.items() if name not in MARKS_OF_A_SURROUNDING_SESSION}
    # Goes into its user agent, where the vendor asks hosts to name themselves.
    if options.client_app is not None:
        env["CLAUDE_AGENT_SDK_CLIENT_APP"] = options.client_app
    env.setdefault("CLAUDE_AGENT_SDK_CLIENT_APP", "triologue")
    # `session_state_changed` frames tell when it runs: a result alone does not, for it begins turns by itself too.
    env.setdefault("CLAUDE_CODE_SDK_READS_SESSION_STATE", "1")
    if options.enable_file_checkpointing:
        env["CLAUDE_CODE_ENABLE_SDK_FILE_CHECKPOINTING"] = "true"
    return {**changed(env, options.env), "PWD": cwd}
