"""The Qoder CLI as an agent: its dialect of the protocol, over whatever carries its process."""

import os
from collections.abc import AsyncGenerator, Mapping, Sequence
from contextlib import AbstractAsyncContextManager, asynccontextmanager
from typing import Any, final

import msgspec

from triologue.agents import qoder_argv, qoder_faults, qoder_requests
from triologue.agents.accounts import find_account
from triologue.agents.argv import described_agents
from triologue.agents.discovery import QODER, find_program
from triologue.agents.launching import changed, looked_up, named_any, working_folder
from triologue.agents.mirrors import with_mirror
from triologue.agents.qoder_auth import (
    ACCESS_TOKEN_VARIABLE,
    SERVICE_ACCOUNT_VARIABLE,
    JobTokens,
    QoderAuth,
    QoderCliLogin,
    ServiceAccountTokens,
    TokenProvider,
    credential_variables,
    payload,
    payload_file,
)
from triologue.agents.qoder_memory import evolution_config, memory_config
from triologue.agents.qoder_settings import file_to_merge
from triologue.agents.replies import permission_reply
from triologue.agents.restoring import ProgramHistories, qoder_histories
from triologue.agents.settings import read_settings
from triologue.agents.skills import listed_skills
from triologue.engine.histories import QODER as QODER_FOLDERS
from triologue.errors import InvalidOption, TriologueError
from triologue.hosting import local_servers, wire_hooks
from triologue.messages import (
    CanUseTool,
    FetchJobToken,
    FetchServiceAccountToken,
    FlushMemory,
    FlushSkillEvolution,
    PermissionResult,
    PermissionResultDeny,
    Request,
    ResultMessage,
    SetPlanMode,
    TranscriptMirror,
    UnknownRequest,
    UserMessage,
)
from triologue.options import Deadlines, Options
from triologue.ports import Carrier, Command, Connection, Exit, Restored, Sink, TranscriptEntry

INITIALIZE_TIMEOUT_MS = int((Deadlines().start or 60) * 1000)
"""What the CLI is told that it may take to answer the handshake."""
VENDOR_SDK = "1.0.16"
"""The version of the vendor's SDK whose protocol this is."""
DENIED = "The user does not allow this."
"""What the model is told where a refusal gives no reason: the CLI takes none without."""

LOGINS_IN_THE_ENVIRONMENT = (ACCESS_TOKEN_VARIABLE, SERVICE_ACCOUNT_VARIABLE)


