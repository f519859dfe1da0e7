"""Sessions that are taken from hosts which let their leases run out: they are dead, or stand still, or see no disk."""

import logging

from triologue.errors import told_owner
from triologue.ports import Lease

logger = logging.getLogger("triologue.stores")


def tell_taken_over(ended: Lease, *, now: float) -> None:
    """Log it, as turns may be lost by it.

    Args:
        ended: the lease that ran out.
        now: seconds since the epoch.
    """
    logger.warning(
        "the session %r is taken over from %s, whose lease ended %.0f s ago",
        ended.key,
        told_owner(ended.owner),
        now - ended.until,
        extra={"session_key": ended.key, "turn_id": None},
    )
