"""An account's limit: its turns wait for the reset, one is sent to see, and the others follow in slices."""

import time

import pytest

from tests.support.counted_text import CountedText
from triologue.session.usage_limits import LimitReached
from triologue.supervision.quota import Admit, Effect, Held, QuotaGate

T = 1_764_000_000.0
ME = "account"
UNTIL_NOON = LimitReached("the limit 'five_hour' is reached", resets_at=T + 3600)
NO_TIME = LimitReached("the API answered 429: slow down")


def admit(*keys: str) -> list[Effect]:
    return [Admit(ME, key) for key in keys]


def closed(limit: LimitReached, *waiting: str) -> QuotaGate:
    gate = QuotaGate()
    gate.limited(ME, "first", limit, now=T)
    for key in waiting:
        assert gate.ask(ME, key, now=T) == []
    return gate


def test_a_gate_that_no_limit_closed_is_open() -> None:
    gate = QuotaGate()
    assert gate.ask(ME, "a", now=T) == admit("a")
    assert gate.passed(ME, "a", now=T) == gate.withdraw(ME, "a", now=T) == gate.tick(now=T) == []
    assert gate.next_time() is None


def test_turns_wait_until_the_time_that_the_limit_names_and_say_so(monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setenv("TZ", "UTC")
    time.tzset()
    gate = closed(UNTIL_NOON, "a", "b")
    assert gate.next_time() == T + 3600
    assert gate.why(ME, "b") == Held(UNTIL_NOON.reason, opens_at=T + 3600, before=1)
    assert str(gate.why(ME, "b")) == (
        "the limit 'five_hour' is reached; waits until 2025-11-24 17:00:00 UTC; 1 waits before it"
    )
    assert gate.tick(now=T + 3599) == []
    assert gate.tick(now=T + 3600) == admit("a")
    assert str(gate.why(ME, "b")) == "the limit 'five_hour' is reached; it is being tried again, a few turns at a time"
    assert gate.why(ME, "a") is None


def test_who_asks_for_the_places_of_all_goes_through_the_line_once() -> None:
    keys = [CountedText(number) for number in range(100)]
    gate = closed(UNTIL_NOON, *keys)
    CountedText.comparisons = 0
    assert [held.before for key in keys if (held := gate.why(ME, key)) is not None] == list(range(100))
    assert CountedText.comparisons == 0
    gate.withdraw(ME, keys[50], now=T)
    assert [held.before for key in keys if (held := gate.why(ME, key)) is not None] == list(range(99))


def test_a_gate_that_nobody_comes_to_any_more_is_forgotten_a_day_after_it_could_be_tried() -> None:
    gate, names = QuotaGate(), [f"token {number}" for number in range(10)]
    gate.limited(ME, "first", UNTIL_NOON, now=T)
    gate.ask(ME, "waits", now=T)
    for number, name in enumerate(names):
        gate.limited(name, "k", NO_TIME, now=T + number * 50_000)
    assert [name for name in names if gate.is_closed(name)] == names[-2:]
    assert gate.why(ME, "waits") is not None
    assert gate.ask(names[0], "k", now=T + 500_000) == [Admit(names[0], "k")]


def test_a_gate_is_forgotten_also_where_others_are_tried_all_the_time() -> None:
    gate, names = QuotaGate(), [f"token {number}" for number in range(10)]
    for number, name in enumerate(names):
        now = T + number * 50_000
        gate.limited(name, "k", NO_TIME, now=now)
        gate.ask(name, "waits", now=now)
        assert gate.tick(now=now + 60) == [Admit(name, "waits")]
    assert [name for name in names if gate.is_closed(name)] == names[-2:]


def test_one_account_does_not_hold_up_another() -> None:
    gate = closed(UNTIL_NOON, "a")
    assert gate.ask("other", "b", now=T) == [Admit("other", "b")]


def test_after_a_good_probe_the_others_follow_in_slices_that_double() -> None:
    gate = closed(UNTIL_NOON, *(f"k{number}" for number in range(70)))
    now = T + 3600
    assert gate.tick(now=now) == admit("k0")
    slices = [gate.passed(ME, "k0", now=now)]
    while (due := gate.next_time()) is not None:
        assert due == now + 5
        now = due
        slices.append(gate.tick(now=now))
    assert [len(part) for part in slices] == [4, 8, 16, 32, 9]
    assert [effect for part in slices for effect in part] == admit(*(f"k{number}" for number in range(1, 70)))
    assert gate.ask(ME, "late", now=now) == admit("late")


def test_whoever_comes_while_it_opens_stands_in_the_same_line() -> None:
    gate = closed(UNTIL_NOON, *"abcdefg")
    gate.tick(now=T + 3600)
    assert gate.passed(ME, "a", now=T + 3601) == admit(*"bcde")
    assert gate.ask(ME, "h", now=T + 3602) == []
    assert gate.tick(now=T + 3606) == admit(*"fgh")


def test_where_nobody_waits_at_the_reset_the_first_who_comes_is_the_probe() -> None:
    gate = closed(UNTIL_NOON)
    assert gate.next_time() is None
    assert gate.ask(ME, "a", now=T + 4000) == admit("a")
    assert gate.ask(ME, "b", now=T + 4001) == []
    assert gate.passed(ME, "a", now=T + 4002) == admit("b")


def test_a_probe_that_hits_the_limit_closes_the_gate_again() -> None:
    gate = closed(UNTIL_NOON, "a", "b")
    assert gate.tick(now=T + 3600) == admit("a")
    gate.limited(ME, "a", LimitReached("again", resets_at=T + 7200), now=T + 3601)
    assert gate.why(ME, "b") == Held("again", opens_at=T + 7200, before=0)
    assert gate.tick(now=T + 7199) == []
    assert gate.tick(now=T + 7200) == admit("b")


def test_without_a_time_it_is_closed_ever_longer_until_a_turn_went_well() -> None:
    gate = closed(NO_TIME, *"abcdefg")
    now, waits = T, []
    for key in "abcdef":
        due = gate.next_time()
        assert due is not None
        waits.append(due - now)
        now = due
        assert gate.tick(now=now) == admit(key)
        gate.limited(ME, key, NO_TIME, now=now)
    assert waits == [60, 120, 240, 480, 900, 900]
    assert gate.tick(now=now + 900) == admit("g")
    assert gate.passed(ME, "g", now=now + 901) == []
    gate.limited(ME, "g", NO_TIME, now=now + 902)
    assert gate.ask(ME, "a", now=now + 903) == []
    assert gate.next_time() == now + 962


def test_many_that_hit_the_same_limit_count_once_and_the_latest_time_holds() -> None:
    gate = closed(NO_TIME, "a")
    gate.limited(ME, "second", NO_TIME, now=T + 1)
    gate.limited(ME, "third", LimitReached("soon", resets_at=T + 30), now=T + 2)
    assert gate.next_time() == T + 60
    gate.limited(ME, "fourth", UNTIL_NOON, now=T + 3)
    assert gate.next_time() == T + 3600


@pytest.mark.parametrize("named", [T - 5, T, T + 400 * 86_400])
def test_a_time_that_is_over_or_far_away_is_not_believed(named: float) -> None:
    assert closed(LimitReached("?", resets_at=named), "a").next_time() == T + 60


def test_a_turn_from_before_the_limit_that_goes_well_opens_nothing() -> None:
    gate = closed(UNTIL_NOON, "a", "b")
    assert gate.passed(ME, "old", now=T + 1) == []
    assert gate.tick(now=T + 3600) == admit("a")
    assert gate.passed(ME, "old", now=T + 3601) == []


def test_a_probe_that_ends_without_an_answer_or_does_not_end_is_followed_by_another() -> None:
    gate = closed(UNTIL_NOON, *"abcd")
    assert gate.tick(now=T + 3600) == admit("a")
    assert gate.withdraw(ME, "a", now=T + 3601) == admit("b")
    assert gate.next_time() == T + 3661
    assert gate.tick(now=T + 3661) == admit("c")
    assert gate.passed(ME, "b", now=T + 3662) == admit("d")


def test_a_waiter_that_is_withdrawn_is_passed_over() -> None:
    gate = closed(UNTIL_NOON, "a", "b")
    assert gate.withdraw(ME, "a", now=T) == []
    assert gate.tick(now=T + 3600) == admit("b")


def test_a_probe_that_goes_well_after_another_one_hit_the_limit_opens_nothing() -> None:
    gate = closed(UNTIL_NOON, *"abc")
    assert gate.tick(now=T + 3600) == admit("a")
    assert gate.tick(now=T + 3660) == admit("b")
    gate.limited(ME, "b", NO_TIME, now=T + 3661)
    assert gate.passed(ME, "a", now=T + 3662) == []
    assert gate.why(ME, "c") == Held(NO_TIME.reason, opens_at=T + 3661 + 120, before=0)
