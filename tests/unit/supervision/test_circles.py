"""How sessions that wait for each other and for room in a circle are found."""

from collections import OrderedDict
from collections.abc import Iterator, Mapping

import pytest
import trio

from triologue.actors.inside import Home, Waiting
from triologue.supervision.circles import Circles
from triologue.supervision.pools import Waiter
from triologue.supervision.residency import Residency

LIVE = ("a", "b", "c", "d")
IN_LINE = ("w1", "w2", "w3", "w4", "w5")


class Long(OrderedDict[str, Waiter]):
    """A line that is not gone through: it would be at each event, and there are as many events as wait in it."""

    def __iter__(self) -> Iterator[str]:
        raise AssertionError("it was gone through")


def full() -> Residency:
    residency = Residency({"process": len(LIVE)})
    for key in (*LIVE, *IN_LINE):
        residency.want(key, 1, kind="process", now=0.0)
    return residency


async def refused(residency: Residency, asks: Mapping[str, str]) -> str:
    """Tools of these ask those, in this order: whose waits are ended."""
    homes = {key: Home(key) for key in (*LIVE, *IN_LINE, "elsewhere")}
    circles = Circles(residency, homes.get)
    waits = {asker: Waiting(homes[asked], "turn", trio.CancelScope()) for asker, asked in asks.items()}
    for asker, wait in waits.items():
        homes[asker].waits += (wait,)
        circles.asks(homes[asker])
    return "".join(asker for asker, wait in waits.items() if not wait.is_open)


@pytest.mark.parametrize(
    ("asks", "who"),
    [
        pytest.param({"a": "w1", "b": "w2", "c": "w3"}, "", id="one will make room"),
        pytest.param({"a": "w1", "b": "w2", "c": "w3", "d": "w4"}, "d", id="all ask, and the newest gives way"),
        pytest.param({"a": "b", "b": "c", "c": "d", "d": "w1"}, "d", id="all but one through others"),
        pytest.param({"a": "w1", "b": "a", "c": "a", "d": "elsewhere"}, "", id="one waits for something else"),
    ],
)
async def test_the_newest_wait_of_a_circle_is_ended(asks: dict[str, str], who: str) -> None:
    assert await refused(full(), asks) == who


async def test_where_nobody_who_is_asked_is_in_line_it_is_not_gone_through() -> None:
    residency = full()
    residency._waiting = Long(residency._waiting)
    assert await refused(residency, {"a": "b", "b": "c", "c": "d", "d": "elsewhere"}) == ""
