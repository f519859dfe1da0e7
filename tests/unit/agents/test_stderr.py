"""An agent's stderr: lines for the callback, and its end."""

import pytest
from hypothesis import given, strategies as st

from triologue.agents.stderr import MAX_LINE, TAIL, ErrorOutput


@given(st.text(alphabet="aé€😀\n\r\u2028\0", max_size=60), st.data())
def test_the_lines_do_not_depend_on_the_chunks(text: str, data: st.DataObject) -> None:
    encoded = text.encode()
    cuts = sorted(data.draw(st.lists(st.integers(0, len(encoded)))))
    lines: list[str] = []
    output = ErrorOutput(lines.append)
    for start, end in zip([0, *cuts], [*cuts, len(encoded)], strict=True):
        output.feed(encoded[start:end])
    output.close()
    *whole, last = text.split("\n")
    assert lines == [line.removesuffix("\r") for line in whole] + ([last] if last else [])
    assert output.read_tail() == text


def test_what_is_no_text_is_replaced() -> None:
    lines: list[str] = []
    output = ErrorOutput(lines.append)
    output.feed(b"a\xff\nb\xe2")
    output.close()
    assert lines == ["a\ufffd", "b\ufffd"]
    assert output.read_tail() == "a\ufffd\nb\ufffd"


def test_a_line_without_end_is_handed_on_in_pieces() -> None:
    lines: list[str] = []
    output = ErrorOutput(lines.append)
    output.feed(b"x" * (MAX_LINE - 1))
    assert lines == []
    output.feed(b"x")
    output.feed(b"y\nz")
    output.close()
    assert lines == ["x" * MAX_LINE, "y", "z"]


def test_the_tail_is_cut_between_characters() -> None:
    output = ErrorOutput(None)
    output.feed("€".encode() * TAIL)
    output.feed(b"end")
    assert output.read_tail() == "€" * ((TAIL - 3) // 3) + "end"


def test_a_callback_that_raises_loses_its_line_only_and_is_told_of_once(caplog: pytest.LogCaptureFixture) -> None:
    lines: list[str] = []

    def on_line(line: str) -> None:
        lines.append(line)
        if line.startswith("bad"):
            raise ValueError(line)

    output = ErrorOutput(on_line, "claude")
    output.feed(b"good\n" + b"bad\n" * 3 + b"good again\nbad end")
    output.close()
    assert lines == ["good", "bad", "bad", "bad", "good again", "bad end"]
    assert [(record.message, bool(record.exc_info)) for record in caplog.records] == [
        ("the stderr callback of 'claude' raised; further lines are counted", True),
        ("the stderr callback of 'claude' raised 4 times", False),
    ]
