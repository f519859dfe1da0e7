"""Histories of the vendors' programs: read where they are, and put where they are found."""

import json
import logging
import os
from collections.abc import AsyncGenerator, Callable, Iterable, Mapping, Sequence
from contextlib import AsyncExitStack, asynccontextmanager
from functools import partial
from pathlib import Path
from typing import Any, TypeAlias, final

from triologue.agents.accounts import find_account
from triologue.agents.borrowing import borrow_claude, borrow_qoder
from triologue.agents.launching import working_folder
from triologue.agents.mirrors import as_entries, entries_of, is_path_of, read_about
from triologue.agents.own_folders import own_folder, write_own
from triologue.engine.histories import ABOUT_AGENT, CLAUDE, QODER, UNTOLD, FolderRules
from triologue.engine.histories.folders import find_files, is_file, is_name, make_folder
from triologue.engine.histories.latest import find_latest
from triologue.errors import StoreError, brief
from triologue.loops import in_thread
from triologue.messages import TranscriptMirror
from triologue.messages.message import decode_object
from triologue.options import Options
from triologue.ports import Restored, TranscriptEntry

logger = logging.getLogger(__name__)

Borrow: TypeAlias = Callable[[Mapping[str, str], str, Path], None]
"""Puts what a program needs of the user's config folder into another. Raises `OSError`.

Given are the environment and the working folder that the program is to be started with, and where to put it.
"""


@final
class ProgramHistories:
    """The histories of one vendor's program, in an environment.

    Args:
        rules: where they are.
        borrow: what a config folder that is made for a history needs besides.
        env: the environment that the program is to be started with.
        options: what else it is to be started with.
    """

    def __init__(self, rules: FolderRules, borrow: Borrow, env: Mapping[str, str], options: Options) -> None:
        self._rules = rules
        self._borrow = borrow
        self._env = env
        self._cwd = os.fspath(options.cwd or ".")
        self._projects = rules.config_in(env, self._cwd) / "projects"

    def entries_of(self, mirror: TranscriptMirror) -> list[TranscriptEntry]:
        """See `MirrorsHistories.entries_of`."""
        return entries_of(mirror, str(self._projects), self._cwd)

    async def latest(self, options: Options) -> str | None:
        """See `FindsLatest.latest`."""
        cwd = working_folder(options)
        try:
            return await in_thread(find_latest, self._rules, self._projects, cwd, abandon_on_cancel=True)
        except (OSError, ValueError) as error:  # a name that is no text is the latter
            raise StoreError(f"the latest history of {cwd!r} cannot be found: {error}") from error

    @asynccontextmanager
    async def restore(self, options: Options, entries: Sequence[TranscriptEntry]) -> AsyncGenerator[Restored]:
        """See `MirrorsHistories.restore`."""
        if options.resume is None:
            yield Restored(options)
            return
        session_id = options.resume
        files = _by_file(session_id, entries)
        try:
            unkept = await in_thread(self._find, session_id, files, abandon_on_cancel=True)
        except OSError as error:
            raise StoreError(f"the history of {session_id!r} cannot be read: {error}") from error
        if unkept is not None or f"{session_id}.jsonl" not in files:
            yield Restored(options, unkept or ())
            return
        fill = partial(self._fill, cwd=working_folder(options), files=files)
        async with AsyncExitStack() as stack:
            try:
                account = await in_thread(find_account, options.user, abandon_on_cancel=True)
                folder = await stack.enter_async_context(own_folder(fill, account))
            except OSError as error:
                raise StoreError(f"the history of {session_id!r} cannot be put where it is found: {error}") from error
            restored = options.copy()
            restored.env = {**options.env, self._rules.variable: str(folder)}
            yield Restored(restored)

    def _find(self, session_id: str, files: Mapping[str, Sequence[TranscriptEntry]]) -> list[TranscriptEntry] | None:
        """What is there beyond what is kept; None where not even that is all there."""
        found = find_files(self._projects, f"{session_id}.jsonl") if is_name(session_id) else []
        if not found:
            return None
        own, unkept = found[0], list[TranscriptEntry]()
        for file in (own, *sorted(own.with_suffix("").rglob("*.jsonl"))):
            path = file.relative_to(own.parent).as_posix()
            if not is_file(file) or not is_path_of(session_id, path):
                continue  # not the program's
            lines = _lines_beyond(file.read_bytes(), files.get(path, ()))
            if lines is None and file is own:
                return None
            facts = file.with_suffix(".meta.json")
            if lines and file is not own and is_file(facts) and (about := decode_object(facts.read_bytes())):
                lines.insert(0, json.dumps({**about, "type": ABOUT_AGENT}).encode())
            unkept += as_entries(session_id, path, lines or ())
        return unkept

    def _fill(self, folder: Path, *, cwd: str, files: Mapping[str, Sequence[TranscriptEntry]]) -> None:
        """Make a config folder of it."""
        project = self._rules.own_place(folder / "projects", cwd)
        for path, entries in files.items():
            about, lines = _parted(entries) if "/" in path else (None, [entry.line for entry in entries])
            make_folder((project / path).parent)
            write_own(project / path, b"".join(line + b"\n" for line in lines))
            if about is not None:
                write_own((project / path).with_suffix(".meta.json"), json.dumps(about).encode())
        self._borrow(self._env, cwd, folder)


