"""Lines of a history become files again, and are known again when they come once more."""

import errno
import os
from pathlib import Path

import pytest

from triologue.cli.sessions.exporting import files_of
from triologue.cli.sessions.files import new_file
from triologue.cli.sessions.importing import beyond
from triologue.errors import InvalidOption, StoreError
from triologue.ports import TranscriptEntry


def entry(path: str, line: bytes, id: str | None = None) -> TranscriptEntry:
    return TranscriptEntry(session_id="s", path=path, id=id, line=line)


def test_the_files_of_a_history() -> None:
    entries = [
        entry("s.jsonl", b'{"a":1}'),
        entry("s/subagents/agent-1.jsonl", b'{"type":"agent_metadata","agentType":"scout"}'),
        entry("s/subagents/agent-1.jsonl", b'{"b":1}'),
        entry("s.jsonl", b'{"a":2}'),
    ]
    assert files_of(entries) == {
        "s.jsonl": [b'{"a":1}\n', b'{"a":2}\n'],
        "s/subagents/agent-1.meta.json": [b'{"agentType": "scout"}'],
        "s/subagents/agent-1.jsonl": [b'{"b":1}\n'],
    }


@pytest.mark.parametrize("path", ["/etc/passwd", "../x", "s/../../x", "", "a\0b"])
def test_a_line_that_leads_elsewhere_is_refused(path: str) -> None:
    with pytest.raises(InvalidOption, match="which is no file of it"):
        files_of([entry(path, b"{}")])


def test_only_what_is_not_kept_yet_is_taken() -> None:
    kept = [entry("s.jsonl", b"1", "1"), entry("s.jsonl", b"note"), entry("s.jsonl", b"note")]
    again = [*kept, entry("s.jsonl", b"note"), entry("t.jsonl", b"1", "1"), entry("s.jsonl", b"2", "2")]
    assert list(beyond(kept, kept)) == []
    assert list(beyond(again, kept)) == again[3:]


def write_new(path: Path, data: bytes) -> None:
    with new_file(path) as file:
        file.write(data)


def test_nothing_is_written_over(tmp_path: Path) -> None:
    path = tmp_path / "a" / "b"
    write_new(path, b"12")
    assert (path.read_bytes(), path.stat().st_mode & 0o777) == (b"12", 0o600)
    with pytest.raises(InvalidOption, match="is there already, and was left as it is; name another place"):
        write_new(path, b"3")
    with pytest.raises(StoreError, match="cannot be written: its folder is a file, or a link that leads nowhere"):
        write_new(path / "c", b"")
    assert path.read_bytes() == b"12"


def test_what_was_not_written_whole_does_not_stay(tmp_path: Path) -> None:
    path = tmp_path / "a"
    with pytest.raises(StoreError, match="cannot be written: No space left on device"), new_file(path) as file:
        file.write(b"1")
        raise OSError(errno.ENOSPC, os.strerror(errno.ENOSPC))
    write_new(path, b"12")
    assert path.read_bytes() == b"12"
