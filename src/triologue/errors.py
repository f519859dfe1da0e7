"""Every error of triologue, in one tree; the branch tells who must act.

::

    TriologueError
    ├── CallerError                    fix the call
    │   ├── InvalidOption              a value that cannot be (also a ValueError)
    │   ├── UnsupportedOption          an option that this agent does not have
    │   ├── UnsupportedRequest         something that this agent cannot do
    │   ├── AlreadyAnswered            the permission request is settled
    │   ├── WouldDeadlock              a session asks itself, and would wait for ever
    │   ├── SessionExists              the key has a conversation already
    │   ├── SessionIdInUse             another conversation has this id
    │   ├── Forbidden                  the token lacks the right (behind a gateway)
    │   ├── NotFound                   no such session, turn or permission request (behind a gateway)
    │   └── ManagerClosed              the manager's block was left
    ├── AgentError                     look at the agent
    │   ├── AgentNotFound              its program is not installed
    │   ├── AgentStartError            it did not start
    │   ├── NotLoggedIn                it has no account
    │   ├── AgentCrashed               it went away by itself, or closed its output
    │   ├── ModelError                 the model behind the built-in agent did not answer
    │   └── AgentProtocolError         it refused, or broke the protocol
    ├── TurnError                      look at the turn: its outcome was not `answered`
    │   ├── TurnFailed                 an error result, a crash or a time-out
    │   ├── TurnTimeout                which deadline that was: the cause of a `TurnFailed`
    │   ├── TurnInterrupted            it was stopped while it ran
    │   ├── TurnCancelled              it never ran
    │   └── TurnLost                   nobody can tell what became of it
    ├── LimitError                     wait, or raise the limit
    │   ├── MailboxFull                too many turns wait
    │   ├── TurnRejected               the policy does not take it now
    │   │   └── BudgetExceeded         it has cost what it may
    │   └── SessionFailed              the conversation is broken for now
    ├── StoreError                     look at what is kept
    │   ├── SessionNotFound            there is no conversation with this id
    │   ├── SessionElsewhere           another host writes to it
    │   └── LeaseLost                  another host has taken it over
    └── GatewayError                   look at the gateway, or at the way to it
        ├── GatewayLost                there is no connection to it
        └── GatewayRefused             it does not want this client

Values are shown with `!r` and cut; secrets never are.
"""

from pathlib import Path
from typing import Any, Final

from triologue.messages import ResultMessage

MAY_HOLD_SECRETS = ("agents", "env", "extra_args", "mcp_servers", "proxy", "settings")
"""Options whose values no text shows."""


class TriologueError(Exception):
    """The root: catch this to catch whatever triologue raises on purpose."""


class CallerError(TriologueError):
    """The call cannot be right; nothing was started."""


class InvalidOption(CallerError, ValueError):
    """A value that cannot be: what it is, where, and what to do."""


class UnsupportedOption(CallerError):
    """An option that this agent does not have.

    Args:
        agent: the agent's name.
        option: the option's name.
        value: what it was set to.
        hint: what to do instead.
    """

    def __init__(self, agent: str, option: str, value: Any, hint: str = "") -> None:
        self.agent, self.option, self.value = agent, option, value
        advice = hint or "leave it out, or choose an agent that has it"
        shown = "it was set" if option in MAY_HOLD_SECRETS else f"it was set to {brief(value)}"
        super().__init__(f"{agent} has no option {option!r} ({shown}): {advice}")


class UnsupportedRequest(CallerError):
    """This agent cannot do what was asked.

    Attributes:
        agent: the agent's name.
        request: what was asked, by its subtype.
        capability: what the agent would have to announce for it, where there is such a thing.
        version: the agent's version, where it told.
    """

    def __init__(
        self, agent: str, request: str, detail: str = "", *, capability: str | None = None, version: str | None = None
    ) -> None:
        self.agent, self.request, self.capability, self.version = agent, request, capability, version
        who = f"{agent} {version}" if version else agent
        needs = f" (it needs the capability {capability!r})" if capability else ""
        super().__init__(f"{who} cannot do {request!r}{needs}" + (f": {detail}" if detail else ""))


class AlreadyAnswered(CallerError):
    """The permission request is settled, and an answer comes too late.

    Attributes:
        by: who answered, as they said; None when nobody said, or nobody answered.
        answer: `allow`, `deny`, `expired`, `cancelled` or `failed`.
    """

    def __init__(self, by: str | None, answer: str) -> None:
        self.by, self.answer = by, answer
        how = {"allow": "it was allowed", "deny": "it was denied"}.get(answer, f"it is {answer}")
        super().__init__(f"this permission request is settled: {how}" + (f" by {brief(by)}" if by else ""))


