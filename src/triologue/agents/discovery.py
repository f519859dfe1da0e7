"""Where the programs of the agents are. Everything here asks the file system: call it in a thread where that matters."""

import importlib.util
import os
import shutil
import stat
from collections.abc import Mapping
from pathlib import Path
from typing import NamedTuple

from triologue.engine.histories.folders import home_folder
from triologue.errors import AgentNotFound, AgentStartError
from triologue.options import Options


class Program(NamedTuple):
    """A vendor's program, and how to find it."""

    title: str
    """What it is called in texts."""
    names: tuple[str, ...]
    """Its file's names; the first one that is found wins."""
    variable: str
    """The variable that may name it."""
    folders: tuple[str, ...]
    """Where it usually is; `~` is HOME. Services are often started with a PATH that lacks these."""
    package: str
    """The vendor's Python SDK, which may carry it."""
    install: str
    """How to get it."""

    @property
    def missing(self) -> str:
        """One line for: it is nowhere."""
        return f"{self.title} was not found; {self.install}, or name it by {self.variable}"


CLAUDE = Program(
    title="the Claude Code CLI `claude`",
    names=("claude",),
    variable="CLAUDE_CODE_CLI_PATH",
    folders=(
        "~/.local/bin",
        "~/.claude/local",
        "~/.npm-global/bin",
        "/usr/local/bin",
        "/opt/homebrew/bin",
        "~/node_modules/.bin",
        "~/.yarn/bin",
    ),
    package="claude_agent_sdk",
    install="install it with `npm install -g @anthropic-ai/claude-code`, or `pip install claude-agent-sdk`",
)
QODER = Program(
    title="the Qoder CLI `qodercli`",
    names=("qodercli", "qoder"),
    variable="QODERCLI_PATH",
    folders=(
        "~/.local/bin",
        "~/.npm-global/bin",
        "/usr/local/bin",
        "/opt/homebrew/bin",
        "~/node_modules/.bin",
        "~/.yarn/bin",
    ),
    package="qoder_agent_sdk",
    install="install it with `npm install -g @qoder-ai/qodercli`, or `pip install qoder-agent-sdk`",
)
CORTEX = Program(
    title="the Cortex Code CLI `cortex`",
    names=("cortex",),
    variable="CORTEX_CODE_CLI_PATH",
    folders=("~/.local/bin",),
    package="cortex_code_agent_sdk",
    install="install it with `curl -LsS https://ai.snowflake.com/static/cc-scripts/install.sh | sh`",
)
PROGRAMS = {"claude-code": CLAUDE, "qoder": QODER, "cortex-code": CORTEX}
"""By the name of the agent."""


class Place(NamedTuple):
    """One place where the CLI may be."""

    where: str
    """Why this place is looked at: a variable, PATH, a usual folder, an installed package."""
    path: str
    """The file, or for PATH the folders; empty where there is nothing to look at."""
    found: bool
    """Whether there is a file here that this user may execute."""


def find_program(program: Program, options: Options, environ: Mapping[str, str] | None = None) -> Path:
    """The program to start, as an absolute path.

    What is named (`Options.cli_path`, else the variable) is taken or refused; only where nothing is named does the
    first of `places` that has it win.

    Args:
        program: which one.
        options: only `cli_path` is read.
        environ: where the variable, PATH and HOME are read; None: this process's.

    Raises:
        AgentNotFound: it is nowhere; the text lists the places. Or what is named does not exist.
        AgentStartError: what is named is a folder, or may not be executed.
    """
    environ = os.environ if environ is None else environ
    if options.cli_path is not None:
        return _checked("Options.cli_path", os.fspath(options.cli_path), environ)
    if named := environ.get(program.variable):
        return _checked(program.variable, named, environ)
    looked = places(program, environ)
    for place in looked:
        if place.found:
            return Path(place.path)
    tried = "".join(f"\n  {place.where}: {place.path or 'nothing'}" for place in looked)
    raise AgentNotFound(
        f"{program.title} is in none of these places:{tried}\n"
        f"{program.install}; or name it by Options(cli_path=...) or {program.variable}"
    )


def places(program: Program, environ: Mapping[str, str] | None = None) -> list[Place]:
    """Every place that is looked at when no `cli_path` is given, in order; the first that is found wins.

    Args:
        program: as for `find_program`.
        environ: as for `find_program`.
    """
    environ = os.environ if environ is None else environ
    named = environ.get(program.variable)
    folders = environ.get("PATH", os.defpath)
    on_path = next(filter(None, (shutil.which(name, path=folders) for name in program.names)), None)
    looked = [
        _place(program.variable, _expanded(named, environ) if named else None),
        Place("PATH", str(Path(on_path).absolute()) if on_path else folders, found=on_path is not None),
    ]
    looked += [
        _place("usual folder", _expanded(folder, environ) / name)
        for name in program.names
        for folder in program.folders
    ]
    inside = f"inside {program.package.replace('_', '-')}"
    bundled = [_place(inside, path) for path in _bundled(program)]
    return looked + (bundled or [Place(inside, "", found=False)])


def _place(where: str, path: Path | None) -> Place:
    return Place(where, str(path or ""), found=path is not None and _is_program(path))


def _checked(where: str, named: str, environ: Mapping[str, str]) -> Path:
    path = _expanded(named, environ)
    what = f"{where}={named!r}"
    try:
        is_folder = stat.S_ISDIR(path.stat().st_mode) and bool(named)
    except PermissionError:
        wrong = f"{what} is in a folder that this user may not look into; name another file"
        raise AgentStartError(wrong, is_final=True) from None
    except (OSError, ValueError):
        is_folder = None
    if not named or is_folder is None:
        raise AgentNotFound(f"{what}: there is no such file; correct it, or leave it out to have the CLI looked for")
    if is_folder:
        raise AgentStartError(f"{what} is a folder; name the program in it", is_final=True)
    if not _is_program(path):
        wrong = f"{what} may not be executed by this user; `chmod +x` it, or name another file"
        raise AgentStartError(wrong, is_final=True)
    return path


def _expanded(path: str, environ: Mapping[str, str]) -> Path:
    """An absolute path: the agent may be started in another folder."""
    if path == "~" or path.startswith("~/"):
        path = f"{home_folder(environ)}{path[1:]}"
    return Path(path).absolute()


def _is_program(path: Path) -> bool:
    try:
        return path.is_file() and os.access(path, os.X_OK)
    except PermissionError:  # the home of another user, say: it is not there for this one
        return False


def _bundled(program: Program) -> list[Path]:
    """The program that the vendor's Python SDK carries; the SDK itself is not imported."""
    try:
        spec = importlib.util.find_spec(program.package)
    except ValueError:  # something put a module without a spec in its place
        return []
    folders = spec.submodule_search_locations if spec is not None else None
    return [Path(next(iter(folders)), "_bundled", name) for name in program.names] if folders else []
