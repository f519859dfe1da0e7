"""`triologue sessions import`."""

import os
import sys
from collections import Counter
from collections.abc import Iterable, Iterator, Sequence
from pathlib import Path
from typing import Final

import msgspec
import trio
from msgspec import Struct
from msgspec.structs import replace

from triologue.agents import is_dead, new_owner
from triologue.agents.mirrors import is_path_of
from triologue.cli.database import open_database
from triologue.cli.endings import ExitCode, one_line
from triologue.cli.sessions.files import telling
from triologue.cli.sessions.history import Imported, read_session, records_beyond
from triologue.cli.sessions.listing import PAGE
from triologue.engine.histories import ABOUT_AGENT, CLAUDE, CORTEX, QODER, FolderRules, is_session_id, parse_lines
from triologue.engine.histories.folders import is_file
from triologue.engine.histories.latest import first_prompt
from triologue.errors import InvalidOption, SessionElsewhere, StoreError, TriologueError
from triologue.manager.checks import check_key
from triologue.messages.message import decode_object
from triologue.ports import Append, Lease, Record, SessionStore, StoredSession, TranscriptEntry

RULES: Final[dict[str, FolderRules]] = {"claude-code": CLAUDE, "qoder": QODER, "cortex-code": CORTEX}
"""Where the programs keep their histories, by the names of their agents."""
LEASE: Final = 30.0
"""Seconds for writing one session."""


class ImportRequest(Struct, frozen=True, kw_only=True):
    """What the command line says."""

    paths: Sequence[Path]
    """Histories, or folders of them; none: those of the working folder."""
    agent: str
    key: str | None
    """For a single one."""
    all: bool
    """Those of all folders."""


async def import_histories(request: ImportRequest) -> ExitCode:
    """Take histories in, and tell of each what became of it; the exit code says whether all could be.

    Raises:
        InvalidOption: a key that cannot be, or more histories than it is for.
        StoreError: a path cannot be read, or the database cannot be opened.
    """
    if request.key is not None:
        check_key(request.key)
    files = list(_found(request.paths) if request.paths else _found_of(RULES[request.agent], all=request.all))
    if not files:
        sys.stderr.write(f"triologue: {_not_found(request)}\n")
        return ExitCode.FAILED
    if request.key is not None and len(files) > 1:
        raise InvalidOption(f"--key names one session, and {len(files)} histories were found; name one file")
    has_failed = False
    async with open_database() as store:
        for file in files:
            try:
                said = await _take_in(store, file, request)
            except TriologueError as error:
                has_failed = True
                sys.stderr.write(f"triologue: {file}: {one_line(error)}\n")
            else:
                sys.stdout.write(f"{file}: {said}\n")
    return ExitCode.FAILED if has_failed else ExitCode.OK


def _not_found(request: ImportRequest) -> str:
    if request.paths:
        return f"no history was found in {', '.join(repr(str(path)) for path in request.paths)}"
    where = str(RULES[request.agent].config(os.environ) / "projects")
    missed = "" if request.all else " that belongs to this folder; --all takes those of all folders"
    return f"no history of {request.agent} was found in {where!r}{missed}"


async def _take_in(store: SessionStore, file: Path, request: ImportRequest) -> str:
    """Take one history in; returns what became of it, in words."""
    session_id, files = await trio.to_thread.run_sync(_read, file, abandon_on_cancel=True)
    key = request.key or f"imported/{session_id}"
    head = await store.get_session(session_id) or await store.get_session(key)
    if head is not None and head.session_id != session_id:
        raise InvalidOption(f"the key {head.key!r} has another conversation; choose another --key")
    key = head.key if head is not None else key
    marks_leaf = RULES[request.agent].marks_leaf
    imported = read_session(session_id, files, key=key, agent=request.agent, marks_leaf=marks_leaf)
    if imported is None:
        return "nothing was said in it"
    kept = await _records(store, key)
    records = records_beyond(imported.records, kept)
    if records is None:
        return f"is kept as {key} already, and went on there; nothing was changed"
    entries = list(beyond(imported.entries, await store.read_transcript(session_id)))
    if head is not None and not records and not entries:
        return f"is kept as {key} already"
    session = replace(imported.head, last_seq=len(kept) + len(records))
    await _write(store, head, Imported(session, records, entries))
    turns = imported.head.turns
    return f"kept as {key}, with {turns} turn{'s' * (turns != 1)}" if head is None else f"has grown, {key} as well"


