"""Where the Claude Code CLI is. Everything here asks the file system, so call it in a thread where that matters."""

import importlib.util
import os
import shutil
from collections.abc import Mapping
from pathlib import Path
from typing import NamedTuple

from triologue.errors import AgentNotFound, AgentStartError
from triologue.options import Options

CLI_PATH_VARIABLE = "CLAUDE_CODE_CLI_PATH"
HOW_TO_INSTALL = "install it with `npm install -g @anthropic-ai/claude-code`, or `pip install claude-agent-sdk`"

# `~` is HOME. Services are often started with a PATH that lacks these.
USUAL_FOLDERS = (
    "~/.local/bin",
    "~/.claude/local",
    "~/.npm-global/bin",
    "/usr/local/bin",
    "/opt/homebrew/bin",
    "~/node_modules/.bin",
    "~/.yarn/bin",
)


class Place(NamedTuple):
    """One place where the CLI may be."""

    where: str
    """Why this place is looked at: a variable, PATH, a usual folder, an installed package."""
    path: str
    """The file, or for PATH the folders; empty where there is nothing to look at."""
    found: bool
    """Whether there is a file here that this user may execute."""


def find_claude(options: Options, environ: Mapping[str, str] | None = None) -> Path:
    """The program to start, as an absolute path.

    What is named (`Options.cli_path`, else CLAUDE_CODE_CLI_PATH) is taken or refused; only where nothing is named does
    the first of `places` that has it win.

    Args:
        options: only `cli_path` is read.
        environ: where CLAUDE_CODE_CLI_PATH, PATH and HOME are read; None: this process's.

    Raises:
        AgentNotFound: it is nowhere; the text lists the places. Or what is named does not exist.
        AgentStartError: what is named is a folder, or may not be executed.
    """
    environ = os.environ if environ is None else environ
    if options.cli_path is not None:
        return _checked("Options.cli_path", os.fspath(options.cli_path), environ)
    if named := environ.get(CLI_PATH_VARIABLE):
        return _checked(CLI_PATH_VARIABLE, named, environ)
    looked = places(environ)
    for place in looked:
        if place.found:
            return Path(place.path)
    tried = "".join(f"\n  {place.where}: {place.path or 'nothing'}" for place in looked)
    raise AgentNotFound(
        f"the Claude Code CLI `claude` is in none of these places:{tried}\n"
        f"{HOW_TO_INSTALL}; or name it by Options(cli_path=...) or {CLI_PATH_VARIABLE}"
    )


def places(environ: Mapping[str, str] | None = None) -> list[Place]:
    """Every place that is looked at when no `cli_path` is given, in order; the first that is found wins.

    Args:
        environ: as for `find_claude`.
    """
    environ = os.environ if environ is None else environ
    named = environ.get(CLI_PATH_VARIABLE)
    folders = environ.get("PATH", os.defpath)
    on_path = shutil.which("claude", path=folders)
    looked = [
        _place(CLI_PATH_VARIABLE, _expanded(named, environ) if named else None),
        Place("PATH", str(Path(on_path).absolute()) if on_path else folders, found=on_path is not None),
    ]
    looked += [_place("usual folder", _expanded(folder, environ) / "claude") for folder in USUAL_FOLDERS]
    looked.append(_place("inside claude-agent-sdk", _bundled()))
    return looked


def _place(where: str, path: Path | None) -> Place:
    return Place(where, str(path or ""), found=path is not None and _is_program(path))


def _checked(where: str, named: str, environ: Mapping[str, str]) -> Path:
    path = _expanded(named, environ)
    what = f"{where}={named!r}"
    if not named or not path.exists():
        raise AgentNotFound(f"{what}: there is no such file; correct it, or leave it out to have the CLI looked for")
    if path.is_dir():
        raise AgentStartError(f"{what} is a folder; name the program in it")
    if not _is_program(path):
        raise AgentStartError(f"{what} may not be executed by this user; `chmod +x` it, or name another file")
    return path


def _expanded(path: str, environ: Mapping[str, str]) -> Path:
    """An absolute path: the agent may be started in another folder."""
    if path == "~" or path.startswith("~/"):
        home = environ.get("HOME") or str(Path.home())
        path = home + path[1:]
    return Path(path).absolute()


def _is_program(path: Path) -> bool:
    return path.is_file() and os.access(path, os.X_OK)


def _bundled() -> Path | None:
    """The CLI that the vendor's Python SDK carries; the SDK itself is not imported."""
    try:
        spec = importlib.util.find_spec("claude_agent_sdk")
    except ValueError:  # something put a module without a spec in its place
        return None
    folders = spec.submodule_search_locations if spec is not None else None
    return Path(next(iter(folders)), "_bundled", "claude") if folders else None
