"""Temporary folders of agents, of which none stays: also where this program is killed, the next one removes them."""

import fcntl
import os
import shutil
import tempfile
from collections.abc import AsyncGenerator, Callable
from contextlib import asynccontextmanager, suppress
from functools import partial
from pathlib import Path

import trio

from triologue.loops import NoThread, in_thread
from triologue.ports import Account

PREFIX = "triologue-history-"
REMOVAL = 10.0
"""Seconds that removing one may take."""

_LOCK = ".triologue.lock"


@asynccontextmanager
async def own_folder(fill: Callable[[Path], None], account: Account | None = None) -> AsyncGenerator[Path]:
    """A folder that only one user can look into, as long as the block lasts.

    Args:
        fill: puts into it what it is for; runs in a thread.
        account: who it is for; None: the user of this program.

    Raises:
        OSError: it cannot be made or filled.
    """
    folder, lock = await in_thread(_make)
    try:
        await in_thread(_fill, folder, fill, account)
        yield folder
    finally:
        with trio.move_on_after(REMOVAL, shield=True):
            remove = partial(shutil.rmtree, folder, ignore_errors=True)
            try:
                await in_thread(remove, abandon_on_cancel=True)
            except NoThread:
                remove()
        os.close(lock)


def write_own(path: Path, content: bytes) -> None:
    """Write a new file that only its owner can read. Raises `OSError`."""
    with os.fdopen(os.open(path, os.O_WRONLY | os.O_CREAT | os.O_EXCL, 0o600), "wb") as file:
        file.write(content)


def _make() -> tuple[Path, int]:
    """Make one, remove those that nobody holds any more, and give the descriptor that holds this one."""
    with suppress(OSError):
        _remove_abandoned(Path(tempfile.gettempdir()))
    # By its real name, because agents say where they write by that.
    folder = Path(tempfile.mkdtemp(prefix=PREFIX)).resolve()
    draft = folder / f"{_LOCK}.draft"
    try:
        lock = os.open(draft, os.O_RDWR | os.O_CREAT | os.O_EXCL | os.O_CLOEXEC, 0o600)
        fcntl.flock(lock, fcntl.LOCK_EX)
        draft.rename(folder / _LOCK)
    except BaseException:
        shutil.rmtree(folder, ignore_errors=True)
        raise
    return folder, lock


def _fill(folder: Path, fill: Callable[[Path], None], account: Account | None) -> None:
    fill(folder)
    if account is not None:
        for path in (*folder.rglob("*"), folder):
            os.chown(path, account.uid, account.gid, follow_symlinks=False)


def _remove_abandoned(temporary: Path) -> None:
    """The kernel lets a lock go when its holder ends, however that ends."""
    for folder in temporary.glob(f"{PREFIX}*"):
        try:
            lock = os.open(folder / _LOCK, os.O_RDONLY | os.O_CLOEXEC | os.O_NOFOLLOW)
        except OSError:
            continue  # another user's, or it is just being made
        try:
            fcntl.flock(lock, fcntl.LOCK_EX | fcntl.LOCK_NB)
            shutil.rmtree(folder, ignore_errors=True)
        except OSError:
            pass  # it is in use
        finally:
            os.close(lock)
