"""Tasks that a cancelled block leaves alone: they end with it, and what it raises comes out."""

import pytest
import trio
from trio.testing import MockClock

from triologue.loops import open_apart

BROKEN = pytest.RaisesGroup(RuntimeError)
"""What a service that broke has raised, in the group of its nursery."""


async def crash() -> None:
    raise RuntimeError("a service broke")


async def crash_at_the_end() -> None:
    try:
        await trio.sleep_forever()
    finally:
        raise RuntimeError("a service broke")


@pytest.mark.parametrize("error", [LookupError(), KeyboardInterrupt(), ExceptionGroup("tasks", [LookupError()])])
async def test_what_the_block_raises_comes_out_as_it_is(error: BaseException, autojump_clock: MockClock) -> None:
    with pytest.raises(type(error)) as caught:
        async with open_apart() as nursery:
            nursery.start_soon(trio.sleep_forever)
            raise error
    assert caught.value is error


async def test_a_cancelled_block_ends_as_cancelled_after_its_services(autojump_clock: MockClock) -> None:
    with trio.move_on_after(1) as scope:
        async with open_apart() as nursery:
            nursery.start_soon(trio.sleep_forever)
            await trio.sleep_forever()
    assert scope.cancelled_caught


async def test_a_service_that_breaks_ends_the_block(autojump_clock: MockClock) -> None:
    with pytest.RaisesGroup(BROKEN):
        async with open_apart() as nursery:
            nursery.start_soon(crash)
            await trio.sleep_forever()


@pytest.mark.parametrize("kind", [LookupError, KeyboardInterrupt])
async def test_a_block_that_fails_while_a_service_breaks_hides_nothing(
    kind: type[BaseException], autojump_clock: MockClock
) -> None:
    with pytest.RaisesGroup(BROKEN, kind):
        async with open_apart() as nursery:
            nursery.start_soon(crash)
            try:
                await trio.sleep_forever()
            finally:
                raise kind("in the block")


@pytest.mark.parametrize("kind", [LookupError, KeyboardInterrupt])
async def test_a_service_that_breaks_as_it_ends_hides_nothing(
    kind: type[BaseException], autojump_clock: MockClock
) -> None:
    with pytest.RaisesGroup(BROKEN, kind):
        async with open_apart() as nursery:
            nursery.start_soon(crash_at_the_end)
            await trio.sleep(1)
            raise kind("in the block")
