"""A policy that cannot work is refused, with what to do."""

from typing import Any

import pytest

from triologue.errors import InvalidOption
from triologue.options import RestartPolicy, check_restart


def test_the_default_and_every_bound_are_fine() -> None:
    check_restart(RestartPolicy())
    check_restart(RestartPolicy(max_restarts=0, within=0.1, backoff=0, max_backoff=0, retry_turn=True))


@pytest.mark.parametrize(
    ("wrong", "says"),
    [
        ({"max_restarts": -1}, "RestartPolicy(max_restarts=-1) is no whole number of 0 or more"),
        ({"max_restarts": 1.5}, "RestartPolicy(max_restarts=1.5) is no whole number of 0 or more"),
        ({"retry_turn": "yes"}, "RestartPolicy(retry_turn='yes') is no bool"),
        ({"within": float("nan")}, "RestartPolicy(within=nan) is no number of seconds, 0 or more"),
        ({"within": float("inf")}, "RestartPolicy(within=inf) is no number of seconds, 0 or more"),
        ({"backoff": None}, "RestartPolicy(backoff=None) is no number of seconds, 0 or more"),
        ({"within": 0}, "RestartPolicy(within=0) would count nothing, and restart for ever; give it seconds"),
        (
            {"backoff": 20},
            "RestartPolicy(backoff=20) is longer than max_backoff=15.0; raise that too, or make it shorter",
        ),
    ],
)
def test_what_cannot_work_is_refused(wrong: dict[str, Any], says: str) -> None:
    with pytest.raises(InvalidOption) as caught:
        check_restart(RestartPolicy(**wrong))
    assert str(caught.value) == says


def test_what_is_no_policy_is_refused() -> None:
    with pytest.raises(InvalidOption, match="not 5"):
        check_restart(5)  # type: ignore[arg-type]
