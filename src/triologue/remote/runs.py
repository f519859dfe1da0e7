"""Events of one session, cut into runs that a log takes at once."""

from collections.abc import Iterator

from triologue.actors import Log
from triologue.messages import Event, Gap, Message


def runs(events: list[Event]) -> Iterator[list[Event]]:
    """The events in order, cut into runs of one turn, without a `Gap`, whose `seq` counts on; a `Gap` is alone."""
    run: list[Event] = []
    last: int | None = None
    for event in events:
        is_next = last is None or event.seq is None or event.seq == last + 1
        is_gap = isinstance(event.message, Gap)
        if run and (is_gap or run[0].turn_id != event.turn_id or not is_next):
            yield run
            run, last = [], None
        if is_gap:
            yield [event]
        else:
            run.append(event)
            last = event.seq if event.seq is not None else last
    if run:
        yield run


def next_for(log: Log, run: list[Event], position: int) -> list[Message]:
    """What of a run is new to a log, which then ends right before it.

    Args:
        log: has had everything up to its `last`.
        run: one of `runs`.
        position: of the stream that it comes from. Partials are for logs that are not ahead of it.
    """
    is_live = log.last <= position
    new = [event for event in run if (is_live if event.seq is None else event.seq > log.last)]
    first = next((event.seq for event in new if event.seq is not None), None)
    if first is not None:
        log.skip_to(first - 1)
    return [event.message for event in new]
