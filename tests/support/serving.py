"""What serves a connection, without an actor."""

from collections.abc import AsyncGenerator
from contextlib import asynccontextmanager

import trio

from triologue.hosting import Service, Tokens
from triologue.options import Options


@asynccontextmanager
async def open_service(options: Options, *, tokens: Tokens | None = None) -> AsyncGenerator[Service]:
    """A service in a nursery of its own; what the block raises comes through as it is."""
    failure: BaseException | None = None
    async with trio.open_nursery() as nursery:
        service = Service(options, tokens or {}, nursery.start_soon)
        try:
            yield service
        except BaseException as error:  # noqa: BLE001 - raised again below, outside of the nursery, which would wrap it
            failure = error
        finally:
            await service.close()
    if failure is not None:
        raise failure
