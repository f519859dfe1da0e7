"""What a store must refuse, whatever it keeps things in; pure."""

from collections.abc import Callable, Collection, Sequence

from msgspec.structs import replace

from triologue.errors import LeaseLost, SessionElsewhere, SessionNotFound, StoreError, brief, told_owner
from triologue.messages.loose import is_text
from triologue.ports import Append, Lease, Record, StoredSession


def lease_lost(lease: Lease, *, token: int | None) -> LeaseLost:
    """The error for who does not hold a session any more.

    Args:
        lease: whose write it is.
        token: that of the lease which counts now; None: there is none, as it was released, or the session deleted.
    """
    now = "it was released" if token is None else f"token {token} was given out since"
    return LeaseLost(
        f"the lease of {told_owner(lease.owner)} on the session {lease.key!r}, token {lease.token}, does not count any more: "
        f"{now}; nothing was written, and whoever held it should let the session go"
    )


def check_free(held: Lease | None, *, by: Collection[str | None], now: float) -> Lease | None:
    """Refuse what needs a session that nobody else holds; gives somebody else's lease that has run out, where it was not released.

    Args:
        held: the session's last lease, if it was not released.
        by: whose leases are no obstacle.
        now: seconds since the epoch.

    Raises:
        SessionElsewhere: somebody holds it.
    """
    if held is None or held.owner in by:
        return None
    if held.until > now:
        raise SessionElsewhere(held.key, owner=held.owner, until=held.until)
    return held


def check_terms(key: str, *, owner: str, ttl: float) -> None:
    """Refuse a lease that nobody could hold.

    Raises:
        StoreError: the key or the owner is empty or no text, or the time is no number of 0 or more.
    """
    if not key or not owner or not is_text(key + owner) or not 0 <= ttl < float("inf"):
        raise StoreError(f"no lease can be had with key={brief(key)}, owner={brief(owner)}, ttl={ttl!r} seconds")


def new_records(write: Append, *, last_seq: int, line_at: Callable[[int], bytes | None]) -> Sequence[Record] | None:
    """Those of an append's records that are not there yet; None: it was made before, and changes nothing.

    Args:
        write: the append.
        last_seq: that of the newest record that is kept; 0: there is none.
        line_at: gives the line that is kept under a `seq`.

    Raises:
        StoreError: the records do not follow those that are there, or are others.
    """
    session, records = write.session, write.records
    if session.key != write.lease.key:
        raise StoreError(f"the head is that of {brief(session.key)}, and the lease that of {brief(write.lease.key)}")
    if records and records[0].seq <= last_seq:
        records = _without_kept(records, last_seq, line_at)
        if not records:
            return None
    seq = last_seq
    for record in records:
        seq += 1
        if record.seq != seq:
            raise StoreError(
                f"record {record.seq} of the session {session.key!r} does not follow: its log ends with {last_seq}, "
                f"and {seq} is due; read the session again before writing to it"
            )
    if session.last_seq != seq:
        raise StoreError(
            f"the head of {session.key!r} says last_seq={session.last_seq}, but its log ends with {seq} after this append"
        )
    return records


def _without_kept(records: Sequence[Record], last_seq: int, line_at: Callable[[int], bytes | None]) -> Sequence[Record]:
    """What comes after those that are kept already, which must be the same."""
    kept = [record for record in records if record.seq <= last_seq]
    for record in kept:
        if line_at(record.seq) != record.line:
            raise StoreError(f"record {record.seq} is kept already, and is another one; read the session again")
    return records[len(kept) :]


def bare(session: StoredSession) -> StoredSession:
    """The part of a head that changes seldom, and that an append writes."""
    return replace(session, last_seq=0, last_active=0.0, title=None, tags=())


def no_session(key: str) -> SessionNotFound:
    """The error for a key that nothing is kept under."""
    error = SessionNotFound(key)
    error.args = (f"no session has the key {key!r}: nothing is kept under this key",)  # and not under an agent's id
    return error
