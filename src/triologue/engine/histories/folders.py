"""Where each vendor keeps its conversations: one folder for a project, one file for a conversation."""

import os
import re
import unicodedata
from collections.abc import Callable, Iterable, Mapping
from pathlib import Path
from types import MappingProxyType
from typing import TypeGuard

from msgspec import Struct

LONGEST_KEY = 200
"""A longer key is cut, and ends with a hash of the whole path."""

_DIGITS = "0123456789abcdefghijklmnopqrstuvwxyz"
_NAME = re.compile(r"[A-Za-z0-9_-]{1,128}")
_SESSION_ID = re.compile(r"[0-9a-f]{8}(-[0-9a-f]{4}){3}-[0-9a-f]{12}", re.IGNORECASE)


class FolderRules(Struct, frozen=True, kw_only=True):
    """The rules of one vendor."""

    variable: str
    """The environment variable that names the config folder."""
    home: str
    """The config folder without it, in the home folder."""
    key: Callable[[str], str]
    """The name of a project's folder, made of its real path."""
    marks_leaf: bool = False
    """Which line the conversation goes on from is said in the file, by `active-leaf`."""

    def config(self, env: Mapping[str, str]) -> Path:
        """The config folder."""
        return Path(unicodedata.normalize("NFC", env.get(self.variable) or str(home_folder(env) / self.home)))

    def config_in(self, env: Mapping[str, str], cwd: str) -> Path:
        """The config folder of a program that is started in `cwd`, which for it is where a relative path begins.

        An empty variable is such a path to the program, and none to its SDK.
        """
        return Path(cwd, "" if env.get(self.variable) == "" else self.config(env))

    def own_place(self, projects: Path, cwd: str) -> Path:
        """The folder to which a new conversation of `cwd` is written, which need not be there yet."""
        return projects / self._key_of(cwd)

    def places(self, projects: Path, cwd: str) -> list[Path]:
        """The folders in which conversations of `cwd` may be: its own, and for a long path all that begin as it does.

        The program and the SDK of Claude cut long paths with different hashes.
        """
        own = self.own_place(projects, cwd)
        if len(own.name) <= LONGEST_KEY:
            return [own]
        found = [projects / name for name in _names(projects) if _begin(name) == _begin(own.name)]
        return [each for each in found if os.path.isdir(each)]  # noqa: PTH112 - as in is_file

    def project(self, projects: Path, cwd: str) -> Path:
        """The one folder that the vendor's SDK takes for that of `cwd`: for a long path, any that begins as it does."""
        own = self.own_place(projects, cwd)
        if os.path.isdir(own):  # noqa: PTH112 - as in is_file
            return own
        return next(iter(self.places(projects, cwd)), own)

    def is_of(self, cwd: str, place: Path, began: object) -> bool:
        """Does a conversation in one of these places belong to `cwd` that began in the folder `began`?

        Others may have the same key, as `a.b` and `a-b` do: what is theirs stays theirs. Where that folder is gone, or
        has another key, the conversation was moved here with its folder.
        """
        is_own = place.name == self._key_of(cwd)
        if not isinstance(began, str) or "\0" in began:
            return is_own
        if os.path.realpath(began) == os.path.realpath(cwd):
            return True
        is_there = os.path.isdir(began)  # noqa: PTH112 - as in is_file
        return is_own and not (is_there and _begin(self._key_of(began)) == _begin(place.name))

    def _key_of(self, cwd: str) -> str:
        return self.key(unicodedata.normalize("NFC", os.path.realpath(cwd)))


def is_session_id(text: object) -> TypeGuard[str]:
    """Whether it can be the id of a vendor's conversation."""
    return isinstance(text, str) and _SESSION_ID.fullmatch(text) is not None


def find_files(projects: Path, name: str) -> list[Path]:
    """The files of this name in all projects, the one that was written last first."""
    found = [projects / project / name for project in _names(projects)]
    return newest_first(path for path in found if is_file(path))


def is_file(path: Path) -> bool:
    """Whether it is one; no, where nobody may look."""
    return os.path.isfile(path)  # noqa: PTH113 - Path raises where a folder above is closed to this user


def newest_first(paths: Iterable[Path], order: Mapping[Path, int] = MappingProxyType({})) -> list[Path]:
    """Sorted by when they were written; what is gone meanwhile is left out.

    `order` tells those apart that were written at the same tick of the clock: the larger number is the newer one.
    """
    dated: list[tuple[int, int, Path]] = []
    for path in paths:
        try:
            dated.append((path.stat().st_mtime_ns, order.get(path, -1), path))
        except OSError:
            continue
    return [path for _, _, path in sorted(dated, reverse=True)]


def make_folder(folder: Path) -> None:
    """Make a folder, and those above it, for its owner alone; what is there stays as it is."""
    missing = [each for each in (folder, *folder.parents) if not each.exists()]
    for each in reversed(missing):
        each.mkdir(mode=0o700, exist_ok=True)


def home_folder(env: Mapping[str, str]) -> Path:
    """HOME; without it the user's, or `~` as it stands where the system knows no such user, as in some containers."""
    return Path(env.get("HOME") or os.path.expanduser("~"))  # noqa: PTH111 - Path's has an error for the last of these


def is_name(text: str) -> bool:
    """Whether an id may be the name of a file: nothing that leads elsewhere."""
    return _NAME.fullmatch(text) is not None


def _begin(key: str) -> str:
    """The part that tells folders apart, of a key that is cut; else all of it."""
    return key[: LONGEST_KEY + 1]


def _names(folder: Path) -> list[str]:
    try:
        return sorted(entry.name for entry in folder.iterdir())
    except OSError:
        return []


def plain_key(path: str) -> str:
    """A key as Claude's SDK makes it: by characters, with the hash of Java's strings."""
    key = re.sub("[^A-Za-z0-9]", "-", path)
    if len(key) <= LONGEST_KEY:
        return key
    number = 0
    for character in path:
        number = (number * 31 + ord(character)) & 0xFFFFFFFF
    return f"{key[:LONGEST_KEY]}-{_base36(number)}"


def utf16_key(path: str) -> str:
    """A key as Qoder makes it: by UTF-16 units, with the hash DJB2 in its XOR form."""
    encoded = path.encode("utf-16-le", "surrogatepass")
    units = [int.from_bytes(encoded[at : at + 2], "little") for at in range(0, len(encoded), 2)]
    key = re.sub("[^A-Za-z0-9]", "-", "".join(map(chr, units)))
    if len(key) <= LONGEST_KEY:
        return key
    number = 5381
    for unit in units:
        number = ((number * 33) & 0xFFFFFFFF) ^ unit
    return f"{key[:LONGEST_KEY]}-{_base36(number)}"


def _base36(number: int) -> str:
    """The size of a number of 32 bits with a sign, in base 36."""
    number = min(number, 2**32 - number)
    digits = ""
    while number:
        number, digit = divmod(number, 36)
        digits = _DIGITS[digit] + digits
    return digits or "0"


CLAUDE = FolderRules(variable="CLAUDE_CONFIG_DIR", home=".claude", key=plain_key)
QODER = FolderRules(variable="QODER_CONFIG_DIR", home=".qoder", key=utf16_key, marks_leaf=True)
CORTEX = FolderRules(variable="CORTEX_HOME", home=".snowflake/cortex", key=plain_key)
"""A choice of ours: where Cortex Code keeps conversations is not documented, and its SDK reads none."""