class WouldDeadlock(CallerError):
    """A tool, hook or permission callback of a session waits for that session, straight or through others.

    The turn that it runs in cannot end before it returns, and the turn that it waits for cannot begin before that. The
    same goes for one that waits for another session, where all room for agents is held by sessions that wait like this.
    """


class SessionExists(CallerError):
    """The key has a conversation already."""


class SessionIdInUse(CallerError):
    """A conversation with this session id exists already, or another key's agent is in it."""


class Forbidden(CallerError):
    """The token that a client showed its gateway lacks the right for this."""


class NotFound(CallerError):
    """The gateway has no such session, turn or permission request, or not for this token."""


class ManagerClosed(CallerError):
    """The manager's block was left, or is being left; nothing new is taken in."""


class AgentError(TriologueError):
    """The agent could not do its part."""


class AgentNotFound(AgentError):
    """The agent's program is not installed where it was looked for; the text lists the places and how to install it."""


class AgentStartError(AgentError):
    """The agent's program did not start, or did not answer the handshake.

    Attributes:
        is_final: another start would end so too, until what it is started with is changed. `RestartPolicy` leaves it alone.
    """

    def __init__(self, message: str, *, is_final: bool = False) -> None:
        self.is_final = is_final
        super().__init__(message)


class NotLoggedIn(AgentError):
    """The agent has no account to work with."""


class AgentCrashed(AgentError):
    """The agent went away by itself, or closed its output and had to be stopped.

    Attributes:
        exit_code: its exit status; negative for a signal; None when it had no process.
        stderr_tail: the end of what it wrote to stderr, at most 64 KiB.
    """

    def __init__(self, message: str, *, exit_code: int | None = None, stderr_tail: str = "") -> None:
        self.exit_code, self.stderr_tail = exit_code, stderr_tail
        tail = stderr_tail.strip()
        super().__init__(message + (f"; its stderr ends with: {tail[-500:]}" if tail else ""))


class ModelError(AgentError):
    """The model behind the built-in agent did not answer.

    Attributes:
        status: the HTTP status of its API, where there was one.
    """

    def __init__(self, message: str, *, status: int | None = None) -> None:
        self.status = status
        super().__init__(message)


class AgentProtocolError(AgentError):
    """The agent refused a control request, or broke the protocol.

    Attributes:
        code: the agent's error code, where it gave one.
    """

    def __init__(self, message: str, *, code: str | None = None) -> None:
        self.code = code
        super().__init__(message)


class TurnError(TriologueError):
    """The turn's outcome was not `answered`.

    Attributes:
        result: the result, where there was one.
    """

    def __init__(self, message: str, *, result: ResultMessage | None = None) -> None:
        self.result = result
        super().__init__(message)


class TurnFailed(TurnError):
    """An error result, or a crash or time-out (then it is the `__cause__`)."""


class TurnTimeout(TurnError):
    """A deadline of the turn passed; it is the `__cause__` of the `TurnFailed`.

    Attributes:
        phase: the name of the deadline: `start` (then an `AgentStartError` is behind it), `first_event`, `silence`,
            `tool` or `turn`.
        about: of a tool: its name.
        seconds: how long it was; None where that is not known any more.
        retry: what the agent told last of an API that did not answer it, and that it tried again; empty where it told of
            no such thing, or the model has spoken since.
    """

    def __init__(self, phase: str, about: str = "", *, seconds: float | None = None, retry: str = "") -> None:
        self.phase, self.about, self.seconds, self.retry = phase, about, seconds, retry
        length = f": {seconds:g} s" if seconds is not None else ""
        why = f"; the agent was trying the model's API again: {retry}" if retry else ""
        super().__init__(f"Deadlines.{phase} passed{length}" + (f" ({about})" if about else "") + why)


class TurnInterrupted(TurnError):
    """The turn was stopped while it ran."""


class TurnCancelled(TurnError):
    """The turn was withdrawn before it ran."""


class TurnLost(TurnError):
    """The turn had started when its process died, and nobody can tell how far it got."""


class LimitError(TriologueError):
    """A limit was reached; nothing was lost."""


