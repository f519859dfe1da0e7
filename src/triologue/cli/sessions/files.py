"""Files that are read and written for the user, and what is said where that cannot be."""

import os
from collections.abc import Generator
from contextlib import contextmanager
from pathlib import Path
from typing import BinaryIO

from triologue.errors import InvalidOption, StoreError


@contextmanager
def new_file(path: Path) -> Generator[BinaryIO]:
    """A file to write, for this user alone, and the folders above it. One that is not written whole does not stay.

    Raises:
        InvalidOption: it is there already.
        StoreError: it cannot be written.
    """
    with telling(path, "written"):
        path.parent.mkdir(mode=0o700, parents=True, exist_ok=True)
        try:
            fd = os.open(path, os.O_WRONLY | os.O_CREAT | os.O_EXCL, 0o600)
        except FileExistsError:
            raise InvalidOption(f"{str(path)!r} is there already, and was left as it is; name another place") from None
        try:
            with os.fdopen(fd, "wb") as file:
                yield file
        except BaseException:  # the next attempt would find it, and be refused
            path.unlink()
            raise


@contextmanager
def telling(path: Path, what: str) -> Generator[None]:
    """Say of an error of the system which file it is about.

    Raises:
        StoreError: in place of an `OSError`.
    """
    try:
        yield
    except OSError as error:
        raise StoreError(f"{str(path)!r} cannot be {what}: {error.strerror or error}") from error
