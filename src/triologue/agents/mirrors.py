"""What agents tell of their own histories, as a store keeps it."""

import os
from collections.abc import Iterable, Iterator
from pathlib import PurePath

import msgspec
from msgspec import Struct

from triologue.engine.histories import parse_lines
from triologue.engine.histories.folders import is_name
from triologue.errors import AgentProtocolError, brief
from triologue.messages import TranscriptMirror
from triologue.messages.loose import is_text
from triologue.options import Options
from triologue.ports import TranscriptEntry

FLAG = "session-mirror"
"""Has an agent tell what it writes."""


class About(Struct, gc=False):
    """What has to be known of a line."""

    type: str = ""
    uuid: str | None = None


_about = msgspec.json.Decoder(About).decode


def with_mirror(options: Options) -> Options:
    """These options, with which it tells."""
    told = options.copy()
    told.extra_args[FLAG] = None
    return told


def read_about(line: bytes) -> About | None:
    """What it is; None when it is no line of a history."""
    try:
        return _about(line)
    except (msgspec.DecodeError, UnicodeDecodeError):
        found = parse_lines(line)  # it may be odd and a line all the same
    if not found:
        return None
    kind, uuid = found[0].get("type"), found[0].get("uuid")
    return About(kind if isinstance(kind, str) else "", uuid if isinstance(uuid, str) else None)


def entries_of(mirror: TranscriptMirror, projects: str | None, cwd: str = "") -> list[TranscriptEntry]:
    """What a store keeps of a message.

    Args:
        mirror: the message.
        projects: the folder below which its file must be, in that of a project; None: its path is within such a one.
        cwd: where the agent was started; there a relative path begins, as one is told where its config folder is such.

    Raises:
        AgentProtocolError: its file is no history.
    """
    path = mirror.file_path if projects is None else _within(mirror.file_path, projects, cwd)
    session_id = path.split("/")[0].removesuffix(".jsonl") if path is not None else ""
    if path is None or not is_path_of(session_id, path):
        raise AgentProtocolError(f"{brief(mirror.file_path)} is no history below {projects!r}")
    return list(as_entries(session_id, path, mirror.lines))


def as_entries(session_id: str, path: str, lines: Iterable[bytes]) -> Iterator[TranscriptEntry]:
    """Lines of one file; what is none is left out."""
    for line in lines:
        about = read_about(line)
        if about is not None:
            yield TranscriptEntry(session_id=session_id, path=path, id=about.uuid, line=line)


def is_path_of(session_id: str, path: str) -> bool:
    """Whether it is the path of a conversation's own file, or of one in its folder: text that leads nowhere else."""
    first, *inner = path.split("/")
    if not is_name(session_id) or not path.endswith(".jsonl") or not is_text(path) or "\0" in path or "\\" in path:
        return False
    if not inner:
        return first == f"{session_id}.jsonl"
    return first == session_id and not {"", ".", ".."} & set(inner)


def _within(file: str, projects: str, cwd: str) -> str | None:
    """The path within a project's folder; None for a file that is not in one."""
    if ".." in PurePath(file).parts or "\0" in file or not is_text(file):
        return None
    file = os.path.join(cwd, file)  # noqa: PTH118 - names only
    for path, folder in ((file, projects), (os.path.realpath(file), os.path.realpath(projects))):
        if PurePath(path).is_relative_to(folder):
            return "/".join(PurePath(path).relative_to(folder).parts[1:])
    return None
