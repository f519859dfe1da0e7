"""Tokens in a file, which commands change while a gateway reads them."""

import fcntl
import logging
import os
import secrets
import shlex
import stat
from collections.abc import Callable, Collection, Generator
from contextlib import contextmanager, suppress
from pathlib import Path
from typing import Final, Literal, final

import msgspec
import trio
from msgspec import Struct

from triologue.errors import StoreError
from triologue.gateway.tokens import RIGHTS, Grant, KeptToken, find, id_of, match, mint
from triologue.protocol.told import Right

logger = logging.getLogger("triologue.gateway")

INTERVAL: Final = 1.0
"""Seconds between two looks at the file."""
MAX_BYTES: Final = 16 * 1024 * 1024


class _Contents(Struct, frozen=True, kw_only=True, forbid_unknown_fields=True):
    format: Literal["triologue tokens 1"] = "triologue tokens 1"
    tokens: list[KeptToken]


_decoder = msgspec.json.Decoder(_Contents)


@final
class TokenFile:
    """Tokens in a JSON file that is this user's alone. What was changed there counts at once, at a glance for each question.

    Args:
        path: the file.
        create: it need not be there yet; the first token makes it.

    Raises:
        StoreError: it cannot be read, is somebody else's, or is no such file.
    """

    def __init__(self, path: str | os.PathLike[str], *, create: bool = False) -> None:
        self._path = Path(path)
        self._kept: dict[str, KeptToken] = {}
        self._seen: tuple[int, ...] = ()
        """Tells whether the file is another one than that which was read."""
        self._complained: tuple[bool, tuple[int, ...]] | None = None
        """Of the file of which the log has told that the system does not give it for now, or that it is bad."""
        try:
            self._read()
        except FileNotFoundError:
            if not create:
                raise StoreError(
                    f"there is no token file {str(path)!r}; `triologue tokens add NAME --tokens {path}` makes one"
                ) from None

    def __repr__(self) -> str:
        return f"<TokenFile {str(self._path)!r}: {len(self._kept)}>"

    def add(
        self, name: str, *, rights: Collection[Right] = RIGHTS, prefix: str = "", expires: float | None = None
    ) -> str:
        """Make a token; its text is returned this once, and not kept.

        Raises:
            InvalidOption: a value that cannot be.
            StoreError: the file cannot be read or written.
        """
        token, kept = mint(name, rights=rights, prefix=prefix, expires=expires)
        with self._changing():
            self._kept[kept.grant.id] = kept
        return token

    def revoke(self, id: str) -> bool:
        """Forget a token, by its id or its text; False: there is none. Raises `StoreError`."""
        with self._changing():
            return self._kept.pop(id_of(id), None) is not None

    def grants(self) -> list[Grant]:
        """All of them as they were last read, those that have expired too."""
        return [each.grant for each in self._kept.values()]

    def check(self, token: str, now: float) -> Grant | None:
        """See `Tokens`."""
        self._look()
        return match(self._kept, token, now)

    def get(self, id: str, now: float) -> Grant | None:
        """See `Tokens`."""
        self._look()
        return find(self._kept, id, now)

    async def watch(self, on_change: Callable[[], None]) -> None:
        """See `Tokens`. Without the file there are no tokens; one that cannot be read changes none, and is logged."""
        told = self._seen
        while True:
            await trio.sleep(INTERVAL)
            self._look()
            if self._seen != told:
                told = self._seen
                on_change()

    def _look(self) -> None:
        """Read it again if it is another one."""
        mark = self._mark()
        if mark == self._seen:
            return
        try:
            self._read()
        except FileNotFoundError:
            self._kept, self._seen = {}, ()
            logger.warning("the token file %s is gone, so no token is valid", self._path)
        except StoreError as error:
            # Where the system gave nothing to read, for want of open files or of rights, the same file may be read soon,
            # and somebody may be revoked in it. What was read is bad until it is another: who writes it in place may be
            # done only now.
            is_passing = isinstance(error.__cause__, OSError)
            if not is_passing:
                self._seen = mark
            if (is_passing, mark) != self._complained:
                self._complained = is_passing, mark
                logger.error("the tokens stay as they were: %s", error)  # noqa: TRY400 - the trace says nothing more

    def _mark(self) -> tuple[int, ...]:
        try:
            found = self._path.stat()
        except OSError:
            return ()
        return _mark_of(found)

    def _read(self) -> None:
        """Raises `FileNotFoundError`, and `StoreError` for whatever else is wrong."""
        try:
            with open(self._path, "rb", opener=_open_at_once) as file:
                found = os.fstat(file.fileno())
                self._refuse_foreign(found)
                contents = file.read(MAX_BYTES + 1)
        except FileNotFoundError:
            raise
        except OSError as error:
            raise StoreError(f"cannot read the token file {str(self._path)!r}: {error.strerror}") from error
        self._kept = self._parse(contents)
        self._seen = _mark_of(found)

    def _refuse_foreign(self, found: os.stat_result) -> None:
        if not stat.S_ISREG(found.st_mode):
            raise StoreError(f"the token file {str(self._path)!r} is no regular file")
        if found.st_uid not in (0, os.geteuid()):
            raise StoreError(f"the token file {str(self._path)!r} belongs to another user (uid {found.st_uid})")
        if found.st_mode & 0o077:
            raise StoreError(
                f"others may use the token file {str(self._path)!r} (its mode is {stat.S_IMODE(found.st_mode):o}); "
                f"say: chmod 600 {shlex.quote(str(self._path))}"
            )

    def _parse(self, contents: bytes) -> dict[str, KeptToken]:
        try:
            tokens = _decoder.decode(contents).tokens
            if not all(len(bytes.fromhex(each.sha256)) == 32 for each in tokens):
                raise ValueError("a hash is not 32 bytes long")
        except ValueError as error:  # msgspec's are some of those
            raise StoreError(
                f"{str(self._path)!r} is no token file, or a damaged one ({error}); restore it, or move it "
                "away and make a new one with `triologue tokens add`"
            ) from error
        return {each.grant.id: each for each in tokens}

    @contextmanager
    def _changing(self) -> Generator[None]:
        """In this block nobody else changes the file; what is changed in it is written at its end."""
        try:
            folder = os.open(self._path.parent, os.O_RDONLY | os.O_DIRECTORY | os.O_CLOEXEC)
        except OSError as error:
            raise StoreError(f"cannot write the token file {str(self._path)!r}: {error.strerror}") from error
        try:
            fcntl.flock(folder, fcntl.LOCK_EX)
            self._refuse_link()
            try:
                self._read()
            except FileNotFoundError:
                self._kept = {}
            yield
            self._write()
            os.fsync(folder)
        finally:
            os.close(folder)

    def _refuse_link(self) -> None:
        """To be written it is replaced, and whoever serves what a link leads to would not hear of it."""
        if self._path.is_symlink():
            there = shlex.quote(os.path.realpath(self._path))
            raise StoreError(
                f"the token file {str(self._path)!r} is a symbolic link, which can be read, and not be changed; "
                f"change the file that it leads to: --tokens {there}"
            )

    def _write(self) -> None:
        contents = msgspec.json.encode(_Contents(tokens=list(self._kept.values())))
        draft = self._path.with_name(f"{self._path.name}.{secrets.token_hex(4)}.draft")
        try:
            with os.fdopen(os.open(draft, os.O_WRONLY | os.O_CREAT | os.O_EXCL | os.O_CLOEXEC, 0o600), "wb") as file:
                file.write(msgspec.json.format(contents) + b"\n")
                file.flush()
                os.fsync(file.fileno())
                self._seen = _mark_of(os.fstat(file.fileno()))
            draft.rename(self._path)
        except OSError as error:
            with suppress(OSError):
                draft.unlink(missing_ok=True)
            raise StoreError(f"cannot write the token file {str(self._path)!r}: {error.strerror}") from error


def _open_at_once(path: str, flags: int) -> int:
    """Open what may be a FIFO, which to open would wait for a writer; what it is, is looked at then."""
    return os.open(path, flags | os.O_NONBLOCK | os.O_NOCTTY)


def _mark_of(found: os.stat_result) -> tuple[int, ...]:
    return (found.st_dev, found.st_ino, found.st_mtime_ns, found.st_size, found.st_mode, found.st_uid)
