"""What came from the host waits in order, for an engine that may be cancelled while it waits."""

import trio
import trio.testing

from triologue.engine.inbox import Inbox
from triologue.messages import KeepAlive, Message


def batch() -> list[Message]:
    return [KeepAlive()]


async def test_what_came_is_heard_in_order_and_then_the_end() -> None:
    inbox, batches = Inbox(), [batch() for _ in range(3)]
    heard: list[list[Message]] = []

    async def listen() -> None:
        heard.extend([each async for each in inbox])

    async with trio.open_nursery() as nursery:
        inbox.put(batches[0])
        nursery.start_soon(listen)
        await trio.testing.wait_all_tasks_blocked()
        inbox.put(batches[1])
        inbox.put(batches[2])
        inbox.close()
        inbox.close()
        inbox.put(batch())
    assert [id(each) for each in heard] == [id(each) for each in batches]


async def test_who_is_cancelled_while_it_waits_loses_nothing() -> None:
    inbox = Inbox()
    with trio.CancelScope() as scope:
        async with trio.open_nursery() as nursery:
            nursery.start_soon(anext, inbox)
            await trio.testing.wait_all_tasks_blocked()
            scope.cancel()
    inbox.put(batch())
    with trio.CancelScope() as scope:
        scope.cancel()
        await anext(inbox)
    assert scope.cancelled_caught
    assert await anext(inbox) == batch()
