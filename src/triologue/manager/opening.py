"""Opening a manager, and leaving it so that nothing of it is alive afterwards."""

import os
from collections.abc import AsyncGenerator
from contextlib import asynccontextmanager
from typing import Any

import trio

from triologue.actors import Permission, Permissions, Timers, World
from triologue.agents import AGENTS, DEFAULT_AGENT, open_carrier
from triologue.errors import InvalidOption, brief
from triologue.manager.directory import Directory, OptionsFor, check_defaults
from triologue.manager.permissions import PermissionCallback, PermissionRequest, check_callback
from triologue.manager.sessions import SessionManager
from triologue.options import Deadlines, Limits, check_limits
from triologue.ports import Agent, Carrier
from triologue.supervision import Registry

AGENT_VARIABLE = "TRIOLOGUE_AGENT"


@asynccontextmanager
async def open_manager(
    agent: Agent | None = None,
    *,
    options: OptionsFor | None = None,
    limits: Limits | None = None,
    deadlines: Deadlines | None = None,
    on_permission: PermissionCallback | None = None,
) -> AsyncGenerator[SessionManager]:
    """Open a manager of conversations.

    Leaving the block drains it: nothing new is taken in, turns that run may go on for `deadlines.drain`, then they are
    interrupted; turns that wait end as `cancelled`, and whoever asks for their result gets `ManagerClosed`. Afterwards
    no task and no process of it is alive. When the block is left by an exception, nothing is waited for.

    Args:
        agent: who holds the conversations; None: the one that `$TRIOLOGUE_AGENT` names, else Claude Code.
        options: how; or a function from a key to its options, called at the first use of each key.
        limits: how much there may be.
        deadlines: how long things may take.
        on_permission: is called with a `PermissionRequest` when an agent asks whether a tool may run; sync or async,
            a task of that agent's connection, cancelled when the request is withdrawn. The request is answered by its
            methods, then or later. It takes the place of `Options.can_use_tool`.

    Raises:
        InvalidOption: an argument that cannot be; options that name one conversation.
        UnsupportedOption: an option that this agent does not have.
        RuntimeError: this is not called inside `trio.run`.
    """
    if not trio.lowlevel.in_trio_run():
        raise RuntimeError("triologue runs on trio, and no trio loop is running here; call this inside trio.run(main)")
    limits, deadlines = limits or Limits(), deadlines or Deadlines()
    check_limits(limits, deadlines)
    agent = agent or default_agent()
    check_callback(on_permission)
    check_defaults(agent, options, asks_people=on_permission is not None)
    error: BaseException | None = None
    async with (
        open_carrier(grace=deadlines.close / 2, max_message_bytes=limits.max_message_bytes) as carrier,
        trio.open_nursery() as frame,
    ):
        nursery = await _open_nursery(frame)
        timers = Timers()
        nursery.start_soon(timers.run)
        manager = SessionManager(
            _directory(agent, options, on_permission, nursery, carrier, timers, limits=limits, deadlines=deadlines)
        )
        patience = 0.0
        try:
            yield manager
            patience = deadlines.drain
        except BaseException as caught:  # noqa: BLE001 - raised below, as the nursery would put it into a group
            error = caught
        with trio.CancelScope(shield=True):
            await manager.drain(patience)
        nursery.cancel_scope.cancel()
    manager.finish()
    if error is not None:
        raise error


def _directory(
    agent: Agent,
    options: OptionsFor,
    on_permission: PermissionCallback | None,
    nursery: trio.Nursery,
    carrier: Carrier,
    timers: Timers,
    *,
    limits: Limits,
    deadlines: Deadlines,
) -> Directory:
    """What a manager has, put together."""

    def tell(permission: Permission) -> Any:
        return on_permission(PermissionRequest(permission, directory)) if on_permission is not None else None

    world = World(
        carrier=carrier,
        timers=timers,
        starting=trio.CapacityLimiter(limits.max_starting),
        limits=limits,
        deadlines=deadlines,
        permissions=Permissions(),
        on_permission=tell if on_permission is not None else None,
    )
    directory = Directory(agent, options, Registry(nursery, world), world)
    return directory


async def _open_nursery(frame: trio.Nursery) -> trio.Nursery:
    with trio.CancelScope(shield=True):  # cancelled half-way, `start` would wait for what is shielded, for ever
        nursery: trio.Nursery = await frame.start(_serve)
        return nursery
    raise AssertionError("this scope is never cancelled")


async def _serve(task_status: trio.TaskStatus[trio.Nursery]) -> None:
    """Hold the sessions' tasks.

    Shielded: where the manager's block is cancelled they still have to interrupt what runs and to let the agents go.
    """
    with trio.CancelScope(shield=True):
        async with trio.open_nursery() as nursery:
            task_status.started(nursery)
            await trio.sleep_forever()


def default_agent() -> Agent:
    """The agent that `$TRIOLOGUE_AGENT` names, else Claude Code.

    Raises:
        InvalidOption: it names none.
    """
    name = os.environ.get(AGENT_VARIABLE, DEFAULT_AGENT)
    if name not in AGENTS:
        raise InvalidOption(f"${AGENT_VARIABLE}={brief(name)} is no agent; it can be {', '.join(AGENTS)}")
    return AGENTS[name]()
