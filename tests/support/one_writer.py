"""What a log looks like that never had two writers at a time."""

import json
from collections import Counter
from collections.abc import Sequence

from triologue.ports import Record


def check_one_writer(log: Sequence[Record]) -> Counter[str]:
    """Turns of two hosts never overlap, but where the first lost its session in the middle: then it wrote no more."""
    assert [record.seq for record in log] == list(range(1, len(log) + 1))
    kinds: Counter[str] = Counter()
    is_open: str | None = None
    ended: set[str] = set()
    for record in log:
        turn = record.turn_id
        if turn is None:
            continue
        assert turn not in ended, f"{record.kind} of {turn!r} came after its end"
        if record.kind == "#turn_started":
            assert is_open is None, f"{turn!r} began while {is_open!r} ran"
            is_open = turn
        elif record.kind == "#turn_ended":
            ended.add(turn)
            kinds[json.loads(record.line)["kind"]] += 1
            is_open = None if turn == is_open else is_open
        elif record.kind != "#turn_accepted":
            assert turn == is_open, f"{record.kind} of {turn!r} came while {is_open!r} ran"
    return kinds
