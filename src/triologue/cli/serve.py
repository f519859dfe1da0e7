"""`triologue serve`: sessions for other programs, and a page to watch them, until a signal ends it."""

import gc
import logging
import signal
import ssl
import sys
from collections.abc import AsyncGenerator
from contextlib import AsyncExitStack, asynccontextmanager, suppress
from pathlib import Path

import trio
from msgspec import Struct

from triologue.agents.discovery import PROGRAMS, find_program
from triologue.cli.choosing import make_agent
from triologue.cli.database import open_database
from triologue.cli.endings import ExitCode
from triologue.cli.interrupting import draining_on
from triologue.cli.ps import counted
from triologue.errors import InvalidOption
from triologue.gateway import open_gateway
from triologue.manager import SessionManager, folder_of, open_manager
from triologue.options import Options
from triologue.ports import SessionStore
from triologue.stores import SqliteStore

GC_THRESHOLDS = (10_000, 20, 20)
"""When Python's garbage collector looks, in the place of 700, 10, 10. All sessions wait meanwhile: with 1,000 of them, each
with a viewer, for half a second, three times in ten seconds. What is found later for this is some tens of MB."""


class ServeRequest(Struct, frozen=True, kw_only=True):
    """What the command line says."""

    agent: str
    host: str
    port: int
    store: Path | None
    """None: the database of the commands."""
    is_in_memory: bool
    """Nothing is kept."""
    tokens: Path | None
    certificate: Path | None
    key: Path | None
    """Of the certificate; None: it is in the same file."""
    origins: tuple[str, ...]
    is_insecure: bool
    options: Options


async def serve_sessions(request: ServeRequest) -> ExitCode:
    """Serve until SIGTERM or SIGINT; then what runs may end within the deadline, and a second signal interrupts it.

    Raises:
        TriologueError: it cannot be served like this.
    """
    _log_to_stderr()
    gc.set_threshold(*GC_THRESHOLDS)
    tls = _tls(request.certificate, request.key)
    # There has to be a folder and a program, or each turn would fail, where nobody looks.
    folder_of(request.options)
    if request.agent in PROGRAMS:
        await trio.to_thread.run_sync(find_program, PROGRAMS[request.agent], request.options)
    agent = make_agent(request.agent, is_paced=True)
    async with draining_on(signal.SIGTERM, signal.SIGINT, tell=_tell_what_runs) as drain, _store(request) as store:
        async with open_manager(agent, options=request.options, store=store) as drain.manager:
            await _lend(drain.manager, request, tls)
    sys.stderr.write("triologue: ended as asked; nothing of it is left running\n")
    return ExitCode.OK


async def _lend(manager: SessionManager, request: ServeRequest, tls: ssl.SSLContext | None) -> None:
    """Until the manager has drained, which cancels this."""
    opening = open_gateway(
        manager,
        host=request.host,
        port=request.port,
        tokens=request.tokens,
        tls=tls,
        origins=request.origins,
        insecure=request.is_insecure,
    )
    async with AsyncExitStack() as stack:
        try:
            gateway = await stack.enter_async_context(opening)
        except OSError as error:
            where = f"{request.host!r}, port {request.port}"
            raise InvalidOption(
                f"cannot listen on {where}: {_reason(error)}; name another with --host, --port"
            ) from error
        _greet(gateway.url, request)
        await manager.recover()
        await trio.sleep_forever()


@asynccontextmanager
async def _store(request: ServeRequest) -> AsyncGenerator[SessionStore | None]:
    if request.is_in_memory:
        yield None
        return
    async with SqliteStore(request.store) if request.store is not None else open_database() as store:
        yield store


def _tls(certificate: Path | None, key: Path | None) -> ssl.SSLContext | None:
    if certificate is None:
        return None
    context = ssl.create_default_context(ssl.Purpose.CLIENT_AUTH)
    context.minimum_version = ssl.TLSVersion.TLSv1_2
    try:
        context.load_cert_chain(certificate, key, password=_no_password)
    except (OSError, ValueError) as error:  # ssl's are some of the former
        names = f"--tls-cert {certificate}" + (f" and --tls-key {key}" if key is not None else "")
        raise InvalidOption(
            f"{names}: there is no certificate with its key, in PEM, in that: {_reason(error)}"
        ) from error
    return context


def _no_password() -> str:
    raise ValueError("the key is encrypted, and nobody is here to type its password")


def _greet(url: str, request: ServeRequest) -> None:
    page = url.replace("ws", "http", 1)
    who = (
        f"tokens of {request.tokens}" if request.tokens is not None else "no tokens: whoever connects may do everything"
    )
    sys.stdout.write(f"{page}/  ({request.agent}; {who}; Ctrl-C ends it)\n")
    sys.stdout.flush()


def _tell_what_runs(manager: SessionManager) -> None:
    """Whoever has pressed Ctrl-C would wonder for half a minute."""
    running = sum(turn.state == "running" for turn in manager.turns())
    if running:
        with suppress(OSError):  # nobody reads it any more
            sys.stderr.write(f"triologue: waits for {counted(running, 'turn')} to end; a second signal interrupts\n")


def _reason(error: Exception) -> str:
    said = error.strerror if isinstance(error, OSError) else None
    return said or " ".join(str(error).split())


def _log_to_stderr() -> None:
    """What goes wrong while nobody looks: a service has a journal."""
    logging.basicConfig(level=logging.WARNING, format="triologue: %(levelname)s: %(message)s")
