"""Files that are read and written for the user, and what is said where that cannot be."""

import os
import secrets
from collections.abc import Generator
from contextlib import contextmanager
from pathlib import Path
from typing import BinaryIO

from triologue.errors import InvalidOption, StoreError


@contextmanager
def new_file(path: Path) -> Generator[BinaryIO]:
    """A file to write, for this user alone, and the folders above it. One that is not written whole does not stay.

    Until it is whole it has another name, and an empty one keeps its place: where this process is killed, nobody takes
    half of it for all.

    Raises:
        InvalidOption: it is there already.
        StoreError: it cannot be written.
    """
    with telling(path, "written"):
        path.parent.mkdir(mode=0o700, parents=True, exist_ok=True)
        try:
            os.close(_make(path))
        except FileExistsError:
            raise InvalidOption(f"{str(path)!r} is there already, and was left as it is; name another place") from None
        draft = path.with_name(f"triologue.{secrets.token_hex(4)}.draft")
        try:
            with os.fdopen(_make(draft), "wb") as file:
                yield file
            draft.replace(path)
        except BaseException:  # the next attempt would find it, and be refused
            draft.unlink(missing_ok=True)
            path.unlink()
            raise


def _make(path: Path) -> int:
    return os.open(path, os.O_WRONLY | os.O_CREAT | os.O_EXCL, 0o600)


@contextmanager
def telling(path: Path, what: str) -> Generator[None]:
    """Say of an error of the system which file it is about.

    Raises:
        StoreError: in place of an `OSError`.
    """
    try:
        yield
    except OSError as error:
        raise StoreError(f"{str(path)!r} cannot be {what}: {why(error)}") from error


def why(error: OSError) -> str:
    """What the system has against a file, or against its folder."""
    if isinstance(error, FileExistsError):  # what `mkdir` says of that
        return "its folder is a file, or a link that leads nowhere"
    return error.strerror or str(error)
