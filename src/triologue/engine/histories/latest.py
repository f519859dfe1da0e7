"""Which conversation of a folder was written last: what `continue_conversation` goes on with."""

import logging
import os
from pathlib import Path

from triologue.engine.histories.folders import FolderRules, is_file, is_session_id, newest_first
from triologue.engine.histories.reading import Line, is_main, parse_lines

logger = logging.getLogger(__name__)


def find_latest(rules: FolderRules, projects: Path, cwd: str) -> str | None:
    """The session id of the conversation of `cwd` that was written last; None: there is none.

    Chosen as Claude Code 2.1.329 was seen to choose, but for a newest file in which nobody has said anything: where the
    program begins anew under its id, it is passed over. So is one that cannot be read.

    Raises:
        OSError: a folder of histories cannot be looked into.
    """
    for file in newest_first(path for place in rules.places(projects, cwd) for path in _histories(place)):
        if is_session_id(file.stem) and is_file(file):
            try:
                begins = first_prompt(file)
            except OSError as error:
                logger.warning("the history %r is passed over, as it cannot be read: %s", str(file), error)
                continue
            if begins is not None and rules.is_of(cwd, file.parent, begins.get("cwd")):
                return file.stem
    return None


def _histories(place: Path) -> list[Path]:
    try:
        return [place / name for name in os.listdir(place) if name.endswith(".jsonl")]  # noqa: PTH208 - Path's hides errors
    except (FileNotFoundError, NotADirectoryError):
        return []


def first_prompt(file: Path) -> Line | None:
    """The line with which somebody began the conversation; None where nobody could go on with the file.

    Raises:
        OSError: it cannot be read.
    """
    is_first = True
    with file.open("rb") as lines:
        for text in lines:  # the rest of a long file is not read
            for line in parse_lines(text):
                if is_first and line.get("isSidechain") is True:
                    return None
                is_first = False
                if line.get("type") == "user" and is_main(line) and isinstance(line.get("message"), dict):
                    return line
    return None
