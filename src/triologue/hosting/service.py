"""One connection's callbacks: what its agent asks of this program, permission requests aside."""

from collections.abc import AsyncGenerator
from contextlib import asynccontextmanager
from typing import Any, final

from triologue.messages import AnyRequest
from triologue.options import Options


class Unsupported(Exception):
    """There is nothing here that answers this kind of request."""


@final
class Service:
    """Answers the requests of one connection. Made by `open_service`."""

    def __init__(self, options: Options) -> None:
        self._options = options

    async def answer(self, request: AnyRequest) -> dict[str, Any]:
        """The response to a request. Many run at once; cancelling one stops its callback.

        Raises:
            Unsupported: no callback is there for it.
            Exception: whatever the callback raised.
        """
        raise Unsupported(f"Unsupported control request subtype: {type(request).__struct_config__.tag}")


@asynccontextmanager
async def open_service(options: Options) -> AsyncGenerator[Service]:
    """Open what one connection needs; its MCP servers run until the block is left."""
    yield Service(options)
