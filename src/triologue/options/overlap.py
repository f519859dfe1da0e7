"""What happens to a message that comes while another one is being worked on (`Overlap`)."""

from typing import Literal, TypeAlias, get_args

from triologue.errors import InvalidOption, brief

Overlap: TypeAlias = Literal["queue", "reject", "interrupt", "steer", "collect"]
"""`queue`: it waits. `reject`: it is not accepted (`TurnRejected`). `interrupt`: the running turn is stopped, and it runs
before those that wait. `steer`: it is handed to the running turn, where the agent can do that, else it waits. `collect`:
it waits, and goes into the `collect` turn right before it when that begins, if there is one."""

OVERLAPS: tuple[str, ...] = get_args(Overlap)


def check_overlap(overlap: object) -> None:
    """Refuse what is no policy.

    Raises:
        InvalidOption: that is so.
    """
    if overlap not in OVERLAPS:
        raise InvalidOption(f"overlap={brief(overlap)} is none of {', '.join(OVERLAPS)}")
