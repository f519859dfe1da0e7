"""What a carrier needs from whoever starts its processes."""

from collections.abc import Callable
from typing import NamedTuple, Protocol

from triologue.ports import Account

SWEEP_PATIENCE = 5.0
"""Seconds for what an agent left behind to be gone after SIGKILL."""


class Launch(NamedTuple):
    """A process to start. The three descriptors stay the caller's, who closes them afterwards."""

    argv: list[str]
    env: dict[str, str]
    cwd: str
    fds: tuple[int, int, int]
    account: Account | None = None


class Child(Protocol):
    """A process that was started."""

    @property
    def pid(self) -> int:
        """Its process id; perhaps another's once it has exited."""
        ...

    async def signal(self, number: int) -> None:
        """Signal the process and nothing below it. Without effect once it is gone."""
        ...

    async def descendants(self) -> list[int]:
        """The pids of what is alive below it, and of what it left behind."""
        ...

    async def sweep(self) -> list[int]:
        """Kill it and all that it left behind; returns what is alive all the same. In bounded time."""
        ...


class Spawner(Protocol):
    """Starts processes that do not outlive it."""

    async def spawn(self, launch: Launch, on_exit: Callable[[int], None]) -> Child:
        """Start a process. `on_exit` gets its exit code (negative: a signal) once, perhaps before this returns.

        Raises:
            OSError: as `subprocess.Popen` does; `filename` tells a missing program from a missing folder.
            ValueError: an argument that no program can be given.
            AgentStartError: there is nothing to start it with.
        """
        ...

    async def aclose(self) -> None:
        """Kill whatever is left, in bounded time. Every `on_exit` has been called afterwards."""
        ...
