"""The page that tells which features of which SDK work: `python -m tests.foreign.page` writes its tables anew."""

from importlib.metadata import version
from pathlib import Path

from tests.foreign.table import GROUPS, PROGRAMS, Suite, load_suite

PAGE = Path(__file__).parents[2] / "docs" / "reference" / "foreign-sdks.md"
BEGINNING = "<!-- The tables are made from the tests: python -m tests.foreign.page -->\n"


def suites() -> list[Suite]:
    """In the order of the columns."""
    return [load_suite(package) for package in PROGRAMS]


def render() -> str:
    """The tables, with the reasons below them."""
    shown = [(suite, loop) for suite in suites() for loop in suite.loops]
    notes: list[str] = []
    lines = [f"Versions: {', '.join(f'`{name}` {version(name)}' for name in PROGRAMS)}.", ""]
    for group, features in GROUPS.items():
        titles = " | ".join(f"`{suite.package}` on {loop}" for suite, loop in shown)
        lines += [f"## {group}", "", f"| | {titles} |", "|---|" + "---|" * len(shown)]
        lines += [
            f"| {told} | " + " | ".join(_cell(suite, feature, notes) for suite, _ in shown) + " |"
            for feature, told in features.items()
        ]
        lines.append("")
    lines += ["## Why not", "", *(f"{number}. {note}" for number, note in enumerate(notes, 1))]
    return "\n".join(lines) + "\n"


def _cell(suite: Suite, feature: str, notes: list[str]) -> str:
    if feature in suite.programs:
        return "passes"
    failing = feature in suite.failing
    note = f"`{suite.package}`: {suite.failing[feature] if failing else suite.missing[feature]}."
    if note not in notes:
        notes.append(note)
    return f"{'no' if failing else 'not in the SDK'} ({notes.index(note) + 1})"


def whole() -> str:
    """The page with these tables."""
    return PAGE.read_text("utf-8").partition(BEGINNING)[0] + BEGINNING + "\n" + render()


if __name__ == "__main__":
    PAGE.write_text(whole(), "utf-8")
