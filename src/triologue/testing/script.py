"""What a scripted agent does with a prompt, as data: a script is a sequence of steps."""

from collections.abc import Awaitable, Callable, Sequence
from typing import Any, TypeAlias

from msgspec import Struct, field


class Say(Struct, frozen=True, repr_omit_defaults=True):
    """Say a text, word by word where the host wants partials, `every` seconds between the words."""

    text: str
    every: float = 0.0


class Wait(Struct, frozen=True, repr_omit_defaults=True):
    """Say nothing for so many seconds."""

    seconds: float


class Stall(Struct, frozen=True):
    """Say nothing more, and never end the turn. An interrupt ends it."""


class Deaf(Struct, frozen=True):
    """From here on, do not listen to interrupts."""


class Unread(Struct, frozen=True):
    """Do not even take the prompt up. It must be the only step."""


class UseTool(Struct, frozen=True, repr_omit_defaults=True):
    """Use a tool of the agent's own, which takes `seconds`. Prompts that steer are taken in when it ends.

    With `asks` the host is asked for permission first; a tool that it denies has an error for its result.
    """

    name: str
    input: dict[str, Any] = field(default_factory=dict[str, Any])
    result: str = "done"
    seconds: float = 0.0
    is_error: bool = False
    asks: bool = False


class CallHost(Struct, frozen=True, repr_omit_defaults=True):
    """Call a tool of an MCP server that lives in the host, without asking for permission."""

    server: str
    tool: str
    arguments: dict[str, Any] = field(default_factory=dict[str, Any])


class RateLimit(Struct, frozen=True, repr_omit_defaults=True):
    """Tell how much of the account's allowance is left: `allowed`, `allowed_warning` or `rejected`."""

    status: str = "rejected"
    resets_at: float | None = None
    """Seconds since 1970."""
    kind: str = "five_hour"


class ApiError(Struct, frozen=True, repr_omit_defaults=True):
    """End the turn as one whose model could not be reached: 429, 529, 401 ..."""

    status: int = 429
    message: str = "API Error"


class Fail(Struct, frozen=True, repr_omit_defaults=True):
    """End the turn with an error result."""

    reason: str = "it failed"
    subtype: str = "error_during_execution"


class Line(Struct, frozen=True):
    """Write these bytes as a line, whatever they are."""

    content: bytes


class Oversize(Struct, frozen=True):
    """Write a line of so many bytes."""

    size: int


class Crash(Struct, frozen=True, repr_omit_defaults=True):
    """Go away, in the middle of whatever it is."""

    code: int = 1
    stderr: str = ""


class Background(Struct, frozen=True, repr_omit_defaults=True):
    """Leave something running that ends in `after` seconds; the agent then begins a turn of its own with `steps`."""

    steps: tuple["Step", ...] = ()
    after: float = 1.0


Step: TypeAlias = (
    Say
    | Wait
    | Stall
    | Deaf
    | Unread
    | UseTool
    | CallHost
    | RateLimit
    | ApiError
    | Fail
    | Line
    | Oversize
    | Crash
    | Background
    | Callable[[Any], Awaitable[None]]
)
"""One thing that an agent does. An async function is given the `AgentTurn`, and does with it what no other step does."""

Script: TypeAlias = Sequence[Step]


def check_steps(steps: Sequence[object]) -> None:
    """Refuse what an agent could not do.

    Raises:
        TypeError: something is neither a step nor a function.
    """
    for step in steps:
        if not isinstance(step, Struct) and (isinstance(step, type) or not callable(step)):
            raise TypeError(f"{step!r} is no step of a script; give Say('...'), another step, or an async function")


def echo(prompt: str) -> Script:
    """Say what was said."""
    return (Say(prompt),)
