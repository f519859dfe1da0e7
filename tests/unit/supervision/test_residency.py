"""Who may be live: in order, within every bound, and room is made by those who have nothing to do."""

import pytest

from tests.support.counted_text import CountedText
from triologue.supervision.residency import Effect, Evict, Grant, Residency
from triologue.supervision.waits import ResidencyStatistics, Wait


def two(**bounds: int) -> Residency:
    return Residency({"process": 2}, **bounds)


def want(residency: Residency, key: str, now: float = 0, *, kind: str = "process", group: str = "") -> list[Effect]:
    return residency.want(key, 1, kind=kind, group=group, now=now)


def test_whoever_finds_a_free_place_has_it_at_once_and_the_next_waits_for_one() -> None:
    residency = two()
    assert want(residency, "a") == [Grant("a", 1)]
    assert want(residency, "b") == [Grant("b", 1)]
    assert want(residency, "c") == []
    assert want(residency, "d", now=3) == []
    assert residency.why("d") == Wait("max_live", bound=2, used=2, idle=0, leaving=0, before=1, since=3)
    assert str(residency.why("d")) == "2 of 2 agents live, all busy; 1 waits before it"
    assert residency.left("a", 1, now=4) == [Grant("c", 1)]
    assert residency.why("c") is None
    assert str(residency.why("d")) == "2 of 2 agents live, all busy"
    assert residency.left("b", 1, now=5) == [Grant("d", 1)]


def test_who_asks_for_the_places_of_all_goes_through_the_line_once() -> None:
    residency, keys = two(), [CountedText(number) for number in range(100)]
    for key in keys:
        want(residency, key)
    CountedText.comparisons = 0
    waits = [residency.why(key) for key in keys]
    assert [wait.before for wait in waits if wait is not None] == list(range(98))
    assert CountedText.comparisons == 0
    residency.left(keys[50], 1, now=1)
    assert [wait.before for key in keys if (wait := residency.why(key)) is not None] == list(range(97))


def test_the_least_recently_used_is_asked_to_make_room_and_its_place_goes_on_when_it_has_left() -> None:
    residency = two()
    for key in "ab":
        want(residency, key)
    residency.idle("b", 1, now=1)
    residency.idle("a", 1, now=2)
    assert want(residency, "c", now=3) == [Evict("b", 1)]
    assert str(residency.why("c")) == "2 of 2 agents live, 1 about to leave"
    residency.leaving("b", 1)
    assert residency.left("b", 1, now=4) == [Grant("c", 1)]
    assert residency.statistics() == ResidencyStatistics({"process": 2}, idle=1, leaving=0, waiting=0, rss_bytes=0)


def test_one_that_refuses_is_busy_and_the_next_is_asked() -> None:
    residency = two()
    for key in "ab":
        want(residency, key)
        residency.idle(key, 1, now=0)
    assert want(residency, "c") == [Evict("a", 1)]
    assert residency.refused("a", 1, now=1) == [Evict("b", 1)]
    assert residency.refused("b", 1, now=1) == []
    assert residency.idle("a", 1, now=2) == [Evict("a", 1)]
    assert residency.left("a", 1, now=3) == [Grant("c", 1)]


def test_when_all_are_busy_the_first_that_becomes_idle_is_asked_and_for_one_need_only_one() -> None:
    residency = two()
    for key in "abc":
        want(residency, key)
    assert residency.idle("b", 1, now=1) == [Evict("b", 1)]
    assert residency.idle("a", 1, now=2) == []
    residency.busy("a", 1)
    assert want(residency, "d", now=3) == []
    assert residency.idle("a", 1, now=4) == [Evict("a", 1)]


def test_one_that_leaves_by_itself_makes_room_too() -> None:
    residency = two()
    for key in "ab":
        want(residency, key)
        residency.idle(key, 1, now=0)
    residency.leaving("b", 1)
    assert want(residency, "c") == []
    assert residency.left("b", 1, now=1) == [Grant("c", 1)]


def test_a_waiter_that_is_withdrawn_is_passed_over() -> None:
    residency = two()
    for key in "abcd":
        want(residency, key)
    assert residency.left("c", 1, now=1) == []
    assert residency.left("a", 1, now=1) == [Grant("d", 1)]


