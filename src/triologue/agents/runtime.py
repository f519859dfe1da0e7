"""The folder in which this user's programs tell of themselves: ledgers of agents, and sockets of managers."""

import os
import stat
import sys
import warnings
from functools import cache
from pathlib import Path

import platformdirs

VARIABLE = "TRIOLOGUE_RUNTIME_DIR"


def runtime_folder() -> Path:
    """Where it is, or would be: `$TRIOLOGUE_RUNTIME_DIR`, else `triologue` in the user's runtime folder.

    Raises:
        OSError: there is none: it would be below the system's folder for temporary files, and nothing can be written there.
    """
    named = os.environ.get(VARIABLE)
    return Path(named).absolute() if named else _default()


@cache
def _default() -> Path:
    with warnings.catch_warnings():
        # Where there is no session of the user (a service, a container) it is below /tmp, which is well enough.
        warnings.simplefilter("ignore")
        return Path(platformdirs.user_runtime_dir("triologue"))


def make_runtime_folder() -> Path:
    """Make it if it is not there; nobody else can look into it then.

    One that is there keeps its mode, for it may be a home. What is put there is this user's alone anyway.

    Raises:
        OSError: it cannot be made, or others own it or may write in it.
    """
    folder = runtime_folder()
    try:
        folder.mkdir(mode=0o700)
    except FileExistsError:
        pass
    except FileNotFoundError:
        folder.parent.mkdir(mode=0o700, parents=True, exist_ok=True)
        folder.mkdir(mode=0o700, exist_ok=True)
    _check_owned(folder)
    return folder


def told_there(pattern: str) -> list[Path]:
    """What this user's programs have put there; nothing where others could have put it."""
    try:
        folder = runtime_folder()
        _check_owned(folder)
        return sorted(folder.glob(pattern))
    except OSError:
        return []


def distrusted() -> str | None:
    """Why nobody tells anything there, and nobody reads it, though there is a folder; None: there is no such reason."""
    try:
        _check_owned(runtime_folder())
    except PermissionError as error:
        return str(error)
    except OSError:
        pass
    return None


def _check_owned(folder: Path) -> None:
    found = folder.lstat()
    if not stat.S_ISDIR(found.st_mode) or found.st_uid != os.geteuid():
        # Below /tmp anybody may have made it first.
        raise PermissionError(f"{str(folder)!r} is no folder of this user; remove it, or set ${VARIABLE}")
    if found.st_mode & 0o022:
        mode = stat.S_IMODE(found.st_mode)
        raise PermissionError(
            f"others may write in {str(folder)!r} (mode {mode:04o}); make it 0700, or set ${VARIABLE}"
        )


def program_name() -> str:
    """What this process runs, for people to know it by."""
    spec = getattr(sys.modules.get("__main__"), "__spec__", None)
    if spec is not None:
        return f"python -m {spec.name.removesuffix('.__main__')}"
    name = sys.argv[0] if sys.argv else ""
    return Path(name).name if name not in ("", "-c") else "python"
