"""Framing: time over bytes for long lines and tiny chunks. Linear means that the ratios stay as they are.

A line of many megabytes costs more for each of them than a short one, because its memory is fresh; so does
`b"".join(chunks)`, which is the least that any framer can do with one line, and stands beside it.
"""

import time
from collections.abc import Callable

from triologue.wire.framing import Framer

MB = 1_000_000
LINE = b"x" * 599 + b"\n"


def best(work: Callable[[], int], expected: int) -> float:
    """Seconds of the fastest of five runs."""
    fastest = float("inf")
    for _ in range(5):
        start = time.perf_counter()
        result = work()
        fastest = min(fastest, time.perf_counter() - start)
        assert result == expected
    return fastest


def report(title: str, streams: list[tuple[str, bytes]], chunk_size: int) -> None:
    first = 0.0
    for name, data in streams:
        chunks = [data[start : start + chunk_size] for start in range(0, len(data), chunk_size)]

        def framed(chunks: list[bytes] = chunks) -> int:
            framer = Framer(64 * MB)
            return sum(len(framer.feed(chunk)) for chunk in chunks)

        def joined(chunks: list[bytes] = chunks) -> int:
            return len(b"".join(chunks))

        megabytes = len(data) / MB
        ours = best(framed, data.count(b"\n")) / megabytes
        join = best(joined, len(data)) / megabytes
        first = first or ours
        print(
            f"{title:28} {name:>6}: {ours * 1e3:9.3f} ms/MB, {ours / first:5.2f} times the first, "
            f"{ours / join:5.2f} times a join"
        )


def main() -> None:
    lines = [(f"{size} MB", b"x" * (size * MB - 1) + b"\n") for size in (1, 10, 40)]
    report("one line, 64 KiB chunks", lines, 65_536)
    report("one line, 600 B chunks", lines, 600)
    report("one line, 1 B chunks", [(f"{size} MB", b"x" * (size * MB - 1) + b"\n") for size in (1, 4)], 1)
    streams = [(f"{size} MB", LINE * (size * MB // len(LINE))) for size in (1, 10, 40)]
    report("600 B lines, 64 KiB chunks", streams, 65_536)
    report("600 B lines, 600 B chunks", streams, 600)
    report("600 B lines, 1 B chunks", [(f"{size} MB", LINE * (size * MB // len(LINE))) for size in (1, 4)], 1)


if __name__ == "__main__":
    main()
