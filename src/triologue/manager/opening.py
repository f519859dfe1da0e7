"""Opening a manager, and leaving it so that nothing of it is alive afterwards."""

import logging
import os
from collections.abc import AsyncGenerator, Collection
from contextlib import asynccontextmanager
from pathlib import Path
from typing import Any

import trio
from msgspec import Struct
from msgspec.structs import replace

from triologue.actors import Actor, Permission, Permissions, Timers, World, first_options
from triologue.agents import AGENTS, DEFAULT_AGENT, open_carrier
from triologue.errors import InvalidOption, brief
from triologue.loops import open_apart, refuse_outside
from triologue.manager.checks import OptionsFor, check_defaults
from triologue.manager.directory import Directory
from triologue.manager.draining import Draining, but_closed, check_signals, listen
from triologue.manager.keeping import keep_sessions, opened_store
from triologue.manager.permissions import PermissionCallback, PermissionRequest, check_callback
from triologue.manager.sessions import SessionManager
from triologue.manager.status import StatusSocket
from triologue.options import Deadlines, Limits, Overlap, RestartPolicy, check_limits, check_overlap, check_restart
from triologue.ports import Agent, Carrier, LivesInside, SessionStore
from triologue.supervision import Overseer, Prewarming, Registry

logger = logging.getLogger("triologue.manager")

AGENT_VARIABLE = "TRIOLOGUE_AGENT"


class Terms(Struct, frozen=True):
    """What a manager is opened with."""

    agent: Agent
    options: OptionsFor
    limits: Limits
    deadlines: Deadlines
    restart: RestartPolicy
    overlap: Overlap
    prewarm: int
    on_permission: PermissionCallback | None
    drain_on: Collection[int]
    status: bool
    store: SessionStore | None = None


@asynccontextmanager
async def open_manager(
    agent: Agent | None = None,
    *,
    options: OptionsFor = None,
    limits: Limits | None = None,
    deadlines: Deadlines | None = None,
    restart: RestartPolicy | None = None,
    overlap: Overlap = "queue",
    prewarm: int = 0,
    on_permission: PermissionCallback | None = None,
    drain_on: Collection[int] = (),
    status: bool = True,
    store: SessionStore | str | Path | None = None,
) -> AsyncGenerator[SessionManager]:
    """Open a manager of conversations.

    Leaving the block drains it: nothing new is taken in, turns that run may go on for `deadlines.drain`, then they are
    interrupted; whoever waits for others gets `ManagerClosed`, and in a store these wait for `recover()`. Afterwards no
    task and no process of it is alive. Left by an exception, or with Ctrl-C meanwhile, it does not wait for what runs.

    Args:
        agent: who holds the conversations; None: the one that `$TRIOLOGUE_AGENT` names, else Claude Code.
        options: how; or a function from a key to its options, called for every wake. Model and folder once used stay.
        limits: how much there may be.
        deadlines: how long things may take.
        restart: what becomes of a conversation whose agent died.
        overlap: what happens to a message that comes while another one is worked on, where it does not say itself.
        prewarm: agents that are started ahead for the next new conversations with the manager's options, as long as
            there is room; they count among those that live and among those that start, and are the first to make room.
            None where the agent runs inside this program.
        on_permission: is called with a `PermissionRequest` when an agent asks whether a tool may run; sync or async,
            a task of that agent's connection, cancelled when the request is withdrawn. The request is answered by its
            methods, then or later. It takes the place of `Options.can_use_tool`.
        drain_on: signals, as in `(signal.SIGTERM,)`, that drain the manager while its block runs; then the block is
            cancelled, and what follows it runs. A second one interrupts at once. See `SessionManager.drain`.
        store: where conversations are kept, so that they survive this program: the path of an SQLite file, which is made
            where there is none, or a `SessionStore`. None: in memory, gone with the manager.
        status: answer this user's other programs, `triologue ps` and `top` above all, on a socket in the user's runtime
            folder.

    Raises:
        InvalidOption: an argument that cannot be; options that name one conversation.
        UnsupportedOption, StoreError: an option that this agent does not have; a store that cannot be opened.
        RuntimeError: this is not called inside `trio.run`.
    """
    terms = Terms(
        agent=agent if agent is not None else default_agent(),
        options=options,
        limits=limits if limits is not None else Limits(),
        deadlines=deadlines if deadlines is not None else Deadlines(),
        restart=restart if restart is not None else RestartPolicy(),
        overlap=overlap,
        prewarm=prewarm,
        on_permission=on_permission,
        drain_on=drain_on,
        status=status,
    )
    _check(terms)
    async with opened_store(store) as kept, _open(replace(terms, store=kept)) as manager:
        yield manager


