"""A caller's wait for what becomes of its wish."""

from typing import Any, final

import trio


@final
class Reply:
    """Settled once, with a value or an error; anyone may wait for it, before or after."""

    __slots__ = ("_error", "_settled", "_value")

    def __init__(self) -> None:
        self._settled = trio.Event()
        self._value: Any = None
        self._error: Exception | None = None

    def settle(self, value: Any = None, error: Exception | None = None) -> None:
        """Give the answer; a second one is ignored."""
        if not self._settled.is_set():
            self._value, self._error = value, error
            self._settled.set()

    async def wait(self) -> Any:
        """Wait for the answer: return its value, or raise its error."""
        await self._settled.wait()
        if self._error is not None:
            raise self._error.with_traceback(None)  # others may have the same, and it would grow with each
        return self._value
