"""One line a minute of what is alike."""

import trio
from trio.testing import MockClock

from triologue.actors import OnceAMinute
from triologue.actors.once_a_minute import FORGET_ABOVE


def raised(error: Exception, *, elsewhere: bool = False) -> Exception:
    """The error as it is once it was raised, in one of two lines."""
    try:
        if elsewhere:
            raise error
        raise error
    except Exception as caught:  # noqa: BLE001 - it is any
        return caught


async def test_what_is_alike_has_one_line_a_minute_which_counts_the_others(autojump_clock: MockClock) -> None:
    told = OnceAMinute()
    first = [told.suffix(kind) for kind in ("a", "a", "b", "a")]
    await trio.sleep(60)
    assert (first, told.suffix("a"), told.suffix("b")) == (["", None, "", None], " (2 more since the last)", "")


async def test_errors_of_one_kind_are_alike_where_one_line_raised_one_class(autojump_clock: MockClock) -> None:
    told = OnceAMinute()
    one, two, other = raised(KeyError(1)), raised(KeyError(2)), raised(ValueError(1))
    assert [told.suffix("a", error) for error in (one, two, other, one, other)] == ["", None, "", None, None]
    assert [told.suffix("a", raised(KeyError(1), elsewhere=True)), told.suffix("b", one)] == ["", ""]
    assert told.suffix("a", ExceptionGroup("both", [ExceptionGroup("one", [one]), TypeError()])) is None
    assert [told.suffix("a", error) for error in (KeyError(), KeyError())] == ["", None]  # nobody has raised them


async def test_what_was_told_long_ago_is_forgotten(autojump_clock: MockClock) -> None:
    told = OnceAMinute()
    for number in range(FORGET_ABOVE):
        told.suffix(str(number))
    told.suffix("0")
    assert told.suffix("new") == ""
    assert told.suffix("0") is None
    await trio.sleep(60)
    assert told.suffix("newest") == ""
    assert told.suffix("0") == ""