def claude_histories(env: Mapping[str, str], options: Options) -> ProgramHistories:
    """Those of Claude Code."""
    return ProgramHistories(CLAUDE, borrow_claude, env, options)


def qoder_histories(env: Mapping[str, str], options: Options) -> ProgramHistories:
    """Those of the Qoder CLI."""
    return ProgramHistories(QODER, borrow_qoder, env, options)


def _lines_beyond(data: bytes, kept: Sequence[TranscriptEntry]) -> list[bytes] | None:
    """The lines of a file behind the last one that is kept; None where that one is not in it."""
    lines = data.split(b"\n")
    last = next((entry.id for entry in reversed(kept) if entry.id is not None), None)
    if last is not None:
        place = next((index for index in reversed(range(len(lines))) if _is_line(lines[index], last)), None)
        if place is None:
            return None
        del lines[: place + 1]
    known = {entry.line for entry in kept if entry.id is None}  # behind the last message there is always some of this
    return [
        line
        for line in lines
        if line not in known and (about := read_about(line)) and not about.type.startswith(UNTOLD)
    ]


def _is_line(line: bytes, uuid: str) -> bool:
    if uuid.encode() not in line:  # long lines are not decoded for nothing
        return False
    about = read_about(line)
    return about is not None and about.uuid == uuid


def _parted(entries: Iterable[TranscriptEntry]) -> tuple[dict[str, Any] | None, list[bytes]]:
    """What was told last about a sub-agent, and the lines of its history."""
    about: dict[str, Any] | None = None
    lines: list[bytes] = []
    for entry in entries:
        told = read_about(entry.line)
        if told is None or told.type != ABOUT_AGENT:
            lines.append(entry.line)
        else:
            about = decode_object(entry.line)
            del about["type"]
    return about, lines


def _by_file(session_id: str, entries: Iterable[TranscriptEntry]) -> dict[str, list[TranscriptEntry]]:
    """The lines of each file; those that would go elsewhere are left out."""
    files: dict[str, list[TranscriptEntry]] = {}
    strays: list[str] = []
    for entry in entries:
        if entry.path in files or is_path_of(session_id, entry.path):
            files.setdefault(entry.path, []).append(entry)
        else:
            strays.append(entry.path)
    if strays:
        text = "%d lines of the history of %r are passed over: no file of it is called %s"
        logger.warning(text, len(strays), session_id, brief(strays[0]))
    return files
