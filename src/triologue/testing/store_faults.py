"""Faults of a store as data: which of its calls fails. They compose, and fit any store."""

from collections import Counter
from collections.abc import Callable
from typing import Any, cast

from msgspec import Struct

from triologue.errors import StoreError
from triologue.ports import SessionStore

_CALLS = tuple(name for name in vars(SessionStore) if not name.startswith("_"))


class StoreFails(Struct, frozen=True):
    """The n-th call raises `StoreError`."""

    at: int = 1
    call: str | None = None
    """The method whose calls are counted, `"append"` say; None: any."""
    has_effect: bool = False
    """It was done all the same: what is lost is the answer, as when the connection to a database breaks."""


def with_store_faults(store: SessionStore, *faults: StoreFails) -> SessionStore:
    """The same store, for which these things go wrong.

    Raises:
        ValueError: a store has no such call.
    """
    for fault in faults:
        if fault.call is not None and fault.call not in _CALLS:
            raise ValueError(f"{fault!r}: a store has no call {fault.call!r}; it has {', '.join(_CALLS)}")
    return cast("SessionStore", _KIND(store, faults))


class _FaultyStore:
    """Counts, and lets fail what a fault names."""

    def __init__(self, store: SessionStore, faults: tuple[StoreFails, ...]) -> None:
        self._store = store
        self._faults = faults
        self._counts: Counter[str | None] = Counter()

    def __repr__(self) -> str:
        return f"<{self._store!r} with {list(self._faults)}>"

    async def count(self, name: str, *given: Any, **named: Any) -> Any:
        self._counts.update((name, None))
        due = [each for each in self._faults if each.call in (name, None) and each.at == self._counts[each.call]]
        if due and not any(each.has_effect for each in due):
            raise StoreError(f"{name}() failed, as {due[0]!r} wants it")
        result = await getattr(self._store, name)(*given, **named)
        if due:
            raise StoreError(f"{name}() was done, and its answer lost, as {due[0]!r} wants it")
        return result


def _counted(name: str) -> Callable[..., Any]:
    async def call(self: _FaultyStore, *given: Any, **named: Any) -> Any:
        return await self.count(name, *given, **named)

    return call


_KIND = type("FaultyStore", (_FaultyStore,), {name: _counted(name) for name in _CALLS})
