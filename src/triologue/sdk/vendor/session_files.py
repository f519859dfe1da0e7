"""Where a vendor's conversations are on disk. Everything here asks the file system, and blocks."""

import os
import subprocess
import unicodedata
from collections.abc import Iterator
from pathlib import Path
from typing import NamedTuple, final

from triologue.engine.histories import FolderRules, is_session_id

# Seconds that git may take to name its worktrees.
GIT_PATIENCE = 5.0


class Project(NamedTuple):
    """A folder of conversations, and the project that it belongs to, where that is known."""

    folder: Path
    path: str | None


@final
class SessionFiles:
    """The conversations of one vendor."""

    def __init__(self, rules: FolderRules) -> None:
        self.rules = rules

    @property
    def root(self) -> Path:
        """The folder of all projects."""
        return self.rules.config(os.environ) / "projects"

    def key(self, directory: str | os.PathLike[str] | None) -> str:
        """What the folder of a project is called; None: of the current one."""
        return self.rules.key(canonical(os.fspath(directory) if directory is not None else os.curdir))

    def projects(self, directory: str | None, *, with_worktrees: bool = True) -> Iterator[Project]:
        """The folders to look at: those of a project and of its git worktrees, or all that there are."""
        root = self.root
        if directory is None or not os.fspath(directory):
            yield from (Project(folder, None) for folder in _folders(root))
            return
        own = canonical(os.fspath(directory))
        seen: set[Path] = set()
        for path in (own, *(_worktrees(own) if with_worktrees else ())):
            folder = self.rules.project(root, path)
            if folder not in seen and folder.is_dir():
                seen.add(folder)
                yield Project(folder, path)

    def find(self, session_id: str, directory: str | None) -> tuple[Path, str | None] | None:
        """The file of a conversation, and its project; None: there is none with something in it."""
        if not is_session_id(session_id):
            return None
        for folder, path in self.projects(directory):
            file = folder / f"{session_id}.jsonl"
            try:
                if file.stat().st_size:
                    return file, path
            except OSError:
                continue
        return None

    def subagents(self, session_id: str, directory: str | None) -> dict[str, Path]:
        """The files of the sub-agents of a conversation, by their ids."""
        found = self.find(session_id, directory)
        if found is None:
            return {}
        files = sorted(found[0].with_suffix("").joinpath("subagents").rglob("agent-*.jsonl"))
        return {file.name.removeprefix("agent-").removesuffix(".jsonl"): file for file in files if file.is_file()}


def canonical(path: str) -> str:
    """The one name of a folder."""
    return unicodedata.normalize("NFC", os.path.realpath(path))


def _folders(root: Path) -> list[Path]:
    try:
        return sorted(entry for entry in root.iterdir() if entry.is_dir())
    except OSError:
        return []


def _worktrees(path: str) -> list[str]:
    """The worktrees of the git repository that a folder is in; none where there is no git."""
    try:
        listed = subprocess.run(
            ["git", "worktree", "list", "--porcelain"],
            cwd=path,
            capture_output=True,
            text=True,
            timeout=GIT_PATIENCE,
            check=True,
        )
    except (OSError, subprocess.SubprocessError, ValueError):
        return []
    lines = listed.stdout.splitlines()
    found = [
        unicodedata.normalize("NFC", line.removeprefix("worktree ")) for line in lines if line.startswith("worktree ")
    ]
    return found if len(found) > 1 else []
