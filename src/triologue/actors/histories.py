"""An agent's own history, as a store keeps it beside the log: found at a start, and added to by what the agent tells of it."""

import logging
from collections.abc import AsyncGenerator
from contextlib import asynccontextmanager

import trio

from triologue.actors.journal import PATIENCE, Journal
from triologue.actors.log_extra import log_extra
from triologue.errors import AgentProtocolError, AgentStartError, StoreError, brief
from triologue.messages import Message, TranscriptMirror
from triologue.options import Options
from triologue.ports import Agent, FindsLatest, MirrorsHistories, SessionStore
from triologue.session import LogSampler

logger = logging.getLogger("triologue.session")


async def name_latest(agent: FindsLatest, options: Options) -> None:
    """Let these options name the conversation that they have the agent choose, or a new one where there is none.

    So none is begun that says to go on with another, and two that begin together do not meet in one.

    Raises:
        AgentStartError: what the agent gave is no id.
        StoreError: it took too long.
        TriologueError: what it raised.
    """
    try:
        with trio.fail_after(PATIENCE):  # no deadline of the start runs yet
            latest: object = await agent.latest(options)
    except trio.TooSlowError:
        text = f"the agent did not say within {PATIENCE:g} s which conversation it would go on with"
        raise StoreError(text) from None
    options.continue_conversation = False
    if latest is None:
        options.fork_session = False
    elif isinstance(latest, str) and latest:
        options.resume = latest
    else:
        raise AgentStartError(f"the agent's latest() gave {brief(latest)}, which is no session id", is_final=True)


@asynccontextmanager
async def found_history(
    agent: MirrorsHistories, options: Options, store: SessionStore, journal: Journal
) -> AsyncGenerator[Options]:
    """In this block the agent finds the history that it is to go on with, and tells what it adds to it.

    Raises, on entering: `StoreError`: what is kept of it cannot be read, or put to where the agent looks.
    """
    options = agent.mirrored(options)
    if options.resume is None:
        yield options
        return
    await journal.wait_written()  # what the agent told last, before it went away
    try:
        with trio.fail_after(PATIENCE):  # no deadline of the start runs yet
            entries = await store.read_transcript(options.resume)
    except trio.TooSlowError:
        key = journal.lease.key
        raise StoreError(f"the store did not give the history of the session {key!r} within {PATIENCE:g} s") from None
    async with agent.restore(options, entries) as restored:
        if restored.unkept:
            journal.mirror(restored.unkept)
        yield restored.options


def without_mirrors(
    batch: list[Message], agent: Agent, options: Options, journal: Journal, strays: LogSampler
) -> list[Message]:
    """What an agent said, without what it wrote into its own history, which is kept apart.

    Args:
        batch: what it said.
        agent: which; one of those that have a history.
        options: what it was started with.
        journal: of its session.
        strays: counts what is told of other files.
    """
    if TranscriptMirror not in set(map(type, batch)) or not isinstance(agent, MirrorsHistories):
        return batch
    for message in batch:
        if isinstance(message, TranscriptMirror):
            try:
                journal.mirror(agent.entries_of(message, options))
            except AgentProtocolError as error:
                _tell(journal.lease.key, error, strays)
    return [message for message in batch if not isinstance(message, TranscriptMirror)]


def _tell(key: str, stray: AgentProtocolError, strays: LogSampler) -> None:
    suffix = strays.suffix("stray")
    if suffix is not None:
        text = "the session %r: what its agent tells of its history is not kept: %s%s"
        logger.warning(text, key, stray, suffix, extra=log_extra(key))
