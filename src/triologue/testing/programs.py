"""Programs: lists of operations on a real manager with a scripted agent, run on a virtual clock."""

from collections.abc import Callable, Sequence
from typing import Any, Literal, TypeAlias, final

import trio
from msgspec import Struct

from triologue.manager import PermissionRequest, open_manager
from triologue.options import Deadlines, Limits, Options, RestartPolicy
from triologue.testing.faults import Fault, with_faults
from triologue.testing.history import Call, Complaint, History, LawBroken
from triologue.testing.operations import Operation, Pause
from triologue.testing.scripted_agent import ScriptedAgent
from triologue.testing.stage import Stage
from triologue.testing.virtual import Hung, run_virtual

DEADLINES = Deadlines(
    start=20,
    first_event=40,
    silence=30,
    tool=40,
    turn=100,
    permission=25,
    control=20,
    interrupt=5,
    idle=120,
    drain=10,
    close=4,
)
"""Of a program's manager, if no others are given: so short that programs meet them."""


PASSES = 50_000
"""How often the scheduler may go round in a program: some hundred times as often as those do that end."""


class Program(Struct, frozen=True, kw_only=True, repr_omit_defaults=True):
    """What is done, in order, on `sessions` sessions of one manager."""

    operations: tuple[Operation, ...] = ()
    sessions: int = 2
    seed: int = 0
    leave: Literal["normally", "by an error", "cancelled"] = "normally"
    """How the manager's block is left after the last operation."""
    folds: bool = True
    """See `ScriptedAgent`."""
    tells_lifecycle: bool = True
    """See `ScriptedAgent`."""
    partials: bool = False
    """`Options.include_partial_messages`."""
    retries: bool = False
    """`RestartPolicy.retry_turn`."""
    max_live: int | None = None
    """`Limits.max_live`."""


class _Left(Exception):
    """What a program raises that leaves the manager's block by an error."""


Setup: TypeAlias = Callable[[Stage], object]


def run_program(
    program: Program,
    *,
    agent: ScriptedAgent | None = None,
    faults: Sequence[Fault] = (),
    instruments: Sequence[trio.abc.Instrument] = (),
    setup: Setup | None = None,
    max_passes: int = PASSES,
    **manager_options: Any,
) -> History:
    """Run a program on a real manager, on a virtual clock, in the order that its seed decides.

    Args:
        program: what is done.
        agent: a fresh one; None: as the program describes it.
        faults: what goes wrong with the agent.
        instruments: of trio; a `CrashTask`, say.
        setup: is called with the stage before the first operation.
        max_passes: how often the scheduler may go round; what tries again for ever ends here.
        manager_options: for `open_manager`, beside the program's own: `limits=Limits(max_live=2)`.

    Raises:
        LawBroken: it did not end, or the manager's block raised something of its own.
    """
    agent = agent or ScriptedAgent(folds=program.folds, tells_lifecycle=program.tells_lifecycle)
    options: dict[str, Any] = {
        "deadlines": DEADLINES,
        "limits": Limits(log_bytes=2**20, max_live=program.max_live),
        "options": Options(include_partial_messages=program.partials),
        "restart": RestartPolicy(retry_turn=program.retries),
        **manager_options,
    }
    history = History(program, program.seed, agent, options["deadlines"], options["limits"])
    run = _Run(program, history, agent, faults, setup)
    try:
        run_virtual(run.main, options, seed=program.seed, max_passes=max_passes, instruments=instruments)
    except Hung as hung:
        stuck = [f"; call {each.number} {each.operation!r} waits" for each in history.calls if each.was_ended]
        complaint = Complaint("everything ends", f"{hung.why}{''.join(stuck)}")
        raise LawBroken([complaint], history, hung.tasks) from None
    except Exception as error:
        raise LawBroken([Complaint("nothing else raises", repr(error))], history) from error
    return history


@final
class _Run:
    """One run of a program."""

    def __init__(
        self, program: Program, history: History, agent: ScriptedAgent, faults: Sequence[Fault], setup: Setup | None
    ) -> None:
        self._program = program
        self._history = history
        self._agent = agent
        self._faults = faults
        self._setup = setup

    async def main(self, options: dict[str, Any]) -> None:
        """From the opening of the manager until nobody waits for anything of it."""
        # Callers and readers live on while the manager closes: they are who has to be told.
        async with trio.open_nursery() as readers, trio.open_nursery() as callers:
            with trio.CancelScope() as scope:
                try:
                    await self._use_manager(readers, callers, scope, options)
                except _Left:
                    pass
                finally:
                    self._history.closed = trio.current_time()
        self._history.agents_left = self._agent.live

    async def _use_manager(
        self, readers: trio.Nursery, callers: trio.Nursery, scope: trio.CancelScope, options: dict[str, Any]
    ) -> None:
        history, how = self._history, self._program.leave
        permissions: list[PermissionRequest] = []
        options = {"on_permission": permissions.append, **options}
        agent = with_faults(self._agent, *self._faults) if self._faults else self._agent
        async with open_manager(agent, **options) as manager:
            stage = Stage(history, self._agent, manager, permissions, readers)
            if self._setup is not None:
                self._setup(stage)
            await self._play(stage, callers)
            history.left = trio.current_time()
            if how == "by an error":
                raise _Left
            if how == "cancelled":
                scope.cancel()
                await trio.lowlevel.checkpoint()
        history.remains = manager.statistics()

    async def _play(self, stage: Stage, callers: trio.Nursery) -> None:
        """Start every operation, in order."""
        from trio.testing import wait_all_tasks_blocked  # here, because `trio.testing` imports pytest

        for number in range(self._program.sessions):
            if not self._is_forked(number):
                await stage.watch(number)
        for number, operation in enumerate(self._program.operations):
            if not isinstance(operation, Pause):
                callers.start_soon(_perform, stage, number, operation, name=f"call {number} {operation!r}")
                await trio.lowlevel.checkpoint()
            elif operation.seconds:
                await trio.sleep(operation.seconds)
            else:
                await wait_all_tasks_blocked()

    def _is_forked(self, number: int) -> bool:
        """Is it the copy of another, so that it may not begin by being watched?"""
        return any(getattr(operation.inner, "to", None) == number for operation in self._program.operations)


async def _perform(stage: Stage, number: int, operation: Operation) -> None:
    """Make one call, and write down what came of it."""
    call = Call(number=number, operation=operation, began=trio.current_time())
    stage.begin(call)
    try:
        call.value = await operation.run(stage)
    except Exception as error:  # noqa: BLE001 - it is part of the history
        call.error = error
    except BaseException as error:
        call.error = error
        raise
    finally:
        call.ended = trio.current_time()
        stage.history.end(call)
