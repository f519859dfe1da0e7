"""The Cortex Code CLI as an agent: its dialect of the protocol, over whatever carries its process."""

import os
from collections.abc import AsyncGenerator, Mapping
from contextlib import asynccontextmanager
from typing import Any, final

import msgspec

from triologue.agents import cortex_argv, cortex_faults, cortex_requests
from triologue.agents.accounts import find_account
from triologue.agents.argv import described_agents
from triologue.agents.discovery import CORTEX, find_program
from triologue.agents.launching import changed, looked_up, named_any, working_folder
from triologue.agents.replies import permission_reply
from triologue.engine.histories.folders import home_folder
from triologue.errors import TriologueError
from triologue.hosting import declared_servers, local_servers, tool_definitions, wire_hooks
from triologue.messages import (
    CanUseTool,
    Initialize,
    PermissionResult,
    Request,
    ResultMessage,
    TextBlock,
    UserMessage,
)
from triologue.options import Options
from triologue.ports import Carrier, Command, Connection, Exit, Sink

GRACE = 2.0
"""Seconds from the end of input that its vendor gives it to leave by itself."""

LOGINS_IN_THE_ENVIRONMENT = (
    "SNOWFLAKE_PASSWORD",
    "SNOWFLAKE_PRIVATE_KEY_FILE",
    "SNOWFLAKE_PRIVATE_KEY_PATH",
    "SNOWFLAKE_PRIVATE_KEY_RAW",
    "SNOWFLAKE_TOKEN",
    "SNOWFLAKE_TOKEN_FILE_PATH",
)


@final
class CortexCode:
    """The Cortex Code CLI, one process for each live conversation, with the Snowflake connection that it is set up with.

    Args:
        environ: the environment that agents start from, and in which the CLI is looked for; `Options.env` is added.
            None: this process's, as it is at each start.
    """

    def __init__(self, *, environ: Mapping[str, str] | None = None) -> None:
        self._environ = None if environ is None else dict(environ)

    def __eq__(self, other: object) -> bool:
        return self._environ == other._environ if isinstance(other, CortexCode) else NotImplemented

    def __hash__(self) -> int:
        return hash((CortexCode, self._environ is None))

    def __repr__(self) -> str:
        return "CortexCode()"  # without the environment: it holds keys

    @property
    def name(self) -> str:
        """`cortex-code`."""
        return cortex_argv.NAME

    def check(self, options: Options) -> None:
        """Refuse options before anything starts; see `Agent.check`."""
        cortex_argv.check(options)

    def initialize(self, options: Options) -> Initialize:
        """The first control request. Prompts, and what lives in this process, are said here."""
        local = list(local_servers(options.mcp_servers))
        declared: Any = declared_servers(options.mcp_servers)
        whole, added = cortex_argv.prompts(options)
        return Initialize(
            hooks=wire_hooks(options.hooks),
            agents=described_agents(options),
            system_prompt=whole,
            append_system_prompt=added,
            setting_sources=None if options.setting_sources is None else list(options.setting_sources),
            sdk_managed_permissions=True if options.permission_prompt_tool_name == "stdio" else None,
            sdk_mcp_servers=local or None,
            mcp_servers={name: declared[name] for name in local} or None,
            sdk_mcp_tool_definitions=tool_definitions(options.mcp_servers) or None,
        )

    @property
    def requests(self) -> Mapping[type[Request], str | None]:
        """The control requests that it answers."""
        return cortex_requests.REQUESTS

    def permission_reply(self, request: CanUseTool, result: PermissionResult) -> dict[str, Any]:
        """The answer to a permission request: it names the tool call."""
        reply = permission_reply(request, result)
        return reply if request.tool_use_id is None else {**reply, "toolUseID": request.tool_use_id}

    def user_frame(self, prompt: UserMessage, options: Options) -> UserMessage:
        """The prompt as a list of blocks."""
        content = prompt.message.content
        blocks = [TextBlock(text=content)] if isinstance(content, str) else content
        return msgspec.structs.replace(
            prompt,
            line=b"",
            message=msgspec.structs.replace(prompt.message, content=blocks),
            session_id=prompt.session_id or "default",
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
        """
        base = self._base()
        program = find_program(CORTEX, options, base)
        cwd = working_folder(options)
        return Command(
            argv=[str(program), *cortex_argv.arguments(options, cwd=cwd)],
            env=environment(options, base, cwd),
            cwd=cwd,
            stderr=options.stderr,
            account=find_account(options.user),
            grace=GRACE,
        )

    def kept_login(self, options: Options) -> str | None:
        """The Snowflake connection, unless the environment has a secret for it; see `KeepsLogins.kept_login`."""
        env = environment(options, self._base(), "")
        folder = env.get("SNOWFLAKE_HOME") or str(home_folder(env) / ".snowflake")
        return None if named_any(LOGINS_IN_THE_ENVIRONMENT, env) else f"{folder}#{options.connection or ''}"

    def diagnose(self, exit: Exit, refusal: ResultMessage | None, options: Options) -> TriologueError:
        """Why a connection ended by itself; see `Agent.diagnose`."""
        return cortex_faults.diagnose(exit, refusal, options)

    def _base(self) -> Mapping[str, str]:
        return os.environ if self._environ is None else self._environ


def environment(options: Options, base: Mapping[str, str], cwd: str) -> dict[str, str]:
    """The whole environment of an agent's process. `options.env` has the last word, but for what names this program."""
    env = dict(base)
    if cortex_argv.sandbox_is_asked_for(options):
        env["ENABLE_COCO_CNG_SANDBOX"] = "1"
    # Says who asks; the vendor's SDKs name themselves there.
    return {**changed(env, options.env), "CORTEX_CODE_ENTRYPOINT": "triologue", "PWD": cwd}
