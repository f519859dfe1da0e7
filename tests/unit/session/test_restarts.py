"""An agent that died is started again: at once, then ever later, and at last not for a while."""

from hypothesis import given, strategies as st

from triologue.options import RestartPolicy
from triologue.session.restarts import Delay, Restarts, Spent

JITTER = st.floats(0, 1, exclude_max=True)


def test_the_first_restart_comes_at_once_the_next_later_and_later_and_then_the_budget_is_spent() -> None:
    restarts = Restarts(RestartPolicy(max_restarts=4, within=60, backoff=1, max_backoff=3))
    assert restarts.crashed(100, jitter=0.5) == Delay(0)
    assert restarts.crashed(101, jitter=0) == Delay(0.5)
    assert restarts.crashed(102, jitter=0.5) == Delay(1.5)
    assert restarts.crashed(104, jitter=0.5) == Delay(2.25)
    assert restarts.recent(105) == 4
    assert restarts.crashed(105, jitter=0) == Spent(retry_at=165)


def test_when_a_failed_session_opens_again_its_budget_is_whole() -> None:
    restarts = Restarts(RestartPolicy(max_restarts=1, within=60))
    assert restarts.crashed(0, jitter=0) == Delay(0)
    assert restarts.crashed(0.1, jitter=0) == Spent(retry_at=60.1)
    assert restarts.recent(60.1) == 0
    assert restarts.crashed(60.1, jitter=0) == Delay(0)


def test_crashes_that_are_long_ago_do_not_count() -> None:
    restarts = Restarts(RestartPolicy(max_restarts=2, within=10))
    assert [restarts.crashed(now, jitter=0) for now in (0, 10, 20, 30)] == 4 * [Delay(0)]
    assert restarts.crashed(31, jitter=0) == Delay(0.25)
    assert restarts.crashed(32, jitter=0) == Spent(retry_at=42)


def test_a_policy_without_restarts_never_restarts() -> None:
    assert Restarts(RestartPolicy(max_restarts=0)).crashed(5, jitter=0) == Spent(retry_at=65)


@given(
    policy=st.builds(
        RestartPolicy,
        max_restarts=st.integers(0, 4),
        within=st.floats(0.1, 100),
        backoff=st.floats(0, 5),
        max_backoff=st.floats(5, 50),
    ),
    crashes=st.lists(st.tuples(st.floats(0, 200), JITTER), max_size=30),
)
def test_never_more_restarts_within_the_window_than_the_policy_allows(
    policy: RestartPolicy, crashes: list[tuple[float, float]]
) -> None:
    restarts = Restarts(policy)
    now, begun = 0.0, list[float]()
    for pause, jitter in crashes:
        now += pause
        match restarts.crashed(now, jitter=jitter):
            case Delay(seconds=seconds):
                begun.append(now)
                assert 0 <= seconds <= policy.max_backoff
            case Spent(retry_at=retry_at):
                assert retry_at == now + policy.within
                assert restarts.recent(retry_at) == 0
        assert sum(1 for at in begun if at + policy.within > now) <= policy.max_restarts
        assert restarts.recent(now) <= policy.max_restarts + 1


def test_the_back_off_doubles_up_to_its_largest_and_stays_there_for_ever() -> None:
    restarts = Restarts(RestartPolicy(max_restarts=1200, within=1e9, backoff=1, max_backoff=15))
    delays = [restarts.crashed(now, jitter=0) for now in range(1200)]
    assert delays[:7] == [Delay(0), Delay(0.5), Delay(1), Delay(2), Delay(4), Delay(7.5), Delay(7.5)]
    assert delays[-1] == Delay(7.5)
