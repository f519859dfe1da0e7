"""How much there may be (`Limits`), and how long things may take (`Deadlines`)."""

import os

from msgspec import Struct, field

from triologue.errors import InvalidOption, brief


class Limits(Struct, frozen=True, kw_only=True):
    """How much there may be, and what happens beyond it."""

    mailbox: int = 100
    """Turns that may wait in one session; one more raises `MailboxFull`."""
    max_starting: int = field(default_factory=lambda: os.cpu_count() or 1)
    """Agent processes that start at the same time; the others wait their turn. More than cores only slows each."""
    max_message_bytes: int = 64 * 1024 * 1024
    """A longer line of the agent becomes an `OversizeMessage`."""
    log: int = 1_000
    """Records that a session keeps in memory; a reader of older ones sees a `Gap`."""
    log_bytes: int = 24 * 1024
    """What these records may weigh, in bytes of their lines."""
    held_bytes: int = 4 * 1024 * 1024
    """What a `Turn` that somebody holds, or a reader that is behind, keeps beyond that, in bytes of lines."""


class Deadlines(Struct, frozen=True, kw_only=True):
    """How long things may take, in seconds; None: without end."""

    start: float | None = 60
    """From spawning the agent to its answer to the handshake."""
    permission: float | None = 3600
    """From a permission request to its answer; then it is denied, with this as the reason."""
    control: float | None = 60
    """From a control request of ours to the agent's answer; then it is withdrawn."""
    interrupt: float = 10
    """From an interrupt to the end of the turn; then the agent is killed."""
    drain: float = 30
    """How long running turns may go on when the manager's block is left."""
    close: float = 10
    """For an agent to leave by itself when its connection is closed; then it is killed."""


def check_limits(limits: Limits, deadlines: Deadlines) -> None:
    """Refuse limits that cannot work.

    Raises:
        InvalidOption: a limit that is no whole number of 1 or more, or a deadline that is no number of seconds.
    """
    if not isinstance(limits, Limits) or not isinstance(deadlines, Deadlines):
        raise InvalidOption(f"limits are Limits(...) and deadlines Deadlines(...), not {brief((limits, deadlines))}")
    for name in limits.__struct_fields__:
        value = getattr(limits, name)
        if not isinstance(value, int) or value < 1:
            raise InvalidOption(f"Limits({name}={brief(value)}) is no whole number of 1 or more")
    for name in deadlines.__struct_fields__:
        value = getattr(deadlines, name)
        is_endless = value is None and name in ("start", "permission", "control")
        if not is_endless and (not isinstance(value, int | float) or not value >= 0):
            raise InvalidOption(f"Deadlines({name}={brief(value)}) is no number of seconds, 0 or more")
