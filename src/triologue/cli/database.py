"""The database of the commands: where it is, and what is in it by which name."""

import os
from collections.abc import AsyncGenerator, Mapping
from contextlib import AsyncExitStack, asynccontextmanager
from pathlib import Path
from uuid import uuid4

from platformdirs import user_data_path

from triologue.errors import SessionNotFound, StoreError, brief
from triologue.ports import SessionStore, StoredSession
from triologue.stores import MemoryStore, SqliteStore

VARIABLE = "TRIOLOGUE_HOME"
FILE = "sessions.db"


class NotKept(SessionNotFound):
    """The database has no session with this key, or of this session id."""

    def __init__(self, key_or_id: str) -> None:
        super().__init__(key_or_id)
        self.args = (f"no session {brief(key_or_id)} is kept; `triologue sessions list` shows those that are",)


def database_path(env: Mapping[str, str] = os.environ) -> Path:
    """The file; its folder is the user's data folder, unless `$TRIOLOGUE_HOME` names another one.

    Raises:
        StoreError: this user has no home folder, and none is named.
    """
    folder = env.get(VARIABLE)
    if folder:
        return Path(os.path.expanduser(folder), FILE)  # noqa: PTH111 - which has no error where there is no such user
    try:
        return user_data_path("triologue", appauthor=False) / FILE
    except RuntimeError as error:  # a container's user that is in no list of users, say
        raise StoreError(
            f"there is no home folder to keep sessions in; set ${VARIABLE} to a folder, or HOME to an absolute path"
        ) from error


def new_key(command: str) -> str:
    """A key for a conversation that begins now."""
    return f"{command}/{uuid4().hex[:8]}"


@asynccontextmanager
async def open_database() -> AsyncGenerator[SqliteStore]:
    """Open it; it is made, and its folder, for this user alone, where there is none.

    Raises:
        StoreError: it cannot be opened, or must be refused.
    """
    path = database_path()
    async with AsyncExitStack() as stack:
        try:
            store = await stack.enter_async_context(SqliteStore(path))
        except StoreError as error:
            raise StoreError(f"{error}; name another folder with ${VARIABLE}") from error
        yield store


@asynccontextmanager
async def existing_database() -> AsyncGenerator[SessionStore]:
    """The same for who only looks; an empty store, and no file, where nothing was kept yet.

    Raises:
        StoreError: it cannot be opened, or must be refused.
    """
    path = database_path()
    try:
        path.stat()
    except FileNotFoundError:
        if not path.parent.is_symlink() or path.parent.exists():  # else all may be on a disk that is not there
            yield MemoryStore()
            return
    except OSError as error:
        said = f"cannot open the session store {str(path)!r}: {error.strerror}"
        raise StoreError(f"{said}; name another folder with ${VARIABLE}") from error
    async with open_database() as store:
        yield store


async def find(store: SessionStore, key_or_id: str) -> StoredSession:
    """The head of a session.

    Raises:
        NotKept: there is none.
    """
    head = await store.get_session(key_or_id)
    if head is None:
        raise NotKept(key_or_id)
    return head