def test_what_is_said_about_an_earlier_generation_does_nothing_to_the_next() -> None:
    residency = two()
    for key in "ab":
        want(residency, key)
    residency.left("a", 1, now=1)
    assert residency.want("a", 2, kind="process", now=2) == [Grant("a", 2)]
    want(residency, "c")
    for late in (residency.left, residency.refused, residency.idle):
        assert late("a", 1, now=3) == []
    residency.leaving("a", 1)
    assert residency.statistics() == ResidencyStatistics({"process": 2}, idle=0, leaving=0, waiting=1, rss_bytes=0)
    assert residency.idle("a", 2, now=4) == [Evict("a", 2)]


def test_a_full_group_evicts_its_own_and_holds_up_nobody_else() -> None:
    residency = Residency({"process": 4}, max_live_per_group=1)
    assert want(residency, "a", group="red") == [Grant("a", 1)]
    assert want(residency, "b", group="blue") == [Grant("b", 1)]
    residency.idle("b", 1, now=1)
    assert want(residency, "c", group="red") == []
    assert str(residency.why("c")) == "1 of 1 agents live in its group, all busy"
    assert want(residency, "d", group="green") == [Grant("d", 1)]
    assert residency.idle("a", 1, now=2) == [Evict("a", 1)]
    assert residency.left("a", 1, now=3) == [Grant("c", 1)]


def test_one_eviction_serves_group_and_kind_where_it_can() -> None:
    residency = Residency({"process": 2}, max_live_per_group=1)
    want(residency, "a", group="red")
    want(residency, "b", group="blue")
    residency.idle("a", 1, now=1)
    residency.idle("b", 1, now=2)
    assert want(residency, "c", group="blue") == [Evict("b", 1)]
    assert residency.left("b", 1, now=3) == [Grant("c", 1)]


def test_a_group_counts_across_kinds_and_then_two_may_have_to_leave_for_one() -> None:
    residency = Residency({"process": 1, "embedded": 1}, max_live_per_group=1)
    want(residency, "a", kind="process", group="red")
    want(residency, "b", kind="embedded", group="blue")
    residency.idle("a", 1, now=1)
    assert want(residency, "c", kind="process", group="blue") == []
    assert residency.idle("b", 1, now=2) == [Evict("a", 1), Evict("b", 1)]
    assert residency.left("a", 1, now=3) == []
    assert residency.left("b", 1, now=3) == [Grant("c", 1)]


def test_each_kind_has_its_own_bound() -> None:
    residency = Residency({"process": 1, "embedded": 1000})
    want(residency, "a")
    assert want(residency, "b") == []
    assert want(residency, "c", kind="embedded") == [Grant("c", 1)]
    with pytest.raises(ValueError, match=r"the kind 'cloud', only for \['embedded', 'process'\]"):
        want(residency, "d", kind="cloud")


def test_over_the_memory_bound_idle_ones_leave_and_nobody_enters() -> None:
    residency = Residency({"process": 9}, max_rss_bytes=100 * 2**20)
    for key in "abc":
        want(residency, key)
        residency.idle(key, 1, now=0)
    assert residency.measured({(key, 1): 50 * 2**20 for key in "abc"}, now=1) == [Evict("a", 1)]
    assert want(residency, "d", now=2) == []
    why = "the agents use 150 MiB of the 100 MiB they may use, 1 about to leave"
    assert str(residency.why("d")) == why
    assert residency.left("a", 1, now=3) == [Grant("d", 1)]


def test_a_memory_bound_that_is_too_small_lets_one_live_after_the_other() -> None:
    residency = Residency({"process": 9}, max_rss_bytes=1)
    want(residency, "a")
    residency.measured({("a", 1): 50, ("b", 1): 50}, now=0)
    assert residency.idle("a", 1, now=1) == []
    assert want(residency, "b", now=2) == [Evict("a", 1)]
    assert want(residency, "c", now=2) == []
    assert residency.left("a", 1, now=3) == [Grant("b", 1), Grant("c", 1)]


def test_room_is_made_for_many_a_few_at_a_time() -> None:
    residency = Residency({"process": 100})
    for number in range(100):
        want(residency, f"old {number}")
        residency.idle(f"old {number}", 1, now=number)
    asked = [effect for number in range(100) for effect in want(residency, f"new {number}", now=100)]
    assert asked == [Evict(f"old {number}", 1) for number in range(16)]
    assert residency.left("old 3", 1, now=101) == [Grant("new 0", 1), Evict("old 16", 1)]


def test_a_key_cannot_have_two_places() -> None:
    residency = two()
    want(residency, "a")
    with pytest.raises(ValueError, match="'a' has a place already, or waits for one"):
        residency.want("a", 2, kind="process", now=1)
