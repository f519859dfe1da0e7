"""The search behind `Glob` and `Grep`, as a program of its own, so that it can be stopped.

It runs as a file (`python -I -S search_program.py <request>`), so it imports the standard library only. The request
is one JSON object, and so is what it writes to stdout: `{"files", "lines", "matches", "truncated"}` or `{"error"}`.
Folders of version control are passed over, links to folders are not followed, and links to files are not looked into.
"""

# It starts faster, and stays smaller, without pathlib.
# ruff: noqa: PTH112, PTH113, PTH118, PTH123, PTH202

import json
import os
import re
import sys
from collections.abc import Iterator
from typing import Any

PASSED_OVER = {".git", ".hg", ".svn", ".bzr", ".jj", ".sl"}
MAX_FILE = 16 * 1024 * 1024
MAX_LINE = 2000

TYPES = {
    "c": "c h",
    "cpp": "cpp cc cxx hpp hh hxx h",
    "css": "css scss",
    "go": "go",
    "html": "html htm",
    "java": "java",
    "js": "js jsx mjs cjs",
    "json": "json",
    "md": "md markdown",
    "py": "py pyi",
    "rust": "rs",
    "sh": "sh bash zsh",
    "sql": "sql",
    "toml": "toml",
    "ts": "ts tsx mts cts",
    "txt": "txt",
    "yaml": "yaml yml",
}


class Refused(Exception):
    """The request cannot be answered; the text says why."""


def main() -> None:
    """Answer the request."""
    asked = json.loads(sys.argv[1])
    try:
        answer = find_files(asked) if asked["do"] == "glob" else find_lines(asked)
    except Refused as error:
        answer = {"error": str(error)}
    sys.stdout.write(json.dumps(answer))


def find_files(asked: dict[str, Any]) -> dict[str, Any]:
    """The files that fit a pattern, the one that was changed last first."""
    root, fits = asked["root"], compile_glob(asked["pattern"])
    if not os.path.isdir(root):
        raise Refused(f"There is no folder {root}.")
    found: list[tuple[float, str]] = []
    for name, entry in walk(root):
        if fits.fullmatch(name):
            try:
                found.append((entry.stat(follow_symlinks=False).st_mtime, name))
            except OSError:
                continue
    found.sort(key=lambda each: (-each[0], each[1]))
    limit = asked["limit"]
    return {"files": [name for _, name in found[:limit]], "truncated": len(found) > limit}


def walk(root: str) -> Iterator[tuple[str, "os.DirEntry[str]"]]:
    """Every file below a folder, with its path from there; sorted by name, folders after files."""
    folders = [""]
    while folders:
        folder = folders.pop()
        try:
            with os.scandir(os.path.join(root, folder)) as entries:
                listed = sorted(entries, key=lambda entry: entry.name)
        except OSError:
            continue
        below: list[str] = []
        for entry in listed:
            name = os.path.join(folder, entry.name)
            if not entry.is_dir(follow_symlinks=False):
                yield name, entry
            elif entry.name not in PASSED_OVER:
                below.append(name)
        folders += reversed(below)


def compile_glob(pattern: str) -> "re.Pattern[str]":
    """A pattern as a regular expression; without a slash it fits at any depth."""
    written = pattern.removeprefix("./")
    if "/" not in written:
        written = f"**/{written}"
    try:
        return re.compile(translate(written), re.DOTALL)
    except re.error as error:
        raise Refused(f"{pattern!r} is no pattern for files: {error}") from None


_TOKEN = re.compile(r"\*\*/|/\*\*$|\*\*|\*|\?|\[[!^]?\]?[^\]]*\]|\\.|[{},]|.", re.DOTALL)
_MEANINGS = {"**/": "(?:.*/)?", "/**": "/.*", "**": ".*", "*": "[^/]*", "?": "[^/]"}


def translate(pattern: str) -> str:
    """The regular expression for a pattern with `*`, `**`, `?`, `[...]` and `{a,b}`."""
    out: list[str] = []
    depth = 0
    for token in _TOKEN.findall(pattern):
        if token in _MEANINGS:
            out.append(_MEANINGS[token])
        elif token == "{":
            depth += 1
            out.append("(?:")
        elif token == "}" and depth:
            depth -= 1
            out.append(")")
        elif token == "," and depth:
            out.append("|")
        elif token.startswith("[") and len(token) > 1:
            body = token[1:].replace("\\", "\\\\")
            out.append(f"[^/{body[1:]}" if body[0] in "!^" else f"[{body}")
        else:
            out.append(re.escape(token[-1]))
    if depth:
        raise Refused(f"a brace of {pattern!r} is not closed")
    return "".join(out)


