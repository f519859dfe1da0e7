"""What a bounded history keeps: the newest, without a hole, within its bounds and not much less than they allow."""

from hypothesis import given, strategies as st

from triologue.actors.records import Records, keep
from triologue.messages import Gap, UnknownMessage

sizes = st.integers(1, 40)


@given(
    batches=st.lists(st.lists(sizes, min_size=1, max_size=6), min_size=1, max_size=12),
    limit=st.integers(1, 12),
    limit_bytes=st.integers(1, 120),
)
def test_the_newest_are_kept_within_the_bounds(batches: list[list[int]], limit: int, limit_bytes: int) -> None:
    records, added = Records(limit, limit_bytes), list[int]()
    for batch in batches:
        run = keep(len(added) + 1, None, [UnknownMessage(line=b"x" * size) for size in batch])
        assert run is not None
        records.add(run)
        added += batch

        gaps, kept = list[Gap](), list[int]()
        for shown in records.after(0):
            for message in shown.messages:
                if isinstance(message, Gap):
                    gaps.append(message)
                else:
                    kept.append(len(message.line))

        dropped = len(added) - len(kept)
        assert kept == added[dropped:]
        assert gaps == ([Gap(first=1, last=dropped)] if dropped else [])
        assert len(records) == len(kept) <= limit
        assert sum(kept) <= limit_bytes or len(kept) == 1
        fits_one_more = len(kept) < limit and sum(added[dropped - 1 :]) <= limit_bytes
        is_half_full = len(kept) * 2 >= limit or sum(kept) * 2 >= limit_bytes
        assert not dropped or is_half_full or not fits_one_more