@asynccontextmanager
async def _open(terms: Terms) -> AsyncGenerator[SessionManager]:
    deadlines = terms.deadlines
    manager: SessionManager | None = None
    error: BaseException | None = None
    try:
        async with (
            open_carrier(grace=deadlines.close / 2, max_message_bytes=terms.limits.max_message_bytes) as carrier,
            # Where the block is cancelled the sessions still have to interrupt what runs and to let the agents go.
            open_apart() as nursery,
        ):
            timers = Timers()
            nursery.start_soon(timers.run)
            directory = _compose(terms, nursery, carrier, timers)
            draining = Draining(directory)
            nursery.start_soon(draining.run)
            recovery = keep_sessions(terms.store, directory) if terms.store is not None else None
            manager = SessionManager(directory, draining, carrier.leftovers, recovery)
            if terms.status:
                _answer_questions(nursery, directory, manager)
            try:
                if terms.drain_on:
                    await nursery.start(listen, terms.drain_on, manager.drain)
                with draining.body:
                    yield manager
            except BaseException as caught:  # noqa: BLE001 - raised below, when nothing runs any more
                error = but_closed(caught) if draining.is_asked else caught
            try:
                await draining.finish(deadlines.drain if error is None else 0.0)
            except BaseException as caught:  # noqa: BLE001 - Ctrl-C, which ends the wait and not what follows
                caught.__context__, error = error, caught
            if error is not None:
                raise error  # in here, where it meets what a task of the nursery has raised
    finally:
        if manager is not None:
            manager.finish()  # those who still read are told of the end


def _check(terms: Terms) -> None:
    """Refuse what cannot be, before anything starts."""
    refuse_outside()
    check_limits(terms.limits, terms.deadlines)
    check_restart(terms.restart)
    check_overlap(terms.overlap)
    _check_prewarm(terms)
    check_callback(terms.on_permission)
    check_signals(terms.drain_on)
    check_defaults(terms.agent, terms.options, asks_people=terms.on_permission is not None)


def _check_prewarm(terms: Terms) -> None:
    count: object = terms.prewarm
    if not isinstance(count, int) or isinstance(count, bool) or count < 0:
        raise InvalidOption(f"prewarm={brief(count)} is no whole number of 0 or more")
    if count and callable(terms.options):
        raise InvalidOption("prewarm starts agents for keys that are not known yet, so options cannot be a function")


def _compose(terms: Terms, nursery: trio.Nursery, carrier: Carrier, timers: Timers) -> Directory:
    """Put together what a manager has."""
    on_permission = terms.on_permission

    def awake() -> list[Actor]:
        return registry.all_awake()

    def find(key: str) -> Actor | None:
        return registry.awake(key)

    def tell(permission: Permission) -> Any:
        return on_permission(PermissionRequest(permission, directory)) if on_permission is not None else None

    overseer = Overseer(terms.limits, timers, awake, find)
    if terms.limits.max_rss_bytes is not None:
        nursery.start_soon(overseer.watch_memory)
    world = World(
        nursery=nursery,
        carrier=carrier,
        timers=timers,
        starting=trio.CapacityLimiter(terms.limits.max_starting),
        limits=terms.limits,
        deadlines=terms.deadlines,
        permissions=Permissions(),
        oversight=overseer,
        restart=terms.restart,
        on_permission=tell if on_permission is not None else None,
        store=terms.store,
    )
    registry = Registry(nursery, world)
    directory = Directory(terms.agent, terms.options, registry, world, overlap=terms.overlap)
    if terms.prewarm and not isinstance(terms.agent, LivesInside):  # such a one is there at once anyway
        overseer.prewarming = Prewarming(
            terms.prewarm,
            terms.agent,
            first_options(directory.merged("", None), asks_people=on_permission is not None),
            housing=overseer.housing,
            carrier=carrier,
            starting=world.starting,
            staggering=overseer.staggering,
            is_kept=terms.store is not None,
        )
        nursery.start_soon(overseer.prewarming.run)
    return directory


def _answer_questions(nursery: trio.Nursery, directory: Directory, manager: SessionManager) -> None:
    """Open the status socket, if that can be: the manager does its work without it too."""
    try:
        status = StatusSocket(directory, manager)
    except OSError as error:
        logger.info("no status socket, so `triologue ps` does not show this manager: %s", error)
    else:
        nursery.start_soon(status.serve)


def default_agent() -> Agent:
    """The agent that `$TRIOLOGUE_AGENT` names, else Claude Code.

    Raises:
        InvalidOption: it names none.
    """
    name = os.environ.get(AGENT_VARIABLE) or DEFAULT_AGENT
    if name not in AGENTS:
        raise InvalidOption(f"${AGENT_VARIABLE}={brief(name)} is no agent; it can be {', '.join(AGENTS)}")
    return AGENTS[name]()
