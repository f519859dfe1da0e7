"""What a program is started with, and why it did not start."""

import contextlib
import errno
import fcntl
import os
from collections.abc import Callable, Iterable, Mapping
from pathlib import Path

from triologue.agents.pipes import CHUNK
from triologue.agents.spawner import Launch
from triologue.errors import AgentError, AgentNotFound, AgentStartError
from triologue.loops import NoThread, in_thread
from triologue.options import Options
from triologue.ports import Command


def working_folder(options: Options) -> str:
    """The folder that an agent starts in, as an absolute path. Raises `AgentStartError` if there is none."""
    try:
        return str(Path(options.cwd or ".").absolute())
    except FileNotFoundError:
        wrong = "the current folder was deleted; go to another one, or name one as cwd"
        raise AgentStartError(wrong, is_final=True) from None


def changed(environ: Mapping[str, str], changes: Mapping[str, str | None]) -> dict[str, str]:
    """An environment with these variables; None takes one away."""
    return {name: value for name, value in {**environ, **changes}.items() if value is not None}


def named_any(names: Iterable[str], environ: Mapping[str, str]) -> bool:
    """Is one of these variables set, and not to nothing or to a plain no?"""
    return any(environ.get(name, "").lower() not in ("", "0", "false") for name in names)


async def looked_up(command: Callable[[Options], Command], options: Options) -> Command:
    """What is to be started, found out in a thread, since that asks the file system.

    Raises:
        AgentStartError: there is no thread for it. And what `command` raises.
    """
    try:
        return await in_thread(command, options, abandon_on_cancel=True)
    except NoThread as error:
        raise AgentStartError(
            f"cannot look for the program of the agent: {error}, or keep fewer agents alive"
        ) from error


def plan(command: Command, fds: tuple[int, int, int]) -> Launch:
    """What to start, in a folder that means the same to everybody. Raises `OSError` if there is no current one."""
    return Launch(command.argv, command.env, str(Path(command.cwd or ".").absolute()), fds, command.account)


def open_pipes() -> tuple[tuple[int, int, int], tuple[int, int, int]]:
    """Pipes for stdin, stdout and stderr: the host's ends, then the agent's. Raises `OSError`, and leaves none then."""
    fds: list[int] = []
    try:
        for _ in range(3):
            fds += os.pipe()
    except OSError:
        for fd in fds:
            os.close(fd)
        raise
    # A larger pipe than the 64 KiB of Linux lets the agent write a long answer without waiting for us in between. No
    # right to it: as it was.
    with contextlib.suppress(OSError, AttributeError):
        fcntl.fcntl(fds[2], fcntl.F_SETPIPE_SZ, CHUNK)
    return (fds[1], fds[2], fds[4]), (fds[0], fds[3], fds[5])


def explain(error: OSError | ValueError, command: Command) -> AgentError:
    """Why a program did not start, in words that say what to do."""
    program, cwd = command.argv[0], command.cwd or os.curdir
    what = f"cannot start {program!r} in {cwd!r}"
    if not isinstance(error, OSError):
        return AgentStartError(f"{what}: {error}; look at its arguments and its environment", is_final=True)
    if error.errno == errno.ENOENT and error.filename == program:
        if "/" in program and Path(cwd, program).exists():
            wrong = f"{what}: the file is there, but the interpreter in its first line is not; install it"
            return AgentStartError(wrong, is_final=True)
        place = "there is no such file" if "/" in program else "it is in none of the folders of PATH"
        return AgentNotFound(f"{what}: {place}; install it, or give its full path")
    who = "this user" if command.account is None else f"the user {command.account.name!r}"
    to_change = {
        errno.ENOENT: "create the folder, or choose another cwd",
        errno.ENOTDIR: "choose a cwd that is a folder",
        errno.EACCES: f"allow {who} to execute the file, and to enter its folder and the cwd",
        errno.EPERM: f"allow this program to become {who} (CAP_SETUID and CAP_SETGID), or leave Options.user out",
        errno.ENOEXEC: "give a program, or a script whose first line names its interpreter",
        errno.E2BIG: "pass less by arguments and environment",
    }
    scarce = {
        errno.EMFILE: "raise the limit of open files (ulimit -n), or keep fewer agents alive",
        errno.ENFILE: "raise the system's limit of open files, or keep fewer agents alive",
        errno.EAGAIN: "raise the limit of processes (ulimit -u), or keep fewer agents alive",
        errno.ENOMEM: "free memory, or keep fewer agents alive",
    }
    number = error.errno or 0
    advice = to_change.get(number) or scarce.get(number, "look whether it starts by hand")
    return AgentStartError(f"{what}: {error.strerror}; {advice}", is_final=number in to_change)
