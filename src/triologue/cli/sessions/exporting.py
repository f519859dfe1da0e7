"""`triologue sessions export`."""

import json
import sys
from pathlib import Path, PurePosixPath
from typing import Literal, TypeAlias

from msgspec import Struct

from triologue.cli.database import existing_database, find
from triologue.cli.endings import ExitCode
from triologue.cli.sessions.files import new_file
from triologue.engine.histories import ABOUT_AGENT
from triologue.errors import InvalidOption
from triologue.manager import KeptSessions
from triologue.messages.message import decode_object
from triologue.ports import SessionStore, StoredSession, TranscriptEntry

Form: TypeAlias = Literal["jsonl", "claude"]


class ExportRequest(Struct, frozen=True, kw_only=True):
    """What the command line says."""

    key: str
    form: Form
    output: Path | None
    """A file, or for the vendors' form a folder; None: standard output."""


async def export_kept(request: ExportRequest) -> ExitCode:
    """Write a session out.

    Raises:
        NotKept: there is none.
        InvalidOption: it cannot be written like this.
        StoreError: it cannot be written.
    """
    async with existing_database() as store:
        head = await find(store, request.key)
        if request.form == "claude":
            await _export_files(store, head, request.output or Path())
        elif request.output is not None:
            await write_log(store, head.key, request.output)
        else:
            await KeptSessions(store).export(head.key, sys.stdout.buffer.write)
            sys.stdout.buffer.flush()
    return ExitCode.OK


async def write_log(store: SessionStore, key: str, path: Path) -> None:
    """Write the log of a session to a file as it is read, for it may be larger than the memory.

    Raises:
        InvalidOption: the file is there already.
        StoreError: it cannot be read, or cannot be written; then there is no file.
    """
    with new_file(path) as file:
        await KeptSessions(store).export(key, file.write)


async def _export_files(store: SessionStore, head: StoredSession, folder: Path) -> None:
    entries = await store.read_transcript(head.session_id) if head.session_id is not None else []
    if not entries:
        raise InvalidOption(
            f"nothing is kept of the history that the agent of {head.key!r} writes; --format jsonl writes out what was said"
        )
    files = files_of(entries)
    for path in files:
        if (folder / path).exists():
            raise InvalidOption(
                f"{str(folder / path)!r} is there already, and nothing was written; name another folder"
            )
    for path, lines in files.items():
        with new_file(folder / path) as file:
            file.writelines(lines)
        sys.stdout.write(f"{folder / path}\n")


def files_of(entries: list[TranscriptEntry]) -> dict[str, list[bytes]]:
    """The files of an agent's history, by their paths, with their lines.

    Raises:
        InvalidOption: a path leads out of the folder.
    """
    files: dict[str, list[bytes]] = {}
    for entry in entries:
        path = PurePosixPath(entry.path)
        if path.is_absolute() or ".." in path.parts or not path.parts or "\0" in entry.path:
            raise InvalidOption(f"a line of the history belongs to {entry.path!r}, which is no file of it")
        about = decode_object(entry.line) if len(path.parts) > 1 else {}
        if about.pop("type", None) == ABOUT_AGENT:
            files[str(path.with_suffix(".meta.json"))] = [json.dumps(about).encode()]
        else:
            files.setdefault(str(path), []).append(entry.line + b"\n")
    return files
