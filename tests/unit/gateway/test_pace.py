"""Prompts a second, told apart by token."""

from triologue.gateway.pace import FORGET_ABOVE, Pace


def test_so_many_at_once_and_then_so_many_a_second() -> None:
    pace = Pace(2)
    assert [pace.spend("a", 0.0) for _ in range(3)] == [True, True, False]
    assert [pace.spend("a", now) for now in (0.25, 0.5, 0.5, 1.0)] == [False, True, False, True]
    assert pace.spend("b", 0.5)


def test_less_than_one_a_second() -> None:
    pace = Pace(0.5)
    assert [pace.spend("a", now) for now in (0.0, 1.0, 2.0, 3.0, 4.0)] == [True, False, True, False, True]


def test_tokens_that_have_sent_nothing_lately_are_forgotten() -> None:
    pace = Pace(2)
    for number in range(3 * FORGET_ABOVE):
        assert pace.spend(f"token {number}", number / 100)
    assert len(pace) <= FORGET_ABOVE
    assert [pace.spend("token 2999", 29.99) for _ in range(2)] == [True, False]
