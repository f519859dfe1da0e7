"""Conversations in files, one for each, that grow by whole lines."""

import json
import os
import shutil
from collections.abc import Callable, Generator, Mapping
from contextlib import contextmanager
from datetime import UTC, datetime
from pathlib import Path
from typing import final

from triologue.engine.histories.folders import FolderRules, find_files, is_file, is_name, make_folder, newest_first
from triologue.engine.histories.reading import History, Line, parse_lines, read_history, read_names
from triologue.engine.histories.writing import (
    bookkeeping,
    encode_line,
    find_news,
    metadata_of,
    new_lines,
    note_written,
    written_of,
)
from triologue.engine.transcripts import SubAgent, Transcript, Written
from triologue.errors import StoreError, brief

NAMES_WITHIN = 32 * 1024
"""After as many new bytes a title is written again, because lists of conversations look for it in the last 64 KiB."""

_TAIL = 64 * 1024


@final
class DiskTranscripts:
    """Conversations in one vendor's folders, where its SDK lists, reads, names, copies and deletes them.

    A file is `<config folder>/projects/<project>/<session id>.jsonl`; those of sub-agents are in
    `<session id>/subagents/` beside it. Files are read as they come: a torn end, garbage, lines of unknown types and
    missing parents are passed over, and files that other programs wrote are gone on with. What is new is appended in
    one write of whole lines, so two writers never break each other's lines; like the vendors' programs they do not
    exclude each other, and the branch that was written last is the one to be gone on with. What was written survives
    the end of the process, however it comes, but not that of the machine.

    All of it is synchronous: made for a process in which one conversation lives.

    Args:
        rules: `CLAUDE`, `QODER` or `CORTEX`.
        env: the environment that may name the config folder; None: that of this process.
        version: what lines say wrote them.
        now: gives their time.
    """

    def __init__(
        self,
        rules: FolderRules,
        *,
        env: Mapping[str, str] | None = None,
        version: str = "0",
        now: Callable[[], datetime] = lambda: datetime.now(UTC),
    ) -> None:
        self._rules = rules
        self._version = version
        self._now = now
        self._projects = rules.config_in(os.environ if env is None else env, os.curdir) / "projects"
        self._written: dict[Path, Written] = {}
        self._kept: dict[Path, None] = {}  # the one that was kept last is last

    def __repr__(self) -> str:
        return f"<DiskTranscripts in {str(self._projects)!r}>"

    def __contains__(self, session_id: object) -> bool:
        return isinstance(session_id, str) and self.path(session_id) is not None

    def path(self, session_id: str) -> Path | None:
        """The file of a conversation, if it has one: whichever project it belongs to."""
        found = find_files(self._projects, f"{session_id}.jsonl") if is_name(session_id) else []
        return found[0] if found else None

    def file_of(self, transcript: Transcript) -> Path:
        """The file that a transcript goes to, whether it is there yet or not.

        Raises:
            StoreError: its id, or that of its sub-agent, cannot be the name of a file.
        """
        if not is_name(transcript.session_id):
            raise StoreError(f"the session id {brief(transcript.session_id)} cannot be the name of a file")
        name = f"{transcript.session_id}.jsonl"
        known = next((path for path in self._written if path.name == name), None)
        own = known or self.path(transcript.session_id) or self._rules.own_place(self._projects, transcript.cwd) / name
        if transcript.agent is None:
            return own
        if not is_name(transcript.agent.id):
            raise StoreError(f"the id {brief(transcript.agent.id)} of a sub-agent cannot be the name of a file")
        return own.with_suffix("") / "subagents" / f"agent-{transcript.agent.id}.jsonl"

    def get(self, session_id: str) -> Transcript | None:
        """The conversation of this id, read anew.

        Raises:
            StoreError: its file cannot be read.
        """
        path = self.path(session_id)
        history = None if path is None else self._read(path)
        return None if history is None else history.transcript

    def latest(self, cwd: str) -> Transcript | None:
        """The conversation of this folder that was written last.

        Raises:
            StoreError: its file cannot be read.
        """
        order = {path: number for number, path in enumerate(self._kept)}
        places = self._rules.places(self._projects, cwd)
        for path in newest_first((path for place in places for path in place.glob("*.jsonl")), order):
            history = self._read(path) if is_file(path) else None
            if history is not None and self._rules.is_of(cwd, path.parent, history.transcript.cwd):
                return history.transcript
        return None

    def keep(self, transcript: Transcript) -> None:
        """Append what is new. A conversation in which nothing was said has no file yet.

        Raises:
            StoreError: it cannot be written.
        """
        path = self.file_of(transcript)
        written = self._written.get(path) or Written()
        news = find_news(transcript, written)
        if not (written.uuids or news.frames):
            return
        source = self._source(transcript, written)
        lines = new_lines(transcript, written, news, source, now=self._now(), version=self._version)
        with _translated(path, "written"):
            make_folder(path.parent)
            if transcript.agent is not None and not written.uuids:
                _write_metadata(path, transcript.agent)
            with _appending(path) as file:
                if transcript.agent is None:
                    self._refresh_names(transcript, written, file)
                    lines += bookkeeping(transcript, written, news, marks_leaf=self._rules.marks_leaf)
                size = _append(file, lines)
                os.utime(file)  # from now on it is the latest, also when there is nothing new
        note_written(transcript, written, news, size=size)
        self._written[path] = written
        self._kept.pop(path, None)
        self._kept[path] = None

    def forget(self, session_id: str) -> None:
        """Delete a conversation and what its sub-agents did.

        Raises:
            StoreError: it cannot be deleted.
        """
        for path in find_files(self._projects, f"{session_id}.jsonl") if is_name(session_id) else []:
            with _translated(path, "deleted"):
                path.unlink(missing_ok=True)
                shutil.rmtree(path.with_suffix(""), ignore_errors=True)
            self._written.pop(path, None)

    def _read(self, path: Path) -> History | None:
        with _translated(path, "read"):
            try:
                data = path.read_bytes()
            except FileNotFoundError:
                return None
        history = read_history(path.stem, data, honors_leaf=self._rules.marks_leaf)
        if history is not None:
            self._written[path] = written = written_of(history.transcript)
            written.last_prompt = history.last_prompt
            written.since_names = len(data)
        return history

    def _source(self, transcript: Transcript, written: Written) -> dict[str, Line]:
        """The lines of the conversation that a new one is a copy of: they are copied with all that they tell."""
        path = self.path(transcript.forked_from or "") if not written.uuids else None
        if path is None:
            return {}
        with _translated(path, "read"):
            data = path.read_bytes()
        history = read_history(path.stem, data, honors_leaf=self._rules.marks_leaf)
        return history.raw if history is not None else {}

    def _refresh_names(self, transcript: Transcript, written: Written, file: int) -> None:
        """Where the title was written long ago: take in what others made of it, and see that it is written again."""
        if written.since_names < NAMES_WITHIN:
            return
        size = os.fstat(file).st_size
        names = read_names(parse_lines(os.pread(file, _TAIL, max(0, size - _TAIL))))
        if transcript.title == written.title and "title" in names:
            transcript.title = names["title"] or None
        if transcript.tag == written.tag and "tag" in names:
            transcript.tag = names["tag"] or None
        written.title = written.tag = None
        written.since_names = 0


def _write_metadata(path: Path, agent: SubAgent) -> None:
    """What a sub-agent is, beside its file."""
    file = os.open(path.with_suffix(".meta.json"), os.O_WRONLY | os.O_CREAT | os.O_TRUNC, 0o600)
    try:
        os.write(file, json.dumps(metadata_of(agent)).encode())
    finally:
        os.close(file)


@contextmanager
def _appending(path: Path) -> Generator[int]:
    file = os.open(path, os.O_RDWR | os.O_APPEND | os.O_CREAT, 0o600)
    try:
        yield file
    finally:
        os.close(file)


def _append(file: int, lines: list[Line]) -> int:
    """Append whole lines, behind a line that was torn too. Returns how many bytes they are."""
    data = b"".join(encode_line(line) + b"\n" for line in lines)
    if not data:
        return 0
    size = os.fstat(file).st_size
    if size and os.pread(file, 1, size - 1) != b"\n":
        data = b"\n" + data
    left = data
    while left:
        left = left[os.write(file, left) :]
    return len(data)


@contextmanager
def _translated(path: Path, what: str) -> Generator[None]:
    try:
        yield
    except OSError as error:
        raise StoreError(f"the history {str(path)!r} cannot be {what}: {error.strerror or error}") from error