async def _write(store: SessionStore, head: StoredSession | None, new: Imported) -> None:
    session = new.head
    if head is not None:
        session = replace(session, settings=head.settings, parent=head.parent, forked_at=head.forked_at)
    lease = await _acquire(store, session.key)
    try:
        await store.append(Append(lease=lease, session=session, records=new.records, transcript=new.entries))
        if head is None and (session.title is not None or session.tags):
            await store.label(session.key, title=session.title, tags=session.tags)
    finally:
        with trio.move_on_after(LEASE, shield=True):
            await store.release(lease)


async def _acquire(store: SessionStore, key: str) -> Lease:
    owner = new_owner()
    try:
        lease, _ = await store.acquire(key, owner=owner, ttl=LEASE)
    except SessionElsewhere as error:
        if not is_dead(error.owner):
            raise
        lease, _ = await store.acquire(key, owner=owner, ttl=LEASE, replaces=error.owner)
    return lease


async def _records(store: SessionStore, key: str) -> list[Record]:
    records: list[Record] = []
    while page := await store.read(key, after=len(records), limit=PAGE):
        records += page
    return records


def beyond(entries: Iterable[TranscriptEntry], kept: Iterable[TranscriptEntry]) -> Iterator[TranscriptEntry]:
    """Those lines that are not kept yet. One without an id is another each time it stands in its file."""
    ids: set[tuple[str, str]] = set()
    nameless: Counter[tuple[str, bytes]] = Counter()
    for entry in kept:
        if entry.id is not None:
            ids.add((entry.path, entry.id))
        else:
            nameless[entry.path, entry.line] += 1
    for entry in entries:
        if entry.id is None and nameless[entry.path, entry.line] > 0:
            nameless[entry.path, entry.line] -= 1
        elif entry.id is None or (entry.path, entry.id) not in ids:
            yield entry


def _found(paths: Sequence[Path]) -> Iterator[Path]:
    for path in paths:
        with telling(path, "read"):
            path.stat()
            if path.is_dir():
                yield from sorted(file for file in path.glob("*.jsonl") if file.is_file())
            elif path.is_file() or path.is_fifo():  # such as `/dev/stdin`, or what a shell makes of `<(zcat ...)`
                yield path
            else:  # a device may have no end
                raise StoreError(f"{str(path)!r} is neither a file nor a folder; name a history, or a folder of them")


def _found_of(rules: FolderRules, *, all: bool) -> Iterator[Path]:
    projects = rules.config(os.environ) / "projects"
    with telling(projects, "read"):
        for folder in sorted(projects.glob("*")) if all else rules.places(projects, os.curdir):
            for file in sorted(folder.glob("*.jsonl")):
                if is_session_id(file.stem) and file.is_file() and (all or _is_of_here(rules, file)):
                    yield file


def _is_of_here(rules: FolderRules, file: Path) -> bool:
    """Is it one of the current folder, and of none that the program keeps in the same place?"""
    begins = first_prompt(file)
    return rules.is_of(os.curdir, file.parent, begins.get("cwd") if begins is not None else None)


def _read(file: Path) -> tuple[str, dict[str, bytes]]:
    """A history, with those of its sub-agents: its session id, and what is in its files."""
    with telling(file, "read"):
        data = file.read_bytes()
        session_id = _id_of(file, data)
        files = {f"{session_id}.jsonl": data}
        for other in sorted(file.with_suffix("").rglob("*.jsonl")):
            path = f"{session_id}/{other.relative_to(file.with_suffix('')).as_posix()}"
            if is_file(other) and is_path_of(session_id, path):  # else it is not the program's
                files[path] = _about(other) + other.read_bytes()
    return session_id, files


def _id_of(file: Path, data: bytes) -> str:
    if is_session_id(file.stem):
        return file.stem
    told = (line.get("sessionId") for line in parse_lines(data))
    found = next((each for each in told if is_session_id(each)), None)
    if found is None:
        raise StoreError("this is no history of an agent: no line of it names its session")
    return found


def _about(history: Path) -> bytes:
    """What a sub-agent is, as a line."""
    facts = history.with_suffix(".meta.json")
    about = decode_object(facts.read_bytes()) if is_file(facts) else {}
    return msgspec.json.encode({**about, "type": ABOUT_AGENT}) + b"\n" if about else b""
