import pytest

from triologue.cli.sessions.spans import ago, clock, seconds_of


def test_spans() -> None:
    assert [seconds_of(span) for span in ("90s", "1.5m", " 12 h", "30D", "2w", "0d")] == [
        90,
        90,
        43_200,
        2_592_000,
        1_209_600,
        0,
    ]
    for wrong in ("", "30", "d", "-1d", "1y", "infd", "1d2h"):
        with pytest.raises(ValueError, match="is no time span; give a number with s, m, h, d or w, as in 30d"):
            seconds_of(wrong)


def test_how_long_ago() -> None:
    assert [ago(seconds) for seconds in (0, 59, 60, 3_599, 3_600, 86_399, 86_400, 1e9)] == [
        "just now",
        "just now",
        "1 min ago",
        "59 min ago",
        "1 h ago",
        "23 h ago",
        "1 d ago",
        "11574 d ago",
    ]


def test_no_time_is_told_where_there_is_none() -> None:
    assert [clock(time) for time in (0.0, float("nan"), 1e30)] == ["-", "-", "-"]
