"""`query()` as the vendors have it: it is read with `async for`, and raises the vendor's errors."""

from collections.abc import AsyncIterator
from types import TracebackType
from typing import final

from triologue.messages import Message, ResultMessage
from triologue.options import Options
from triologue.ports import Agent
from triologue.sdk.feed import Prompts
from triologue.sdk.query import Query, query
from triologue.sdk.vendor.client import Translated
from triologue.sdk.vendor.errors import ResultError, as_vendor


@final
class VendorQuery:
    """A running query. Read it with `async for`; `async with` closes it for certain, as `aclose` does."""

    def __init__(self, prompt: Prompts, options: Options, agent: Agent, *, raises_error_results: bool) -> None:
        with as_vendor():
            self._query: Query = query(prompt, options=options, agent=agent)
        self._messages = Translated(self._query)
        self._raises_error_results = raises_error_results
        self._failed: ResultMessage | None = None

    @property
    def session_id(self) -> str | None:
        """The conversation's id; None before the agent told it."""
        return self._query.session_id

    async def __aenter__(self) -> "VendorQuery":
        return self

    async def __aexit__(
        self, kind: type[BaseException] | None, error: BaseException | None, traceback: TracebackType | None
    ) -> None:
        await self.aclose()

    def __aiter__(self) -> AsyncIterator[Message]:
        return self

    async def __anext__(self) -> Message:
        try:
            message = await self._messages.__anext__()
        except StopAsyncIteration:
            failed, self._failed = self._failed, None
            if failed is None or not self._raises_error_results:
                raise
            raise ResultError(_described(failed), failed.data, exit_code=1) from None
        if isinstance(message, ResultMessage):
            self._failed = message if message.is_error else None
        return message

    async def aclose(self) -> None:
        """End the loop and let the agent go; from any task."""
        await self._query.aclose()


def _described(result: ResultMessage) -> str:
    # Not the subtype alone: that of an API's error is "success".
    return f"the run failed ({result.terminal_reason or result.subtype}): {result.result or '; '.join(result.errors or [])}"