class MailboxFull(LimitError):
    """As many turns wait as `Limits.mailbox` allows; the prompt was not taken in.

    Attributes:
        key: of the session.
        waiting: how many wait.
        limit: how many may.
    """

    def __init__(self, message: str, *, key: str = "", waiting: int = 0, limit: int = 0) -> None:
        self.key, self.waiting, self.limit = key, waiting, limit
        super().__init__(message)


class TurnRejected(LimitError):
    """The prompt was not taken in.

    Attributes:
        reason: why, in words.
        key: of the session; None where it is not about one alone.
    """

    def __init__(self, message: str, *, reason: str = "", key: str | None = None) -> None:
        self.reason, self.key = reason, key
        super().__init__(message)


class BudgetExceeded(TurnRejected):
    """The session, or all of the manager's, have cost what they may.

    Attributes:
        cost_usd: US dollars so far.
        limit_usd: the bound.
    """

    def __init__(self, limit: str, *, cost_usd: float, limit_usd: float, key: str | None = None) -> None:
        self.cost_usd, self.limit_usd = cost_usd, limit_usd
        whose = f" by the session {brief(key)}" if key is not None else ""
        text = f"Limits.{limit} is {limit_usd:g} US dollars, and {cost_usd:.4g} were spent{whose}; raise it to go on"
        super().__init__(text, reason=limit, key=key)


class SessionFailed(LimitError):
    """The conversation is broken for now: its agents died too often, or triologue has a bug.

    Attributes:
        reason: why, in words.
        retry_at: when it may be tried again, on trio's clock; None: at once.
    """

    def __init__(self, message: str, *, reason: str = "", retry_at: float | None = None) -> None:
        self.reason, self.retry_at = reason, retry_at
        super().__init__(message)


class StoreError(TriologueError):
    """What is kept could not be read or written."""


START_AFRESH: Final = "start afresh by leaving `resume` out, or under a manager's key by `session.reset()`"


class SessionNotFound(StoreError):
    """There is no conversation with this id.

    Attributes:
        session_id: the id that was asked for.
        cwd: where the agent looked from.
        config_dir: the agent's config folder, where it keeps conversations.
    """

    def __init__(
        self, session_id: str, *, cwd: str | Path | None = None, config_dir: str | Path | None = None, detail: str = ""
    ) -> None:
        self.session_id, self.cwd, self.config_dir = session_id, cwd, config_dir
        where = f" (cwd {str(cwd)!r}" + (f", config folder {str(config_dir)!r})" if config_dir else ")") if cwd else ""
        reason = f": {detail}" if detail else ""
        super().__init__(f"no conversation has the session id {session_id!r}{where}{reason}; {START_AFRESH}")


class SessionElsewhere(StoreError):
    """Another host writes to the conversation.

    Attributes:
        owner: which one.
        until: when its lease ends unless it is renewed, in seconds since the epoch.
    """

    def __init__(self, key: str, *, owner: str, until: float) -> None:
        self.owner, self.until = owner, until
        super().__init__(
            f"the session {key!r} is held by {told_owner(owner)}; it can be read here, and taken over once that host has let it go "
            "or its lease has run out"
        )


class LeaseLost(StoreError):
    """A write came too late: another host has taken the conversation over, and nothing was written."""


class GatewayError(TriologueError):
    """The other end of `open_remote`, or the way to it, does not do its part."""


class GatewayLost(GatewayError):
    """There is no connection to the gateway.

    It could not be made, or broke before the reply to a request that must not be said twice: that may have been done.
    """


class GatewayRefused(GatewayError):
    """The gateway does not want this client, or takes it for broken; to connect again would not help.

    Attributes:
        code: with which it closed the connection, see `docs/reference/gateway.md`; or an HTTP status; None: TLS failed.
    """

    def __init__(self, message: str, *, code: int | None = None) -> None:
        self.code = code
        super().__init__(message)


def brief(value: object) -> str:
    """The `repr` of a value, cut to 80 characters."""
    shown = repr(value)
    return shown if len(shown) <= 80 else f"{shown[:79]}…"


def reason_of(error: BaseException) -> str:
    """What went wrong, in words and without a trace; each of several."""
    if isinstance(error, BaseExceptionGroup):
        return "; ".join(reason_of(each) for each in error.exceptions)
    try:
        return str(error) or type(error).__name__
    except Exception:  # noqa: BLE001 - an error class that fails to say what it is
        return type(error).__name__


def told_owner(owner: str) -> str:
    """A host's name as people read it, without what only programs need: `bot.py on web-1, pid 4711`."""
    return owner.partition(" [")[0]
