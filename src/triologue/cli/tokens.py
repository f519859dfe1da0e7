"""`triologue tokens`: who may use a gateway."""

import os
import sys
import time
from pathlib import Path

import msgspec
from rich.console import Console
from rich.table import Table

from triologue.cli.database import database_path
from triologue.cli.endings import ExitCode
from triologue.cli.sessions.files import why
from triologue.cli.sessions.spans import clock
from triologue.cli.text_flow import in_a_cell
from triologue.errors import InvalidOption, StoreError, brief
from triologue.gateway.token_file import TokenFile
from triologue.gateway.tokens import Grant
from triologue.protocol.told import Right

FILE = "tokens.json"


def tokens_path() -> Path:
    """The file that is used where none is named; it is beside the database."""
    return database_path().with_name(FILE)


def add_token(path: Path | None, name: str, *, rights: tuple[Right, ...], prefix: str, span: float | None) -> ExitCode:
    """Make a token, and print it, this once; one that cannot be printed is not kept.

    Args:
        path: of the file; None: the usual one.
        name: for people.
        rights: what it may be used for.
        prefix: of the keys that exist for it.
        span: seconds until it expires; None: never.

    Raises:
        TriologueError: a value that cannot be, a file that cannot be changed, or an output that nobody sees.
    """
    if span is not None and span <= 0:
        raise InvalidOption("a token that has expired already is good for nothing; give --expires more than 0")
    if _is_output_unseen():
        raise InvalidOption("no token was made: the output is closed, or /dev/null, and nobody would see it")
    file = _open(path, create=True)
    token = file.add(name, rights=rights, prefix=prefix, expires=time.time() + span if span is not None else None)
    try:
        sys.stdout.write(f"{token}\n")
        sys.stdout.flush()
    except OSError as error:
        file.revoke(token)
        raise StoreError(f"no token was made, as it cannot be printed: {error.strerror}") from error
    if sys.stdout.isatty():
        sys.stderr.write("triologue: keep it; only its hash was written, and nobody can show it again\n")
    return ExitCode.OK


def list_tokens(path: Path | None, console: Console, *, json: bool) -> ExitCode:
    """Print what the tokens allow; a secret is in none of it. Raises `StoreError`."""
    grants = _open(path).grants()
    if json:
        sys.stdout.buffer.write(msgspec.json.encode(grants) + b"\n")
        return ExitCode.OK
    table = Table("ID", "NAME", "RIGHTS", "PREFIX", "EXPIRES", box=None, pad_edge=False)
    for grant in grants:
        table.add_row(
            grant.id, grant.name, " ".join(sorted(grant.rights)), in_a_cell(grant.prefix) or "-", _expiry(grant)
        )
    console.print(table, markup=False) if grants else console.print("There is no token.")
    return ExitCode.OK


def revoke_token(path: Path | None, id: str) -> ExitCode:
    """Forget a token. Raises `StoreError`, also where there is none."""
    file = _open(path)
    if not file.revoke(id):
        shown = brief(id if not id.startswith("tri_") else f"{id[:8]}...")  # a secret is not for the screen
        raise StoreError(f"there is no token with the id {shown}; `triologue tokens list` shows those that there are")
    sys.stderr.write("triologue: revoked; a gateway that runs closes its connections within a second or two\n")
    return ExitCode.OK


def _is_output_unseen() -> bool:
    try:
        return os.path.samestat(os.fstat(sys.stdout.fileno()), Path(os.devnull).stat())
    except OSError:  # it is no file
        return False


def _open(path: Path | None, *, create: bool = False) -> TokenFile:
    path = path if path is not None else tokens_path()
    if create:
        try:
            path.parent.mkdir(mode=0o700, parents=True, exist_ok=True)
        except OSError as error:
            said = f"cannot make the folder of the token file {str(path)!r}: {why(error)}"
            raise StoreError(f"{said}; name another file with --tokens") from error
    return TokenFile(path, create=create)


def _expiry(grant: Grant) -> str:
    if grant.expires is None:
        return "never"
    if not grant.is_valid(time.time()):
        return "expired"
    return clock(grant.expires)
