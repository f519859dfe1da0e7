"""Lines from bytes: where they end, what is too long, and that no byte is looked at again and again."""

from typing import Any

import pytest

from triologue.wire.framing import HEAD_BYTES, Framer, LongLine


def frame(*chunks: bytes, limit: int = 100) -> list[bytes | LongLine]:
    framer = Framer(limit)
    return [line for chunk in chunks for line in framer.feed(chunk)] + framer.close()


@pytest.mark.parametrize(
    ("chunks", "lines"),
    [
        ([], []),
        ([b""], []),
        ([b"a"], [b"a"]),
        ([b"a\n"], [b"a"]),
        ([b"a\nb"], [b"a", b"b"]),
        ([b"a", b"b\nc", b"", b"d\n"], [b"ab", b"cd"]),
        ([b"a", b"\n", b"\n", b"b\n"], [b"a", b"", b"b"]),
        ([b"\xe2\x80", b"\xa8\n"], ["\u2028".encode()]),  # a character in two reads, and one that splits text only
        ([b"a\r\nb\rc\n"], [b"a\r", b"b\rc"]),
    ],
)
def test_lines_end_at_newlines_and_nowhere_else(chunks: list[bytes], lines: list[bytes]) -> None:
    assert frame(*chunks) == lines


def test_a_line_may_be_as_long_as_the_limit() -> None:
    assert frame(b"x" * 100 + b"\n" + b"y" * 101 + b"\nz\n") == [b"x" * 100, LongLine(101, b"y" * 100), b"z"]


@pytest.mark.parametrize("size", [1, 7, 99, 100, 101, 5000])
def test_what_is_kept_of_a_long_line_does_not_depend_on_the_chunks(size: int) -> None:
    data = b"ok\n" + bytes(range(32, 127)) * 40 + b"\nok"
    chunks = [data[start : start + size] for start in range(0, len(data), size)]
    expected = [b"ok", LongLine(3800, (bytes(range(32, 127)) * 40)[:HEAD_BYTES]), b"ok"]
    assert frame(*chunks, limit=2000) == expected


def test_a_long_line_at_the_end_of_the_stream_is_told_too() -> None:
    assert frame(b"x" * 60, b"x" * 60) == [LongLine(120, b"x" * 100)]


@pytest.mark.parametrize("size", [100, 4096, 5000, 65_536])
def test_short_and_long_lines_may_take_turns(size: int) -> None:
    lines = [
        bytes([65 + i % 26]) * length for i, length in enumerate([10, 0, 700] * 60 + [9000, 3000] * 20 + [5] * 300)
    ]
    data = b"\n".join(lines)
    chunks = [data[start : start + size] for start in range(0, len(data), size)]
    assert frame(*chunks, *[b"\n", data, b"\n"], limit=len(data)) == lines * 2


class Counted(bytes):
    """Bytes that count how many of them were searched or copied."""

    work = 0

    def find(self, *args: Any) -> int:
        found = super().find(*args)
        start = args[1] if len(args) > 1 else 0
        Counted.work += (found if found >= 0 else len(self)) - start
        return found

    def __getitem__(self, key: Any) -> Any:
        part = Counted(super().__getitem__(key))
        Counted.work += len(part)
        return part

    def unexpected(self, *_args: Any, **_options: Any) -> Any:
        raise AssertionError("this work is not counted")

    rfind = index = split = splitlines = partition = join = __add__ = unexpected


@pytest.mark.parametrize("size", [1, 10, 1000, 50_000])
@pytest.mark.parametrize("data", [b"x" * 50_000 + b"\n", b"0123456\n" * 6250], ids=["one line", "many lines"])
def test_the_work_is_linear_in_the_bytes(data: bytes, size: int) -> None:
    Counted.work = 0
    framer = Framer(1_000_000)
    lines = [line for start in range(0, len(data), size) for line in framer.feed(Counted(data[start : start + size]))]
    assert lines == data.split(b"\n")[:-1]
    assert Counted.work <= 2 * len(data)