def find_lines(asked: dict[str, Any]) -> dict[str, Any]:
    """The files and lines in which a regular expression has a match."""
    flags = (re.IGNORECASE if asked["any_case"] else 0) | (re.DOTALL | re.MULTILINE if asked["multiline"] else 0)
    try:
        pattern = re.compile(asked["pattern"], flags)
    except re.error as error:
        raise Refused(f"{asked['pattern']!r} is no regular expression: {error}") from None
    found: dict[str, Any] = {"files": [], "lines": [], "matches": 0, "truncated": False}
    room = asked["characters"]
    for name, path in candidates(asked):
        text = read_text(path)
        numbers = matching_lines(pattern, text, is_multiline=asked["multiline"]) if text is not None else []
        if text is None or not numbers:
            continue
        found["files"].append(name)
        found["matches"] += len(numbers)
        shown = show(name, text.split("\n"), numbers, asked)
        for line in shown if asked["mode"] != "files_with_matches" else [name]:
            count = len(found["lines"])
            room -= len(line) + 1
            if room < 0 or (asked["limit"] is not None and count >= asked["limit"]):
                found["truncated"] = True
                break
            found["lines"].append(line)
        if found["truncated"]:
            break
    if asked["mode"] == "files_with_matches":
        found["files"] = found.pop("lines")
        found["lines"] = []
    return found


def candidates(asked: dict[str, Any]) -> Iterator[tuple[str, str]]:
    """The files to look into: how they are shown, and where they are."""
    root = asked["root"]
    if os.path.isfile(root):
        yield asked["shown"] or root, root
        return
    if not os.path.isdir(root):
        raise Refused(f"There is no file or folder {root}.")
    kind = asked["type"]
    if kind is not None and kind not in TYPES:
        raise Refused(f"{kind!r} is none of the known types: {', '.join(TYPES)}.")
    endings = tuple(f".{ending}" for ending in TYPES[kind].split()) if kind is not None else ("",)
    fits = compile_glob(asked["glob"] or "**")
    for name, entry in walk(root):
        if name.endswith(endings) and fits.fullmatch(name) and entry.is_file(follow_symlinks=False):
            yield os.path.join(asked["shown"], name), os.path.join(root, name)


def read_text(path: str) -> "str | None":
    """The text of a file; None when it is none, or too large."""
    try:
        if os.path.getsize(path) > MAX_FILE:
            return None
        with open(path, "rb") as file:
            data = file.read()
    except OSError:
        return None
    return None if b"\0" in data[:8192] else data.decode("utf-8", "replace")


def matching_lines(pattern: "re.Pattern[str]", text: str, *, is_multiline: bool) -> list[int]:
    """The numbers of the lines that have a match, or a part of one, counted from 0."""
    if not is_multiline:
        return [number for number, line in enumerate(text.split("\n")) if pattern.search(line.removesuffix("\r"))]
    numbers: dict[int, None] = {}
    for match in pattern.finditer(text):
        first = text.count("\n", 0, match.start())
        numbers |= dict.fromkeys(range(first, first + match.group().rstrip("\n").count("\n") + 1))
    return list(numbers)


def show(name: str, lines: list[str], numbers: list[int], asked: dict[str, Any]) -> list[str]:
    """A file's lines as they are told: `name:12:text` for a match, `name-13-text` around it, `--` between parts."""
    if asked["mode"] == "count":
        return [f"{name}:{len(numbers)}"]
    if asked["mode"] != "content":
        return []
    hits = set(numbers)
    around = {
        each
        for number in numbers
        for each in range(max(0, number - asked["before"]), min(len(lines), number + asked["after"] + 1))
    }
    shown: list[str] = []
    last = -1
    for number in sorted(around):
        if shown and number > last + 1 and (asked["before"] or asked["after"]):
            shown.append("--")
        mark = ":" if number in hits else "-"
        place = f"{number + 1}{mark}" if asked["numbers"] else ""
        line = lines[number].removesuffix("\r")
        shown.append(f"{name}{mark}{place}{line if len(line) <= MAX_LINE else line[:MAX_LINE] + '...'}")
        last = number
    return shown


if __name__ == "__main__":
    main()
