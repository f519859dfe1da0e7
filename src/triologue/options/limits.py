"""How much there may be (`Limits`), and how long things may take (`Deadlines`)."""

import os
from collections.abc import Callable
from math import inf

from msgspec import Struct, field

from triologue.errors import InvalidOption, brief


class Limits(Struct, frozen=True, kw_only=True):
    """How much there may be, and what happens beyond it."""

    mailbox: int = 100
    """Prompts that may wait in one session; one more raises `MailboxFull`. An agent that works is handed as many steers
    at most before it has said what it makes of them."""
    max_live: int | None = None
    """Agents that live at the same time; over it the one that was idle for longest hibernates, and where none is idle
    the turn waits. None: twice the cores for agents that are processes, and 10,000 for those inside this program."""
    max_live_per_group: int | None = None
    """The same within each group of sessions; None: no bound."""
    group: Callable[[str], str] | None = None
    """The group of a key, for instance its tenant; needed for `max_live_per_group`."""
    max_rss_bytes: int | None = None
    """Memory of all agent processes with what they started, shared pages counted by share (PSS). Over it idle agents
    hibernate and nothing starts, but for one agent, which may always live. None: no bound."""
    max_asleep: int | None = 10_000
    """Sessions that sleep and are remembered all the same, where there is a store; over it those that nobody uses are put
    away, the one that was used least recently first, and their next use takes them from the store. None: no bound. Without
    a store all are remembered, since they would be lost."""
    max_starting: int = field(default_factory=lambda: os.cpu_count() or 1)
    """Agent processes that start at the same time; the others wait their turn. More than cores only slows each."""
    max_message_bytes: int = 64 * 1024 * 1024
    """A longer line of the agent becomes an `OversizeMessage`."""
    log: int = 1_000
    """Records that a session keeps in memory, at most; a reader of older ones sees a `Gap`."""
    log_bytes: int = 24 * 1024
    """What these records may weigh, in bytes of their lines. The oldest go a batch at a time, so it is often less."""
    held_bytes: int = 4 * 1024 * 1024
    """What a `Turn` that somebody holds, or a reader that is behind, keeps beyond that, in bytes of lines."""
    max_cost_usd: float | None = None
    """US dollars that all sessions of the manager may cost, as far as agents tell. A turn that runs is not stopped by it;
    what waits ends with `BudgetExceeded`, and nothing more is accepted. None: no bound. At 80 % there is a warning."""
    max_cost_usd_per_session: float | None = None
    """The same for each session, whatever was reset in it; with a store from its beginning."""


class Deadlines(Struct, frozen=True, kw_only=True):
    """How long things may take, in seconds; None: without end."""

    start: float | None = 60
    """From spawning the agent to its answer to the handshake."""
    first_event: float | None = 420
    """From the prompt's way to the agent to the first output of the model (`init` comes at once, and is none)."""
    silence: float | None = 420
    """From anything that the agent said in a turn to the next. A tool that runs, and a permission that waits, are no
    silence. Claude Code heals a stalled stream by itself after 300; without partial messages this sees no progress."""
    tool: float | None = None
    """From a tool's call to its result. It begins anew when a permission for it was given."""
    turn: float | None = None
    """Of a whole turn, from the prompt's way to the agent on; it stands still while a permission is asked for."""
    permission: float | None = 3600
    """From a permission request to its answer; then it is denied, with this as the reason."""
    control: float | None = 60
    """From a control request of ours to the agent's answer; then it is withdrawn. What Qoder does before it leaves,
    which is to write its memory down, has this time too (without end it has `close`)."""
    interrupt: float = 10
    """From an interrupt to the end of the turn; then the agent is killed. A turn whose deadline passed is interrupted."""
    idle: float | None = 600
    """How long an agent may have nothing to do; then its session hibernates."""
    max_age: float | None = None
    """How old an agent may get; then it is let go between two turns, and the next turn starts another one."""
    drain: float = 30
    """How long running turns may go on when the manager's block is left."""
    close: float = 10
    """For an agent to leave by itself when its connection is closed; then it is killed. One of your own that does not end
    its connection when it is told to is left after twice this."""
    lease: float = 15
    """How long a session of a store stays with a host that does not say that it is alive; it says so three times as often.
    Only where there is a store."""


# None would let a caller wait for ever for what must end.
_BOUNDED = ("interrupt", "drain", "close", "lease")


def check_limits(limits: Limits, deadlines: Deadlines) -> None:
    """Refuse limits that cannot work.

    Raises:
        InvalidOption: a limit that is no whole number of 1 or more (of money: no amount above 0), groups without a
            function for them, or a deadline that is no number of seconds.
    """
    for given, kind in ((limits, Limits), (deadlines, Deadlines)):
        if not isinstance(given, kind):
            raise InvalidOption(f"{kind.__name__.lower()} are {kind.__name__}(...), not {brief(given)}")
    for name in limits.__struct_fields__:
        _check_limit(name, getattr(limits, name))
    if limits.max_live_per_group is not None and limits.group is None:
        raise InvalidOption("Limits(max_live_per_group=...) needs group=..., a function from a key to its group")
    for name in deadlines.__struct_fields__:
        value = getattr(deadlines, name)
        is_endless = value is None and name not in _BOUNDED
        if not is_endless and (value is None or not _is_number(value) or not value >= 0):
            raise InvalidOption(f"Deadlines({name}={brief(value)}) is no number of seconds, 0 or more")
    if not 0 < deadlines.lease < inf:
        raise InvalidOption(f"Deadlines(lease={brief(deadlines.lease)}) is no number of seconds above 0")


def _check_limit(name: str, value: object) -> None:
    if value is None and name.startswith(("max_live", "max_asleep", "max_rss", "max_cost", "group")):
        return
    if name == "group":
        if not callable(value):
            raise InvalidOption(f"Limits(group={brief(value)}) is no function from a key to its group")
    elif name.startswith("max_cost"):
        if not _is_number(value) or not value > 0:  # type: ignore[operator]  # a number
            raise InvalidOption(f"Limits({name}={brief(value)}) is no amount of US dollars above 0")
    elif not isinstance(value, int) or isinstance(value, bool) or value < 1:
        raise InvalidOption(f"Limits({name}={brief(value)}) is no whole number of 1 or more")


def _is_number(value: object) -> bool:
    return isinstance(value, int | float) and not isinstance(value, bool)
