"""What changed in a file, as hunks with three lines around each."""

from difflib import SequenceMatcher
from typing import Any

CONTEXT = 3
MAX_COMPARED = 2000
"""Lines that are compared with each other; where more changed, they are all told to have changed."""

_NO_NEWLINE = "\\ No newline at end of file"


def structured_patch(before: str, after: str) -> list[dict[str, Any]]:
    """The hunks between two texts: `oldStart oldLines newStart newLines lines`."""
    old, new = _lines(before), _lines(after)
    if old == new:
        return []
    # Only what lies between the first and the last difference is compared, because that takes its time.
    head = _common(old, new)
    tail = _common(old[head:][::-1], new[head:][::-1])
    start = max(0, head - CONTEXT)
    old_end, new_end = len(old) - max(0, tail - CONTEXT), len(new) - max(0, tail - CONTEXT)
    # Lines that are everywhere are passed over in long texts, because comparing those takes their number squared.
    matcher = SequenceMatcher(None, old[start:old_end], new[start:new_end])
    groups = list(matcher.get_grouped_opcodes(CONTEXT)) if max(old_end, new_end) - start <= MAX_COMPARED else []
    if not groups:
        around = head - start
        old_changed, new_changed = len(old) - tail - start, len(new) - tail - start
        groups = [
            [
                ("equal", 0, around, 0, around),
                ("replace", around, old_changed, around, new_changed),
                ("equal", old_changed, old_end - start, new_changed, new_end - start),
            ]
        ]
    return [_hunk(group, old[start:], new[start:], start) for group in groups]


def _lines(text: str) -> list[str]:
    """The lines, each with its end; `splitlines` knows more ends than editors do."""
    *whole, last = text.split("\n")
    return [f"{line}\n" for line in whole] + [last] * bool(last)


def _common(old: list[str], new: list[str]) -> int:
    """How many lines are the same at the beginning."""
    for count, (left, right) in enumerate(zip(old, new, strict=False)):
        if left != right:
            return count
    return min(len(old), len(new))


def _hunk(group: list[tuple[str, int, int, int, int]], old: list[str], new: list[str], start: int) -> dict[str, Any]:
    lines: list[str] = []
    for kind, old_from, old_to, new_from, new_to in group:
        if kind == "equal":
            lines += _marked(" ", old[old_from:old_to])
        else:
            lines += _marked("-", old[old_from:old_to]) + _marked("+", new[new_from:new_to])
    first, last = group[0], group[-1]
    old_lines, new_lines = last[2] - first[1], last[4] - first[3]
    return {
        # Where there is no line, the one before it is named.
        "oldStart": start + first[1] + bool(old_lines),
        "oldLines": old_lines,
        "newStart": start + first[3] + bool(new_lines),
        "newLines": new_lines,
        "lines": lines,
    }


def _marked(mark: str, lines: list[str]) -> list[str]:
    marked: list[str] = []
    for line in lines:
        marked.append(mark + line.rstrip("\n"))
        if not line.endswith("\n"):
            marked.append(_NO_NEWLINE)
    return marked