@final
class Qoder:
    """The Qoder CLI, one process for each live conversation.

    Args:
        auth: how it logs in: `access_token(...)`, `access_token_from_env()`, `service_account(...)`,
            `service_account_from_env()`, `job_token(...)`, `qodercli_auth()`. None: the account that `qodercli login`
            left on this machine, as the last of these.
        environ: the environment that agents start from, and in which the CLI is looked for; `Options.env` is added.
            None: this process's, as it is at each start.

    Raises:
        InvalidOption: `auth` is something else.
    """

    def __init__(self, *, auth: QoderAuth | None = None, environ: Mapping[str, str] | None = None) -> None:
        if auth is not None and not isinstance(auth, QoderAuth):
            raise InvalidOption("auth is none of what access_token(...), qodercli_auth() and the like give")
        self._auth: QoderAuth = auth if auth is not None else QoderCliLogin()
        self._environ = None if environ is None else dict(environ)

    def __eq__(self, other: object) -> bool:
        if not isinstance(other, Qoder):
            return NotImplemented
        return (self._auth, self._environ) == (other._auth, other._environ)

    def __hash__(self) -> int:
        return hash((Qoder, type(self._auth), self._environ is None))

    def __repr__(self) -> str:
        return f"Qoder(auth={self._auth!r})"  # without the environment: it holds keys

    @property
    def name(self) -> str:
        """`qoder`."""
        return qoder_argv.NAME

    @property
    def tokens(self) -> Mapping[type[Request], TokenProvider]:
        """Who provides the tokens that the CLI asks for while it runs."""
        match self._auth:
            case JobTokens(fetch=fetch):
                return {FetchJobToken: fetch}
            case ServiceAccountTokens(fetch=fetch):
                return {FetchServiceAccountToken: fetch}
            case _:
                return {}

    def check(self, options: Options) -> None:
        """Refuse options before anything starts; see `Agent.check`."""
        qoder_argv.check(options)

    def initialize(self, options: Options) -> UnknownRequest:
        """The first control request, in this CLI's own shape: named twice, and without what is empty."""
        local = list(local_servers(options.mcp_servers))
        body = {
            "type": "initialize",
            "subtype": "initialize",
            "modelPolicyProvider": options.resolve_model is not None,
            "initializeTimeoutMs": INITIALIZE_TIMEOUT_MS,
            "hooks": wire_hooks(options.hooks),
            "agents": described_agents(options),
            "skills": listed_skills(options),
            "enableFileCheckpointing": True if options.enable_file_checkpointing else None,
            "sdkMcpServers": local or None,
            "memory": memory_config(options.memory),
            "evolution": evolution_config(options.evolution),
        }
        return UnknownRequest(body={name: value for name, value in body.items() if value is not None})

    def preparations(self, options: Options) -> Sequence[Request]:
        """Plan mode is no part of `initialize`, and on at the first prompt all the same."""
        return () if options.plan_mode is None else (SetPlanMode(active=options.plan_mode),)

    def conclusions(self, options: Options) -> Sequence[Request]:
        """Before it is let go it writes down what it is to remember, and ends the review of skills that is due."""
        memory: tuple[Request, ...] = (FlushMemory(),) if memory_config(options.memory) else ()
        return (*memory, FlushSkillEvolution()) if evolution_config(options.evolution) else memory

    @property
    def requests(self) -> Mapping[type[Request], str | None]:
        """The control requests that it answers."""
        return qoder_requests.REQUESTS

    def permission_reply(self, request: CanUseTool, result: PermissionResult) -> dict[str, Any]:
        """The answer to a permission request: it names the tool call, and a refusal has a reason."""
        if isinstance(result, PermissionResultDeny) and not result.message.strip():
            result = msgspec.structs.replace(result, message=DENIED)
        reply = {**permission_reply(request, result), "toolUseID": request.tool_use_id}
        if result.decision_classification is not None:
            reply["decisionClassification"] = result.decision_classification
        return reply

    def user_frame(self, prompt: UserMessage, options: Options) -> UserMessage:
        """The prompt as a turn of its own (`later`: never folded into one that runs), and as it was written.

        A `priority` of the caller stays. For a slash command, give options with `verbatim_prompts=False`.
        """
        return msgspec.structs.replace(
            prompt,
            line=b"",
            priority=prompt.priority or "later",
            custom_context=prompt.custom_context or options.custom_context or None,
            client_composed=prompt.client_composed or options.verbatim_prompts is not False,
        )

    @asynccontextmanager
    async def connect(self, options: Options, *, sink: Sink, carrier: Carrier) -> AsyncGenerator[Connection]:
        """Start a process for one conversation; see `Agent.connect`. The CLI is looked for at each start.

        Raises:
            NotLoggedIn: the variable that holds the account is not set.
        """
        told = payload(self._auth, changed(self._base(), options.env))
        command = await looked_up(self.command, options)
        with payload_file(told, command.account) as path:
            command.env["QODER_SDK_AUTH_PAYLOAD_FILE"] = str(path)
            async with carrier.spawn(command, sink=sink) as connection:
                yield connection

    def command(self, options: Options) -> Command:
        """What `connect` starts, but for the file that says how to log in. Asks the file system.

        Raises:
            AgentNotFound, AgentStartError: there is no CLI, no folder to start it in, or no such user.
            InvalidOption: the settings file cannot be read.
        """
        base = self._base()
        program = find_program(QODER, options, base)
        cwd = working_folder(options)
        to_merge = file_to_merge(options)
        in_file = read_settings(to_merge, cwd) if to_merge is not None else None
        return Command(
            argv=[str(program), *qoder_argv.arguments(options, in_file=in_file)],
            env=environment(options, base, cwd, without=credential_variables(self._auth)),
            cwd=cwd,
            stderr=options.stderr,
            account=find_account(options.user),
        )

    def kept_login(self, options: Options) -> str | None:
        """The account of `qodercli login`, where that is used; see `KeepsLogins.kept_login`."""
        env = environment(options, self._base(), "")
        is_told = not isinstance(self._auth, QoderCliLogin) or named_any(LOGINS_IN_THE_ENVIRONMENT, env)
        return None if is_told else str(QODER_FOLDERS.config_in(env, os.fspath(options.cwd or ".")))

    def diagnose(self, exit: Exit, refusal: ResultMessage | None, options: Options) -> TriologueError:
        """Why a connection ended by itself; see `Agent.diagnose`."""
        env = environment(options, self._base(), "")
        return qoder_faults.diagnose(
            exit, refusal, options, config_dir=str(QODER_FOLDERS.config_in(env, os.fspath(options.cwd or ".")))
        )

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
        return qoder_histories(environment(options, self._base(), ""), options)

    def _base(self) -> Mapping[str, str]:
        return os.environ if self._environ is None else self._environ


def environment(
    options: Options, base: Mapping[str, str], cwd: str, *, without: tuple[str, ...] = ()
) -> dict[str, str]:
    """The whole environment of an agent's process. `options.env` comes after `base`, and before what the protocol needs.

    A variable that it has as None is taken away.

    Args:
        options: `env` and `vpc_endpoint` are read.
        base: what there is already.
        cwd: for `PWD`.
        without: variables that hold what the CLI is told by a file.
    """
    env = {name: value for name, value in base.items() if name != "QODER"}  # the mark of a CLI around this program
    env.setdefault("QODER_ENTRYPOINT", "triologue")
    env = changed(env, options.env)
    # Any value makes it speak the protocol, and read the file that says how to log in.
    env["QODER_AGENT_SDK_ENTRYPOINT"] = "triologue"
    env["QODER_SDK_VERSION"] = env["QODER_AGENT_SDK_VERSION"] = VENDOR_SDK
    for name in without:
        env.pop(name, None)
    if options.vpc_endpoint is not None:
        env.pop("QODER_VPC_ENDPOINT", None)
        if endpoint := options.vpc_endpoint.strip():
            env["QODER_VPC_ENDPOINT"] = endpoint
    env["PWD"] = cwd
    return env
