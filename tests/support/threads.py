"""A system that gives this program no thread more."""

from collections.abc import Iterator
from contextlib import contextmanager
from typing import Never

import pytest
import trio


@contextmanager
def no_threads() -> Iterator[None]:
    """In this block `trio.to_thread` fails as it does where a limit of processes is reached."""

    async def fail(*_: object, **__: object) -> Never:
        await trio.lowlevel.checkpoint()
        raise RuntimeError("can't start new thread")

    with pytest.MonkeyPatch.context() as patch:
        patch.setattr(trio.to_thread, "run_sync", fail)
        yield
